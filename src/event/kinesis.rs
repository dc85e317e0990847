//! A Kinesis record as the function sees it (`docs/semantics.md` 2.3). Pure; knows the event's members, not where the
//! record was read. Invariant: an element is valid JSON whatever key and data a producer chose.

use std::io::Write as _;

use base64_simd::STANDARD;
use bytes::Bytes;

use crate::core::Timestamp;
use crate::core::record::ShardId;

/// One record as its stream gave it.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    /// The key that its producer gave it; a stream that distributes records by itself allows none.
    pub partition_key: Option<&'a str>,
    /// Its number in the shard, verbatim.
    pub sequence_number: &'a str,
    /// What the producer put.
    pub data: &'a [u8],
    /// When the stream took it in.
    pub arrived_at: Timestamp,
}

/// Renders the records of one shard. What all its elements share is written once, here.
#[derive(Clone, Debug)]
pub struct Renderer {
    /// From the arrival time up to the shard's name in `eventID`.
    middle: Vec<u8>,
    /// From the end of `eventID` to the end of the element.
    tail: Vec<u8>,
}

impl Renderer {
    /// Prepares for one shard. `invoke_identity_arn` is the function's role, `region` the one in the stream's ARN, and
    /// `event_source_arn` the source exactly as the mapping names it.
    #[must_use]
    pub fn new(shard: &ShardId, invoke_identity_arn: &str, region: &str, event_source_arn: &str) -> Self {
        let mut middle = Vec::from(AFTER_ARRIVAL);
        append_text(&mut middle, shard.as_str());
        middle.pop(); // the quote that closes the text: the sequence number belongs to it
        middle.push(b':');

        let mut tail = Vec::from(AFTER_EVENT_ID);
        append_text(&mut tail, invoke_identity_arn);
        tail.extend_from_slice(b",\"awsRegion\":");
        append_text(&mut tail, region);
        tail.extend_from_slice(b",\"eventSourceARN\":");
        append_text(&mut tail, event_source_arn);
        tail.push(b'}');
        Self { middle, tail }
    }

    /// Renders one record into a buffer of its own that is exactly as large as the element: a record that is held for
    /// hours pins neither its page nor spare room. `scratch` is overwritten; one serves a whole page.
    #[must_use]
    pub fn render(&self, record: StreamRecord<'_>, scratch: &mut Vec<u8>) -> Bytes {
        scratch.clear();
        scratch.extend_from_slice(b"{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",");
        if let Some(partition_key) = record.partition_key {
            scratch.extend_from_slice(b"\"partitionKey\":");
            append_text(scratch, partition_key);
            scratch.push(b',');
        }
        scratch.extend_from_slice(b"\"sequenceNumber\":");
        let sequence_number = scratch.len() + 1;
        append_text(scratch, record.sequence_number);
        let sequence_number = sequence_number..scratch.len();
        scratch.extend_from_slice(b",\"data\":\"");
        STANDARD.encode_append(record.data, scratch);
        scratch.extend_from_slice(b"\",\"approximateArrivalTimestamp\":");
        append_seconds(scratch, record.arrived_at);
        scratch.extend_from_slice(&self.middle);
        scratch.extend_from_within(sequence_number); // with its closing quote, which closes `eventID`
        scratch.extend_from_slice(&self.tail);
        Bytes::copy_from_slice(scratch)
    }
}

/// Appends a JSON string with its quotes.
fn append_text(buffer: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(buffer, text).expect("a text is always JSON and a Vec takes any number of bytes");
}

/// Appends epoch seconds with three decimals, in digits: an `f64` would round and may use an exponent.
fn append_seconds(buffer: &mut Vec<u8>, moment: Timestamp) {
    let milliseconds = moment.as_millis();
    write!(buffer, "{}.{:03}", milliseconds / 1_000, milliseconds % 1_000).expect("a Vec takes any number of bytes");
}

const AFTER_ARRIVAL: &[u8] = b"},\"eventSource\":\"aws:kinesis\",\"eventVersion\":\"1.0\",\"eventID\":";
const AFTER_EVENT_ID: &[u8] = b",\"eventName\":\"aws:kinesis:record\",\"invokeIdentityArn\":";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests may
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::event::payload;

