//! What the engine relies on when a stream pushes its records to a registered consumer, shown on ministack, whose streams
//! of events begin with an initial-response, on kinesis-local, whose do not, and on the fake. Both servers speak HTTP/1.1
//! only. Neither ends a shard as AWS does: kinesis-local never says it, and of ministack the shard is gone.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ConsumerStatus;
use esmd::clock::Clock;
use esmd::core::checkpoint::UpTo;
use esmd::core::record::{Position, Record, ShardId};
use esmd::source::kinesis::{FanOut, KinesisSource};
use esmd::source::{Source, SourceError};
use md5::{Digest as _, Md5};
use serde_json::Value;

use crate::kinesis::{FAKE, KINESIS_LOCAL, KinesisServer, KinesisStream, MINISTACK, REGION, ROLE, stream_at};
use crate::stream::*;

/// Makes of each case one test for each place that can show it; on the fake in virtual time.
macro_rules! cases {
    (everywhere: $($all:ident)+; servers: $($served:ident)+; ministack: $($own:ident)+; fake: $($ends:ident)+;) => {
        mod kinesis_local {
            $(#[tokio::test] async fn $all() { super::$all(super::Pushing(super::KINESIS_LOCAL)).await; })+
            $(#[tokio::test] async fn $served() { super::$served(super::Pushing(super::KINESIS_LOCAL)).await; })+
        }
        mod ministack {
            $(#[tokio::test] async fn $all() { super::$all(super::Pushing(super::MINISTACK)).await; })+
            $(#[tokio::test] async fn $served() { super::$served(super::Pushing(super::MINISTACK)).await; })+
            $(#[tokio::test] async fn $own() { super::$own(super::Pushing(super::MINISTACK)).await; })+
        }
        mod fake {
            $(#[tokio::test(start_paused = true)] async fn $all() { super::$all(super::Pushing(super::FAKE)).await; })+
            $(#[tokio::test(start_paused = true)] async fn $ends() { super::$ends(super::Pushing(super::FAKE)).await; })+
        }
    };
}

cases!(
    everywhere:
        trim_horizon_reads_every_record_in_the_order_of_its_shard
        a_receive_brings_at_most_what_it_was_asked_for
        a_position_is_resumed_after_its_record
        a_receive_that_is_dropped_loses_nothing
        settling_a_stream_is_always_confirmed
        latest_and_at_timestamp_read_what_arrived_then_or_later
        what_is_put_while_a_subscription_runs_arrives
        a_second_subscription_takes_over_where_the_first_one_stood;
    servers:
        a_record_is_rendered_with_the_consumers_arn
        an_aggregate_is_taken_apart_and_resumed_inside
        a_stream_that_is_not_there_is_missing;
    // kinesis-local pushes nothing from a shard that it does not have, and never says so.
    ministack:
        a_shard_that_is_not_there_is_missing
        a_shard_that_is_split_away_is_read_and_then_over
        a_consumer_that_is_not_there_is_missing;
    fake:
        a_shard_that_is_not_there_is_missing
        a_split_shard_is_read_to_its_end;
);

/// `docs/semantics.md` 6.1: positions by time are the same as for a reader that polls.
async fn latest_and_at_timestamp_read_what_arrived_then_or_later(server: Pushing) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..3).await;
    let instant = stream.stream.instant_after_all_before().await;
    stream.put(3..5).await;

    for position in [UpTo::Latest(instant), UpTo::AtTimestamp(instant)] {
        let mut receiver = stream.open(&shard, position);
        assert_eq!(stream.numbers(&read_until(&mut receiver, 2).await), [3, 4]);
    }
}

/// `docs/semantics.md` 6.8: signs of life come and do not end anything.
async fn what_is_put_while_a_subscription_runs_arrives(server: Pushing) {
    let stream = server.create(1).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    let mut read = Vec::new();
    for number in 0..4 {
        assert!(receiver.receive(10).await.unwrap().records.is_empty());
        stream.put(number..number + 1).await;
        read.extend(stream.numbers(&read_until(&mut receiver, 1).await));
    }
    assert_eq!(read, [0, 1, 2, 3]);
}

/// `docs/semantics.md` 6.8 (invariant 106): a daemon that begins again finds its own subscription.
async fn a_second_subscription_takes_over_where_the_first_one_stood(server: Pushing) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    let source = stream.source();
    let open = |from: UpTo| source.open(&shard, &esmd::core::checkpoint::Checkpoint::at(from));
    stream.put(0..3).await;
    let mut first = open(UpTo::TrimHorizon);
    let read = read_until(&mut first, 3).await;
    drop(first); // kinesis-local replaces none that somebody still reads
    stream.put(3..5).await;

    let mut second = open(UpTo::After(position(read.last().unwrap()).clone()));

    let mut taken_over = Vec::new();
    while taken_over.len() < 2 {
        match second.receive(10).await {
            Ok(received) => taken_over.extend(received.records),
            Err(error) => assert!(matches!(error, SourceError::Throttled(_)), "{error:?}"),
        }
    }
    assert_eq!(stream.numbers(&taken_over), [3, 4]);
}

/// `docs/semantics.md` 2.3 (invariant 36).
async fn a_record_is_rendered_with_the_consumers_arn(server: Pushing) {
    let stream = server.create(1).await;
    stream.put(7..8).await;

    let records = read_until(&mut stream.open_only(UpTo::TrimHorizon).await, 1).await;

    let element: Value = serde_json::from_slice(&records[0].element).unwrap();
    let source = element["eventSourceARN"].as_str().unwrap();
    let (_, arn) = stream.stream.served();
    assert!(source.starts_with(&format!("{arn}/consumer/")), "{source}");
    assert!(stream.consumers.iter().any(|consumer| consumer == source), "{source}");
    assert_eq!(element["awsRegion"], REGION);
    assert_eq!(element["kinesis"]["partitionKey"], "key-0");
}

/// `docs/semantics.md` 2.3, and 6.6 for a checkpoint inside an aggregate (invariant 94).
async fn an_aggregate_is_taken_apart_and_resumed_inside(server: Pushing) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    let (client, arn) = stream.stream.served();
    for data in [aggregate(&[("a", "0"), ("b", "1"), ("a", "2")]), b"3".to_vec()] {
        client.put_record().stream_arn(arn).partition_key("outer").data(Blob::new(data)).send().await.unwrap();
    }

    let all = read_until(&mut stream.open(&shard, UpTo::TrimHorizon), 4).await;

    assert_eq!(stream.numbers(&all), [0, 1, 2, 3]);
    let keys: Vec<_> = all.iter().map(|record| record.key.as_ref().unwrap().as_str()).collect();
    assert_eq!(keys, ["a", "b", "a", "outer"]);
    assert_eq!(all.iter().map(|record| position(record).index).collect::<Vec<_>>(), [1, 2, 3, 0]);
    let inside: &Position = position(&all[1]);
    let rest = read_until(&mut stream.open(&shard, UpTo::After(inside.clone())), 2).await;
    assert_eq!(stream.numbers(&rest), [2, 3]);
}

/// `docs/semantics.md` 6.3: without records that nobody read, since those go with it.
async fn a_shard_that_is_split_away_is_read_and_then_over(server: Pushing) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..2).await;
    let mut receiver = stream.open(&shard, UpTo::TrimHorizon);
    assert_eq!(stream.numbers(&read_until(&mut receiver, 2).await), [0, 1]);

    stream.stream.split_away(&shard).await;

    let is_over = loop {
        match receiver.receive(10).await {
            Ok(received) if received.ended => break true,
            Ok(received) => assert!(received.records.is_empty()),
            Err(error) => break matches!(error, SourceError::Missing(_)),
        }
    };
    assert!(is_over);
}

/// `docs/semantics.md` 6.8 (invariant 107).
async fn a_split_shard_is_read_to_its_end(server: Pushing) {
    let stream = server.create(1).await;
    let parent = stream.only_shard().await.id;
    stream.put(0..4).await;
    let mut receiver = stream.open(&parent, UpTo::TrimHorizon);
    let first = read_until(&mut receiver, 4).await;
    stream.stream.split(&parent).await;
    stream.put(4..8).await;

    assert!(read_to_end(&mut receiver).await.is_empty());
    assert_eq!(stream.numbers(&first), [0, 1, 2, 3]);
}

async fn a_consumer_that_is_not_there_is_missing(server: Pushing) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    let (client, arn) = stream.stream.served();
    let source = source(client, arn, &format!("{arn}/consumer/nobody:1760700041"));

    let read = source.open(&shard, &esmd::core::checkpoint::Checkpoint::at(UpTo::TrimHorizon)).receive(10).await;

    assert!(matches!(read, Err(SourceError::Missing(_))), "{read:?}");
}

