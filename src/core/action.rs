//! What a consumer wants from the shell.

use super::Timestamp;
use super::batch::Batch;
use super::settlement::{Extension, Settlement};

/// What the shell has to do. The order of actions is the order in which they are to be started.
#[derive(Debug)]
pub enum Action {
    /// Invoke the target with this batch and report by [`super::consumer::Consumer::handle_outcome`]. If that cannot begin before
    /// `start_before`, report `Throttled`.
    Invoke {
        /// The records, shared with the lane that holds them.
        batch: Batch,
        /// The end of the first lease among a queue's messages.
        start_before: Option<Timestamp>,
    },
    /// Say where these records went: deliver a failure record if the mapping has a destination, and report by
    /// [`super::consumer::Consumer::handle_discarded`]. Until then the records are held.
    Discard {
        /// The records.
        batch: Batch,
        /// Why nobody will process them.
        reason: DiscardReason,
    },
    /// Tell the queue, try again while the lease lives, and report by [`super::consumer::Consumer::handle_settled`].
    Settle(Settlement),
    /// Ask the queue for these leases, once, and report each by [`super::consumer::Consumer::handle_extended`].
    Extend(Vec<Extension>),
}

/// Why records of a stream are given up (`docs/semantics.md` 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscardReason {
    /// They failed as often as `MaximumRetryAttempts` allows.
    RetryAttemptsExhausted,
    /// They are older than `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
    /// They failed, and their source would have dropped them by now. Nothing is delivered for them.
    Expired,
}

impl DiscardReason {
    /// The value of the label `reason` in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "retries",
            Self::RecordAgeExceeded => "age",
            Self::Expired => "expired",
        }
    }
}

/// Why a consumer wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wakeup {
    /// A batch is invoked or discarded again, or its first record is too old.
    Backoff,
    /// A batching window ends.
    Window,
    /// The lease of an unstarted message ends.
    LeaseEnd,
    /// A lease is to be extended.
    Heartbeat,
    /// A queue has one lane more, and all others are busy.
    Scaling,
}

#[cfg(test)]
mod tests {
    use super::DiscardReason::{Expired, RecordAgeExceeded, RetryAttemptsExhausted};

    /// `docs/metrics.md`
    #[test]
    fn each_reason_has_its_label() {
        let names = [RetryAttemptsExhausted, RecordAgeExceeded, Expired].map(super::DiscardReason::name);
        assert_eq!(names, ["retries", "age", "expired"]);
    }
}
