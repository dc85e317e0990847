//! Counts along while a run goes on: which records are settled at the function, from a history that only grows at its end.
//! Looks at each invocation once, when it is over. The judge decides in the end; this says when to stop waiting.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Entry;
use super::judge::path::{Fate, PathHistory};

/// The count so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Processed with success.
    succeeded: BTreeSet<Entry>,
    /// Those that failed last: in which invocation, and how many in a row used an attempt in the same part of a batch.
    failed: BTreeMap<Entry, (usize, usize)>,
    /// Invocations that were looked at.
    seen: BTreeSet<usize>,
    /// All before this place were.
    next: usize,
}

impl Tally {
    /// Takes in what is new.
    pub fn update(&mut self, history: &PathHistory) {
        for (place, invocation) in history.invocations.iter().enumerate().skip(self.next) {
            if invocation.ended.is_none() || !invocation.runs() || !self.seen.insert(place) {
                continue;
            }
            for (index, record) in invocation.records.iter().enumerate() {
                let Some(entry) = record.seen.entry() else { continue };
                match invocation.fate(index, history.is_stream) {
                    Fate::Succeeded => drop(self.succeeded.insert(entry.clone())),
                    Fate::Failed if invocation.uses_attempt(history.bisects) => {
                        let before = self.failed.get(entry).copied();
                        let same = before.filter(|(place, _)| history.invocations[*place].has_records_of(invocation));
                        self.failed.insert(entry.clone(), (place, same.map_or(1, |(_, attempts)| attempts + 1)));
                    }
                    Fate::Failed => drop(self.failed.remove(entry)),
                    Fate::Cut => {}
                }
            }
        }
        while history.invocations.get(self.next).is_some_and(|invocation| invocation.ended.is_some()) {
            self.seen.remove(&self.next);
            self.next += 1;
        }
    }

    /// How many of the records that were sent need no more waiting: they succeeded or were given up.
    pub fn settled(&self, history: &PathHistory) -> usize {
        let given_up = |entry: &Entry| {
            let attempts = self.failed.get(entry).map_or(0, |(_, attempts)| *attempts);
            history.dead_lettered.contains(entry) || history.attempts_max.is_some_and(|max| attempts >= max)
        };
        let candidates: BTreeSet<&Entry> = self.failed.keys().chain(&history.dead_lettered).collect();
        let given_up = candidates.into_iter().filter(|entry| !self.succeeded.contains(*entry) && given_up(entry));
        self.succeeded.len() + given_up.count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::path::tests::{failed, succeeded};
    use super::*;

    #[test]
    fn a_record_is_settled_when_an_invocation_with_it_has_ended_well() {
        let mut history = PathHistory::default();
        let mut tally = Tally::default();
        history.invocations.push(failed(0, 10, &[("a", 0)]));
        let mut running = succeeded(20, 30, &[("a", 0), ("b", 0)]);
        running.ended = None;
        history.invocations.push(running);
        history.invocations.push(succeeded(22, 25, &[("c", 0)]));

        tally.update(&history);
        assert_eq!(tally.settled(&history), 1);
        history.invocations[1] = succeeded(20, 30, &[("a", 0), ("b", 0)]);
        tally.update(&history);
        tally.update(&history);

        assert_eq!(tally.settled(&history), 3);
    }

    #[test]
    fn a_record_out_of_attempts_is_settled_as_well() {
        let invocations = vec![failed(0, 10, &[("a", 0)]), failed(20, 30, &[("a", 0)])];
        let history = PathHistory { invocations, attempts_max: Some(2), ..PathHistory::default() };
        let mut tally = Tally::default();
        tally.update(&history);
        assert_eq!(tally.settled(&history), 1);
    }
}
