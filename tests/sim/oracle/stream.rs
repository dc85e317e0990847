//! A stream's book: every record, its key's order, its shard's parents and checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Origin, Position, Received, SequenceNumber, ShardId};
use esmd::core::settings::Settings;
use esmd::store::{Lease, LeaseRow};

use super::Verdict;
use super::flight::{Carried, Flight, FlightId};
use crate::fakes::stream::FakeStream;

pub struct StreamBook {
    stream: FakeStream,
    /// By number.
    records: Vec<Entry>,
    keys: BTreeMap<String, Key>,
    shards: BTreeMap<ShardId, ShardBook>,
}

struct Entry {
    shard: ShardId,
    place: u64,
    arrived_at: Timestamp,
    /// The daemon, or one before it, heard that an invocation with it succeeded.
    succeeded: bool,
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
    /// The latest epoch that a daemon knows of.
    epoch: u64,
    lost_epochs: BTreeSet<u64>,
    reading: Reading,
}

/// What one epoch's consumer did.
#[derive(Default)]
struct Reading {
    began_at: Option<Checkpoint>,
    received: BTreeSet<usize>,
    /// Received and not known to have succeeded.
    held: BTreeSet<usize>,
    /// The batch that each record was invoked in.
    batches: BTreeMap<usize, Arc<[usize]>>,
    newest_begun: BTreeMap<String, usize>,
}

impl StreamBook {
    pub fn new(stream: FakeStream) -> Self {
        Self { stream, records: Vec::new(), keys: BTreeMap::new(), shards: BTreeMap::new() }
    }

