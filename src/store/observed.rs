//! A store that remembers whether it took the last write, for readiness and its metric. Reads prove nothing: a full
//! disk can still be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{Lease, LeaseRow, StateStore, StoreError, StoredMapping};
use crate::core::checkpoint::Checkpoint;
use crate::core::record::ShardId;
use crate::core::shards::NewShard;
use crate::telemetry;

/// Wraps a store. Cloning shares what it remembers.
#[derive(Clone)]
pub struct ObservedStore {
    inner: Arc<dyn StateStore>,
    available: Arc<AtomicBool>,
}

impl ObservedStore {
    /// A store that counts as available until it says otherwise.
    pub fn new(inner: Arc<dyn StateStore>) -> Self {
        Self { inner, available: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether the last write was taken. A write that failed is tried again by whoever made it, so this heals.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    fn observe<'a, T: 'a>(
        &'a self,
        call: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async {
            let result = call.await;
            let available = !matches!(result, Err(StoreError::Unavailable(_)));
            if self.available.swap(available, Ordering::Relaxed) != available {
                telemetry::store_available(available);
                if available {
                    tracing::info!("the state store takes writes again");
                }
            }
            result
        })
    }
}

impl StateStore for ObservedStore {
    fn mappings(&self) -> BoxFuture<'_, Result<Vec<StoredMapping>, StoreError>> {
        self.inner.mappings()
    }

    fn put_mapping(&self, mapping: StoredMapping) -> BoxFuture<'_, Result<StoredMapping, StoreError>> {
        self.observe(self.inner.put_mapping(mapping))
    }

    fn delete_mapping(&self, uuid: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        self.observe(self.inner.delete_mapping(uuid))
    }

    fn add_shards(&self, mapping: Uuid, shards: Vec<NewShard>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.observe(self.inner.add_shards(mapping, shards))
    }

    fn remove_shards(&self, mapping: Uuid, shards: Vec<ShardId>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.observe(self.inner.remove_shards(mapping, shards))
    }

    fn leases(&self, mapping: Uuid) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        self.inner.leases(mapping)
    }

    fn claim(
        &self,
        mapping: Uuid,
        shard: ShardId,
        worker: String,
    ) -> BoxFuture<'_, Result<Option<(Lease, Checkpoint)>, StoreError>> {
        self.observe(self.inner.claim(mapping, shard, worker))
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        self.observe(self.inner.release(lease))
    }

    fn save_checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> BoxFuture<'_, Result<(), StoreError>> {
        self.observe(self.inner.save_checkpoint(lease, checkpoint))
    }
}
