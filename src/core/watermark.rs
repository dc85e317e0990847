//! Positions settle in any order; the checkpoint follows in source order. Holds the settled ranges above the lowest
//! position that is open, so its size follows the gaps that are left and not what was read.
//!
//! Invariant 2: a checkpoint never passes an unsettled record.

use std::collections::{BTreeMap, VecDeque};

use super::batch::Order;
use super::checkpoint::{Checkpoint, PositionRange, UpTo};
use super::record::Position;

#[derive(Debug)]
pub(super) struct Watermark {
    /// Everything up to here is settled.
    up_to: UpTo,
    /// The order of the first record that `up_to` does not cover, received or not.
    low: Order,
    /// The order of the record to come. Those from `low` on are open if they are in no settled run.
    next: Order,
    open: usize,
    /// Settled runs above `low`, by the order of their first record. Neighbours are merged.
    settled: BTreeMap<Order, Run>,
    /// Ranges of the checkpoint that this consumer began with and has not read past yet.
    restored: VecDeque<PositionRange>,
    last_received: Option<Position>,
    changed: bool,
}

#[derive(Debug)]
struct Run {
    last_order: Order,
    range: PositionRange,
}

/// What a position is to a shard that has been read up to some point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Not seen before: open until it is settled.
    New,
    /// Settled before this consumer began.
    Settled,
    /// At or before one already taken: a source repeats after an expired iterator.
    Repeated,
}

