//! Judges the whole path by what the function saw: everything delivered with success or given up by the rules, nothing
//! invented, first deliveries of a key in order, one invocation of a key at a time, parents before children, and a reason
//! for every repeat. Knows no client and no clock, and nothing of esmd but what the mapping promises.

mod figures;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use self::figures::{Invocations, PathFigures, Percentiles, Repeats, Spread};
use super::{Entry, Kind, Moment, Seen, Sent, Story, TOLD_MAX, Violation, count, names};

/// What the function saw, and what happened to the daemon meanwhile.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts about the source that do not depend on each other")]
pub struct PathHistory {
    /// Whether keys keep their order: all sources but a standard queue.
    pub is_ordered: bool,
    /// Whether it is a stream: failed batches come again as a whole.
    pub is_stream: bool,
    /// Whether others may write to the source.
    pub is_shared: bool,
    /// What was sent, in order.
    pub sent: Vec<Sent>,
    /// The invocations, in order of arrival.
    pub invocations: Vec<Invocation>,
    /// The daemon's crashes.
    pub kills: Vec<Kill>,
    /// The records that the function never processes.
    pub poison: BTreeSet<Entry>,
    /// How often a stream's batch is tried before it is given up; `None`: without end.
    pub attempts_max: Option<usize>,
    /// Whether a stream's failed batches are halved before that.
    pub bisects: bool,
    /// How old a stream's records get before they are given up; `None`: any age.
    pub age_max: Option<Duration>,
    /// The messages in the dead-letter queue.
    pub dead_lettered: BTreeSet<Entry>,
    /// The records that raw readers did not get either, or whose shard vanished.
    pub gone_from_server: BTreeSet<Entry>,
    /// The parents of each shard, as it was listed.
    pub parents: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// How long the run waited for the next record at most.
    pub patience: Duration,
    /// When watching ended.
    pub ended: Moment,
}

/// A crash of the daemon. Somewhere between its two moments it happened.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// When it was about to be killed.
    pub began: Moment,
    /// When it was dead for sure.
    pub done: Moment,
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// When its request was complete.
    pub arrived: Moment,
    /// When it was answered, or its caller went away.
    pub ended: Option<Moment>,
    /// Whether it was answered before its caller went away.
    pub is_answered: bool,
    /// Its records, in order.
    pub records: Vec<Delivered>,
    /// What was answered, or would have been.
    pub answer: Answer,
}

/// A record as the function saw it.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// What it says.
    pub seen: Seen,
    /// The shard that the event names.
    pub shard: Option<Arc<str>>,
    /// How often the queue had handed it out.
    pub receive_count: Option<u64>,
}

/// What the function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Success.
    Succeeded,
    /// A function error.
    Failed,
    /// The function did not run.
    Throttled,
    /// These places of the batch failed, at least one.
    Partial(Vec<usize>),
}

/// What is wrong, and what was counted.
#[must_use]
pub fn judge(history: &PathHistory) -> (Vec<Violation>, PathFigures) {
    let book = Book::new(history);
    let mut violations = Vec::new();
    let mut figures = book.figures();
    book.settled(&mut figures, &mut violations);
    book.invented(&mut violations);
    book.repeats(&mut figures, &mut violations);
    if history.is_ordered {
        book.order(&mut violations);
        book.overlaps(&mut violations);
        book.parents_first(&mut violations);
    }
    (violations, figures)
}

/// The history by record.
struct Book<'a> {
    history: &'a PathHistory,
    sent: BTreeMap<&'a Entry, &'a Sent>,
    deliveries: BTreeMap<&'a Entry, Vec<Delivery<'a>>>,
}

/// One arrival of a record.
#[derive(Clone, Copy)]
struct Delivery<'a> {
    invocation: &'a Invocation,
    /// The invocation's place in the history.
    number: usize,
    record: &'a Delivered,
    fate: Fate,
}

/// What came of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Fate {
    /// The function processed it.
    Succeeded,
    /// The function failed, or named it.
    Failed,
    /// The caller went away before the answer, or it is still awaited.
    Cut,
}

impl<'a> Book<'a> {
    fn new(history: &'a PathHistory) -> Self {
        let sent = history.sent.iter().map(|sent| (&sent.entry, sent)).collect();
        let mut deliveries: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (number, invocation) in history.invocations.iter().enumerate().filter(|(_, invocation)| invocation.runs()) {
            for (place, record) in invocation.records.iter().enumerate() {
                let Some(entry) = record.seen.entry() else { continue };
                let fate = invocation.fate(place, history.is_stream);
                deliveries.entry(entry).or_default().push(Delivery { invocation, number, record, fate });
            }
        }
        Self { history, sent, deliveries }
    }

