//! Runs one enabled mapping: learns about its function, connects its source, keeps a row for every shard, and runs a
//! consumer for every shard that may be read now. Owns its consumers: when it ends, they have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};
use uuid::Uuid;

use super::board::Board;
use super::consumer_task::{ConsumerTask, Finish, Surroundings};
use super::discarding::Reporting;
use super::pulse::Pulse;
use super::watchdog::Watchdog;
use crate::clock::{Clock, doubling};
use crate::connect::Connector;
use crate::core::Timestamp;
use crate::core::record::ShardId;
use crate::core::settings::Settings;
use crate::core::shards::{ShardTree, StoredShard};
use crate::event;
use crate::log_limit::LogLimit;
use crate::mapping::{EventSourceMapping, SourceSettings, StartingPosition, StreamKind};
use crate::source::SourceError;
use crate::store::{StateStore, StoreError};
use crate::target::{DescribeError, Function};
use crate::telemetry::{MappingMetrics, RestartReason, chain};

/// What the mappings of one process share.
#[derive(Clone)]
pub struct Shared {
    /// The time.
    pub clock: Clock,
    /// Makes sources and targets.
    pub connector: Arc<dyn Connector>,
    /// Where leases and checkpoints are kept.
    pub store: Arc<dyn StateStore>,
    /// This process's name in leases.
    pub worker: String,
    /// How often shards are listed.
    pub shard_refresh: Duration,
    /// Seed of every back-off's jitter.
    pub seed: u64,
    /// What runs now.
    pub board: Board,
}

pub(super) struct MappingTask {
    shared: Shared,
    uuid: Uuid,
    mapping: EventSourceMapping,
    metrics: MappingMetrics,
    stop: CancellationToken,
    log: LogLimit,
}

/// What a mapping reads from and invokes.
struct Connection {
    function: Function,
    surroundings: Surroundings,
}

