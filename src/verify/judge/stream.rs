//! Judges a stream by what raw readers saw of it: nothing lost, invented or doubled, numbers that rise and keys in order
//! within each shard, and shards that fit together: a parent stays until its records are read and ends, its children
//! name it and share its hashes, and no record goes to a shard that is closed. Knows no client and no clock.
//!
//! A `DynamoDB` stream names neither shard nor number in the answer to a put, and its shards have no hashes: what is not
//! told is not judged. What AWS says of it: `docs/semantics.md` 6.

mod lineage;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Serialize;

use super::{Entry, Kind, Moment, Seen, Sent, Story, TOLD_MAX, Violation, count, names, numbers_that_fall};
use crate::core::record::SequenceNumber;

/// What raw readers saw.
#[derive(Debug, Default)]
pub struct StreamHistory {
    /// Whether others may write to the stream: then what was not sent is theirs.
    pub is_shared: bool,
    /// What was put, in order.
    pub sent: Vec<Sent>,
    /// What came of the reads, in order: those that brought records, and those that ended a shard.
    pub reads: Vec<Read>,
    /// The listings that differ from the one before.
    pub listings: Vec<Listing>,
    /// What was done to shards, in order.
    pub reshards: Vec<Reshard>,
    /// When watching ended.
    pub ended: Moment,
}

/// A read of a shard. Each shard has one reader, which begins at its oldest record.
#[derive(Clone, Debug)]
pub struct Read {
    /// The shard.
    pub shard: Arc<str>,
    /// When the answer was there.
    pub answered: Moment,
    /// What it said.
    pub outcome: ReadOutcome,
}

/// What a read brought.
#[derive(Clone, Debug)]
pub enum ReadOutcome {
    /// These records.
    Records(Vec<ReadRecord>),
    /// The shard has no more records and never will.
    End,
    /// There is no such shard.
    Missing,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// What its data says.
    pub seen: Seen,
    /// Its number.
    pub sequence_number: String,
}

/// A complete listing of the shards.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When it was asked for.
    pub began: Moment,
    /// The shards.
    pub shards: Vec<ListedShard>,
}

/// A shard in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedShard {
    /// Its name.
    pub id: Arc<str>,
    /// The shards it came from.
    pub parents: Vec<Arc<str>>,
    /// The hashes of the keys it takes, or took, if it says so.
    pub hashes: Option<RangeInclusive<u128>>,
    /// Whether it takes records.
    pub is_open: bool,
}

/// A split or a merge.
#[derive(Clone, Debug)]
pub struct Reshard {
    /// The shards that it closes: one is split, two are merged.
    pub parents: Vec<Arc<str>>,
    /// When it was asked for.
    pub began: Moment,
    /// When the stream was active again.
    pub done: Moment,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamFigures {
    /// Records that the stream took.
    pub sent: usize,
    /// Of those, how many were read.
    pub received: usize,
    /// Shards that were ever listed.
    pub shards: usize,
    /// Splits and merges.
    pub reshards: usize,
}

/// What is wrong, what was counted, and which records a reader may have missed through no fault of its own: those that no
/// raw reader got, and those whose shard vanished.
#[must_use]
pub fn judge(history: &StreamHistory) -> (Vec<Violation>, StreamFigures, BTreeSet<Entry>) {
    let book = Book::new(history);
    let mut violations = Vec::new();
    let lost = book.lost(&mut violations);
    book.invented(&mut violations);
    book.repeated(&mut violations);
    book.order(&mut violations);
    book.numbers(&mut violations);
    book.reshards(&mut violations);
    book.closed_shards(&mut violations);
    book.ranges(&mut violations);
    let received = history.sent.iter().filter(|sent| book.places.contains_key(&sent.entry)).count();
    let figures = StreamFigures {
        sent: history.sent.iter().filter(|sent| sent.taken.is_some()).count(),
        received,
        shards: book.shards.len(),
        reshards: history.reshards.len(),
    };
    let vanished = history.sent.iter().filter(|sent| book.has_vanished(sent)).map(|sent| &sent.entry);
    (violations, figures, lost.into_iter().chain(vanished).cloned().collect())
}

/// The history by record and by shard.
struct Book<'a> {
    history: &'a StreamHistory,
    sent: BTreeMap<&'a Entry, &'a Sent>,
    /// Where each record was read.
    places: BTreeMap<&'a Entry, Vec<Place<'a>>>,
    /// Each shard as it was listed first and last.
    shards: BTreeMap<&'a Arc<str>, (&'a Listing, &'a ListedShard)>,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    read: &'a Read,
    sequence_number: &'a str,
}