    fn deliveries_of(&self, entry: &Entry) -> &[Delivery<'a>] {
        self.deliveries.get(entry).map_or(&[], Vec::as_slice)
    }

    fn is_settled(&self, entry: &Entry) -> bool {
        self.deliveries_of(entry).iter().any(|delivery| delivery.fate == Fate::Succeeded)
    }

    fn failures(&self, entry: &Entry) -> usize {
        self.deliveries_of(entry).iter().filter(|delivery| delivery.fate == Fate::Failed).count()
    }

    /// How often in a row it failed at last, each time in the same part of a batch and such that it uses an attempt.
    fn attempts(&self, entry: &Entry) -> usize {
        let deliveries = self.deliveries_of(entry);
        let Some(last) = deliveries.last() else { return 0 };
        let is_attempt = |delivery: &&Delivery| {
            let invocation = delivery.invocation;
            invocation.uses_attempt(self.history.bisects) && invocation.has_records_of(last.invocation)
        };
        deliveries.iter().rev().take_while(is_attempt).count()
    }

    /// Whether the mapping or the queue's redrive policy lets go of it without success.
    fn is_given_up(&self, sent: &Sent) -> bool {
        let too_old = self.history.age_max.is_some_and(|age| self.history.ended.since(sent.began) > age);
        let out_of_attempts = self.history.attempts_max.is_some_and(|max| self.attempts(&sent.entry) >= max);
        self.history.dead_lettered.contains(&sent.entry) || self.history.is_stream && (too_old || out_of_attempts)
    }

    fn settled(&self, figures: &mut PathFigures, violations: &mut Vec<Violation>) {
        let mut lost = Vec::new();
        for sent in self.history.sent.iter().filter(|sent| sent.taken.is_some()) {
            if self.is_settled(&sent.entry) {
                figures.delivered += 1;
            } else if self.is_given_up(sent) {
                figures.given_up += 1;
            } else {
                lost.push(&sent.entry);
            }
        }
        figures.lost = lost.len();
        figures.gone_from_server = lost.iter().filter(|entry| self.history.gone_from_server.contains(*entry)).count();
        if !lost.is_empty() {
            let mut story = self.story(lost.iter().copied().take(TOLD_MAX));
            self.tell_kills(&mut story);
            story.tell(self.history.ended, "the watch ends");
            let gone = match figures.gone_from_server {
                0 => String::new(),
                gone => format!(" ({gone} of them gone from the server)"),
            };
            let what = format!(
                "{} not delivered within {:?}{gone}: {}",
                count(lost.len(), "record"),
                self.history.patience,
                names(lost.iter().copied())
            );
            violations.push(story.show(Kind::NotDelivered, lost.into_iter().cloned().collect(), what));
        }
        let early = self.history.dead_lettered.iter();
        for entry in early.filter(|entry| self.failures(entry) == 0 && self.history.kills.is_empty()) {
            let story = self.story([entry]);
            let what = format!("{entry} is in the dead-letter queue and never failed");
            violations.push(story.show(Kind::GivenUpEarly, vec![entry.clone()], what));
        }
    }

    fn invented(&self, violations: &mut Vec<Violation>) {
        for (number, invocation) in self.history.invocations.iter().enumerate() {
            for record in &invocation.records {
                let what = match &record.seen {
                    Seen::Foreign(text) if !self.history.is_shared => format!("a record that was not sent: {text:?}"),
                    Seen::Ours(entry) if !self.sent.contains_key(entry) => format!("{entry} was not sent"),
                    _ => continue,
                };
                let mut story = Story::default();
                story.tell(invocation.arrived, format!("it comes in invocation {}", number + 1));
                violations.push(story.show(
                    Kind::InventedDelivery,
                    record.seen.entry().cloned().into_iter().collect(),
                    what,
                ));
            }
        }
    }

    fn repeats(&self, figures: &mut PathFigures, violations: &mut Vec<Violation>) {
        for (entry, deliveries) in &self.deliveries {
            for (before, again) in deliveries.iter().zip(deliveries.iter().skip(1)) {
                let is_between =
                    |kill: &Kill| kill.done >= before.invocation.arrived && kill.began <= again.invocation.arrived;
                let handed_out_again = before
                    .record
                    .receive_count
                    .zip(again.record.receive_count)
                    .is_some_and(|(before, again)| again > before);
                let reasons = &mut figures.repeats;
                if before.fate == Fate::Failed {
                    reasons.after_failure += 1;
                } else if self.history.kills.iter().any(is_between) {
                    reasons.after_crash += 1;
                } else if handed_out_again {
                    reasons.by_server += 1;
                } else if self.sent.get(entry).is_some_and(|sent| sent.taken.is_some()) {
                    reasons.unexplained += 1;
                    let what = format!("{entry} is delivered again, though nothing failed and nobody was killed");
                    violations.push(self.story([*entry]).show(Kind::UnexplainedRepeat, vec![(*entry).clone()], what));
                }
            }
        }
    }

