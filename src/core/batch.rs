//! A batch: records that are invoked together, settled together, and shared, never copied, with whoever invokes.

use std::sync::Arc;

use bytes::Bytes;

use super::Timestamp;
use super::keys::KeyId;
use super::outcome::Answer;
use super::record::Record;
use super::window::WindowCall;

/// Names a batch within its consumer. A retry keeps it; halves, and what goes on after progress, have new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(super) u64);

impl BatchId {
    /// The number, for logs.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A record's place among all that its consumer received: ascending, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(pub(super) u64);

impl Order {
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A record that its consumer has taken.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) order: Order,
    pub(super) key: Option<KeyId>,
    pub(super) record: Record,
}

impl Entry {
    /// Its bytes in a payload, with the comma.
    pub(super) fn bytes(&self) -> usize {
        self.record.element.len() + 1
    }
}

/// Records that are invoked together. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// Invocations that failed so far.
    pub attempts: u32,
    /// Invocations in a row that were throttled or found the target unavailable.
    pub waits: u32,
    /// Bytes of its elements, each counted with a comma.
    pub bytes: usize,
    /// What came of its last attempt, for the failure record; `None` before the first.
    pub last_answer: Option<Arc<Answer>>,
    /// Its tumbling window, if the mapping has any.
    pub window: Option<WindowCall>,
    /// Its back-off: it is not invoked before this.
    pub(super) due_at: Timestamp,
    pub(super) entries: Arc<[Arc<Entry>]>,
}

impl Batch {
    pub(super) fn new(id: BatchId, entries: Vec<Arc<Entry>>) -> Self {
        assert!(!entries.is_empty(), "an empty batch is never invoked (invariant 37)");
        Self::of(id, entries, None)
    }

    /// The last call of a window: the only one without records.
    pub(super) fn final_call(id: BatchId, window: WindowCall) -> Self {
        Self::of(id, Vec::new(), Some(window))
    }

    fn of(id: BatchId, entries: Vec<Arc<Entry>>, window: Option<WindowCall>) -> Self {
        let (bytes, due_at) = (bytes(&entries), Timestamp::default());
        Self { id, attempts: 0, waits: 0, bytes, last_answer: None, window, due_at, entries: entries.into() }
    }

    /// The same batch with fewer records.
    pub(super) fn keep(&mut self, entries: Vec<Arc<Entry>>) {
        self.bytes = bytes(&entries);
        self.entries = entries.into();
    }

    /// Takes its first `count` records out, with the same history. `id` names them.
    pub(super) fn split_off_first(&mut self, count: usize, id: BatchId) -> Self {
        let (first, rest) = self.entries.split_at(count);
        let (first, rest): (Arc<[_]>, Arc<[_]>) = (first.into(), rest.into());
        let split = Self { id, bytes: bytes(&first), entries: first, ..self.clone() };
        self.bytes -= split.bytes;
        self.entries = rest;
        split
    }

    /// The same records as if they had never been invoked, under a new name.
    pub(super) fn afresh(self, id: BatchId) -> Self {
        Self { id, attempts: 0, waits: 0, last_answer: None, ..self }
    }

    /// The function ran and failed.
    pub(super) fn count_attempt(&mut self) {
        self.attempts += 1;
        self.waits = 0;
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it is a window's final call: no other batch is without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of its first records fit into so many bytes, at least one.
    pub(super) fn fitting(&self, bytes_max: usize) -> usize {
        let mut bytes = 0;
        let fits = |entry: &&Arc<Entry>| {
            bytes += entry.bytes();
            bytes <= bytes_max
        };
        self.entries.iter().take_while(fits).count().max(1)
    }

    /// Its records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> + Clone {
        self.entries.iter().map(|entry| &entry.record)
    }

    /// Its rendered elements, in order.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = &Bytes> + Clone {
        self.records().map(|record| &record.element)
    }
}

fn bytes(entries: &[Arc<Entry>]) -> usize {
    entries.iter().map(|entry| entry.bytes()).sum()
}
