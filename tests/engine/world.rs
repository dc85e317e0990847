//! One mapping and everything around it, and the engines that run it one after another: each is a life that ends by a
//! stop or a crash, while the world goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use esmd::clock::Clock;
use esmd::core::Timestamp;
use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::ShardId;
use esmd::engine::{Board, CutOff, Desired, Engine, Shared};
use esmd::mapping::on_failure::{OnFailure, Undeliverable};
use esmd::mapping::state::MappingState;
use esmd::mapping::{
    Batching, EsmdSettings, EventSourceMapping, Pollers, QueueSettings as MappingOfQueue, Retries, SourceSettings,
    StartingPosition, StreamKind, StreamSettings,
};
use esmd::source::Source;
use esmd::store::{LeaseRow, MappingOrigin, StateStore, StoredMapping};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fakes::destination::FakeDestination;
use crate::fakes::queue::{FakeQueue, QueueSettings};
use crate::fakes::stream::FakeStream;
use crate::fakes::target::FakeTarget;
use crate::fakes::wire::{Wire, Wired};
use crate::fakes::{self, FakeConnector};
use crate::memory_store::MemoryStore;

/// A stream or a queue, with one mapping to one function. `S` is the fake.
pub struct World<S> {
    pub clock: Clock,
    pub source: S,
    pub target: FakeTarget,
    pub destination: FakeDestination,
    pub store: Arc<MemoryStore>,
    pub mapping: EventSourceMapping,
}

/// An engine that runs.
pub struct Life {
    pub wire: Wire,
    /// What runs, and how it goes.
    pub board: Board,
    desired: watch::Sender<Desired>,
    shutdown: CancellationToken,
    engine: JoinHandle<Result<(), CutOff>>,
}

impl World<FakeStream> {
    /// A stream, read from its beginning, one record per batch unless a test says otherwise.
    pub async fn of_stream(shards: u64) -> Self {
        let clock = fakes::clock();
        let arn = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";
        let source = FakeStream::new(clock.clone(), arn, shards);
        let settings = SourceSettings::Stream(StreamSettings {
            arn: arn.parse().unwrap(),
            kind: StreamKind::Kinesis,
            starting_position: StartingPosition::TrimHorizon,
            parallelization_factor: 1,
            tumbling_window: None,
            retries: Retries::default(),
            on_failure: None,
        });
        Self::new(clock, source, settings).await
    }

    pub fn with_lanes(mut self, lanes: u32) -> Self {
        let SourceSettings::Stream(stream) = &mut self.mapping.source else { unreachable!() };
        stream.parallelization_factor = lanes;
        self
    }

    /// Tumbling windows of this length.
    pub fn with_windows(mut self, length: Duration) -> Self {
        let SourceSettings::Stream(stream) = &mut self.mapping.source else { unreachable!() };
        stream.tumbling_window = Some(length);
        self
    }

    pub fn with_retries(mut self, retries: Retries) -> Self {
        let SourceSettings::Stream(stream) = &mut self.mapping.source else { unreachable!() };
        stream.retries = retries;
        self
    }

    /// Discarded batches are reported to the fake.
    pub fn with_destination(mut self, undeliverable: Undeliverable) -> Self {
        let SourceSettings::Stream(stream) = &mut self.mapping.source else { unreachable!() };
        let destination = "arn:aws:sqs:eu-west-1:111111111111:failed".parse().unwrap();
        stream.on_failure = Some(OnFailure { destination, undeliverable });
        self
    }

    pub fn with_starting_position(mut self, position: StartingPosition) -> Self {
        let SourceSettings::Stream(stream) = &mut self.mapping.source else { unreachable!() };
        stream.starting_position = position;
        self
    }

    /// Puts one record per number, in order, over this many keys.
    pub fn put(&self, numbers: std::ops::Range<usize>, keys: usize) {
        for number in numbers {
            self.source.put(&format!("key-{}", number % keys), &number.to_string());
        }
    }
}

impl World<FakeQueue> {
    pub async fn of_queue(fifo: bool, visibility: Duration) -> Self {
        let clock = fakes::clock();
        let arn = format!("arn:aws:sqs:eu-west-1:111111111111:orders{}", if fifo { ".fifo" } else { "" });
        let wait = Duration::from_secs(2);
        let source = FakeQueue::new(clock.clone(), &arn, QueueSettings { fifo, visibility, wait });
        let arn = arn.parse().unwrap();
        let settings = SourceSettings::Queue(MappingOfQueue { arn, fifo, maximum_concurrency: None, pollers: None });
        Self::new(clock, source, settings).await
    }

    pub fn with_lanes(mut self, lanes: u32) -> Self {
        let SourceSettings::Queue(queue) = &mut self.mapping.source else { unreachable!() };
        queue.maximum_concurrency = Some(lanes);
        self
    }

    pub fn with_pollers(mut self, minimum: u32, maximum: u32) -> Self {
        let SourceSettings::Queue(queue) = &mut self.mapping.source else { unreachable!() };
        queue.pollers = Some(Pollers { minimum, maximum });
        self
    }

    /// Sends one message per number; each group of a FIFO queue gets every so many.
    pub fn send(&self, numbers: std::ops::Range<usize>, groups: usize) {
        for number in numbers {
            let group = format!("group-{}", number % groups);
            self.source.send(&number.to_string(), self.source.is_fifo().then_some(&group));
        }
    }
}

