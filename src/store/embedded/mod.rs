//! The store for one process: a `SQLite` database in a directory that no other process may open meanwhile. Leases are
//! granted at once, since nobody else can ask. A write is on disk before its call returns; whatever `SQLite` refuses is
//! answered as `Unavailable` and may be asked again, for nothing of it was kept and nothing is remembered.

mod lock;
mod migrate;
mod owner;
mod rows;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use super::{Lease, LeaseRow, StateStore, StoreError, StoredMapping};
use crate::core::checkpoint::Checkpoint;
use crate::core::record::ShardId;
use crate::core::shards::NewShard;
use crate::source::BoxError;

use lock::DirectoryLock;
use owner::Owner;

/// A [`StateStore`] in a directory of its own. Dropping it waits until what was asked is written and the database is
/// closed, so the directory can be opened again at once.
pub struct EmbeddedStore {
    owner: Owner,
}

/// Why a state directory could not be opened. Nothing in it was changed, except that a finished backup stays.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be created, read or written.
    #[error("cannot use state directory {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has it open: stop that one, or choose another directory.
    #[error("state directory {} is in use by {}", directory.display(), process(*holder))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process that has it open; `None` if it has not written its id yet.
        holder: Option<u32>,
    },
    /// A newer esmd wrote it: use that one, or a backup.
    #[error("state {} has version {found}, but this esmd knows only versions up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The version that this esmd writes.
        known: usize,
    },
    /// It is not a sound database of esmd: put a backup in its place, or remove it to start over.
    #[error("state {} is damaged or was not written by esmd", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// An older state could not be copied or brought to the present version.
    #[error("cannot migrate state {} from version {from}", path.display())]
    Migration {
        /// The database, as it was.
        path: PathBuf,
        /// Its version.
        from: usize,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
    /// `SQLite` could not open it for another reason, such as a full disk.
    #[error("cannot open state {}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
}

impl EmbeddedStore {
    /// Opens the state in `directory`, which is made if it does not exist, and migrates it if it is older. Blocks for
    /// as long as the disk needs.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let in_directory = |source| OpenError::Directory { directory: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(in_directory)?;
        let lock = DirectoryLock::take(directory)?;
        let path = directory.join(DATABASE);
        let mut connection = connect(&path).map_err(|error| refused(&path, error))?;
        migrate::migrate(&mut connection, &path, migrate::MIGRATIONS)?;
        begin_work(&connection).map_err(|error| refused(&path, error))?;
        let owner = Owner::start(connection, lock).map_err(in_directory)?;
        Ok(Self { owner })
    }
}

impl StateStore for EmbeddedStore {
    fn mappings(&self) -> BoxFuture<'_, Result<Vec<StoredMapping>, StoreError>> {
        self.owner.perform(rows::mappings)
    }

    fn put_mapping(&self, mapping: StoredMapping) -> BoxFuture<'_, Result<StoredMapping, StoreError>> {
        self.owner.perform(move |connection| rows::put_mapping(connection, &mapping))
    }

    fn delete_mapping(&self, uuid: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        self.owner.perform(move |connection| rows::delete_mapping(connection, uuid))
    }

    fn add_shards(&self, mapping: Uuid, shards: Vec<NewShard>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.owner.perform(move |connection| rows::add_shards(connection, mapping, &shards))
    }

    fn remove_shards(&self, mapping: Uuid, shards: Vec<ShardId>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.owner.perform(move |connection| rows::remove_shards(connection, mapping, &shards))
    }

    fn leases(&self, mapping: Uuid) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        self.owner.perform(move |connection| rows::leases(connection, mapping))
    }

    fn claim(
        &self,
        mapping: Uuid,
        shard: ShardId,
        worker: String,
    ) -> BoxFuture<'_, Result<Option<(Lease, Checkpoint)>, StoreError>> {
        self.owner.perform(move |connection| rows::claim(connection, mapping, &shard, &worker))
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        self.owner.perform(move |connection| rows::release(connection, &lease))
    }

    fn save_checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> BoxFuture<'_, Result<(), StoreError>> {
        self.owner.perform(move |connection| rows::save_checkpoint(connection, &lease, &checkpoint))
    }
}

/// Opens the file without changing it. References are not enforced yet: a migration that rebuilds a table would delete
/// what refers to it.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(OUTSIDE_WRITER_WAIT)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "fullfsync", true)?; // else macOS leaves data in the drive's own cache
    connection.pragma_update(None, "foreign_keys", false)?;
    Ok(connection)
}

/// With a write-ahead log a commit is one sync, and the `sqlite3` shell can read while esmd runs.
fn begin_work(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Tells a file that is no sound database from one that cannot be reached.
fn refused(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, source: error.into() },
        _ => OpenError::Database { path, source: error },
    }
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

const DATABASE: &str = "state.db";

/// For the owner alone: mappings tell what runs here.
const DIRECTORY_MODE: u32 = 0o700;

