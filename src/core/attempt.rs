//! What a lane does with its batch: invokes the current part, and what follows from the outcome. A part that failed is
//! tried again, halved, or given up; what is too old is given up before it is invoked (`docs/semantics.md` 6.6). In a
//! tumbling window each part is handed the state that the one before it returned.
//!
//! Invariant 5: attempts never exceed the policy, and ages are judged by the given `now` only.

use std::sync::Arc;

use super::Timestamp;
use super::action::{Action, DiscardReason};
use super::batch::{Batch, BatchId};
use super::consumer::{Consumer, Progress};
use super::lane::{Lane, Next, Work};
use super::outcome::{Answer, Outcome};
use super::record::Origin;
use super::retry::{self, Verdict};
use super::visibility::Place;
use super::window::WindowState;

/// What happened.
impl Consumer {
    /// An invocation ended. `answer` is what a failure record would tell of it, if it counted as an attempt.
    pub fn handle_outcome(&mut self, now: Timestamp, id: BatchId, outcome: &Outcome, answer: Option<Arc<Answer>>) {
        self.scale_by_outcome(now, outcome);
        let lane = self.lanes.iter().position(|lane| lane.invokes(id)).expect("an outcome belongs to an invocation");
        let mut work = self.lanes[lane].take().expect("an invoking lane has a batch");
        work.was_invoked = true;
        let returned = answer.as_ref().and_then(|answer| answer.state.clone());
        if answer.is_some() {
            work.current.last_answer = answer;
        }
        match retry::decide(self.settings.kind, &self.settings.retry, &work.current, outcome) {
            Verdict::Settle => {
                self.settle(&work.current, returned);
                self.finish_part(now, lane, work);
            }
            Verdict::Leave(failed) => self.leave_some(&work.current, &failed),
            Verdict::Progress(count) => {
                let done = work.current.split_off_first(count, id);
                self.settle(&done, returned);
                work.current = work.current.afresh(self.name_batch());
                self.back_off(now, lane, work);
            }
            Verdict::Retry => {
                work.current.count_attempt();
                self.back_off(now, lane, work);
            }
            Verdict::Split => {
                let half = work.current.len() / 2;
                let lower = work.current.split_off_first(half, id);
                let upper = std::mem::replace(&mut work.current, lower.afresh(self.name_batch()));
                work.later.push(upper.afresh(self.name_batch()));
                self.go_on(now, lane, work);
            }
            Verdict::Discard => {
                work.current.count_attempt();
                self.discard(lane, work, DiscardReason::RetryAttemptsExhausted);
            }
            Verdict::Wait => {
                work.current.waits += 1;
                self.back_off(now, lane, work);
            }
        }
        self.advance(now);
    }

    /// Records were given up: `delivered` if whoever is to know of them does. Else they are held, and it is tried again.
    pub fn handle_discarded(&mut self, now: Timestamp, id: BatchId, delivered: bool) {
        let lane = self.lanes.iter().position(|lane| lane.discards(id)).expect("only what is discarded was discarded");
        let Lane::Discarding(mut work, reason) = std::mem::take(&mut self.lanes[lane]) else {
            unreachable!("a lane that discards is discarding")
        };
        if delivered {
            self.settle(&work.current, None);
            self.finish_part(now, lane, work);
        } else if self.draining {
            self.give_back(now, &work);
        } else {
            work.current.waits += 1;
            let until = now + retry::delay(&work.current, self.settings.seed);
            self.lanes[lane] = Lane::BackingOff { work, until, next: Next::Discard(reason) };
        }
        self.advance(now);
    }
}