    /// `docs/semantics.md` 2.3 and 9 (invariants 32 to 34): the members, their order and their form on the wire.
    #[test]
    fn an_element_has_the_documented_members_in_their_order() {
        let element = render(
            StreamRecord {
                partition_key: Some("pk-1"),
                sequence_number: "49660000000000000000000000000000000000000000000000000002",
                data: b"hello",
                arrived_at: Timestamp::from_millis(1_760_700_000_507),
            },
            &mut Vec::new(),
        );

        assert_eq!(
            std::str::from_utf8(&element).unwrap(),
            concat!(
                r#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"pk-1","#,
                r#""sequenceNumber":"49660000000000000000000000000000000000000000000000000002","#,
                r#""data":"aGVsbG8=","approximateArrivalTimestamp":1760700000.507},"#,
                r#""eventSource":"aws:kinesis","eventVersion":"1.0","#,
                r#""eventID":"shardId-000000000000:49660000000000000000000000000000000000000000000000000002","#,
                r#""eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::111111111111:role/worker","#,
                r#""awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:111111111111:stream/clicks"}"#,
            )
        );
    }

    /// The event that AWS sent, with the recording's placeholders filled in (invariant 38: no member of a window).
    #[test]
    fn a_payload_equals_the_recorded_event() {
        let recorded = include_str!("../../tests/golden/event-kinesis.json")
            .replace("\"<approximate-arrival-timestamp>\"", "1760700000.507")
            .replace("<partition>", "aws")
            .replace("<region>", "eu-west-1")
            .replace("<resource:1>", "clicks")
            .replace("<resource:3>", "worker")
            .replace("<sequence-number:1>", "101")
            .replace("<sequence-number:2>", "102");
        let mut scratch = Vec::new();
        let elements = [("test_0", "101"), ("test_1", "102")].map(|(key, sequence_number)| {
            let arrived_at = Timestamp::from_millis(1_760_700_000_507);
            let partition_key = Some(key);
            render(StreamRecord { partition_key, sequence_number, data: b"hello", arrived_at }, &mut scratch)
        });

        let rendered: Value = serde_json::from_slice(&payload(elements.iter())).unwrap();

        assert_eq!(rendered, serde_json::from_str::<Value>(&recorded).unwrap());
    }

    #[test]
    fn an_arrival_time_keeps_its_three_digits() {
        for (milliseconds, text) in
            [(0, "0.000"), (7, "0.007"), (1_000, "1.000"), (1_760_700_000_070, "1760700000.070")]
        {
            let mut buffer = Vec::new();
            append_seconds(&mut buffer, Timestamp::from_millis(milliseconds));
            assert_eq!(buffer, text.as_bytes());
        }
    }

    proptest! {
        /// Keys may hold quotes, line ends, control characters and any script; data any bytes.
        #[test]
        fn an_element_parses_to_what_a_json_library_would_build(
            partition_key in any::<Option<String>>(),
            sequence_number in "[0-9]{1,60}|\\PC{0,8}",
            data in prop::collection::vec(any::<u8>(), 0..200),
            milliseconds in 0..4_000_000_000_000_u64,
        ) {
            let arrived_at = Timestamp::from_millis(milliseconds);
            let record = StreamRecord {
                partition_key: partition_key.as_deref(), sequence_number: &sequence_number, data: &data, arrived_at,
            };

            let element = render(record, &mut Vec::from("left over from another record"));

            let parsed: Value = serde_json::from_slice(&element).unwrap();
            prop_assert_eq!(parsed, document(record));
        }
    }

    fn render(record: StreamRecord<'_>, scratch: &mut Vec<u8>) -> Bytes {
        Renderer::new(&ShardId::new(SHARD), ROLE, "eu-west-1", STREAM).render(record, scratch)
    }

    fn document(record: StreamRecord<'_>) -> Value {
        let seconds = format!("{}.{:03}", record.arrived_at.as_millis() / 1_000, record.arrived_at.as_millis() % 1_000);
        let mut document = json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "sequenceNumber": record.sequence_number,
                "data": STANDARD.encode_to_string(record.data),
                "approximateArrivalTimestamp": seconds.parse::<f64>().unwrap(),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{SHARD}:{}", record.sequence_number),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": ROLE,
            "awsRegion": "eu-west-1",
            "eventSourceARN": STREAM,
        });
        if let Some(partition_key) = record.partition_key {
            document["kinesis"]["partitionKey"] = json!(partition_key);
        }
        document
    }

    const SHARD: &str = "shardId-000000000000";
    const ROLE: &str = "arn:aws:iam::111111111111:role/worker";
    const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/clicks";
}