/// How long a write waits for someone who writes with the `sqlite3` shell.
const OUTSIDE_WRITER_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use crate::core::Timestamp;
    use crate::core::checkpoint::{PositionRange, UpTo};
    use crate::core::record::{Position, SequenceNumber};
    use crate::mapping::document::MappingDocument;
    use crate::mapping::state::MappingState;
    use crate::store::MappingOrigin;

    use super::*;

    /// A full disk stops checkpoints, not the process, and heals.
    #[tokio::test]
    async fn a_full_disk_is_unavailable_until_there_is_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let lease = claimed(&store, "shard").await;
        let before = store.leases(lease.mapping).await.unwrap();
        limit_pages(&store, 1).await;

        for _ in 0..3 {
            let refused = store.save_checkpoint(lease.clone(), long_checkpoint()).await.unwrap_err();
            assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
        }
        assert_eq!(store.leases(lease.mapping).await.unwrap(), before, "nothing is half written, and reading goes on");

        limit_pages(&store, 1_000_000).await;
        store.save_checkpoint(lease.clone(), long_checkpoint()).await.unwrap();
        assert_eq!(store.leases(lease.mapping).await.unwrap()[0].checkpoint, long_checkpoint());
    }

    /// Checkpoints of all shards are grouped. What arrives while a write runs shares one transaction,
    /// so a call of the group that breaks it takes the others with it, and none was acknowledged.
    #[tokio::test]
    async fn calls_that_wait_are_written_as_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let lease = claimed(&store, "shard").await;
        let before = store.leases(lease.mapping).await.unwrap();
        let (let_go, held) = mpsc::channel::<()>();
        let (entered, busy) = oneshot::channel();
        let mut entered = Some(entered);

        let running = store.owner.perform(move |_| {
            entered.take().unwrap().send(()).unwrap();
            held.recv().unwrap();
            Ok(Ok(()))
        });
        let group = async {
            busy.await.unwrap();
            let save = store.save_checkpoint(lease.clone(), long_checkpoint());
            let breaking = store.owner.perform(|connection| connection.execute_batch(UNMET_CONSTRAINT).map(Ok));
            let release = async { let_go.send(()).unwrap() };
            tokio::join!(biased; save, breaking, release)
        };
        let (ran, (saved, broken, ())) = tokio::join!(running, group);

        ran.unwrap();
        assert!(matches!(saved, Err(StoreError::Unavailable(_))), "{saved:?}");
        assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
        assert_eq!(store.leases(lease.mapping).await.unwrap(), before);
        store.save_checkpoint(lease, long_checkpoint()).await.unwrap();
    }

    /// A row that a person has spoilt fails the calls that read it, and no others that share its transaction.
    #[tokio::test]
    async fn an_unreadable_row_is_told_and_spoils_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let lease = claimed(&store, "shard").await;
        store
            .owner
            .perform(|database| Ok(Ok(database.execute("UPDATE mappings SET document = '7'", [])?)))
            .await
            .unwrap();

        let (read, saved) = tokio::join!(store.mappings(), store.save_checkpoint(lease, long_checkpoint()));

        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        saved.unwrap();
    }

    const UNMET_CONSTRAINT: &str = "INSERT INTO shards (mapping, shard, checkpoint) VALUES ('none', 'shard', '{}')";

    async fn claimed(store: &EmbeddedStore, shard: &str) -> Lease {
        let mapping = StoredMapping {
            uuid: Uuid::new_v4(),
            document: MappingDocument::default(),
            origin: MappingOrigin::File,
            revision: 0,
            state: MappingState::Enabled,
            last_modified: Timestamp::default(),
        };
        let mapping = store.put_mapping(mapping).await.unwrap().uuid;
        let shard = ShardId::new(shard);
        let checkpoint = Checkpoint::at(UpTo::TrimHorizon);
        let shards = vec![NewShard { id: shard.clone(), waits_for: Vec::new(), checkpoint }];
        store.add_shards(mapping, shards).await.unwrap();
        store.claim(mapping, shard, "worker".to_owned()).await.unwrap().unwrap().0
    }

    /// Lets the database have no more pages than it has, or than this, whichever is more.
    async fn limit_pages(store: &EmbeddedStore, pages: u32) {
        let limit = move |connection: &Connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map(Ok)
        };
        store.owner.perform(limit).await.unwrap();
    }

    /// Longer than the free space of the pages that a new database has.
    fn long_checkpoint() -> Checkpoint {
        let position = |number: usize| Position::from(SequenceNumber::new(format!("{number:056}")));
        let settled_above = (1..=Checkpoint::RANGES_MAX)
            .map(|range| PositionRange { first: position(range * 10), last: position(range * 10 + 5) })
            .collect();
        Checkpoint { settled_above, ..Checkpoint::at(UpTo::After(position(1))) }
    }
}
