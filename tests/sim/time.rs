//! The world's time, and what the daemon's machine makes of it. Both run on tokio's paused clock. The world's never goes
//! back; the machine's may drift, leap and be set back, and the machine may be suspended, which its own clock of running
//! time (tokio's) does not notice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use esmd::clock::Clock;
use tokio::time::Instant;

#[derive(Clone)]
pub struct Time {
    began: Instant,
    machine: Arc<Mutex<Machine>>,
}

/// How the daemon's machine differs from the world.
#[derive(Clone, Copy, Default)]
struct Machine {
    suspended: Duration,
    ahead_millis: i64,
    drift_per_million: i64,
    drifts_since: Duration,
}

impl Time {
    pub fn begin() -> Self {
        Self { began: Instant::now(), machine: Arc::default() }
    }

    /// How long the world has existed.
    pub fn passed(&self) -> Duration {
        self.began.elapsed() + self.machine().suspended
    }

    /// The world's clock, for everything outside the daemon.
    pub fn world_clock(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || EPOCH + time.passed())
    }

    /// The clock of a daemon that starts now.
    pub fn daemon_clock(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || time.wall())
    }

    /// The machine sleeps, the world does not.
    pub fn suspend(&self, duration: Duration) {
        self.change(|machine| machine.suspended += duration);
    }

    /// Its wall clock is set this far ahead of the world's; back, if negative.
    pub fn set_wall_clock(&self, ahead_millis: i64) {
        let passed = self.passed();
        self.change(|machine| (machine.ahead_millis, machine.drifts_since) = (ahead_millis, passed));
    }

    /// Its wall clock runs this much too fast; too slow, if negative.
    pub fn set_drift(&self, per_million: i64) {
        let (passed, ahead) = (self.passed(), self.ahead_millis());
        self.change(|machine| {
            (machine.ahead_millis, machine.drift_per_million, machine.drifts_since) = (ahead, per_million, passed);
        });
    }

    fn wall(&self) -> Duration {
        let world = i64::try_from((EPOCH + self.passed()).as_millis()).unwrap();
        Duration::from_millis(u64::try_from(world + self.ahead_millis()).unwrap())
    }

    fn ahead_millis(&self) -> i64 {
        let machine = self.machine();
        let drifted = i64::try_from(self.passed().saturating_sub(machine.drifts_since).as_millis()).unwrap();
        machine.ahead_millis + drifted * machine.drift_per_million / 1_000_000
    }

    fn machine(&self) -> Machine {
        *self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Machine)) {
        change(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// When the world begins, since the Unix epoch.
const EPOCH: Duration = Duration::from_hours(500_000);
