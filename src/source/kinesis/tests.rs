//! The adapter against a server that follows a script.

#![allow(clippy::unwrap_used)] // tests may

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use serde_json::{Value, json};

use super::*;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{Position, SequenceNumber};
use crate::source::script::{Answer, Server, html, iterator, json_answer, numbers, refusal};

/// `docs/semantics.md` 6.2: after the last record read, never the starting position; a reader that a full lane held up
/// for five minutes is normal, so it shows as nothing.
#[tokio::test]
async fn an_iterator_that_went_stale_is_replaced_after_the_last_record_read() {
    for code in ["ExpiredIteratorException", "InvalidArgumentException"] {
        let server = Server::start([
            iterator("first"),
            page(&["101", "102"], Some("second")),
            refusal(400, code),
            iterator("third"),
            page(&["103"], Some("fourth")),
        ])
        .await;
        let mut receiver = open(&server, UpTo::TrimHorizon);

        let read = [receiver.receive(10).await.unwrap(), receiver.receive(10).await.unwrap()];

        assert_eq!(read.each_ref().map(numbers), [vec!["101", "102"], vec!["103"]], "{code}");
        server.expect_calls(&[
            ("GetShardIterator", json!({"ShardIteratorType": "TRIM_HORIZON"})),
            ("GetRecords", json!({"ShardIterator": "first", "Limit": 10})),
            ("GetRecords", json!({"ShardIterator": "second"})),
            (
                "GetShardIterator",
                json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "102"}),
            ),
            ("GetRecords", json!({"ShardIterator": "third"})),
        ]);
    }
}

#[tokio::test]
async fn a_new_iterator_that_is_refused_is_an_error_and_not_a_loop() {
    let server = Server::start([
        iterator("first"),
        refusal(400, "ExpiredIteratorException"),
        iterator("second"),
        page(&["101"], Some("third")),
    ])
    .await;
    let mut receiver = open(&server, UpTo::TrimHorizon);

    assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))));

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);
}

/// `docs/semantics.md` 6.2: some servers answer a stale iterator with a page of HTML.
#[tokio::test]
async fn three_unexplained_errors_in_a_row_replace_the_iterator() {
    let server = Server::start([
        iterator("first"),
        page(&["101"], Some("second")),
        html(),
        html(),
        page(&[], Some("third")),
        html(),
        html(),
        html(),
        iterator("fourth"),
        page(&["102"], Some("fifth")),
    ])
    .await;
    let mut receiver = open(&server, UpTo::TrimHorizon);

    let mut failures = 0;
    let mut records = Vec::new();
    while records.len() < 2 {
        match receiver.receive(10).await {
            Ok(page) => records.extend(numbers(&page)),
            Err(error) => {
                assert!(matches!(error, SourceError::Transient(_)), "{error:?}");
                failures += 1;
            }
        }
    }

    assert_eq!((records, failures), (vec!["101".into(), "102".into()], 5));
    let calls = server.calls();
    assert_eq!(calls[5..8].iter().map(|(_, body)| &body["ShardIterator"]).collect::<Vec<_>>(), ["third"; 3]);
    assert_eq!(calls[8].1["StartingSequenceNumber"], "101");
}

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

/// `docs/semantics.md` 6.2: a trimmed sequence number begins at the oldest record there is.
#[tokio::test]
async fn a_position_that_was_trimmed_reads_on_at_the_oldest_record() {
    let server =
        Server::start([refusal(400, "InvalidArgumentException"), iterator("first"), page(&["201"], Some("second"))])
            .await;
    let mut receiver = open(&server, UpTo::After(Position::from(SequenceNumber::new("101"))));

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["201"]);

    server.expect_calls(&[
        ("GetShardIterator", json!({"StartingSequenceNumber": "101"})),
        ("GetShardIterator", json!({"ShardIteratorType": "TRIM_HORIZON"})),
        ("GetRecords", json!({"ShardIterator": "first"})),
    ]);
}

