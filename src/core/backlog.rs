//! Records that wait for a lane, by key. Knows which keys are free, and cuts batches from the oldest records of free
//! keys. A cut costs what it takes, not what it passes over.
//!
//! A key is busy while records of it are held outside (in a lane, or being deleted); busy keys' records wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use super::Timestamp;
use super::batch::{Entry, Order};
use super::keys::{KeyId, Keys};
use super::record::Record;

/// How much one cut may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutLimits {
    /// Most records, at least 1.
    pub(super) records: usize,
    /// Most bytes, commas included. One record alone may exceed it.
    pub(super) bytes: usize,
    /// Most different keys; a record without key counts as a key of its own.
    pub(super) keys: usize,
    /// Only records that arrived before this, the first of which did.
    pub(super) before: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Those of which a record waits or is held.
    keys: Keys<Key>,
    /// Every free key that waits, by the order of its oldest record. A record without key is a key of its own.
    free: BTreeMap<Order, Head>,
    waiting: Volume,
    waiting_free: Volume,
}

/// A number of records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum Head {
    Alone(Arc<Entry>),
    Key(KeyId),
}

#[derive(Debug, Default)]
struct Key {
    waiting: VecDeque<Arc<Entry>>,
    volume: Volume,
    /// Unsettled records of this key outside the backlog. The key is busy while there are any.
    held: usize,
}

impl Backlog {
    pub(super) fn waiting(&self) -> Volume {
        self.waiting
    }

    /// How many free keys wait.
    pub(super) fn free_keys(&self) -> usize {
        self.free.len()
    }

    /// The oldest record that a cut could take.
    pub(super) fn oldest_free(&self) -> Option<&Arc<Entry>> {
        let (_, head) = self.free.first_key_value()?;
        Some(self.oldest(head))
    }

    /// Gives the newest record's key a number. One that has a key is to be pushed next.
    pub(super) fn enter(&mut self, order: Order, record: Record) -> Arc<Entry> {
        let key = record.key.as_ref().map(|name| self.keys.id(name));
        Arc::new(Entry { order, key, record })
    }

