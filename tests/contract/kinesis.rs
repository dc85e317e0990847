//! What the engine relies on when it reads a stream, shown on two servers of different habits: kinesis-local, which
//! splits and merges like AWS, and ministack, whose shards vanish and whose sequence numbers begin with zeros; and on
//! the fake, which can do both.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};
use esmd::clock::Clock;
use esmd::core::Timestamp;
use esmd::core::checkpoint::UpTo;
use esmd::core::record::{PositionReset, Record, ShardId};
use esmd::source::kinesis::{KinesisSource, Stream};
use esmd::source::{Source, SourceError};
use serde_json::Value;

use crate::fakes;
use crate::fakes::stream::FakeStream;
use crate::stream::*;

/// Makes of each case one test for each place that can show it; on the fake in virtual time.
macro_rules! cases {
    (
        everywhere: $($all:ident)+; servers: $($served:ident)+; forgets: $($forgot:ident)+; reshards: $($split:ident)+;
        vanishes: $($gone:ident)+; time: $($late:ident)+;
    ) => {
        mod kinesis_local {
            $(#[tokio::test] async fn $all() { super::$all(super::KINESIS_LOCAL).await; })+
            $(#[tokio::test] async fn $served() { super::$served(super::KINESIS_LOCAL).await; })+
            $(#[tokio::test] async fn $forgot() { super::$forgot(super::KINESIS_LOCAL).await; })+
            $(#[tokio::test] async fn $split() { super::$split(super::KINESIS_LOCAL).await; })+
        }
        mod ministack {
            $(#[tokio::test] async fn $all() { super::$all(super::MINISTACK).await; })+
            $(#[tokio::test] async fn $served() { super::$served(super::MINISTACK).await; })+
            $(#[tokio::test] async fn $gone() { super::$gone(super::MINISTACK).await; })+
        }
        mod fake {
            $(#[tokio::test(start_paused = true)] async fn $all() { super::$all(super::FAKE).await; })+
            $(#[tokio::test(start_paused = true)] async fn $forgot() { super::$forgot(super::FAKE).await; })+
            $(#[tokio::test(start_paused = true)] async fn $split() { super::$split(super::FAKE).await; })+
            $(#[tokio::test(start_paused = true)] async fn $gone() { super::$gone(super::FAKE).await; })+
            $(#[tokio::test(start_paused = true)] async fn $late() { super::$late(super::FAKE).await; })+
        }
    };
}

cases!(
    everywhere:
        trim_horizon_reads_every_record_in_the_order_of_its_shard
        a_receive_brings_at_most_what_it_was_asked_for
        latest_reads_what_arrived_after_its_instant_however_late_the_shard_is_opened
        at_timestamp_reads_what_arrived_then_or_later
        a_position_is_resumed_after_its_record
        a_receive_that_is_dropped_loses_nothing
        a_shard_that_is_not_there_is_missing
        settling_a_stream_is_always_confirmed;
    servers:
        a_record_is_rendered_with_what_its_stream_says_of_it
        a_listing_of_many_pages_is_whole
        the_stream_says_how_long_it_keeps_records
        a_stream_that_is_not_there_is_missing;
    // ministack reads nothing after a number that it does not know.
    forgets:
        a_position_that_is_unknown_reads_on_at_the_oldest_record
        a_stream_made_anew_under_its_name_is_read_from_its_oldest_record;
    // ministack drops a split shard with its records at once.
    reshards:
        a_split_shard_is_read_to_its_end_and_names_its_children
        a_merged_shard_names_both_its_parents;
    vanishes:
        a_shard_that_vanishes_under_its_reader_is_missing;
    // No server at hand shows these: none trims, rolls over, counts reads, or lets an iterator expire within a minute. The
    // fake shows them as the rules say that they are; `source::polling` shows what the adapters do about the answers.
    time:
        a_position_whose_followers_were_trimmed_reads_on_at_the_oldest_record
        an_iterator_that_stands_behind_all_that_was_trimmed_misses_nothing
        the_end_of_a_shard_whose_last_records_were_trimmed_tells_of_the_gap
        an_iterator_that_expired_is_replaced_at_its_position
        a_shard_that_rolled_over_is_read_to_its_end_and_names_its_parent
        readers_of_a_shard_share_its_limit;
);

/// `docs/semantics.md` 6.1: the mapping's beginning is the instant that was noted, not the first call.
async fn latest_reads_what_arrived_after_its_instant_however_late_the_shard_is_opened(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..3).await;
    let instant = stream.instant_after_all_before().await;
    stream.put(3..5).await;

    let mut receiver = stream.open(&shard, UpTo::Latest(instant));
    let first = read_to_tip(&mut receiver, 100).await;
    stream.put(5..6).await;
    let then = read_until(&mut receiver, 1).await;

    assert_eq!((stream.numbers(&first), stream.numbers(&then)), (vec![3, 4], vec![5]));
}

/// `docs/semantics.md` 0; without an answer reading goes on.
async fn the_stream_says_how_long_it_keeps_records(server: KinesisServer) {
    let stream = server.create(1).await;
    assert_eq!(stream.source().retention().await.unwrap(), Some(Duration::from_hours(24)));
    assert_eq!(stream.source_of_nothing().retention().await.unwrap(), None);
}

/// `docs/semantics.md` 6.1.
async fn at_timestamp_reads_what_arrived_then_or_later(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..3).await;
    let instant = stream.instant_after_all_before().await;
    stream.put(3..5).await;
    let long_ago = Timestamp::from_millis(instant.as_millis() - 3_600_000);

    let since_instant = read_to_tip(&mut stream.open(&shard, UpTo::AtTimestamp(instant)), 100).await;
    let since_long_ago = read_to_tip(&mut stream.open(&shard, UpTo::AtTimestamp(long_ago)), 100).await;

    assert_eq!((stream.numbers(&since_instant), stream.numbers(&since_long_ago)), (vec![3, 4], vec![0, 1, 2, 3, 4]));
}

/// `docs/semantics.md` 2.3.
async fn a_record_is_rendered_with_what_its_stream_says_of_it(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    let before = now();
    let (client, arn) = stream.served();
    let put = client.put_record().stream_arn(arn);
    let put = put.partition_key("a \"key\" — ключ").data(Blob::new([0_u8, 255, 10])).send().await.unwrap();

    let records = read_until(&mut stream.open(&shard, UpTo::TrimHorizon), 1).await;

    let [record] = records.as_slice() else { panic!("one record was put: {records:?}") };
    let element: Value = serde_json::from_slice(&record.element).unwrap();
    assert_eq!(record.key.as_ref().unwrap().as_str(), "a \"key\" — ключ");
    assert_eq!(position(record).sequence_number.as_str(), put.sequence_number());
    assert!(record.arrived_at >= before && record.arrived_at <= now(), "{:?}", record.arrived_at);
    assert_eq!(element["kinesis"]["partitionKey"], "a \"key\" — ключ");
    assert_eq!(element["kinesis"]["data"], "AP8K");
    assert_eq!(element["kinesis"]["sequenceNumber"], put.sequence_number());
    assert_eq!(element["eventID"], format!("{shard}:{}", put.sequence_number()));
    assert_eq!(element["eventSourceARN"], arn);
    assert_eq!(element["awsRegion"], REGION);
    assert_eq!(element["invokeIdentityArn"], ROLE);
}

async fn a_listing_of_many_pages_is_whole(server: KinesisServer) {
    let stream = server.create(5).await;

    let (client, arn) = stream.served();
    let whole = stream.source().shards().await.unwrap();
    let paged = source(client, arn).with_shards_per_page(2).shards().await.unwrap();

    assert_eq!(whole.len(), 5);
    assert!(whole.iter().all(|shard| shard.open && shard.parents.is_empty()), "{whole:?}");
    assert_eq!(paged, whole);
}

/// `docs/semantics.md` 6.2: what happens to a mapping whose local server was started again.
async fn a_stream_made_anew_under_its_name_is_read_from_its_oldest_record(server: KinesisServer) {
    let stream = server.create(1).await;
    stream.put(0..3).await;
    let old = read_until(&mut stream.open_only(UpTo::TrimHorizon).await, 3).await;
    let last = UpTo::After(position(old.last().unwrap()).clone());

    stream.make_anew().await;
    stream.put(3..5).await;

    assert_eq!(stream.numbers(&read_until(&mut stream.open_only(last).await, 2).await), [3, 4]);
}

/// `docs/semantics.md` 6.3.
async fn a_split_shard_is_read_to_its_end_and_names_its_children(server: KinesisServer) {
    let stream = server.create(1).await;
    let parent = stream.only_shard().await.id;
    stream.put(0..4).await;
    stream.split(&parent).await;
    stream.put(4..8).await;

    let shards = stream.source().shards().await.unwrap();
    let of_parent = read_to_end(&mut stream.open(&parent, UpTo::TrimHorizon)).await;

    assert_eq!(shards.iter().filter(|shard| shard.parents == [parent.clone()] && shard.open).count(), 2);
    assert_eq!(shards.iter().filter(|shard| shard.id == parent && !shard.open).count(), 1);
    assert_eq!(stream.numbers(&of_parent), [0, 1, 2, 3]);
    let last = position(of_parent.last().unwrap()).clone();
    assert!(read_to_end(&mut stream.open(&parent, UpTo::After(last))).await.is_empty());
    let instant = stream.instant_after_all_before().await;
    assert!(read_to_end(&mut stream.open(&parent, UpTo::Latest(instant))).await.is_empty());
}

/// `docs/semantics.md` 6.3.
async fn a_merged_shard_names_both_its_parents(server: KinesisServer) {
    let stream = server.create(2).await;
    let parents: Vec<ShardId> = stream.source().shards().await.unwrap().into_iter().map(|shard| shard.id).collect();
    stream.merge(&parents[0], &parents[1]).await;

    let shards = stream.source().shards().await.unwrap();

    let child = shards.iter().find(|shard| shard.open).unwrap();
    assert_eq!(child.parents, parents);
}

/// `docs/semantics.md` 6.2, for a reader that lags and for one that comes later. The gap is told once.
async fn a_position_whose_followers_were_trimmed_reads_on_at_the_oldest_record(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..3).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    let read = read_until(&mut receiver, 3).await;
    stream.put(3..8).await;

    stream.trim(&shard, 2);

    for mut reader in [receiver, stream.open_only(UpTo::After(position(&read[2]).clone())).await] {
        let first = reader.receive(1).await.unwrap();
        let then = reader.receive(100).await.unwrap();
        assert_eq!((stream.numbers(&first.records), stream.numbers(&then.records)), (vec![6], vec![7]));
        assert_eq!((first.reset, then.reset), (Some(PositionReset::Trimmed), None));
    }
}

/// `docs/semantics.md` 6.2: only a new iterator needs the record that it follows.
async fn an_iterator_that_stands_behind_all_that_was_trimmed_misses_nothing(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..3).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    let read = read_until(&mut receiver, 3).await;
    stream.trim(&shard, 0);
    stream.put(3..4).await;

    let at_work = receiver.receive(100).await.unwrap();
    let new = stream.open_only(UpTo::After(position(&read[2]).clone())).await.receive(100).await.unwrap();

    assert_eq!((stream.numbers(&at_work.records), at_work.reset), (vec![3], None));
    assert_eq!((stream.numbers(&new.records), new.reset), (vec![3], Some(PositionReset::Trimmed)));
}

/// `docs/semantics.md` 6.2 and 6.3: nothing is left to read, and what was lost is told all the same.
async fn the_end_of_a_shard_whose_last_records_were_trimmed_tells_of_the_gap(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..4).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    assert_eq!(stream.numbers(&receiver.receive(2).await.unwrap().records), [0, 1]);

    stream.split(&shard).await;
    stream.trim(&shard, 0);

    let last = receiver.receive(100).await.unwrap();
    assert_eq!((last.records.len(), last.ended, last.reset), (0, true, Some(PositionReset::Trimmed)));
}

/// `docs/semantics.md` 6.2: whoever rested for longer than an iterator lives goes on where it stood.
async fn an_iterator_that_expired_is_replaced_at_its_position(server: KinesisServer) {
    let stream = server.create(1).await;
    stream.put(0..3).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    assert_eq!(stream.numbers(&receiver.receive(2).await.unwrap().records), [0, 1]);

    tokio::time::sleep(Duration::from_mins(6)).await;
    stream.put(3..4).await;

    let read = read_until(&mut receiver, 2).await;
    assert_eq!(stream.numbers(&read), [2, 3]);
}

/// `docs/semantics.md` 6.3: what a table's stream does every few hours.
async fn a_shard_that_rolled_over_is_read_to_its_end_and_names_its_parent(server: KinesisServer) {
    let stream = server.create(1).await;
    let parent = stream.only_shard().await.id;
    stream.put(0..4).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    let mut read = receiver.receive(2).await.unwrap().records;

    stream.roll_over(&parent);
    stream.put(4..6).await;

    read.extend(read_to_end(&mut receiver).await);
    let shards = stream.source().shards().await.unwrap();
    let [child] = shards.iter().filter(|shard| shard.open).collect::<Vec<_>>()[..] else { panic!("{shards:?}") };
    assert_eq!(child.parents, [parent]);
    assert_eq!(stream.numbers(&read), [0, 1, 2, 3]);
    let of_child = read_until(&mut stream.open(&child.id, UpTo::TrimHorizon), 2).await;
    assert_eq!(stream.numbers(&of_child), [4, 5]);
}

/// `docs/semantics.md` 6.2: five reads a second for all consumers together. A refused read leaves the position.
async fn readers_of_a_shard_share_its_limit(server: KinesisServer) {
    let stream = server.create(1).await.with_read_limit(5);
    let shard = stream.only_shard().await.id;
    stream.put(0..3).await;
    let mut receiver = stream.open_only(UpTo::TrimHorizon).await;
    stream.read_by_others(&shard, 4);

    assert_eq!(stream.numbers(&receiver.receive(1).await.unwrap().records), [0]);
    let refused = receiver.receive(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert!(matches!(refused, Err(SourceError::Throttled(_))), "{refused:?}");
    assert_eq!(stream.numbers(&receiver.receive(2).await.unwrap().records), [1, 2]);
}

/// `docs/semantics.md` 6.3: the shard is gone while its reader is at work.
async fn a_shard_that_vanishes_under_its_reader_is_missing(server: KinesisServer) {
    let stream = server.create(1).await;
    let shard = stream.only_shard().await.id;
    stream.put(0..2).await;
    let mut receiver = stream.open(&shard, UpTo::TrimHorizon);
    assert_eq!(stream.numbers(&read_until(&mut receiver, 2).await), [0, 1]);

    stream.split_away(&shard).await;

    let read = receiver.receive(10).await;
    assert!(matches!(read, Err(SourceError::Missing(_))), "{read:?}");
}

/// A server by the environment variable that holds its URL.
#[derive(Clone, Copy, PartialEq)]
pub struct KinesisServer(&'static str);

pub const KINESIS_LOCAL: KinesisServer = KinesisServer("ESMD_TEST_KINESIS_LOCAL");
pub const MINISTACK: KinesisServer = KinesisServer("ESMD_TEST_MINISTACK");
/// No server.
pub const FAKE: KinesisServer = KinesisServer("the fake");
pub const REGION: &str = "eu-west-1";
pub const ROLE: &str = "arn:aws:iam::111111111111:role/worker";

pub enum KinesisStream {
    Served { client: Client, arn: String },
    Fake { clock: Clock, stream: FakeStream },
}

impl Server for KinesisServer {
    type Stream = KinesisStream;

    async fn create(self, shards: i32) -> KinesisStream {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        if self == FAKE {
            let clock = fakes::clock();
            let arn = "arn:aws:kinesis:eu-west-1:111111111111:stream/contract";
            let stream = FakeStream::new(clock.clone(), arn, shards.unsigned_abs().into());
            return KinesisStream::Fake { clock, stream };
        }
        let client = Client::new(&config(&url(self.0), REGION));
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("contract-{}-{}-{number}", std::process::id(), now().as_millis());
        client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        let arn = wait_until_active(&client, &name).await;
        KinesisStream::Served { client, arn }
    }
}

impl TestStream for KinesisStream {
    fn unknown_shard(&self) -> ShardId {
        ShardId::new("shardId-000000000099")
    }

    async fn put(&self, numbers: Range<usize>) {
        let key = |number: usize| format!("key-{}", number % 7);
        if let Self::Fake { stream, .. } = self {
            return numbers.for_each(|number| stream.put(&key(number), &number.to_string()));
        }
        let (client, arn) = self.served();
        let entry = |number: usize| {
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(number.to_string()));
            entry.partition_key(key(number)).build().unwrap()
        };
        let put = client.put_records().stream_arn(arn).set_records(Some(numbers.map(entry).collect()));
        assert_eq!(put.send().await.unwrap().failed_record_count, Some(0));
    }

    fn source(&self) -> Box<dyn Source> {
        match self {
            Self::Served { client, arn } => Box::new(source(client, arn)),
            Self::Fake { stream, .. } => Box::new(stream.clone()),
        }
    }

    fn source_of_nothing(&self) -> Box<dyn Source> {
        let (client, arn) = self.served();
        Box::new(source(client, &format!("{arn}-nowhere")))
    }

    fn number(&self, record: &Record) -> usize {
        let element: Value = serde_json::from_slice(&record.element).unwrap();
        let data = base64_simd::STANDARD.decode_to_vec(element["kinesis"]["data"].as_str().unwrap()).unwrap();
        String::from_utf8(data).unwrap().parse().unwrap()
    }
}

impl KinesisStream {
    /// The server's client and the stream's ARN there.
    pub fn served(&self) -> (&Client, &str) {
        match self {
            Self::Served { client, arn } => (client, arn),
            Self::Fake { .. } => panic!("only servers have this case"),
        }
    }

    /// The fake; only it has what the servers do not show.
    fn fake(&self) -> &FakeStream {
        match self {
            Self::Fake { stream, .. } => stream,
            Self::Served { .. } => panic!("no server shows this"),
        }
    }

    /// All records of a shard but the newest few are past their retention.
    fn trim(&self, shard: &ShardId, kept: usize) {
        self.fake().trim(shard, kept);
    }

    fn roll_over(&self, shard: &ShardId) {
        self.fake().roll_over(shard);
    }

    fn with_read_limit(self, reads_max: usize) -> Self {
        match self {
            Self::Fake { clock, stream } => Self::Fake { clock, stream: stream.with_read_limit(Some(reads_max)) },
            Self::Served { .. } => panic!("no server shows this"),
        }
    }

    /// Other consumers read a shard so many times.
    fn read_by_others(&self, shard: &ShardId, times: usize) {
        (0..times).for_each(|_| self.fake().read_by_another(shard));
    }

    fn now(&self) -> Timestamp {
        match self {
            Self::Served { .. } => now(),
            Self::Fake { clock, .. } => clock.now(),
        }
    }

    /// An instant between what has arrived and what arrives from now on: streams count in milliseconds.
    pub async fn instant_after_all_before(&self) -> Timestamp {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let instant = self.now();
        tokio::time::sleep(Duration::from_millis(3)).await;
        instant
    }

    /// Deletes the stream and makes another of the same name.
    async fn make_anew(&self) {
        if let Self::Fake { stream, .. } = self {
            return stream.make_anew(1);
        }
        let (client, arn) = self.served();
        client.delete_stream().stream_name(name(arn)).send().await.unwrap();
        while client.create_stream().stream_name(name(arn)).shard_count(1).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wait_until_active(client, name(arn)).await;
    }

    pub async fn split(&self, shard: &ShardId) {
        if let Self::Fake { stream, .. } = self {
            stream.split(shard);
            return;
        }
        let (client, arn) = self.served();
        let middle = (u128::MAX / 2).to_string();
        let split = client.split_shard().stream_arn(arn).shard_to_split(shard.as_str());
        split.new_starting_hash_key(middle).send().await.unwrap();
        wait_until_active(client, name(arn)).await;
    }

    /// Splits a shard, which is gone with that.
    pub async fn split_away(&self, shard: &ShardId) {
        self.split(shard).await;
        if let Self::Fake { stream, .. } = self {
            stream.remove(shard);
        }
    }

    async fn merge(&self, shard: &ShardId, next: &ShardId) {
        if let Self::Fake { stream, .. } = self {
            stream.merge(shard, next);
            return;
        }
        let (client, arn) = self.served();
        let merge = client.merge_shards().stream_arn(arn);
        let merge = merge.shard_to_merge(shard.as_str()).adjacent_shard_to_merge(next.as_str());
        merge.send().await.unwrap();
        wait_until_active(client, name(arn)).await;
    }
}

fn source(client: &Client, arn: &str) -> KinesisSource {
    KinesisSource::new(client.clone(), stream_at(arn, ROLE), Clock::system()).with_poll_interval(Duration::ZERO)
}

pub fn stream_at(arn: &str, role: &str) -> Stream {
    Stream { arn: arn.to_owned(), region: REGION.into(), invoke_identity_arn: role.to_owned() }
}

/// Answers with the stream's ARN.
async fn wait_until_active(client: &Client, name: &str) -> String {
    loop {
        let answer = client.describe_stream().stream_name(name).send().await.unwrap();
        let description = answer.stream_description.unwrap();
        if description.stream_status == StreamStatus::Active {
            return description.stream_arn;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}
