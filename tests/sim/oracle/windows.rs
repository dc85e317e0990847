//! Tumbling windows (`docs/semantics.md` 9, invariants 98 to 102). The functions here keep the numbers of their records
//! in the state, so a state says what it counts: a call is handed exactly what the last successful one returned, a
//! checkpoint's state counts exactly what its position covers, and no number is in two windows that a checkpoint knows
//! to be closed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::ShardId;
use esmd::event::response::Reply;
use serde_json::{Value, json};

use super::flight::Heard;
use super::{Terms, Verdict};
use crate::fakes::target::Windowed;

#[derive(Default)]
pub struct WindowBook {
    shards: BTreeMap<ShardId, Shard>,
    /// In windows that are closed for good.
    counted: BTreeSet<usize>,
    /// Some policy gave up records or final calls, or may have, and nobody was told.
    may_give_up: bool,
    /// The source says how long it keeps records.
    may_expire: bool,
}

#[derive(Default)]
struct Shard {
    /// What the present consumer's next call has to be handed.
    open: Option<Open>,
    stored: Option<Open>,
    /// What final calls counted that no checkpoint knows of yet.
    closing: Vec<Vec<usize>>,
    /// Length and start of the last one that was called, 0 before it.
    newest: (u64, u64),
}

#[derive(Clone, Debug, PartialEq)]
struct Open {
    start: u64,
    end: u64,
    state: Value,
}

/// What there is to know of the shard when a call begins.
pub struct Surroundings<'a> {
    pub terms: Terms,
    /// When each record of the call arrived.
    pub arrivals: &'a [u64],
    /// A record of the call's window that nothing has become of.
    pub undone: Option<usize>,
    /// Nothing of the call's window can come any more, if clocks can be trusted.
    pub is_over: bool,
    /// The daemon's clock leaps.
    pub leaps: bool,
}

impl WindowBook {
    pub fn claimed(&mut self, shard: &ShardId, checkpoint: &Checkpoint) {
        let open = stored(checkpoint);
        let shard = self.shards.entry(shard.clone()).or_default();
        shard.newest = open.as_ref().map_or((0, 0), |open| (open.end - open.start, open.start));
        (shard.stored, shard.open) = (open.clone(), open);
        shard.closing.clear();
    }

    pub fn reads(&mut self, terms: Terms) {
        let retry = terms.retry;
        self.may_expire |= retry.retention.is_some();
        self.may_give_up |= retry.attempts_max.is_some() || retry.age_max.is_some() || retry.retention.is_some();
    }

    pub fn judge_begin(&mut self, id: &ShardId, call: Option<&Windowed>, here: &Surroundings<'_>) -> Verdict {
        let shard = self.shards.entry(id.clone()).or_default();
        // Nobody is told of what the source would have dropped, destination or not.
        let untold = here.terms.undeliverable.is_none() || self.may_expire;
        let silent = self.may_give_up && untold;
        let Some(call) = call else {
            let is_open = shard.open.is_some() && !silent;
            if is_open || here.terms.tumbling_window.is_some() {
                return Err(format!("{id}: a call without window, {:?} is open", shard.open));
            }
            return Ok(());
        };
        let own = Open { start: call.start, end: call.end, state: call.state.clone() };
        match &shard.open {
            Some(open) if *open == own => {}
            _ if silent && (own.state == json!({}) || call.is_final) => shard.open = None, // given up, unheard
            None if own.state == json!({}) && (!call.is_final || self.may_give_up) => {}
            other => return Err(format!("{id} is handed {own:?}, and {other:?} is open")),
        }
        let length = u64::try_from(here.terms.tumbling_window.unwrap_or(Duration::ZERO).as_millis()).unwrap();
        let is_of_old_length = length != call.end - call.start;
        let is_oversized = call.state.to_string().len() > STATE_BYTES_MAX;
        if call.is_final {
            let has_to_end = is_oversized || is_of_old_length;
            if !has_to_end && let Some(number) = here.undone.filter(|_| !here.leaps) {
                return Err(format!("{id}: the final call of {} comes before {number}", call.start));
            }
            if !has_to_end && !here.is_over && !here.leaps {
                return Err(format!("{id}: the final call of {} comes before its end", call.start));
            }
        } else if is_oversized || is_of_old_length || !call.start.is_multiple_of(length) {
            return Err(format!("{id}: a call with records in {}..{} of {length}", call.start, call.end));
        }
        if call.is_terminated_early != (call.is_final && is_oversized) {
            return Err(format!("{id}: terminated early: {}", call.is_terminated_early));
        }
        if let Some(arrival) = here.arrivals.iter().find(|arrival| !(call.start..call.end).contains(*arrival)) {
            return Err(format!("{id}: a record of {arrival} is in the window {}..{}", call.start, call.end));
        }
        let newest = std::mem::replace(&mut shard.newest, (call.end - call.start, call.start));
        if newest.0 == call.end - call.start && newest.1 > call.start {
            return Err(format!("{id}: the window {} comes after {}", call.start, newest.1));
        }
        Ok(())
    }

