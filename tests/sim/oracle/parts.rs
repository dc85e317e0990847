//! The batches of one epoch as the rules let them go on (`docs/semantics.md` 6.6): a plain model of the parts that
//! they fall into, how often each failed, and what may have been given up by now without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::settings::RetrySettings;
use esmd::event::failure::{Condition, FailureRecord};

use super::flight::Heard;
use super::{Terms, Verdict};

#[derive(Default)]
pub struct Parts {
    all: Vec<Part>,
    /// The part of each record that was invoked or is being given up, and is not settled.
    of: BTreeMap<usize, usize>,
    /// Left out of a part for their age, without a word.
    left_out: BTreeSet<usize>,
}

struct Part {
    /// All that was invoked together at first.
    batch: Arc<[usize]>,
    numbers: Vec<usize>,
    /// Invocations of exactly these records that failed.
    attempts: u32,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Flies,
    /// Its attempts are used up.
    Exhausted,
    /// It is being given up under a failure record of this name.
    Told(String),
}

/// What the model has to know of the records.
pub trait Facts {
    /// It is settled for good, or may be.
    fn is_done(&self, number: usize) -> bool;

    fn arrived_at(&self, number: usize) -> Timestamp;
}

impl Parts {
    /// A record is invoked again only in the same part, as often as the policy allows; a part shrinks only by its oldest
    /// records; and the parts of a batch go one after another. Answers whether it is a batch of new records.
    pub fn judge_begin(&self, numbers: &[usize], facts: &impl Facts) -> Result<bool, String> {
        let Some(part) = numbers.iter().find_map(|number| self.part_of(*number)) else { return Ok(true) };
        match &part.state {
            State::Waits | State::Flies => {}
            State::Exhausted => return Err(format!("{numbers:?} is invoked, and its attempts are used up")),
            State::Told(_) => return Err(format!("{numbers:?} is invoked while it is being given up")),
        }
        let Some(left_out) = part.numbers.strip_suffix(numbers) else {
            let (batch, part) = (&part.batch, &part.numbers);
            return Err(format!("{numbers:?} repeats records of {part:?} of {batch:?}, and is not the same part"));
        };
        if let Some(number) = left_out.iter().find(|number| !facts.is_done(**number)) {
            return Err(format!("{number} is left out of {:?}, for no reason", part.numbers));
        }
        part.judge_turn(numbers[0], facts)?;
        Ok(false)
    }

    pub fn begin(&mut self, numbers: &[usize]) {
        let index = match self.of.get(&numbers[0]) {
            Some(index) => *index,
            None => self.add(Part::new(numbers.into(), numbers.to_vec(), State::Waits)),
        };
        let part = &mut self.all[index];
        part.state = State::Flies;
        let left_out = part.numbers.len() - numbers.len();
        for number in part.numbers.drain(..left_out) {
            self.of.remove(&number);
            self.left_out.insert(number);
        }
    }

    /// Answers how many of the first records succeeded.
    pub fn ended(&mut self, numbers: &[usize], heard: &Heard, retry: RetrySettings) -> usize {
        let Some(index) = self.of.get(&numbers[0]).copied() else { return 0 };
        let part = &mut self.all[index];
        part.state = State::Waits;
        let succeeded = match heard {
            Heard::NotRun | Heard::Failed => 0,
            Heard::Succeeded => numbers.len(),
            Heard::Reported(failed) => failed[0],
        };
        match heard {
            Heard::NotRun => {}
            Heard::Succeeded | Heard::Reported(_) if succeeded > 0 => {
                part.attempts = 0;
                for number in part.numbers.drain(..succeeded) {
                    self.of.remove(&number);
                }
            }
            _ if retry.bisect && numbers.len() > 1 => {
                part.attempts = 0;
                let upper = part.numbers.split_off(numbers.len() / 2);
                let upper = Part::new(Arc::clone(&part.batch), upper, State::Waits);
                self.add(upper);
            }
            _ => {
                part.attempts += 1;
                if retry.attempts_max.is_some_and(|most| part.attempts >= most) {
                    part.state = State::Exhausted;
                }
            }
        }
        succeeded
    }

