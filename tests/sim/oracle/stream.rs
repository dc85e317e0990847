//! A stream's book: every record, its key's order, its shard's parents. Its checkpoints, gaps in reading, and what is told of
//! records that are given up have files of their own.

mod checkpoints;
mod gaps;
mod telling;

use std::collections::{BTreeMap, BTreeSet};

use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Origin, Position, Received, SequenceNumber, ShardId};
use esmd::core::shards::NewShard;
use esmd::event::response::Reply;
use esmd::store::Lease;

use self::checkpoints::covers;
use super::flight::{Carried, Flight, FlightId, Heard};
use super::parts::{Facts, Parts};
use super::windows::{Surroundings, WindowBook};
use super::{Terms, Verdict};
use crate::fakes::stream::FakeStream;
use crate::plan::Sieve;

pub struct StreamBook {
    stream: FakeStream,
    pub sieve: Option<Sieve>,
    /// By number.
    records: Vec<Entry>,
    keys: BTreeMap<String, Key>,
    shards: BTreeMap<ShardId, ShardBook>,
    windows: WindowBook,
    /// The source does not answer for these.
    silent: BTreeSet<ShardId>,
    /// What the daemon's clock said last.
    now: Timestamp,
    /// That clock leapt: it may do so between a decision and the call that follows.
    leaps: bool,
}

struct Entry {
    shard: ShardId,
    place: u64,
    arrived_at: Timestamp,
    /// The daemon, or one before it, heard that an invocation with it succeeded.
    succeeded: bool,
    /// It was given up for a reason that is true, and whoever is to be told was told.
    discarded: bool,
    trimmed: bool,
}

#[derive(Default)]
struct Key {
    numbers: Vec<usize>,
    /// So many of them are done.
    done: usize,
}

#[derive(Default)]
struct ShardBook {
    parents: Vec<ShardId>,
    numbers: Vec<usize>,
    /// Where its row began.
    start: Option<UpTo>,
    /// So many of its records are covered by a checkpoint that was saved.
    saved: usize,
    is_ended: bool,
    /// All of it and of its parents is done, for good.
    is_complete: bool,
    /// The life that claimed it last, and whether its consumer has had a reason to begin again since.
    claimed_in: u32,
    has_stalled: bool,
    /// The latest epoch that a daemon knows of.
    epoch: u64,
    lost_epochs: BTreeSet<u64>,
    reading: Reading,
}

/// What one epoch's consumer did.
#[derive(Default)]
struct Reading {
    began_at: Option<Checkpoint>,
    /// The place of the last record read; `None`: it follows none.
    read_up_to: Option<u64>,
    terms: Option<Terms>,
    received: BTreeSet<usize>,
    /// Received, and not known to have succeeded or to be given up.
    held: BTreeSet<usize>,
    parts: Parts,
    newest_begun: BTreeMap<String, usize>,
}

impl StreamBook {
    pub fn new(stream: FakeStream) -> Self {
        Self {
            stream,
            sieve: None,
            records: Vec::new(),
            keys: BTreeMap::new(),
            shards: BTreeMap::new(),
            windows: WindowBook::default(),
            silent: BTreeSet::new(),
            now: Timestamp::default(),
            leaps: false,
        }
    }

    pub fn put(&mut self, key: &str, shard: &ShardId, place: &SequenceNumber, now: Timestamp) {
        let number = self.records.len();
        let place = place.as_str().parse().expect("the fake's places are small numbers");
        let (succeeded, discarded, trimmed) = (false, false, false);
        self.records.push(Entry { shard: shard.clone(), place, arrived_at: now, succeeded, discarded, trimmed });
        self.keys.entry(key.to_owned()).or_default().numbers.push(number);
        self.shards.entry(shard.clone()).or_default().numbers.push(number);
    }

    pub fn made(&mut self, made: &[ShardId], parents: &[ShardId]) {
        for shard in made {
            self.shards.entry(shard.clone()).or_default().parents = parents.to_vec();
        }
    }

    pub fn trimmed(&mut self, numbers: &[usize]) {
        for number in numbers {
            self.records[*number].trimmed = true;
        }
    }

    pub fn clock_leaps(&mut self) {
        self.leaps = true;
    }

    pub fn shard_of(&self, number: usize) -> &ShardId {
        &self.records[number].shard
    }

