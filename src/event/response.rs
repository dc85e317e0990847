//! Reads a target's reply: the one place that turns status codes and error headers into an [`Outcome`]. Knows no HTTP
//! client; whatever a target answered, or did not, has exactly one meaning.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::partial;
use crate::core::outcome::{Answer, Failure, FunctionResponse, Outage, Outcome};
use crate::core::record::Record;

/// What came back from a target, before anyone judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The target answered 200.
    Answered {
        /// The function's answer, or its error document.
        payload: Bytes,
        /// The value of `X-Amz-Function-Error`.
        function_error: Option<String>,
        /// The value of `X-Amz-Executed-Version`.
        executed_version: Option<String>,
        /// The value of `x-amzn-RequestId`.
        request_id: Option<String>,
    },
    /// The target answered with an error status.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error's code, such as `TooManyRequestsException`; empty if it has none.
        code: String,
        /// The error's text, for the log.
        message: String,
    },
    /// The target could not be reached or broke off.
    Unreachable {
        /// The cause, for the log.
        message: String,
    },
    /// No answer within the function's timeout and a margin. The function may have run.
    TimedOut,
    /// Not started: the batch's lease would have ended first.
    NotStarted,
}

impl Reply {
    /// The reply that an error status is. A 500 whose body is a function's error document comes from a function host
    /// that leaves out `X-Amz-Function-Error`: the function ran and failed. Lambda's own errors have other members.
    pub fn from_error(status: u16, code: &str, message: &str, body: &[u8]) -> Self {
        if status == 500 && serde_json::from_slice::<ErrorDocument>(body).is_ok() {
            return Self::Answered {
                payload: Bytes::copy_from_slice(body),
                function_error: Some(UNMARKED_FUNCTION_ERROR.to_owned()),
                executed_version: None,
                request_id: None,
            };
        }
        Self::Refused { status, code: code.to_owned(), message: message.to_owned() }
    }

    /// What the reply means for the batch (`docs/semantics.md` 3). An invocation that was not started is like one that
    /// found no room: nothing ran, nothing is used up. `records` are the batch's if the mapping lets the function report
    /// which of them failed.
    #[must_use]
    pub fn outcome<'a>(&self, records: Option<impl Iterator<Item = &'a Record>>) -> Outcome {
        match self {
            Self::Answered { function_error: Some(_), .. } => Outcome::Failed(Failure::FunctionError),
            Self::Answered { function_error: None, payload, .. } => match records {
                Some(records) => partial::outcome(payload, records),
                None => Outcome::Succeeded,
            },
            Self::Refused { status, code, .. } => refusal(*status, code),
            Self::Unreachable { .. } => Outcome::Unavailable(Outage::Unreachable),
            Self::TimedOut => Outcome::Unavailable(Outage::Timeout),
            Self::NotStarted => Outcome::Throttled,
        }
    }

    /// What a failure record would tell of it, if it counts as an attempt (`docs/semantics.md` 6.7).
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::Answered { function_error, executed_version, request_id, .. } => {
                let (function_error, executed_version) = (function_error.clone(), executed_version.clone());
                let response = Some(FunctionResponse { executed_version, function_error });
                Some(Answer { request_id: request_id.clone(), response, state: None })
            }
            Self::Refused { status, code, .. } if matches!(refusal(*status, code), Outcome::Failed(_)) => {
                Some(Answer::default())
            }
            Self::Refused { .. } | Self::Unreachable { .. } | Self::TimedOut | Self::NotStarted => None,
        }
    }
}

impl Reply {
    /// What a person wants to read of it in a log: the function's error or the server's words, cut short.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Answered { payload, .. } => {
                String::from_utf8_lossy(payload).chars().take(SUMMARY_CHARACTERS_MAX).collect()
            }
            Self::Refused { status, code, message } => format!("{status} {code}: {message}"),
            Self::Unreachable { message } => message.clone(),
            Self::TimedOut => "no answer in time".to_owned(),
            Self::NotStarted => "not started: its lease would have ended".to_owned(),
        }
    }
}

const SUMMARY_CHARACTERS_MAX: usize = 300;

/// What a function host answers with when the function failed. Only its shape counts.
#[derive(Deserialize)]
struct ErrorDocument {
    #[serde(rename = "errorMessage")]
    _message: IgnoredAny,
    #[serde(rename = "errorType")]
    _kind: String,
}

fn refusal(status: u16, code: &str) -> Outcome {
    match status {
        _ if TOO_LARGE_CODES.contains(&code) => Outcome::Failed(Failure::TooLarge),
        413 => Outcome::Failed(Failure::TooLarge),
        429 => Outcome::Throttled,
        401 | 403 => Outcome::Unavailable(Outage::Denied),
        404 => Outcome::Unavailable(Outage::Missing),
        500..=599 => Outcome::Unavailable(Outage::Service),
        _ => Outcome::Unavailable(Outage::Refused),
    }
}

/// Lambda's words for a payload over its limit, whatever status a stand-in puts beside them.
const TOO_LARGE_CODES: [&str; 2] = ["RequestTooLargeException", "SerializedRequestEntityTooLargeException"];

