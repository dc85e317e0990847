//! What an invocation means for its batch. `event::response` classifies, `core::retry` decides.

/// An invocation's meaning, already classified (`docs/semantics.md` 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every record of the batch is settled.
    Succeeded,
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Throttled => "throttled",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The value of the label `reason` in metrics and logs; empty where the outcome says it all.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Succeeded | Self::Throttled => "",
            Self::Failed(failure) => match failure {
                Failure::FunctionError => "function_error",
                Failure::TooLarge => "too_large",
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
