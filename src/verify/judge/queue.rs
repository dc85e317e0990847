//! Judges a queue by what raw receivers saw of it: nothing lost or invented, every message held by one receiver at a time
//! until its visibility timeout ends or it is deleted, and of a FIFO queue one receiver at a time for each group, in the
//! order sent. Knows no client and no clock.
//!
//! A lease counts from the answer that brought the message, when it is certain that it was granted, to the deletion's
//! beginning or to the visibility timeout counted from the receive's beginning, when it may be over. Two leases that
//! overlap by this measure were held at once, however slow the network is. What AWS says of it: `docs/semantics.md` 5.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Entry, Kind, Moment, Seen, Sent, Story, TOLD_MAX, Violation, count, names};

/// What raw receivers saw.
#[derive(Debug, Default)]
pub struct QueueHistory {
    /// Whether it is a FIFO queue: groups, their order, sequence numbers.
    pub is_fifo: bool,
    /// The visibility timeout of each receive.
    pub visibility: Duration,
    /// What was sent, in order.
    pub sent: Vec<Sent>,
    /// The receives that brought something, in order of their answers.
    pub receives: Vec<Receive>,
    /// The deletions.
    pub deletions: Vec<Deletion>,
    /// When watching ended.
    pub ended: Moment,
}

/// A receive and what it brought.
#[derive(Clone, Debug)]
pub struct Receive {
    /// Which receiver, from 1.
    pub receiver: usize,
    /// When the call began.
    pub began: Moment,
    /// When its answer was there.
    pub answered: Moment,
    /// In the order of the answer.
    pub messages: Vec<Message>,
}

/// A message as it was received.
#[derive(Clone, Debug)]
pub struct Message {
    /// What its body says.
    pub seen: Seen,
    /// The group that the server names.
    pub group: Option<String>,
    /// The attribute `SequenceNumber`.
    pub sequence_number: Option<String>,
}

/// A deletion under the receipt of one receive.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// The message.
    pub entry: Entry,
    /// When the receive began that gave the receipt.
    pub received_at: Moment,
    /// When the call began.
    pub began: Moment,
    /// When its answer was there.
    pub answered: Moment,
    /// Whether the server confirmed it.
    pub confirmed: bool,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueFigures {
    /// Messages that the queue took.
    pub sent: usize,
    /// Of those, how many were handed out at least once.
    pub received: usize,
    /// How often messages were handed out.
    pub deliveries: usize,
    /// How many receives brought something.
    pub receives: usize,
    /// Messages that were deleted.
    pub deleted: usize,
}

/// What is wrong, and what was counted.
#[must_use]
pub fn judge(history: &QueueHistory) -> (Vec<Violation>, QueueFigures) {
    let book = Book::new(history);
    let mut violations = Vec::new();
    let lost = book.lost(&mut violations);
    book.invented(&mut violations);
    book.leases(&mut violations);
    book.undeleted(&mut violations);
    if history.is_fifo {
        book.inversions(&lost, &mut violations);
        book.sequence_numbers(&mut violations);
    }
    (violations, book.figures())
}

/// The history by message.
struct Book<'a> {
    history: &'a QueueHistory,
    sent: BTreeMap<&'a Entry, &'a Sent>,
    leases: BTreeMap<&'a Entry, Vec<Lease<'a>>>,
    deletions: BTreeMap<&'a Entry, Vec<&'a Deletion>>,
}

/// A message in a receiver's hands.
#[derive(Clone, Copy)]
struct Lease<'a> {
    entry: &'a Entry,
    message: &'a Message,
    receive: &'a Receive,
    /// The receive's place in the history.
    number: usize,
    /// From the answer on, it was certainly held; until this moment.
    until: Moment,
}

