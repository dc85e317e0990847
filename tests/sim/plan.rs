//! What a scenario is made of: a source, a mapping, a function with its habits, the weather, lives of the daemon, and
//! actors.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use esmd::event::response::Reply;
use esmd::filter::{RecordFilter, SourceKind};
use esmd::mapping::on_failure::Undeliverable;
use esmd::mapping::{Retries, StartingPosition, StreamKind};

use serde_json::{Value, json};

use crate::actors::Actor;
use crate::fakes::target::{Answer, Delivered, FakeTarget, Invocation, Windowed};
use crate::random::Random;
use crate::time::Time;
use crate::weather::{Climate, Weather};

#[allow(clippy::struct_excessive_bools)] // each is a word of a scenario
pub struct Plan {
    pub feed: FeedPlan,
    /// The stream pushes its records to a registered consumer.
    pub is_pushed: bool,
    /// The mapping's filter; `None`: it has none.
    pub sieve: Option<Sieve>,
    /// Of a queue 0: without a maximum.
    pub lanes: u32,
    /// Of a queue in provisioned mode, the fewest.
    pub pollers: Option<u32>,
    /// Leases are extended.
    pub heartbeat: bool,
    pub batch_size: usize,
    pub window: Duration,
    /// Length of a stream's tumbling windows.
    pub tumbling_window: Option<Duration>,
    pub function: Habits,
    pub errors: Errors,
    pub climate: Climate,
    pub lives: Lives,
    pub actors: Vec<Box<dyn Actor>>,
    /// How long it goes on, until the end or the calm.
    pub lasts: Duration,
    /// Nothing is done twice: what succeeded is never invoked again.
    pub is_fair: bool,
    /// Within one life a shard's consumer begins again only if it stalled.
    pub is_steady: bool,
    /// `Esmd.StallAfterSeconds`.
    pub stall_after: Duration,
    /// How often a shard may be read in a second.
    pub reads_max: Option<usize>,
    /// No message goes where its queue sends what fails.
    pub spares_messages: bool,
    /// Errors that the daemon may log, each by a part of its text.
    pub expects: Vec<&'static str>,
}

pub enum FeedPlan {
    Queue { fifo: bool, visibility: Duration, wait: Duration, receives_max: Option<u32> },
    Stream { kind: StreamKind, shards: u64, starting_position: StartingPosition },
}

/// A filter that lets numbers pass which end in one of these digits: a message's own, or of a stream's record its place in
/// the shard.
#[derive(Clone, Debug)]
pub struct Sieve {
    pub digits: &'static [u64],
    /// A queue's other messages are left to others.
    pub keeps: bool,
}

/// What the mapping does about records that fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    /// A stream's.
    pub retries: Retries,
    /// What becomes of a stream's records whose failure record is not taken; `None`: there is no destination.
    pub undeliverable: Option<Undeliverable>,
    pub reports_failures: bool,
    /// How long a stream says that it keeps records.
    pub retention: Option<Duration>,
}

/// What the function does until the calm. Then it succeeds at once, but for poison that stays.
#[derive(Clone, Debug)]
pub struct Habits {
    pub takes: RangeInclusive<Duration>,
    /// In a thousand invocations so many take as long as `slow`.
    pub slows: u64,
    pub slow: RangeInclusive<Duration>,
    pub fails: u64,
    pub throttles: u64,
    /// While the world is as old as this, nobody can reach it, or it has no room.
    pub away: Option<Range<Duration>>,
    /// Fails with every batch that has a record of this key, until the world is so old.
    pub blocked: Option<(String, Duration)>,
    /// In a thousand records so many fail whenever they are invoked.
    pub poison: u64,
    /// They do so in the calm too.
    pub poison_stays: bool,
    /// In a thousand invocations so many name some records as failed, or try to. Those with poison name it as often as
    /// not.
    pub reports: u64,
    /// In a thousand calls of a window so many return a state that is too large.
    pub bloats: u64,
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

impl Sieve {
    pub fn passes(&self, number: u64) -> bool {
        self.digits.contains(&(number % 10))
    }

    pub fn filter(&self, is_queue: bool) -> RecordFilter {
        let (source, member) =
            if is_queue { (SourceKind::Sqs, "body") } else { (SourceKind::Kinesis, "sequenceNumber") };
        let pattern = |ending: String| format!(r#"{{"{member}": [{{"suffix": "{ending}"}}]}}"#);
        let never = pattern("no number".to_owned());
        let patterns: Vec<_> = self.digits.iter().map(|digit| pattern(digit.to_string())).chain([never]).collect();
        RecordFilter::compile(source, patterns.iter().map(String::as_str)).expect("they are patterns")
    }
}

impl Plan {
    pub fn maximum_concurrency(&self) -> Option<u32> {
        (self.lanes > 0).then_some(self.lanes)
    }
}

impl Habits {
    /// It always succeeds.
    pub fn kind() -> Self {
        let moment = Duration::from_millis(10)..=Duration::from_millis(10);
        Self {
            takes: moment.clone(),
            slows: 0,
            slow: moment,
            fails: 0,
            throttles: 0,
            away: None,
            blocked: None,
            poison: 0,
            poison_stays: false,
            reports: 0,
            bloats: 0,
        }
    }

