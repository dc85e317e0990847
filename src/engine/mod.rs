//! Keeps the mappings that run equal to the mappings that are wanted. Level-triggered: [`reconcile`] compares, the
//! engine carries out, whatever the reason for the difference was. Every task below has its owner here.

mod board;
mod consumer_task;
mod consumers;
mod discarding;
mod extending;
mod filtering;
mod invoking;
mod mapping_task;
mod pulse;
mod receiving;
mod saving;
mod settling;
mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span, warn};
use uuid::Uuid;

pub use board::{Board, Changes};
pub use mapping_task::Shared;

use crate::core::record::ShardId;
use crate::mapping::EventSourceMapping;
use mapping_task::MappingTask;

/// Every mapping that is wanted, disabled ones included.
pub type Desired = BTreeMap<Uuid, EventSourceMapping>;

/// Runs mappings.
pub struct Engine {
    shared: Shared,
    tasks: JoinSet<Uuid>,
    running: BTreeMap<Uuid, Running>,
    /// Mappings whose task panicked: they begin again after a pause.
    failed: BTreeSet<Uuid>,
}

struct Running {
    mapping: EventSourceMapping,
    stop: CancellationToken,
    task: Id,
}

/// What to do so that what runs is what is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Mappings to begin: wanted, enabled, and not running.
    starts: Vec<Uuid>,
    /// Mappings to stop: no longer wanted, disabled, or changed. A changed one begins again when it has stopped.
    stops: Vec<Uuid>,
}

/// Shards that were still being read when the drain deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("{} shards were cut off by the drain deadline", .shards.len())]
pub struct CutOff {
    /// The mapping and the shard of each.
    pub shards: Vec<(Uuid, ShardId)>,
}

impl Engine {
    /// An engine that runs nothing yet.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self { shared, tasks: JoinSet::new(), running: BTreeMap::new(), failed: BTreeSet::new() }
    }

    /// Runs what is wanted until `shutdown`, then drains: everything in flight gets until `drain_timeout`.
    pub async fn run(
        mut self,
        mut desired: watch::Receiver<Desired>,
        shutdown: CancellationToken,
        drain_timeout: Duration,
    ) -> Result<(), CutOff> {
        while !shutdown.is_cancelled() {
            // Carried out under the lock: whoever changed what is wanted and then looks at the board sees the change
            // carried out, or knows that it will be.
            self.carry_out(&desired.borrow_and_update());
            tokio::select! { biased;
                () = shutdown.cancelled() => {}
                Some(finished) = self.tasks.join_next_with_id() => self.on_finished(finished),
                Ok(()) = desired.changed() => {}
            }
        }
        self.drain(drain_timeout).await
    }

    fn carry_out(&mut self, wanted: &Desired) {
        let plan = reconcile(wanted, self.running.iter().map(|(uuid, running)| (*uuid, &running.mapping)));
        for uuid in plan.stops {
            self.running[&uuid].stop.cancel();
        }
        self.failed.retain(|uuid| plan.starts.contains(uuid)); // one that was stopped since begins as any other
        for uuid in plan.starts {
            let mapping = wanted[&uuid].clone();
            let stop = CancellationToken::new();
            let stopped = stop.clone();
            let task = MappingTask::new(self.shared.clone(), uuid, mapping.clone(), stop.clone());
            let has_failed = self.failed.remove(&uuid);
            let pause = if has_failed { RESTART_PAUSE } else { Duration::ZERO };
            let run = async move {
                stopped.run_until_cancelled(tokio::time::sleep(pause)).await;
                task.run().await;
                uuid
            };
            self.shared.board.started(uuid, mapping.clone()); // before its task can report anything
            if has_failed {
                self.shared.board.begun(uuid); // it was tried, and must not stay in transition for as long as it fails
            }
            let task = self.tasks.spawn(run.instrument(info_span!("mapping", %uuid))).id();
            self.running.insert(uuid, Running { mapping, stop, task });
        }
    }

    /// A mapping ended, as it was asked to, or by a panic.
    fn on_finished(&mut self, finished: Result<(Id, Uuid), JoinError>) {
        let task = finished.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let ended = self.running.extract_if(.., |_, running| running.task == task).map(|(uuid, _)| uuid);
        let ended: Vec<Uuid> = ended.collect();
        for uuid in &ended {
            self.shared.board.ended(*uuid);
        }
        if let Err(failed) = finished {
            error!(mapping = ?ended, error = %failed, "mapping failed: what it had not settled is read again");
            for uuid in ended {
                self.shared.board.set_obstacle(uuid, Some(INTERNAL.to_owned()));
                self.failed.insert(uuid);
            }
        }
    }

    async fn drain(mut self, drain_timeout: Duration) -> Result<(), CutOff> {
        self.running.values().for_each(|running| running.stop.cancel());
        let all = async {
            while let Some(finished) = self.tasks.join_next().await {
                if let Err(failed) = finished {
                    error!(error = %failed, "mapping failed while it drained: what it had not settled is read again");
                }
            }
        };
        if tokio::time::timeout(drain_timeout, all).await.is_ok() {
            return Ok(());
        }
        let shards = self.shared.board.running_shards();
        for (mapping, shard) in &shards {
            warn!(%mapping, %shard, "cut off: its function may still run; unsettled records come again");
        }
        Err(CutOff { shards })
    }
}

/// Compares what is wanted with what runs.
fn reconcile<'a>(wanted: &Desired, running: impl Iterator<Item = (Uuid, &'a EventSourceMapping)>) -> Plan {
    let running: BTreeMap<_, _> = running.collect();
    let starts = wanted.iter().filter(|(uuid, mapping)| mapping.enabled && !running.contains_key(*uuid));
    let stops = running.iter().filter(|(uuid, mapping)| wanted.get(*uuid) != Some(**mapping));
    Plan { starts: starts.map(|(uuid, _)| *uuid).collect(), stops: stops.map(|(uuid, _)| *uuid).collect() }
}

/// What is told of a panic; the log has more.
const INTERNAL: &str = "internal error of esmd";
/// Before a mapping whose task panicked begins again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
