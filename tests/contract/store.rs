//! What every `StateStore` promises, and what the embedded one promises besides: a directory of its own that survives
//! any end of the process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;
use uuid::Uuid;

use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, PositionRange, UpTo};
use esmd::core::record::{Position, SequenceNumber, ShardId};
use esmd::core::shards::NewShard;
use esmd::core::window::{OpenWindow, WindowBounds, WindowState};
use esmd::mapping::document::MappingDocument;
use esmd::mapping::state::MappingState;
use esmd::store::embedded::{EmbeddedStore, OpenError};
use esmd::store::{Lease, LeaseRow, MappingOrigin, StateStore, StoreError, StoredMapping};

use crate::memory_store::MemoryStore;

/// Runs each rule on every implementation.
macro_rules! rules {
    ($($rule:ident)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $rule() {
                let directory = tempfile::tempdir().unwrap();
                super::$rule(&super::open(directory.path())).await;
            })*
        }

        mod memory {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&super::MemoryStore::default()).await;
            })*
        }
    };
}

rules! {
    a_new_store_is_empty
    mappings_come_in_the_order_in_which_they_were_made
    a_changed_mapping_has_the_next_revision
    a_change_of_a_revision_that_is_not_the_newest_is_a_conflict
    a_mapping_that_exists_is_not_made_again
    a_deleted_mapping_takes_its_shards_along
    removing_what_is_not_there_is_no_error
    a_new_shard_is_free_and_at_its_starting_position
    what_a_shard_waits_for_is_kept
    a_shard_that_exists_is_left_as_it_is
    shards_of_a_mapping_that_does_not_exist_are_refused
    shards_come_by_name
    only_the_named_shards_are_removed
    every_kind_of_checkpoint_is_kept_as_it_was
    a_claim_takes_the_shard_and_raises_its_epoch
    a_claim_goes_on_from_the_last_checkpoint
    a_claim_of_what_is_not_there_is_none
    a_lost_lease_writes_no_checkpoint
    a_lost_lease_releases_nothing
    a_released_shard_is_free_and_keeps_its_checkpoint
    a_shard_made_anew_refuses_the_lease_of_before
    a_lost_lease_spoils_no_other_write
    mappings_do_not_see_each_others_shards
}

async fn a_new_store_is_empty(store: &dyn StateStore) {
    assert_eq!(store.mappings().await.unwrap(), []);
    assert_eq!(store.leases(Uuid::new_v4()).await.unwrap(), []);
}

async fn mappings_come_in_the_order_in_which_they_were_made(store: &dyn StateStore) {
    let mut made = Vec::new();
    for number in 0..10 {
        made.push(store.put_mapping(new_mapping(&format!("queue-{number}"))).await.unwrap());
    }
    made[3] = store.put_mapping(made[3].clone()).await.unwrap();
    store.delete_mapping(made.remove(5).uuid).await.unwrap();
    made.push(store.put_mapping(new_mapping("last")).await.unwrap());

    assert_eq!(store.mappings().await.unwrap(), made);
}

async fn a_changed_mapping_has_the_next_revision(store: &dyn StateStore) {
    let made = store.put_mapping(new_mapping("one")).await.unwrap();
    assert_eq!(made.revision, 1);

    let wanted = StoredMapping { document: document("two"), ..made.clone() };
    let changed = store.put_mapping(wanted.clone()).await.unwrap();

    assert_eq!(changed, StoredMapping { revision: 2, ..wanted });
    assert_eq!(store.mappings().await.unwrap(), [changed]);
}

async fn a_change_of_a_revision_that_is_not_the_newest_is_a_conflict(store: &dyn StateStore) {
    let old = store.put_mapping(new_mapping("one")).await.unwrap();
    let newest = store.put_mapping(old.clone()).await.unwrap();
    let from_nowhere = StoredMapping { revision: 7, ..newest.clone() };
    let absent = StoredMapping { revision: 1, ..new_mapping("absent") };

    for refused in [old, from_nowhere, absent] {
        let uuid = refused.uuid;
        let error = store.put_mapping(refused).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { uuid: told } if told == uuid), "{error:?}");
    }
    assert_eq!(store.mappings().await.unwrap(), [newest]);
}

async fn a_mapping_that_exists_is_not_made_again(store: &dyn StateStore) {
    let made = store.put_mapping(new_mapping("one")).await.unwrap();

    let error = store.put_mapping(StoredMapping { revision: 0, ..made.clone() }).await.unwrap_err();

    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(store.mappings().await.unwrap(), [made]);
}