impl<'a> Book<'a> {
    fn new(history: &'a QueueHistory) -> Self {
        let sent = history.sent.iter().map(|sent| (&sent.entry, sent)).collect();
        let mut deletions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for deletion in &history.deletions {
            deletions.entry(&deletion.entry).or_default().push(deletion);
        }
        let mut book = Self { history, sent, leases: BTreeMap::new(), deletions };
        for (number, receive) in history.receives.iter().enumerate() {
            for message in &receive.messages {
                let Some(entry) = message.seen.entry() else { continue };
                let expires = receive.began.plus(history.visibility);
                let until = book.deletion_under(entry, receive).map_or(expires, |began| began.min(expires));
                let lease = Lease { entry, message, receive, number, until };
                book.leases.entry(entry).or_default().push(lease);
            }
        }
        book
    }

    fn deletions_of(&self, entry: &Entry) -> &[&'a Deletion] {
        self.deletions.get(entry).map_or(&[], Vec::as_slice)
    }

    /// When the deletion under this receive's receipt began.
    fn deletion_under(&self, entry: &Entry, receive: &Receive) -> Option<Moment> {
        let mut deletions = self.deletions_of(entry).iter();
        deletions.find(|deletion| deletion.received_at == receive.began).map(|deletion| deletion.began)
    }

