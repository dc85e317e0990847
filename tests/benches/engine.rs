//! The engine on a stream, a function and a store in memory, beside a bare loop on the same stream and function, which reads,
//! joins a payload and invokes: what a record costs, and how much later it arrives. One thread, real time.

// A failure here is a failed measurement; and of the store only a part is used.
#![allow(dead_code, clippy::unwrap_used)]

mod allocator;
mod measure;
#[path = "../support/memory_store.rs"]
mod memory_store;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use esmd::clock::Clock;
use esmd::connect::Connector;
use esmd::core::Timestamp;
use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::{OrderingKey, Origin, Position, Received, Record, SequenceNumber, ShardId};
use esmd::core::settlement::{Settled, Settlement};
use esmd::core::shards::Shard;
use esmd::destination::Destination;
use esmd::engine::{Board, Desired, Engine, Shared};
use esmd::event::payload;
use esmd::event::response::Reply;
use esmd::mapping::state::MappingState;
use esmd::mapping::{
    Batching, EsmdSettings, EventSourceMapping, Retries, SourceSettings, StartingPosition, StreamKind, StreamSettings,
};
use esmd::source::{Receiver, Source, SourceError};
use esmd::store::{MappingOrigin, StateStore, StoredMapping};
use esmd::target::{DescribeError, Function, Target};
use futures_util::future::BoxFuture;
use memory_store::MemoryStore;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const RECORDS: usize = 100_000;
const KEYS: usize = 1_000;
/// What one receive brings at most.
const PAGE: usize = 1_000;
const ELEMENT: &[u8] = &[b'1'; 500];
/// One at a time, this far apart.
const PACED: usize = 2_000;
const PACE: Duration = Duration::from_millis(2);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("engine: {RECORDS} records of {KEYS} keys through one shard, all in memory, on one thread");
    println!(
        "{:>5} {:>6}   {:<26} {:<26} CPU / baseline",
        "lanes", "batch", "million records/CPU s", "baseline: bare loop"
    );
    for (lanes, batch_size) in [(1, 10), (1, 100), (1, 10_000), (10, 10), (10, 100), (10, 10_000)] {
        let compared = measure::beside(
            || World::new(records(RECORDS), None),
            |world| world.run_engine(&runtime, lanes, batch_size),
            |world| world.run_bare(&runtime, batch_size),
        );
        let millions = RECORDS as f64 / 1e6;
        println!(
            "{lanes:>5} {batch_size:>6}   {:<26} {:<26} {}",
            compared.cpu.rate(millions).to_string(),
            compared.baseline_cpu.rate(millions).to_string(),
            compared.ratio
        );
    }

    println!("latency from a receive's end to the invocation, of {PACED} records one by one, in microseconds");
    println!("{:>10} {:>8} {:>8} {:>8}", "", "p50", "p99", "p99.9");
    let paced = || World::new(records(PACED), Some(PACE));
    print_latencies("engine", paced().run_engine(&runtime, 1, 1));
    print_latencies("bare loop", paced().run_bare(&runtime, 1));
}

fn print_latencies(name: &str, mut latencies: Vec<Duration>) {
    latencies.sort();
    let at = |permille: usize| latencies[latencies.len() * permille / 1_000].as_micros();
    println!("{name:>10} {:>8} {:>8} {:>8}", at(500), at(990), at(999));
}

fn records(count: usize) -> VecDeque<Record> {
    let record = |number: usize| Record {
        origin: Origin::Position(Position::from(SequenceNumber::new(format!("4966{number:052}")))),
        key: Some(OrderingKey::new(format!("key-{}", number % KEYS))),
        arrived_at: Timestamp::from_millis(1),
        element: Bytes::from_static(ELEMENT),
    };
    (0..count).map(record).collect()
}

/// A shard with records, and a function that takes them.
#[derive(Clone)]
struct World {
    waiting: Arc<Mutex<VecDeque<Record>>>,
    /// Between two receives of one record each; `None`: all as fast as they are asked for.
    pace: Option<Duration>,
    /// When those came in that are not invoked yet. Only of a paced world.
    received_at: Arc<Mutex<VecDeque<Instant>>>,
    latencies: Arc<Mutex<Vec<Duration>>>,
    expected: usize,
    invoked: Arc<AtomicUsize>,
    done: Arc<Notify>,
}

impl World {
    fn new(records: VecDeque<Record>, pace: Option<Duration>) -> Self {
        let expected = records.len();
        Self {
            waiting: Arc::new(Mutex::new(records)),
            pace,
            received_at: Arc::default(),
            latencies: Arc::default(),
            expected,
            invoked: Arc::default(),
            done: Arc::default(),
        }
    }

