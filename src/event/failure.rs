//! The record of a discarded batch, and its two renderings: the message that queues and topics get, and the object that
//! buckets get (`docs/semantics.md` 6.7). Pure; knows no destination. Invariant: one [`FailureRecord`] always renders to
//! the same bytes under the same key, so that a repeated delivery is recognisable, and in a bucket overwrites the first.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::window;
use crate::core::Timestamp;
use crate::core::record::{SequenceNumber, ShardId};
use crate::core::window::WindowCall;
use crate::mapping::StreamKind;

/// One discard: what a destination is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRecord {
    /// A random UUID, made once per discard. It ends the object's key.
    pub id: String,
    /// The mapping's UUID. It stands in the object's key.
    pub mapping: Arc<str>,
    /// The request id of the batch's last invocation; a random UUID if it had none.
    pub request_id: String,
    /// The function's full ARN, with exactly the qualifier that the mapping gives.
    pub function_arn: String,
    /// Why the batch was discarded.
    pub condition: Condition,
    /// Counted attempts of this batch. Shown as 1 if it was never invoked.
    pub invoke_count: u32,
    /// The answer of the last attempt; `None` after [`Condition::RecordAgeExceeded`] and after a batch that was too
    /// large.
    pub response: Option<ResponseContext>,
    /// When the batch was discarded.
    pub discarded_at: Timestamp,
    /// The batch.
    pub batch: BatchInfo,
    /// The batch's tumbling window, if the mapping has any.
    pub window: Option<WindowCall>,
    /// The whole event as it was sent, JSON. Only the object holds it.
    pub payload: Bytes,
}

/// Why a batch was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// It failed `MaximumRetryAttempts` + 1 times.
    RetryAttemptsExhausted,
    /// Its records were older than `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
}

/// What the function answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseContext {
    /// The version that ran: `X-Amz-Executed-Version`.
    pub executed_version: String,
    /// `X-Amz-Function-Error`; `None` after a partial response that was invalid or brought no progress.
    pub function_error: Option<String>,
}

/// What was discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    /// Whose stream it is: it decides the member's name and how exact arrival times are.
    pub kind: StreamKind,
    /// The shard.
    pub shard: ShardId,
    /// `EventSourceArn`, exactly as the mapping gives it.
    pub stream_arn: String,
    /// Which records; `None` for the final call of a window, which has none.
    pub records: Option<RecordsInfo>,
}

/// Which records were discarded: those of this part alone, where a batch was split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsInfo {
    /// Of the first record.
    pub first_sequence_number: SequenceNumber,
    /// Of the last record.
    pub last_sequence_number: SequenceNumber,
    /// When the source took in the first record.
    pub first_arrived_at: Timestamp,
    /// When the source took in the last record.
    pub last_arrived_at: Timestamp,
    /// How many records, at least 1.
    pub size: usize,
}

impl FailureRecord {
    /// What a queue or topic gets: the document without the payload.
    #[must_use]
    pub fn message(&self) -> String {
        self.render(None)
    }

    /// What a bucket gets: the document with the payload, as a text inside it.
    #[must_use]
    pub fn object(&self) -> Bytes {
        // JSON is UTF-8, so nothing is replaced.
        self.render(Some(&String::from_utf8_lossy(&self.payload))).into()
    }

    /// The object's key. Its time is the discard's, in UTC.
    #[must_use]
    pub fn object_key(&self) -> String {
        let Self { id, mapping, batch: BatchInfo { shard, .. }, .. } = self;
        let time = moment(self.discarded_at).strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S");
        format!("aws/lambda/{mapping}/{shard}/{time}-{id}")
    }

    fn render(&self, payload: Option<&str>) -> String {
        let batch = self.batch.document();
        let (kinesis, dynamodb) = match self.batch.kind {
            StreamKind::Kinesis => (Some(batch), None),
            StreamKind::Dynamodb => (None, Some(batch)),
        };
        let document = Document {
            request: RequestDocument {
                request_id: &self.request_id,
                function_arn: &self.function_arn,
                condition: self.condition,
                approximate_invoke_count: self.invoke_count.max(1),
            },
            response: self.response.as_ref().map(|response| ResponseDocument {
                status_code: STATUS_CODE,
                executed_version: &response.executed_version,
                function_error: response.function_error.as_deref(),
            }),
            version: VERSION,
            payload,
            timestamp: format!("{:.3}", moment(self.discarded_at)),
            kinesis,
            dynamodb,
            window: self.window.as_ref().map(WindowDocument::of),
        };
        serde_json::to_string(&document).expect("texts and numbers are always JSON")
    }
}