impl Watermark {
    pub(super) fn new(checkpoint: Checkpoint, first: Order) -> Self {
        let last_received = match &checkpoint.up_to {
            UpTo::After(position) => Some(position.clone()),
            UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) | UpTo::Ended => None,
        };
        Self {
            up_to: checkpoint.up_to,
            low: first,
            next: first,
            open: 0,
            settled: BTreeMap::new(),
            restored: checkpoint.settled_above.into(),
            last_received,
            changed: false,
        }
    }

    /// What this position is. A `New` or `Settled` one must be followed by `receive` under the next order.
    pub(super) fn judge(&self, position: &Position) -> Arrival {
        if self.last_received.as_ref().is_some_and(|last| position <= last) {
            return Arrival::Repeated;
        }
        let next = self.restored.partition_point(|range| range.last < *position);
        let settled = self.restored.get(next).is_some_and(|range| range.contains(position));
        if settled { Arrival::Settled } else { Arrival::New }
    }

    /// Takes the next position; it stays open until `settle` is told of it.
    pub(super) fn receive(&mut self, order: Order, position: &Position) {
        assert_eq!(order, self.next, "orders have no gaps");
        self.last_received = Some(position.clone());
        while self.restored.front().is_some_and(|range| range.last <= *position) {
            self.restored.pop_front();
        }
        self.next = order.next();
        self.open += 1;
    }

    /// The source began anew at its oldest record, which is at this position. If that lies before what was read, the
    /// stream is another one of the same name: nothing it brings is a repetition.
    pub(super) fn restart(&mut self, oldest: &Position) {
        if self.last_received.as_ref().is_some_and(|last| oldest <= last) {
            self.last_received = None;
            self.restored.clear();
        }
    }

    /// A record is settled for good.
    pub(super) fn settle(&mut self, order: Order, position: &Position) {
        assert!(
            (self.low..self.next).contains(&order),
            "a record is settled after it was received, and once (invariant 1)"
        );
        self.open -= 1;
        if order == self.low {
            self.pass(order, position.clone());
            if let Some(run) = self.settled.remove(&self.low) {
                self.pass(run.last_order, run.range.last);
            }
        } else {
            self.insert(order, position);
        }
        assert_eq!(
            self.open == 0,
            self.low == self.next,
            "a checkpoint passes what is settled, and all of it (invariant 2)"
        );
        self.changed = true;
    }

    /// The shard is closed and was read to its end.
    pub(super) fn end(&mut self) {
        assert!(self.open == 0, "a shard ends when all of it is settled (invariant 2)");
        if self.up_to != UpTo::Ended {
            self.up_to = UpTo::Ended;
            self.settled.clear();
            self.restored.clear();
            self.changed = true;
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether it moved since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The position. Of windows it knows nothing.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let own = self.settled.values().map(|run| &run.range);
        let mut settled_above: Vec<PositionRange> = own.take(Checkpoint::RANGES_MAX).cloned().collect();
        for range in &self.restored {
            match settled_above.last_mut().filter(|last| range.first <= last.last) {
                // It was read in part: what was read of it is the last run of our own.
                Some(last) => last.last = range.last.clone(),
                None => settled_above.push(range.clone()),
            }
        }
        settled_above.truncate(Checkpoint::RANGES_MAX);
        Checkpoint { settled_above, ..Checkpoint::at(self.up_to.clone()) }
    }

    /// Settled runs above the checkpoint: what a key that blocks has cost so far.
    pub(super) fn settled_runs(&self) -> usize {
        self.settled.len()
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Everything up to here is settled.
    fn pass(&mut self, order: Order, position: Position) {
        self.low = order.next();
        self.up_to = UpTo::After(position);
    }

    /// Adds a settled record and merges it with its neighbours.
    fn insert(&mut self, order: Order, position: &Position) {
        let range = PositionRange { first: position.clone(), last: position.clone() };
        let mut run = Run { last_order: order, range };
        if let Some(after) = self.settled.remove(&order.next()) {
            run.last_order = after.last_order;
            run.range.last = after.range.last;
        }
        if let Some((_, before)) = self.settled.range_mut(..=order).next_back() {
            assert!(before.last_order < order, "a record is settled once (invariant 1)");
            if before.last_order.next() == order {
                before.last_order = run.last_order;
                before.range.last = run.range.last;
                return;
            }
        }
        self.settled.insert(order, run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::SequenceNumber;

    #[test]
    fn the_checkpoint_follows_in_source_order_whatever_the_order_of_settling() {
        let mut watermark = received(1..=5);
        settle(&mut watermark, 2);
        assert_eq!(watermark.checkpoint(), checkpoint(UpTo::TrimHorizon, &[(2, 2)]));
        settle(&mut watermark, 1);
        assert_eq!(watermark.checkpoint(), checkpoint(after(2), &[]));
        settle(&mut watermark, 5);
        settle(&mut watermark, 4);
        assert_eq!(watermark.checkpoint(), checkpoint(after(2), &[(4, 5)]));
        settle(&mut watermark, 3);
        assert_eq!(watermark.checkpoint(), checkpoint(after(5), &[]));
    }

    #[test]
    fn neighbouring_settled_records_are_one_run() {
        let mut watermark = received(1..=1_000);
        for order in (2..=1_000).rev() {
            settle(&mut watermark, order);
        }
        assert_eq!(watermark.settled_runs(), 1);
    }

    /// `docs/semantics.md` 6.4: ranges settled above the checkpoint are skipped after a restart.
    #[test]
    fn a_restored_range_is_settled_and_kept_until_it_was_read() {
        let mut watermark = Watermark::new(checkpoint(after(3), &[(5, 6), (8, 9)]), Order(1));
        assert_eq!(watermark.judge(&position(3)), Arrival::Repeated);
        assert_eq!(watermark.judge(&position(4)), Arrival::New);
        watermark.receive(Order(1), &position(4));
        assert_eq!(watermark.judge(&position(5)), Arrival::Settled);
        watermark.receive(Order(2), &position(5));
        watermark.settle(Order(2), &position(5));
        assert_eq!(watermark.checkpoint(), checkpoint(after(3), &[(5, 6), (8, 9)]));
        watermark.receive(Order(3), &position(6));
        watermark.settle(Order(3), &position(6));
        assert_eq!(watermark.checkpoint(), checkpoint(after(3), &[(5, 6), (8, 9)]), "none twice");
        assert_eq!(watermark.judge(&position(7)), Arrival::New);
    }

    #[test]
    fn a_repeated_position_is_ignored() {
        let watermark = received(1..=3);
        assert_eq!(watermark.judge(&position(3)), Arrival::Repeated);
        assert_eq!(watermark.judge(&position(4)), Arrival::New);
    }

    /// `docs/semantics.md` 6.2: the checkpoints of a stream that was made anew mean nothing.
    #[test]
    fn a_stream_made_anew_is_read_from_its_beginning() {
        let mut watermark = Watermark::new(checkpoint(after(500), &[(600, 700)]), Order(1));
        watermark.restart(&position(510));
        assert_eq!(watermark.judge(&position(400)), Arrival::Repeated, "trimmed, but the same stream");
        watermark.restart(&position(1));
        assert_eq!(watermark.judge(&position(1)), Arrival::New);
        assert_eq!(watermark.judge(&position(650)), Arrival::New);
    }

    #[test]
    fn a_checkpoint_keeps_the_lowest_ranges() {
        let mut watermark = received(1..=5_000);
        for order in (2..=5_000).step_by(2) {
            settle(&mut watermark, order);
        }
        let ranges = watermark.checkpoint().settled_above;
        assert_eq!(ranges.len(), Checkpoint::RANGES_MAX);
        assert_eq!(ranges.last().unwrap().last, position(2_000));
    }

    fn received(orders: std::ops::RangeInclusive<u64>) -> Watermark {
        let mut watermark = Watermark::new(Checkpoint::at(UpTo::TrimHorizon), Order(*orders.start()));
        for order in orders {
            watermark.receive(Order(order), &position(order));
        }
        watermark
    }

    fn settle(watermark: &mut Watermark, order: u64) {
        watermark.settle(Order(order), &position(order));
    }

    fn checkpoint(up_to: UpTo, ranges: &[(u64, u64)]) -> Checkpoint {
        let range = |&(first, last): &(u64, u64)| PositionRange { first: position(first), last: position(last) };
        Checkpoint { settled_above: ranges.iter().map(range).collect(), ..Checkpoint::at(up_to) }
    }

    fn after(number: u64) -> UpTo {
        UpTo::After(position(number))
    }

    fn position(number: u64) -> Position {
        SequenceNumber::new(number.to_string()).into()
    }
}