async fn a_deleted_mapping_takes_its_shards_along(store: &dyn StateStore) {
    let lease = claimed(store, "shard").await;

    store.delete_mapping(lease.mapping).await.unwrap();

    assert_eq!(store.mappings().await.unwrap(), []);
    assert_eq!(store.leases(lease.mapping).await.unwrap(), []);
    assert_lost(&store.save_checkpoint(lease, after(1)).await);
}

async fn removing_what_is_not_there_is_no_error(store: &dyn StateStore) {
    store.delete_mapping(Uuid::new_v4()).await.unwrap();
    store.remove_shards(Uuid::new_v4(), vec![ShardId::new("shard")]).await.unwrap();
    let mapping = mapping_with(store, &["kept"]).await;
    store.remove_shards(mapping, vec![ShardId::new("other")]).await.unwrap();
    assert_eq!(store.leases(mapping).await.unwrap().len(), 1);
}

async fn a_new_shard_is_free_and_at_its_starting_position(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["shard"]).await;

    let expected =
        LeaseRow { shard: ShardId::new("shard"), owner: None, epoch: 0, checkpoint: start(), waits_for: Vec::new() };
    assert_eq!(store.leases(mapping).await.unwrap(), [expected]);
}

/// Invariant 88, after a restart too.
async fn what_a_shard_waits_for_is_kept(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["parent"]).await;
    let waits_for = vec![ShardId::new("parent"), ShardId::new("never listed")];

    store.add_shards(mapping, vec![NewShard { waits_for: waits_for.clone(), ..new_shard("shard") }]).await.unwrap();

    let lease = claim(store, mapping, "shard", "worker").await;
    store.save_checkpoint(lease, after(1)).await.unwrap();
    let kept: Vec<_> = store.leases(mapping).await.unwrap().into_iter().map(|row| row.waits_for).collect();
    assert_eq!(kept, [Vec::new(), waits_for]);
}

async fn a_shard_that_exists_is_left_as_it_is(store: &dyn StateStore) {
    let lease = claimed(store, "shard").await;
    store.save_checkpoint(lease.clone(), after(5)).await.unwrap();
    let before = store.leases(lease.mapping).await.unwrap();

    let shards = ["shard", "shard-2"].map(new_shard);
    store.add_shards(lease.mapping, shards.to_vec()).await.unwrap();

    let rows = store.leases(lease.mapping).await.unwrap();
    assert_eq!(rows[..1], before);
    assert_eq!(rows[1].shard.as_str(), "shard-2");
    store.save_checkpoint(lease, after(6)).await.unwrap();
}

async fn shards_of_a_mapping_that_does_not_exist_are_refused(store: &dyn StateStore) {
    let mapping = Uuid::new_v4();

    let error = store.add_shards(mapping, vec![new_shard("shard")]).await.unwrap_err();

    assert!(matches!(error, StoreError::Conflict { uuid } if uuid == mapping), "{error:?}");
    assert_eq!(store.leases(mapping).await.unwrap(), []);
}

async fn shards_come_by_name(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["shard-2", "shard-10", "Shard-3", "ß", "shard-1"]).await;

    assert_eq!(names(&store.leases(mapping).await.unwrap()), ["Shard-3", "shard-1", "shard-10", "shard-2", "ß"]);
}

async fn only_the_named_shards_are_removed(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["a", "b", "c"]).await;

    store.remove_shards(mapping, vec![ShardId::new("a"), ShardId::new("c")]).await.unwrap();

    assert_eq!(names(&store.leases(mapping).await.unwrap()), ["b"]);
}