    /// Whether the mapping's filter lets it through.
    fn passes(&self, number: usize) -> bool {
        self.sieve.as_ref().is_none_or(|sieve| sieve.passes(self.records[number].place))
    }

    /// It succeeded, or was given up.
    pub fn is_settled(&self, number: usize) -> bool {
        self.records[number].succeeded || self.records[number].discarded
    }

    /// Nobody waits for it any more: it is settled, no filter lets it through, its retention is over, or it lies before the mapping's beginning.
    fn is_done(&self, number: usize) -> bool {
        let record = &self.records[number];
        self.is_settled(number)
            || !self.passes(number)
            || record.trimmed
            || is_before(self.shards[&record.shard].start.as_ref(), record.arrived_at)
    }

    /// It is done, or may have been given up by now and nobody was to be told.
    fn may_be_done(&self, number: usize) -> bool {
        self.is_done(number) || self.may_be_given_up(number)
    }

    /// It may have been given up by now without a word.
    fn may_be_given_up(&self, number: usize) -> bool {
        let reading = &self.shards[self.shard_of(number)].reading;
        reading.terms.is_some_and(|terms| {
            reading.held.contains(&number) && reading.parts.may_be_given_up(number, terms, self.now, self)
        })
    }

    /// `docs/semantics.md` 9, invariants 90 and 95.
    pub fn adding(&mut self, rows: &[NewShard]) -> Verdict {
        let is_first = self.shards.values().all(|shard| shard.start.is_none());
        for NewShard { id, checkpoint, .. } in rows {
            let shard = self.shards.entry(id.clone()).or_default();
            if !is_first && shard.start.is_none() && checkpoint.up_to != UpTo::TrimHorizon {
                return Err(format!("{id} was found later and begins at {}", checkpoint.up_to));
            }
            shard.start.get_or_insert(checkpoint.up_to.clone());
        }
        Ok(())
    }

    pub fn removing(&mut self, shards: &[ShardId]) -> Verdict {
        for id in shards {
            if !self.shards.get(id).is_some_and(|shard| shard.is_ended || shard.start == Some(UpTo::Ended)) {
                return Err(format!("the row of {id} is removed, and it was not settled to its end"));
            }
        }
        Ok(())
    }

