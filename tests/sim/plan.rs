//! What a scenario is made of: a source, a mapping, a function with its habits, the weather, lives of the daemon, and
//! actors.

use std::ops::RangeInclusive;
use std::time::Duration;

use esmd::mapping::{StartingPosition, StreamKind};

use crate::actors::Actor;
use crate::fakes::target::{Answer, FakeTarget};
use crate::random::Random;
use crate::time::Time;
use crate::weather::{Climate, Weather};

pub struct Plan {
    pub feed: FeedPlan,
    pub lanes: u32,
    pub batch_size: usize,
    pub window: Duration,
    pub function: Habits,
    pub climate: Climate,
    pub lives: Lives,
    pub actors: Vec<Box<dyn Actor>>,
    /// How long it goes on, until the end or the calm.
    pub lasts: Duration,
    /// Nothing is done twice: what succeeded is never invoked again.
    pub is_fair: bool,
    /// Errors that the daemon may log, each by a part of its text.
    pub expects: Vec<&'static str>,
}

pub enum FeedPlan {
    Queue { fifo: bool, visibility: Duration, wait: Duration, receives_max: Option<u32> },
    Stream { kind: StreamKind, shards: u64, starting_position: StartingPosition },
}

/// What the function does until the calm. Then it succeeds at once.
#[derive(Clone, Debug)]
pub struct Habits {
    pub takes: RangeInclusive<Duration>,
    /// In a thousand invocations so many take as long as `slow`.
    pub slows: u64,
    pub slow: RangeInclusive<Duration>,
    pub fails: u64,
    pub throttles: u64,
    /// Fails with every batch that has a record of this key, until the world is so old.
    pub blocked: Option<(String, Duration)>,
}

/// How the lives of a daemon end, one after another.
#[derive(Clone, Debug)]
pub struct Lives {
    /// How long one lasts; `None`: to the end of the run.
    pub last: Option<RangeInclusive<Duration>>,
    /// In a thousand so many are drained, the others crash.
    pub drained: u64,
    /// In a thousand so many crash at a step of their wire, which may be the first.
    pub cut: u64,
    pub steps: RangeInclusive<u64>,
    /// Until the next one begins.
    pub down: RangeInclusive<Duration>,
    pub drain_timeout: RangeInclusive<Duration>,
}

impl Habits {
    pub fn draw(random: &mut Random) -> Self {
        Self {
            takes: Duration::from_millis(1)..=Duration::from_millis(random.spread(5..=4_000)),
            slows: random.within(0..=30),
            slow: Duration::from_secs(5)..=Duration::from_secs(random.within(10..=200)),
            fails: random.pick(&[0, 20, 100, 400]),
            throttles: random.pick(&[0, 20, 100, 400]),
            blocked: None,
        }
    }

    /// Makes them those of a target.
    pub fn teach(self, target: &FakeTarget, mut random: Random, weather: Weather, time: Time) {
        target.answer(move |invocation| {
            if weather.is_calm() {
                return Answer::succeed();
            }
            let is_blocked = self.blocked.as_ref().is_some_and(|(key, until)| {
                time.passed() < *until && invocation.records.iter().any(|record| record.key == *key)
            });
            let draw = random.below(1_000);
            let answer = match draw {
                _ if is_blocked => Answer::fail(),
                _ if draw < self.fails => Answer::fail(),
                _ if draw < self.fails + self.throttles => Answer::throttle(),
                _ => Answer::succeed(),
            };
            let range = if random.chance(self.slows) { &self.slow } else { &self.takes };
            answer.after(random.duration(range.clone()))
        });
    }
}

impl Lives {
    pub fn short() -> Self {
        Self {
            last: Some(Duration::from_secs(1)..=Duration::from_mins(4)),
            drained: 400,
            cut: 400,
            steps: 1..=3_000,
            down: Duration::ZERO..=Duration::from_mins(1),
            drain_timeout: Duration::from_secs(1)..=Duration::from_mins(1),
        }
    }
}
