//! Subscriptions against a server that follows a script: what a stream of events may look like on the wire.

#![allow(clippy::unwrap_used)] // tests may

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::tests::{NOW_MILLIS, STREAM, source};
use super::*;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{Position, SequenceNumber};
use crate::source::polling::tests::{after, numbers};
use crate::source::script::{Answer, Server, json_answer, refusal};

/// AWS begins with one; kinesis-local does not.
#[tokio::test]
async fn a_stream_is_read_with_and_without_an_initial_response() {
    for beginning in
        [vec![], vec![frame(&[(":message-type", "event"), (":event-type", "initial-response")], &json!({}))]]
    {
        let events = [beginning, vec![event(&["101", "102"], &json!("102"), &json!(null))]].concat();
        let server = Server::start([streamed(events)]).await;

        let received = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap();

        assert_eq!((numbers(&received), received.behind_millis), (vec!["101".into(), "102".into()], Some(7)));
        let element: Value = serde_json::from_slice(&received.records[0].element).unwrap();
        assert_eq!(element["eventSourceARN"], CONSUMER, "invariant 36");
        assert_eq!(element["kinesis"]["data"], "aGVsbG8=");
    }
}

#[tokio::test]
async fn a_subscription_begins_where_its_position_is() {
    let inside = UpTo::After(Position { sequence_number: SequenceNumber::new("101"), index: 2 });
    let moment = || Timestamp::from_millis(1_760_700_000_507);
    for (position, expected) in [
        (UpTo::TrimHorizon, json!({"Type": "TRIM_HORIZON"})),
        (UpTo::Latest(moment()), json!({"Type": "AT_TIMESTAMP", "Timestamp": 1_760_700_000.507})),
        (UpTo::AtTimestamp(moment()), json!({"Type": "AT_TIMESTAMP", "Timestamp": 1_760_700_000.507})),
        (after("101"), json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "101"})),
        (inside, json!({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "101"})),
    ] {
        let server = Server::start([streamed([event(&["102"], &json!("102"), &json!(null))])]).await;

        open(&server, position).receive(10).await.unwrap();

        let expected = json!({"ConsumerARN": CONSUMER, "ShardId": SHARD, "StartingPosition": expected});
        assert_eq!(server.calls(), [("SubscribeToShard".to_owned(), expected)]);
    }
}

/// `docs/semantics.md` 6.1: AWS takes no instant that lies ahead of its clock.
#[tokio::test]
async fn a_latest_instant_ahead_of_the_servers_clock_begins_at_the_tip() {
    let events = streamed([event(&["101"], &json!("101"), &json!(null))]);
    let server = Server::start([refusal(400, "InvalidArgumentException"), events]).await;

    open(&server, UpTo::Latest(Timestamp::from_millis(NOW_MILLIS))).receive(10).await.unwrap();

    assert_eq!(server.calls()[1].1["StartingPosition"], json!({"Type": "LATEST"}));
}

/// `docs/semantics.md` 6.8 (invariant 107): the number is null or missing, or a server keeps sending one.
#[tokio::test]
async fn a_shard_ends_when_its_children_are_named() {
    let child = json!([{"ShardId": "shardId-1", "ParentShards": [SHARD],
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"}}]);
    for number in [json!(null), json!("150")] {
        let server = Server::start([streamed([event(&["101"], &number, &child)])]).await;

        let received = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap();

        assert_eq!((numbers(&received), received.ended), (vec!["101".into()], true));
    }
}

#[tokio::test]
async fn an_event_with_neither_number_nor_children_ends_nothing() {
    for children in [json!(null), json!([])] {
        let server = Server::start([streamed([event(&["101"], &json!(null), &children)])]).await;

        let received = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap();

        assert_eq!((numbers(&received), received.ended), (vec!["101".into()], false));
    }
}

/// `docs/semantics.md` 6.8: how a service tells that something went wrong meanwhile.
#[tokio::test]
async fn each_exception_in_the_stream_has_its_meaning() {
    for (code, meaning) in [
        ("ResourceInUseException", "Throttled"),
        ("LimitExceededException", "Throttled"),
        ("KMSThrottlingException", "Throttled"),
        ("KMSDisabledException", "Denied"),
        ("ResourceNotFoundException", "Missing"),
        ("InternalFailureException", "Transient"),
        ("SomethingNewException", "Transient"),
    ] {
        let exception = frame(&[(":message-type", "exception"), (":exception-type", code)], &json!({"message": "no"}));
        let server = Server::start([streamed([event(&["101"], &json!("101"), &json!(null)), exception])]).await;
        let mut receiver = open(&server, UpTo::TrimHorizon);
        receiver.receive(10).await.unwrap();

        let error = receiver.receive(10).await.unwrap_err();

        assert!(format!("{error:?}").starts_with(meaning), "{code}: {error:?}");
    }
}

/// A connection that breaks inside an event has brought nothing of it.
#[tokio::test]
async fn an_event_that_is_cut_off_is_an_error_and_not_a_record() {
    let mut events = event(&["101"], &json!("101"), &json!(null));
    let cut = event(&["102"], &json!("102"), &json!(null));
    events.extend_from_slice(&cut[..cut.len() - 1]);
    let server = Server::start([streamed([events])]).await;
    let mut receiver = open(&server, UpTo::TrimHorizon);
    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);

    assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))));
}

