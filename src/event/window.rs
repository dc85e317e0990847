//! The event of a call in a tumbling window, and what its reply means (`docs/semantics.md` 2.5). Pure. Invariants: the
//! state is passed on verbatim, as the text that the function returned; what is no valid state fails the call.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::PREFIX;
use super::response::Reply;
use crate::core::Timestamp;
use crate::core::batch::Batch;
use crate::core::outcome::{Answer, Failure, Outcome};
use crate::core::record::{Record, ShardId};
use crate::core::window::{WindowCall, WindowState};

/// Joins the events of one shard. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Events {
    /// From the end of `Records` to the beginning of the window's start.
    middle: Arc<[u8]>,
}

impl Events {
    /// For one shard of the source that the mapping names so.
    #[must_use]
    pub fn new(shard: &ShardId, event_source_arn: &str) -> Self {
        let text = |text: &str| serde_json::to_string(text).expect("a text is always JSON");
        let (shard, arn) = (text(shard.as_str()), text(event_source_arn));
        let middle = format!(r#"],"shardId":{shard},"eventSourceARN":{arn},"window":{{"start":""#);
        Self { middle: middle.into_bytes().into() }
    }

    /// The batch's payload, with the members of its window if it has one.
    #[must_use]
    pub fn payload(&self, batch: &Batch) -> Bytes {
        let Some(call) = &batch.window else { return super::payload(batch.elements()) };
        let state_bytes = call.state.as_str().len();
        let mut payload = Vec::with_capacity(PREFIX.len() + batch.bytes + self.window_bytes() + state_bytes);
        payload.extend_from_slice(PREFIX);
        super::append_elements(&mut payload, batch.elements());
        payload.extend_from_slice(&self.middle);
        payload.extend_from_slice(members(call).as_bytes());
        payload.into()
    }

    /// The most bytes that the members of a window add to a payload without its state.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.middle.len() + AFTER_START_BYTES_MAX
    }
}

/// What a reply to a call in a window means, and what came with it: the state, without which the call failed
/// (invariant 104). `records` are the batch's if the mapping lets the function report which of them failed.
#[must_use]
pub fn judge<'a>(reply: &Reply, records: Option<impl Iterator<Item = &'a Record>>) -> (Outcome, Option<Answer>) {
    let (outcome, answer) = (reply.outcome(records), reply.answer());
    let (Outcome::Succeeded | Outcome::Partial(_), Reply::Answered { payload, .. }) = (&outcome, reply) else {
        return (outcome, answer);
    };
    match (state(payload), answer) {
        (Some(state), Some(answer)) => (outcome, Some(Answer { state: Some(state), ..answer })),
        (_, answer) => (Outcome::Failed(Failure::InvalidResponse), answer),
    }
}

