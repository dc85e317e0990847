//! A store in the weather: a write that answers `Unavailable` was done wholly or not at all.

use std::sync::Arc;

use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::ShardId;
use esmd::core::shards::NewShard;
use esmd::store::{Lease, LeaseRow, StateStore, StoreError, StoredMapping};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::Link;
use crate::memory_store::MemoryStore;
use crate::weather::Part;

pub struct StoreLink {
    pub inner: Arc<MemoryStore>,
    pub link: Arc<Link>,
}

impl StoreLink {
    fn carry<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let unavailable = |_| Err(StoreError::Unavailable("the weather".into()));
        Box::pin(self.link.call(Part::Store, name, work, unavailable))
    }
}

impl StateStore for StoreLink {
    fn mappings(&self) -> BoxFuture<'_, Result<Vec<StoredMapping>, StoreError>> {
        self.carry("mappings", self.inner.mappings())
    }

    fn put_mapping(&self, mapping: StoredMapping) -> BoxFuture<'_, Result<StoredMapping, StoreError>> {
        self.carry("put mapping", self.inner.put_mapping(mapping))
    }

    fn delete_mapping(&self, uuid: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        self.carry("delete mapping", self.inner.delete_mapping(uuid))
    }

    fn add_shards(&self, mapping: Uuid, shards: Vec<NewShard>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.carry("add shards", async move {
            self.link.oracle.adding_shards(&shards);
            self.inner.add_shards(mapping, shards).await
        })
    }

    fn remove_shards(&self, mapping: Uuid, shards: Vec<ShardId>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.carry("remove shards", async move {
            self.link.oracle.removing_shards(&shards);
            self.inner.remove_shards(mapping, shards).await
        })
    }

    fn leases(&self, mapping: Uuid) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        self.carry("leases", self.inner.leases(mapping))
    }

    fn claim(
        &self,
        mapping: Uuid,
        shard: ShardId,
        worker: String,
    ) -> BoxFuture<'_, Result<Option<(Lease, Checkpoint)>, StoreError>> {
        let claim = self.carry("claim", self.inner.claim(mapping, shard, worker));
        Box::pin(async move {
            let claimed = claim.await;
            if let Ok(Some((lease, checkpoint))) = &claimed {
                self.link.oracle.claimed(self.link.life, lease, checkpoint);
            }
            claimed
        })
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        self.carry("release", self.inner.release(lease))
    }

    fn save_checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> BoxFuture<'_, Result<(), StoreError>> {
        let name = lease.clone();
        let save = self.carry("save checkpoint", async move {
            let oracle = &self.link.oracle;
            oracle.saving(&lease, &checkpoint, self.link.clock.now());
            let saved = self.inner.save_checkpoint(lease.clone(), checkpoint.clone()).await;
            if saved.is_ok() {
                oracle.saved(&lease, &checkpoint);
            }
            saved
        });
        Box::pin(async move {
            let saved = save.await;
            if matches!(saved, Err(StoreError::LeaseLost { .. })) {
                self.link.oracle.lease_lost(&name);
            }
            saved
        })
    }
}
