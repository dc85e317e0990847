//! A stream in memory: shards that split, merge, roll over, lose their oldest records and vanish, and readers that poll
//! them by iterators that expire (`docs/semantics.md` 6.1 to 6.3), or to whom it pushes (`pushing`).

pub(super) mod log;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esmd::clock::Clock;
use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{SequenceNumber, ShardId};
use esmd::core::settlement::{Settled, Settlement};
use esmd::core::shards::Shard;
use esmd::event::kinesis::Renderer;
use esmd::source::fan_out::{POLL_TIME, PushReceiver};
use esmd::source::{Receiver, Source, SourceError};
use futures_util::future::BoxFuture;

use self::log::{Kept, Log, Page};
use self::reader::ShardReceiver;
use super::pushing::{FakeShard, Loss, Subscriptions};
use super::{Fault, Faults, lock};

/// The fake.
#[derive(Clone)]
pub struct FakeStream {
    clock: Clock,
    arn: Arc<str>,
    poll_interval: Duration,
    /// How long it says that it keeps records.
    retention: Option<Duration>,
    /// How often a shard may be read in a second, by all its readers together.
    reads_max: Option<usize>,
    is_pushed: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    shards: BTreeMap<ShardId, Log>,
    shards_made: u32,
    records_put: u64,
    listings: usize,
    receive_faults: BTreeMap<ShardId, Faults>,
    listing_faults: Faults,
    /// Shards whose receives get no answer.
    silent: BTreeSet<ShardId>,
    /// Shards that listings leave out.
    left_out: BTreeSet<ShardId>,
    subscriptions: Subscriptions,
}

