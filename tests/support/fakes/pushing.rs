//! The stream in memory as one that pushes its records to a registered consumer (`docs/semantics.md` 6.8): subscriptions
//! that end after five minutes, are too young to be replaced, or are lost in any way a test asks for. The reader is the
//! real one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use esmd::core::checkpoint::UpTo;
use esmd::core::record::ShardId;
use esmd::source::fan_out::{Failure, Next, Pushed, PushedRecord, PushedShard, Subscription};
use tokio::time::{Instant, sleep};

use super::stream::FakeStream;
use super::stream::log::{Kept, Page};

/// What is wrong with a subscription.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The service ends it.
    Ended,
    /// Half-open: nobody is at the other end, and nothing tells.
    Silent,
    /// It ends with this error.
    Failed(&'static str),
    /// Somebody else subscribes as the same consumer.
    TakenOver,
}

/// The subscriptions of one consumer.
#[derive(Default)]
pub(super) struct Subscriptions {
    /// The newest of each shard.
    newest: BTreeMap<ShardId, Newest>,
    made: u64,
}

#[derive(Clone, Copy)]
struct Newest {
    id: u64,
    since: Instant,
    loss: Option<Loss>,
}

impl Subscriptions {
    fn begin(&mut self, shard: &ShardId) -> Result<u64, Failure> {
        let is_young = |newest: &Newest| newest.since.elapsed() < REPLACED_AFTER;
        if self.newest.get(shard).is_some_and(is_young) {
            return Err(failure(IN_USE));
        }
        Ok(self.replace(shard))
    }

    pub fn lose(&mut self, shard: &ShardId, loss: Loss) {
        if let (Loss::TakenOver, true) = (loss, self.newest.contains_key(shard)) {
            self.replace(shard);
        } else if let Some(newest) = self.newest.get_mut(shard) {
            newest.loss = Some(loss);
        }
    }

    fn replace(&mut self, shard: &ShardId) -> u64 {
        self.made += 1;
        self.newest.insert(shard.clone(), Newest { id: self.made, since: Instant::now(), loss: None });
        self.made
    }
}

/// A shard of it, to which a reader subscribes.
pub(super) struct FakeShard {
    pub stream: FakeStream,
    pub id: ShardId,
}

pub(super) struct FakeSubscription {
    stream: FakeStream,
    shard: ShardId,
    id: u64,
    position: UpTo,
    last_event_at: Option<Instant>,
}

impl PushedShard for FakeShard {
    type Subscription = FakeSubscription;

    async fn subscribe(&self, position: &UpTo) -> Result<FakeSubscription, Failure> {
        if self.stream.is_silent(&self.id) {
            return std::future::pending().await;
        }
        self.stream.strike_receive(&self.id)?;
        if !self.stream.is_listed(&self.id) {
            return Err(failure(NOT_FOUND));
        }
        if self.stream.is_trimmed_after(&self.id, position) {
            return Err(failure(INVALID_ARGUMENT));
        }
        let id = self.stream.subscriptions(|subscriptions| subscriptions.begin(&self.id))?;
        let (stream, shard) = (self.stream.clone(), self.id.clone());
        Ok(FakeSubscription { stream, shard, id, position: position.clone(), last_event_at: None })
    }
}

impl Subscription for FakeSubscription {
    async fn next(&mut self) -> Result<Option<Pushed>, Failure> {
        loop {
            let newest = self.stream.subscriptions(|subscriptions| subscriptions.newest.get(&self.shard).copied());
            let newest = newest.filter(|newest| newest.id == self.id).ok_or_else(|| failure(IN_USE))?;
            match newest.loss {
                Some(Loss::Ended) => return Ok(None),
                Some(Loss::Failed(code)) => return Err(failure(code)),
                Some(Loss::Silent) => return std::future::pending().await,
                Some(Loss::TakenOver) | None => {}
            }
            let is_trimmed = self.stream.is_trimmed_after(&self.shard, &self.position);
            if is_trimmed || newest.since.elapsed() >= ENDS_AFTER {
                return Ok(None);
            }
            if self.stream.is_silent(&self.shard) {
                return std::future::pending().await;
            }
            if let Some(event) = self.event()? {
                self.last_event_at = Some(Instant::now());
                return Ok(Some(event));
            }
            sleep(LOOKS_EVERY).await;
        }
    }
}

impl FakeSubscription {
    /// What there is to send now.
    fn event(&mut self) -> Result<Option<Pushed>, Failure> {
        let Page { records, ended, behind_millis } =
            self.stream.look(&self.shard, &self.position, EVENT_RECORDS).ok_or_else(|| failure(NOT_FOUND))?;
        let is_quiet = self.last_event_at.is_some_and(|at| at.elapsed() < SIGN_OF_LIFE_EVERY);
        if records.is_empty() && !ended && is_quiet {
            return Ok(None);
        }
        // All that the stream has taken so far has a lower number, so this one is as good as a record's.
        let last = records.last().map(|record| record.sequence_number.clone());
        let number = last.unwrap_or_else(|| self.stream.last_sequence_number());
        self.position = UpTo::After(number.clone().into());
        let next = if ended { Next::End } else { Next::After(number) };
        Ok(Some(Pushed {
            records: records.into_iter().map(pushed).collect(),
            behind_millis: Some(behind_millis),
            next,
        }))
    }
}

fn pushed(record: Kept) -> PushedRecord {
    PushedRecord {
        sequence_number: record.sequence_number,
        partition_key: Some(record.key),
        data: Bytes::from(record.data),
        arrived_at: record.arrived_at,
    }
}

fn failure(code: &'static str) -> Failure {
    Failure::new(Some(code), code)
}

const IN_USE: &str = "ResourceInUseException";
const INVALID_ARGUMENT: &str = "InvalidArgumentException";
const NOT_FOUND: &str = "ResourceNotFoundException";

/// A subscription may be replaced when it is so old.
const REPLACED_AFTER: Duration = Duration::from_secs(5);
const ENDS_AFTER: Duration = Duration::from_mins(5);
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(5);
const LOOKS_EVERY: Duration = Duration::from_millis(500);
/// Few, so that what was not asked for yet is often held by the reader.
const EVENT_RECORDS: usize = 50;
