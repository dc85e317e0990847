//! What a reader passes over.

use esmd::core::record::{Origin, Received, ShardId};

use super::{StreamBook, place};
use crate::oracle::Verdict;

impl StreamBook {
    /// `docs/semantics.md` 6.2: reading goes on at the next record that is there, and a gap is told where something was
    /// trimmed after the last record read, and nowhere else. Who follows no record misses nothing.
    pub fn judge_gap(&self, id: &ShardId, received: &Received) -> Verdict {
        let Some(shard) = self.shards.get(id) else { return Ok(()) };
        let Some(read_up_to) = shard.reading.read_up_to else { return Ok(()) };
        let at = |of: u64| shard.numbers.partition_point(|number| self.records[*number].place < of);
        let last = shard.numbers.get(at(read_up_to)).filter(|last| self.records[**last].place == read_up_to);
        if received.reset.is_some() && last.is_none_or(|last| !self.records[*last].trimmed) {
            return Err(format!("{id}: a gap is told after {last:?}, and nothing was trimmed"));
        }
        let next = match received.records.first().map(|record| &record.origin) {
            Some(Origin::Position(first)) => at(place(first)),
            _ if received.ended => shard.numbers.len(),
            _ => return Ok(()),
        };
        let passed = shard.numbers.get(at(read_up_to + 1)..next).unwrap_or_default();
        if let Some(number) = passed.iter().find(|number| !self.records[**number].trimmed) {
            return Err(format!("{id}: {number} is passed over"));
        }
        if !passed.is_empty() && received.reset.is_none() {
            return Err(format!("{id}: {passed:?} were trimmed, and no gap is told"));
        }
        Ok(())
    }
}
