//! A source as plain as it can be: the list of all records ever sent. A record's name is its place in that list.
//! Knows what was settled for good, and so what may still be lost.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, PositionRange, UpTo};
use esmd::core::record::{OrderingKey, Origin, Position, Receipt, Received, Record, SequenceNumber};
use esmd::core::settlement::{Extended, Extension, Handle, Settlement};

use super::operation::{Answer, LARGEST, Pick, Sent, SourceKind};

pub struct Source {
    kind: SourceKind,
    /// What is filtered stays for others.
    keeps_filtered: bool,
    records: Vec<Stored>,
    /// No record follows.
    pub closed: bool,
    /// A shard is read up to here.
    cursor: usize,
    receipts: usize,
}

struct Stored {
    sent: Sent,
    arrived_at: Timestamp,
    /// A record of a shard: the function succeeded with it, or it was given up. A message: it is deleted.
    settled: bool,
    /// Whether the function ever succeeded with it.
    succeeded: bool,
    /// A message that was received is hidden until then.
    visible_at: Timestamp,
    /// The receipt of its latest receive.
    receipt: usize,
}

impl Source {
    pub fn new(kind: SourceKind, keeps_filtered: bool) -> Self {
        Self { kind, keeps_filtered, records: Vec::new(), closed: false, cursor: 0, receipts: 0 }
    }

    pub fn send(&mut self, now: Timestamp, sent: &[Sent]) {
        if !self.closed {
            let stored = |sent: &Sent| Stored {
                sent: sent.clone(),
                arrived_at: Timestamp::default() + now.since(Timestamp::default() + sent.age),
                settled: false,
                succeeded: false,
                visible_at: now,
                receipt: 0,
            };
            self.records.extend(sent.iter().map(stored));
        }
    }

    /// At most `most` records, among them some that were received before. Hides messages for `least` at least.
    pub fn receive(&mut self, now: Timestamp, most: usize, repeated: &[Pick], least: Duration) -> Received {
        let names = match self.kind {
            SourceKind::Stream => self.next_of_shard(most, repeated.len()),
            SourceKind::StandardQueue => self.any_messages(now, most, repeated),
            SourceKind::FifoQueue => self.next_of_groups(now, most),
        };
        let ended = self.kind == SourceKind::Stream && self.closed && self.cursor == self.records.len();
        let is_filtered = |place: &usize| self.records[names[*place]].sent.is_filtered;
        let filtered = (0..names.len()).filter(is_filtered).collect();
        let records = names.into_iter().map(|name| self.record(now, name, least)).collect();
        Received { records, filtered, ended, ..Received::default() }
    }

    /// A shard is read again from the checkpoint.
    pub fn rewind(&mut self, checkpoint: &Checkpoint) {
        self.cursor = first_above(checkpoint, self.records.len());
    }

    /// The function succeeded with it; for a shard's record that is all.
    pub fn succeed(&mut self, name: usize) {
        self.records[name].succeeded = true;
        self.records[name].settled |= self.kind == SourceKind::Stream;
    }

    /// A shard's record was given up, and whoever is to know of it does.
    pub fn give_up(&mut self, name: usize) {
        self.records[name].settled = true;
    }

