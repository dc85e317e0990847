//! What the engine relies on when it reads a table's stream, shown on two servers of different habits: `DynamoDB` Local,
//! whose times are whole minutes and whose region is its own, and ministack, whose sequence numbers begin with zeros.
//! No server makes such a stream's shards roll, or trims one; that is shown on the fake, by the suite for Kinesis.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use esmd::core::checkpoint::UpTo;
use esmd::core::record::{Record, ShardId};
use esmd::source::Source;
use esmd::source::dynamodb::DynamodbSource;
use serde_json::{Value, json};

use crate::stream::*;
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
    trim_horizon_reads_every_record_in_the_order_of_its_shard
    a_receive_brings_at_most_what_it_was_asked_for
    latest_reads_all_that_was_written_after_its_instant_however_late_the_shard_is_opened
    a_position_is_resumed_after_its_record
    a_position_that_is_unknown_reads_on_at_the_oldest_record
    a_change_is_rendered_with_what_its_stream_says_of_it
    a_table_keeps_changes_for_a_day
    every_type_of_attribute_arrives_as_it_was_written
    changes_of_one_item_share_a_key_that_others_do_not_have
    a_receive_that_is_dropped_loses_nothing
    a_disabled_stream_is_read_to_its_end
    a_listing_of_one_shard_a_page_is_whole
    a_shard_that_is_not_there_is_missing
    a_stream_that_is_not_there_is_missing
    settling_a_stream_is_always_confirmed
);

/// `docs/semantics.md` 6.1: the mapping's beginning is the instant that was noted, not the first call. What was written
/// before it may come as well where times are whole minutes.
async fn latest_reads_all_that_was_written_after_its_instant_however_late_the_shard_is_opened(server: TableServer) {
    let stream = server.create(1).await;
    stream.put(0..3).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // into another second
    let instant = now();
    stream.put(3..5).await;

    let mut receiver = stream.open_only(UpTo::Latest(instant)).await;
    let first = stream.numbers(&read_until(&mut receiver, 2).await);
    stream.put(5..6).await;
    let then = read_until(&mut receiver, 1).await;

    assert!(first.ends_with(&[3, 4]), "{first:?}");
    assert!(server != MINISTACK || first == [3, 4], "{first:?}");
    assert_eq!(stream.numbers(&then), [5]);
}