#[tokio::test]
async fn each_refusal_has_its_meaning() {
    for (code, meaning) in [
        ("LimitExceededException", "Throttled"),
        ("AccessDeniedException", "Denied"),
        ("ResourceNotFoundException", "Missing"),
        ("InternalFailure", "Transient"),
    ] {
        let server = Server::start([refusal(400, code)]).await;

        let error = open(&server, UpTo::TrimHorizon).receive(10).await.unwrap_err();

        assert!(format!("{error:?}").starts_with(meaning), "{code}: {error:?}");
    }
}

/// The stream's own ARN, since a consumer has no shards.
#[tokio::test]
async fn shards_are_those_of_the_consumers_stream() {
    let server = Server::start([json_answer(&json!({"Shards": []}))]).await;

    pushed(&server).shards().await.unwrap();

    assert_eq!(server.calls()[0].1["StreamARN"], STREAM);
}

fn open(server: &Server, position: UpTo) -> Box<dyn Receiver> {
    pushed(server).open(&ShardId::new(SHARD), &Checkpoint::at(position))
}

fn pushed(server: &Server) -> KinesisSource {
    let client = Client::new(&server.config());
    source(server).with_fan_out(FanOut { consumer_arn: CONSUMER.into(), connect: Arc::new(move || client.clone()) })
}

fn streamed(frames: impl IntoIterator<Item = Vec<u8>>) -> Answer {
    let body = frames.into_iter().flatten().collect();
    (StatusCode::OK, "application/vnd.amazon.eventstream", body)
}

fn event(numbers: &[&str], next: &Value, children: &Value) -> Vec<u8> {
    let record = |number: &&str| json!({"SequenceNumber": number, "PartitionKey": "k", "Data": "aGVsbG8=", "ApproximateArrivalTimestamp": 1.5});
    let records: Vec<Value> = numbers.iter().map(record).collect();
    let event = json!({
        "Records": records, "ContinuationSequenceNumber": next, "MillisBehindLatest": 7, "ChildShards": children,
    });
    frame(&[(":message-type", "event"), (":event-type", "SubscribeToShardEvent")], &event)
}

/// A message as AWS frames it: lengths, their checksum, headers of text, JSON, the checksum of all before.
fn frame(headers: &[(&str, &str)], payload: &Value) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let header = |(name, value): &(&str, &str)| {
        let value_length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &[7], &value_length, value.as_bytes()].concat()
    };
    let headers: Vec<u8> = headers.iter().chain(&[(":content-type", "application/json")]).flat_map(header).collect();
    let payload = payload.to_string();
    let prelude = [length(headers.len() + payload.len() + 16), length(headers.len())].concat();
    let message = [&prelude, &checksum(&prelude)[..], &headers, payload.as_bytes()].concat();
    [&message[..], &checksum(&message)].concat()
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
    (!sum).to_be_bytes()
}

const SHARD: &str = "shardId-000000000000";
const CONSUMER: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/clicks/consumer/fast:1760700041";
