//! What an invocation means for its batch. `event::response` classifies, `core::retry` decides.

use super::window::WindowState;

/// An invocation's meaning, already classified (`docs/semantics.md` 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every record of the batch is settled.
    Succeeded,
    /// The function ran and reported these records as failed: places in the batch, ascending, at least one.
    Partial(Vec<usize>),
    /// The function ran and failed, or can never take this batch. Uses up an attempt.
    Failed(Failure),
    /// The target had no room. The function did not run; no attempt is used up.
    Throttled,
    /// The function did not provably run: the target was out of reach or not ready. No attempt is used up.
    Unavailable(Outage),
}

impl Outcome {
    /// The value of the label `outcome` in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial(_) => "partial",
            Self::Failed(_) => "failed",
            Self::Throttled => "throttled",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The value of the label `reason` in metrics and logs; empty where the outcome says it all.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Succeeded | Self::Partial(_) | Self::Throttled => "",
            Self::Failed(failure) => match failure {
                Failure::FunctionError => "function_error",
                Failure::TooLarge => "too_large",
                Failure::InvalidResponse => "invalid_response",
            },
            Self::Unavailable(outage) => match outage {
                Outage::Timeout => "timeout",
                Outage::Unreachable => "unreachable",
                Outage::Missing => "missing",
                Outage::Denied => "denied",
                Outage::Service => "service",
                Outage::Refused => "refused",
            },
        }
    }
}

/// Why an invocation counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The answer carried `X-Amz-Function-Error`.
    FunctionError,
    /// The payload is larger than the target takes (413).
    TooLarge,
    /// The function succeeded, but its partial response is none (`docs/semantics.md` 4.4, 6.6).
    InvalidResponse,
}

/// Why the target counts as unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// No answer in time. The function may have run.
    Timeout,
    /// No connection, or one that broke.
    Unreachable,
    /// The function or its qualifier does not exist (404).
    Missing,
    /// The caller may not invoke it (401, 403).
    Denied,
    /// The service failed (5xx).
    Service,
    /// Any other refusal (4xx), such as a function that is not ready.
    Refused,
}

/// What came with an outcome: what a failure record tells of an invocation that counted as an attempt
/// (`docs/semantics.md` 6.7), and the state for the next call of its window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The invocation's request id, if the target gave one.
    pub request_id: Option<String>,
    /// What the function answered; `None` if the payload was too large for it.
    pub response: Option<FunctionResponse>,
    /// What the function returned for its tumbling window; `None` outside of one.
    pub state: Option<WindowState>,
}

/// The part of an [`Answer`] that comes from the function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionResponse {
    /// The version that ran, if the target says it.
    pub executed_version: Option<String>,
    /// `Handled` or `Unhandled`; `None` if the function itself succeeded.
    pub function_error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/metrics.md`
    #[test]
    fn each_outcome_has_its_labels() {
        for (outcome, name, reason) in [
            (Outcome::Succeeded, "succeeded", ""),
            (Outcome::Partial(vec![0]), "partial", ""),
            (Outcome::Throttled, "throttled", ""),
            (Outcome::Failed(Failure::FunctionError), "failed", "function_error"),
            (Outcome::Failed(Failure::TooLarge), "failed", "too_large"),
            (Outcome::Failed(Failure::InvalidResponse), "failed", "invalid_response"),
            (Outcome::Unavailable(Outage::Timeout), "unavailable", "timeout"),
            (Outcome::Unavailable(Outage::Unreachable), "unavailable", "unreachable"),
            (Outcome::Unavailable(Outage::Missing), "unavailable", "missing"),
            (Outcome::Unavailable(Outage::Denied), "unavailable", "denied"),
            (Outcome::Unavailable(Outage::Service), "unavailable", "service"),
            (Outcome::Unavailable(Outage::Refused), "unavailable", "refused"),
        ] {
            assert_eq!((outcome.name(), outcome.reason()), (name, reason), "{outcome:?}");
        }
    }
}