impl FakeStream {
    /// A stream whose shards share the keys evenly.
    pub fn new(clock: Clock, arn: &str, shards: u64) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let width = u64::MAX / shards;
        for number in 0..shards {
            let last = if number + 1 == shards { u64::MAX } else { (number + 1) * width - 1 };
            lock(&state).add(Vec::new(), number * width..=last);
        }
        let poll_interval = Duration::from_secs(1);
        Self { clock, arn: arn.into(), poll_interval, retention: None, reads_max: None, is_pushed: false, state }
    }

    /// The same stream as its registered consumer reads it.
    pub fn pushed(self) -> Self {
        Self { is_pushed: true, ..self }
    }

    /// How long a reader leaves a shard alone after it found nothing more.
    pub fn with_poll_interval(self, poll_interval: Duration) -> Self {
        Self { poll_interval, ..self }
    }

    /// The same stream that says how long it keeps records. It keeps them until [`FakeStream::expire`].
    pub fn with_retention(self, retention: Option<Duration>) -> Self {
        Self { retention, ..self }
    }

    /// The same stream that answers so many reads of a shard a second, and refuses all beyond that.
    pub fn with_read_limit(self, reads_max: Option<usize>) -> Self {
        Self { reads_max, ..self }
    }

    /// Another consumer reads this shard, which counts against the shard's limit.
    pub fn read_by_another(&self, shard: &ShardId) {
        if let Some(log) = lock(&self.state).shards.get_mut(shard) {
            _ = log.count_read(self.reads_max);
        }
    }

    /// Another stream under the same name: so many shards, no records, and numbers from the beginning.
    pub fn make_anew(&self, shards: u64) {
        let anew = Self::new(self.clock.clone(), &self.arn, shards);
        *lock(&self.state) = std::mem::take(&mut *lock(&anew.state));
    }

    pub fn put(&self, key: &str, data: &str) {
        self.put_record(key, data);
    }

    /// Puts a record and says where it went.
    pub fn put_record(&self, key: &str, data: &str) -> (ShardId, SequenceNumber) {
        let state = &mut *lock(&self.state);
        let number = state.records_put;
        state.records_put += 1;
        let sequence_number = SequenceNumber::new((FIRST_SEQUENCE_NUMBER + number).to_string());
        let arrived_at = self.clock.now();
        let record =
            Kept { sequence_number: sequence_number.clone(), key: key.to_owned(), data: data.to_owned(), arrived_at };
        let hash = hash(key);
        let taking = state.shards.iter_mut().find(|(_, log)| log.open && log.hashes.contains(&hash));
        let (id, log) = taking.expect("the open shards take every key");
        log.records.push_back(record);
        (id.clone(), sequence_number)
    }

    /// The shards that take records.
    pub fn open_shards(&self) -> Vec<ShardId> {
        lock(&self.state).shards.iter().filter(|(_, log)| log.open).map(|(id, _)| id.clone()).collect()
    }

    /// The shard that takes this key now.
    pub fn shard_of(&self, key: &str) -> ShardId {
        let (state, hash) = (lock(&self.state), hash(key));
        let mut shards = state.shards.iter().filter(|(_, log)| log.open && log.hashes.contains(&hash));
        shards.next().expect("the open shards take every key").0.clone()
    }

    /// A key that this shard takes.
    pub fn key_of(&self, shard: &ShardId) -> String {
        let mut keys = (0..).map(|number| format!("key-{number}"));
        keys.find(|key| self.shard_of(key) == *shard).expect("an open shard takes some key")
    }

    /// Closes a shard in favour of two.
    pub fn split(&self, shard: &ShardId) -> [ShardId; 2] {
        let mut state = lock(&self.state);
        let (first, last) = state.close(shard, self.clock.now()).into_inner();
        let middle = first + (last - first) / 2;
        [first..=middle, middle + 1..=last].map(|hashes| state.add(vec![shard.clone()], hashes))
    }

    /// Closes two neighbours in favour of one.
    pub fn merge(&self, shard: &ShardId, next: &ShardId) -> ShardId {
        let mut state = lock(&self.state);
        let (mine, theirs) = (state.close(shard, self.clock.now()), state.close(next, self.clock.now()));
        assert_eq!(mine.end() + 1, *theirs.start(), "only neighbours merge");
        state.add(vec![shard.clone(), next.clone()], *mine.start()..=*theirs.end())
    }

    /// Closes a shard in favour of one other, as a table's stream does every few hours.
    pub fn roll_over(&self, shard: &ShardId) -> ShardId {
        let mut state = lock(&self.state);
        let hashes = state.close(shard, self.clock.now());
        state.add(vec![shard.clone()], hashes)
    }

    /// The open shards that could merge, each pair in the order of [`FakeStream::merge`].
    pub fn neighbours(&self) -> Vec<(ShardId, ShardId)> {
        let state = lock(&self.state);
        let open = || state.shards.iter().filter(|(_, log)| log.open);
        let pairs = open().flat_map(|(id, log)| {
            let next = log.hashes.end().checked_add(1);
            open()
                .filter(move |(_, other)| next == Some(*other.hashes.start()))
                .map(|(other, _)| (id.clone(), other.clone()))
        });
        pairs.collect()
    }

    /// The shard's parents; none if it is gone.
    pub fn parents(&self, shard: &ShardId) -> Vec<ShardId> {
        lock(&self.state).shards.get(shard).map(|log| log.parents.clone()).unwrap_or_default()
    }

    /// Whether the shard takes records.
    pub fn is_open(&self, shard: &ShardId) -> bool {
        lock(&self.state).shards.get(shard).is_some_and(|log| log.open)
    }

    /// Whether a listing has it.
    pub fn is_listed(&self, shard: &ShardId) -> bool {
        lock(&self.state).shards.contains_key(shard)
    }

    /// What is older than this is past its retention: records, and closed shards without any. Answers the data of these
    /// records.
    pub fn expire(&self, before: Timestamp) -> Vec<String> {
        let state = &mut *lock(&self.state);
        let mut gone = Vec::new();
        for log in state.shards.values_mut() {
            let kept = log.records.partition_point(|record| record.arrived_at < before);
            gone.extend(log.trim(kept).into_iter().map(|record| record.data));
        }
        state.shards.retain(|_, log| {
            log.open || !log.records.is_empty() || log.closed_at.is_none_or(|closed_at| closed_at >= before)
        });
        gone
    }

    /// The shard's records past their retention are gone: all but the newest few.
    pub fn trim(&self, shard: &ShardId, kept: usize) {
        let mut state = lock(&self.state);
        let log = state.shards.get_mut(shard).unwrap();
        log.trim(log.records.len().saturating_sub(kept));
    }

    /// Listings leave the shard out, until they do not.
    pub fn leave_out(&self, shard: &ShardId) {
        lock(&self.state).left_out.insert(shard.clone());
    }

    /// Listings have the shard again.
    pub fn list_again(&self, shard: &ShardId) {
        lock(&self.state).left_out.remove(shard);
    }

    /// The shard is gone, from the listing too.
    pub fn remove(&self, shard: &ShardId) {
        lock(&self.state).shards.remove(shard).unwrap();
    }

    /// The next receives of this shard do this instead.
    pub fn fail_receives(&self, shard: &ShardId, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state).receive_faults.entry(shard.clone()).or_default().add(faults);
    }

    /// Receives of this shard that begin now are never answered.
    pub fn silence(&self, shard: &ShardId) {
        lock(&self.state).silent.insert(shard.clone());
    }

    /// Receives of this shard that begin from now on are answered.
    pub fn answer_again(&self, shard: &ShardId) {
        lock(&self.state).silent.remove(shard);
    }

    /// Something is wrong with the shard's subscription, if it has one.
    pub fn lose_subscription(&self, shard: &ShardId, loss: Loss) {
        lock(&self.state).subscriptions.lose(shard, loss);
    }

    /// The next listings do this instead.
    pub fn fail_listings(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state).listing_faults.add(faults);
    }

    /// How often the shards were listed.
    pub fn listings(&self) -> usize {
        lock(&self.state).listings
    }

    /// The data of every record that a checkpoint of this shard covers.
    pub fn covered(&self, shard: &ShardId, checkpoint: &Checkpoint) -> Vec<String> {
        let state = lock(&self.state);
        let covered = state.shards[shard].records.iter().filter(|record| {
            let position = record.sequence_number.clone().into();
            let below = match &checkpoint.up_to {
                UpTo::After(last) => position <= *last,
                UpTo::Ended => true,
                UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => false,
            };
            below || checkpoint.settled_above.iter().any(|range| range.contains(&position))
        });
        covered.map(|record| record.data.clone()).collect()
    }

    fn page(&self, shard: &ShardId, position: &UpTo, max: usize) -> Result<Page, SourceError> {
        self.strike_receive(shard)?;
        let state = &mut *lock(&self.state);
        let log = state.shards.get_mut(shard).ok_or_else(|| Fault::Missing.strike())?;
        log.count_read(self.reads_max)?;
        Ok(log.page(position, max, self.clock.now()))
    }

    pub(super) fn strike_receive(&self, shard: &ShardId) -> Result<(), SourceError> {
        lock(&self.state).receive_faults.get_mut(shard).map_or(Ok(()), Faults::strike)
    }

    pub(super) fn is_silent(&self, shard: &ShardId) -> bool {
        lock(&self.state).silent.contains(shard)
    }

    pub(super) fn subscriptions<T>(&self, change: impl FnOnce(&mut Subscriptions) -> T) -> T {
        change(&mut lock(&self.state).subscriptions)
    }

    /// No record has a higher number.
    pub(super) fn last_sequence_number(&self) -> SequenceNumber {
        SequenceNumber::new((FIRST_SEQUENCE_NUMBER + lock(&self.state).records_put - 1).to_string())
    }

    /// Whether records after the position are gone.
    pub(super) fn is_trimmed_after(&self, shard: &ShardId, position: &UpTo) -> bool {
        lock(&self.state).shards.get(shard).is_some_and(|log| log.is_trimmed_after(position))
    }

    /// The records after the position, whatever of them is gone. `None` if the shard is.
    pub(super) fn look(&self, shard: &ShardId, position: &UpTo, max: usize) -> Option<Page> {
        let state = lock(&self.state);
        Some(state.shards.get(shard)?.page(position, max, self.clock.now()))
    }
}