async fn every_kind_of_checkpoint_is_kept_as_it_was(store: &dyn StateStore) {
    let lease = claimed(store, "shard").await;
    let instant = Timestamp::from_millis(1_700_000_000_123);
    let inside_an_aggregate = Position { sequence_number: SequenceNumber::new("007"), index: 3 };
    let ranges = (1..=1_000).map(|range| PositionRange { first: position(range * 10), last: position(range * 10 + 5) });
    let window = |state: &str| {
        let bounds = WindowBounds::around(instant, Duration::from_secs(10));
        Some(OpenWindow { bounds, state: WindowState::new(state) })
    };
    let large_state = format!(r#"{{"text":"{}"}}"#, r#"é\"\u0000"#.repeat(300_000));
    let checkpoints = [
        start(),
        Checkpoint { window: window(r#"{ "count": 12345678901234567890.10 }"#), ..after(7) },
        Checkpoint { window: window(&large_state), ..after(8) },
        Checkpoint::at(UpTo::Latest(instant)),
        Checkpoint::at(UpTo::AtTimestamp(instant)),
        Checkpoint::at(UpTo::After(inside_an_aggregate)),
        Checkpoint { settled_above: ranges.collect(), ..Checkpoint::at(UpTo::After(position(5))) },
        Checkpoint::at(UpTo::Ended),
    ];

    for checkpoint in checkpoints {
        store.save_checkpoint(lease.clone(), checkpoint.clone()).await.unwrap();
        let kept = store.leases(lease.mapping).await.unwrap().remove(0).checkpoint;
        assert_eq!(kept, checkpoint);
        assert_eq!(format!("{kept:?}"), format!("{checkpoint:?}"), "a number's text is kept, zeros included");
    }
}

async fn a_claim_takes_the_shard_and_raises_its_epoch(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["shard", "other"]).await;

    let first = claim(store, mapping, "shard", "worker-1").await;
    let other = claim(store, mapping, "other", "worker-1").await;
    let second = claim(store, mapping, "shard", "worker-2").await;

    assert!(0 < first.epoch && first.epoch < second.epoch, "{first:?} {second:?}");
    let rows = store.leases(mapping).await.unwrap();
    assert_eq!((rows[0].owner.as_deref(), rows[0].epoch), (Some("worker-1"), other.epoch));
    assert_eq!((rows[1].owner.as_deref(), rows[1].epoch), (Some("worker-2"), second.epoch));
}

async fn a_claim_goes_on_from_the_last_checkpoint(store: &dyn StateStore) {
    let lease = claimed(store, "shard").await;
    store.save_checkpoint(lease.clone(), after(1)).await.unwrap();
    store.save_checkpoint(lease.clone(), after(2)).await.unwrap();

    let (_, checkpoint) = store.claim(lease.mapping, lease.shard, "successor".to_owned()).await.unwrap().unwrap();

    assert_eq!(checkpoint, after(2));
}

async fn a_claim_of_what_is_not_there_is_none(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["shard"]).await;

    for (mapping, shard) in [(mapping, "other"), (Uuid::new_v4(), "shard")] {
        let claim = store.claim(mapping, ShardId::new(shard), "worker".to_owned()).await.unwrap();
        assert_eq!(claim, None);
    }
}

async fn a_lost_lease_writes_no_checkpoint(store: &dyn StateStore) {
    let lost = claimed(store, "shard").await;
    let held = claim(store, lost.mapping, "shard", "successor").await;
    store.save_checkpoint(held.clone(), after(1)).await.unwrap();

    assert_lost(&store.save_checkpoint(lost.clone(), after(2)).await);
    store.release(held).await.unwrap();
    assert_lost(&store.save_checkpoint(lost.clone(), after(2)).await);

    assert_eq!(store.leases(lost.mapping).await.unwrap()[0].checkpoint, after(1));
}

async fn a_lost_lease_releases_nothing(store: &dyn StateStore) {
    let lost = claimed(store, "shard").await;
    let held = claim(store, lost.mapping, "shard", "successor").await;

    store.release(lost).await.unwrap();

    assert_eq!(store.leases(held.mapping).await.unwrap()[0].owner.as_deref(), Some("successor"));
}

async fn a_released_shard_is_free_and_keeps_its_checkpoint(store: &dyn StateStore) {
    let lease = claimed(store, "shard").await;
    store.save_checkpoint(lease.clone(), after(1)).await.unwrap();

    store.release(lease.clone()).await.unwrap();

    let Lease { mapping, shard, epoch } = lease;
    let expected = LeaseRow { shard, owner: None, epoch, checkpoint: after(1), waits_for: Vec::new() };
    assert_eq!(store.leases(mapping).await.unwrap(), [expected]);
}

/// A stream that was deleted and made again has shards of the same names, and other records.
async fn a_shard_made_anew_refuses_the_lease_of_before(store: &dyn StateStore) {
    let before = claimed(store, "shard").await;
    store.remove_shards(before.mapping, vec![before.shard.clone()]).await.unwrap();
    assert_lost(&store.save_checkpoint(before.clone(), after(9)).await);
    store.add_shards(before.mapping, vec![new_shard(before.shard.as_str())]).await.unwrap();
    claim(store, before.mapping, "shard", "worker").await;

    assert_lost(&store.save_checkpoint(before.clone(), after(9)).await);

    assert_eq!(store.leases(before.mapping).await.unwrap()[0].checkpoint, start());
}

async fn a_lost_lease_spoils_no_other_write(store: &dyn StateStore) {
    let mapping = mapping_with(store, &["a", "b", "c"]).await;
    let a = claim(store, mapping, "a", "worker").await;
    let b = claim(store, mapping, "b", "worker").await;
    let c = claim(store, mapping, "c", "worker").await;
    claim(store, mapping, "b", "successor").await;

    let saves = [a, b, c].map(|lease| store.save_checkpoint(lease, after(1)));
    let answers = join_all(saves).await;

    assert!(matches!(answers[..], [Ok(()), Err(StoreError::LeaseLost { .. }), Ok(())]), "{answers:?}");
    let checkpoints: Vec<_> = store.leases(mapping).await.unwrap().into_iter().map(|row| row.checkpoint).collect();
    assert_eq!(checkpoints, [after(1), start(), after(1)]);
}

async fn mappings_do_not_see_each_others_shards(store: &dyn StateStore) {
    let mine = claimed(store, "shard").await;
    let theirs = claimed(store, "shard").await;

    store.save_checkpoint(mine.clone(), after(1)).await.unwrap();
    store.remove_shards(mine.mapping, vec![mine.shard]).await.unwrap();

    assert_eq!(store.leases(mine.mapping).await.unwrap(), []);
    assert_eq!(store.leases(theirs.mapping).await.unwrap()[0].checkpoint, start());
}

#[tokio::test]
async fn a_memory_store_that_is_unavailable_takes_nothing_and_heals() {
    let store = MemoryStore::default();
    let lease = claimed(&store, "shard").await;

    store.set_unavailable(true);
    let refused = store.save_checkpoint(lease.clone(), after(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");

    store.set_unavailable(false);
    assert_eq!(store.leases(lease.mapping).await.unwrap()[0].checkpoint, start());
    store.save_checkpoint(lease, after(1)).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let lease = claimed(&store, "shard").await;
    store.save_checkpoint(lease.clone(), after(7)).await.unwrap();
    let before = (store.mappings().await.unwrap(), store.leases(lease.mapping).await.unwrap());

    drop(store);
    assert!(!directory.path().join("state.db-wal").exists(), "a clean end leaves no log behind");
    let store = open(directory.path());

    assert_eq!((store.mappings().await.unwrap(), store.leases(lease.mapping).await.unwrap()), before);
    let successor = claim(&store, lease.mapping, "shard", "successor").await;
    assert!(successor.epoch > lease.epoch, "epochs rise over restarts");
}

/// The files of a running store are what a killed process leaves.
#[tokio::test]
async fn what_was_acknowledged_outlives_a_killed_process() {
    let (directory, after_the_kill) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(directory.path());
    let lease = claimed(&store, "shard").await;
    store.save_checkpoint(lease.clone(), after(7)).await.unwrap();

    for file in ["state.db", "state.db-wal"] {
        fs::copy(directory.path().join(file), after_the_kill.path().join(file)).unwrap();
    }

    let restarted = open(after_the_kill.path());
    assert_eq!(restarted.leases(lease.mapping).await.unwrap()[0].checkpoint, after(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_saves_at_once_are_all_acknowledged_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let shards: Vec<_> = (0..500).map(|number| format!("shard-{number:03}")).collect();
    let mapping = mapping_with(&*store, &shards.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let leases = join_all(shards.iter().map(|shard| claim(&*store, mapping, shard, "worker"))).await;

    let saves = leases.into_iter().map(|lease| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 1..=5 {
                store.save_checkpoint(lease.clone(), after(number)).await.unwrap();
            }
        })
    });
    for save in join_all(saves).await {
        save.unwrap();
    }
    drop(store);

    let rows = open(directory.path()).leases(mapping).await.unwrap();
    assert_eq!(rows.len(), shards.len());
    assert!(rows.iter().all(|row| row.checkpoint == after(5)));
}

/// One process per state directory, and the refusal names it.
#[tokio::test]
async fn a_second_opener_is_told_who_has_the_directory() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("made/on/the/way");
    let store = open(&directory);

    let Err(error) = EmbeddedStore::open(&directory) else { panic!("opened twice") };

    let (place, pid) = (directory.display().to_string(), std::process::id());
    assert_eq!(error.to_string(), format!("state directory {place} is in use by process {pid}"));
    store.mappings().await.unwrap();
    drop(store);
    open(&directory);
}

#[test]
fn the_directory_is_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("esmd");

    open(&directory);

    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
}

/// A newer state is refused by name.
#[tokio::test]
async fn a_newer_state_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let database = directory.path().join("state.db");
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 42).unwrap();
    let before = fs::read(&database).unwrap();

    let Err(error) = EmbeddedStore::open(directory.path()) else { panic!("opened") };

    assert!(matches!(error, OpenError::Newer { found: 42, known: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("has version 42, but this esmd knows only versions up to 3"), "{error}");
    assert_eq!(fs::read(&database).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("state.db");
    fs::write(&database, "not a database, but long enough to be looked at".repeat(100)).unwrap();

    assert_damaged(directory.path());
}

#[tokio::test]
async fn a_damaged_page_is_found_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    claimed(&store, "shard").await;
    drop(store);
    let database = directory.path().join("state.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(&database, bytes).unwrap();

    assert_damaged(directory.path());
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let other = Connection::open(directory.path().join("state.db")).unwrap();
    other.execute_batch("CREATE TABLE other (text)").unwrap();
    drop(other);

    assert_damaged(directory.path());
}

/// A person can look inside with the `sqlite3` shell while esmd runs.
#[tokio::test]
async fn the_tables_can_be_read_while_the_store_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let lease = claimed(&store, "shard").await;
    store.save_checkpoint(lease.clone(), after(7)).await.unwrap();

    let reader = Connection::open(directory.path().join("state.db")).unwrap();
    let query = "SELECT uuid, event_source_arn, shard, owner, checkpoint
                 FROM mappings JOIN shards ON shards.mapping = mappings.uuid";
    let row: [String; 5] = reader
        .query_row(query, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]))
        .unwrap();

    let checkpoint = r#"{"up_to":{"After":{"sequence_number":"7"}}}"#;
    assert_eq!(row, [&*lease.mapping.to_string(), "source of shard", "shard", "worker", checkpoint]);
}

