//! Partial batch responses: which records of a batch a function reports as failed (`docs/semantics.md` 4.4, 6.6). What is
//! no valid response fails the whole batch; nothing is ever taken for a success by mistake.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::core::outcome::{Failure, Outcome};
use crate::core::record::{Origin, Record, SequenceNumber};

/// What a function that did not fail says of these records, which are the batch's, in order.
pub(super) fn outcome<'a>(payload: &[u8], records: impl Iterator<Item = &'a Record>) -> Outcome {
    let Some(identifiers) = identifiers(payload) else { return Outcome::Failed(Failure::InvalidResponse) };
    if identifiers.is_empty() {
        return Outcome::Succeeded;
    }
    let places = Places::of(records);
    let failed: Option<Vec<usize>> = identifiers.iter().map(|identifier| places.find(identifier)).collect();
    match failed {
        None => Outcome::Failed(Failure::InvalidResponse),
        Some(mut failed) => {
            failed.sort_unstable();
            failed.dedup();
            Outcome::Partial(failed)
        }
    }
}

/// The identifiers that a response lists; `None` if it is none.
fn identifiers(payload: &[u8]) -> Option<Vec<String>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    let failures = match serde_json::from_slice(payload).ok()? {
        Value::Null => return Some(Vec::new()),
        Value::String(text) if text.is_empty() => return Some(Vec::new()),
        Value::Array(elements) if elements.is_empty() => return Some(Vec::new()),
        Value::Object(mut members) => members.remove("batchItemFailures").unwrap_or(Value::Null),
        _ => return None,
    };
    match failures {
        Value::Null => Some(Vec::new()),
        Value::Array(failures) => failures.into_iter().map(identifier).collect(),
        _ => None,
    }
}

fn identifier(failure: Value) -> Option<String> {
    let Value::Object(mut members) = failure else { return None };
    match members.remove("itemIdentifier")? {
        Value::String(identifier) if !identifier.is_empty() => Some(identifier),
        _ => None,
    }
}

/// Where each record stands in its batch. Records of one aggregate share a number: the first of them counts.
#[derive(Default)]
struct Places<'a> {
    messages: BTreeMap<&'a str, usize>,
    numbers: BTreeMap<&'a SequenceNumber, usize>,
}

impl<'a> Places<'a> {
    fn of(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut places = Self::default();
        for (place, record) in records.enumerate() {
            match &record.origin {
                Origin::Message { id, .. } => _ = places.messages.entry(id).or_insert(place),
                Origin::Position(position) => _ = places.numbers.entry(&position.sequence_number).or_insert(place),
            }
        }
        places
    }

    /// A message's id is compared as text, a sequence number as an integer.
    fn find(&self, identifier: &str) -> Option<usize> {
        if let Some(place) = self.messages.get(identifier) {
            return Some(*place);
        }
        let is_number = identifier.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| self.numbers.get(&SequenceNumber::new(identifier)).copied())?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::core::Timestamp;
    use crate::core::record::Receipt;

    /// `docs/semantics.md` 4.4, 6.6 (invariant 49)
    #[test]
    fn a_response_that_names_nobody_is_a_success() {
        for payload in [
            "",
            "null",
            "\"\"",
            "[]",
            "{}",
            r#"{"batchItemFailures":null}"#,
            r#"{"batchItemFailures":[]}"#,
            r#"{"other":[1]}"#,
        ] {
            assert_eq!(outcome(payload.as_bytes(), messages(&["a"]).iter()), Outcome::Succeeded, "{payload}");
            assert_eq!(outcome(payload.as_bytes(), positions(&["1"]).iter()), Outcome::Succeeded, "{payload}");
        }
    }

    /// `docs/semantics.md` 4.4, 6.6 (invariants 50 and 77)
    #[test]
    fn a_response_that_is_none_fails_the_batch() {
        for payload in [
            "no json",
            "7",
            "\"text\"",
            "[1]",
            "true",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":"a"}"#,
            r#"{"batchItemFailures":[{}]}"#,
            r#"{"batchItemFailures":[null]}"#,
            r#"{"batchItemFailures":["1"]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":1}]}"#,
            r#"{"batchItemFailures":[{"foo":"1"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"unknown"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":"9"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":""}]}"#,
        ] {
            let invalid = Outcome::Failed(Failure::InvalidResponse);
            assert_eq!(outcome(payload.as_bytes(), messages(&["1", "2"]).iter()), invalid, "{payload}");
            assert_eq!(outcome(payload.as_bytes(), positions(&["1", "2"]).iter()), invalid, "{payload}");
        }
    }

    /// It would be the number zero, which servers exist to give.
    #[test]
    fn no_identifier_is_no_number() {
        let payload = br#"{"batchItemFailures":[{"itemIdentifier":""}]}"#;
        assert_eq!(outcome(payload, positions(&["0"]).iter()), Outcome::Failed(Failure::InvalidResponse));
    }

    #[test]
    fn listed_records_failed_each_once_and_in_the_order_of_the_batch() {
        let payload = br#"{"batchItemFailures":[{"itemIdentifier":"c","extra":1},{"itemIdentifier":"a"},
            {"itemIdentifier":"c"}],"extra":{}}"#;
        assert_eq!(outcome(payload, messages(&["a", "b", "c"]).iter()), Outcome::Partial(vec![0, 2]));
    }

    #[test]
    fn a_messages_id_is_compared_as_text() {
        let payload = br#"{"batchItemFailures":[{"itemIdentifier":"A"}]}"#;
        assert_eq!(outcome(payload, messages(&["a"]).iter()), Outcome::Failed(Failure::InvalidResponse));
    }

    /// `docs/semantics.md` 6.6 (invariant 75): longer than 64 bits, and some servers pad with zeros.
    #[test]
    fn a_sequence_number_is_compared_as_an_integer() {
        let (ninth, tenth) = ("49660000000000000000000000000000000000009", "49660000000000000000000000000000000000010");
        let payload =
            format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{tenth}"}},{{"itemIdentifier":"00{ninth}"}}]}}"#);
        let batch = positions(&["49660000000000000000000000000000000000008", ninth, tenth]);
        assert_eq!(outcome(payload.as_bytes(), batch.iter()), Outcome::Partial(vec![1, 2]));
    }

    /// `docs/semantics.md` 6.6: records of an aggregate share a number.
    #[test]
    fn the_first_record_of_a_number_is_the_one_that_failed() {
        let payload = br#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#;
        assert_eq!(outcome(payload, positions(&["1", "2", "2", "3"]).iter()), Outcome::Partial(vec![1]));
    }

    fn messages(ids: &[&str]) -> Vec<Record> {
        let receipt = Receipt { handle: "handle".into(), ends_at: Timestamp::default() };
        ids.iter().map(|id| record(Origin::Message { id: Arc::from(*id), receipt: receipt.clone() })).collect()
    }

    fn positions(numbers: &[&str]) -> Vec<Record> {
        numbers.iter().map(|number| record(Origin::Position(SequenceNumber::new(*number).into()))).collect()
    }

    fn record(origin: Origin) -> Record {
        Record { origin, key: None, arrived_at: Timestamp::default(), element: Bytes::new() }
    }
}
