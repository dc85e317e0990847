//! The only way from an engine to everything outside it. It counts what passes: each call once on its way out and its
//! answer once on its way back. Cut at any of these steps, it is a crash as the outside sees one: nothing of this
//! engine happens any more, and whatever it was told last it never heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use esmd::core::Timestamp;
use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::{Received, ShardId};
use esmd::core::settlement::{Extended, Extension, Settled, Settlement};
use esmd::core::shards::NewShard;
use esmd::core::shards::Shard;
use esmd::destination::{DeliveryError, Destination};
use esmd::event::failure::FailureRecord;
use esmd::event::response::Reply;
use esmd::source::{Receiver, Source, SourceError};
use esmd::store::{Lease, LeaseRow, StateStore, StoreError, StoredMapping};
use esmd::target::{DescribeError, Function, Target};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One engine's way to the outside.
#[derive(Clone)]
pub struct Wire {
    steps: Arc<AtomicU64>,
    cut_at: u64,
    cut: CancellationToken,
}

impl Wire {
    /// One that holds until [`Wire::cut`].
    pub fn whole() -> Self {
        Self::cut_at(u64::MAX)
    }

    /// One that breaks at this step, the first being 1.
    pub fn cut_at(step: u64) -> Self {
        Self { steps: Arc::default(), cut_at: step, cut: CancellationToken::new() }
    }

    /// Nothing passes any more, in either direction.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Whether nothing passes any more.
    pub fn has_been_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Returns when it is cut.
    pub async fn is_cut(&self) {
        self.cut.cancelled().await;
    }

    /// Carries a call out and its answer back.
    pub async fn carry<T>(&self, call: impl Future<Output = T>) -> T {
        let carried = async {
            self.step().await;
            let answer = call.await;
            self.step().await;
            answer
        };
        match self.cut.run_until_cancelled(carried).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn step(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) + 1 >= self.cut_at {
            self.cut.cancel();
            std::future::pending::<()>().await;
        }
    }
}

/// Something behind a wire.
pub struct Wired<T: ?Sized> {
    inner: Arc<T>,
    wire: Wire,
}

impl<T: ?Sized> Wired<T> {
    pub fn new(inner: Arc<T>, wire: Wire) -> Self {
        Self { inner, wire }
    }
}

impl Source for Wired<dyn Source> {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        Box::pin(self.wire.carry(self.inner.shards()))
    }

    fn retention(&self) -> BoxFuture<'_, Result<Option<Duration>, SourceError>> {
        Box::pin(self.wire.carry(self.inner.retention()))
    }

    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver> {
        Box::new(WiredReceiver { inner: self.inner.open(shard, from), wire: self.wire.clone() })
    }

    fn receive_max(&self) -> usize {
        self.inner.receive_max()
    }

    fn poll_time(&self) -> Duration {
        self.inner.poll_time()
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        Box::pin(self.wire.carry(self.inner.settle(settlements)))
    }

    fn extend(&self, extensions: Vec<Extension>) -> BoxFuture<'_, Vec<Extended>> {
        Box::pin(self.wire.carry(self.inner.extend(extensions)))
    }
}

struct WiredReceiver {
    inner: Box<dyn Receiver>,
    wire: Wire,
}

impl Receiver for WiredReceiver {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.wire.carry(self.inner.receive(max)))
    }
}

impl Target for Wired<dyn Target> {
    fn describe(&self) -> BoxFuture<'_, Result<Function, DescribeError>> {
        Box::pin(self.wire.carry(self.inner.describe()))
    }

    fn invoke(&self, payload: Bytes, start_before: Option<Timestamp>) -> BoxFuture<'_, Reply> {
        Box::pin(self.wire.carry(self.inner.invoke(payload, start_before)))
    }
}

impl Destination for Wired<dyn Destination> {
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(self.wire.carry(self.inner.deliver(failure)))
    }
}

impl StateStore for Wired<dyn StateStore> {
    fn mappings(&self) -> BoxFuture<'_, Result<Vec<StoredMapping>, StoreError>> {
        Box::pin(self.wire.carry(self.inner.mappings()))
    }

    fn put_mapping(&self, mapping: StoredMapping) -> BoxFuture<'_, Result<StoredMapping, StoreError>> {
        Box::pin(self.wire.carry(self.inner.put_mapping(mapping)))
    }

    fn delete_mapping(&self, uuid: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.wire.carry(self.inner.delete_mapping(uuid)))
    }

    fn add_shards(&self, mapping: Uuid, shards: Vec<NewShard>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.wire.carry(self.inner.add_shards(mapping, shards)))
    }

    fn remove_shards(&self, mapping: Uuid, shards: Vec<ShardId>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.wire.carry(self.inner.remove_shards(mapping, shards)))
    }

    fn leases(&self, mapping: Uuid) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        Box::pin(self.wire.carry(self.inner.leases(mapping)))
    }

    fn claim(
        &self,
        mapping: Uuid,
        shard: ShardId,
        worker: String,
    ) -> BoxFuture<'_, Result<Option<(Lease, Checkpoint)>, StoreError>> {
        Box::pin(self.wire.carry(self.inner.claim(mapping, shard, worker)))
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.wire.carry(self.inner.release(lease)))
    }

    fn save_checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.wire.carry(self.inner.save_checkpoint(lease, checkpoint)))
    }
}