    fn tell_kills(&self, story: &mut Story) {
        self.history.kills.iter().for_each(|kill| story.tell(kill.done, "the daemon is killed"));
    }

    fn story<'b>(&self, entries: impl IntoIterator<Item = &'b Entry>) -> Story {
        let mut story = Story::default();
        for entry in entries {
            if let Some(sent) = self.sent.get(entry) {
                sent.tell(&mut story);
            }
            for delivery in self.deliveries_of(entry) {
                let receives =
                    delivery.record.receive_count.map(|count| format!(", receive {count}")).unwrap_or_default();
                let number = delivery.number + 1;
                story.tell(delivery.invocation.arrived, format!("{entry} comes in invocation {number}{receives}"));
                if let Some(ended) = delivery.invocation.ended {
                    let fate = match delivery.fate {
                        Fate::Succeeded => "succeeds",
                        Fate::Failed => "fails",
                        Fate::Cut => "loses its caller",
                    };
                    story.tell(ended, format!("invocation {number} {fate} for {entry}"));
                }
            }
        }
        story
    }

    fn figures(&self) -> PathFigures {
        let mut invocations = Invocations::default();
        for invocation in &self.history.invocations {
            let counted = match (&invocation.answer, invocation.is_answered) {
                (_, false) => &mut invocations.cut,
                (Answer::Succeeded, _) => &mut invocations.succeeded,
                (Answer::Failed, _) => &mut invocations.failed,
                (Answer::Partial(_), _) => &mut invocations.partial,
                (Answer::Throttled, _) => &mut invocations.throttled,
            };
            *counted += 1;
        }
        let ran = self.history.invocations.iter().filter(|invocation| invocation.runs());
        let latencies = self.deliveries.iter().filter_map(|(entry, deliveries)| {
            let arrived = deliveries.first()?.invocation.arrived;
            Some(u64::try_from(arrived.since(self.sent.get(entry)?.began).as_millis()).unwrap_or(u64::MAX))
        });
        PathFigures {
            sent: self.history.sent.iter().filter(|sent| sent.taken.is_some()).count(),
            deliveries: self.deliveries.values().map(Vec::len).sum(),
            kills: self.history.kills.len(),
            invocations,
            batch_size: Spread::of(&ran.map(|invocation| invocation.records.len()).collect::<Vec<_>>()),
            attempts: Spread::of(&self.deliveries.values().map(Vec::len).collect::<Vec<_>>()),
            latency_ms: Percentiles::of(latencies.collect()),
            ..PathFigures::default()
        }
    }
}

impl Invocation {
    /// Whether the function saw the records.
    pub(in crate::verify) fn runs(&self) -> bool {
        self.answer != Answer::Throttled
    }

    /// Whether its records, all of them, have one attempt less (`docs/semantics.md` 6.6).
    pub(in crate::verify) fn uses_attempt(&self, bisects: bool) -> bool {
        let fails = match &self.answer {
            Answer::Failed => true,
            Answer::Partial(places) => places.contains(&0),
            Answer::Succeeded | Answer::Throttled => false,
        };
        self.is_answered && fails && (!bisects || self.records.len() == 1)
    }

    /// Whether it is of the same part of a batch.
    pub(in crate::verify) fn has_records_of(&self, other: &Self) -> bool {
        let entries =
            |invocation: &'_ Self| invocation.records.iter().map(|record| record.seen.clone()).collect::<Vec<_>>();
        self.records.len() == other.records.len() && entries(self) == entries(other)
    }

    /// Of a stream, all from the first named record on come again; of a queue, those that are named.
    pub(in crate::verify) fn fate(&self, place: usize, is_stream: bool) -> Fate {
        let is_named = |places: &[usize]| {
            if is_stream { places.iter().any(|failed| *failed <= place) } else { places.contains(&place) }
        };
        match &self.answer {
            _ if !self.is_answered => Fate::Cut,
            Answer::Succeeded => Fate::Succeeded,
            Answer::Partial(places) if !is_named(places) => Fate::Succeeded,
            Answer::Failed | Answer::Throttled | Answer::Partial(_) => Fate::Failed,
        }
    }

    fn tell(&self, number: usize, key: &Arc<str>, story: &mut Story) {
        let entries = self.records.iter().filter_map(|record| record.seen.entry());
        let entries: Vec<&Entry> = entries.filter(|entry| entry.key == *key).collect();
        story.tell(self.arrived, format!("invocation {} arrives with {}", number + 1, names(entries)));
        if let Some(ended) = self.ended {
            story.tell(ended, format!("invocation {} ends", number + 1));
        }
    }
}

#[cfg(test)]
pub(in crate::verify) mod tests;
