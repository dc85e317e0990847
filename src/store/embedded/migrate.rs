//! Brings a state of any known version to the present one. The version stands in `PRAGMA user_version` and changes in
//! the transaction that changes the tables; before the first change the state is copied to a file beside it. A new
//! version is one more function in [`MIGRATIONS`]; one that was released is never changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, MAIN_DB, Transaction, TransactionBehavior};

use super::{OpenError, refused};
use crate::source::BoxError;

/// Brings the tables from one version to the next.
pub(super) type Migration = fn(&Transaction<'_>) -> rusqlite::Result<()>;

/// At index `n`: from version `n` to `n + 1`. Version 0 is an empty file.
pub(super) const MIGRATIONS: &[Migration] = &[make_tables, add_states, add_waits];

/// Brings the state to the version that `migrations` lead to, or says why it is not to be touched.
pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[Migration]) -> Result<(), OpenError> {
    let found = sound_version(connection, path)?;
    if found > migrations.len() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: migrations.len() });
    }
    if found == migrations.len() {
        return Ok(());
    }
    let failed = |source| OpenError::Migration { path: path.to_owned(), from: found, source };
    if found > 0 {
        let backup = back_up(connection, path, found).map_err(failed)?;
        tracing::info!(from = found, to = migrations.len(), backup = %backup.display(), "migrating the state");
    }
    run(connection, found, migrations).map_err(|error| failed(error.into()))
}

/// Looks the database through and returns its version. It is small, and damage is better found now than when some
/// shard's row is first read.
fn sound_version(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let in_database = |error| refused(path, error);
    let damaged = |defect: String| OpenError::Damaged { path: path.to_owned(), source: defect.into() };
    let defect: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(in_database)?;
    if defect != "ok" {
        return Err(damaged(defect));
    }
    let version = version(connection).map_err(in_database)?;
    if version == 0 && !is_empty(connection).map_err(in_database)? {
        return Err(damaged("it has tables but no version".to_owned()));
    }
    usize::try_from(version).map_err(|_| damaged(format!("its version is {version}")))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, VERSION, |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT * FROM sqlite_schema)", [], |row| row.get(0))
}

/// Copies the state to a file that is complete as soon as it has its name.
fn back_up(connection: &Connection, path: &Path, version: usize) -> Result<PathBuf, BoxError> {
    let backup = path.with_extension(format!("v{version}.db"));
    let unfinished = backup.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    connection.backup(MAIN_DB, &unfinished, None::<fn(rusqlite::backup::Progress)>)?;
    fs::rename(&unfinished, &backup)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(backup)
}

/// All steps or none.
fn run(connection: &mut Connection, found: usize, migrations: &[Migration]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in &migrations[found..] {
        migration(&transaction)?;
    }
    transaction.pragma_update(None, VERSION, migrations.len().cast_signed())?;
    transaction.commit()
}

/// Version 1. The comments stay in the file, for those who read it with `.schema`.
fn make_tables(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE mappings (
            number INTEGER PRIMARY KEY, -- rises in the order in which they were made
            uuid TEXT NOT NULL UNIQUE,
            event_source_arn TEXT AS (json_extract(document, '$.EventSourceArn')),
            function_name TEXT AS (json_extract(document, '$.FunctionName')),
            document TEXT NOT NULL, -- JSON: what was declared
            origin TEXT NOT NULL, -- who declared it
            revision INTEGER NOT NULL, -- raised by every change
            newest_epoch INTEGER NOT NULL DEFAULT 0, -- of all claims of its shards, removed ones too
            created_at TEXT NOT NULL DEFAULT (datetime('now')) -- UTC, as all times here
        ) STRICT;
        CREATE TABLE shards (
            mapping TEXT NOT NULL REFERENCES mappings (uuid) ON DELETE CASCADE,
            shard TEXT NOT NULL,
            owner TEXT, -- the worker that reads it now
            epoch INTEGER NOT NULL DEFAULT 0, -- of its latest claim
            checkpoint TEXT NOT NULL, -- JSON: up to where it is settled
            updated_at TEXT NOT NULL DEFAULT (datetime('now')),
            PRIMARY KEY (mapping, shard)
        ) STRICT, WITHOUT ROWID;",
    )
}

/// Version 2. Until then every mapping came from a file, and what it asked for was in force.
fn add_states(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE mappings ADD COLUMN state TEXT NOT NULL DEFAULT 'Enabled'; -- in the words of Lambda's API
        ALTER TABLE mappings ADD COLUMN last_modified_ms INTEGER NOT NULL DEFAULT 0; -- since the Unix epoch
        UPDATE mappings SET last_modified_ms = unixepoch(created_at) * 1000;
        UPDATE mappings SET state = 'Disabled' WHERE json_extract(document, '$.Enabled') = 0;",
    )
}