    /// The latencies, if it is paced.
    fn run_engine(self, runtime: &Runtime, lanes: u32, batch_size: usize) -> Vec<Duration> {
        runtime.block_on(async {
            let store = MemoryStore::default();
            store.put_mapping(stored()).await.unwrap();
            let shared = Shared {
                clock: Clock::system(),
                connector: Arc::new(self.clone()),
                store: Arc::new(store),
                worker: "worker".to_owned(),
                shard_refresh: Duration::from_secs(10),
                seed: 7,
                board: Board::default(),
            };
            let (_desired, wanted) = watch::channel(Desired::from([(MAPPING, mapping(lanes, batch_size))]));
            let shutdown = CancellationToken::new();
            let engine = tokio::spawn(Engine::new(shared).run(wanted, shutdown.clone(), Duration::from_secs(30)));
            self.done.notified().await;
            shutdown.cancel();
            engine.await.unwrap().unwrap();
        });
        std::mem::take(&mut self.latencies.lock().unwrap())
    }

    /// What no program can do without that moves records from a stream to a function.
    fn run_bare(mut self, runtime: &Runtime, batch_size: usize) -> Vec<Duration> {
        runtime.block_on(async {
            let target: Arc<dyn Target> = Arc::new(self.clone());
            while self.invoked.load(Ordering::Relaxed) < self.expected {
                let records = self.receive(PAGE).await.unwrap().records;
                for batch in records.chunks(batch_size) {
                    let payload = payload(batch.iter().map(|record| &record.element));
                    std::hint::black_box(target.invoke(payload, None).await);
                }
            }
        });
        std::mem::take(&mut self.latencies.lock().unwrap())
    }

    fn on_invoked(&self, payload: &Bytes) {
        let records = (payload.len() - br#"{"Records":[]}"#.len() + 1) / (ELEMENT.len() + 1);
        if self.invoked.fetch_add(records, Ordering::Relaxed) + records == self.expected {
            self.done.notify_one();
        }
    }
}

impl Connector for World {
    fn target(&self, _: &EventSourceMapping) -> Arc<dyn Target> {
        Arc::new(self.clone())
    }

    fn source<'a>(
        &'a self,
        _: &'a EventSourceMapping,
        _: &'a Function,
    ) -> BoxFuture<'a, Result<Arc<dyn Source>, SourceError>> {
        Box::pin(std::future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Source>)))
    }

    fn destination(&self, _: &EventSourceMapping) -> Option<Arc<dyn Destination>> {
        None
    }
}

impl Source for World {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        let shard = Shard { id: ShardId::new("shardId-000000000000"), parents: Vec::new(), open: true };
        Box::pin(std::future::ready(Ok(vec![shard])))
    }

    fn open(&self, _: &ShardId, _: &Checkpoint) -> Box<dyn Receiver> {
        Box::new(self.clone())
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        unreachable!("a stream has nothing to settle: {settlements:?}")
    }
}

impl Receiver for World {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(async move {
            let most = if let Some(pace) = self.pace {
                tokio::time::sleep(pace).await;
                1
            } else {
                max.min(PAGE)
            };
            let records: Vec<_> = {
                let mut waiting = self.waiting.lock().unwrap();
                let count = waiting.len().min(most);
                waiting.drain(..count).collect()
            };
            if records.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if self.pace.is_some() && !records.is_empty() {
                self.received_at.lock().unwrap().push_back(Instant::now());
            }
            let at_tip = records.is_empty();
            Ok(Received { records, at_tip, behind_millis: Some(0), ..Received::default() })
        })
    }
}

impl Target for World {
    fn describe(&self) -> BoxFuture<'_, Result<Function, DescribeError>> {
        let function = Function {
            arn: "arn:aws:lambda:eu-west-1:111111111111:function:worker".to_owned(),
            timeout: Duration::from_secs(3),
            role_arn: "arn:aws:iam::111111111111:role/worker".to_owned(),
        };
        Box::pin(std::future::ready(Ok(function)))
    }

    fn invoke(&self, payload: Bytes, _: Option<Timestamp>) -> BoxFuture<'_, Reply> {
        if self.pace.is_some() {
            let received_at = self.received_at.lock().unwrap().pop_front().unwrap();
            self.latencies.lock().unwrap().push(received_at.elapsed());
        }
        self.on_invoked(&payload);
        let payload = Bytes::from_static(b"null");
        let reply = Reply::Answered { payload, function_error: None, executed_version: None, request_id: None };
        Box::pin(std::future::ready(reply))
    }
}

fn stored() -> StoredMapping {
    StoredMapping {
        uuid: MAPPING,
        document: serde_json::from_str("{}").unwrap(),
        origin: MappingOrigin::File,
        revision: 0,
        state: MappingState::Enabled,
        last_modified: Timestamp::default(),
    }
}

fn mapping(lanes: u32, batch_size: usize) -> EventSourceMapping {
    EventSourceMapping {
        source: SourceSettings::Stream(StreamSettings {
            arn: "arn:aws:kinesis:eu-west-1:111111111111:stream/orders".parse().unwrap(),
            kind: StreamKind::Kinesis,
            starting_position: StartingPosition::TrimHorizon,
            parallelization_factor: lanes,
            tumbling_window: None,
            retries: Retries::default(),
            on_failure: None,
        }),
        function: "worker".parse().unwrap(),
        batching: Batching { size: batch_size, window: Duration::ZERO },
        reports_failures: false,
        filter: None,
        enabled: true,
        esmd: EsmdSettings::default(),
    }
}

const MAPPING: Uuid = Uuid::from_u128(1);
