//! A state store in memory, for tests that need one without threads and files. It keeps the rules of the trait: the
//! contract suite runs on it too. Everything in it has an order, so a seeded run repeats itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::ShardId;
use esmd::core::shards::NewShard;
use esmd::store::{Lease, LeaseRow, StateStore, StoreError, StoredMapping};

/// The fake. Share it by reference count; what it holds lives as long as it does.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Every call answers `Unavailable`.
    unavailable: bool,
    /// So many writes are done and answer `Unavailable`.
    answers_to_lose: usize,
    /// In the order in which they were made.
    mappings: Vec<Kept>,
}

struct Kept {
    mapping: StoredMapping,
    newest_epoch: u64,
    shards: BTreeMap<ShardId, LeaseRow>,
}

impl MemoryStore {
    /// From now on every call answers `Unavailable` and does nothing, or no longer.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state().unavailable = unavailable;
    }

    #[allow(dead_code)] // the contract suite has no use for it
    /// The next writes are done, and answer `Unavailable` all the same.
    pub fn lose_answers(&self, count: usize) {
        self.state().answers_to_lose = count;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does nothing before it is polled, as a store on a disk or a network.
    fn perform<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&mut Vec<Kept>) -> Result<T, StoreError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            let mut state = self.state();
            if state.unavailable {
                return Err(StoreError::Unavailable("the test says so".into()));
            }
            operation(&mut state.mappings)
        })
    }
}

impl MemoryStore {
    /// As [`MemoryStore::perform`], and the answer may get lost.
    fn write<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&mut Vec<Kept>) -> Result<T, StoreError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            let written = self.perform(operation).await?;
            let mut state = self.state();
            if state.answers_to_lose > 0 {
                state.answers_to_lose -= 1;
                return Err(StoreError::Unavailable("the test says so".into()));
            }
            Ok(written)
        })
    }
}

impl StateStore for MemoryStore {
    fn mappings(&self) -> BoxFuture<'_, Result<Vec<StoredMapping>, StoreError>> {
        self.perform(|mappings| Ok(mappings.iter().map(|kept| kept.mapping.clone()).collect()))
    }

    fn put_mapping(&self, mapping: StoredMapping) -> BoxFuture<'_, Result<StoredMapping, StoreError>> {
        self.write(move |mappings| {
            let changed = StoredMapping { revision: mapping.revision + 1, ..mapping.clone() };
            match find(mappings, mapping.uuid) {
                None if mapping.revision == 0 => {
                    mappings.push(Kept { mapping: changed.clone(), newest_epoch: 0, shards: BTreeMap::new() });
                }
                Some(kept) if kept.mapping.revision == mapping.revision => kept.mapping = changed.clone(),
                _ => return Err(StoreError::Conflict { uuid: mapping.uuid }),
            }
            Ok(changed)
        })
    }

    fn delete_mapping(&self, uuid: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move |mappings| {
            mappings.retain(|kept| kept.mapping.uuid != uuid);
            Ok(())
        })
    }

    fn add_shards(&self, mapping: Uuid, shards: Vec<NewShard>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.perform(move |mappings| {
            let kept = find(mappings, mapping).ok_or(StoreError::Conflict { uuid: mapping })?;
            for NewShard { id, waits_for, checkpoint } in shards {
                let row = LeaseRow { shard: id.clone(), owner: None, epoch: 0, checkpoint, waits_for };
                kept.shards.entry(id).or_insert(row);
            }
            Ok(())
        })
    }

    fn remove_shards(&self, mapping: Uuid, shards: Vec<ShardId>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.perform(move |mappings| {
            if let Some(kept) = find(mappings, mapping) {
                kept.shards.retain(|shard, _| !shards.contains(shard));
            }
            Ok(())
        })
    }

    fn leases(&self, mapping: Uuid) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        self.perform(move |mappings| {
            Ok(find(mappings, mapping).map(|kept| kept.shards.values().cloned().collect()).unwrap_or_default())
        })
    }

    fn claim(
        &self,
        mapping: Uuid,
        shard: ShardId,
        worker: String,
    ) -> BoxFuture<'_, Result<Option<(Lease, Checkpoint)>, StoreError>> {
        self.perform(move |mappings| {
            let Some(kept) = find(mappings, mapping) else { return Ok(None) };
            let Some(row) = kept.shards.get_mut(&shard) else { return Ok(None) };
            kept.newest_epoch += 1;
            row.epoch = kept.newest_epoch;
            row.owner = Some(worker);
            Ok(Some((Lease { mapping, shard, epoch: row.epoch }, row.checkpoint.clone())))
        })
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        self.perform(move |mappings| {
            if let Some(row) = held(mappings, &lease) {
                row.owner = None;
            }
            Ok(())
        })
    }

    fn save_checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> BoxFuture<'_, Result<(), StoreError>> {
        self.perform(move |mappings| {
            let Some(row) = held(mappings, &lease) else {
                let Lease { mapping, shard, epoch } = lease;
                return Err(StoreError::LeaseLost { mapping, shard, epoch });
            };
            row.checkpoint = checkpoint;
            Ok(())
        })
    }
}

fn find(mappings: &mut [Kept], uuid: Uuid) -> Option<&mut Kept> {
    mappings.iter_mut().find(|kept| kept.mapping.uuid == uuid)
}

/// The lease's row, if no newer epoch exists.
fn held<'a>(mappings: &'a mut [Kept], lease: &Lease) -> Option<&'a mut LeaseRow> {
    find(mappings, lease.mapping)?.shards.get_mut(&lease.shard).filter(|row| row.epoch == lease.epoch)
}