    pub fn claimed(
        &mut self,
        life: u32,
        lease: &Lease,
        checkpoint: &Checkpoint,
        flights: &BTreeMap<FlightId, Flight>,
    ) -> Verdict {
        let own = |flight: &Flight| flight.connection.0 == life && flight.shard.as_ref() == Some(&lease.shard);
        if flights.values().any(own) {
            return Err(format!("{} is claimed while an invocation of it runs", lease.shard));
        }
        let shard = self.shards.entry(lease.shard.clone()).or_default();
        if lease.epoch <= shard.epoch {
            return Err(format!("the world is wrong: {} is claimed in epoch {} again", lease.shard, lease.epoch));
        }
        (shard.epoch, shard.claimed_in, shard.has_stalled) = (lease.epoch, life, self.silent.contains(&lease.shard));
        let read_up_to = match &checkpoint.up_to {
            UpTo::After(position) => Some(place(position)),
            UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) | UpTo::Ended => None,
        };
        self.windows.claimed(&lease.shard, checkpoint);
        shard.reading = Reading { began_at: Some(checkpoint.clone()), read_up_to, ..Reading::default() };
        Ok(())
    }

    pub fn silenced(&mut self, id: &ShardId, is_silent: bool) {
        if is_silent {
            self.silent.insert(id.clone());
            self.shards.entry(id.clone()).or_default().has_stalled = true;
        } else {
            self.silent.remove(id);
        }
    }

    /// The consumer that has this record had an invocation that was not answered within its time.
    pub fn stalled(&mut self, id: &ShardId) {
        self.shards.entry(id.clone()).or_default().has_stalled = true;
    }

    /// Only a consumer that stalled begins again within its life.
    pub fn judge_beginning(&self, life: u32, lease: &Lease) -> Verdict {
        let again = self.shards.get(&lease.shard).filter(|shard| shard.claimed_in == life && !shard.has_stalled);
        again.map_or(Ok(()), |_| Err(format!("{} begins again in life {life}, and did not stall", lease.shard)))
    }

    pub fn lease_lost(&mut self, lease: &Lease) {
        self.shards.entry(lease.shard.clone()).or_default().lost_epochs.insert(lease.epoch);
    }

    /// Whether the shard's consumer knows that it lost its lease.
    pub fn is_lease_lost(&self, id: &ShardId) -> bool {
        self.shards.get(id).is_some_and(|shard| shard.lost_epochs.contains(&shard.epoch))
    }

    /// `docs/architecture.md` 5, invariant 4: what is held never exceeds the capacity.
    pub fn received(&mut self, id: &ShardId, received: &Received, terms: Terms, now: Timestamp) -> Verdict {
        self.now = now;
        self.judge_gap(id, received)?;
        self.windows.reads(terms);
        let shard = self.shards.entry(id.clone()).or_default();
        shard.reading.terms = Some(terms);
        let last = received.records.last().map(|record| &record.origin);
        if let Some(Origin::Position(last)) = last {
            shard.reading.read_up_to = shard.reading.read_up_to.max(Some(place(last)));
        }
        for record in &received.records {
            let Origin::Position(position) = &record.origin else { return Err("a message in a stream".to_owned()) };
            let place = place(position);
            let index = shard.numbers.partition_point(|number| self.records[*number].place < place);
            let number = shard.numbers[index];
            let known = shard.reading.began_at.as_ref().is_some_and(|checkpoint| covers(checkpoint, place));
            let passes = self.sieve.as_ref().is_none_or(|sieve| sieve.passes(place));
            if !known && passes && shard.reading.received.insert(number) {
                shard.reading.held.insert(number);
            }
        }
        let capacity = (terms.lanes * (2 * terms.batch_size).max(LANE_RECORDS)).max(SHARD_RECORDS);
        let held = shard.reading.held.len();
        if held > capacity {
            let held = self.shards[id].reading.held.iter().filter(|number| !self.may_be_done(**number)).count();
            if held > capacity {
                return Err(format!("{id}: {held} records are held, {capacity} at most"));
            }
        }
        Ok(())
    }

    /// `docs/semantics.md` 9, invariants 65, 66, 68, 78, 88 and 94.
    pub fn judge_begin(&mut self, flight: &Flight, now: Timestamp) -> Verdict {
        self.now = now;
        let records = &flight.records;
        let id = flight.shard.clone().expect("a stream's call is of a shard");
        self.judge_window(&id, flight)?;
        if self.is_lease_lost(&id) {
            return Err(format!("{id} invokes after it was told that its lease is lost"));
        }
        if records.is_empty() {
            return Ok(());
        }
        let numbers: Vec<_> = records.iter().map(|record| record.number).collect();
        if numbers.iter().any(|number| *self.shard_of(*number) != id) {
            return Err("a batch mixes shards".to_owned());
        }
        if let Some(number) = numbers.iter().find(|number| !self.passes(**number)) {
            return Err(format!("{number} is invoked, and no filter lets it through"));
        }
        if let Some(parent) = self.incomplete_ancestor(&id) {
            return Err(format!("{id} is invoked before its ancestor {parent} is settled"));
        }
        for (index, record) in records.iter().enumerate() {
            if let Some(older) = self.older_undone(record, &numbers[..index]) {
                return Err(format!("{} of key {} is invoked before {older}", record.number, record.key));
            }
        }
        let reading = &self.shards[&id].reading;
        if let Some(began_at) = &reading.began_at {
            let covered = numbers.iter().find(|number| covers(began_at, self.records[**number].place));
            if let Some(covered) = covered {
                return Err(format!("{covered} is invoked again, and the checkpoint that was read covers it"));
            }
        }
        if let Some(number) = numbers.iter().find(|number| !reading.held.contains(*number)) {
            return Err(format!("{number} is invoked, and it is settled or was never read"));
        }
        let first = &self.records[numbers[0]];
        let age_max = reading.terms.and_then(|terms| terms.retry.age_max).filter(|_| !self.leaps);
        if age_max.is_some_and(|most| now.since(first.arrived_at) >= most) {
            return Err(format!("{} is invoked, and is too old", numbers[0]));
        }
        let is_new = reading.parts.judge_begin(&numbers, self)?;
        let reading = &mut self.shards.get_mut(&id).expect("it has records").reading;
        reading.parts.begin(&numbers);
        if is_new { reading.advance(records) } else { Ok(()) }
    }

    fn judge_window(&mut self, id: &ShardId, flight: &Flight) -> Verdict {
        let arrived = |number: &usize| self.records[*number].arrived_at.as_millis();
        let arrivals: Vec<_> = flight.records.iter().map(|record| arrived(&record.number)).collect();
        let end = flight.window.as_ref().map_or(0, |window| window.end);
        let numbers = self.shards.get(id).map_or(&[][..], |shard| &shard.numbers);
        let within = numbers.partition_point(|number| arrived(number) < end);
        let here = Surroundings {
            terms: flight.terms,
            arrivals: &arrivals,
            undone: numbers[..within].iter().copied().find(|number| !self.may_be_done(*number)),
            is_over: within < numbers.len() || !self.stream.is_open(id) || self.now.as_millis() >= end + GRACE_MILLIS,
            leaps: self.leaps,
        };
        self.windows.judge_begin(id, flight.window.as_ref(), &here)
    }

    pub fn ended(&mut self, flight: &Flight, heard: &Heard, reply: &Reply) {
        if let (Some(shard), Some(window)) = (&flight.shard, &flight.window) {
            self.windows.ended(shard, window, heard, reply);
        }
        let records = &flight.records;
        if records.is_empty() {
            return;
        }
        let numbers: Vec<_> = records.iter().map(|record| record.number).collect();
        let reading = &mut self.shards.get_mut(&self.records[numbers[0]].shard).expect("it has records").reading;
        let Some(terms) = reading.terms else { return };
        let succeeded = reading.parts.ended(&numbers, heard, terms.retry);
        for number in &numbers[..succeeded] {
            self.records[*number].succeeded = true;
            reading.held.remove(number);
        }
    }

    fn incomplete_ancestor(&mut self, id: &ShardId) -> Option<ShardId> {
        for parent in self.shards[id].parents.clone() {
            let shard = self.shards.get(&parent)?;
            if shard.is_complete {
                continue;
            }
            if shard.numbers.iter().any(|number| !self.is_let_go(*number)) {
                return Some(parent);
            }
            if let Some(older) = self.incomplete_ancestor(&parent) {
                return Some(older);
            }
            self.shards.get_mut(&parent)?.is_complete = true;
        }
        None
    }

    /// A record of the same key that comes first and is neither done nor in front of it in the batch.
    fn older_undone(&mut self, record: &Carried, in_front: &[usize]) -> Option<usize> {
        let mut done = self.keys[&record.key].done;
        let numbers = &self.keys[&record.key].numbers;
        while numbers.get(done).is_some_and(|number| self.is_let_go(*number)) {
            done += 1;
        }
        let own = numbers.partition_point(|number| *number < record.number);
        let mut older = numbers[done.min(own)..own].iter().copied();
        let undone = older.find(|number| !self.is_let_go(*number) && !in_front.contains(number));
        self.keys.get_mut(&record.key).expect("it was just there").done = done;
        undone
    }
}

