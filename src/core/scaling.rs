//! How many lanes a queue has now: a function of what was received and answered, and of the time that is handed in
//! (`docs/semantics.md` 4.1, 4.5 and 5). Knows no message, no lane and no receive; the consumer tells it what happened.
//!
//! The number is never 0 and never above the mapping's maximum (invariant 54). It rises steadily while receives come
//! back full, falls to what runs and the idle floor when they come back empty, and is halved when the function fails.
//! While the target is away one lane at most is free, which probes it.

use std::time::Duration;

use super::Timestamp;
use super::outcome::Outcome;

/// How a queue's lanes follow what is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingSettings {
    /// Lanes at the start and while the queue is idle, at least 1.
    pub idle: usize,
    /// How many lanes more a minute brings while receives come back full.
    pub per_minute: u32,
    /// Receives at a time while no more than a few messages are known to wait.
    pub receives_idle: usize,
    /// How many lanes one more receive at a time serves while many wait, at least 1.
    pub lanes_per_receive: usize,
    /// How long one receiver leaves between the beginnings of its receives.
    pub receive_interval: Duration,
    /// Whether a failure of the function lowers the number: not where its answer may name the records that failed.
    pub falls_on_failure: bool,
}

/// The number of lanes, and what moves it.
#[derive(Debug)]
pub(super) struct Scaling {
    settings: ScalingSettings,
    lanes_max: u64,
    /// In parts of a lane, so that no time is lost to rounding.
    parts: u64,
    updated_at: Option<Timestamp>,
    /// The last receive came back full.
    is_full: bool,
    target: Target,
    lowered_at: Option<Timestamp>,
}

/// What the last invocation to end said of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Works,
    /// The function fails.
    Fails,
    /// It has no room, or cannot be reached.
    IsAway,
}

impl Scaling {
    pub(super) fn new(settings: ScalingSettings, lanes_max: usize) -> Self {
        assert!(
            settings.idle > 0 && settings.idle <= lanes_max,
            "an idle queue has a lane, and no more than it may have"
        );
        assert!(settings.lanes_per_receive > 0, "a receive serves a lane");
        Self {
            settings,
            lanes_max: lanes_max as u64,
            parts: settings.idle as u64 * PARTS,
            updated_at: None,
            is_full: false,
            target: Target::Works,
            lowered_at: None,
        }
    }

    /// Lanes that may hold a batch now.
    pub(super) fn lanes(&self) -> usize {
        usize::try_from(self.parts / PARTS).expect("it is at most the maximum, which is one")
    }

    /// Receives that are worth their call at a time.
    pub(super) fn receives(&self) -> usize {
        let ScalingSettings { receives_idle, lanes_per_receive, .. } = self.settings;
        if self.is_full { self.lanes().div_ceil(lanes_per_receive).max(receives_idle) } else { receives_idle }
    }

    /// Whether the target is known to be away: what is received now may wait until its lease ends.
    pub(super) fn probes(&self) -> bool {
        self.target == Target::IsAway
    }

    /// When there is one lane more, if nothing happens until then.
    pub(super) fn next_lane_at(&self) -> Option<Timestamp> {
        if self.goal() <= self.parts / PARTS {
            return None;
        }
        let missing = PARTS - self.parts % PARTS;
        let wait = missing.div_ceil(u64::from(self.settings.per_minute));
        self.updated_at.map(|updated_at| updated_at + Duration::from_millis(wait))
    }

    /// Before any other input at this time.
    pub(super) fn pass_time(&mut self, now: Timestamp) {
        let before = self.updated_at.replace(now).unwrap_or(now);
        let passed = u64::try_from(now.since(before).as_millis()).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(u64::from(self.settings.per_minute));
        let risen = self.parts.saturating_add(gained).min(self.goal() * PARTS);
        self.parts = self.parts.max(risen);
    }

    /// A receive ended: how many it brought, and whether more may wait. `busy` lanes hold a batch.
    pub(super) fn on_received(&mut self, records: usize, is_full: bool, busy: usize) {
        self.is_full = is_full;
        if records == 0 {
            // What runs may be followed by as much, such as the next messages of its groups.
            self.lower_to(busy + self.settings.idle);
        }
    }