impl BatchInfo {
    fn document(&self) -> BatchDocument<'_> {
        let arrival = |arrived_at| match self.kind {
            StreamKind::Kinesis => format!("{:.3}", moment(arrived_at)),
            StreamKind::Dynamodb => format!("{:.0}", moment(arrived_at)),
        };
        let records = self.records.as_ref().map(|records| RecordsDocument {
            start_sequence_number: records.first_sequence_number.as_str(),
            end_sequence_number: records.last_sequence_number.as_str(),
            approximate_arrival_of_first_record: arrival(records.first_arrived_at),
            approximate_arrival_of_last_record: arrival(records.last_arrived_at),
            batch_size: records.size,
        });
        BatchDocument { shard_id: self.shard.as_str(), records, stream_arn: &self.stream_arn }
    }
}

impl WindowDocument {
    fn of(call: &WindowCall) -> Self {
        Self {
            window: BoundsDocument { start: window::moment(call.bounds.start), end: window::moment(call.bounds.end) },
            is_final_invoke_for_window: call.is_final,
            is_window_terminated_early: call.is_terminated_early(),
        }
    }
}

/// The wire form. The members stand in AWS's order.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "requestContext")]
    request: RequestDocument<'a>,
    #[serde(rename = "responseContext", skip_serializing_if = "Option::is_none")]
    response: Option<ResponseDocument<'a>>,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo", skip_serializing_if = "Option::is_none")]
    kinesis: Option<BatchDocument<'a>>,
    #[serde(rename = "DDBStreamBatchInfo", skip_serializing_if = "Option::is_none")]
    dynamodb: Option<BatchDocument<'a>>,
    #[serde(rename = "timeWindowInfo", skip_serializing_if = "Option::is_none")]
    window: Option<WindowDocument>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestDocument<'a> {
    request_id: &'a str,
    function_arn: &'a str,
    condition: Condition,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseDocument<'a> {
    status_code: u16,
    executed_version: &'a str,
    /// Null where there is none.
    function_error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchDocument<'a> {
    shard_id: &'a str,
    #[serde(flatten)]
    records: Option<RecordsDocument<'a>>,
    stream_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordsDocument<'a> {
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowDocument {
    window: BoundsDocument,
    is_final_invoke_for_window: bool,
    is_window_terminated_early: bool,
}

#[derive(Serialize)]
struct BoundsDocument {
    start: String,
    end: String,
}

/// A moment past the year 9999, which only a broken source gives, shows as the last one that can be written.
fn moment(timestamp: Timestamp) -> jiff::Timestamp {
    let milliseconds = i64::try_from(timestamp.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX)
}

const VERSION: &str = "1.0";