impl<S: Source + Clone + 'static> World<S> {
    async fn new(clock: Clock, source: S, settings: SourceSettings) -> Self {
        let store = Arc::new(MemoryStore::default());
        let document = serde_json::from_str("{}").unwrap();
        let mapping = StoredMapping {
            uuid: MAPPING,
            document,
            origin: MappingOrigin::File,
            revision: 0,
            state: MappingState::Enabled,
            last_modified: Timestamp::default(),
        };
        store.put_mapping(mapping).await.unwrap();
        let mapping = EventSourceMapping {
            source: settings,
            function: "worker".parse().unwrap(),
            batching: Batching { size: 1, window: Duration::ZERO },
            reports_failures: false,
            filter: None,
            enabled: true,
            esmd: EsmdSettings::default(),
        };
        let (target, destination) = (FakeTarget::new(clock.clone()), FakeDestination::default());
        Self { clock, source, target, destination, store, mapping }
    }

    pub fn with_batch_size(mut self, size: usize) -> Self {
        self.mapping.batching.size = size;
        self
    }

    pub fn with_window(mut self, window: Duration) -> Self {
        self.mapping.batching.window = window;
        self
    }

    /// Starts an engine with the mapping as it is now.
    pub fn start(&self) -> Life {
        self.start_with(Wire::whole(), Duration::from_secs(30))
    }

    pub fn start_with(&self, wire: Wire, drain_timeout: Duration) -> Life {
        let source: Arc<dyn Source> = Arc::new(self.source.clone());
        let connector = FakeConnector {
            sources: BTreeMap::from([(self.mapping.source_arn().as_str().to_owned(), source)]),
            target: self.target.clone(),
            destination: self.destination.clone(),
            wire: wire.clone(),
        };
        let store: Arc<dyn StateStore> = Arc::clone(&self.store) as _;
        let board = Board::default();
        let shared = Shared {
            clock: self.clock.clone(),
            connector: Arc::new(connector),
            store: Arc::new(Wired::new(store, wire.clone())),
            worker: "worker".to_owned(),
            shard_refresh: Duration::from_secs(10),
            seed: 7,
            board: board.clone(),
        };
        let (desired, wanted) = watch::channel(Desired::from([(MAPPING, self.mapping.clone())]));
        let shutdown = CancellationToken::new();
        let engine = tokio::spawn(Engine::new(shared).run(wanted, shutdown.clone(), drain_timeout));
        Life { wire, board, desired, shutdown, engine }
    }

    /// Waits until it is so. Fails after an hour: by then whatever was to happen has happened.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = self.clock.now();
        while !is_so(self) {
            let waited = self.clock.now().since(began);
            assert!(waited < Duration::from_hours(1), "never came: {what}\n{:#?}", self.target.succeeded());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until each of these bodies was delivered with success.
    pub async fn until_delivered(&self, bodies: impl IntoIterator<Item = impl ToString>) {
        let wanted: BTreeSet<_> = bodies.into_iter().map(|body| body.to_string()).collect();
        let what = format!("{wanted:?}");
        self.until(&what, |world| wanted.is_subset(&world.target.succeeded().into_iter().collect())).await;
    }

    pub async fn rows(&self) -> Vec<LeaseRow> {
        self.store.leases(MAPPING).await.unwrap()
    }

    pub async fn row(&self, shard: &ShardId) -> LeaseRow {
        self.rows().await.into_iter().find(|row| row.shard == *shard).expect("the shard has a row")
    }

    pub async fn checkpoint(&self, shard: &ShardId) -> Checkpoint {
        self.row(shard).await.checkpoint
    }

    /// Every record's first delivery came in the order of the numbers in its key's bodies (`docs/architecture.md` 5,
    /// invariant 3).
    pub fn assert_first_deliveries_in_order(&self) {
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for delivered in self.target.delivered() {
            let number = delivered.body.parse().unwrap();
            let numbers = seen.entry(delivered.key).or_default();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        for (key, numbers) in seen {
            assert!(numbers.is_sorted(), "{key}: {numbers:?}");
        }
    }

    /// No key is in two invocations at a time (the same invariant). For lives without a crash.
    pub fn assert_no_key_in_two_invocations(&self) {
        let mut busy_until: BTreeMap<String, Timestamp> = BTreeMap::new();
        for invocation in self.target.invocations() {
            let ended_at = invocation.ended_at.expect("it ended");
            let keys: BTreeSet<_> = invocation.records.iter().map(|record| record.key.clone()).collect();
            for key in keys {
                let before = busy_until.insert(key.clone(), ended_at);
                assert!(before.is_none_or(|before| before <= invocation.began_at), "{key}: {invocation:?}");
            }
        }
    }
}

impl Life {
    /// Changes what is wanted.
    pub fn want(&self, mapping: Option<EventSourceMapping>) {
        self.desired.send(mapping.map(|mapping| (MAPPING, mapping)).into_iter().collect()).unwrap();
    }

    /// The first signal.
    pub fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the engine ended.
    pub async fn end(self) -> Result<(), CutOff> {
        self.engine.await.unwrap()
    }

    /// Stops, and waits until all has drained.
    pub async fn drain(self) {
        self.stop();
        self.end().await.unwrap();
    }

    /// The engine vanishes where it stands.
    pub async fn crash(self) {
        self.wire.cut();
        self.engine.abort();
        assert!(self.engine.await.unwrap_err().is_cancelled());
    }

    /// Drains when `done` is. Whether the wire was cut before the end of it.
    pub async fn crashes_before(self, done: impl Future<Output = ()>) -> bool {
        let Self { wire, desired: _desired, shutdown, mut engine, .. } = self;
        let drained = async {
            done.await;
            shutdown.cancel();
            (&mut engine).await.unwrap().unwrap();
        };
        let crashed = tokio::select! { biased;
            () = wire.is_cut() => true,
            () = drained => false,
        };
        engine.abort();
        crashed
    }
}

pub const MAPPING: Uuid = Uuid::from_u128(1);

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
