//! A consumer between a source and a target, all of it under the test's control. Each operation becomes one input of
//! the consumer; the model gets the input before the consumer, and the actions after it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::action::Action;
use esmd::core::batch::BatchId;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::outcome::Outcome;
use esmd::core::settings::{Kind, Settings};
use esmd::core::settlement::{Extension, Settlement};

use super::model::Model;
use super::operation::{Answer, Case, Operation, Pick, Sent};
use super::source::{Source, names};

pub struct World {
    settings: Settings,
    now: Timestamp,
    source: Source,
    consumer: Consumer,
    model: Model,
    /// Settlements under way.
    settlements: Vec<Settlement>,
    /// Extensions under way.
    extensions: Vec<Extension>,
    /// The last checkpoint that was written.
    saved: Checkpoint,
    /// What a receive that runs while a drain begins has asked for.
    asked: usize,
    /// Every output of the consumer, in words.
    trace: Vec<String>,
}

impl World {
    /// Carries out all of a case's operations, and lets it end well. Gives every output of its consumers.
    pub fn run(case: &Case) -> Vec<String> {
        let mut world = Self::new(case);
        for operation in &case.operations {
            world.carry_out(operation);
        }
        if case.drained_at_last {
            world.drain();
        }
        if world.model.is_draining() {
            world.finish_draining();
            world.restart();
        }
        world.settle_everything();
        world.trace
    }

    fn new(case: &Case) -> Self {
        let start = Checkpoint::at(UpTo::TrimHorizon);
        Self {
            settings: case.settings,
            now: Timestamp::from_millis(1_000_000),
            source: Source::new(case.source, case.settings.keeps_filtered),
            consumer: Consumer::new(case.settings, start.clone()),
            model: Model::new(case.settings, &start),
            settlements: Vec::new(),
            extensions: Vec::new(),
            saved: start,
            asked: 0,
            trace: Vec::new(),
        }
    }

    fn carry_out(&mut self, operation: &Operation) {
        match operation {
            Operation::Receive { sent, repeated } => self.receive(sent, repeated, Duration::ZERO),
            Operation::Answer(pick, outcome) => {
                if let Some(id) = pick.of(&self.model.invoking()) {
                    self.end_invocation(id, outcome.clone());
                }
            }
            Operation::GiveUp(pick, delivered) => {
                if let Some(id) = pick.of(&self.model.discarding()) {
                    self.end_discard(id, *delivered);
                }
            }
            Operation::Settle(pick, answer) => {
                let places: Vec<_> = (0..self.settlements.len()).collect();
                if let Some(place) = pick.of(&places) {
                    self.end_settlement(place, *answer);
                }
            }
            Operation::Extend(pick, answer) => {
                let places: Vec<_> = (0..self.extensions.len()).collect();
                if let Some(place) = pick.of(&places) {
                    self.end_extension(place, *answer);
                }
            }
            Operation::Wait(duration) => self.now = self.now + *duration,
            Operation::Wake => self.wake(),
            Operation::WakeWhenDue => {
                if let Some((at, _)) = self.consumer.poll_timeout() {
                    self.now = self.now.max(at);
                    self.wake();
                }
            }
            Operation::Save => self.save(),
            Operation::EndShard => self.source.closed |= self.settings.kind == Kind::Stream,
            Operation::Drain => self.drain(),
            Operation::Restart => self.restart(),
        }
    }

    /// Takes no more than the consumer offers; a receive that began before a drain may still bring something after it.
    fn receive(&mut self, sent: &[Sent], repeated: &[Pick], least: Duration) {
        self.source.send(self.now, sent);
        let most = if self.model.is_draining() { std::mem::take(&mut self.asked) } else { self.consumer.capacity() };
        if most == 0 {
            return;
        }
        let mut received = self.source.receive(self.now, most, repeated, least);
        received.is_full = received.records.len() == most;
        self.model.receive(self.now, &received);
        self.consumer.handle_received(self.now, received);
        self.after_input();
    }

    fn end_invocation(&mut self, id: BatchId, outcome: Outcome) {
        let names = self.model.names_of(id);
        let outcome = fitted(outcome, names.len());
        for (place, name) in names.into_iter().enumerate() {
            if self.succeeds(&outcome, place) {
                self.source.succeed(name);
            }
        }
        self.model.end_invocation(self.now, id, &outcome);
        let ran = matches!(outcome, Outcome::Succeeded | Outcome::Partial(_) | Outcome::Failed(_));
        self.consumer.handle_outcome(self.now, id, &outcome, ran.then(Arc::default));
        self.after_input();
    }

    /// Of a shard, what comes after the first failure is invoked again.
    fn succeeds(&self, outcome: &Outcome, place: usize) -> bool {
        match outcome {
            Outcome::Succeeded => true,
            Outcome::Partial(failed) => match self.settings.kind {
                Kind::Stream => place < failed[0],
                Kind::Queue => !failed.contains(&place),
            },
            Outcome::Failed(_) | Outcome::Throttled | Outcome::Unavailable(_) => false,
        }
    }

    fn end_discard(&mut self, id: BatchId, delivered: bool) {
        if delivered {
            self.model.names_of(id).into_iter().for_each(|name| self.source.give_up(name));
        }
        self.model.end_discard(self.now, id, delivered);
        self.consumer.handle_discarded(self.now, id, delivered);
        self.after_input();
    }