/// `docs/semantics.md` 2.4.
async fn a_change_is_rendered_with_what_its_stream_says_of_it(server: TableServer) {
    let stream = server.create(1).await;
    let key = "a \"key\" — ключ";
    stream.table.put(key, 1).await;
    stream.table.put(key, 2).await;
    stream.table.delete(key).await;

    let records = read_until(&mut stream.open_only(UpTo::TrimHorizon).await, 3).await;

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

/// `docs/semantics.md` 0
async fn a_table_keeps_changes_for_a_day(server: TableServer) {
    let stream = server.create(1).await;
    assert_eq!(stream.source().retention().await.unwrap(), Some(Duration::from_hours(24)));
}

/// `docs/semantics.md` 2.4.
async fn every_type_of_attribute_arrives_as_it_was_written(server: TableServer) {
    let stream = server.create(1).await;
    let item = json!({
        "pk": {"S": "all"}, "n": {"N": "12345678901234567890.123456789"}, "b": {"B": "AP8K"}, "t": {"BOOL": true},
        "f": {"BOOL": false}, "z": {"NULL": true}, "ss": {"SS": ["only"]}, "ns": {"NS": ["-1"]}, "bs": {"BS": ["AQ=="]},
        "l": {"L": [{"S": "a"}, {"M": {"deep": {"L": []}}}]}, "m": {"M": {"x": {"N": "1"}}},
    });
    stream.table.put_item(&item).await;

    let records = read_until(&mut stream.open_only(UpTo::TrimHorizon).await, 1).await;

    let element: Value = serde_json::from_slice(&records[0].element).unwrap();
    assert_eq!(element["dynamodb"]["NewImage"], item);
}

/// `docs/semantics.md` 6.4.
async fn changes_of_one_item_share_a_key_that_others_do_not_have(server: TableServer) {
    let stream = server.create(1).await;
    for key in ["a", "b", "a"] {
        stream.table.put(key, 1).await;
        stream.table.delete(key).await;
    }

    let records = read_until(&mut stream.open_only(UpTo::TrimHorizon).await, 6).await;

    let keys: Vec<_> = records.iter().map(|record| record.key.clone().unwrap()).collect();
    assert!(keys[0] == keys[1] && keys[0] == keys[4] && keys[0] == keys[5] && keys[2] == keys[3], "{keys:?}");
    assert_ne!(keys[0], keys[2]);
}

/// `docs/semantics.md` 6.2: the end of a shard, for a reader that is at work and for one that comes later.
async fn a_disabled_stream_is_read_to_its_end(server: TableServer) {
    let stream = server.create(1).await;
    stream.put(0..4).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    let mut read = receiver.receive(2).await.unwrap().records;
    assert!(stream.only_shard().await.open);

    stream.table.disable_stream().await;

    assert!(!stream.only_shard().await.open);
    read.extend(read_to_end(&mut receiver).await);
    assert_eq!(stream.numbers(&read), [0, 1, 2, 3]);
    assert_eq!(stream.numbers(&read_to_end(&mut stream.open_only(UpTo::TrimHorizon).await).await), [0, 1, 2, 3]);
    let last = UpTo::After(position(read.last().unwrap()).clone());
    assert!(read_to_end(&mut stream.open_only(last).await).await.is_empty());
}

async fn a_listing_of_one_shard_a_page_is_whole(server: TableServer) {
    let stream = server.create(1).await;

    let paged = source(&stream.client, &stream.table.stream_arn).with_shards_per_page(1).shards().await.unwrap();

    assert_eq!(paged, [stream.only_shard().await]);
    assert!(paged[0].open && paged[0].parents.is_empty(), "{paged:?}");
}

/// A server by the environment variable that holds its URL.
#[derive(Clone, Copy, PartialEq)]
struct TableServer(&'static str);

const DYNAMODB_LOCAL: TableServer = TableServer("ESMD_TEST_DYNAMODB_LOCAL");
const MINISTACK: TableServer = TableServer("ESMD_TEST_MINISTACK");

/// A table and the client of its stream.
struct TableStream {
    table: Table,
    client: Client,
}

impl Server for TableServer {
    type Stream = TableStream;

    /// The stream of a new table has one shard, whatever is asked for.
    async fn create(self, _shards: i32) -> TableStream {
        let url = url(self.0);
        TableStream { table: Table::create(&url).await, client: Client::new(&config(&url, "us-east-1")) }
    }
}

impl TestStream for TableStream {
    fn unknown_shard(&self) -> ShardId {
        ShardId::new("shardId-00000000000000000000-99999999")
    }

    async fn put(&self, numbers: Range<usize>) {
        for number in numbers {
            self.table.put(&format!("item-{}", number % 7), number as u64).await;
        }
    }

    fn source(&self) -> Box<dyn Source> {
        Box::new(source(&self.client, &self.table.stream_arn))
    }

    fn source_of_nothing(&self) -> Box<dyn Source> {
        Box::new(source(&self.client, &self.table.stream_arn.replace(&self.table.name, "nowhere")))
    }

    fn number(&self, record: &Record) -> usize {
        let element: Value = serde_json::from_slice(&record.element).unwrap();
        element["dynamodb"]["NewImage"]["sequence"]["N"].as_str().unwrap().parse().unwrap()
    }
}

fn source(client: &Client, stream_arn: &str) -> DynamodbSource {
    DynamodbSource::new(client.clone(), stream_arn).with_poll_interval_at_most(Duration::ZERO)
}