/// What Lambda says of an error that the function did not handle.
const UNMARKED_FUNCTION_ERROR: &str = "Unhandled";

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 3 and 9 (invariant 47): what the function says counts only if the mapping lets it report.
    #[test]
    fn each_reply_has_its_outcome() {
        let unavailable = Outcome::Unavailable;
        let cases = [
            (answered(None), Outcome::Succeeded),
            (refused(413, ""), Outcome::Failed(Failure::TooLarge)),
            (refused(400, "RequestTooLargeException"), Outcome::Failed(Failure::TooLarge)),
            (refused(400, "SerializedRequestEntityTooLargeException"), Outcome::Failed(Failure::TooLarge)),
            (refused(429, "TooManyRequestsException"), Outcome::Throttled),
            (refused(429, ""), Outcome::Throttled),
            (refused(401, ""), unavailable(Outage::Denied)),
            (refused(403, "AccessDeniedException"), unavailable(Outage::Denied)),
            (refused(404, "ResourceNotFoundException"), unavailable(Outage::Missing)),
            (refused(400, "RecursiveInvocationException"), unavailable(Outage::Refused)),
            (refused(408, "EFSMountTimeoutException"), unavailable(Outage::Refused)),
            (refused(409, "SnapStartNotReadyException"), unavailable(Outage::Refused)),
            (refused(410, "EFSIOException"), unavailable(Outage::Refused)),
            (refused(500, "ServiceException"), unavailable(Outage::Service)),
            (refused(502, "EC2ThrottledException"), unavailable(Outage::Service)),
            (refused(502, "KMSAccessDeniedException"), unavailable(Outage::Service)),
            (refused(503, ""), unavailable(Outage::Service)),
            (Reply::Unreachable { message: "connection refused".to_owned() }, unavailable(Outage::Unreachable)),
            (Reply::TimedOut, unavailable(Outage::Timeout)),
            (Reply::NotStarted, Outcome::Throttled),
        ];
        for (reply, outcome) in cases {
            assert_eq!(reply.outcome(NOBODY), outcome, "{reply:?}");
        }
    }

    /// `docs/semantics.md` 9 (invariant 44): any value counts, and the payload does not.
    #[test]
    fn any_function_error_is_a_failure() {
        for value in ["Unhandled", "Handled", "anything", ""] {
            assert_eq!(answered(Some(value)).outcome(NOBODY), Outcome::Failed(Failure::FunctionError), "{value:?}");
        }
    }

    #[test]
    fn a_500_with_an_error_document_is_a_function_error() {
        let body = br#"{"errorType":"Runtime","errorMessage":"boom","stackTrace":[]}"#;
        let reply = Reply::from_error(500, "", "", body);
        assert_eq!(reply.outcome(NOBODY), Outcome::Failed(Failure::FunctionError));
        assert!(matches!(reply, Reply::Answered { payload, .. } if payload == body.as_slice()));
    }

    #[test]
    fn other_errors_are_not_taken_for_function_errors() {
        let document = br#"{"errorType":"Runtime","errorMessage":"boom"}"#.as_slice();
        let cases = [
            (500, br#"{"Type":"Service","Message":"internal error"}"#.as_slice()),
            (500, b"<html>Internal Server Error</html>"),
            (500, b""),
            (500, br#"{"errorMessage":"no type"}"#),
            (502, document),
            (503, document),
        ];
        for (status, body) in cases {
            let outcome = Reply::from_error(status, "", "", body).outcome(NOBODY);
            assert_eq!(outcome, Outcome::Unavailable(Outage::Service), "{status} {}", body.escape_ascii());
        }
    }

    /// `docs/semantics.md` 6.7: what counts as an attempt has an answer; the function's part of it is there if it ran,
    /// its error if it had one (invariants 42 and 77).
    #[test]
    fn a_failure_record_tells_what_the_function_answered() {
        let response = |function_error: Option<&str>| {
            let function_error = function_error.map(str::to_owned);
            let response = Some(FunctionResponse { executed_version: None, function_error });
            Some(Answer { response, ..Answer::default() })
        };
        let cases = [
            (answered(Some("Handled")), response(Some("Handled"))),
            (answered(None), response(None)),
            (refused(413, ""), Some(Answer::default())),
            (refused(429, ""), None),
            (refused(500, "ServiceException"), None),
            (Reply::TimedOut, None),
            (Reply::NotStarted, None),
        ];
        for (reply, expected) in cases {
            assert_eq!(reply.answer(), expected, "{reply:?}");
        }
    }

    #[test]
    fn a_log_shows_the_answer_cut_short_or_what_stands_for_it() {
        let long = Reply::from_error(500, "", "", json_error(&"é".repeat(400)).as_bytes());
        assert_eq!(long.summary(), json_error(&"é".repeat(400)).chars().take(300).collect::<String>());
        let denied = Reply::from_error(403, "AccessDeniedException", "not you", b"");
        assert_eq!(denied.summary(), "403 AccessDeniedException: not you");
        assert_eq!(Reply::Unreachable { message: "connection refused".to_owned() }.summary(), "connection refused");
        assert_eq!(Reply::TimedOut.summary(), "no answer in time");
        assert_eq!(Reply::NotStarted.summary(), "not started: its lease would have ended");
    }

    fn json_error(message: &str) -> String {
        format!(r#"{{"errorType":"Runtime","errorMessage":"{message}"}}"#)
    }

    fn answered(function_error: Option<&str>) -> Reply {
        let payload = Bytes::from_static(br#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#);
        let function_error = function_error.map(str::to_owned);
        Reply::Answered { payload, function_error, executed_version: None, request_id: None }
    }

    /// The mapping does not let the function report failures.
    const NOBODY: Option<std::iter::Empty<&Record>> = None;

    fn refused(status: u16, code: &str) -> Reply {
        Reply::Refused { status, code: code.to_owned(), message: String::new() }
    }
}