/// A function that failed was answered for with 200 all the same.
const STATUS_CODE: u16 = 200;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::core::window::{WindowBounds, WindowState};

    /// `docs/semantics.md` 6.7: what AWS sent to a queue, with the recording's placeholders filled in, byte for byte.
    #[test]
    fn a_message_of_kinesis_equals_the_recorded_one() {
        let recorded = recorded(include_str!("../../tests/golden/failure-kinesis-sqs.json"));
        assert_eq!(kinesis().message(), recorded);
    }

    /// `docs/semantics.md` 6.7: arrival times in whole seconds, the discard's in milliseconds.
    #[test]
    fn a_message_of_dynamodb_equals_the_recorded_one() {
        let recorded = recorded(include_str!("../../tests/golden/failure-dynamodb-sqs.json"));
        let mut failure = kinesis();
        failure.batch.kind = StreamKind::Dynamodb;
        failure.batch.stream_arn = "arn:aws:dynamodb:eu-west-1:111111111111:table/orders/stream/failed".to_owned();
        failure.batch.shard = ShardId::new("shardId-000000000000");
        records(&mut failure).first_arrived_at = Timestamp::from_millis(DISCARDED_AT + 999);
        assert_eq!(failure.message(), recorded);
    }

    /// `docs/semantics.md` 6.7 and 9 (invariant 83). The recording is sorted, and holds the payload's text parsed.
    #[test]
    fn an_object_equals_the_recorded_one() {
        let recorded = fill(include_str!("../../tests/golden/failure-kinesis-s3.json"))
            .replace("<resource:2>", "orders")
            .replace("<resource:3>", "worker");
        let mut recorded: Value = serde_json::from_str(&recorded).expect("the recording is JSON");
        let payload = recorded["payload"].to_string();
        recorded["payload"] = json!(payload);
        let failure = FailureRecord { payload: payload.into(), ..kinesis() };

        let object: Value = serde_json::from_slice(&failure.object()).expect("an object is JSON");

        assert_eq!(object, recorded);
    }

    /// `docs/semantics.md` 9 (invariant 83)
    #[test]
    fn only_the_object_holds_the_payload_as_a_text_before_the_timestamp() {
        let failure = FailureRecord { payload: Bytes::from_static(b"{\"Records\":[\"\\n\xc3\xa9\"]}"), ..kinesis() };

        let payload = "\"payload\":\"{\\\"Records\\\":[\\\"\\\\n\u{e9}\\\"]}\",";
        let object = String::from_utf8(failure.object().to_vec()).expect("an object is text");
        assert_eq!(object.replace(payload, ""), failure.message());
        assert!(object.contains(&format!("\"version\":\"1.0\",{payload}\"timestamp\":")), "{object}");
    }

    /// `docs/semantics.md` 9 (invariant 84)
    #[test]
    fn a_key_has_mapping_shard_day_time_and_id() {
        assert_eq!(
            kinesis().object_key(),
            "aws/lambda/6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d/shardId-000000000000/2022/07/13/\
             2022-07-13T13.48.01-0b5b1f0a-3c1d-4e2f-8a9b-112233445566"
        );
    }

    /// `docs/semantics.md` 9 (invariants 79, 80)
    #[test]
    fn records_that_grew_too_old_unseen_have_one_invocation_and_no_response() {
        let failure =
            FailureRecord { condition: Condition::RecordAgeExceeded, invoke_count: 0, response: None, ..kinesis() };

        let message: Value = serde_json::from_str(&failure.message()).expect("a message is JSON");

        assert_eq!(message["requestContext"]["condition"], "RecordAgeExceeded");
        assert_eq!(message["requestContext"]["approximateInvokeCount"], 1);
        assert!(message.get("responseContext").is_none(), "{message}");
    }

    /// `docs/semantics.md` 9 (invariant 77)
    #[test]
    fn a_useless_partial_response_shows_a_null_function_error() {
        let response = ResponseContext { executed_version: "7".to_owned(), function_error: None };
        let message = FailureRecord { response: Some(response), ..kinesis() }.message();
        assert!(
            message.contains(r#""responseContext":{"statusCode":200,"executedVersion":"7","functionError":null}"#),
            "{message}"
        );
    }

    /// `docs/semantics.md` 9 (invariants 81, 82)
    #[test]
    fn a_part_is_described_by_its_own_records() {
        let mut failure = FailureRecord { invoke_count: 8, ..kinesis() };
        records(&mut failure).last_sequence_number = SequenceNumber::new("103");
        records(&mut failure).last_arrived_at = Timestamp::from_millis(DISCARDED_AT + 7);
        records(&mut failure).size = 3;

        let message: Value = serde_json::from_str(&failure.message()).expect("a message is JSON");

        let batch = &message["KinesisBatchInfo"];
        assert_eq!((&batch["startSequenceNumber"], &batch["endSequenceNumber"]), (&json!("101"), &json!("103")));
        assert_eq!((&batch["batchSize"], &message["requestContext"]["approximateInvokeCount"]), (&json!(3), &json!(8)));
        assert_eq!(batch["approximateArrivalOfLastRecord"], "2022-07-13T13:48:01.007Z");
    }

    /// `docs/semantics.md` 6.7 and 9 (invariant 103): a final call has no records to name.
    #[test]
    fn a_final_call_is_described_by_its_shard_and_its_window() {
        let mut failure = kinesis();
        failure.batch.records = None;
        let bounds = WindowBounds::around(Timestamp::from_millis(DISCARDED_AT), Duration::from_secs(10));
        failure.window = Some(WindowCall { bounds, state: WindowState::default(), is_final: true });

        let message = failure.message();

        let expected = concat!(
            r#","KinesisBatchInfo":{"shardId":"shardId-000000000000","#,
            r#""streamArn":"arn:aws:kinesis:eu-west-1:111111111111:stream/orders"},"timeWindowInfo":{"window":"#,
            r#"{"start":"2022-07-13T13:48:00Z","end":"2022-07-13T13:48:10Z"},"#,
            r#""isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}}"#,
        );
        assert!(message.ends_with(expected), "{message}");
    }

    #[test]
    fn a_moment_that_cannot_be_written_breaks_nothing() {
        let failure = FailureRecord { discarded_at: Timestamp::from_millis(u64::MAX), ..kinesis() };
        assert!(failure.message().contains("\"timestamp\":\"9999-12-3"), "{}", failure.message());
    }

    fn kinesis() -> FailureRecord {
        FailureRecord {
            id: "0b5b1f0a-3c1d-4e2f-8a9b-112233445566".to_owned(),
            mapping: "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d".into(),
            request_id: "request".to_owned(),
            function_arn: "arn:aws:lambda:eu-west-1:111111111111:function:worker".to_owned(),
            condition: Condition::RetryAttemptsExhausted,
            invoke_count: 2,
            response: Some(ResponseContext {
                executed_version: "$LATEST".to_owned(),
                function_error: Some("Unhandled".to_owned()),
            }),
            discarded_at: Timestamp::from_millis(DISCARDED_AT),
            batch: BatchInfo {
                kind: StreamKind::Kinesis,
                shard: ShardId::new("shardId-000000000000"),
                stream_arn: "arn:aws:kinesis:eu-west-1:111111111111:stream/orders".to_owned(),
                records: Some(RecordsInfo {
                    first_sequence_number: SequenceNumber::new("101"),
                    last_sequence_number: SequenceNumber::new("101"),
                    first_arrived_at: Timestamp::from_millis(DISCARDED_AT),
                    last_arrived_at: Timestamp::from_millis(DISCARDED_AT),
                    size: 1,
                }),
            },
            window: None,
            payload: Bytes::new(),
        }
    }

    fn records(failure: &mut FailureRecord) -> &mut RecordsInfo {
        failure.batch.records.as_mut().expect("it is about records")
    }

    /// A recording whose members stand in the order of the wire, without the spaces that make it readable.
    fn recorded(text: &str) -> String {
        let is_dynamodb = text.contains("DDBStreamBatchInfo");
        let filled = fill(text)
            .replace("<resource:1>", "orders")
            .replace("<resource:2>", if is_dynamodb { "failed" } else { "orders" })
            .replace("<resource:3>", "worker")
            .replace("<resource:4>", "worker");
        filled.split_whitespace().collect()
    }

    /// What all recordings leave open.
    fn fill(text: &str) -> String {
        text.replace("<uuid:2>", "request")
            .replace("<uuid:3>", "request")
            .replace("<partition>", "aws")
            .replace("<region>", "eu-west-1")
            .replace("<start-sequence-number:1>", "101")
            .replace("<sequence-number:1>", "101")
            .replace("<shard-id:1>", "shardId-000000000000")
            .replace("<kinesis-shard-id>", "shardId-000000000000")
            .replace("<timestamp:2022-07-13T13:48:01.000Z>", "2022-07-13T13:48:01.000Z")
            .replace("<timestamp:2022-07-13T13:48:01Z>", "2022-07-13T13:48:01Z")
    }

    /// 2022-07-13T13:48:01Z, the moment that stands for all in the recordings.
    const DISCARDED_AT: u64 = 1_657_720_081_000;
}