    /// Taken and never handed out, or left to its timeout and never handed out again.
    fn lost(&self, violations: &mut Vec<Violation>) -> BTreeSet<&'a Entry> {
        let taken = self.sent.iter().filter(|(_, sent)| sent.taken.is_some()).map(|(entry, _)| *entry);
        let is_lost = |entry: &&Entry| match self.leases.get(entry).and_then(|leases| leases.last()) {
            None => true,
            Some(last) => {
                let over = last.receive.answered.plus(self.history.visibility) < self.history.ended;
                over && self.deletions_of(entry).is_empty()
            }
        };
        let lost: BTreeSet<&Entry> = taken.filter(is_lost).collect();
        let (never, once): (Vec<&Entry>, Vec<&Entry>) =
            lost.iter().partition(|entry| !self.leases.contains_key(*entry));
        let cases = [(never, "never handed out"), (once, "left to its visibility timeout and never handed out again")];
        for (entries, what) in cases.into_iter().filter(|(entries, _)| !entries.is_empty()) {
            let mut story = self.story(entries.iter().copied().take(TOLD_MAX), self.history.ended);
            story.tell(self.history.ended, "the watch ends");
            let what = format!("{} {what}: {}", count(entries.len(), "message"), names(entries.iter().copied()));
            violations.push(story.show(Kind::Lost, entries.into_iter().cloned().collect(), what));
        }
        lost
    }

    fn invented(&self, violations: &mut Vec<Violation>) {
        for receive in &self.history.receives {
            for message in &receive.messages {
                let what = match &message.seen {
                    Seen::Foreign(text) => format!("a message that was not sent: {text:?}"),
                    Seen::Ours(entry) if !self.sent.contains_key(entry) => format!("{entry} was not sent"),
                    Seen::Ours(entry)
                        if self.history.is_fifo && *message.group.as_deref().unwrap_or_default() != *entry.key =>
                    {
                        format!("{entry} comes in the group {:?}", message.group)
                    }
                    Seen::Ours(_) => continue,
                };
                let mut story = Story::default();
                story.tell(receive.answered, format!("receiver {} receives it", receive.receiver));
                violations.push(story.show(Kind::Invented, message.seen.entry().cloned().into_iter().collect(), what));
            }
        }
    }

    /// Who held what at the same time: the same message twice, or of a FIFO queue two of one group.
    fn leases(&self, violations: &mut Vec<Violation>) {
        let mut by_key: BTreeMap<&Arc<str>, Vec<Lease>> = BTreeMap::new();
        for lease in self.leases.values().flatten() {
            by_key.entry(&lease.entry.key).or_default().push(*lease);
        }
        for leases in by_key.values_mut() {
            leases.sort_by_key(|lease| (lease.receive.answered, lease.number));
            let mut held: Vec<Lease> = Vec::new();
            for lease in leases.iter() {
                held.retain(|other| other.until > lease.receive.answered);
                let same = held.iter().find(|other| other.entry == lease.entry && other.number != lease.number);
                let group = held.iter().find(|other| self.history.is_fifo && other.number != lease.number);
                if let Some(other) = same.or(group).filter(|_| lease.until > lease.receive.answered) {
                    violations.push(self.overlap(other, lease));
                }
                held.push(*lease);
            }
        }
    }

    fn overlap(&self, first: &Lease, second: &Lease) -> Violation {
        let until = first.until.min(second.until);
        let mut story = self.story([first.entry, second.entry], until);
        let receivers = (first.receive.receiver, second.receive.receiver);
        if first.entry == second.entry {
            let early = first.receive.began.plus(self.history.visibility).since(second.receive.answered);
            story.tell(second.receive.answered, format!("the first lease has at least {early:.1?} left"));
            let what = format!(
                "{} is handed to receiver {} while receiver {} holds it",
                first.entry, receivers.1, receivers.0
            );
            return story.show(Kind::Visibility, vec![first.entry.clone()], what);
        }
        let held = until.since(second.receive.answered);
        story.tell(second.receive.answered, format!("both are held from here, for at least {held:.1?}"));
        let what = format!(
            "group {}: {} is handed to receiver {} while receiver {} holds {}",
            first.entry.key, second.entry.number, receivers.1, receivers.0, first.entry.number
        );
        story.show(Kind::DoubleLease, vec![first.entry.clone(), second.entry.clone()], what)
    }

    /// Received after a deletion that was confirmed, asked for under a lease that had not ended.
    fn undeleted(&self, violations: &mut Vec<Violation>) {
        for (entry, leases) in &self.leases {
            let is_certain = |deletion: &&&Deletion| {
                deletion.confirmed && deletion.began < deletion.received_at.plus(self.history.visibility)
            };
            let Some(deletion) = self.deletions_of(entry).iter().find(is_certain) else { continue };
            if let Some(lease) = leases.iter().find(|lease| lease.receive.began > deletion.answered) {
                let story = self.story([*entry], lease.receive.answered);
                let what = format!("{entry} is received after its deletion was confirmed");
                violations.push(story.show(Kind::Undeleted, vec![(*entry).clone()], what));
            }
        }
    }

    /// Received while an earlier message of its group was in the queue and in nobody's hands. Each message that is
    /// overtaken counts once; one that is lost counts as that.
    fn inversions(&self, lost: &BTreeSet<&Entry>, violations: &mut Vec<Violation>) {
        let mut deletions: Vec<&Deletion> = self.history.deletions.iter().collect();
        deletions.sort_by_key(|deletion| deletion.began);
        let mut deletions = deletions.into_iter().peekable();
        let mut present: BTreeMap<&Arc<str>, BTreeSet<&Entry>> = BTreeMap::new();
        for (entry, sent) in &self.sent {
            if sent.taken.is_some() && !lost.contains(entry) {
                present.entry(&entry.key).or_default().insert(entry);
            }
        }
        for (number, receive) in self.history.receives.iter().enumerate() {
            while let Some(deletion) = deletions.next_if(|deletion| deletion.began <= receive.answered) {
                present.entry(&deletion.entry.key).or_default().remove(&deletion.entry);
            }
            let entries: Vec<&Entry> = receive.messages.iter().filter_map(|message| message.seen.entry()).collect();
            for (place, entry) in entries.iter().enumerate() {
                let Some(group) = present.get_mut(&entry.key) else { continue };
                let in_front = &entries[..place];
                let overtaken = group.range::<&Entry, _>(..*entry).copied().find(|earlier| {
                    !in_front.contains(earlier)
                        && self.was_sent_before(earlier, entry)
                        && !self.is_held(earlier, number)
                });
                if let Some(earlier) = overtaken {
                    violations.push(self.inversion(earlier, entry, receive));
                    group.remove(earlier);
                }
            }
        }
    }

    fn inversion(&self, earlier: &Entry, entry: &Entry, receive: &Receive) -> Violation {
        let next = self.leases.get(earlier).and_then(|leases| {
            leases.iter().map(|lease| lease.receive.answered).find(|answered| *answered >= receive.answered)
        });
        let mut story = self.story([earlier, entry], next.unwrap_or(receive.answered));
        story.tell(receive.answered, format!("{earlier} is in the queue, and nobody holds it"));
        let what = format!("group {}: {} comes before {}", entry.key, entry.number, earlier.number);
        story.show(Kind::Inversion, vec![earlier.clone(), entry.clone()], what)
    }

    fn was_sent_before(&self, earlier: &Entry, entry: &Entry) -> bool {
        let sent = self.sent.get(earlier).zip(self.sent.get(entry));
        sent.is_some_and(|(earlier, sent)| earlier.answered <= sent.began)
    }

    /// Whether another receive holds it when this one is answered: then that is a double lease.
    fn is_held(&self, entry: &Entry, number: usize) -> bool {
        let now = self.history.receives[number].answered;
        let mut others = self.leases.get(entry).into_iter().flatten().filter(|lease| lease.number != number);
        others.any(|lease| lease.receive.answered <= now && now < lease.until)
    }

    fn sequence_numbers(&self, violations: &mut Vec<Violation>) {
        let leases: Vec<&Lease> = self.leases.values().flatten().collect();
        let missing: Vec<&&Lease> = leases.iter().filter(|lease| lease.message.sequence_number.is_none()).collect();
        if let Some(first) = missing.first() {
            let story = self.story([first.entry], first.receive.answered);
            let what = format!("{} of {} came without SequenceNumber", missing.len(), count(leases.len(), "message"));
            violations.push(story.show(Kind::SequenceNumbers, vec![first.entry.clone()], what));
        }
        for lease in &leases {
            let told = self.sent.get(lease.entry).and_then(|sent| sent.taken.as_ref()?.sequence_number.as_deref());
            let Some((told, came)) = told.zip(lease.message.sequence_number.as_deref()) else { continue };
            if told != came {
                let story = self.story([lease.entry], lease.receive.answered);
                let what = format!("{} was taken as {told} and comes as {came}", lease.entry);
                violations.push(story.show(Kind::SequenceNumbers, vec![lease.entry.clone()], what));
            }
        }
        violations.extend(super::numbers_that_fall(&self.history.sent));
    }

    /// All that happened to these messages up to a moment.
    fn story<'b>(&self, entries: impl IntoIterator<Item = &'b Entry>, until: Moment) -> Story {
        let mut story = Story::default();
        let entries: BTreeSet<&Entry> = entries.into_iter().collect();
        for entry in entries {
            if let Some(sent) = self.sent.get(entry) {
                sent.tell(&mut story);
            }
            for lease in self.leases.get(entry).into_iter().flatten().filter(|lease| lease.receive.answered <= until) {
                let Receive { receiver, began, answered, .. } = lease.receive;
                let number = lease.number + 1;
                let event = format!("receiver {receiver} receives {entry} (receive {number}, called at {began})");
                story.tell(*answered, event);
                let expires = began.plus(self.history.visibility);
                if expires <= until {
                    story.tell(expires, format!("the visibility timeout of receive {number} may be over"));
                }
            }
            for deletion in self.deletions_of(entry).iter().filter(|deletion| deletion.began <= until) {
                story.tell(deletion.began, format!("{entry} is deleted"));
                let answer = if deletion.confirmed { "is confirmed" } else { "fails" };
                story.tell(deletion.answered, format!("the deletion of {entry} {answer}"));
            }
        }
        story
    }

    fn figures(&self) -> QueueFigures {
        let confirmed = |deletions: &&Vec<&Deletion>| deletions.iter().any(|deletion| deletion.confirmed);
        QueueFigures {
            sent: self.history.sent.iter().filter(|sent| sent.taken.is_some()).count(),
            received: self.leases.keys().filter(|entry| self.sent.contains_key(*entry)).count(),
            deliveries: self.leases.values().map(Vec::len).sum(),
            receives: self.history.receives.len(),
            deleted: self.deletions.values().filter(confirmed).count(),
        }
    }
}

#[cfg(test)]
mod tests;
