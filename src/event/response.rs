//! Reads a target's reply: the one place that turns status codes and error headers into an [`Outcome`].

use bytes::Bytes;

/// What came back from a target, before anyone judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The target answered 200.
    Answered {
        /// The function's answer, or its error document.
        payload: Bytes,
        /// The value of `X-Amz-Function-Error`.
        function_error: Option<String>,
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