/// Why nothing could be done for a mapping at the moment.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("the function cannot be invoked yet")]
    Function(#[from] DescribeError),
    #[error("the source cannot be read yet")]
    Source(#[from] SourceError),
    #[error("the state store cannot be used")]
    Store(#[from] StoreError),
}

/// The consumers of a mapping, by shard.
#[derive(Default)]
struct Consumers {
    tasks: JoinSet<(ShardId, Finish)>,
    running: BTreeMap<ShardId, Id>,
    /// Shards whose consumer panicked or was cut off.
    faults: BTreeMap<ShardId, Fault>,
}

/// A consumer that keeps failing is started again after a longer and longer while, not in a busy loop.
struct Fault {
    in_a_row: u32,
    failed_at: Timestamp,
    start_at: Timestamp,
}

impl MappingTask {
    pub(super) fn new(shared: Shared, uuid: Uuid, mapping: EventSourceMapping, stop: CancellationToken) -> Self {
        let metrics = MappingMetrics::new(uuid);
        Self { shared, uuid, mapping, metrics, stop, log: LogLimit::default() }
    }

    /// Runs until it is stopped and every consumer has drained.
    pub(super) async fn run(mut self) {
        info!("mapping enabled");
        let mut obstacles = 0;
        while !self.stop.is_cancelled() {
            let stop = self.stop.clone();
            let Some(connected) = stop.run_until_cancelled(self.connect()).await else { break };
            self.shared.board.begun(self.uuid);
            match connected {
                Ok(connection) => {
                    obstacles = 0;
                    self.shared.board.set_obstacle(self.uuid, None);
                    self.keep_reading(connection).await;
                }
                Err(obstacle) => {
                    obstacles += 1;
                    self.report(&obstacle);
                    stop.run_until_cancelled(tokio::time::sleep(obstacle.wait(obstacles))).await;
                }
            }
        }
        info!("mapping stopped");
    }

    /// Learns about the function, connects the source, and sees that its shards can be listed.
    async fn connect(&self) -> Result<Connection, Obstacle> {
        let target = self.shared.connector.target(&self.mapping);
        let function = target.describe().await?;
        let source = self.shared.connector.source(&self.mapping, &function).await?;
        let retention = source.retention().await?;
        let surroundings = Surroundings {
            clock: self.shared.clock.clone(),
            source,
            target,
            store: Arc::clone(&self.shared.store),
            metrics: self.metrics.clone(),
            board: self.shared.board.clone(),
            reporting: self.reporting(&function),
            reports_failures: self.mapping.reports_failures,
            source_arn: self.mapping.source_arn().as_str().to_owned(),
            filter: self.mapping.filter.clone(),
            settings: Settings::of(&self.mapping, event::ELEMENT_BYTES_MAX, retention, self.shared.seed),
        };
        self.refresh(&surroundings).await?;
        Ok(Connection { function, surroundings })
    }

    /// Who is told of the batches that this mapping discards.
    fn reporting(&self, function: &Function) -> Option<Reporting> {
        let SourceSettings::Stream(stream) = &self.mapping.source else { return None };
        let on_failure = stream.on_failure.as_ref()?;
        Some(Reporting {
            destination: self.shared.connector.destination(&self.mapping)?,
            undeliverable: on_failure.undeliverable,
            destination_type: on_failure.destination.kind().name(),
            stream_kind: stream.kind,
            stream_arn: stream.arn.as_str().to_owned(),
            function_arn: function.arn.clone(),
        })
    }

    /// Reads until the mapping is stopped or its function changed, and watches that reading gets on.
    async fn keep_reading(&mut self, connection: Connection) {
        let watchdog = Watchdog::new(
            self.uuid,
            self.shared.clock.clone(),
            self.shared.board.clone(),
            self.metrics.clone(),
            self.mapping.esmd.stall_after + connection.surroundings.source.poll_time(),
            connection.function.timeout,
        );
        tokio::select! { biased;
            () = self.read(connection, &watchdog) => {}
            never = watchdog.run() => match never {},
        }
    }

    /// Keeps a consumer running for every shard that may be read. Returns when all of them have drained.
    async fn read(&mut self, connection: Connection, watchdog: &Watchdog) {
        let Connection { function, surroundings } = connection;
        let stop = self.stop.child_token();
        let mut consumers = Consumers::default();
        let mut failures = 0;
        let mut list_at = self.now();
        while !stop.is_cancelled() {
            if list_at <= self.now() {
                let started = self.start_consumers(&surroundings, &mut consumers, &stop, watchdog);
                let wait = match stop.run_until_cancelled(started).await {
                    None => break,
                    Some(Ok(())) => {
                        if std::mem::take(&mut failures) > 0 {
                            self.shared.board.set_obstacle(self.uuid, None);
                        }
                        self.shared.shard_refresh
                    }
                    Some(Err(obstacle)) => {
                        failures += 1;
                        self.report(&obstacle);
                        obstacle.wait(failures).min(self.shared.shard_refresh)
                    }
                };
                list_at = self.now() + consumers.wait(self.now(), wait);
            }
            let next_look = list_at.since(self.now()).min(FUNCTION_REFRESH);
            tokio::select! { biased;
                () = stop.cancelled() => {}
                finished = consumers.next() => {
                    self.on_finished(&mut consumers, finished, watchdog);
                    list_at = self.now();
                }
                () = tokio::time::sleep(next_look) => {
                    self.look_at_function(&surroundings, &function, &stop, watchdog).await;
                }
            }
        }
        while !consumers.running.is_empty() {
            let finished = consumers.next().await;
            self.on_finished(&mut consumers, finished, watchdog);
        }
    }

    fn report(&mut self, obstacle: &Obstacle) {
        self.metrics.waited(obstacle.reason());
        self.shared.board.set_obstacle(self.uuid, Some(chain(obstacle)));
        if let Some(suppressed) = self.log.permit(self.now()) {
            warn!(error = %chain(obstacle), suppressed, "mapping waits; trying again");
        }
    }

    /// If what the source took from the function's configuration changed, the consumers drain, then all connects anew.
    async fn look_at_function(
        &self,
        surroundings: &Surroundings,
        known: &Function,
        stop: &CancellationToken,
        watchdog: &Watchdog,
    ) {
        let Some(Ok(function)) = stop.run_until_cancelled(surroundings.target.describe()).await else { return };
        watchdog.set_function_timeout(function.timeout);
        let changed = match &self.mapping.source {
            SourceSettings::Queue(_) => !self.mapping.batching.window.is_zero() && function.timeout != known.timeout,
            SourceSettings::Stream(stream) => stream.kind == StreamKind::Kinesis && function.role_arn != known.role_arn,
        };
        if changed {
            info!("the function's configuration changed: reading begins anew");
            stop.cancel();
        }
    }

    async fn start_consumers(
        &self,
        surroundings: &Surroundings,
        consumers: &mut Consumers,
        stop: &CancellationToken,
        watchdog: &Watchdog,
    ) -> Result<(), Obstacle> {
        let readable = self.refresh(surroundings).await?;
        watchdog.retain(&readable);
        let now = self.now();
        for shard in readable {
            if !consumers.may_start(&shard, now) {
                continue;
            }
            let store = &self.shared.store;
            let claim = store.claim(self.uuid, shard.clone(), self.shared.worker.clone());
            let Some((lease, checkpoint)) = claim.await? else { continue };
            info!(%shard, epoch = lease.epoch, from = %checkpoint.up_to, "reading");
            let (pulse, standing) = Pulse::new();
            let own_stop = stop.child_token();
            let task = ConsumerTask::new(surroundings.clone(), lease, &checkpoint, own_stop.clone(), pulse);
            let entry = self.shared.board.enter(self.uuid, shard.clone());
            let name = shard.clone();
            let run = async move {
                let _entry = entry;
                (name, task.run().await)
            };
            let handle = consumers.tasks.spawn(run.instrument(info_span!("consumer", %shard)));
            consumers.running.insert(shard.clone(), handle.id());
            watchdog.watch(shard, standing, own_stop, handle);
        }
        Ok(())
    }

    /// Lists the shards, brings their rows up to date, and says which may be read.
    async fn refresh(&self, surroundings: &Surroundings) -> Result<BTreeSet<ShardId>, Obstacle> {
        let store = &self.shared.store;
        let listed = surroundings.source.shards().await?;
        let rows = store.leases(self.uuid).await?;
        let tree = ShardTree::new(listed.clone(), rows.iter().map(StoredShard::from));
        for shard in tree.reopened() {
            warn!(
                %shard,
                "a shard that was read to its end is listed as open, and is not read: if its stream was made anew under \
                 the same name, give the mapping a new state directory"
            );
        }
        let missing = tree.missing_rows(self.starting_position(), self.now());
        if missing.is_empty() {
            let obsolete = tree.obsolete_rows();
            if !obsolete.is_empty() {
                store.remove_shards(self.uuid, obsolete.into_iter().collect()).await?;
            }
            return Ok(tree.readable().into_iter().collect());
        }
        store.add_shards(self.uuid, missing).await?;
        let rows = store.leases(self.uuid).await?;
        Ok(ShardTree::new(listed, rows.iter().map(StoredShard::from)).readable().into_iter().collect())
    }

    fn on_finished(
        &self,
        consumers: &mut Consumers,
        finished: Result<(ShardId, Finish), JoinError>,
        watchdog: &Watchdog,
    ) {
        match finished {
            Ok((shard, finish)) => {
                consumers.running.remove(&shard);
                watchdog.forget(&shard);
                info!(%shard, finish = ?finish, "no longer reading");
            }
            Err(failed) => {
                let Some(shard) = consumers.fail(failed.id(), self.now()) else { return };
                watchdog.failed(&shard);
                if failed.is_cancelled() {
                    warn!(%shard, "a stalled consumer did not drain and was cut off: what it had not settled is read again");
                } else {
                    self.metrics.consumer_restarted(RestartReason::Panicked);
                    error!(%shard, error = %failed, "consumer failed: what it had not settled is read again");
                }
            }
        }
    }

    fn starting_position(&self) -> StartingPosition {
        match &self.mapping.source {
            SourceSettings::Queue(_) => StartingPosition::TrimHorizon,
            SourceSettings::Stream(stream) => stream.starting_position,
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

impl Consumers {
    /// The next consumer to end. Pends while none runs.
    async fn next(&mut self) -> Result<(ShardId, Finish), JoinError> {
        match self.tasks.join_next().await {
            Some(finished) => finished,
            None => std::future::pending().await,
        }
    }

    fn may_start(&self, shard: &ShardId, now: Timestamp) -> bool {
        !self.running.contains_key(shard) && self.faults.get(shard).is_none_or(|fault| fault.start_at <= now)
    }

    /// A consumer panicked or was cut off: it may start again after a while.
    fn fail(&mut self, id: Id, now: Timestamp) -> Option<ShardId> {
        let shard = self.running.iter().find(|(_, running)| **running == id).map(|(shard, _)| shard.clone())?;
        self.running.remove(&shard);
        let last = self.faults.get(&shard).filter(|last| now.since(last.failed_at) < FAULT_FORGOTTEN);
        let in_a_row = last.map_or(1, |last| last.in_a_row + 1);
        let start_at = now + doubling(Duration::from_millis(500), Duration::from_mins(1), in_a_row);
        self.faults.insert(shard.clone(), Fault { in_a_row, failed_at: now, start_at });
        Some(shard)
    }

    /// How long to wait before shards are looked at again: as usual, or until a failed consumer may start.
    fn wait(&self, now: Timestamp, usual: Duration) -> Duration {
        let due = self.faults.values().filter(|fault| fault.start_at > now);
        due.map(|fault| fault.start_at.since(now)).fold(usual, Duration::min)
    }
}

impl Obstacle {
    fn reason(&self) -> &'static str {
        match self {
            Self::Function(_) => "function",
            Self::Source(_) => "source",
            Self::Store(_) => "store",
        }
    }

    fn wait(&self, in_a_row: u32) -> Duration {
        match self {
            Self::Source(error) => error.retry_delay(in_a_row),
            Self::Function(_) | Self::Store(_) => {
                doubling(Duration::from_millis(500), Duration::from_secs(30), in_a_row)
            }
        }
    }
}

/// How often the function's configuration is looked at.
const FUNCTION_REFRESH: Duration = Duration::from_mins(1);

/// A fault longer ago than this no longer counts.
const FAULT_FORGOTTEN: Duration = Duration::from_mins(5);