fn open(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::open(directory).unwrap()
}

fn assert_damaged(directory: &Path) {
    let database = directory.join("state.db");
    let before = fs::read(&database).unwrap();
    let Err(error) = EmbeddedStore::open(directory) else { panic!("opened") };
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(database.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&database).unwrap(), before);
}

fn assert_lost(answer: &Result<(), StoreError>) {
    assert!(matches!(answer, Err(StoreError::LeaseLost { .. })), "{answer:?}");
}

fn names(rows: &[LeaseRow]) -> Vec<&str> {
    rows.iter().map(|row| row.shard.as_str()).collect()
}

fn document(source: &str) -> MappingDocument {
    serde_json::from_value(serde_json::json!({ "EventSourceArn": source })).unwrap()
}

fn new_mapping(source: &str) -> StoredMapping {
    let document = document(source);
    StoredMapping {
        uuid: Uuid::new_v4(),
        document,
        origin: MappingOrigin::File,
        revision: 0,
        state: MappingState::Enabled,
        last_modified: Timestamp::default(),
    }
}

async fn mapping_with(store: &dyn StateStore, shards: &[&str]) -> Uuid {
    let source = format!("source of {}", shards.join(", "));
    let mapping = store.put_mapping(new_mapping(&source)).await.unwrap().uuid;
    let shards = shards.iter().map(|&shard| new_shard(shard)).collect();
    store.add_shards(mapping, shards).await.unwrap();
    mapping
}

fn new_shard(id: &str) -> NewShard {
    NewShard { id: ShardId::new(id), waits_for: Vec::new(), checkpoint: start() }
}

async fn claim(store: &dyn StateStore, mapping: Uuid, shard: &str, worker: &str) -> Lease {
    store.claim(mapping, ShardId::new(shard), worker.to_owned()).await.unwrap().unwrap().0
}

/// A lease of the only shard of a new mapping.
async fn claimed(store: &dyn StateStore, shard: &str) -> Lease {
    let mapping = mapping_with(store, &[shard]).await;
    claim(store, mapping, shard, "worker").await
}

fn start() -> Checkpoint {
    Checkpoint::at(UpTo::TrimHorizon)
}

fn after(number: u32) -> Checkpoint {
    Checkpoint::at(UpTo::After(position(number)))
}

fn position(number: u32) -> Position {
    SequenceNumber::new(number.to_string()).into()
}
