//! What an outcome means for a batch, as one function, and how long a batch waits before it is invoked again.
//! Randomness comes in as a seed: the same seed, batch and count give the same delay.

use std::time::Duration;

use super::Timestamp;
use super::action::DiscardReason;
use super::batch::Batch;
use super::outcome::Outcome;
use super::settings::{Kind, RetrySettings};

/// What happens to a batch after an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every record is settled.
    Settle,
    /// A queue's messages at these places come back by their visibility timeout; nothing is said to the queue. The
    /// others are settled.
    Leave(Vec<usize>),
    /// So many of the first records are settled; the rest again, as if they had never been invoked.
    Progress(usize),
    /// The same records again after a function failure: an attempt is used up.
    Retry,
    /// The lower half, then the upper, as if they had never been invoked.
    Split,
    /// Nobody will process the records.
    Discard,
    /// The same records again, under the same receipts; nothing is used up.
    Wait,
}

/// | outcome | stream | queue |
/// |---|---|---|
/// | `Succeeded` | `Settle`: the checkpoint passes | `Settle`: deleted |
/// | `Partial`, the first record not among the failed | `Progress` up to the first failed (6.6, invariant 73) | `Leave` the failed (4.4, invariant 48) |
/// | `Failed`, or `Partial` from the first record on | several records and bisect: `Split` (6.6, invariants 70 and 72); else out of attempts: `Discard`; else `Retry` | `Leave` all, or the failed (4.3, invariants 45 and 46) |
/// | `Throttled`, `Unavailable` | `Wait` (6.6, invariant 41) | `Wait` while the lease lives (4.5, invariant 51) |
pub(super) fn decide(kind: Kind, settings: &RetrySettings, batch: &Batch, outcome: &Outcome) -> Verdict {
    match (outcome, kind) {
        (Outcome::Succeeded, _) => Verdict::Settle,
        (Outcome::Throttled | Outcome::Unavailable(_), _) => Verdict::Wait,
        (Outcome::Partial(failed), Kind::Queue) => Verdict::Leave(failed.clone()),
        (Outcome::Failed(_), Kind::Queue) => Verdict::Leave((0..batch.len()).collect()),
        (Outcome::Partial(failed), Kind::Stream) if failed[0] > 0 => Verdict::Progress(failed[0]),
        (Outcome::Partial(_) | Outcome::Failed(_), Kind::Stream) => {
            let exhausted = settings.attempts_max.is_some_and(|most| batch.attempts + 1 >= most);
            match (settings.bisect && batch.len() > 1, exhausted) {
                (true, _) => Verdict::Split,
                (false, true) => Verdict::Discard,
                (false, false) => Verdict::Retry,
            }
        }
    }
}

/// How many of the batch's first records are too old to be invoked, and why; `None` if the first is not
/// (`docs/semantics.md` 6.6, invariants 78 and 79). The source's retention counts only for what failed already: what
/// was never processed is invoked, however old. A window's final call has no records; once it failed it is as old as
/// its window's end.
pub(super) fn expired(settings: &RetrySettings, batch: &Batch, now: Timestamp) -> Option<(usize, DiscardReason)> {
    let is_older =
        |arrived_at: Timestamp, limit: Option<Duration>| limit.is_some_and(|most| now.since(arrived_at) >= most);
    let (age_max, retention) = limits(settings, batch);
    let judge = |arrived_at: Timestamp| {
        if is_older(arrived_at, age_max) {
            Some(DiscardReason::RecordAgeExceeded)
        } else if is_older(arrived_at, retention) {
            Some(DiscardReason::Expired)
        } else {
            None
        }
    };
    let reason = judge(first_arrival(batch))?;
    Some((batch.records().take_while(|record| judge(record.arrived_at) == Some(reason)).count(), reason))
}

/// When the batch's first record will be too old.
pub(super) fn expires_at(settings: &RetrySettings, batch: &Batch) -> Option<Timestamp> {
    let (age_max, retention) = limits(settings, batch);
    age_max.into_iter().chain(retention).min().map(|limit| first_arrival(batch) + limit)
}

/// The mapping's and the source's limit, as far as they count for this batch.
fn limits(settings: &RetrySettings, batch: &Batch) -> (Option<Duration>, Option<Duration>) {
    let has_failed = batch.attempts > 0;
    (settings.age_max.filter(|_| has_failed || !batch.is_empty()), settings.retention.filter(|_| has_failed))
}

fn first_arrival(batch: &Batch) -> Timestamp {
    let window_end = || batch.window.as_ref().map(|call| call.bounds.end);
    batch
        .records()
        .next()
        .map(|record| record.arrived_at)
        .or_else(window_end)
        .expect("without records it is a window's")
}

/// How long the batch waits until it is tried again: 1, 2, 4 … 60 s after failures, 0.2, 0.4 … 10 s while the target has
/// no room or is away, or while a failure record cannot be delivered, each with full jitter (`docs/semantics.md` 6.6).
/// Never zero.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::batch::BatchId;
    use crate::core::window::{WindowBounds, WindowCall, WindowState};

    /// `docs/semantics.md` 6.6: the bound doubles from a second to a minute, or from 0.2 s to 10 s where the function
    /// did not run, whatever it failed before.
    #[test]
    fn a_back_off_is_drawn_below_a_bound_that_doubles() {
        for (attempts, waits, bound) in [
            (1, 0, 1_000),
            (2, 0, 2_000),
            (6, 0, 32_000),
            (7, 0, 60_000),
            (u32::MAX, 0, 60_000),
            (0, 1, 200),
            (9, 2, 400),
            (0, 6, 6_400),
            (0, 7, 10_000),
            (0, u32::MAX, 10_000),
        ] {
            let batch = batch(7, attempts, waits);
            let delays: Vec<u128> = (0..2_000).map(|seed| delay(&batch, seed).as_millis()).collect();
            let (least, most) = (delays.iter().min().expect("some"), delays.iter().max().expect("some"));
            assert!(*least >= 1 && *most <= bound, "{attempts} {waits}: {least} to {most}");
            assert!(*least < bound / 20 && *most > bound - bound / 20, "{attempts} {waits}: {least} to {most}");
        }
    }

    /// Or what is kept of a story that went wrong would tell another one.
    #[test]
    fn the_same_seed_batch_and_count_always_give_the_same_delay() {
        for (id, attempts, waits, seed, milliseconds) in [
            (7, 1, 0, 3, 365),
            (7, 2, 0, 3, 383),
            (8, 2, 0, 3, 1_820),
            (7, 2, 0, 4, 727),
            (7, 9, 0, 3, 33_804),
            (7, 0, 1, 3, 165),
            (7, 5, 2, 3, 383),
        ] {
            assert_eq!(delay(&batch(id, attempts, waits), seed), Duration::from_millis(milliseconds));
        }
    }

    /// The first output of `SplitMix64` from these seeds, as others have published it.
    #[test]
    fn bits_are_spread_as_split_mix_64_spreads_them() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
    }

    /// A final call: it needs no records.
    fn batch(id: u64, attempts: u32, waits: u32) -> Batch {
        let bounds = WindowBounds::around(Timestamp::default(), Duration::from_secs(10));
        let call = WindowCall { bounds, state: WindowState::default(), is_final: true };
        Batch { attempts, waits, ..Batch::final_call(BatchId(id), call) }
    }
}