    fn end_settlement(&mut self, index: usize, answer: Answer) {
        let settlement = self.settlements.remove(index);
        let confirmed = self.source.settle(self.now, &settlement, answer);
        self.model.end_settlement(&settlement, confirmed);
        self.consumer.handle_settled(self.now, &settlement, confirmed);
        self.after_input();
    }

    fn end_extension(&mut self, index: usize, answer: Answer) {
        let extension = self.extensions.remove(index);
        let extended = self.source.extend(self.now, &extension, answer);
        self.model.end_extension(&extension, extended);
        self.consumer.handle_extended(self.now, &extension, extended);
        self.after_input();
    }

    fn wake(&mut self) {
        self.consumer.handle_timeout(self.now);
        self.after_input();
    }

    fn drain(&mut self) {
        if !self.model.is_draining() {
            self.asked = self.consumer.capacity();
            self.model.drain(self.now);
            self.consumer.drain(self.now);
            self.after_input();
        }
    }

    fn save(&mut self) {
        let moved = self.consumer.poll_checkpoint();
        self.trace.push(format!("checkpoint {moved:?}"));
        if let Some(checkpoint) = moved {
            self.saved = checkpoint;
        }
        let current = self.consumer.checkpoint().unwrap_or_else(|| self.saved.clone());
        assert_eq!(self.saved, current, "invariant 8: a checkpoint that moved is handed out");
    }

    /// Another consumer begins where the last saved checkpoint is; a shard that ended has none any more.
    fn restart(&mut self) {
        if self.saved.up_to != UpTo::Ended {
            self.source.rewind(&self.saved);
            self.consumer = Consumer::new(self.settings, self.saved.clone());
            self.model = Model::new(self.settings, &self.saved);
            self.settlements.clear();
            self.extensions.clear();
        }
    }

    /// Empties the actions, then checks all that must hold between two inputs.
    fn after_input(&mut self) {
        self.model.scale(self.consumer.status());
        self.model.pass_time(self.now);
        while let Some(action) = self.consumer.poll_action() {
            match action {
                Action::Invoke { batch, start_before } => {
                    let names = names(batch.records());
                    self.trace.push(format!("invoke {} {names:?} before {start_before:?}", batch.id.number()));
                    self.source.check_order(&names);
                    self.model.invoke(self.now, &batch, start_before);
                }
                Action::Discard { batch, reason } => {
                    let names = names(batch.records());
                    self.trace.push(format!("discard {} {names:?} {reason:?}", batch.id.number()));
                    self.source.check_order(&names);
                    self.model.discard(self.now, &batch, reason);
                }
                Action::Extend(extensions) => {
                    self.trace.push(format!("{extensions:?}"));
                    for extension in extensions {
                        self.model.extend(self.now, &extension);
                        self.extensions.push(extension);
                    }
                }
                Action::Settle(settlement) => {
                    self.trace.push(format!("{settlement:?}"));
                    self.model.settle(&settlement);
                    self.settlements.push(settlement);
                }
            }
        }
        self.trace.push(format!("timeout {:?}", self.consumer.poll_timeout()));
        self.model.check(self.now, &self.consumer);
        if let Some(checkpoint) = self.consumer.checkpoint() {
            self.source.check_checkpoint(&checkpoint);
        }
    }

    /// Invariant 7: the last outcome and the last settlement leave a drained consumer with nothing.
    fn finish_draining(&mut self) {
        while let Some(id) = self.model.invoking().first() {
            self.end_invocation(*id, Outcome::Throttled);
        }
        while let Some(id) = self.model.discarding().first() {
            self.end_discard(*id, false);
        }
        while !self.settlements.is_empty() {
            self.end_settlement(0, Answer::Confirmed);
        }
        assert!(self.consumer.is_drained(), "invariant 7: it is drained");
        self.save();
    }

    /// Invariant 8: a target that always succeeds gets everything, and a queue that always confirms loses it.
    fn settle_everything(&mut self) {
        let steps_most = 20 + 4 * self.source.sent();
        for _ in 0..steps_most {
            self.receive(&[], &[], LONG);
            for id in self.model.invoking() {
                self.end_invocation(id, Outcome::Succeeded);
            }
            for id in self.model.discarding() {
                self.end_discard(id, true);
            }
            while !self.settlements.is_empty() {
                self.end_settlement(0, Answer::Confirmed);
            }
            if self.model.holds_nothing() && self.source.is_settled() {
                return self.save();
            }
            if self.model.invoking().is_empty() && self.model.discarding().is_empty() {
                let due = self.consumer.poll_timeout().map(|(at, _)| at);
                let Some(next) = due.or_else(|| self.source.next_visible(self.now)) else { continue };
                self.now = self.now.max(next);
                self.wake();
            }
        }
        panic!("invariant 8: not everything is settled after {steps_most} steps")
    }
}

/// A partial outcome names records of the batch, in order and once.
fn fitted(outcome: Outcome, records: usize) -> Outcome {
    let Outcome::Partial(failed) = outcome else { return outcome };
    let places: BTreeSet<_> = failed.iter().map(|place| place % records).collect();
    Outcome::Partial(places.into_iter().collect())
}

/// Longer than anything waits.
const LONG: Duration = Duration::from_hours(1);
