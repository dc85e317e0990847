//! A random case: how the consumer is set up, what happens to it one thing after the other, and how it ends. Everything
//! here is plain data, so that a failing case shrinks to a story one can read.

use std::fmt;
use std::time::Duration;

use esmd::core::outcome::{Failure, Outage, Outcome};
use esmd::core::scaling::ScalingSettings;
use esmd::core::settings::{Kind, QueueRules, RetrySettings, Settings};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The three kinds of source that differ for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    Stream,
    StandardQueue,
    FifoQueue,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub source: SourceKind,
    pub settings: Settings,
    pub operations: Vec<Operation>,
    /// Whether the consumer is drained and replaced before everything is settled at last.
    pub drained_at_last: bool,
}

/// One thing that happens to a consumer or to its source.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Records arrive at the source; then one receive brings as many as there is room for, some of them repeated.
    Receive {
        sent: Vec<Sent>,
        repeated: Vec<Pick>,
    },
    /// One of the running invocations ends. The places of a partial outcome are taken modulo the batch's length.
    Answer(Pick, Outcome),
    /// What is being given up was delivered where its failure is told, or not.
    GiveUp(Pick, bool),
    /// The queue answers one of the settlements under way.
    Settle(Pick, Answer),
    /// The queue answers one of the extensions under way.
    Extend(Pick, Answer),
    /// Time passes and nobody looks.
    Wait(Duration),
    /// The consumer is told the time.
    Wake,
    /// The consumer is told the time when it asked for it.
    WakeWhenDue,
    /// The checkpoint is saved, if it moved.
    Save,
    /// No record follows at this shard.
    EndShard,
    Drain,
    /// The process dies; another consumer begins at the last saved checkpoint.
    Restart,
}

/// What becomes of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Confirmed,
    Refused,
    /// The queue did it, but nobody learned of it.
    Lost,
}

/// One of however many there are then.
#[derive(Clone, Copy, Debug)]
pub struct Pick(usize);

impl Pick {
    pub fn of<T: Copy>(self, all: &[T]) -> Option<T> {
        all.get(self.0 % all.len().max(1)).copied()
    }
}

#[derive(Clone)]
pub struct Sent {
    pub key: u8,
    pub bytes: usize,
    /// How old it is when it is sent.
    pub age: Duration,
    /// How long each receive hides it, if it is a queue's.
    pub lease: Duration,
    /// No filter lets it through.
    pub is_filtered: bool,
}

/// On one line, since a failing case has many.
impl fmt::Debug for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, bytes, age, lease, is_filtered } = self;
        write!(
            formatter,
            "{{ key: {key}, bytes: {bytes}, age: {age:?}, lease: {lease:?}, is_filtered: {is_filtered} }}"
        )
    }
}

/// A shard whose first records, of one or two keys, fill its room but for a page at most: from then on it is read by
/// pages.
pub fn full_cases() -> impl Strategy<Value = Case> {
    let first = Sent { key: 0, bytes: 1, age: Duration::ZERO, lease: Duration::ZERO, is_filtered: false };
    (cases(SourceKind::Stream), 1..=3_usize, 0..1_100_usize, 1..=2_u8).prop_map(move |(mut case, lanes, more, keys)| {
        case.settings.lanes = lanes;
        case.settings.batch_size *= 20; // or it would be thousands of invocations
        case.settings.batch_bytes *= 20;
        let room = 1_000 * lanes.max(2);
        // In turns of ten, or a key that blocks would leave more settled ranges than a checkpoint takes.
        let turns = (0..keys).cycle().flat_map(|key| [key; 10]);
        let sent = turns.take(room - 1_000 + more).map(|key| Sent { key, ..first.clone() }).collect();
        case.operations.insert(0, Operation::Receive { sent, repeated: Vec::new() });
        case
    })
}

pub fn cases(source: SourceKind) -> impl Strategy<Value = Case> {
    prop_oneof![Just(3), Just(40)].prop_flat_map(move |keys| {
        let operations = vec(operation(source, keys), 1..80);
        (settings(source), operations, any::<bool>()).prop_map(move |(settings, operations, drained_at_last)| Case {
            source,
            settings,
            operations,
            drained_at_last,
        })
    })
}

fn settings(source: SourceKind) -> impl Strategy<Value = Settings> {
    let (kind, lanes) = match source {
        SourceKind::Stream => (Kind::Stream, 1..=10_usize),
        SourceKind::StandardQueue | SourceKind::FifoQueue => (Kind::Queue, 1..=5_usize),
    };
    let window = prop_oneof![Just(0), 1_000..6_000_u64].prop_map(Duration::from_millis);
    let batch_bytes = prop_oneof![20..200_usize, Just(6 * MEBIBYTE)];
    // What is left at the head of a FIFO queue's group locks the group, so nobody gets what is behind it.
    let keeps_filtered = prop::bool::weighted(if source == SourceKind::StandardQueue { 0.3 } else { 0.0 });
    (lanes, 1..=20_usize, window, batch_bytes, retry(kind), keeps_filtered, queue_rules(kind), any::<u64>()).prop_map(
        move |(lanes, batch_size, window, batch_bytes, retry, keeps_filtered, queue, seed)| Settings {
            kind,
            lanes,
            batch_size,
            window,
            tumbling_window: None, // tests/properties/windows.rs
            batch_bytes,
            retry,
            keeps_filtered,
            queue: QueueRules {
                scaling: queue.scaling.map(|scaling| ScalingSettings { idle: scaling.idle.min(lanes), ..scaling }),
                ..queue
            },
            seed,
        },
    )
}

