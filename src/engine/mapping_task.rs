//! Runs one enabled mapping: learns about its function, connects its source, keeps a row for every shard, and runs a
//! consumer for every shard that may be read now. Owns its consumers: when it ends, they have ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};
use uuid::Uuid;

use super::board::Board;
use super::consumer_task::{ConsumerTask, Finish, Surroundings};
use super::consumers::Consumers;
use super::discarding::Reporting;
use super::pulse::Pulse;
use super::watchdog::Watchdog;
use crate::clock::{Clock, doubling};
use crate::connect::Connector;
use crate::core::Timestamp;
use crate::core::record::ShardId;
use crate::core::settings::Settings;
use crate::core::shards::{HeldBack, ShardTree, StoredShard};
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
    /// Shards that were over while they were listed, with the time when they were listed last.
    over: BTreeMap<ShardId, Timestamp>,
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

impl MappingTask {
    pub(super) fn new(shared: Shared, uuid: Uuid, mapping: EventSourceMapping, stop: CancellationToken) -> Self {
        let metrics = MappingMetrics::new(uuid);
        Self { shared, uuid, mapping, metrics, stop, log: LogLimit::default(), over: BTreeMap::new() }
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
                    while let Some(finished) = consumers.tasks.try_join_next() {
                        self.on_finished(&mut consumers, finished, watchdog);
                    }
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
        &mut self,
        surroundings: &Surroundings,
        consumers: &mut Consumers,
        stop: &CancellationToken,
        watchdog: &Watchdog,
    ) -> Result<(), Obstacle> {
        let tree = self.refresh(surroundings).await?;
        self.tell_held_back(tree.held_back(), consumers);
        self.remove_rows(&tree).await?;
        let readable = tree.readable().into_iter().collect();
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

    /// Each is told when it begins to wait. A shard that is being read goes on, whatever a later listing says.
    fn tell_held_back(&self, mut held_back: HeldBack, consumers: &Consumers) {
        held_back.retain(|shard, _| !consumers.running.contains_key(shard));
        for (shard, others) in self.shared.board.set_held_back(self.uuid, held_back) {
            let some = others.iter().take(NAMED_MAX).map(ShardId::as_str).collect::<Vec<_>>().join(", ");
            info!(%shard, waits_for = some, count = others.len(), "not read before others are settled to their end");
        }
    }

    /// Removes the rows of shards that are over and no longer listed. One that was over while it was listed keeps its row
    /// for long: a listing may leave out what is there, and without its row a shard is read from its beginning.
    async fn remove_rows(&mut self, tree: &ShardTree) -> Result<(), StoreError> {
        let now = self.now();
        self.over.extend(tree.over().map(|shard| (shard.clone(), now)));
        let mut obsolete = tree.obsolete_rows();
        obsolete.retain(|shard| self.over.get(shard).is_none_or(|listed_at| now.since(*listed_at) >= UNLISTED_MIN));
        if obsolete.is_empty() {
            return Ok(());
        }
        self.over.retain(|shard, _| !obsolete.contains(shard));
        self.shared.store.remove_shards(self.uuid, obsolete.into_iter().collect()).await
    }

    /// Lists the shards, and makes the rows that are missing.
    async fn refresh(&self, surroundings: &Surroundings) -> Result<ShardTree, Obstacle> {
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
            return Ok(tree);
        }
        store.add_shards(self.uuid, missing).await?;
        let rows = store.leases(self.uuid).await?;
        Ok(ShardTree::new(listed, rows.iter().map(StoredShard::from)))
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

/// How many of the shards that a shard waits for are told; an expired parent may leave hundreds.
const NAMED_MAX: usize = 4;

/// Before the row of a shard that is no longer listed goes.
const UNLISTED_MIN: Duration = Duration::from_mins(10);