impl Consumer {
    /// The current part's next step: it is given up as far as it is too old, waits if it is not due yet, else is
    /// invoked. While draining, all is given back.
    pub(super) fn go_on(&mut self, now: Timestamp, lane: usize, mut work: Work) {
        if self.draining {
            return self.give_back(now, &work);
        }
        work = self.in_window(work);
        if let Some((count, reason)) = retry::expired(&self.settings.retry, &work.current, now) {
            if count < work.current.len() {
                let expired = work.current.split_off_first(count, self.name_batch());
                work.later.push(std::mem::replace(&mut work.current, expired));
            }
            work.current.waits = 0;
            return self.discard(lane, work, reason);
        }
        if work.current.due_at > now {
            let expires_at = retry::expires_at(&self.settings.retry, &work.current);
            let until = expires_at.map_or(work.current.due_at, |at| at.min(work.current.due_at));
            self.lanes[lane] = Lane::BackingOff { work, until, next: Next::Invoke };
            return;
        }
        self.invoke(lane, work);
    }

    /// What the current part's tumbling window makes of it (`docs/semantics.md` 6.9): an early end of the window comes
    /// first, it is handed the window's state, and if that leaves too little room it is split. No attempt is used.
    fn in_window(&mut self, mut work: Work) -> Work {
        let Some(bounds) = work.current.window.as_ref().filter(|call| !call.is_final).map(|call| call.bounds) else {
            return work;
        };
        let first = if let Some(call) = self.windows.early_final_call() {
            Batch::final_call(self.name_batch(), call)
        } else {
            work.current.window = Some(self.windows.call(bounds));
            let fitting = work.current.fitting(self.windows.room(self.settings.batch_bytes));
            if fitting == work.current.len() {
                return work;
            }
            work.current.split_off_first(fitting, self.name_batch())
        };
        work.later.push(std::mem::replace(&mut work.current, first));
        work
    }

    fn invoke(&mut self, lane: usize, work: Work) {
        let attempts_left = self.settings.retry.attempts_max.is_none_or(|most| work.current.attempts < most);
        assert!(attempts_left, "no batch has more attempts than the policy allows (invariant 5)");
        let start_before = match &mut self.progress {
            Progress::Queue(visibility) => {
                work.current.entries.iter().for_each(|entry| visibility.place(entry.order, Place::Invoked));
                visibility.first_end(&work.current.entries)
            }
            Progress::Stream(_) => None,
        };
        self.actions.push_back(Action::Invoke { batch: work.current.clone(), start_before });
        self.lanes[lane] = Lane::Invoking(work);
    }

    /// Gives up the current part. What a running invocation leads to is done while draining too, once.
    pub(super) fn discard(&mut self, lane: usize, work: Work, reason: DiscardReason) {
        self.actions.push_back(Action::Discard { batch: work.current.clone(), reason });
        self.lanes[lane] = Lane::Discarding(work, reason);
    }

    /// The current part is finished: the next one, if any.
    fn finish_part(&mut self, now: Timestamp, lane: usize, work: Work) {
        if let Some(work) = work.finish_current() {
            self.go_on(now, lane, work);
        }
    }

    /// A part is done for good, with the state that the function returned for its window.
    fn settle(&mut self, part: &Batch, returned: Option<WindowState>) {
        self.windows.settle(part, returned);
        for entry in part.entries.iter() {
            match (&mut self.progress, &entry.record.origin) {
                (Progress::Stream(watermark), Origin::Position(position)) => {
                    watermark.settle(entry.order, position);
                    self.release(entry);
                }
                _ => self.delete(entry.order),
            }
        }
    }

    /// The current part is tried again, but not at once.
    fn back_off(&mut self, now: Timestamp, lane: usize, mut work: Work) {
        work.current.due_at = now + retry::delay(&work.current, self.settings.seed);
        if let Progress::Queue(visibility) = &mut self.progress {
            work.entries().for_each(|entry| visibility.place(entry.order, Place::Unstarted));
        }
        self.go_on(now, lane, work);
    }

    fn give_back(&mut self, now: Timestamp, work: &Work) {
        let entries: Vec<_> = work.entries().cloned().collect();
        self.hand_back(now, &entries);
    }
}