/// A place where streams can be made that push.
struct Pushing(KinesisServer);

struct PushingStream {
    stream: KinesisStream,
    /// Some, since each subscribes to a shard once in five seconds.
    consumers: Vec<String>,
    used: AtomicUsize,
}

impl Server for Pushing {
    type Stream = PushingStream;

    async fn create(self, shards: i32) -> PushingStream {
        let stream = match self.0.create(shards).await {
            KinesisStream::Fake { clock, stream } => KinesisStream::Fake { clock, stream: stream.pushed() },
            served @ KinesisStream::Served { .. } => served,
        };
        let mut consumers = Vec::new();
        if let KinesisStream::Served { client, arn } = &stream {
            for number in 0..CONSUMERS {
                consumers.push(register(client, arn, &format!("consumer-{number}")).await);
            }
        }
        PushingStream { stream, consumers, used: AtomicUsize::new(0) }
    }
}

impl TestStream for PushingStream {
    fn unknown_shard(&self) -> ShardId {
        self.stream.unknown_shard()
    }

    async fn put(&self, numbers: Range<usize>) {
        self.stream.put(numbers).await;
    }

    fn source(&self) -> Box<dyn Source> {
        let KinesisStream::Served { client, arn } = &self.stream else { return self.stream.source() };
        let consumer = &self.consumers[self.used.fetch_add(1, Ordering::Relaxed) % self.consumers.len()];
        Box::new(source(client, arn, consumer))
    }