    /// Adds the newest record.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.waiting.add(&entry);
        let Some(id) = entry.key else {
            self.waiting_free.add(&entry);
            self.free.insert(entry.order, Head::Alone(entry));
            return;
        };
        let key = &mut self.keys[id];
        if key.held == 0 {
            self.waiting_free.add(&entry);
            if key.waiting.is_empty() {
                self.free.insert(entry.order, Head::Key(id));
            }
        }
        key.volume.add(&entry);
        key.waiting.push_back(entry);
    }

    /// Whether a cut would take as much as a batch can hold.
    pub(super) fn would_fill(&self, limits: CutLimits) -> bool {
        let volume = self.waiting_free;
        let could = volume.records >= limits.records || volume.bytes >= limits.bytes;
        could && self.walk(limits, |_| ())
    }

    /// Takes the oldest records of free keys and makes those keys busy. Empty only if nothing is free.
    pub(super) fn cut(&mut self, limits: CutLimits) -> Vec<Arc<Entry>> {
        let mut entries = Vec::with_capacity(limits.records.min(self.waiting_free.records));
        self.walk(limits, |entry| entries.push(Arc::clone(entry)));
        for entry in &entries {
            self.take(entry);
        }
        entries
    }

    /// An unsettled record is no longer held outside.
    pub(super) fn release(&mut self, entry: &Entry) {
        let Some(id) = entry.key else { return };
        let key = &mut self.keys[id];
        assert!(key.held > 0, "a key is released once per record that was taken");
        key.held -= 1;
        if key.held > 0 {
            return;
        }
        match key.waiting.front() {
            Some(oldest) => {
                self.free.insert(oldest.order, Head::Key(id));
                self.waiting_free.records += key.volume.records;
                self.waiting_free.bytes += key.volume.bytes;
            }
            None => self.forget(id, entry),
        }
    }

    /// Removes a waiting record without key.
    pub(super) fn remove_alone(&mut self, order: Order) -> Option<Arc<Entry>> {
        let Some(Head::Alone(entry)) = self.free.remove(&order) else { return None };
        self.waiting.remove(&entry);
        self.waiting_free.remove(&entry);
        Some(entry)
    }

    /// Removes the waiting records of a key from this order on, oldest first.
    pub(super) fn remove_from(&mut self, id: KeyId, from: Order) -> Vec<Arc<Entry>> {
        let key = &mut self.keys[id];
        let kept = key.waiting.partition_point(|entry| entry.order < from);
        if let (0, Some(oldest)) = (kept, key.waiting.front()) {
            self.free.remove(&oldest.order);
        }
        let removed: Vec<_> = key.waiting.drain(kept..).collect();
        let free = key.held == 0;
        for entry in &removed {
            key.volume.remove(entry);
            self.waiting.remove(entry);
            if free {
                self.waiting_free.remove(entry);
            }
        }
        if let Some(last) = removed.last().filter(|_| free && key.waiting.is_empty()) {
            self.forget(id, last);
        }
        removed
    }

    /// Gives memory back if nothing waits or is held.
    pub(super) fn shrink(&mut self) {
        self.keys.shrink();
    }

    /// Removes everything, oldest first.
    pub(super) fn remove_all(&mut self) -> Vec<Arc<Entry>> {
        let mut removed = Vec::with_capacity(self.waiting.records);
        for head in std::mem::take(&mut self.free).into_values() {
            if let Head::Alone(entry) = head {
                removed.push(entry);
            }
        }
        let mut forgotten = Vec::new();
        for key in self.keys.states_mut() {
            forgotten.extend(key.waiting.back().filter(|_| key.held == 0).cloned());
            removed.extend(key.waiting.drain(..));
            key.volume = Volume::default();
        }
        for last in forgotten {
            self.forget(last.key.expect("it waited by its key"), &last);
        }
        removed.sort_by_key(|entry| entry.order);
        self.waiting = Volume::default();
        self.waiting_free = Volume::default();
        removed
    }

    /// Visits what a cut would take, from the oldest free record on: passes over keys beyond the limit, stops at records,
    /// bytes and arrival. Whether it stopped because nothing more fits.
    fn walk(&self, limits: CutLimits, mut visit: impl FnMut(&Arc<Entry>)) -> bool {
        let (mut records, mut bytes, mut keys) = (0, 0, 0);
        let mut heads = self.free.iter().peekable();
        let mut successors: BinaryHeap<Reverse<(Order, KeyId, usize)>> = BinaryHeap::new();
        loop {
            let head = heads.peek().filter(|_| keys < limits.keys).map(|(order, _)| **order);
            let successor = successors.peek().map(|Reverse((order, ..))| *order);
            let from_head = match (head, successor) {
                (None, None) => return false,
                (Some(head), Some(successor)) => head < successor,
                (head, None) => head.is_some(),
                (None, Some(_)) => false,
            };
            let (entry, next) = if from_head {
                let (_, head) = heads.next().expect("it was peeked");
                (self.oldest(head), self.oldest(head).key.map(|id| (id, 1)))
            } else {
                let Reverse((_, id, index)) = successors.pop().expect("it was looked at");
                (&self.keys[id].waiting[index], Some((id, index + 1)))
            };
            if limits.before.is_some_and(|before| entry.record.arrived_at >= before) {
                return true;
            }
            bytes += entry.bytes();
            if bytes > limits.bytes && records > 0 {
                return true;
            }
            keys += usize::from(from_head);
            records += 1;
            visit(entry);
            if records == limits.records || bytes >= limits.bytes {
                return true;
            }
            if let Some((id, next)) = next
                && let Some(successor) = self.keys[id].waiting.get(next)
            {
                successors.push(Reverse((successor.order, id, next)));
            }
        }
    }

    fn oldest<'a>(&'a self, head: &'a Head) -> &'a Arc<Entry> {
        match head {
            Head::Alone(entry) => entry,
            Head::Key(id) => &self.keys[*id].waiting[0],
        }
    }

    /// Moves the oldest waiting record of a key, or a record without key, out of the backlog.
    fn take(&mut self, entry: &Entry) {
        self.waiting.remove(entry);
        let Some(id) = entry.key else {
            self.free.remove(&entry.order);
            self.waiting_free.remove(entry);
            return;
        };
        let key = &mut self.keys[id];
        if key.held == 0 {
            self.free.remove(&entry.order);
            self.waiting_free.records -= key.volume.records;
            self.waiting_free.bytes -= key.volume.bytes;
        }
        let oldest = key.waiting.pop_front().expect("a key's records are taken while they wait");
        assert_eq!(oldest.order, entry.order, "a key's records are taken oldest first (invariant 3)");
        key.volume.remove(entry);
        key.held += 1;
    }

    /// After this record none of its key waits or is held. The key that gets its number has a new one's state, and room.
    fn forget(&mut self, id: KeyId, last: &Entry) {
        self.keys[id].waiting.shrink_to(ROOM_KEPT);
        self.keys.forget(last.record.key.as_ref().expect("a numbered key has a name"));
    }
}

impl Volume {
    fn add(&mut self, entry: &Entry) {
        self.records += 1;
        self.bytes += entry.bytes();
    }

    fn remove(&mut self, entry: &Entry) {
        self.records -= 1;
        self.bytes -= entry.bytes();
    }
}