    pub fn draw(random: &mut Random) -> Self {
        Self {
            takes: Duration::from_millis(1)..=Duration::from_millis(random.spread(5..=4_000)),
            slows: random.within(0..=30),
            slow: Duration::from_secs(5)..=Duration::from_secs(random.within(10..=200)),
            fails: random.pick(&[0, 20, 100, 400]),
            throttles: random.pick(&[0, 20, 100, 400]),
            away: None,
            blocked: None,
            poison: 0,
            poison_stays: false,
            reports: 0,
            bloats: 0,
        }
    }

    /// Makes them those of a target.
    pub fn teach(self, target: &FakeTarget, mut random: Random, weather: Weather, time: Time) {
        let salt = random.next();
        let poison = self.poison;
        let is_poison = move |record: &Delivered| {
            let number: u64 = record.body.parse().expect("a body is a number");
            Random::new(salt.wrapping_add(number)).chance(poison)
        };
        let mut of_states = random.fork();
        let bloats = self.bloats;
        let mut judge = move |invocation: &Invocation| {
            let poisoned: Vec<_> = invocation.records.iter().filter(|record| is_poison(record)).collect();
            if self.away.as_ref().is_some_and(|away| !weather.is_calm() && away.contains(&time.passed())) {
                return random.pick(&[Answer::throttle, Answer::is_down, Answer::refuse_connection])();
            }
            if weather.is_calm() && (poisoned.is_empty() || !self.poison_stays) {
                return Answer::succeed();
            }
            if !poisoned.is_empty() {
                let names = self.reports > 0 && random.chance(500);
                return if names { report(&poisoned) } else { Answer::fail() };
            }
            let is_blocked = self.blocked.as_ref().is_some_and(|(key, until)| {
                time.passed() < *until && invocation.records.iter().any(|record| record.key == *key)
            });
            let draw = random.below(1_000);
            let answer = match draw {
                _ if is_blocked => Answer::fail(),
                _ if draw < self.fails => Answer::fail(),
                _ if draw < self.fails + self.throttles => Answer::throttle(),
                _ if draw < self.fails + self.throttles + self.reports => accuse(invocation, &mut random),
                _ => Answer::succeed(),
            };
            let range = if random.chance(self.slows) { &self.slow } else { &self.takes };
            answer.after(random.duration(range.clone()))
        };
        target.answer(move |invocation| {
            let answer = judge(invocation);
            match &invocation.window {
                Some(window) => count(answer, invocation, window, bloats, &mut of_states),
                None => answer,
            }
        });
    }
}

/// Adds what succeeds to the window's state; sometimes it forgets to.
fn count(answer: Answer, invocation: &Invocation, window: &Windowed, bloats: u64, random: &mut Random) -> Answer {
    let Reply::Answered { payload, function_error: None, .. } = &answer.reply else { return answer };
    let Ok(answered) = serde_json::from_slice::<Value>(payload) else { return answer };
    if !(answered.is_null() || answered.is_object()) || random.chance(5) {
        return answer;
    }
    let reported = answered["batchItemFailures"].as_array().map_or(&[][..], Vec::as_slice);
    let failed: Vec<&str> = reported.iter().filter_map(|failure| failure["itemIdentifier"].as_str()).collect();
    let succeeded = invocation.records.iter().take_while(|record| !failed.contains(&record.identifier.as_str()));
    let mut numbers = window.state["numbers"].as_array().cloned().unwrap_or_default();
    numbers.extend(succeeded.map(|record| Value::from(record.body.parse::<usize>().expect("a body is a number"))));
    let mut state = json!({ "numbers": numbers });
    if random.chance(bloats) {
        state["padding"] = "x".repeat(1_100_000).into();
    }
    let counted = if failed.is_empty() { Answer::state(&state) } else { Answer::report_with_state(&failed, &state) };
    counted.after(answer.after)
}

fn report(failed: &[&Delivered]) -> Answer {
    let identifiers: Vec<_> = failed.iter().map(|record| record.identifier.as_str()).collect();
    Answer::report(&identifiers)
}

/// Names some of the records in any order; sometimes none, or somebody else, or answers what means nothing.
fn accuse(invocation: &Invocation, random: &mut Random) -> Answer {
    match random.below(12) {
        0 => Answer::say("7"),
        1 => Answer::report(&["nobody"]),
        2 => Answer::report(&[]),
        _ if invocation.records.is_empty() => Answer::succeed(),
        _ => {
            let guilty = random.within(1..=900);
            let mut failed: Vec<_> = invocation.records.iter().filter(|_| random.chance(guilty)).collect();
            if failed.is_empty() {
                failed.push(&invocation.records[random.index(invocation.records.len())]);
            }
            failed.reverse();
            report(&failed)
        }
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
