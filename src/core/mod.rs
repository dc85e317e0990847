//! The pure machine: records in, actions out. No I/O, no clock, no randomness, no logging: the same inputs give the
//! same actions, so every rule of ordering and settling can be tested in virtual time. `docs/architecture.md` numbers
//! the invariants that the parts assert.

pub mod action;
mod attempt;
mod backlog;
pub mod batch;
mod batching_window;
pub mod checkpoint;
pub mod consumer;
mod filtered;
mod heartbeat;
mod keys;
mod lane;
mod lanes;
pub mod outcome;
mod queue;
pub mod record;
mod retry;
pub mod scaling;
pub mod settings;
pub mod settlement;
pub mod shards;
pub mod status;
mod visibility;
mod watermark;
pub mod window;

use std::time::Duration;

/// A moment as milliseconds since the Unix epoch. The core never asks for the time: it is handed one with each input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The same moment for people; `None` beyond the years that have four digits.
    #[must_use]
    pub fn to_utc(self) -> Option<jiff::Timestamp> {
        i64::try_from(self.0).ok().and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_to_people_as_long_as_its_year_has_four_digits() {
        let utc = |milliseconds| Timestamp::from_millis(milliseconds).to_utc().map(|utc| utc.to_string());
        assert_eq!(utc(1_760_700_041_314).as_deref(), Some("2025-10-17T11:20:41.314Z"));
        assert_eq!([utc(300_000_000_000_000), utc(u64::MAX)], [None, None]);
    }

    #[test]
    fn what_lies_ahead_was_no_time_ago_and_nothing_comes_after_the_last_moment() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_250));
        assert_eq!((late.since(early), early.since(late)), (Duration::from_millis(250), Duration::ZERO));
        assert_eq!(early + Duration::from_millis(250), late);
        assert_eq!((late + Duration::MAX).as_millis(), u64::MAX);
    }
}