/// Records, of a number's next key, that need no allocation.
const ROOM_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::Timestamp;
    use crate::core::record::{OrderingKey, Origin, Record, SequenceNumber};

    #[test]
    fn a_cut_takes_the_oldest_records_of_free_keys() {
        let mut backlog = backlog("a1 b2 a3 c4");
        let first = backlog.cut(limits(2, 9));
        assert_eq!(orders(&first), [1, 2]);
        assert_eq!(orders(&backlog.cut(limits(9, 9))), [4], "a is busy, so a3 waits");
        backlog.release(&first[0]);
        assert_eq!(orders(&backlog.cut(limits(9, 9))), [3]);
    }

    #[test]
    fn what_waits_behind_a_busy_key_is_not_free() {
        let mut backlog = backlog("a1 a2 b3");
        backlog.cut(limits(1, 1));
        assert_eq!(backlog.waiting_free, Volume { records: 1, bytes: 1 });
    }

    #[test]
    fn a_cut_takes_a_keys_records_in_order_and_together() {
        let mut backlog = backlog("a1 b2 a3 b4 a5");
        assert_eq!(orders(&backlog.cut(limits(9, 9))), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_cut_of_few_keys_passes_over_the_others() {
        let mut backlog = backlog("a1 b2 a3 b4");
        assert_eq!(orders(&backlog.cut(limits(9, 1))), [1, 3]);
        assert_eq!(orders(&backlog.cut(limits(9, 1))), [2, 4]);
    }

    /// `docs/semantics.md` 3 (invariant 39): the record that no longer fits begins the next batch.
    #[test]
    fn a_cut_stops_at_its_bytes_and_never_skips() {
        let mut backlog = Backlog::default();
        for (order, bytes) in [(1, 40), (2, 70), (3, 10)] {
            push(&mut backlog, order, None, bytes);
        }
        let limits = CutLimits { bytes: 100, ..limits(9, 9) };
        assert!(backlog.would_fill(limits));
        assert_eq!(orders(&backlog.cut(limits)), [1]);
        assert_eq!(orders(&backlog.cut(limits)), [2, 3]);
    }

    /// `docs/semantics.md` 3: a record that alone is too large is sent alone.
    #[test]
    fn a_record_larger_than_a_payload_is_cut_alone() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 1, None, 500);
        push(&mut backlog, 2, None, 5);
        assert_eq!(orders(&backlog.cut(CutLimits { bytes: 100, ..limits(9, 9) })), [1]);
    }

    #[test]
    fn a_keys_later_records_are_removed_and_its_earlier_ones_stay() {
        let mut backlog = backlog("a1 b2 a3 a4");
        let a = backlog.keys.id(&OrderingKey::new("a"));
        assert_eq!(orders(&backlog.remove_from(a, Order(3))), [3, 4]);
        assert_eq!(orders(&backlog.cut(limits(9, 9))), [1, 2]);
        assert_eq!(backlog.waiting(), Volume::default());
    }

    #[test]
    fn a_batch_whose_bytes_fill_the_payload_exactly_is_full() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 1, None, 3);
        push(&mut backlog, 2, None, 3);
        assert!(backlog.would_fill(CutLimits { bytes: 6, ..limits(9, 9) }));
    }

    /// Or memory would grow with every key ever seen.
    #[test]
    fn a_key_is_forgotten_whatever_way_its_last_record_goes() {
        let released = |backlog: &mut Backlog| {
            for entry in backlog.cut(limits(9, 9)) {
                backlog.release(&entry);
            }
        };
        let removed = |backlog: &mut Backlog| {
            let a = backlog.keys.id(&OrderingKey::new("a"));
            backlog.remove_from(a, Order(1));
        };
        let released_after_removal = |backlog: &mut Backlog| {
            let taken = backlog.cut(limits(1, 1));
            removed(backlog);
            backlog.release(&taken[0]);
        };
        let released_after_all_were_removed = |backlog: &mut Backlog| {
            let taken = backlog.cut(limits(1, 1));
            backlog.remove_all();
            backlog.release(&taken[0]);
        };
        let all_removed = |backlog: &mut Backlog| _ = backlog.remove_all();
        let ways: [&dyn Fn(&mut Backlog); 5] =
            [&released, &removed, &released_after_removal, &released_after_all_were_removed, &all_removed];
        for (number, way) in ways.into_iter().enumerate() {
            let mut backlog = backlog("a1 a2 a3");
            way(&mut backlog);
            backlog.shrink();
            assert_eq!(backlog.keys.states_mut().count(), 0, "way {number}");
        }
    }

    #[test]
    fn removing_all_keeps_the_order_of_arrival() {
        let mut backlog = backlog("z1 a2 z3 a4");
        let held = backlog.cut(limits(1, 1));
        assert_eq!(orders(&backlog.remove_all()), [2, 3, 4]);
        assert_eq!(backlog.waiting_free, Volume::default());
        backlog.release(&held[0]);
        backlog.shrink();
        assert_eq!(backlog.keys.states_mut().count(), 0, "no key is remembered");
    }

    fn backlog(entries: &str) -> Backlog {
        let mut backlog = Backlog::default();
        for text in entries.split(' ') {
            let (key, order) = text.split_at(1);
            push(&mut backlog, order.parse().unwrap(), Some(key), 1);
        }
        backlog
    }

    fn push(backlog: &mut Backlog, order: u64, key: Option<&str>, bytes: usize) {
        let record = Record {
            origin: Origin::Position(SequenceNumber::new(order.to_string()).into()),
            key: key.map(OrderingKey::new),
            arrived_at: Timestamp::default(),
            element: Bytes::from(vec![b'x'; bytes - 1]),
        };
        let entry = backlog.enter(Order(order), record);
        backlog.push(entry);
    }

    fn limits(records: usize, keys: usize) -> CutLimits {
        CutLimits { records, bytes: usize::MAX, keys, before: None }
    }

    fn orders(entries: &[Arc<Entry>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.order.0).collect()
    }
}
