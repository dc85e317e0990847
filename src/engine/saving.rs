//! Writes one shard's checkpoints: one write at a time, the newest wins. All shards write at the same moments, so that
//! the store takes them together; a drain waits for none. A store that takes none stops nothing at once; after a minute
//! the consumer stops receiving, or a crash would repeat without bound.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Sleep, sleep};

use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::consumer::Consumer;
use crate::store::{Lease, StateStore, StoreError};

pub(super) struct Saving {
    store: Arc<dyn StateStore>,
    lease: Lease,
    clock: Clock,
    step: Step,
    failing_since: Option<Timestamp>,
}

enum Step {
    /// The checkpoint has not moved.
    Resting,
    /// It moved, or was not written, and has to wait.
    Waiting(Pin<Box<Sleep>>),
    /// Its moment has come.
    Due,
    Writing(BoxFuture<'static, Result<(), StoreError>>),
}

impl Saving {
    pub(super) fn new(store: Arc<dyn StateStore>, lease: Lease, clock: Clock) -> Self {
        Self { store, lease, clock, step: Step::Resting, failing_since: None }
    }

    /// Whether nothing is being written and nothing is left to be written again.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.step, Step::Resting) && self.failing_since.is_none()
    }

    /// Whether the last checkpoint could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Whether checkpoints have failed for so long that receiving has to stop.
    pub(super) fn is_stuck(&self) -> bool {
        self.failing_since.is_some_and(|since| self.clock.now().since(since) >= STUCK_AFTER)
    }

    /// Goes on as far as it can: plans a write if the checkpoint moved or the last write failed, and begins it when its
    /// moment has come. `at_once`: there will be no better moment.
    pub(super) fn start(&mut self, consumer: &mut Consumer, at_once: bool) {
        let failing = self.is_failing();
        if matches!(self.step, Step::Resting) && (failing || consumer.checkpoint_moved()) {
            let wait = if failing { RETRY_EVERY } else { until_common_moment(self.clock.now()) };
            self.step = Step::Waiting(Box::pin(sleep(wait)));
        }
        let begins = match self.step {
            Step::Due => true,
            Step::Waiting(_) => at_once && !failing,
            Step::Resting | Step::Writing(_) => false,
        };
        if begins {
            let newest = consumer.poll_checkpoint().or_else(|| consumer.checkpoint());
            let checkpoint = newest.expect("what moved, or could not be written, is a stream's");
            let (store, lease) = (Arc::clone(&self.store), self.lease.clone());
            self.step = Step::Writing(Box::pin(async move { store.save_checkpoint(lease, checkpoint).await }));
        }
    }

    /// What became of a write; `None` if only its moment came. Pends while there is nothing to wait for.
    pub(super) async fn next(&mut self) -> Option<Result<(), StoreError>> {
        let result = match &mut self.step {
            Step::Resting | Step::Due => return std::future::pending().await,
            Step::Waiting(moment) => {
                moment.await;
                self.step = Step::Due;
                return None;
            }
            Step::Writing(write) => write.await,
        };
        self.step = Step::Resting;
        match &result {
            Err(StoreError::Unavailable(_)) => {
                self.failing_since.get_or_insert_with(|| self.clock.now());
            }
            _ => self.failing_since = None,
        }
        Some(result)
    }
}

/// How long it is until all shards write.
fn until_common_moment(now: Timestamp) -> Duration {
    Duration::from_millis(WRITE_EVERY_MILLIS - now.as_millis() % WRITE_EVERY_MILLIS)
}

/// By no more than this and the write itself is a checkpoint behind what is settled. Shards that each wrote at a moment of
/// their own would need a commit, with its sync, for nearly every write.
const WRITE_EVERY_MILLIS: u64 = 25;
const RETRY_EVERY: Duration = Duration::from_secs(1);
const STUCK_AFTER: Duration = Duration::from_mins(1);