impl<'a> Book<'a> {
    fn new(history: &'a StreamHistory) -> Self {
        let sent = history.sent.iter().map(|sent| (&sent.entry, sent)).collect();
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (read, record) in records(history) {
            if let Seen::Ours(entry) = &record.seen {
                places.entry(entry).or_default().push(Place { read, sequence_number: &record.sequence_number });
            }
        }
        let mut shards = BTreeMap::new();
        for listing in &history.listings {
            shards.extend(listing.shards.iter().map(|shard| (&shard.id, (listing, shard))));
        }
        Self { history, sent, places, shards }
    }

    /// Taken and never read, by the shards that took them.
    fn lost(&self, violations: &mut Vec<Violation>) -> BTreeSet<&'a Entry> {
        let is_lost = |sent: &&&Sent| sent.taken.is_some() && !self.places.contains_key(&sent.entry);
        let mut by_shard: BTreeMap<Option<&str>, Vec<&Sent>> = BTreeMap::new();
        for sent in self.sent.values().filter(is_lost) {
            by_shard.entry(shard_of(sent)).or_default().push(sent);
        }
        for (shard, lost) in &by_shard {
            let mut story = Story::default();
            lost.iter().take(TOLD_MAX).for_each(|sent| sent.tell(&mut story));
            if let Some(shard) = shard {
                self.tell_shard(shard, &mut story);
            }
            story.tell(self.history.ended, "the watch ends");
            let entries: Vec<Entry> = lost.iter().map(|sent| sent.entry.clone()).collect();
            let place = shard.map(|shard| format!(" of {shard}")).unwrap_or_default();
            let what = format!("{}{place} never read: {}", count(entries.len(), "record"), names(&entries));
            violations.push(story.show(Kind::Lost, entries, what));
        }
        by_shard.into_values().flatten().map(|sent| &sent.entry).collect()
    }

    fn invented(&self, violations: &mut Vec<Violation>) {
        for (read, record) in records(self.history) {
            let what = match &record.seen {
                Seen::Foreign(text) if !self.history.is_shared => format!("a record that was not put: {text:?}"),
                Seen::Ours(entry) if !self.sent.contains_key(entry) => format!("{entry} was not put"),
                _ => continue,
            };
            let mut story = Story::default();
            story.tell(read.answered, format!("it is read from {} as {}", read.shard, record.sequence_number));
            violations.push(story.show(Kind::Invented, record.seen.entry().cloned().into_iter().collect(), what));
        }
    }

    /// In the stream twice: under two numbers, or in two shards.
    fn repeated(&self, violations: &mut Vec<Violation>) {
        for (entry, places) in self.places.iter().filter(|(entry, places)| places.len() > 1 && self.is_taken(entry)) {
            let story = self.story([*entry]);
            let what = format!("{entry} was put once and is in the stream {} times", places.len());
            violations.push(story.show(Kind::Repeated, vec![(*entry).clone()], what));
        }
    }

    /// Within a shard a key's records are in the order of their puts.
    fn order(&self, violations: &mut Vec<Violation>) {
        let mut last: BTreeMap<(&str, &str), &Entry> = BTreeMap::new();
        for (read, record) in records(self.history) {
            let Some(entry) = record.seen.entry().filter(|entry| self.is_taken(entry)) else { continue };
            let before = last.entry((&read.shard, &entry.key)).or_insert(entry);
            if before.number > entry.number {
                let story = self.story([entry, *before]);
                let what = format!("{}: {} comes before {}", read.shard, before, entry);
                violations.push(story.show(Kind::Inversion, vec![entry.clone(), (*before).clone()], what));
            } else {
                *before = entry;
            }
        }
    }

    /// Numbers rise within a shard and along a key, and are those that the puts were told.
    fn numbers(&self, violations: &mut Vec<Violation>) {
        let mut last: BTreeMap<&str, SequenceNumber> = BTreeMap::new();
        for (read, record) in records(self.history) {
            let number = SequenceNumber::new(&*record.sequence_number);
            if let Some(before) = last.get(&*read.shard)
                && number <= *before
            {
                let story = self.story(record.seen.entry());
                let (shard, number, before) = (&read.shard, number.as_str(), before.as_str());
                let what = format!("{shard}: the number {number} comes after {before}");
                violations.push(story.show(
                    Kind::SequenceNumbers,
                    record.seen.entry().cloned().into_iter().collect(),
                    what,
                ));
            }
            last.insert(&read.shard, number);
        }
        for (entry, place) in self.places.iter().filter_map(|(entry, places)| Some((*entry, places.first()?))) {
            let Some(taken) = self.sent.get(entry).and_then(|sent| sent.taken.as_ref()) else { continue };
            let differs = |told: &Option<String>, came: &str| told.as_deref().is_some_and(|told| told != came);
            if differs(&taken.shard, &place.read.shard) || differs(&taken.sequence_number, place.sequence_number) {
                let story = self.story([entry]);
                let what = format!("{entry} is not where the answer to its put said");
                violations.push(story.show(Kind::SequenceNumbers, vec![entry.clone()], what));
            }
        }
        violations.extend(numbers_that_fall(&self.history.sent));
    }

    /// Whether its shard was listed and is no longer.
    fn has_vanished(&self, sent: &Sent) -> bool {
        let Some((listed, newest)) = shard_of(sent).zip(self.history.listings.last()) else { return false };
        self.shards.keys().any(|shard| ***shard == *listed) && newest.shards.iter().all(|shard| *shard.id != *listed)
    }

    fn is_taken(&self, entry: &Entry) -> bool {
        self.sent.get(entry).is_some_and(|sent| sent.taken.is_some())
    }

    fn story<'b>(&self, entries: impl IntoIterator<Item = &'b Entry>) -> Story {
        let mut story = Story::default();
        for entry in entries {
            if let Some(sent) = self.sent.get(entry) {
                sent.tell(&mut story);
            }
            for Place { read, sequence_number } in self.places.get(entry).into_iter().flatten() {
                story.tell(read.answered, format!("{entry} is read from {} as {sequence_number}", read.shard));
            }
        }
        story
    }

    /// What became of a shard.
    fn tell_shard(&self, id: &str, story: &mut Story) {
        for reshard in
            self.history.reshards.iter().filter(|reshard| reshard.parents.iter().any(|parent| **parent == *id))
        {
            let verb = if reshard.parents.len() == 1 { "split" } else { "merged" };
            story.tell(reshard.began, format!("{} to be {verb}", reshard.parents.join(" and ")));
            story.tell(reshard.done, "the stream is active again");
        }
        let mut was_listed = false;
        for listing in &self.history.listings {
            let is_listed = listing.shards.iter().any(|shard| *shard.id == *id);
            if was_listed != is_listed {
                let how = if is_listed { "is listed" } else { "is no longer listed" };
                story.tell(listing.began, format!("{id} {how}"));
            }
            was_listed = is_listed;
        }
        let of_shard = self.history.reads.iter().filter(|read| *read.shard == *id);
        let mut records_read = 0;
        let mut last = None;
        for read in of_shard {
            match &read.outcome {
                ReadOutcome::Records(records) => {
                    records_read += records.len();
                    last = Some((read.answered, records_read));
                }
                ReadOutcome::End => story.tell(read.answered, format!("{id} has no more records and never will")),
                ReadOutcome::Missing => story.tell(read.answered, format!("reading {id}: there is no such shard")),
            }
        }
        if let Some((at, records)) = last {
            story.tell(at, format!("{id} has given {} so far", count(records, "record")));
        }
    }
}

fn records(history: &StreamHistory) -> impl Iterator<Item = (&Read, &ReadRecord)> {
    history.reads.iter().flat_map(|read| match &read.outcome {
        ReadOutcome::Records(records) => records.iter().map(|record| (read, record)).collect(),
        ReadOutcome::End | ReadOutcome::Missing => Vec::new(),
    })
}

fn shard_of(sent: &Sent) -> Option<&str> {
    sent.taken.as_ref()?.shard.as_deref()
}

#[cfg(test)]
mod tests;
