//! What the engine relies on when it reads a stream, whichever service keeps it: the cases that are the same for all of
//! them, and what the suites of the services share.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Origin, Position, Record, SequenceNumber, ShardId};
use esmd::core::settlement::{Handle, Settled, Settlement};
use esmd::core::shards::Shard;
use esmd::source::{Receiver, Source, SourceError};

/// A place where streams can be made.
pub trait Server {
    type Stream: TestStream;

    /// Makes a stream, with this many shards where that can be chosen.
    async fn create(self, shards: i32) -> Self::Stream;
}

/// A stream of its own for each test.
pub trait TestStream {
    /// The name of a shard that it does not have, in the form of the service.
    fn unknown_shard(&self) -> ShardId;

    /// Puts one record per number, in order, over seven keys.
    async fn put(&self, numbers: Range<usize>);

    /// Reads without pauses of its own.
    fn source(&self) -> Box<dyn Source>;

    /// The source of a stream that does not exist.
    fn source_of_nothing(&self) -> Box<dyn Source>;

    /// The number that [`TestStream::put`] made a record of.
    fn number(&self, record: &Record) -> usize;

    fn numbers(&self, records: &[Record]) -> Vec<usize> {
        records.iter().map(|record| self.number(record)).collect()
    }

    async fn only_shard(&self) -> Shard {
        let mut shards = self.source().shards().await.unwrap();
        assert_eq!(shards.len(), 1);
        shards.remove(0)
    }

    fn open(&self, shard: &ShardId, from: UpTo) -> Box<dyn Receiver> {
        self.source().open(shard, &Checkpoint::at(from))
    }

    async fn open_only(&self, from: UpTo) -> Box<dyn Receiver> {
        self.open(&self.only_shard().await.id, from)
    }
}

/// `docs/semantics.md` 6.1.
pub async fn trim_horizon_reads_every_record_in_the_order_of_its_shard(server: impl Server) {
    let stream = server.create(2).await;
    stream.put(0..250).await;

    let mut read = Vec::new();
    for shard in stream.source().shards().await.unwrap() {
        let records = read_to_tip(&mut stream.open(&shard.id, UpTo::TrimHorizon), 10_000).await;
        assert!(records.is_sorted_by_key(position), "{}", shard.id);
        let numbers = stream.numbers(&records);
        assert!(numbers.is_sorted(), "{}", shard.id);
        read.extend(numbers);
    }

    read.sort_unstable();
    assert_eq!(read, (0..250).collect::<Vec<_>>());
}

pub async fn a_receive_brings_at_most_what_it_was_asked_for(server: impl Server) {
    let stream = server.create(1).await;
    stream.put(0..5).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;

    let first = receiver.receive(3).await.unwrap();

    assert_eq!(stream.numbers(&first.records), [0, 1, 2]);
    assert_eq!(stream.numbers(&read_to_tip(&mut receiver, 3).await), [3, 4]);
}

/// `docs/semantics.md` 6.1: a checkpoint's record is settled and does not come again.
pub async fn a_position_is_resumed_after_its_record(server: impl Server) {
    let stream = server.create(1).await;
    stream.put(0..5).await;
    let all = read_to_tip(&mut stream.open_only(UpTo::TrimHorizon).await, 100).await;

    for (index, record) in all.iter().enumerate() {
        let rest = read_to_tip(&mut stream.open_only(UpTo::After(position(record).clone())).await, 100).await;
        assert_eq!(stream.numbers(&rest), (index + 1..5).collect::<Vec<_>>());
    }
}

/// `docs/semantics.md` 6.2: each server has its own words for it, and some call it trimmed.
pub async fn a_position_that_is_unknown_reads_on_at_the_oldest_record(server: impl Server) {
    let stream = server.create(1).await;
    stream.put(0..3).await;
    let unknown = Position::from(SequenceNumber::new("1"));

    let read = stream.open_only(UpTo::After(unknown)).await.receive(100).await.unwrap();

    assert_eq!(stream.numbers(&read.records), [0, 1, 2]);
    assert!(read.reset.is_some(), "unknown or trimmed, as the server says");
}

/// A drain drops the receive of a stream wherever it stands (`Receiver::receive`).
pub async fn a_receive_that_is_dropped_loses_nothing(server: impl Server) {
    let stream = server.create(1).await;
    stream.put(0..50).await;

    for patience_ms in [0, 1, 2, 3, 4, 8] {
        let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
        let mut read = Vec::new();
        if let Ok(first) = tokio::time::timeout(Duration::from_millis(patience_ms), receiver.receive(100)).await {
            read.extend(first.unwrap().records);
        }
        read.extend(read_to_tip(&mut receiver, 100).await);
        assert_eq!(stream.numbers(&read), (0..50).collect::<Vec<_>>(), "dropped after {patience_ms} ms");
    }
}

/// `docs/semantics.md` 6.3: the engine compares with the listing what it means.
pub async fn a_shard_that_is_not_there_is_missing(server: impl Server) {
    let stream = server.create(1).await;
    let shard = stream.unknown_shard();
    let positions = [UpTo::TrimHorizon, UpTo::After(Position::from(SequenceNumber::new("1".repeat(30))))];

    for position in positions {
        let read = stream.open(&shard, position).receive(10).await;

        assert!(matches!(read, Err(SourceError::Missing(_))), "{read:?}");
    }
}

/// `docs/semantics.md` 6.2.
pub async fn a_stream_that_is_not_there_is_missing(server: impl Server) {
    let listed = server.create(1).await.source_of_nothing().shards().await;

    assert!(matches!(listed, Err(SourceError::Missing(_))), "{listed:?}");
}

pub async fn settling_a_stream_is_always_confirmed(server: impl Server) {
    let settlement = Settlement::Delete(Handle { id: "id".into(), receipt: "receipt".into(), ends_at: now() });

    let settled = server.create(1).await.source().settle(vec![settlement.clone(), settlement]).await;

    assert_eq!(settled, [Settled::Confirmed; 2]);
}

/// For clients of a server that do not retry by themselves.
pub fn config(url: &str, region: &'static str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(url)
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .retry_config(RetryConfig::disabled())
        .build()
}

/// A server's URL, which an environment variable holds.
pub fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `make test`"))
}

/// Reads until a page is empty. The servers here never answer one before the tip.
pub async fn read_to_tip(receiver: &mut Box<dyn Receiver>, max: usize) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let page = receiver.receive(max).await.unwrap();
        assert!(page.records.len() <= max);
        if page.records.is_empty() {
            return records;
        }
        records.extend(page.records);
    }
}

pub async fn read_until(receiver: &mut Box<dyn Receiver>, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(receiver.receive(100).await.unwrap().records);
    }
    records
}

pub async fn read_to_end(receiver: &mut Box<dyn Receiver>) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let page = receiver.receive(100).await.unwrap();
        records.extend(page.records);
        if page.ended {
            return records;
        }
    }
}

pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap())
}

pub fn position(record: &Record) -> &Position {
    match &record.origin {
        Origin::Position(position) => position,
        Origin::Message { .. } => panic!("a stream's record has a position"),
    }
}
