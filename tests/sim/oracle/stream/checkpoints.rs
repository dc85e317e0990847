//! A checkpoint covers what is done, and in the end all of it.

use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, PositionRange, UpTo};
use esmd::core::record::ShardId;
use esmd::store::{Lease, LeaseRow};

use super::{ShardBook, StreamBook, is_before, place};
use crate::oracle::Verdict;

impl StreamBook {
    /// `docs/architecture.md` 5, invariant 2, and nothing under a lease that is lost.
    pub fn saving(&mut self, lease: &Lease, checkpoint: &Checkpoint, now: Timestamp) -> Verdict {
        self.now = now;
        let id = &lease.shard;
        let shard = self.shards.entry(id.clone()).or_default();
        if shard.lost_epochs.contains(&lease.epoch) || lease.epoch < shard.epoch {
            return Err(format!("{id} is settled under epoch {}, which is over", lease.epoch));
        }
        let before = shard.saved;
        let covered = self.judge_checkpoint(id, checkpoint, |number| self.is_let_go(number))?;
        if covered < before {
            return Err(format!("the checkpoint of {id} goes back to {}", checkpoint.up_to));
        }
        Ok(())
    }

    /// The store took it.
    pub fn saved(&mut self, lease: &Lease, checkpoint: &Checkpoint) -> Verdict {
        let covered = self.judge_checkpoint(&lease.shard, checkpoint, |number| self.may_be_done(number))?;
        let shard = &self.shards[&lease.shard];
        let fresh = &shard.numbers[shard.saved.min(covered)..covered];
        let is_counted = |number: &usize| !is_before(shard.start.as_ref(), self.records[*number].arrived_at);
        let fresh: Vec<_> =
            fresh.iter().copied().filter(|number| is_counted(number) && !self.records[*number].trimmed).collect();
        let covers = |number: usize| shard.numbers[..covered].contains(&number);
        self.windows.saved(&lease.shard, checkpoint, &fresh, covers)?;
        let shard = &self.shards[&lease.shard];
        let above = checkpoint.settled_above.iter().flat_map(|range| self.in_range(shard, range));
        let all = shard.numbers[shard.saved.min(covered)..covered].iter().chain(above);
        let given_up: Vec<_> = all.copied().filter(|number| !self.is_done(*number)).collect();
        let shard = self.shards.get_mut(&lease.shard).expect("it was just there");
        shard.reading.parts.given_up(&given_up);
        for number in given_up {
            shard.reading.held.remove(&number);
            self.records[number].discarded = true;
        }
        shard.saved = covered;
        shard.is_ended |= checkpoint.up_to == UpTo::Ended;
        Ok(())
    }

    /// Everything that it covers is done. Answers how many records it covers from the shard's beginning on.
    fn judge_checkpoint(
        &self,
        id: &ShardId,
        checkpoint: &Checkpoint,
        may_be_done: impl Fn(usize) -> bool,
    ) -> Result<usize, String> {
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
        let ahead = |numbers: &[usize]| numbers.iter().copied().find(|number| !may_be_done(*number));
        if let Some(number) = ahead(&shard.numbers[shard.saved.min(covered)..covered]) {
            return Err(format!("{id}: the checkpoint {} is ahead of {number}", checkpoint.up_to));
        }
        for range in &checkpoint.settled_above {
            if let Some(number) = ahead(self.in_range(shard, range)) {
                return Err(format!("{id}: a settled range is ahead of {number}"));
            }
        }
        Ok(covered)
    }

    /// Whether the consumer that read it may pass it: it is done, and not only because it was trimmed meanwhile.
    pub(super) fn is_let_go(&self, number: usize) -> bool {
        let record = &self.records[number];
        let is_held = self.shards[&record.shard].reading.held.contains(&number);
        self.may_be_done(number) && !(is_held && record.trimmed && !self.may_be_given_up(number))
    }

    fn in_range<'a>(&self, shard: &'a ShardBook, range: &PositionRange) -> &'a [usize] {
        let first = shard.numbers.partition_point(|number| self.records[*number].place < place(&range.first));
        let end = shard.numbers.partition_point(|number| self.records[*number].place <= place(&range.last));
        &shard.numbers[first..end]
    }

    /// Every row as it is now is right. What no row covers is still there: `is_done` knows what was trimmed.
    pub fn judge_losses(&self, rows: &[LeaseRow]) -> Verdict {
        rows.iter().try_for_each(|row| {
            if self.shards.contains_key(&row.shard) {
                self.judge_checkpoint(&row.shard, &row.checkpoint, |number| self.may_be_done(number))?
            } else {
                0
            };
            Ok(())
        })
    }

    pub fn unsettled(&self, rows: &[LeaseRow]) -> Option<String> {
        if let Some(number) = (0..self.records.len()).find(|number| !self.is_done(*number)) {
            return Some(format!(
                "{number} in {} was neither invoked with success nor given up",
                self.shard_of(number)
            ));
        }
        for row in rows.iter().filter(|row| self.stream.is_listed(&row.shard)) {
            let shard = self.shards.get(&row.shard)?;
            let is_settled = |number: &&usize| self.is_settled(**number) || !self.passes(**number);
            let settled = shard.numbers.iter().filter(is_settled);
            let records = settled.map(|number| &self.records[*number]).filter(|record| !record.trimmed);
            let newest = records.map(|record| record.place).max();
            let lags = match &row.checkpoint.up_to {
                UpTo::Ended => false,
                _ if !self.stream.is_open(&row.shard) => true,
                UpTo::After(position) => newest.is_some_and(|newest| place(position) < newest),
                UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => newest.is_some(),
            };
            if let Some(window) = &row.checkpoint.window {
                return Some(format!("a window of {} stays open: {window:?}", row.shard));
            }
            if lags {
                return Some(format!("the checkpoint of {} stays at {}", row.shard, row.checkpoint.up_to));
            }
        }
        None
    }
}

pub fn covers(checkpoint: &Checkpoint, of: u64) -> bool {
    let below = match &checkpoint.up_to {
        UpTo::After(position) => of <= place(position),
        UpTo::Ended => true,
        UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => false,
    };
    below || checkpoint.settled_above.iter().any(|range| place(&range.first) <= of && of <= place(&range.last))
}
