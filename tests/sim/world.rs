//! One mapping and everything around it: a source, a function, a store, the time, the weather, and an oracle who watches.
//! Lives of the daemon come and go in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use esmd::clock::Clock;
use esmd::core::record::ShardId;
use esmd::engine::{Board, CutOff, Desired, Engine, Shared};
use esmd::mapping::on_failure::OnFailure;
use esmd::mapping::state::MappingState;
use esmd::mapping::{
    Batching, EsmdSettings, EventSourceMapping, Pollers, QueueSettings as MappingOfQueue, SourceSettings,
    StreamSettings,
};
use esmd::source::Source;
use esmd::store::{LeaseRow, MappingOrigin, StateStore, StoredMapping};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fakes::destination::FakeDestination;
use crate::fakes::queue::{FakeQueue, QueueSettings};
use crate::fakes::stream::FakeStream;
use crate::fakes::target::FakeTarget;
use crate::fakes::wire::Wire;
use crate::link::{Link, SimConnector};
use crate::memory_store::MemoryStore;
use crate::oracle::Oracle;
use crate::plan::{FeedPlan, Plan};
use crate::random::Random;
use crate::resets::ResetsCounted;
use crate::time::Time;
use crate::trace::Trace;
use crate::weather::Weather;

pub struct World {
    pub time: Time,
    pub clock: Clock,
    pub trace: Trace,
    pub weather: Weather,
    pub oracle: Oracle,
    pub feed: Feed,
    pub target: FakeTarget,
    pub destination: FakeDestination,
    pub store: Arc<MemoryStore>,
    daemon: Mutex<Daemon>,
}

/// What records come from.
#[derive(Clone)]
pub enum Feed {
    Queue(FakeQueue),
    Stream(FakeStream),
}

struct Daemon {
    mapping: EventSourceMapping,
    /// Whether its configuration has the mapping at all.
    is_declared: bool,
    desired: watch::Sender<Desired>,
    /// What its latest life shows.
    board: Board,
    lives: u32,
    seed: u64,
}

/// A daemon that runs.
pub struct Life {
    pub link: Arc<Link>,
    pub drain_timeout: Duration,
    shutdown: CancellationToken,
    engine: JoinHandle<Result<(), CutOff>>,
}

impl World {
    pub async fn new(plan: &Plan, random: &mut Random, time: Time, trace: Trace, resets: ResetsCounted) -> Self {
        let clock = time.world_clock();
        let (feed, oracle, source) = match &plan.feed {
            FeedPlan::Queue { fifo, visibility, wait, receives_max } => {
                let arn = format!("arn:aws:sqs:eu-west-1:111111111111:orders{}", if *fifo { ".fifo" } else { "" });
                let settings = QueueSettings { fifo: *fifo, visibility: *visibility, wait: *wait };
                let queue = FakeQueue::new(clock.clone(), &arn, settings);
                if let Some(receives_max) = receives_max {
                    queue.set_redrive(*receives_max);
                }
                let arn = arn.parse().unwrap();
                let pollers = plan.pollers.map(|minimum| Pollers { minimum, maximum: minimum + 3 });
                let maximum_concurrency = plan.maximum_concurrency();
                let source = MappingOfQueue { arn, fifo: *fifo, maximum_concurrency, pollers };
                let oracle = Oracle::of_queue(queue.clone(), trace.clone(), resets);
                (Feed::Queue(queue), oracle, SourceSettings::Queue(source))
            }
            FeedPlan::Stream { kind, shards, starting_position } => {
                let consumer = if plan.is_pushed { "/consumer/worker:1760700041" } else { "" };
                let arn = format!("arn:aws:kinesis:eu-west-1:111111111111:stream/orders{consumer}");
                let stream = FakeStream::new(clock.clone(), &arn, *shards).with_retention(plan.errors.retention);
                let stream = stream.with_read_limit(plan.reads_max);
                let stream = if plan.is_pushed { stream.pushed() } else { stream };
                let oracle = Oracle::of_stream(stream.clone(), trace.clone(), resets);
                oracle.shards_made(&stream.open_shards(), &[]);
                let source = StreamSettings {
                    arn: arn.parse().unwrap(),
                    kind: *kind,
                    starting_position: *starting_position,
                    parallelization_factor: plan.lanes,
                    tumbling_window: plan.tumbling_window,
                    retries: plan.errors.retries,
                    on_failure: plan.errors.undeliverable.map(|undeliverable| OnFailure {
                        destination: "arn:aws:sqs:eu-west-1:111111111111:failed".parse().unwrap(),
                        undeliverable,
                    }),
                };
                (Feed::Stream(stream), oracle, SourceSettings::Stream(source))
            }
        };
        if plan.is_fair {
            oracle.demand_fairness();
        }
        if plan.is_steady {
            oracle.demand_steadiness();
        }
        if let Some(sieve) = &plan.sieve {
            oracle.expect_filter(sieve.clone());
        }
        if plan.spares_messages {
            oracle.demand_sparing();
        }
        let mapping = EventSourceMapping {
            source,
            function: "worker".parse().unwrap(),
            batching: Batching { size: plan.batch_size, window: plan.window },
            reports_failures: plan.errors.reports_failures,
            filter: plan
                .sieve
                .as_ref()
                .map(|sieve| Arc::new(sieve.filter(matches!(plan.feed, FeedPlan::Queue { .. })))),
            enabled: true,
            esmd: EsmdSettings {
                stall_after: plan.stall_after,
                keep_filtered: plan.sieve.as_ref().is_some_and(|sieve| sieve.keeps),
                extend_visibility: plan.heartbeat,
                ..EsmdSettings::default()
            },
        };
        let store = Arc::new(MemoryStore::default());
        let document = serde_json::from_str("{}").unwrap();
        let stored = StoredMapping {
            uuid: MAPPING,
            document,
            origin: MappingOrigin::File,
            revision: 0,
            state: MappingState::Enabled,
            last_modified: clock.now(),
        };
        store.put_mapping(stored).await.unwrap();
        let weather = Weather::new(random.fork(), plan.climate);
        let target = FakeTarget::new(clock.clone());
        plan.function.clone().teach(&target, random.fork(), weather.clone(), time.clone());
        let (desired, board, lives, seed) = (watch::Sender::default(), Board::default(), 0, random.next());
        let daemon = Mutex::new(Daemon { mapping, is_declared: true, desired, board, lives, seed });
        let destination = FakeDestination::default();
        Self { time, clock, trace, weather, oracle, feed, target, destination, store, daemon }
    }

