//! The adapter against a server that follows a script.

#![allow(clippy::unwrap_used)] // tests may

use serde_json::{Value, json};

use super::*;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::source::polling::tests as polling;
use crate::source::polling::tests::numbers;
use crate::source::script::{Answer, Server, html, iterator, json_answer, refusal};

polling::cases!(KINESIS);

/// `docs/semantics.md` 6.1: a shard that was never read begins at the instant that was noted, however often it is
/// opened; the tip would lose what arrived in between.
#[tokio::test]
async fn a_latest_shard_begins_at_its_instant_each_time() {
    let server = Server::start([
        iterator("first"),
        page(&[], Some("second")),
        refusal(400, "ExpiredIteratorException"),
        iterator("third"),
        page(&[], Some("fourth")),
    ])
    .await;
    let mut receiver = open(&server, UpTo::Latest(Timestamp::from_millis(1_760_700_000_507)));

    receiver.receive(10).await.unwrap();
    receiver.receive(10).await.unwrap();

    let calls = server.calls();
    for call in [&calls[0], &calls[3]] {
        assert_eq!(call.1["ShardIteratorType"], "AT_TIMESTAMP");
        assert_eq!(call.1["Timestamp"], 1_760_700_000.507);
    }
}

/// `docs/semantics.md` 6.1: AWS takes no instant that lies ahead of its clock.
#[tokio::test]
async fn a_latest_instant_ahead_of_the_servers_clock_begins_at_the_tip() {
    let server =
        Server::start([refusal(400, "InvalidArgumentException"), iterator("first"), page(&["101"], Some("second"))])
            .await;
    let mut receiver = open(&server, UpTo::Latest(Timestamp::from_millis(NOW_MILLIS)));

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);

    assert_eq!(server.calls()[1].1["ShardIteratorType"], "LATEST");
}

#[tokio::test]
async fn a_latest_instant_long_past_is_never_given_up_for_the_tip() {
    let server = Server::start([refusal(400, "InvalidArgumentException")]).await;
    let mut receiver = open(&server, UpTo::Latest(Timestamp::from_millis(NOW_MILLIS - 3_600_000)));

    assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))));
    server.expect_calls(&[("GetShardIterator", json!({"ShardIteratorType": "AT_TIMESTAMP"}))]);
}

/// AWS takes a token only without the stream's name.
#[tokio::test]
async fn a_listing_is_continued_with_the_token_alone() {
    let server = Server::start([
        json_answer(&json!({"Shards": [shard("0"), shard("1")], "NextToken": "more"})),
        json_answer(&json!({"Shards": [shard("2")]})),
    ])
    .await;

    assert_eq!(ids(&source(&server).shards().await.unwrap()), ["0", "1", "2"]);

    let calls = server.calls();
    assert_eq!(calls[0].1, json!({"StreamARN": STREAM, "MaxResults": 1_000}));
    assert_eq!(calls[1].1, json!({"NextToken": "more"}));
}

#[tokio::test]
async fn a_listing_whose_token_is_refused_describes_the_stream_page_by_page() {
    let refusals = [refusal(400, "ResourceNotFoundException"), refusal(400, "InvalidArgumentException"), html()];
    for refusal in refusals {
        let server = Server::start([
            json_answer(&json!({"Shards": [shard("0")], "NextToken": "more"})),
            refusal,
            described(&[shard("0"), shard("1")], true),
            described(&[shard("2"), shard("3")], false),
        ])
        .await;

        assert_eq!(ids(&source(&server).shards().await.unwrap()), ["0", "1", "2", "3"]);

        server.expect_calls(&[
            ("ListShards", json!({})),
            ("ListShards", json!({})),
            ("DescribeStream", json!({"StreamARN": STREAM, "Limit": 1_000})),
            ("DescribeStream", json!({"ExclusiveStartShardId": "1"})),
        ]);
    }
}

#[tokio::test]
async fn a_listing_is_whole_or_an_error() {
    let server = Server::start([
        json_answer(&json!({"Shards": [shard("0")], "NextToken": "more"})),
        refusal(400, "LimitExceededException"),
    ])
    .await;

    assert!(matches!(source(&server).shards().await, Err(SourceError::Throttled(_))));
}