    /// An invocation ended; `busy` lanes held a batch, this one included. What fails within a second of each other is
    /// one reason to fall.
    pub(super) fn on_outcome(&mut self, now: Timestamp, outcome: &Outcome, busy: usize) {
        self.target = match outcome {
            Outcome::Failed(_) if self.settings.falls_on_failure => Target::Fails,
            Outcome::Throttled | Outcome::Unavailable(_) => Target::IsAway,
            Outcome::Succeeded | Outcome::Partial(_) | Outcome::Failed(_) => Target::Works,
        };
        let is_new = self.lowered_at.is_none_or(|lowered_at| now.since(lowered_at) >= LOWERED_ONCE_IN);
        if self.target != Target::Works && is_new {
            self.lowered_at = Some(now);
            self.lower_to(self.lanes().min(busy) / 2);
        }
    }

    /// How far the number rises as time passes.
    fn goal(&self) -> u64 {
        match self.target {
            Target::Works if self.is_full => self.lanes_max,
            Target::Works => self.settings.idle as u64,
            Target::Fails | Target::IsAway => 0,
        }
    }

    fn lower_to(&mut self, lanes: usize) {
        self.parts = self.parts.min(lanes.max(1) as u64 * PARTS);
    }
}

/// Lanes per minute times milliseconds.
const PARTS: u64 = 60_000;
const LOWERED_ONCE_IN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::outcome::{Failure, Outage};

    /// `docs/semantics.md` 4.1
    #[test]
    fn a_backlog_brings_three_hundred_lanes_a_minute_up_to_the_maximum() {
        let mut scaling = scaling(1_250);
        assert_eq!(at(&mut scaling, 0), 5);
        scaling.on_received(10, true, 5);
        assert_eq!(at(&mut scaling, 200), 6);
        assert_eq!(at(&mut scaling, 1_000), 10);
        assert_eq!(at(&mut scaling, 60_000), 305);
        assert_eq!(at(&mut scaling, 248_999), 1_249);
        assert_eq!(at(&mut scaling, 249_000), 1_250);
        assert_eq!(at(&mut scaling, 1_000_000), 1_250);
        assert_eq!(scaling.next_lane_at(), None);
    }

    /// `docs/semantics.md` 4.1: however often it is looked at.
    #[test]
    fn the_rate_does_not_depend_on_how_often_time_is_told() {
        let (mut often, mut seldom) = (scaling(1_250), scaling(1_250));
        at(&mut seldom, 0);
        seldom.on_received(10, true, 5);
        for millisecond in 0..=61_234 {
            at(&mut often, millisecond);
            often.on_received(10, true, 5);
        }
        assert_eq!(often.parts, {
            at(&mut seldom, 61_234);
            seldom.parts
        });
    }

    /// `docs/semantics.md` 9, invariant 54
    #[test]
    fn the_maximum_is_exact_and_below_five_it_is_where_lanes_start() {
        let mut scaling = Scaling::new(ScalingSettings { idle: 2, ..settings() }, 2);
        scaling.on_received(10, true, 2);
        assert_eq!(at(&mut scaling, 600_000), 2);
    }

    #[test]
    fn a_receive_that_is_not_full_ends_the_rise() {
        let mut scaling = scaling(1_250);
        at(&mut scaling, 0);
        scaling.on_received(10, true, 5);
        at(&mut scaling, 10_000);
        scaling.on_received(3, false, 5);
        assert_eq!(at(&mut scaling, 60_000), 55);
        assert_eq!((scaling.next_lane_at(), scaling.receives()), (None, 2));
    }

    /// `docs/semantics.md` 4.1 and 5: the groups of what runs may go on, so as many lanes stay.
    #[test]
    fn an_empty_receive_leaves_what_runs_and_the_idle_lanes() {
        let mut scaling = scaling(1_250);
        at(&mut scaling, 0);
        scaling.on_received(10, true, 5);
        assert_eq!(at(&mut scaling, 60_000), 305);
        scaling.on_received(0, false, 100);
        assert_eq!(scaling.lanes(), 105);
        scaling.on_received(0, false, 0);
        assert_eq!(at(&mut scaling, 1_000_000), 5);
    }

    /// `docs/semantics.md` 4.5
    #[test]
    fn function_errors_halve_what_runs_at_most_once_a_second_and_one_lane_stays() {
        let mut scaling = scaling(1_250);
        at(&mut scaling, 0);
        scaling.on_received(10, true, 5);
        assert_eq!(at(&mut scaling, 60_000), 305);
        for (second, lanes) in [(60, 40), (61, 20), (62, 10), (63, 5), (64, 2), (65, 1), (66, 1)] {
            let now = second * 1_000;
            at(&mut scaling, now);
            (0..3).for_each(|_| scaling.on_outcome(time(now), &failed(), 80));
            assert_eq!(scaling.lanes(), lanes, "after {second} s");
        }
        assert!(!scaling.probes());
    }

    /// `docs/semantics.md` 4.5: by the same ramp.
    #[test]
    fn a_function_that_succeeds_again_gets_its_lanes_back() {
        let mut scaling = scaling(1_250);
        at(&mut scaling, 0);
        scaling.on_outcome(time(0), &failed(), 5);
        scaling.on_outcome(time(1_000), &failed(), 2);
        assert_eq!(at(&mut scaling, 60_000), 1);
        scaling.on_outcome(time(60_000), &Outcome::Succeeded, 1);
        assert_eq!(at(&mut scaling, 60_200), 2);
        assert_eq!(at(&mut scaling, 120_000), 5, "more only if receives are full");
    }

    /// `docs/semantics.md` 9, invariant 59
    #[test]
    fn what_a_function_says_about_its_records_lowers_nothing() {
        let mut scaling = Scaling::new(ScalingSettings { falls_on_failure: false, ..settings() }, 1_250);
        at(&mut scaling, 0);
        scaling.on_outcome(time(0), &Outcome::Partial(vec![0]), 5);
        scaling.on_outcome(time(1_000), &failed(), 5);
        scaling.on_outcome(time(2_000), &Outcome::Failed(Failure::InvalidResponse), 5);
        assert_eq!(scaling.lanes(), 5);
    }

    #[test]
    fn a_target_that_is_away_is_probed_by_one_lane_until_it_answers() {
        let mut scaling = Scaling::new(ScalingSettings { falls_on_failure: false, ..settings() }, 1_250);
        at(&mut scaling, 0);
        scaling.on_received(10, true, 5);
        for second in 0..10 {
            at(&mut scaling, second * 1_000);
            scaling.on_outcome(time(second * 1_000), &Outcome::Unavailable(Outage::Unreachable), 5);
        }
        assert_eq!((scaling.lanes(), scaling.probes()), (1, true));
        scaling.on_received(10, true, 1);
        assert_eq!((at(&mut scaling, 600_000), scaling.next_lane_at()), (1, None));

        scaling.on_outcome(time(600_000), &failed(), 1);
        assert!(!scaling.probes(), "a function that fails is there");
        assert_eq!(at(&mut scaling, 601_000), 6);
    }

    #[test]
    fn receives_follow_the_lanes_while_many_messages_wait() {
        let pollers =
            ScalingSettings { idle: 20, per_minute: 1_000, receives_idle: 2, lanes_per_receive: 10, ..settings() };
        let mut scaling = Scaling::new(pollers, 2_000);
        at(&mut scaling, 0);
        assert_eq!((scaling.lanes(), scaling.receives()), (20, 2));
        scaling.on_received(10, true, 20);
        at(&mut scaling, 60_000);
        assert_eq!((scaling.lanes(), scaling.receives()), (1_020, 102));
        scaling.on_received(0, false, 0);
        assert_eq!((scaling.lanes(), scaling.receives()), (20, 2), "the minimum is held");
    }

    #[test]
    fn the_next_lane_comes_when_it_was_announced() {
        let mut scaling = scaling(1_250);
        at(&mut scaling, 0);
        scaling.on_received(10, true, 5);
        at(&mut scaling, 150);
        assert_eq!(scaling.next_lane_at(), Some(time(200)));
        assert_eq!((at(&mut scaling, 199), at(&mut scaling, 200)), (5, 6));
    }

    fn scaling(lanes_max: usize) -> Scaling {
        Scaling::new(settings(), lanes_max)
    }

    fn settings() -> ScalingSettings {
        ScalingSettings {
            idle: 5,
            per_minute: 300,
            receives_idle: 2,
            lanes_per_receive: 1,
            receive_interval: Duration::ZERO,
            falls_on_failure: true,
        }
    }

    fn at(scaling: &mut Scaling, milliseconds: u64) -> usize {
        scaling.pass_time(time(milliseconds));
        scaling.lanes()
    }

    fn failed() -> Outcome {
        Outcome::Failed(Failure::FunctionError)
    }

    fn time(milliseconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + milliseconds)
    }
}