/// `docs/semantics.md` 6.2: an empty page is normal; what comes after it is still the beginning.
#[tokio::test]
async fn a_new_beginning_is_told_with_the_first_records_that_come() {
    let server = Server::start([
        refusal(400, "InvalidArgumentException"),
        iterator("first"),
        page(&[], Some("second")),
        page(&["1"], Some("third")),
        page(&["2"], Some("fourth")),
    ])
    .await;
    let mut receiver = open(&server, UpTo::After(Position::from(SequenceNumber::new("500"))));

    let mut restarted = Vec::new();
    for _ in 0..3 {
        restarted.push(receiver.receive(10).await.unwrap().restarted);
    }

    assert_eq!(restarted, [false, true, false]);
}

/// `docs/semantics.md` 6.2: no next iterator, null or missing, is the end of the shard.
#[tokio::test]
async fn a_shard_ends_with_its_last_records_and_stays_ended() {
    let server = Server::start([iterator("first"), page(&["101"], None)]).await;
    let mut receiver = open(&server, UpTo::TrimHorizon);

    let last = receiver.receive(10).await.unwrap();
    let again = receiver.receive(10).await.unwrap();

    assert_eq!((numbers(&last), last.ended), (vec!["101".into()], true));
    assert_eq!((numbers(&again), again.ended), (vec![], true));
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_shard_whose_checkpoint_says_ended_is_not_asked() {
    let server = Server::start([]).await;

    assert!(open(&server, UpTo::Ended).receive(10).await.unwrap().ended);

    assert!(server.calls().is_empty());
}

/// `docs/semantics.md` 6.2: a call takes no limit above 10,000.
#[tokio::test]
async fn a_receive_never_asks_for_more_than_a_call_returns() {
    let server = Server::start([iterator("first"), page(&[], Some("second"))]).await;

    open(&server, UpTo::TrimHorizon).receive(50_000).await.unwrap();

    assert_eq!(server.calls()[1].1["Limit"], 10_000);
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
        let described = |shards: [Value; 2], more: bool| {
            json_answer(&json!({"StreamDescription": {
                "StreamName": "clicks", "StreamARN": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                "EnhancedMonitoring": [], "StreamCreationTimestamp": 1, "Shards": shards, "HasMoreShards": more,
            }}))
        };
        let server = Server::start([
            json_answer(&json!({"Shards": [shard("0")], "NextToken": "more"})),
            refusal,
            described([shard("0"), shard("1")], true),
            described([shard("2"), shard("3")], false),
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

/// `Receiver::receive`: dropping it loses nothing, also when the source has already taken the call.
#[tokio::test]
async fn a_receive_that_is_dropped_while_the_server_works_loses_nothing() {
    let server =
        Server::start([iterator("first"), page(&["101"], Some("second")), page(&["101"], Some("second"))]).await;
    let mut receiver = open(&server, UpTo::TrimHorizon);
    {
        let mut receive = receiver.receive(10);
        while server.calls().len() < 2 {
            assert!(futures_util::poll!(&mut receive).is_pending());
            tokio::task::yield_now().await;
        }
    }

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);
}

fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(|shard| shard.id.as_str()).collect()
}

fn page(numbers: &[&str], next: Option<&str>) -> Answer {
    let record = |number: &&str| json!({"SequenceNumber": number, "PartitionKey": "k", "Data": "aGVsbG8=", "ApproximateArrivalTimestamp": 1.5});
    let records: Vec<Value> = numbers.iter().map(record).collect();
    json_answer(&json!({"Records": records, "NextShardIterator": next, "MillisBehindLatest": 0}))
}

fn shard(id: &str) -> Value {
    json!({
        "ShardId": id,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
        "SequenceNumberRange": {"StartingSequenceNumber": "1"},
    })
}

fn source(server: &Server) -> KinesisSource {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(format!("http://{}", server.address))
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    let stream = Stream {
        arn: STREAM.into(),
        region: "eu-west-1".into(),
        invoke_identity_arn: "arn:aws:iam::111111111111:role/worker".into(),
    };
    let clock = Clock::new(|| Duration::from_millis(NOW_MILLIS));
    let mut source = KinesisSource::new(Client::from_conf(config), stream, clock);
    source.limits.poll_interval = Duration::ZERO;
    source.limits.read_interval = Duration::ZERO;
    source
}

fn open(server: &Server, position: UpTo) -> Box<dyn Receiver> {
    source(server).open(&ShardId::new("shardId-000000000000"), &Checkpoint::at(position))
}

const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/clicks";
const NOW_MILLIS: u64 = 1_760_700_000_000;