    pub fn put(&mut self, key: &str, shard: &ShardId, place: &SequenceNumber, now: Timestamp) {
        let number = self.records.len();
        let place = place.as_str().parse().expect("the fake's places are small numbers");
        self.records.push(Entry { shard: shard.clone(), place, arrived_at: now, succeeded: false, trimmed: false });
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

    pub fn shard_of(&self, number: usize) -> &ShardId {
        &self.records[number].shard
    }

    pub fn has_succeeded(&self, number: usize) -> bool {
        self.records[number].succeeded
    }

    /// Nobody waits for it any more: it succeeded, its retention is over, or it lies before the mapping's beginning.
    fn is_done(&self, number: usize) -> bool {
        let record = &self.records[number];
        record.succeeded || record.trimmed || is_before(self.shards[&record.shard].start.as_ref(), record.arrived_at)
    }

    /// `docs/semantics.md` 9, invariants 90 and 95.
    pub fn adding(&mut self, rows: &[(ShardId, Checkpoint)]) -> Verdict {
        let is_first = self.shards.values().all(|shard| shard.start.is_none());
        for (id, checkpoint) in rows {
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
        let own =
            |flight: &&Flight| flight.connection.0 == life && *self.shard_of(flight.records[0].number) == lease.shard;
        if flights.values().any(|flight| own(&flight)) {
            return Err(format!("{} is claimed while an invocation of it runs", lease.shard));
        }
        let shard = self.shards.entry(lease.shard.clone()).or_default();
        if lease.epoch <= shard.epoch {
            return Err(format!("the world is wrong: {} is claimed in epoch {} again", lease.shard, lease.epoch));
        }
        shard.epoch = lease.epoch;
        shard.reading = Reading { began_at: Some(checkpoint.clone()), ..Reading::default() };
        Ok(())
    }

    pub fn lease_lost(&mut self, lease: &Lease) {
        self.shards.entry(lease.shard.clone()).or_default().lost_epochs.insert(lease.epoch);
    }

    /// Whether the consumer that has this record knows that it lost its lease.
    pub fn is_lease_lost(&self, number: usize) -> bool {
        let shard = &self.shards[self.shard_of(number)];
        shard.lost_epochs.contains(&shard.epoch)
    }

    /// `docs/architecture.md` 5, invariant 4: what is held never exceeds the capacity.
    pub fn received(&mut self, id: &ShardId, received: &Received, settings: Settings) -> Verdict {
        let shard = self.shards.entry(id.clone()).or_default();
        for record in &received.records {
            let Origin::Position(position) = &record.origin else { return Err("a message in a stream".to_owned()) };
            let place = place(position);
            let index = shard.numbers.partition_point(|number| self.records[*number].place < place);
            let number = shard.numbers[index];
            let known = shard.reading.began_at.as_ref().is_some_and(|checkpoint| covers(checkpoint, place));
            if !known && shard.reading.received.insert(number) {
                shard.reading.held.insert(number);
            }
        }
        let capacity = (2 * settings.lanes * settings.batch_size).max(PAGE_RECORDS);
        if shard.reading.held.len() > capacity {
            return Err(format!("{id}: {} records are held, {capacity} at most", shard.reading.held.len()));
        }
        Ok(())
    }

    /// `docs/semantics.md` 9, invariants 65, 66, 68, 88 and 94.
    pub fn judge_begin(&mut self, records: &[Carried]) -> Verdict {
        let id = self.shard_of(records[0].number).clone();
        let numbers: Arc<[usize]> = records.iter().map(|record| record.number).collect();
        if numbers.iter().any(|number| *self.shard_of(*number) != id) {
            return Err("a batch mixes shards".to_owned());
        }
        if let Some(parent) = self.incomplete_ancestor(&id) {
            return Err(format!("{id} is invoked before its ancestor {parent} is settled"));
        }
        for (index, record) in records.iter().enumerate() {
            if let Some(older) = self.older_undone(record, &numbers[..index]) {
                return Err(format!("{} of key {} is invoked before {older}", record.number, record.key));
            }
        }
        if self.is_lease_lost(numbers[0]) {
            return Err(format!("{id} invokes {} after it was told that its lease is lost", numbers[0]));
        }
        let shard = self.shards.get_mut(&id).expect("it has records");
        if let Some(began_at) = &shard.reading.began_at {
            let covered = numbers.iter().find(|number| covers(began_at, self.records[**number].place));
            if let Some(covered) = covered {
                return Err(format!("{covered} is invoked again, and the checkpoint that was read covers it"));
            }
        }
        shard.reading.begin(records, &numbers)
    }

    pub fn succeeded(&mut self, records: &[Carried]) {
        for record in records {
            let entry = &mut self.records[record.number];
            entry.succeeded = true;
            let shard = self.shards.get_mut(&entry.shard).expect("it has this record");
            shard.reading.held.remove(&record.number);
        }
    }

    /// `docs/architecture.md` 5, invariant 2, and nothing under a lease that is lost.
    pub fn saving(&mut self, lease: &Lease, checkpoint: &Checkpoint) -> Verdict {
        let id = &lease.shard;
        let shard = self.shards.entry(id.clone()).or_default();
        if shard.lost_epochs.contains(&lease.epoch) || lease.epoch < shard.epoch {
            return Err(format!("{id} is settled under epoch {}, which is over", lease.epoch));
        }
        let before = shard.saved;
        let covered = self.judge_checkpoint(id, checkpoint)?;
        if covered < before {
            return Err(format!("the checkpoint of {id} goes back to {}", checkpoint.up_to));
        }
        Ok(())
    }

    /// The store took it.
    pub fn saved(&mut self, lease: &Lease, checkpoint: &Checkpoint) -> Verdict {
        let covered = self.judge_checkpoint(&lease.shard, checkpoint)?;
        let shard = self.shards.get_mut(&lease.shard).expect("it was just there");
        shard.saved = covered;
        shard.is_ended |= checkpoint.up_to == UpTo::Ended;
        Ok(())
    }

    /// Everything that it covers is done. Answers how many records it covers from the shard's beginning on.
    fn judge_checkpoint(&self, id: &ShardId, checkpoint: &Checkpoint) -> Result<usize, String> {
        let shard = &self.shards[id];
        let count = |last: u64| shard.numbers.partition_point(|number| self.records[*number].place <= last);
        let covered = match &checkpoint.up_to {
            UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => 0,
            UpTo::After(position) => count(place(position)),
            UpTo::Ended if self.stream.is_open(id) && shard.start != Some(UpTo::Ended) => {
                return Err(format!("{id} takes records and is checkpointed as ended"));
            }
            UpTo::Ended => shard.numbers.len(),
        };
        let ahead = |numbers: &[usize]| numbers.iter().copied().find(|number| !self.is_done(*number));
        if let Some(number) = ahead(&shard.numbers[shard.saved.min(covered)..covered]) {
            return Err(format!("{id}: the checkpoint {} is ahead of {number}", checkpoint.up_to));
        }
        for range in &checkpoint.settled_above {
            let first = shard.numbers.partition_point(|number| self.records[*number].place < place(&range.first));
            if let Some(number) = ahead(&shard.numbers[first..count(place(&range.last))]) {
                return Err(format!("{id}: a settled range is ahead of {number}"));
            }
        }
        Ok(covered)
    }

    /// Every row as it is now is right. What no row covers is still there: `is_done` knows what was trimmed.
    pub fn judge_losses(&self, rows: &[LeaseRow]) -> Verdict {
        rows.iter().try_for_each(|row| {
            if self.shards.contains_key(&row.shard) {
                self.judge_checkpoint(&row.shard, &row.checkpoint)?
            } else {
                0
            };
            Ok(())
        })
    }

    pub fn unsettled(&self, rows: &[LeaseRow]) -> Option<String> {
        if let Some(number) = (0..self.records.len()).find(|number| !self.is_done(*number)) {
            return Some(format!("{number} in {} was not invoked with success", self.shard_of(number)));
        }
        for row in rows.iter().filter(|row| self.stream.is_listed(&row.shard)) {
            let shard = self.shards.get(&row.shard)?;
            let records = shard.numbers.iter().map(|number| &self.records[*number]).filter(|record| !record.trimmed);
            let newest = records.filter(|record| record.succeeded).map(|record| record.place).max();
            let lags = match &row.checkpoint.up_to {
                UpTo::Ended => false,
                _ if !self.stream.is_open(&row.shard) => true,
                UpTo::After(position) => newest.is_some_and(|newest| place(position) < newest),
                UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => newest.is_some(),
            };
            if lags {
                return Some(format!("the checkpoint of {} stays at {}", row.shard, row.checkpoint.up_to));
            }
        }
        None
    }

    fn incomplete_ancestor(&mut self, id: &ShardId) -> Option<ShardId> {
        for parent in self.shards[id].parents.clone() {
            let shard = self.shards.get(&parent)?;
            if shard.is_complete {
                continue;
            }
            if shard.numbers.iter().any(|number| !self.is_done(*number)) {
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
        while numbers.get(done).is_some_and(|number| self.is_done(*number)) {
            done += 1;
        }
        let own = numbers.partition_point(|number| *number < record.number);
        let mut older = numbers[done.min(own)..own].iter().copied();
        let undone = older.find(|number| !self.is_done(*number) && !in_front.contains(number));
        self.keys.get_mut(&record.key).expect("it was just there").done = done;
        undone
    }
}

impl Reading {
    /// A record is invoked again only in the same batch, and not after it succeeded; a key's records only go forward.
    fn begin(&mut self, records: &[Carried], numbers: &Arc<[usize]>) -> Verdict {
        let earlier: Vec<_> = numbers.iter().filter_map(|number| self.batches.get(number)).collect();
        if let Some(batch) = earlier.first() {
            if *batch != numbers {
                return Err(format!("{numbers:?} repeats records of {batch:?}, and is not the same batch"));
            }
            if let Some(number) = numbers.iter().find(|number| !self.held.contains(*number)) {
                return Err(format!("{number} is invoked again after it succeeded"));
            }
            return Ok(());
        }
        for record in records {
            self.batches.insert(record.number, Arc::clone(numbers));
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

fn covers(checkpoint: &Checkpoint, of: u64) -> bool {
    let below = match &checkpoint.up_to {
        UpTo::After(position) => of <= place(position),
        UpTo::Ended => true,
        UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => false,
    };
    below || checkpoint.settled_above.iter().any(|range| place(&range.first) <= of && of <= place(&range.last))
}

fn is_before(start: Option<&UpTo>, arrived_at: Timestamp) -> bool {
    match start {
        Some(UpTo::Latest(at) | UpTo::AtTimestamp(at)) => arrived_at < *at,
        Some(UpTo::Ended) => true,
        Some(UpTo::TrimHorizon | UpTo::After(_)) | None => false,
    }
}

/// A stream's consumer reads at least so far ahead.
const PAGE_RECORDS: usize = 1_000;
