//! The adapter against a server that follows a script.

#![allow(clippy::unwrap_used)] // tests may

use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use serde_json::{Value, json};

use super::*;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{Position, SequenceNumber};
use crate::source::script::{Answer, Server, html, iterator, json_answer, numbers, refusal};

/// `docs/semantics.md` 6.2: after the last record read, never the starting position.
#[tokio::test]
async fn an_iterator_that_went_stale_is_replaced_after_the_last_record_read() {
    for code in ["ExpiredIteratorException", "ValidationException", "TrimmedDataAccessException"] {
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
            ("GetShardIterator", json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "102"})),
            ("GetRecords", json!({"ShardIterator": "third"})),
        ]);
    }
}

#[tokio::test]
async fn a_new_iterator_that_is_refused_is_an_error_and_not_a_loop() {
    for code in ["ExpiredIteratorException", "ValidationException", "TrimmedDataAccessException"] {
        let server =
            Server::start([iterator("first"), refusal(400, code), iterator("second"), page(&["101"], Some("third"))])
                .await;
        let mut receiver = open(&server, UpTo::TrimHorizon);

        assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))), "{code}");

        assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);
    }
}

/// `docs/semantics.md` 6.2.
#[tokio::test]
async fn three_unexplained_errors_in_a_row_replace_the_iterator() {
    let failure = || refusal(500, "InternalServerError");
    let server = Server::start([
        iterator("first"),
        page(&["101"], Some("second")),
        html(),
        failure(),
        page(&[], Some("third")),
        failure(),
        html(),
        failure(),
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
    assert_eq!(calls[8].1["SequenceNumber"], "101");
}

/// `docs/semantics.md` 6.2: a trimmed sequence number begins at the oldest record there is, whichever call says so.
#[tokio::test]
async fn a_position_that_was_trimmed_reads_on_at_the_oldest_record() {
    let trimmed = || refusal(400, "TrimmedDataAccessException");
    let oldest = [iterator("oldest"), page(&["201"], Some("next"))];
    for refusals in [vec![trimmed()], vec![iterator("first"), trimmed()]] {
        let server = Server::start([refusals, oldest.to_vec()].concat()).await;
        let mut receiver = open(&server, UpTo::After(Position::from(SequenceNumber::new("101"))));

        let read = receiver.receive(10).await.unwrap();

        assert_eq!((numbers(&read), read.restarted), (vec!["201".into()], true));
        let calls = server.calls();
        assert_eq!(calls[0].1["SequenceNumber"], "101");
        assert_eq!(calls[calls.len() - 2].1["ShardIteratorType"], "TRIM_HORIZON");
    }
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

/// `docs/semantics.md` 6.2: a call takes no limit above 1,000.
#[tokio::test]
async fn a_receive_never_asks_for_more_than_a_call_returns() {
    let server = Server::start([iterator("first"), page(&[], Some("second"))]).await;

    open(&server, UpTo::TrimHorizon).receive(50_000).await.unwrap();

    assert_eq!(server.calls()[1].1["Limit"], 1_000);
}

/// A function must not see an item with an attribute missing, so the record waits for a version that knows it.
#[tokio::test]
async fn a_record_that_cannot_be_rendered_whole_is_neither_skipped_nor_cut() {
    let mut strange = record("102", 1_760_700_000);
    strange["dynamodb"]["NewImage"] = json!({"new": {"Q": "?"}});
    let records = [record("101", 1_760_700_000), strange];
    let server =
        Server::start([iterator("first"), json_answer(&json!({"Records": records, "NextShardIterator": "next"}))])
            .await;
    let mut receiver = open(&server, UpTo::TrimHorizon);

    assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))));
}

/// `docs/semantics.md` 6.4: one item, one key, whatever happened to it.
#[tokio::test]
async fn changes_of_one_item_share_their_ordering_key() {
    let mut other = record("103", 1_760_700_000);
    other["dynamodb"]["Keys"] = json!({"sk": {"N": "1"}, "pk": {"S": "b"}});
    let mut again = other.clone();
    again["dynamodb"]["Keys"] = json!({"pk": {"S": "b"}, "sk": {"N": "1"}});
    let records = [record("101", 1_760_700_000), record("102", 1_760_700_000), other, again];
    let server =
        Server::start([iterator("first"), json_answer(&json!({"Records": records, "NextShardIterator": "next"}))])
            .await;

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

fn page(numbers: &[&str], next: Option<&str>) -> Answer {
    let records: Vec<Value> = numbers.iter().map(|number| record(number, 1_760_700_000)).collect();
    json_answer(&json!({"Records": records, "NextShardIterator": next}))
}

/// Records with the second in which each was created.
fn page_at(created: &[(&str, u64)], next: &str) -> Answer {
    let records: Vec<Value> = created.iter().map(|(number, second)| record(number, *second)).collect();
    json_answer(&json!({"Records": records, "NextShardIterator": next}))
}

fn record(number: &str, second: u64) -> Value {
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
    let config = aws_sdk_dynamodbstreams::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(format!("http://{}", server.address))
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    let mut source = DynamodbSource::new(Client::from_conf(config), STREAM);
    source.limits.poll_interval = Duration::ZERO;
    source.limits.read_interval = Duration::ZERO;
    source
}

fn open(server: &Server, position: UpTo) -> Box<dyn Receiver> {
    source(server).open(&ShardId::new("shardId-00000001"), &Checkpoint::at(position))
}

const STREAM: &str = "arn:aws:dynamodb:eu-west-1:111111111111:table/users/stream/2026-01-31T09:30:00.000";
