//! The rules of `docs/semantics.md` 0 and 1, one behaviour each; here is what all of them need.

mod destinations;
mod errors;
mod filters;
mod limits;
mod members;
mod sources;
mod streams;
mod updates;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::mapping::StartingPosition;

fn scope() -> Scope {
    Scope {
        region: Some("eu-west-1".to_owned()),
        custom_endpoint: false,
        now: Timestamp::from_second(NOW_SECONDS).expect("a moment"),
    }
}

fn queue(members: Value) -> Value {
    merged(json!({"FunctionName": "fn", "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders"}), members)
}

fn fifo(members: Value) -> Value {
    merged(json!({"FunctionName": "fn", "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"}), members)
}

fn stream(members: Value) -> Value {
    let source = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
    merged(json!({"FunctionName": "fn", "EventSourceArn": source, "StartingPosition": "TRIM_HORIZON"}), members)
}

fn table(members: Value) -> Value {
    merged(stream(json!({"EventSourceArn": TABLE_STREAM})), members)
}

fn merged(mut document: Value, members: Value) -> Value {
    merge(&mut document, members);
    document
}

fn merge(document: &mut Value, members: Value) {
    if let Value::Object(members) = members {
        for (name, value) in members {
            document[name] = value;
        }
    }
}

fn read(document: Value) -> MappingDocument {
    serde_json::from_value(document).expect("a document")
}

fn validate(document: Value) -> Result<EventSourceMapping, ValidationErrors> {
    EventSourceMapping::from_document(&read(document), &scope())
}

fn rules(judged: Result<EventSourceMapping, ValidationErrors>) -> Vec<(String, String)> {
    let errors = judged.err().map(|errors| errors.0).unwrap_or_default();
    errors.into_iter().map(|error| (error.field, error.rule)).collect()
}

fn assert_refused(document: Value, field: &str, rule: &str) {
    assert_eq!(rules(validate(document)), [(field.to_owned(), rule.to_owned())]);
}

const NOW_SECONDS: i64 = 1_760_700_041;
const TABLE_STREAM: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/users/stream/2026-01-31T09:30:00.000";