/// The member `state` of a response, which is an object: of an array, serde would take the first element for it. A null
/// is none: it is what languages with types make of a state that was not set.
fn state(payload: &[u8]) -> Option<WindowState> {
    if !payload.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Response { state } = serde_json::from_slice(payload).ok()?;
    state.filter(|state| state.get().starts_with('{')).map(|state| WindowState::new(state.get()))
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

fn members(call: &WindowCall) -> String {
    let [start, end] = [call.bounds.start, call.bounds.end].map(moment);
    let (state, is_final, is_early) = (call.state.as_str(), call.is_final, call.is_terminated_early());
    format!(
        r#"{start}","end":"{end}"}},"state":{state},"isFinalInvokeForWindow":{is_final},"isWindowTerminatedEarly":{is_early}}}"#
    )
}

/// A window's bound as events show it: whole seconds, UTC. One past the year 9999, which only a broken source gives,
/// shows as the last moment that can be written.
pub(super) fn moment(timestamp: Timestamp) -> String {
    format!("{:.0}", timestamp.to_utc().unwrap_or(jiff::Timestamp::MAX))
}

/// What follows a window's start, without the state, at its longest.
const AFTER_START_BYTES_MAX: usize =
    r#"2026-02-02T00:00:10Z","end":"2026-02-02T00:00:20Z"},"state":,"isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}"#
        .len();

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests may
mod tests {
    use super::*;

    /// Invariant 104: a state is an object; anything else fails the call, whatever else the response says.
    #[test]
    fn a_response_without_state_fails_the_call() {
        for payload in [
            "",
            "null",
            "7",
            "[]",
            "{}",
            "{\"state\":",
            r#"{"state":null}"#,
            r#"{"state":7}"#,
            r#"{"state":"text"}"#,
            r#"{"state":[1]}"#,
            r#"{"State":{}}"#,
            r#"{"state":{},"state":{}}"#,
            r#"{"batchItemFailures":[]}"#,
            r#"[{"count":1}]"#,
        ] {
            let (outcome, answer) = judge(&answered(payload), NOBODY);
            assert_eq!(outcome, Outcome::Failed(Failure::InvalidResponse), "{payload}");
            assert_eq!(answer.and_then(|answer| answer.state), None, "{payload}");
        }
    }

    /// Invariant 99: numbers, order and blanks stay as the function wrote them.
    #[test]
    fn a_state_is_kept_verbatim() {
        let state = r#"{"b": 12345678901234567890.10, "a":{"nested":[1,2]}, "a":"é"}"#;
        let payload = format!(r#"{{"other":1, "state": {state} , "batchItemFailures":null}}"#);

        let (outcome, answer) = judge(&answered(&payload), NOBODY);

        assert_eq!(outcome, Outcome::Succeeded);
        assert_eq!(answer.and_then(|answer| answer.state), Some(WindowState::new(state)));
    }

    /// `docs/semantics.md` 6.9: a partial response's state goes to the suffix, if the mapping lets the function report.
    #[test]
    fn a_partial_response_has_a_state_too() {
        let records = ["1", "2"].map(record);
        let state = |payload: &str| {
            let (outcome, answer) = judge(&answered(payload), Some(records.iter()));
            (outcome, answer.and_then(|answer| answer.state))
        };
        let reported = r#"{"state":{"count":1},"batchItemFailures":[{"itemIdentifier":"2"}]}"#;
        assert_eq!(state(reported), (Outcome::Partial(vec![1]), Some(WindowState::new(r#"{"count":1}"#))));
        let without_state = r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#;
        assert_eq!(state(without_state), (Outcome::Failed(Failure::InvalidResponse), None));
        let unknown = r#"{"state":{},"batchItemFailures":[{"itemIdentifier":"9"}]}"#;
        assert_eq!(state(unknown).0, Outcome::Failed(Failure::InvalidResponse));
    }

    #[test]
    fn what_did_not_succeed_keeps_its_meaning() {
        let throttled = Reply::Refused { status: 429, code: String::new(), message: String::new() };
        assert_eq!(judge(&throttled, NOBODY), (Outcome::Throttled, None));
        assert_eq!(judge(&Reply::NotStarted, NOBODY), (Outcome::Throttled, None));
    }

    /// No member of a window is longer than its room in the limit, at any time that four digits of a year can say.
    #[test]
    fn the_members_never_exceed_their_room() {
        let bounds = |start: u64| crate::core::window::WindowBounds {
            start: Timestamp::from_millis(start),
            end: Timestamp::from_millis(start.saturating_add(1_000)),
        };
        for start in [0, 1_770_000_000_000, 253_402_300_799_000, u64::MAX] {
            for is_final in [false, true] {
                let call = WindowCall { bounds: bounds(start), state: WindowState::new(""), is_final };
                assert!(members(&call).len() <= AFTER_START_BYTES_MAX, "{}", members(&call));
            }
        }
    }

    fn answered(payload: &str) -> Reply {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        Reply::Answered { payload, function_error: None, executed_version: None, request_id: None }
    }

    fn record(number: &str) -> Record {
        let origin = crate::core::record::Origin::Position(crate::core::record::SequenceNumber::new(number).into());
        Record { origin, key: None, arrived_at: Timestamp::default(), element: Bytes::new() }
    }

    const NOBODY: Option<std::iter::Empty<&Record>> = None;
}