impl Facts for StreamBook {
    fn is_done(&self, number: usize) -> bool {
        self.may_be_done(number)
    }

    fn arrived_at(&self, number: usize) -> Timestamp {
        self.records[number].arrived_at
    }
}

impl Reading {
    /// A key's new records only go forward.
    fn advance(&mut self, records: &[Carried]) -> Verdict {
        for record in records {
            let newest = self.newest_begun.insert(record.key.clone(), record.number);
            if let Some(newest) = newest.filter(|newest| *newest > record.number) {
                return Err(format!("{} of key {} is invoked after {newest}", record.number, record.key));
            }
        }
        Ok(())
    }
}

fn place(position: &Position) -> u64 {
    position.sequence_number.as_str().parse().expect("the fake's places are small numbers")
}

fn is_before(start: Option<&UpTo>, arrived_at: Timestamp) -> bool {
    match start {
        Some(UpTo::Latest(at) | UpTo::AtTimestamp(at)) => arrived_at < *at,
        Some(UpTo::Ended) => true,
        Some(UpTo::TrimHorizon | UpTo::After(_)) | None => false,
    }
}

/// How long after its end an idle window is closed at the earliest.
const GRACE_MILLIS: u64 = 10_000;

/// A stream's consumer reads at least so far ahead.
const LANE_RECORDS: usize = 1_000;
const SHARD_RECORDS: usize = 2_000;