    /// A failure record names a part that has failed too often, or the first records of one that are too old and no
    /// other (`docs/semantics.md` 9, invariants 69 to 72, 78 to 82).
    pub fn judge_telling(
        &self,
        numbers: &[usize],
        failure: &FailureRecord,
        terms: Terms,
        facts: &impl Facts,
    ) -> Verdict {
        let FailureRecord { id, condition, invoke_count, discarded_at, .. } = failure;
        let is_old = |number: usize| is_older(facts.arrived_at(number), terms.retry.age_max, *discarded_at);
        let part = numbers.iter().find_map(|number| self.part_of(*number));
        let attempts = part.map_or(0, |part| part.attempts);
        if *invoke_count != attempts {
            return Err(format!("{numbers:?} was tried {attempts} times, and {invoke_count} are told"));
        }
        if *condition == Condition::RecordAgeExceeded
            && let Some(number) = numbers.iter().find(|number| !is_old(**number))
        {
            return Err(format!("{number} is given up for its age, and is not too old"));
        }
        let Some(part) = part else {
            return match condition {
                Condition::RecordAgeExceeded => Ok(()),
                Condition::RetryAttemptsExhausted => Err(format!("{numbers:?} is given up, and was never invoked")),
            };
        };
        part.judge_turn(numbers[0], facts)?;
        match (&part.state, condition) {
            (State::Told(name), _) if name == id && part.numbers == numbers => Ok(()), // once more
            (State::Exhausted, Condition::RetryAttemptsExhausted) if part.numbers == numbers => Ok(()),
            (State::Waits, Condition::RecordAgeExceeded) if part.numbers.starts_with(numbers) => {
                match part.numbers.get(numbers.len()).filter(|next| is_old(**next)) {
                    Some(next) => Err(format!("{numbers:?} is given up without {next}, which is as old")),
                    None => Ok(()),
                }
            }
            (state, condition) => {
                let part = &part.numbers;
                Err(format!("{numbers:?} is given up for {condition:?}, and {part:?} is {state:?}"))
            }
        }
    }

    /// They are being given up under a failure record of this name.
    pub fn tell(&mut self, numbers: &[usize], name: &str) {
        let state = State::Told(name.to_owned());
        let Some(index) = self.of.get(&numbers[0]).copied() else {
            self.add(Part::new(numbers.into(), numbers.to_vec(), state));
            return;
        };
        let part = &mut self.all[index];
        part.state = state;
        let rest = part.numbers.split_off(numbers.len());
        if !rest.is_empty() {
            let attempts = part.attempts;
            let rest = Part { attempts, ..Part::new(Arc::clone(&part.batch), rest, State::Waits) };
            self.add(rest);
        }
    }

    /// It is known that these are given up.
    pub fn given_up(&mut self, numbers: &[usize]) {
        for number in numbers {
            self.of.remove(number);
        }
    }

    /// Whether a record that nothing was told of may have been given up by now.
    pub fn may_be_given_up(&self, number: usize, terms: Terms, now: Timestamp, facts: &impl Facts) -> bool {
        if self.left_out.contains(&number) {
            return true;
        }
        let age_max = terms.retry.age_max.filter(|_| terms.undeliverable.is_none());
        let Some(part) = self.part_of(number) else { return is_older(facts.arrived_at(number), age_max, now) };
        match part.state {
            State::Flies | State::Told(_) => false,
            State::Exhausted => terms.undeliverable.is_none(),
            State::Waits => {
                let retention = terms.retry.retention.filter(|_| part.attempts > 0);
                let is_old = |other: usize| {
                    let arrived_at = facts.arrived_at(other);
                    is_older(arrived_at, age_max, now) || is_older(arrived_at, retention, now)
                };
                part.numbers.iter().take_while(|other| **other <= number).all(|other| is_old(*other))
            }
        }
    }

    fn part_of(&self, number: usize) -> Option<&Part> {
        self.of.get(&number).map(|index| &self.all[*index])
    }

    fn add(&mut self, part: Part) -> usize {
        let index = self.all.len();
        self.of.extend(part.numbers.iter().map(|number| (*number, index)));
        self.all.push(part);
        index
    }
}

impl Part {
    fn new(batch: Arc<[usize]>, numbers: Vec<usize>, state: State) -> Self {
        Self { batch, numbers, attempts: 0, state }
    }

    /// Whatever comes first in its batch is done.
    fn judge_turn(&self, first: usize, facts: &impl Facts) -> Verdict {
        let mut before = self.batch.iter().take_while(|number| **number < first);
        match before.find(|number| !facts.is_done(**number)) {
            Some(number) => Err(format!("{first} has its turn before {number} of the same batch is done")),
            None => Ok(()),
        }
    }
}

fn is_older(arrived_at: Timestamp, limit: Option<Duration>, now: Timestamp) -> bool {
    limit.is_some_and(|most| now.since(arrived_at) >= most)
}