    /// How many records were ever sent.
    pub fn sent(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is left to do.
    pub fn is_settled(&self) -> bool {
        self.records.iter().all(|stored| stored.settled || (self.keeps_filtered && stored.sent.is_filtered))
    }

    /// When the next message that is hidden now, and is not left to others, comes back.
    pub fn next_visible(&self, now: Timestamp) -> Option<Timestamp> {
        let is_done = |stored: &Stored| stored.settled || (self.keeps_filtered && stored.sent.is_filtered);
        let hidden = self.records.iter().filter(|stored| !is_done(stored) && stored.visible_at > now);
        hidden.map(|stored| stored.visible_at).min()
    }

    /// Carries out a settlement. True if the consumer learns that it was done.
    pub fn settle(&mut self, now: Timestamp, settlement: &Settlement, answer: Answer) -> bool {
        let Handle { id, receipt, .. } = settlement.handle();
        let stored = &mut self.records[number(id)];
        let is_stale = number(receipt) != stored.receipt || stored.visible_at <= now;
        if answer == Answer::Refused || (is_stale && self.kind == SourceKind::FifoQueue) {
            return false;
        }
        match settlement {
            Settlement::Delete(_) => {
                let may = stored.succeeded || (stored.sent.is_filtered && !self.keeps_filtered);
                assert!(may, "invariant 1: message {id} is deleted, but the function never succeeded");
                stored.settled = true;
            }
            Settlement::Return(_) => stored.visible_at = now,
        }
        answer == Answer::Confirmed
    }

    /// Carries out an extension; the answer may be lost.
    pub fn extend(&mut self, now: Timestamp, extension: &Extension, answer: Answer) -> Extended {
        let Extension { handle, by } = extension;
        let stored = &mut self.records[number(&handle.id)];
        let is_ours = number(&handle.receipt) == stored.receipt && stored.visible_at > now && !stored.settled;
        if answer == Answer::Refused || !is_ours {
            return Extended::Refused;
        }
        stored.visible_at = stored.visible_at.max(now + *by + MARGIN);
        if answer == Answer::Lost { Extended::Failed } else { Extended::Until(now + *by) }
    }

    /// Invariants 3 and 61: whatever came before these records with their keys is settled, or in front of them.
    pub fn check_order(&self, names: &[usize]) {
        if self.kind == SourceKind::StandardQueue {
            return;
        }
        let mut in_front = BTreeSet::new();
        for name in names {
            let key = self.records[*name].sent.key;
            let before = (0..*name).filter(|before| self.records[*before].sent.key == key);
            assert!(!self.records[*name].sent.is_filtered, "invariant 1: record {name} is invoked, and is filtered");
            let before = before.filter(|before| !self.records[*before].sent.is_filtered);
            for before in before.filter(|before| !self.records[*before].settled) {
                assert!(
                    in_front.contains(&before),
                    "invariants 3 and 61: record {name} is invoked, but {before} of its key is not settled"
                );
            }
            in_front.insert(*name);
        }
    }

    /// Invariant 2: nothing that the checkpoint calls settled is open.
    pub fn check_checkpoint(&self, checkpoint: &Checkpoint) {
        let first_open = self.records.iter().position(|stored| !stored.settled).unwrap_or(self.records.len());
        let above = first_above(checkpoint, self.records.len());
        assert!(above <= first_open, "invariant 2: the checkpoint {:?} passes record {first_open}", checkpoint.up_to);
        assert!(checkpoint.up_to != UpTo::Ended || self.closed, "invariant 2: the shard has not ended");
        for range in &checkpoint.settled_above {
            for name in names_in(range) {
                assert!(self.records[name].settled, "invariant 2: {range:?} is not settled: record {name} is open");
            }
        }
    }

    fn next_of_shard(&mut self, most: usize, repeated: usize) -> Vec<usize> {
        let from = self.cursor.saturating_sub(repeated);
        let to = (from + most).min(self.records.len());
        self.cursor = self.cursor.max(to);
        (from..to).collect()
    }

    /// What is visible, oldest first, and before it some message that should be hidden or was received already.
    fn any_messages(&self, now: Timestamp, most: usize, repeated: &[Pick]) -> Vec<usize> {
        let undeleted: Vec<_> = (0..self.records.len()).filter(|name| !self.records[*name].settled).collect();
        let again = repeated.iter().filter_map(|pick| pick.of(&undeleted));
        let visible = undeleted.iter().copied().filter(|name| self.records[*name].visible_at <= now);
        let mut seen = BTreeSet::new();
        again.chain(visible).filter(|name| seen.insert(*name)).take(most).collect()
    }

    /// What is visible of groups without a hidden message, oldest first.
    fn next_of_groups(&self, now: Timestamp, most: usize) -> Vec<usize> {
        let undeleted = || self.records.iter().enumerate().filter(|(_, stored)| !stored.settled);
        let locked: BTreeSet<_> =
            undeleted().filter(|(_, stored)| stored.visible_at > now).map(|(_, stored)| stored.sent.key).collect();
        let free = undeleted().filter(|(_, stored)| !locked.contains(&stored.sent.key));
        free.map(|(name, _)| name).take(most).collect()
    }

    /// A shard's record that no filter lets through is settled as it is read.
    fn record(&mut self, now: Timestamp, name: usize, least: Duration) -> Record {
        let stored = &mut self.records[name];
        stored.settled |= self.kind == SourceKind::Stream && stored.sent.is_filtered;
        let origin = if self.kind == SourceKind::Stream {
            Origin::Position(position(name))
        } else {
            let lease = stored.sent.lease.max(least);
            self.receipts += 1;
            stored.receipt = self.receipts;
            stored.visible_at = now + lease + MARGIN;
            let receipt = Receipt { handle: self.receipts.to_string().into(), ends_at: now + lease };
            Origin::Message { id: Arc::from(name.to_string()), receipt }
        };
        let key = (self.kind != SourceKind::StandardQueue).then(|| OrderingKey::new(stored.sent.key.to_string()));
        let element = Bytes::from_static(&ELEMENT).slice(..stored.sent.bytes);
        Record { origin, key, arrived_at: stored.arrived_at, element }
    }
}

/// A record's name: its place among all records of its source.
pub fn name(record: &Record) -> usize {
    match &record.origin {
        Origin::Message { id, .. } => number(id),
        Origin::Position(position) => number(position.sequence_number.as_str()),
    }
}

pub fn names<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<usize> {
    records.map(name).collect()
}

/// The name of the first record that the checkpoint does not pass.
pub fn first_above(checkpoint: &Checkpoint, end: usize) -> usize {
    match &checkpoint.up_to {
        UpTo::After(position) => number(position.sequence_number.as_str()) + 1,
        UpTo::Ended => end,
        UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => 0,
    }
}

/// The records that a settled range covers.
pub fn names_in(range: &PositionRange) -> RangeInclusive<usize> {
    let name = |position: &Position| number(position.sequence_number.as_str());
    name(&range.first)..=name(&range.last)
}

pub fn position(name: usize) -> Position {
    SequenceNumber::new(name.to_string()).into()
}

pub fn number(text: &str) -> usize {
    text.parse().expect("names and receipts are numbers here")
}

/// A message becomes visible this long after its consumer counts its lease as ended.
const MARGIN: Duration = Duration::from_secs(1);
static ELEMENT: [u8; LARGEST] = [b' '; LARGEST];
