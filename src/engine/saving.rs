//! Writes one shard's checkpoints: one write at a time, the newest wins. All shards write at the same moments, so that
//! the store takes them together. A store that takes none stops nothing at once; after a minute the consumer stops
//! receiving, or a crash would repeat without bound.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::consumer::Consumer;
use crate::store::{Lease, StateStore, StoreError};

pub(super) struct Saving {
    store: Arc<dyn StateStore>,
    lease: Lease,
    clock: Clock,
    running: Option<BoxFuture<'static, Result<(), StoreError>>>,
    failing_since: Option<Timestamp>,
}

impl Saving {
    pub(super) fn new(store: Arc<dyn StateStore>, lease: Lease, clock: Clock) -> Self {
        Self { store, lease, clock, running: None, failing_since: None }
    }

    /// Whether nothing is being written and nothing is left to be written again.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.failing_since.is_none()
    }

    /// Whether the last checkpoint could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Whether checkpoints have failed for so long that receiving has to stop.
    pub(super) fn is_stuck(&self) -> bool {
        self.failing_since.is_some_and(|since| self.clock.now().since(since) >= STUCK_AFTER)
    }

    /// Starts a write if none runs and the checkpoint moved, or the last write failed.
    pub(super) fn start(&mut self, consumer: &mut Consumer) {
        if self.running.is_some() {
            return;
        }
        let failing = self.failing_since.is_some();
        let moved = consumer.poll_checkpoint();
        let Some(checkpoint) = moved.or_else(|| consumer.checkpoint().filter(|_| failing)) else { return };
        let (store, lease) = (Arc::clone(&self.store), self.lease.clone());
        let wait = if failing { RETRY_EVERY } else { until_common_moment(self.clock.now()) };
        self.running = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            store.save_checkpoint(lease, checkpoint).await
        }));
    }

    /// The running write's end. Pends while none runs.
    pub(super) async fn next(&mut self) -> Result<(), StoreError> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let result = running.await;
        self.running = None;
        match &result {
            Err(StoreError::Unavailable(_)) => {
                self.failing_since.get_or_insert_with(|| self.clock.now());
            }
            _ => self.failing_since = None,
        }
        result
    }
}

/// How long it is until all shards write.
fn until_common_moment(now: Timestamp) -> Duration {
    Duration::from_millis(WRITE_EVERY_MILLIS - now.as_millis() % WRITE_EVERY_MILLIS)
}

/// What a crash repeats grows by no more than the work of this time; a hundred shards that each write at their own moment
/// cost a commit, with its sync, for nearly every write.
const WRITE_EVERY_MILLIS: u64 = 25;
const RETRY_EVERY: Duration = Duration::from_secs(1);
const STUCK_AFTER: Duration = Duration::from_mins(1);