    /// Sends one record of this key.
    pub fn produce(&self, key: &str) {
        let body = self.oracle.sent().to_string();
        match &self.feed {
            Feed::Queue(queue) => {
                let group = queue.is_fifo().then_some(key);
                let id = queue.send_message(&body, group);
                self.oracle.message_sent(group, &id);
            }
            Feed::Stream(stream) => {
                let (shard, place) = stream.put_record(key, &body);
                self.oracle.record_put(key, &shard, &place, self.clock.now());
            }
        }
    }

    pub fn stream(&self) -> &FakeStream {
        let Feed::Stream(stream) = &self.feed else { panic!("the source is a queue") };
        stream
    }

    pub fn queue(&self) -> &FakeQueue {
        let Feed::Queue(queue) = &self.feed else { panic!("the source is a stream") };
        queue
    }

    pub fn split(&self, shard: &ShardId) {
        let made = self.stream().split(shard);
        self.oracle.shards_made(&made, std::slice::from_ref(shard));
    }

    pub fn merge(&self, shard: &ShardId, next: &ShardId) {
        let made = self.stream().merge(shard, next);
        self.oracle.shards_made(&[made], &[shard.clone(), next.clone()]);
    }

    pub fn roll_over(&self, shard: &ShardId) {
        let made = self.stream().roll_over(shard);
        self.oracle.shards_made(&[made], std::slice::from_ref(shard));
    }

    /// Whatever was put longer ago than this is gone.
    pub fn expire(&self, retention: Duration) {
        let before = self.clock.now().as_millis().saturating_sub(u64::try_from(retention.as_millis()).unwrap());
        let gone = self.stream().expire(esmd::core::Timestamp::from_millis(before));
        let gone: Vec<usize> = gone.iter().map(|body| body.parse().unwrap()).collect();
        if !gone.is_empty() {
            self.oracle.trimmed(&gone);
        }
    }

    /// Receives of this shard, or of the queue, that begin from now on are never answered.
    pub fn silence(&self, shard: Option<&ShardId>) {
        match (&self.feed, shard) {
            (Feed::Stream(stream), Some(shard)) => {
                stream.silence(shard);
                self.oracle.silenced(shard, true);
            }
            (Feed::Queue(queue), _) => queue.set_silent(true),
            (Feed::Stream(_), None) => {}
        }
    }

    /// It answers what it is asked from now on.
    pub fn answer_again(&self, shard: Option<&ShardId>) {
        match (&self.feed, shard) {
            (Feed::Stream(stream), Some(shard)) => {
                stream.answer_again(shard);
                self.oracle.silenced(shard, false);
            }
            (Feed::Queue(queue), _) => queue.set_silent(false),
            (Feed::Stream(_), None) => {}
        }
    }

    /// Which shards the daemon shows as stalled, in words.
    pub fn stalled(&self) -> Option<String> {
        let stalled = self.daemon().board.stalled_shards(MAPPING);
        (!stalled.is_empty()).then(|| format!("{stalled:?} are shown as stalled"))
    }