/// Version 3. Until then a shard waited only for those that the present listing names.
fn add_waits(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE shards ADD COLUMN waits_for TEXT NOT NULL DEFAULT '[]'; -- JSON: shards to be read to their end first",
    )
}

const VERSION: &str = "user_version";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::core::checkpoint::{Checkpoint, UpTo};
    use crate::mapping::state::MappingState;
    use crate::store::StateStore as _;
    use crate::store::embedded::{EmbeddedStore, connect};

    /// An older state is copied to a backup file and migrated.
    #[test]
    fn an_older_state_is_backed_up_and_migrated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut connection = connect(&path).unwrap();
        migrate(&mut connection, &path, &[first]).unwrap();
        connection.execute("INSERT INTO kept VALUES ('before')", []).unwrap();

        migrate(&mut connection, &path, &[first, second, third]).unwrap();

        assert_eq!(version(&connection).unwrap(), 3);
        assert_eq!(texts(&connection, "SELECT word || more FROM kept"), ["before, and after"]);
        let backup = Connection::open(directory.path().join("state.v1.db")).unwrap();
        assert_eq!(version(&backup).unwrap(), 1);
        assert_eq!(texts(&backup, "SELECT * FROM kept"), ["before"]);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_state_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut connection = connect(&path).unwrap();
        migrate(&mut connection, &path, &[first]).unwrap();

        for _ in 0..2 {
            let error = migrate(&mut connection, &path, &[first, second, broken]).unwrap_err();
            assert!(matches!(error, OpenError::Migration { from: 1, .. }), "{error:?}");
        }

        assert_eq!(version(&connection).unwrap(), 1);
        migrate(&mut connection, &path, &[first, second, third]).unwrap();
    }

    #[test]
    fn a_new_state_needs_no_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut connection = connect(&path).unwrap();

        migrate(&mut connection, &path, &[first, second, third]).unwrap();

        assert!(!directory.path().join("state.v0.db").exists());
    }

    /// Version 1 knew no states: what its mappings asked for was in force.
    #[tokio::test]
    async fn the_mappings_of_version_1_have_the_states_that_they_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut connection = connect(&path).unwrap();
        migrate(&mut connection, &path, &MIGRATIONS[..1]).unwrap();
        connection
            .execute_batch(
                r#"INSERT INTO mappings (uuid, document, origin, revision, newest_epoch, created_at) VALUES
                    ('00000000-0000-0000-0000-000000000001', '{"FunctionName":"one"}', 'file', 3, 7,
                     '2026-01-31 09:30:00'),
                    ('00000000-0000-0000-0000-000000000002', '{"FunctionName":"two","Enabled":false}', 'file', 1, 0,
                     '2026-01-31 09:30:01'),
                    ('00000000-0000-0000-0000-000000000003', '{"FunctionName":"three","Enabled":true}', 'file', 1, 0,
                     '2026-01-31 09:30:02');
                INSERT INTO shards (mapping, shard, epoch, checkpoint) VALUES
                    ('00000000-0000-0000-0000-000000000001', 'shard', 7, '');"#,
            )
            .unwrap();
        let checkpoint = serde_json::to_string(&Checkpoint::at(UpTo::TrimHorizon)).unwrap();
        connection.execute("UPDATE shards SET checkpoint = ?1", [checkpoint]).unwrap();
        drop(connection);

        let store = EmbeddedStore::open(directory.path()).unwrap();

        let found = store.mappings().await.unwrap();
        let states: Vec<_> = found.iter().map(|mapping| (mapping.revision, mapping.state)).collect();
        let [enabled, disabled] = [MappingState::Enabled, MappingState::Disabled];
        assert_eq!(states, [(3, enabled), (1, disabled), (1, enabled)]);
        assert_eq!(found[0].last_modified.as_millis(), 1_769_851_800_000);
        let row = store.leases(found[0].uuid).await.unwrap().remove(0);
        assert_eq!((row.epoch, row.checkpoint), (7, Checkpoint::at(UpTo::TrimHorizon)));
        assert_eq!(row.waits_for, []);
        let changed = store.put_mapping(found[0].clone()).await.unwrap();
        assert_eq!(changed.revision, 4);
        assert!(directory.path().join("state.v1.db").exists());
    }

    fn first(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("CREATE TABLE kept (word TEXT)")
    }

    fn second(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("ALTER TABLE kept ADD COLUMN more TEXT")
    }

    fn third(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("UPDATE kept SET more = ', and after'")
    }

    fn broken(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("UPDATE missing SET more = ''")
    }

    fn texts(connection: &Connection, query: &str) -> Vec<String> {
        let mut statement = connection.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}
