//! The adapter against a server that follows a script.

#![allow(clippy::unwrap_used)] // tests may

use std::sync::Mutex;

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::PositionReset;
use crate::source::polling::tests as polling;
use crate::source::polling::tests::{after, numbers};
use crate::source::script::{Answer, Server, iterator, json_answer, refusal};

polling::cases!(DYNAMODB);

/// `docs/semantics.md` 6.2: what may be lost is said as time.
#[tokio::test]
async fn the_gap_before_the_oldest_record_is_told_as_time() {
    let server = Server::start([
        iterator("first"),
        polling::page([record_at("101", 1_760_700_000)], Some("second")),
        refusal(400, "TrimmedDataAccessException"),
        iterator("third"),
        refusal(400, "TrimmedDataAccessException"),
        iterator("oldest"),
        polling::page([record_at("201", 1_760_703_600)], Some("next")),
    ])
    .await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut receiver = open(&server, UpTo::TrimHorizon);

    receiver.receive(10).await.unwrap();
    receiver.receive(10).await.unwrap();

    let told = log.text();
    assert!(told.contains("from=2025-10-17T11:20:00Z to=2025-10-17T12:20:00Z seconds=3600"), "{told}");
}

/// `docs/semantics.md` 6.2: a number is still taken, but what followed it is gone.
#[tokio::test]
async fn a_position_whose_next_record_was_trimmed_reads_on_at_the_oldest_record() {
    let server = Server::start([
        iterator("first"),
        refusal(400, "TrimmedDataAccessException"),
        iterator("oldest"),
        polling::page([record("201")], Some("next")),
    ])
    .await;
    let mut receiver = open(&server, after("101"));

    let read = receiver.receive(10).await.unwrap();

    assert_eq!((numbers(&read), read.reset), (vec!["201".into()], Some(PositionReset::Trimmed)));
    server.expect_calls(&[
        ("GetShardIterator", json!({"SequenceNumber": "101"})),
        ("GetRecords", json!({"ShardIterator": "first"})),
        ("GetShardIterator", json!({"ShardIteratorType": "TRIM_HORIZON"})),
        ("GetRecords", json!({"ShardIterator": "oldest"})),
    ]);
}

/// `docs/semantics.md` 6.1: whole seconds, equal ones are kept, and what follows the first one kept is kept too.
#[tokio::test]
async fn a_latest_shard_skips_what_was_created_before_its_instant() {
    let server = Server::start([
        iterator("first"),
        page_at(&[("101", 1_760_700_000), ("102", 1_760_700_006)], "second"),
        page_at(&[("103", 1_760_700_006), ("104", 1_760_700_007), ("105", 1_760_700_006)], "third"),
        page_at(&[("106", 1_760_700_006)], "fourth"),
    ])
    .await;
    let mut receiver = open(&server, UpTo::Latest(Timestamp::from_millis(1_760_700_007_900)));

    let mut pages = Vec::new();
    for _ in 0..3 {
        pages.push(numbers(&receiver.receive(10).await.unwrap()));
    }

    assert_eq!(pages, [vec![], vec!["104", "105"], vec!["106"]]);
    assert_eq!(server.calls()[0].1["ShardIteratorType"], "TRIM_HORIZON");
}

/// `docs/semantics.md` 6.1: servers exist that tell only the minute; nothing of the mapping may be lost there.
#[tokio::test]
async fn where_times_are_whole_minutes_those_of_the_instants_minute_are_kept() {
    let server = Server::start([
        iterator("first"),
        page_at(&[("101", 1_760_699_940), ("102", 1_760_700_000), ("103", 1_760_700_000)], "second"),
    ])
    .await;
    let mut receiver = open(&server, UpTo::Latest(Timestamp::from_millis(1_760_700_007_900)));

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["102", "103"]);
}

/// `docs/semantics.md` 6.1: a new iterator goes on behind what was skipped, and goes on skipping.
#[tokio::test]
async fn a_latest_shard_whose_iterator_expires_keeps_its_instant() {
    let server = Server::start([
        iterator("first"),
        page_at(&[("101", 1_760_700_001)], "second"),
        refusal(400, "ExpiredIteratorException"),
        iterator("third"),
        page_at(&[("102", 1_760_700_002), ("103", 1_760_700_009)], "fourth"),
    ])
    .await;
    let mut receiver = open(&server, UpTo::Latest(Timestamp::from_millis(1_760_700_007_000)));

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), Vec::<String>::new());
    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["103"]);

    assert_eq!(server.calls()[3].1["SequenceNumber"], "101");
}

/// `docs/semantics.md` 2.4: a function must not see an item with an attribute missing, so the record waits for a version
/// that knows it. What comes before it does not.
#[tokio::test]
async fn a_record_that_cannot_be_rendered_whole_is_neither_skipped_nor_cut() {
    let mut strange = record("102");
    strange["dynamodb"]["NewImage"] = json!({"new": {"Q": "?"}});
    let server = Server::start([
        iterator("first"),
        polling::page([record("101"), strange.clone()], None),
        iterator("second"),
        polling::page([strange], None),
    ])
    .await;
    let mut receiver = open(&server, UpTo::TrimHorizon);

    let before = receiver.receive(10).await.unwrap();
    let then = receiver.receive(10).await;

    assert_eq!((numbers(&before), before.ended), (vec!["101".into()], false));
    assert!(matches!(then, Err(SourceError::Transient(_))), "{then:?}");
    assert_eq!(server.calls()[2].1["SequenceNumber"], "101");
}

