//! One shard of the fake: its records, what of it is gone, and how often it was read.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::checkpoint::UpTo;
use esmd::core::record::{PositionReset, SequenceNumber, ShardId};
use esmd::source::SourceError;
use tokio::time::Instant;

use super::super::Fault;

/// One shard.
pub(super) struct Log {
    pub(super) parents: Vec<ShardId>,
    /// Which keys it takes, by their hash.
    pub(super) hashes: RangeInclusive<u64>,
    pub(super) open: bool,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) records: VecDeque<Kept>,
    /// The newest of its records that are gone.
    pub(super) trimmed_to: Option<SequenceNumber>,
    /// When it was read in the last second.
    pub(super) reads: VecDeque<Instant>,
}

/// What a read finds.
pub struct Page {
    pub records: Vec<Kept>,
    pub ended: bool,
    pub behind_millis: u64,
}

#[derive(Clone)]
pub struct Kept {
    pub sequence_number: SequenceNumber,
    pub key: String,
    pub data: String,
    pub arrived_at: Timestamp,
}

impl Log {
    pub(super) fn new(parents: Vec<ShardId>, hashes: RangeInclusive<u64>) -> Self {
        let (records, reads) = (VecDeque::new(), VecDeque::new());
        Self { parents, hashes, open: true, closed_at: None, records, trimmed_to: None, reads }
    }

    /// The first so many records are gone.
    pub(super) fn trim(&mut self, count: usize) -> Vec<Kept> {
        let gone: Vec<_> = self.records.drain(..count).collect();
        self.trimmed_to = gone.last().map(|record| record.sequence_number.clone()).or(self.trimmed_to.take());
        gone
    }

    pub(super) fn page(&self, position: &UpTo, max: usize, now: Timestamp) -> Page {
        let first = self.records.partition_point(|record| is_before(record, position));
        let records: Vec<_> = self.records.range(first..).take(max).cloned().collect();
        let next = self.records.get(first + records.len());
        let behind = next.map_or(Duration::ZERO, |record| now.since(record.arrived_at));
        let behind_millis = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
        Page { records, ended: next.is_none() && !self.open, behind_millis }
    }

    /// Why a reader cannot go on at its position, if it cannot. A new iterator needs the record of the position; one
    /// that is there already stands behind it, and only misses what was trimmed since.
    pub(super) fn refusal(&self, position: &UpTo, is_new: bool) -> Option<PositionReset> {
        let UpTo::After(position) = position else { return None };
        let number = &position.sequence_number;
        match &self.trimmed_to {
            Some(trimmed_to) if number < trimmed_to || (is_new && number == trimmed_to) => Some(PositionReset::Trimmed),
            Some(trimmed_to) if number == trimmed_to => None,
            _ if is_new && self.records.binary_search_by(|kept| kept.sequence_number.cmp(number)).is_err() => {
                Some(PositionReset::Unknown)
            }
            _ => None,
        }
    }

    pub(super) fn is_trimmed_after(&self, position: &UpTo) -> bool {
        let UpTo::After(position) = position else { return false };
        self.trimmed_to.as_ref().is_some_and(|trimmed_to| position.sequence_number < *trimmed_to)
    }

    pub(super) fn count_read(&mut self, reads_max: Option<usize>) -> Result<(), SourceError> {
        let Some(reads_max) = reads_max else { return Ok(()) };
        let now = Instant::now();
        while self.reads.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            self.reads.pop_front();
        }
        if self.reads.len() >= reads_max {
            return Err(Fault::Throttled.strike());
        }
        self.reads.push_back(now);
        Ok(())
    }
}

fn is_before(record: &Kept, position: &UpTo) -> bool {
    match position {
        UpTo::TrimHorizon => false,
        UpTo::Latest(at) | UpTo::AtTimestamp(at) => record.arrived_at < *at,
        UpTo::After(last) => record.sequence_number <= last.sequence_number,
        UpTo::Ended => true,
    }
}
