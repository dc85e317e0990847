//! The consumers of one mapping: which run, and when one that panicked or was cut off may begin again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use super::consumer_task::Finish;
use crate::clock::doubling;
use crate::core::Timestamp;
use crate::core::record::ShardId;

/// The consumers of a mapping, by shard.
#[derive(Default)]
pub(super) struct Consumers {
    pub(super) tasks: JoinSet<(ShardId, Finish)>,
    pub(super) running: BTreeMap<ShardId, Id>,
    /// Shards whose consumer panicked or was cut off.
    faults: BTreeMap<ShardId, Fault>,
}

/// A consumer that keeps failing is started again after a longer and longer while, not in a busy loop.
struct Fault {
    in_a_row: u32,
    failed_at: Timestamp,
    start_at: Timestamp,
}

impl Consumers {
    /// The next consumer to end. Pends while none runs.
    pub(super) async fn next(&mut self) -> Result<(ShardId, Finish), JoinError> {
        match self.tasks.join_next().await {
            Some(finished) => finished,
            None => std::future::pending().await,
        }
    }

    pub(super) fn may_start(&self, shard: &ShardId, now: Timestamp) -> bool {
        !self.running.contains_key(shard) && self.faults.get(shard).is_none_or(|fault| fault.start_at <= now)
    }

    /// A consumer panicked or was cut off: it may start again after a while.
    pub(super) fn fail(&mut self, id: Id, now: Timestamp) -> Option<ShardId> {
        let shard = self.running.iter().find(|(_, running)| **running == id).map(|(shard, _)| shard.clone())?;
        self.running.remove(&shard);
        let last = self.faults.get(&shard).filter(|last| now.since(last.failed_at) < FAULT_FORGOTTEN);
        let in_a_row = last.map_or(1, |last| last.in_a_row + 1);
        let start_at = now + doubling(Duration::from_millis(500), Duration::from_mins(1), in_a_row);
        self.faults.insert(shard.clone(), Fault { in_a_row, failed_at: now, start_at });
        Some(shard)
    }

    /// How long to wait before shards are looked at again: as usual, or until a failed consumer may start.
    pub(super) fn wait(&self, now: Timestamp, usual: Duration) -> Duration {
        let due = self.faults.values().filter(|fault| fault.start_at > now);
        due.map(|fault| fault.start_at.since(now)).fold(usual, Duration::min)
    }
}

/// A fault longer ago than this no longer counts.
const FAULT_FORGOTTEN: Duration = Duration::from_mins(5);