    /// What the running life shows of the mapping; the number tells lives apart.
    pub fn last_processing_result(&self) -> (u32, String) {
        let daemon = self.daemon();
        (daemon.lives, daemon.board.last_processing_result(MAPPING))
    }

    /// Changes the configuration, of a running daemon too. `false` takes the mapping out of it.
    pub fn configure(&self, change: impl FnOnce(&mut EventSourceMapping) -> bool) {
        let mut daemon = self.daemon();
        daemon.is_declared = change(&mut daemon.mapping);
        self.trace.say(|| {
            let EventSourceMapping { enabled, batching, .. } = &daemon.mapping;
            let (declared, lanes) = (daemon.is_declared, daemon.lanes());
            format!("configured: declared={declared} enabled={enabled} {batching:?} lanes={lanes:?}")
        });
        daemon.desired.send_replace(daemon.wanted());
    }

    /// Starts a daemon that vanishes when so many calls and answers have passed its wire.
    pub fn start(&self, wire: Wire, drain_timeout: Duration) -> Life {
        let mut daemon = self.daemon();
        daemon.lives += 1;
        self.trace.say(|| format!("life {} begins", daemon.lives));
        let clock = self.time.daemon_clock();
        let clocks = (clock.clone(), self.clock.clone());
        let board = Board::default();
        daemon.board = board.clone();
        let link = Link::new(daemon.lives, clocks, wire, self.weather.clone(), self.oracle.clone(), board.clone());
        let link = Arc::new(link);
        let source: Arc<dyn Source> = match &self.feed {
            Feed::Queue(queue) => Arc::new(queue.clone()),
            Feed::Stream(stream) => Arc::new(stream.clone()),
        };
        let (target, destination) = (self.target.clone(), self.destination.clone());
        let connector = SimConnector { link: Arc::clone(&link), source, target, destination };
        let store = connector.store(Arc::clone(&self.store));
        let shared = Shared {
            clock,
            connector: Arc::new(connector),
            store,
            worker: "worker".to_owned(),
            shard_refresh: Duration::from_secs(10),
            seed: daemon.seed + u64::from(daemon.lives),
            board,
        };
        let (desired, wanted) = watch::channel(daemon.wanted());
        daemon.desired = desired;
        let shutdown = CancellationToken::new();
        let engine = tokio::spawn(Engine::new(shared).run(wanted, shutdown.clone(), drain_timeout));
        Life { link, drain_timeout, shutdown, engine }
    }

    /// How many messages the queue gave up.
    pub fn dead_letters(&self) -> usize {
        match &self.feed {
            Feed::Queue(queue) => queue.dead().len(),
            Feed::Stream(_) => 0,
        }
    }

    pub async fn rows(&self) -> Vec<LeaseRow> {
        self.store.leases(MAPPING).await.unwrap()
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    fn wanted(&self) -> Desired {
        let mapping = self.is_declared.then(|| (MAPPING, self.mapping.clone()));
        mapping.into_iter().collect()
    }

    fn lanes(&self) -> Option<u32> {
        match &self.mapping.source {
            SourceSettings::Queue(queue) => queue.maximum_concurrency,
            SourceSettings::Stream(stream) => Some(stream.parallelization_factor),
        }
    }
}

impl Life {
    /// Returns when it can do nothing any more: its wire was cut, or its engine ended by itself.
    pub async fn is_dead(&mut self) {
        let Self { link, engine, .. } = self;
        tokio::select! { biased;
            () = link.wire.is_cut() => {}
            ended = engine => link.oracle.object(format!("the engine ended by itself: {ended:?}")),
        }
    }

    /// It vanishes where it stands.
    pub async fn crash(mut self) {
        self.vanish();
        if (&mut self.engine).await.is_err_and(|failed| failed.is_panic()) {
            self.link.oracle.object("the engine panicked".to_owned());
        }
    }

    /// The first signal; returns when the engine has drained or was cut off. A crash may come first.
    pub async fn drain(mut self) -> Result<(), CutOff> {
        self.link.drain_ends_at(Instant::now() + self.drain_timeout);
        self.shutdown.cancel();
        tokio::select! { biased;
            () = self.link.wire.is_cut() => Ok(()),
            ended = &mut self.engine => ended.unwrap_or_else(|_| {
                self.link.oracle.object("the engine panicked while it drained".to_owned());
                Ok(())
            }),
        }
    }

    /// Nothing of it passes its wire any more.
    fn vanish(&self) {
        self.link.wire.cut();
        self.engine.abort();
        self.link.oracle.life_over(self.link.life);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.vanish();
    }
}

pub const MAPPING: Uuid = Uuid::from_u128(1);
