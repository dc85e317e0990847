//! The time, as the only place that reads it. Wall time that runs on tokio's clock: it never goes back. A wall clock
//! that leapt ahead, as after a suspend, is followed at once. One that was set back is met by running a thousandth
//! slower until both agree: a lease that is counted meanwhile ends later than at its queue by no more than that. Until
//! they agree a suspend is seen only as far as it goes beyond the difference: it cannot be told from a correction.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::core::Timestamp;

/// A shared clock. Cloning it shares it.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> Duration + Send + Sync>,
    reading: Arc<Mutex<Reading>>,
}

/// What the clock said last.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    since_epoch: Duration,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// A clock over any wall, given as the time since the Unix epoch.
    pub fn new(wall: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let reading = Reading { at: Instant::now(), since_epoch: wall() };
        Self { wall: Arc::new(wall), reading: Arc::new(Mutex::new(reading)) }
    }

    /// The time now; never less than the last answer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let wall = (self.wall)();
        // A reading is replaced whole, so a panic elsewhere leaves none half written.
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        let elapsed = at.duration_since(reading.at);
        let since_epoch = match wall.checked_sub(reading.since_epoch) {
            Some(advanced) if advanced >= elapsed => wall,
            _ => wall.max(reading.since_epoch + elapsed / SLEW * (SLEW - 1)),
        };
        *reading = Reading { at, since_epoch };
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns when the time may have come, at the latest after a second: a wall clock that leaps wakes nobody.
    pub async fn sleep_until(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => tokio::time::sleep(at.since(self.now()).min(Duration::from_secs(1))).await,
            None => std::future::pending().await,
        }
    }
}

/// After a clock was set back, one part in this many is held back until it agrees again.
const SLEW: u32 = 1_000;

/// A wait that doubles with every failure in a row, from `first` to `longest`.
#[must_use]
pub fn doubling(first: Duration, longest: Duration, in_a_row: u32) -> Duration {
    let doublings = in_a_row.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

/// The wait with jitter: between half of it and all of it, the same for the same seed and count.
#[must_use]
pub fn spread(wait: Duration, seed: u64, count: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (seed, count).hash(&mut hasher);
    let parts = u32::try_from(hasher.finish() % u64::from(SPREAD_PARTS)).expect("it is less than the parts");
    wait / 2 + wait / 2 / SPREAD_PARTS * parts
}

const SPREAD_PARTS: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leap_ahead_is_followed_at_once() {
        let (clock, wall) = clock_at(1_000);
        *wall.lock().unwrap() = Duration::from_secs(4_600);
        assert_eq!(clock.now(), Timestamp::from_millis(4_600_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_back_is_met_slowly_and_never_goes_back() {
        let (clock, wall) = clock_at(1_000);
        *wall.lock().unwrap() = Duration::from_secs(990);
        assert_eq!(clock.now(), Timestamp::from_millis(1_000_000));
        for second in 1..=20_000 {
            tokio::time::advance(Duration::from_secs(1)).await;
            *wall.lock().unwrap() = Duration::from_secs(990 + second);
            let expected = (1_000_000 + second * 999).max(990_000 + second * 1_000);
            assert_eq!(clock.now(), Timestamp::from_millis(expected));
        }
    }

    fn clock_at(seconds: u64) -> (Clock, Arc<Mutex<Duration>>) {
        let wall = Arc::new(Mutex::new(Duration::from_secs(seconds)));
        let shared = Arc::clone(&wall);
        (Clock::new(move || *shared.lock().unwrap()), wall)
    }
}
