//! A lane of the model: what is left of its batch, part by part, and the rules of `docs/semantics.md` 6.6 that turn one
//! list of parts into the next.

use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::action::DiscardReason;
use esmd::core::batch::{Batch, BatchId};
use esmd::core::settings::RetrySettings;

use super::item::Item;

/// A lane with a batch. An idle one is not in the list.
pub(super) struct Lane {
    /// The name under which its current part was handed out last.
    pub(super) id: Option<BatchId>,
    /// In order; the first is the current one. Empty only when it is finished.
    pub(super) parts: Vec<Part>,
    pub(super) state: State,
}

#[derive(Clone)]
pub(super) struct Part {
    pub(super) items: Vec<Item>,
    attempts: u32,
    waits: u32,
    back_off: Option<BackOff>,
}

/// What the current part waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// For its invocation: after its back-off, else now.
    Waiting,
    Invoking,
    /// It must be given up now.
    GivingUp(DiscardReason),
    /// For a word that somebody knows.
    Discarding(DiscardReason),
    /// To be given up again: nobody knows yet.
    Refused(DiscardReason, BackOff),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BackOff {
    since: Timestamp,
    longest: Duration,
}

impl Lane {
    pub(super) fn new(part: Part) -> Self {
        Self { id: None, parts: vec![part], state: State::Waiting }
    }

    pub(super) fn current(&self) -> &Part {
        &self.parts[0]
    }

    pub(super) fn current_mut(&mut self) -> &mut Part {
        &mut self.parts[0]
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.parts.iter().flat_map(|part| &part.items)
    }

    pub(super) fn items_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        self.parts.iter_mut().flat_map(|part| &mut part.items)
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        self.parts.into_iter().flat_map(|part| part.items).collect()
    }

    /// Whether somebody else has the next word.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Invoking | State::Discarding(_))
    }

    /// When something is to be done with it at the latest.
    pub(super) fn due_at(&self, retry: &RetrySettings) -> Option<Timestamp> {
        match self.state {
            State::Invoking | State::Discarding(_) => None,
            State::GivingUp(_) => Some(Timestamp::default()),
            State::Refused(_, back_off) => Some(back_off.latest()),
            State::Waiting => {
                let part = self.current();
                let due_at = part.back_off.map_or(Timestamp::default(), BackOff::latest);
                Some(part.limits(retry).map(|(limit, _)| part.items[0].arrived_at + limit).chain([due_at]).min()?)
            }
        }
    }

    /// The current part's turn has come, and this is it.
    pub(super) fn check_turn(&mut self, now: Timestamp, batch: &Batch, names: &[usize]) {
        let part = self.current();
        assert_eq!(names, part.names(), "invariants 52, 68, 71, 73, 78: this is not the current part");
        let back_off = match self.state {
            State::Waiting => part.back_off,
            State::Refused(_, back_off) => Some(back_off),
            State::Invoking | State::GivingUp(_) | State::Discarding(_) => None,
        };
        assert!(back_off.is_none_or(|back_off| back_off.since < now), "back-off: {names:?} is tried again at once");
        let bytes: usize = part.items.iter().map(|item| item.bytes).sum();
        let expected = (part.attempts, part.waits, bytes);
        let given = (batch.attempts, batch.waits, batch.bytes);
        assert_eq!(given, expected, "invariants 5 and 82: attempts, waits, bytes of {names:?}");
        let (answered, counted) = (batch.last_answer.is_some(), batch.attempts > 0);
        assert_eq!(answered, counted, "{names:?} carries the answer of its last attempt, if it had one");
        self.id = Some(batch.id);
    }

    /// All of the current part is settled. Gives its records.
    pub(super) fn finish_part(&mut self) -> Vec<usize> {
        self.state = State::Waiting;
        self.parts.remove(0).names()
    }

    /// So many records of the current part are settled; the others are as new.
    pub(super) fn finish_first(&mut self, count: usize) -> Vec<Item> {
        self.state = State::Waiting;
        let rest = self.current_mut().items.split_off(count);
        std::mem::replace(self.current_mut(), Part::new(rest)).items
    }

    /// The function failed with the current part.
    pub(super) fn fail(&mut self, now: Timestamp, retry: &RetrySettings) {
        let records = self.current().items.len();
        if retry.bisect && records > 1 {
            let lower = self.finish_first(records / 2);
            self.parts.insert(0, Part::new(lower));
            return;
        }
        let part = self.current_mut();
        (part.attempts, part.waits) = (part.attempts + 1, 0);
        if retry.attempts_max == Some(part.attempts) {
            self.state = State::GivingUp(DiscardReason::RetryAttemptsExhausted);
        } else {
            part.back_off(now);
            self.state = State::Waiting;
        }
    }

    /// The function did not run.
    pub(super) fn wait(&mut self, now: Timestamp) {
        self.current_mut().waits += 1;
        self.current_mut().back_off(now);
        self.state = State::Waiting;
    }

    /// Nobody knows that the current part is given up.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        let State::Discarding(reason) = self.state else { panic!("it is not being given up") };
        let part = self.current_mut();
        part.waits += 1;
        self.state = State::Refused(reason, BackOff::after_waits(now, part.waits));
    }

    /// The leading records of the current part that are too old become a part of their own, which must be given up.
    pub(super) fn cut_off_old(&mut self, now: Timestamp, retry: &RetrySettings) {
        if self.state != State::Waiting {
            return;
        }
        let part = self.current_mut();
        let Some(reason) = part.too_old(&part.items[0], now, retry) else { return };
        let count = part.items.iter().take_while(|item| part.too_old(item, now, retry) == Some(reason)).count();
        let rest = Part { items: part.items.split_off(count), ..part.clone() };
        part.waits = 0;
        if !rest.items.is_empty() {
            self.parts.insert(1, rest);
        }
        self.state = State::GivingUp(reason);
    }
}

impl Part {
    pub(super) fn new(items: Vec<Item>) -> Self {
        Self { items, attempts: 0, waits: 0, back_off: None }
    }

    pub(super) fn names(&self) -> Vec<usize> {
        self.items.iter().map(|item| item.name).collect()
    }

    pub(super) fn back_off(&mut self, now: Timestamp) {
        self.back_off = Some(match self.waits {
            0 => BackOff { since: now, longest: doubled(1_000, self.attempts, 60_000) },
            waits => BackOff::after_waits(now, waits),
        });
    }

    fn too_old(&self, item: &Item, now: Timestamp, retry: &RetrySettings) -> Option<DiscardReason> {
        self.limits(retry).find(|(limit, _)| now.since(item.arrived_at) >= *limit).map(|(_, reason)| reason)
    }

    /// The source's retention counts for what failed only.
    fn limits(&self, retry: &RetrySettings) -> impl Iterator<Item = (Duration, DiscardReason)> {
        let mapping = retry.age_max.map(|limit| (limit, DiscardReason::RecordAgeExceeded));
        let source = retry.retention.map(|limit| (limit, DiscardReason::Expired));
        mapping.into_iter().chain(source.filter(|_| self.attempts > 0))
    }
}

impl BackOff {
    fn after_waits(now: Timestamp, waits: u32) -> Self {
        Self { since: now, longest: doubled(200, waits, 10_000) }
    }

    fn latest(self) -> Timestamp {
        self.since + self.longest
    }
}

fn doubled(first: u64, times: u32, longest: u64) -> Duration {
    Duration::from_millis(longest.min(first << times.saturating_sub(1).min(20)))
}