    /// The daemon heard how a call ended.
    pub fn ended(&mut self, id: &ShardId, call: &Windowed, heard: &Heard, reply: &Reply) {
        let shard = self.shards.entry(id.clone()).or_default();
        let settles = match heard {
            Heard::Succeeded => true,
            Heard::Reported(failed) => failed[0] > 0,
            Heard::Failed | Heard::NotRun => false,
        };
        if !settles {
            return;
        }
        if call.is_final {
            shard.closing.push(numbers(&call.state));
            shard.open = None;
        } else if let Some(state) = returned(reply) {
            shard.open = Some(Open { start: call.start, end: call.end, state });
        }
    }

    /// The daemon heard that a call's records were given up, or its final call.
    pub fn given_up(&mut self, id: &ShardId, call: &Windowed) {
        let shard = self.shards.entry(id.clone()).or_default();
        let open = Open { start: call.start, end: call.end, state: call.state.clone() };
        shard.open = (!call.is_final).then_some(open);
    }

    /// The store took it. `covered` are the records that it covers and the one before did not.
    pub fn saved(
        &mut self,
        id: &ShardId,
        checkpoint: &Checkpoint,
        covered: &[usize],
        covers: impl Fn(usize) -> bool,
    ) -> Verdict {
        let shard = self.shards.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut shard.stored, stored(checkpoint));
        let open: BTreeSet<usize> = shard.stored.iter().flat_map(|open| numbers(&open.state)).collect();
        if let Some(number) = open.iter().find(|number| !covers(**number) || self.counted.contains(number)) {
            return Err(format!(
                "{id}: the stored state counts {number}, which the position does not, or a window before"
            ));
        }
        let is_known = |numbers: &Vec<usize>| numbers.iter().all(|number| covers(*number) && !open.contains(number));
        let known: Vec<_> = shard.closing.extract_if(.., |numbers| is_known(numbers)).collect();
        for number in known.into_iter().flatten() {
            if !self.counted.insert(number) {
                return Err(format!("{id}: {number} is counted in two windows"));
            }
        }
        let of_before = before.iter().flat_map(|open| numbers(&open.state));
        let mut all = covered.iter().copied().chain(of_before);
        let missing = all.find(|number| !self.counted.contains(number) && !open.contains(number));
        match missing.filter(|_| !self.may_give_up && shard.is_used()) {
            Some(number) => Err(format!("{id}: {number} is covered by the checkpoint and counted nowhere")),
            None => Ok(()),
        }
    }
}

impl Shard {
    /// Whether any window was ever open.
    fn is_used(&self) -> bool {
        self.newest.0 > 0
    }
}

/// The state that an answer hands on, if it is one.
pub fn returned(reply: &Reply) -> Option<Value> {
    let Reply::Answered { payload, function_error: None, .. } = reply else { return None };
    let mut answer: Value = serde_json::from_slice(payload).ok()?;
    Some(answer.get_mut("state")?.take()).filter(Value::is_object)
}

fn stored(checkpoint: &Checkpoint) -> Option<Open> {
    let window = checkpoint.window.as_ref()?;
    let [start, end] = [window.bounds.start, window.bounds.end].map(Timestamp::as_millis);
    Some(Open { start, end, state: serde_json::from_str(window.state.as_str()).expect("a state is JSON") })
}

pub fn numbers(state: &Value) -> Vec<usize> {
    state.get("numbers").map(|numbers| serde_json::from_value(numbers.clone()).expect("numbers")).unwrap_or_default()
}

pub fn told(window: &Windowed) -> String {
    let Windowed { shard, start, end, state, is_final, is_terminated_early } = window;
    let numbers = numbers(state);
    format!("  {shard} {start}..{end} counts {numbers:?} final={is_final} early={is_terminated_early}")
}

const STATE_BYTES_MAX: usize = 1_048_576;
