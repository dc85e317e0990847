//! What an outcome means for a batch, as one function, and how long a batch waits before it is invoked again.
//! Randomness comes in as a seed: the same seed, batch and count give the same delay.

use std::time::Duration;

use super::batch::Batch;

use super::outcome::Outcome;
use super::settings::Kind;

/// What happens to a batch after an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every record is settled.
    Settle,
    /// A queue's messages come back by their visibility timeout; nothing is said to the queue.
    Leave,
    /// The same records again after a function failure: an attempt is used up.
    Retry,
    /// The same records again, under the same receipts; nothing is used up.
    Wait,
}

/// | outcome | stream | queue |
/// |---|---|---|
/// | `Succeeded` | `Settle`: the checkpoint passes | `Settle`: deleted |
/// | `Failed` | `Retry` until it succeeds (`docs/semantics.md` 6.6) | `Leave` (4.3, invariants 45 and 46) |
/// | `Throttled`, `Unavailable` | `Wait` (6.6, invariant 41) | `Wait` while the lease lives (4.5, invariant 51) |
pub(super) const fn decide(kind: Kind, outcome: Outcome) -> Verdict {
    match (outcome, kind) {
        (Outcome::Succeeded, _) => Verdict::Settle,
        (Outcome::Failed(_), Kind::Stream) => Verdict::Retry,
        (Outcome::Failed(_), Kind::Queue) => Verdict::Leave,
        (Outcome::Throttled | Outcome::Unavailable(_), _) => Verdict::Wait,
    }
}

/// How long the batch waits for its next invocation: 1, 2, 4 … 60 s after failures, 0.2, 0.4 … 10 s while the target
/// has no room or is away, each with full jitter (`docs/semantics.md` 6.6). Never zero.
pub(super) fn delay(batch: &Batch, seed: u64) -> Duration {
    let (first, longest, count) = if batch.waits > 0 {
        (THROTTLE_FIRST, THROTTLE_LONGEST, batch.waits)
    } else {
        (FAILURE_FIRST, FAILURE_LONGEST, batch.attempts)
    };
    let doublings = count.saturating_sub(1).min(32);
    let bound = first.saturating_mul(1 << doublings).min(longest);
    let random = mix(seed ^ mix(batch.id.number()) ^ mix(u64::from(count) << 32));
    Duration::from_millis(1 + random % bound)
}

const FAILURE_FIRST: u64 = 1_000;
const FAILURE_LONGEST: u64 = 60_000;
const THROTTLE_FIRST: u64 = 200;
const THROTTLE_LONGEST: u64 = 10_000;

/// The finalizer of `SplitMix64`: spreads every bit of the input over the output.
const fn mix(input: u64) -> u64 {
    let mut bits = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