#[tokio::test]
async fn a_listing_that_leads_back_to_itself_is_an_error_and_not_a_loop() {
    let listed = || json_answer(&json!({"Shards": [shard("0")], "NextToken": "more"}));
    for page in [vec![shard("0")], vec![]] {
        let server = Server::start([listed(), listed(), described(&[shard("0")], true), described(&page, true)]).await;

        assert!(matches!(source(&server).shards().await, Err(SourceError::Transient(_))));
    }
}

/// `docs/semantics.md` 6.3: parents of splits and merges; a shard with an ending number takes no more records.
#[tokio::test]
async fn a_listing_tells_parents_and_whether_a_shard_is_open() {
    let mut split = shard("2");
    split["ParentShardId"] = json!("0");
    let mut merged = shard("3");
    merged["ParentShardId"] = json!("1");
    merged["AdjacentParentShardId"] = json!("2");
    merged["SequenceNumberRange"]["EndingSequenceNumber"] = json!("9");
    let server = Server::start([json_answer(&json!({"Shards": [split, merged]}))]).await;

    let shards = source(&server).shards().await.unwrap();

    assert_eq!(
        shards,
        [
            Shard { id: ShardId::new("2"), parents: vec![ShardId::new("0")], open: true },
            Shard { id: ShardId::new("3"), parents: vec![ShardId::new("1"), ShardId::new("2")], open: false },
        ]
    );
}

/// `docs/semantics.md` 6.2: the table of source errors.
#[tokio::test]
async fn each_refusal_has_its_meaning() {
    for (code, meaning) in [
        ("ProvisionedThroughputExceededException", "Throttled"),
        ("LimitExceededException", "Throttled"),
        ("KMSThrottlingException", "Throttled"),
        ("AccessDeniedException", "Denied"),
        ("UnrecognizedClientException", "Denied"),
        ("KMSAccessDeniedException", "Denied"),
        ("KMSDisabledException", "Denied"),
        ("KMSNotFoundException", "Denied"),
        ("KMSOptInRequired", "Denied"),
        ("ResourceNotFoundException", "Missing"),
        ("InternalFailureException", "Transient"),
    ] {
        let server = Server::start([iterator("first"), refusal(400, code)]).await;

        let error = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap_err();

        assert!(format!("{error:?}").starts_with(meaning), "{code}: {error:?}");
    }
}

fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(|shard| shard.id.as_str()).collect()
}

fn page(numbers: &[&str], next: Option<&str>) -> Answer {
    polling::page(numbers.iter().map(|number| record(number)), next)
}

fn record(number: &str) -> Value {
    json!({"SequenceNumber": number, "PartitionKey": "k", "Data": "aGVsbG8=", "ApproximateArrivalTimestamp": 1.5})
}

fn shard(id: &str) -> Value {
    json!({
        "ShardId": id,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
        "SequenceNumberRange": {"StartingSequenceNumber": "1"},
    })
}

fn described(shards: &[Value], more: bool) -> Answer {
    json_answer(&json!({"StreamDescription": {
        "StreamName": "clicks", "StreamARN": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "EnhancedMonitoring": [], "StreamCreationTimestamp": 1, "Shards": shards, "HasMoreShards": more,
    }}))
}

pub(super) fn source(server: &Server) -> KinesisSource {
    let stream = Stream {
        arn: STREAM.into(),
        region: "eu-west-1".into(),
        invoke_identity_arn: "arn:aws:iam::111111111111:role/worker".into(),
    };
    let clock = Clock::new(|| Duration::from_millis(NOW_MILLIS));
    let mut source = KinesisSource::new(Client::new(&server.config()), stream, clock);
    source.limits.poll_interval = Duration::ZERO;
    source.limits.read_interval = Duration::ZERO;
    source
}

fn open(server: &Server, position: UpTo) -> Box<dyn Receiver> {
    source(server).open(&ShardId::new("shardId-000000000000"), &Checkpoint::at(position))
}

const KINESIS: polling::Service = polling::Service {
    open,
    record,
    after: "StartingSequenceNumber",
    stale: &["ExpiredIteratorException", "InvalidArgumentException", "ValidationException"],
    unknown: &["InvalidArgumentException", "ValidationException", "ResourceNotFoundException"],
    records_max: 10_000,
};

pub(super) const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/clicks";
pub(super) const NOW_MILLIS: u64 = 1_760_700_000_000;
