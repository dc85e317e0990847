//! What the engine relies on when it reads a table's stream, shown on two servers of different habits: `DynamoDB` Local,
//! whose times are whole minutes and whose region is its own, and ministack, whose sequence numbers begin with zeros.
//! No server makes such a stream's shards roll; that is shown on the fake, by the suite for Kinesis.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Origin, Position, Record, ShardId};
use esmd::core::settlement::{Handle, Settled, Settlement};
use esmd::source::dynamodb::DynamodbSource;
use esmd::source::{Receiver, Source, SourceError};
use serde_json::{Value, json};

use crate::table::Table;

/// Makes of each case one test for each server.
macro_rules! cases {
    ($($case:ident)+) => {
        mod dynamodb_local {
            $(#[tokio::test] async fn $case() { super::$case(super::DYNAMODB_LOCAL).await; })+
        }
        mod ministack {
            $(#[tokio::test] async fn $case() { super::$case(super::MINISTACK).await; })+
        }
    };
}

cases!(
    trim_horizon_reads_every_change_in_order
    a_receive_brings_at_most_what_it_was_asked_for
    latest_reads_all_that_was_written_after_its_instant_however_late_the_shard_is_opened
    a_position_is_resumed_after_its_record
    a_change_is_rendered_with_what_its_stream_says_of_it
    every_type_of_attribute_arrives_as_it_was_written
    changes_of_one_item_share_a_key_that_others_do_not_have
    a_receive_that_is_dropped_loses_nothing
    a_disabled_stream_is_read_to_its_end
    a_listing_of_one_shard_a_page_is_whole
    a_shard_that_is_not_there_is_missing
    a_stream_that_is_not_there_is_missing
    settling_a_stream_is_always_confirmed
);

/// `docs/semantics.md` 6.1.
async fn trim_horizon_reads_every_change_in_order(server: Server) {
    let stream = TestStream::create(server).await;
    stream.write(0..60).await;

    let records = read_to_tip(&mut stream.open(UpTo::TrimHorizon).await, 1_000).await;

    assert_eq!(numbers(&records), (0..60).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(position));
}

async fn a_receive_brings_at_most_what_it_was_asked_for(server: Server) {
    let stream = TestStream::create(server).await;
    stream.write(0..5).await;
    let mut receiver = stream.open(UpTo::TrimHorizon).await;

    let first = receiver.receive(3).await.unwrap();

    assert_eq!(numbers(&first.records), [0, 1, 2]);
    assert_eq!(numbers(&read_to_tip(&mut receiver, 3).await), [3, 4]);
}

/// `docs/semantics.md` 6.1: the mapping's beginning is the instant that was noted, not the first call. What was written
/// before it may come as well where times are whole minutes.
async fn latest_reads_all_that_was_written_after_its_instant_however_late_the_shard_is_opened(server: Server) {
    let stream = TestStream::create(server).await;
    stream.write(0..3).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // into another second
    let instant = now();
    stream.write(3..5).await;

    let mut receiver = stream.open(UpTo::Latest(instant)).await;
    let first = numbers(&read_until(&mut receiver, 2).await);
    stream.write(5..6).await;
    let then = read_until(&mut receiver, 1).await;

    assert!(first.ends_with(&[3, 4]), "{first:?}");
    assert!(server != MINISTACK || first == [3, 4], "{first:?}");
    assert_eq!(numbers(&then), [5]);
}

/// `docs/semantics.md` 6.1: a checkpoint's record is settled and does not come again.
async fn a_position_is_resumed_after_its_record(server: Server) {
    let stream = TestStream::create(server).await;
    stream.write(0..5).await;
    let all = read_to_tip(&mut stream.open(UpTo::TrimHorizon).await, 100).await;

    for (index, record) in all.iter().enumerate() {
        let from = UpTo::After(position(record).clone());
        let rest = read_to_tip(&mut stream.open(from).await, 100).await;
        assert_eq!(numbers(&rest), (index + 1..5).collect::<Vec<_>>());
    }
}

/// `docs/semantics.md` 2.4.
async fn a_change_is_rendered_with_what_its_stream_says_of_it(server: Server) {
    let stream = TestStream::create(server).await;
    let key = "a \"key\" — ключ";
    stream.table.put(key, 1).await;
    stream.table.put(key, 2).await;
    stream.table.delete(key).await;

    let records = read_until(&mut stream.open(UpTo::TrimHorizon).await, 3).await;

    let elements: Vec<Value> = records.iter().map(|record| serde_json::from_slice(&record.element).unwrap()).collect();
    let item = |sequence: &str| json!({"pk": {"S": key}, "sequence": {"N": sequence}});
    let expected =
        [("INSERT", Value::Null, item("1")), ("MODIFY", item("1"), item("2")), ("REMOVE", item("2"), Value::Null)];
    for ((element, record), (name, old_image, new_image)) in elements.iter().zip(&records).zip(expected) {
        let change = &element["dynamodb"];
        let seconds = record.arrived_at.as_millis() / 1_000;
        assert_eq!(element["eventName"], name);
        assert_eq!((&change["OldImage"], &change["NewImage"]), (&old_image, &new_image));
        assert_eq!(change["Keys"], json!({"pk": {"S": key}}));
        assert_eq!(change["SequenceNumber"], position(record).sequence_number.as_str());
        assert_eq!(change["StreamViewType"], "NEW_AND_OLD_IMAGES");
        assert_eq!(change["ApproximateCreationDateTime"], seconds as f64);
        assert!(now().as_millis() / 1_000 - seconds <= 120, "{change}");
        assert_eq!(element["eventSource"], "aws:dynamodb");
        assert_eq!(element["eventSourceARN"], stream.table.stream_arn);
        assert_eq!(element["awsRegion"], stream.table.stream_arn.split(':').nth(3).unwrap());
    }
}

/// `docs/semantics.md` 2.4.
async fn every_type_of_attribute_arrives_as_it_was_written(server: Server) {
    let stream = TestStream::create(server).await;
    let item = json!({
        "pk": {"S": "all"}, "n": {"N": "12345678901234567890.123456789"}, "b": {"B": "AP8K"}, "t": {"BOOL": true},
        "f": {"BOOL": false}, "z": {"NULL": true}, "ss": {"SS": ["only"]}, "ns": {"NS": ["-1"]}, "bs": {"BS": ["AQ=="]},
        "l": {"L": [{"S": "a"}, {"M": {"deep": {"L": []}}}]}, "m": {"M": {"x": {"N": "1"}}},
    });
    stream.table.put_item(&item).await;

    let records = read_until(&mut stream.open(UpTo::TrimHorizon).await, 1).await;

    let element: Value = serde_json::from_slice(&records[0].element).unwrap();
    assert_eq!(element["dynamodb"]["NewImage"], item);
}

/// `docs/semantics.md` 6.4.
async fn changes_of_one_item_share_a_key_that_others_do_not_have(server: Server) {
    let stream = TestStream::create(server).await;
    for key in ["a", "b", "a"] {
        stream.table.put(key, 1).await;
        stream.table.delete(key).await;
    }

    let records = read_until(&mut stream.open(UpTo::TrimHorizon).await, 6).await;

    let keys: Vec<_> = records.iter().map(|record| record.key.clone().unwrap()).collect();
    assert!(keys[0] == keys[1] && keys[0] == keys[4] && keys[0] == keys[5] && keys[2] == keys[3], "{keys:?}");
    assert_ne!(keys[0], keys[2]);
}

/// A drain drops the receive of a stream wherever it stands (`Receiver::receive`).
async fn a_receive_that_is_dropped_loses_nothing(server: Server) {
    let stream = TestStream::create(server).await;
    stream.write(0..20).await;

    for patience_ms in [0, 1, 2, 4, 8] {
        let mut receiver = stream.open(UpTo::TrimHorizon).await;
        let mut read = Vec::new();
        if let Ok(first) = tokio::time::timeout(Duration::from_millis(patience_ms), receiver.receive(100)).await {
            read.extend(first.unwrap().records);
        }
        read.extend(read_to_tip(&mut receiver, 100).await);
        assert_eq!(numbers(&read), (0..20).collect::<Vec<_>>(), "dropped after {patience_ms} ms");
    }
}

/// `docs/semantics.md` 6.2: the end of a shard, for a reader that is at work and for one that comes later.
async fn a_disabled_stream_is_read_to_its_end(server: Server) {
    let stream = TestStream::create(server).await;
    stream.write(0..4).await;
    let mut receiver = stream.open(UpTo::TrimHorizon).await;
    let mut read = receiver.receive(2).await.unwrap().records;
    assert!(stream.shard().await.open);

    stream.table.disable_stream().await;

    assert!(!stream.shard().await.open);
    read.extend(read_to_end(&mut receiver).await);
    assert_eq!(numbers(&read), [0, 1, 2, 3]);
    assert_eq!(numbers(&read_to_end(&mut stream.open(UpTo::TrimHorizon).await).await), [0, 1, 2, 3]);
    let last = UpTo::After(position(read.last().unwrap()).clone());
    assert!(read_to_end(&mut stream.open(last).await).await.is_empty());
}

async fn a_listing_of_one_shard_a_page_is_whole(server: Server) {
    let stream = TestStream::create(server).await;

    let paged = stream.source().with_shards_per_page(1).shards().await.unwrap();

    assert_eq!(paged, [stream.shard().await]);
    assert!(paged[0].open && paged[0].parents.is_empty(), "{paged:?}");
}

/// `docs/semantics.md` 6.3: the engine compares with the listing what it means.
async fn a_shard_that_is_not_there_is_missing(server: Server) {
    let stream = TestStream::create(server).await;
    let shard = ShardId::new("shardId-00000000000000000000-99999999");

    let read = stream.source().open(&shard, &Checkpoint::at(UpTo::TrimHorizon)).receive(10).await;

    assert!(matches!(read, Err(SourceError::Missing(_))), "{read:?}");
}

/// `docs/semantics.md` 6.2.
async fn a_stream_that_is_not_there_is_missing(server: Server) {
    let stream = TestStream::create(server).await;
    let elsewhere = stream.table.stream_arn.replace(&stream.table.name, "nowhere");

    let listed = DynamodbSource::new(stream.client.clone(), &elsewhere).shards().await;

    assert!(matches!(listed, Err(SourceError::Missing(_))), "{listed:?}");
}

async fn settling_a_stream_is_always_confirmed(server: Server) {
    let settlement = Settlement::Delete(Handle { id: "id".into(), receipt: "receipt".into(), ends_at: now() });

    let settled = TestStream::create(server).await.source().settle(vec![settlement.clone(), settlement]).await;

    assert_eq!(settled, [Settled::Confirmed; 2]);
}

/// A server by the environment variable that holds its URL.
type Server = &'static str;

const DYNAMODB_LOCAL: Server = "ESMD_TEST_DYNAMODB_LOCAL";
const MINISTACK: Server = "ESMD_TEST_MINISTACK";

/// A table of its own for each test, and the client of its stream.
struct TestStream {
    table: Table,
    client: Client,
}

impl TestStream {
    async fn create(server: Server) -> Self {
        let url = std::env::var(server).unwrap_or_else(|_| panic!("{server} is not set: run `make test`"));
        let config = aws_sdk_dynamodbstreams::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&url)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .build();
        Self { table: Table::create(&url).await, client: Client::from_conf(config) }
    }

    /// One change per number, in order, over seven items.
    async fn write(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.table.put(&format!("item-{}", number % 7), number as u64).await;
        }
    }

    fn source(&self) -> DynamodbSource {
        let source = DynamodbSource::new(self.client.clone(), &self.table.stream_arn);
        source.with_poll_interval_at_most(Duration::ZERO)
    }

    async fn shard(&self) -> esmd::core::shards::Shard {
        let mut shards = self.source().shards().await.unwrap();
        assert_eq!(shards.len(), 1);
        shards.remove(0)
    }

    async fn open(&self, from: UpTo) -> Box<dyn Receiver> {
        self.source().open(&self.shard().await.id, &Checkpoint::at(from))
    }
}

/// Reads until a page is empty. The servers here never answer one before the tip.
async fn read_to_tip(receiver: &mut Box<dyn Receiver>, max: usize) -> Vec<Record> {
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

async fn read_until(receiver: &mut Box<dyn Receiver>, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(receiver.receive(100).await.unwrap().records);
    }
    records
}

async fn read_to_end(receiver: &mut Box<dyn Receiver>) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let page = receiver.receive(100).await.unwrap();
        records.extend(page.records);
        if page.ended {
            return records;
        }
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap())
}

fn position(record: &Record) -> &Position {
    match &record.origin {
        Origin::Position(position) => position,
        Origin::Message { .. } => panic!("a stream's record has a position"),
    }
}

fn numbers(records: &[Record]) -> Vec<usize> {
    records.iter().map(number).collect()
}

/// The number that [`TestStream::write`] gave the item.
fn number(record: &Record) -> usize {
    let element: Value = serde_json::from_slice(&record.element).unwrap();
    element["dynamodb"]["NewImage"]["sequence"]["N"].as_str().unwrap().parse().unwrap()
}