/// `docs/semantics.md` 6.4: one item, one key, whatever happened to it.
#[tokio::test]
async fn changes_of_one_item_share_their_ordering_key() {
    let mut other = record("103");
    other["dynamodb"]["Keys"] = json!({"sk": {"N": "1"}, "pk": {"S": "b"}});
    let mut again = other.clone();
    again["dynamodb"]["Keys"] = json!({"pk": {"S": "b"}, "sk": {"N": "1"}});
    let records = [record("101"), record("102"), other, again];
    let server = Server::start([iterator("first"), polling::page(records, Some("next"))]).await;

    let read = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap();

    let keys: Vec<_> = read.records.iter().map(|record| record.key.as_ref().unwrap().as_str()).collect();
    let (one, other) = (r#"{"pk":{"S":"a"}}"#, r#"{"pk":{"S":"b"},"sk":{"N":"1"}}"#);
    assert_eq!(keys, [one, one, other, other]);
}

/// `docs/semantics.md` 6.3: parents, and a shard with an ending number takes no more records.
#[tokio::test]
async fn a_listing_of_many_pages_is_whole() {
    let closed =
        json!({"ShardId": "0", "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "9"}});
    let child = json!({"ShardId": "1", "ParentShardId": "0", "SequenceNumberRange": {"StartingSequenceNumber": "10"}});
    let server = Server::start([described(&[closed], Some("0")), described(&[child], None)]).await;

    let shards = source(&server).shards().await.unwrap();

    assert_eq!(
        shards,
        [
            Shard { id: ShardId::new("0"), parents: vec![], open: false },
            Shard { id: ShardId::new("1"), parents: vec![ShardId::new("0")], open: true },
        ]
    );
    server.expect_calls(&[
        ("DescribeStream", json!({"StreamArn": STREAM, "Limit": 100})),
        ("DescribeStream", json!({"ExclusiveStartShardId": "0"})),
    ]);
}

#[tokio::test]
async fn a_listing_is_whole_or_an_error() {
    let first = || described(&[json!({"ShardId": "0"})], Some("0"));
    let throttled = Server::start([first(), refusal(400, "LimitExceededException")]).await;
    let endless = Server::start([first(), first()]).await;

    assert!(matches!(source(&throttled).shards().await, Err(SourceError::Throttled(_))));
    assert!(matches!(source(&endless).shards().await, Err(SourceError::Transient(_))));
}

/// `docs/semantics.md` 6.2: the table of source errors.
#[tokio::test]
async fn each_refusal_has_its_meaning() {
    for (code, meaning) in [
        ("LimitExceededException", "Throttled"),
        ("ThrottlingException", "Throttled"),
        ("AccessDeniedException", "Denied"),
        ("UnrecognizedClientException", "Denied"),
        ("ResourceNotFoundException", "Missing"),
        ("InternalServerError", "Transient"),
    ] {
        let server = Server::start([iterator("first"), refusal(400, code)]).await;

        let error = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap_err();

        assert!(format!("{error:?}").starts_with(meaning), "{code}: {error:?}");
    }
}

/// Records with the second in which each was created.
fn page_at(created: &[(&str, u64)], next: &str) -> Answer {
    polling::page(created.iter().map(|(number, second)| record_at(number, *second)), Some(next))
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn record(number: &str) -> Value {
    record_at(number, 1_760_700_000)
}

fn record_at(number: &str, second: u64) -> Value {
    json!({
        "eventID": number, "eventName": "MODIFY", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": second, "Keys": {"pk": {"S": "a"}}, "SequenceNumber": number,
            "SizeBytes": 3, "StreamViewType": "KEYS_ONLY",
        },
    })
}

fn described(shards: &[Value], last: Option<&str>) -> Answer {
    json_answer(&json!({"StreamDescription": {"StreamArn": STREAM, "Shards": shards, "LastEvaluatedShardId": last}}))
}

fn source(server: &Server) -> DynamodbSource {
    let mut source = DynamodbSource::new(Client::new(&server.config()), STREAM);
    source.limits.poll_interval = Duration::ZERO;
    source.limits.read_interval = Duration::ZERO;
    source
}

fn open(server: &Server, position: UpTo) -> Box<dyn Receiver> {
    source(server).open(&ShardId::new("shardId-00000001"), &Checkpoint::at(position))
}

const DYNAMODB: polling::Service = polling::Service {
    open,
    record,
    after: "SequenceNumber",
    stale: &["ExpiredIteratorException", "ValidationException", "TrimmedDataAccessException"],
    unknown: &["TrimmedDataAccessException", "ValidationException", "ResourceNotFoundException"],
    records_max: 1_000,
};

const STREAM: &str = "arn:aws:dynamodb:eu-west-1:111111111111:table/users/stream/2026-01-31T09:30:00.000";