/// Half of the queues scale, half extend leases.
fn queue_rules(kind: Kind) -> BoxedStrategy<QueueRules> {
    if kind == Kind::Stream {
        return Just(QueueRules::default()).boxed();
    }
    let scaling = (1..=5_usize, 1..1_000_u32, any::<bool>()).prop_map(|(idle, per_minute, falls_on_failure)| {
        let receive_interval = Duration::ZERO;
        ScalingSettings { idle, per_minute, receives_idle: 2, lanes_per_receive: 1, receive_interval, falls_on_failure }
    });
    (option::of(scaling), any::<bool>())
        .prop_map(|(scaling, extends_visibility)| QueueRules { scaling, extends_visibility })
        .boxed()
}

/// Limits are the mapping's and the source's, and only a stream has them.
fn retry(kind: Kind) -> BoxedStrategy<RetrySettings> {
    if kind == Kind::Queue {
        return Just(RetrySettings::default()).boxed();
    }
    let age = || option::of((2_000..40_000_u64).prop_map(Duration::from_millis));
    (option::of(1..4_u32), age(), age(), any::<bool>())
        .prop_map(|(attempts_max, age_max, retention, bisect)| RetrySettings {
            attempts_max,
            age_max,
            retention,
            bisect,
        })
        .boxed()
}

fn operation(source: SourceKind, keys: u8) -> impl Strategy<Value = Operation> {
    let receive = (vec(sent(keys), 0..12), vec(pick(), 0..4));
    prop_oneof![
        12 => receive.prop_map(|(sent, repeated)| Operation::Receive { sent, repeated }),
        14 => (pick(), outcome()).prop_map(|(batch, outcome)| Operation::Answer(batch, outcome)),
        12 => settling(source),
        4 => pause().prop_map(Operation::Wait),
        3 => Just(Operation::Wake),
        8 => Just(Operation::WakeWhenDue),
        1 => Just(Operation::EndShard),
        1 => Just(Operation::Drain),
        1 => Just(Operation::Restart),
    ]
}

/// A queue is told of each message, a stream's records are passed by a checkpoint or given up.
fn settling(source: SourceKind) -> BoxedStrategy<Operation> {
    if source == SourceKind::Stream {
        let delivered = prop::bool::weighted(0.7);
        let give_up = (pick(), delivered).prop_map(|(batch, delivered)| Operation::GiveUp(batch, delivered));
        prop_oneof![2 => give_up, 1 => Just(Operation::Save)].boxed()
    } else {
        let settle = (pick(), answer()).prop_map(|(settlement, answer)| Operation::Settle(settlement, answer));
        let extend = (pick(), answer()).prop_map(|(extension, answer)| Operation::Extend(extension, answer));
        prop_oneof![3 => settle, 1 => extend].boxed()
    }
}

fn pick() -> impl Strategy<Value = Pick> {
    (0..100_usize).prop_map(Pick)
}

/// Now and then the clock leaps.
fn pause() -> impl Strategy<Value = Duration> {
    prop_oneof![12 => 0..4_000_u64, 1 => 0..100_000_u64].prop_map(Duration::from_millis)
}

fn sent(keys: u8) -> impl Strategy<Value = Sent> {
    let bytes = prop_oneof![30 => 1..80_usize, 1 => MEBIBYTE..LARGEST];
    let lease = prop_oneof![3 => 20_000..40_000_u64, 1 => 0..8_000_u64].prop_map(Duration::from_millis);
    let age = prop_oneof![3 => Just(0), 1 => 0..20_000_u64].prop_map(Duration::from_millis);
    let is_filtered = prop::bool::weighted(0.2);
    (0..keys, bytes, age, lease, is_filtered).prop_map(|(key, bytes, age, lease, is_filtered)| Sent {
        key,
        bytes,
        age,
        lease,
        is_filtered,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        5 => Just(Outcome::Succeeded),
        3 => Just(Outcome::Failed(Failure::FunctionError)),
        3 => vec(0..20_usize, 1..5).prop_map(Outcome::Partial),
        2 => Just(Outcome::Throttled),
        1 => Just(Outcome::Unavailable(Outage::Timeout)),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![4 => Just(Answer::Confirmed), 1 => Just(Answer::Refused), 1 => Just(Answer::Lost)]
}

const MEBIBYTE: usize = 1024 * 1024;
/// The largest element.
pub const LARGEST: usize = 6 * MEBIBYTE;