impl State {
    fn add(&mut self, parents: Vec<ShardId>, hashes: RangeInclusive<u64>) -> ShardId {
        let id = ShardId::new(format!("shardId-{:012}", self.shards_made));
        self.shards_made += 1;
        self.shards.insert(id.clone(), Log::new(parents, hashes));
        id
    }

    fn close(&mut self, shard: &ShardId, now: Timestamp) -> RangeInclusive<u64> {
        let log = self.shards.get_mut(shard).unwrap();
        log.closed_at = Some(now);
        assert!(std::mem::take(&mut log.open), "a shard is closed once");
        log.hashes.clone()
    }
}

impl Source for FakeStream {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        Box::pin(async {
            let state = &mut *lock(&self.state);
            state.listings += 1;
            state.listing_faults.strike()?;
            let shard =
                |(id, log): (&ShardId, &Log)| Shard { id: id.clone(), parents: log.parents.clone(), open: log.open };
            Ok(state.shards.iter().filter(|(id, _)| !state.left_out.contains(*id)).map(shard).collect())
        })
    }

    fn retention(&self) -> BoxFuture<'_, Result<Option<Duration>, SourceError>> {
        Box::pin(std::future::ready(Ok(self.retention)))
    }

    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver> {
        if self.is_pushed {
            let renderer = Renderer::new(shard, "arn:aws:iam::111111111111:role/worker", "eu-west-1", &self.arn);
            let shard = FakeShard { stream: self.clone(), id: shard.clone() };
            return Box::new(PushReceiver::new(shard, renderer, self.clock.clone(), from.up_to.clone()));
        }
        Box::new(ShardReceiver::new(self.clone(), shard.clone(), from.up_to.clone()))
    }

    fn poll_time(&self) -> Duration {
        if self.is_pushed { POLL_TIME } else { self.poll_interval }
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        Box::pin(std::future::ready(vec![Settled::Confirmed; settlements.len()]))
    }
}

/// FNV-1a with a finalizer that spreads short keys over all shards.
fn hash(key: &str) -> u64 {
    let folded = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let spread = (folded ^ (folded >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    spread ^ (spread >> 29)
}

/// Numbers grow a digit early: who compares them as text is found out.
const FIRST_SEQUENCE_NUMBER: u64 = 95;