    fn source_of_nothing(&self) -> Box<dyn Source> {
        let (client, arn) = self.stream.served();
        Box::new(source(client, &format!("{arn}-nowhere"), &format!("{arn}-nowhere/consumer/nobody:1760700041")))
    }

    fn number(&self, record: &Record) -> usize {
        self.stream.number(record)
    }
}

fn source(client: &Client, arn: &str, consumer_arn: &str) -> KinesisSource {
    let client = client.clone();
    let source = KinesisSource::new(client.clone(), stream_at(arn, ROLE), Clock::system());
    source.with_fan_out(FanOut { consumer_arn: consumer_arn.to_owned(), connect: Arc::new(move || client.clone()) })
}

/// Answers with the consumer's ARN once it is ready.
async fn register(client: &Client, stream_arn: &str, name: &str) -> String {
    let registered = client.register_stream_consumer().stream_arn(stream_arn).consumer_name(name).send().await.unwrap();
    let arn = registered.consumer.unwrap().consumer_arn;
    loop {
        let answer = client.describe_stream_consumer().consumer_arn(&arn).send().await.unwrap();
        if answer.consumer_description.unwrap().consumer_status == ConsumerStatus::Active {
            return arn;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a producer library puts for these records, all of them short.
fn aggregate(records: &[(&str, &str)]) -> Vec<u8> {
    let member = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let keys = records.iter().flat_map(|(key, _)| member(0x0a, key.as_bytes()));
    let inner = (0..)
        .zip(records)
        .flat_map(|(index, (_, data))| member(0x1a, &[vec![0x08, index], member(0x1a, data.as_bytes())].concat()));
    let message: Vec<u8> = keys.chain(inner).collect();
    [&b"\xf3\x89\x9a\xc2"[..], &message, Md5::digest(&message).as_slice()].concat()
}

const CONSUMERS: usize = 10;
