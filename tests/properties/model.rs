//! What a consumer should be holding, as lists: records wait, then a lane has them, then (a queue's) are being settled.
//! The model is told every input before the consumer is, and every action after it; it takes the same steps in the
//! plainest way and fails where the consumer differs. No index, no cache, no event order of its own: slow and obvious.
//!
//! Numbers in failures are the invariants of `docs/architecture.md` 5 up to 8, those of `docs/semantics.md` 9 above.

mod checks;
mod item;
mod lane;

use std::collections::{BTreeMap, BTreeSet};

use esmd::core::Timestamp;
use esmd::core::action::DiscardReason;
use esmd::core::batch::{Batch, BatchId};
use esmd::core::checkpoint::{Checkpoint, PositionRange};
use esmd::core::outcome::Outcome;
use esmd::core::record::Received;
use esmd::core::settings::{Kind, Settings};
use esmd::core::settlement::{Extended, Extension, Settlement};
use esmd::core::status::Status;
use item::{Item, Key, NEVER};
use lane::{Lane, Part, State};

use super::source::{first_above, names, number, position};

pub struct Model {
    settings: Settings,
    /// Oldest first.
    waiting: Vec<Item>,
    lanes: Vec<Lane>,
    /// How many lanes there may be now, and whether they only probe, as the consumer says: `core::scaling` has tests of
    /// its own.
    lanes_now: usize,
    probes: bool,
    /// Messages that the queue is told about.
    settling: Vec<Settling>,
    /// Receipts whose extension is under way.
    extending: Vec<usize>,
    /// Since when an incomplete batch waits.
    window_since: Option<Timestamp>,
    ended: bool,
    draining: bool,
    shard: Shard,
}

/// How far a shard was taken, and what of it is settled.
struct Shard {
    /// The first record that the first checkpoint did not pass.
    first: usize,
    /// The first record that was not taken yet.
    next: usize,
    restored: Vec<PositionRange>,
    settled: BTreeSet<usize>,
    /// When each record that was taken arrived.
    arrivals: BTreeMap<usize, Timestamp>,
}

struct Settling {
    item: Item,
    means: Means,
    /// The receipt under which the queue was told; `None` while it must still be told.
    told: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Delete,
    Return,
}

/// Inputs, before the consumer gets them.
impl Model {
    pub fn new(settings: Settings, checkpoint: &Checkpoint) -> Self {
        let first = first_above(checkpoint, 0);
        let restored = checkpoint.settled_above.clone();
        Self {
            settings,
            waiting: Vec::new(),
            lanes: Vec::new(),
            lanes_now: settings.lanes,
            probes: false,
            settling: Vec::new(),
            extending: Vec::new(),
            window_since: None,
            ended: false,
            draining: false,
            shard: Shard { first, next: first, restored, settled: BTreeSet::new(), arrivals: BTreeMap::new() },
        }
    }

    pub fn receive(&mut self, now: Timestamp, received: &Received) {
        for (place, item) in received.records.iter().map(Item::new).enumerate() {
            let is_filtered = received.filtered.contains(&place);
            match self.settings.kind {
                Kind::Stream => self.take_position(item, is_filtered),
                Kind::Queue => self.take_message(now, item, is_filtered),
            }
        }
        self.ended |= received.ended && !self.draining;
    }

    pub fn end_invocation(&mut self, now: Timestamp, id: BatchId, outcome: &Outcome) {
        let mut lane = self.remove_lane(id);
        let settings = self.settings;
        match (outcome, settings.kind) {
            (Outcome::Succeeded, Kind::Queue) => return self.tell_all(lane.into_items(), Means::Delete),
            (Outcome::Failed(_), Kind::Queue) => {
                return lane.into_items().iter().for_each(|item| self.forget_successors(item));
            }
            (Outcome::Partial(failed), Kind::Queue) => {
                for (place, item) in lane.into_items().into_iter().enumerate() {
                    if failed.contains(&place) {
                        self.forget_successors(&item);
                    } else {
                        self.tell(item, Means::Delete);
                    }
                }
                return;
            }
            (Outcome::Succeeded, Kind::Stream) => self.shard.settled.extend(lane.finish_part()),
            (Outcome::Partial(failed), Kind::Stream) if failed[0] > 0 => {
                let settled = lane.finish_first(failed[0]);
                self.shard.settled.extend(settled.iter().map(|item| item.name));
                lane.current_mut().back_off(now);
            }
            (Outcome::Partial(_) | Outcome::Failed(_), Kind::Stream) => lane.fail(now, &settings.retry),
            (Outcome::Throttled | Outcome::Unavailable(_), _) => lane.wait(now),
        }
        self.keep_lane(now, lane);
    }

    pub fn end_discard(&mut self, now: Timestamp, id: BatchId, delivered: bool) {
        let mut lane = self.remove_lane(id);
        if delivered {
            self.shard.settled.extend(lane.finish_part());
        } else {
            lane.refuse(now);
        }
        self.keep_lane(now, lane);
    }

    pub fn end_settlement(&mut self, settlement: &Settlement, confirmed: bool) {
        let name = number(&settlement.handle().id);
        let index = self.settling.iter().position(|settling| settling.item.name == name).expect("it is under way");
        let Settling { item, means, told } = self.settling.remove(index);
        match means {
            _ if told != Some(item.receipt) => self.tell(item, means),
            Means::Delete if !confirmed => self.forget_successors(&item),
            Means::Delete | Means::Return => {}
        }
    }

    /// What is said of an older receipt, or of a message that the queue is told about, changes nothing.
    pub fn end_extension(&mut self, extension: &Extension, extended: Extended) {
        self.extending.retain(|receipt| *receipt != number(&extension.handle.receipt));
        let Extended::Until(ends_at) = extended else { return };
        let unsettled = self.waiting.iter_mut().chain(self.lanes.iter_mut().flat_map(Lane::items_mut));
        for item in unsettled.filter(|item| item.receipt == number(&extension.handle.receipt)) {
            item.ends_at = item.ends_at.max(ends_at);
        }
    }

    pub fn drain(&mut self, now: Timestamp) {
        self.let_go_expired(now);
        self.draining = true;
        let waiting = std::mem::take(&mut self.waiting);
        self.hand_back(now, waiting);
        for lane in std::mem::take(&mut self.lanes) {
            if lane.is_running() {
                self.lanes.push(lane);
            } else {
                self.hand_back(now, lane.into_items());
            }
        }
    }

    /// After each input, before all else.
    pub fn scale(&mut self, status: Status) {
        let Settings { lanes, queue, .. } = self.settings;
        assert!((1..=lanes).contains(&status.lanes), "invariant 54: {} lanes of {lanes}", status.lanes);
        assert!(queue.scaling.is_some() || status.lanes == lanes, "invariant 67: only a queue scales");
        (self.lanes_now, self.probes) = (status.lanes, status.probes);
    }

    /// Before the first action.
    pub fn pass_time(&mut self, now: Timestamp) {
        self.let_go_expired(now);
        self.turn_window(now);
        for lane in &mut self.lanes {
            lane.cut_off_old(now, &self.settings.retry);
        }
    }

    fn remove_lane(&mut self, id: BatchId) -> Lane {
        let index = self.lanes.iter().position(|lane| lane.is_running() && lane.id == Some(id)).expect("it runs");
        self.lanes.remove(index)
    }

    /// While draining, all goes back but what has to be given up.
    fn keep_lane(&mut self, now: Timestamp, lane: Lane) {
        if self.draining && !matches!(lane.state, State::GivingUp(_)) {
            self.hand_back(now, lane.into_items());
        } else if !lane.parts.is_empty() {
            self.lanes.push(lane);
        }
    }

    fn let_go_expired(&mut self, now: Timestamp) {
        let backing_off = self.lanes.iter().filter(|lane| lane.state == State::Waiting);
        let unstarted = self.waiting.iter().chain(backing_off.flat_map(Lane::items));
        let expired: Vec<Item> = unstarted.filter(|item| item.ends_at <= now).cloned().collect();
        for item in expired {
            let goes = |other: &Item| other.name == item.name || (other.key == item.key && other.name > item.name);
            self.waiting.retain(|other| !goes(other));
            for lane in self.lanes.iter_mut().filter(|lane| lane.state == State::Waiting) {
                lane.current_mut().items.retain(|other| !goes(other));
            }
            self.lanes.retain(|lane| !lane.current().items.is_empty());
        }
    }

    /// The window begins with the first free record, or with the last cut if any is left; with one lane, when its
    /// invocation is over.
    fn turn_window(&mut self, now: Timestamp) {
        if self.settings.lanes == 1 && self.idle() == 0 {
            return;
        }
        match self.window_since {
            _ if self.free().next().is_none() => self.window_since = None,
            None => self.window_since = Some(now),
            Some(since) if since + self.settings.window <= now => {
                self.waiting.iter_mut().for_each(|item| item.is_ripe = true);
            }
            Some(_) => {}
        }
    }

    fn take_position(&mut self, item: Item, is_filtered: bool) {
        if self.draining || item.name < self.shard.next {
            return;
        }
        self.shard.next = item.name + 1;
        self.shard.arrivals.insert(item.name, item.arrived_at);
        if is_filtered || self.shard.restored.iter().any(|range| range.contains(&position(item.name))) {
            self.shard.settled.insert(item.name);
        } else {
            self.waiting.push(item);
        }
    }

    /// A held message that comes again only takes the receipt that counts longer.
    fn take_message(&mut self, now: Timestamp, item: Item, is_filtered: bool) {
        if let Some(held) = self.held_mut().find(|held| held.name == item.name) {
            if item.ends_at >= held.ends_at {
                (held.receipt, held.ends_at) = (item.receipt, item.ends_at);
            }
        } else if self.draining {
            self.hand_back(now, vec![item]);
        } else if !is_filtered {
            self.waiting.push(item);
        } else if !self.settings.keeps_filtered {
            self.tell(Item { key: Key::Own(item.name), ..item }, Means::Delete);
        }
    }

    fn forget_successors(&mut self, item: &Item) {
        self.waiting.retain(|waiting| waiting.key != item.key);
    }

    /// A queue's messages become visible at once, unless they are already; a stream's records are read again.
    fn hand_back(&mut self, now: Timestamp, mut items: Vec<Item>) {
        items.retain(|item| item.ends_at > now);
        if self.settings.kind == Kind::Queue {
            self.tell_all(items, Means::Return);
        }
    }

    fn tell_all(&mut self, items: Vec<Item>, means: Means) {
        for item in items {
            self.tell(item, means);
        }
    }

    fn tell(&mut self, item: Item, means: Means) {
        self.settling.push(Settling { item, means, told: None });
    }
}

/// Actions, after the consumer gave them.
impl Model {
    pub fn invoke(&mut self, now: Timestamp, batch: &Batch, start_before: Option<Timestamp>) {
        assert!(!self.draining, "invariant 7: batch {} is invoked after drain", batch.id.number());
        let Settings { batch_size, batch_bytes, retry, .. } = self.settings;
        let names = names(batch.records());
        let lane = self.lane_of(now, &names);
        lane.check_turn(now, batch, &names);
        assert_eq!(lane.state, State::Waiting, "invariants 4 and 78: {names:?} is not to be invoked");
        let attempts_left = retry.attempts_max.is_none_or(|most| batch.attempts < most);
        assert!(attempts_left, "invariant 69: {names:?} has no attempts left");
        assert!(names.len() <= batch_size, "invariant 40: {names:?} is more than {batch_size} records");
        assert!(batch.bytes <= batch_bytes || names.len() == 1, "invariant 39: {names:?} has {} bytes", batch.bytes);
        let lease = lane.current().items.iter().map(|item| item.ends_at).min().expect("a batch is not empty");
        assert!(lease > now, "invariant 52: {names:?} is invoked on an ended lease");
        let expected = (lease != NEVER).then_some(lease);
        assert_eq!(start_before, expected, "invariant 52: {names:?} must start before its first lease ends");
        lane.state = State::Invoking;
        self.check_names();
    }

    pub fn discard(&mut self, now: Timestamp, batch: &Batch, reason: DiscardReason) {
        let bisect = self.settings.retry.bisect;
        let names = names(batch.records());
        let lane = self.lane_of(now, &names);
        lane.check_turn(now, batch, &names);
        let (State::GivingUp(expected) | State::Refused(expected, _)) = lane.state else {
            panic!("invariant 1: {names:?} is given up without a reason")
        };
        assert_eq!(reason, expected, "invariant 1: {names:?} is given up for another reason");
        let alone = !bisect || names.len() == 1;
        assert!(alone || reason != DiscardReason::RetryAttemptsExhausted, "invariant 72: {names:?} is to be halved");
        lane.state = State::Discarding(reason);
        self.check_names();
    }

    /// The lane whose turn it is with these records, or one that has just taken them.
    fn lane_of(&mut self, now: Timestamp, names: &[usize]) -> &mut Lane {
        let known = self.lanes.iter().position(|lane| lane.current().names().contains(&names[0]));
        let index = known.unwrap_or_else(|| {
            self.cut(now, names);
            self.lanes.len() - 1
        });
        &mut self.lanes[index]
    }

    /// A lane takes its next batch, of which these are the first records, or all.
    fn cut(&mut self, now: Timestamp, names: &[usize]) {
        assert!(!self.draining && self.idle() > 0, "invariants 4 and 7: {names:?} has no lane");
        let cut = self.next_cut();
        assert!(
            cut.names.starts_with(names),
            "late binding: a lane takes {:?}, the oldest records whose keys no other lane holds, not {names:?}",
            cut.names
        );
        assert!(self.is_due(&cut), "batching window: {names:?} is incomplete, and its window is not over");
        let (taken, rest) = self.waiting.iter().cloned().partition(|item| cut.names.contains(&item.name));
        self.waiting = rest;
        let mut lane = Lane::new(Part::new(taken));
        lane.cut_off_old(now, &self.settings.retry);
        self.lanes.push(lane);
        self.window_since = None;
        self.turn_window(now);
    }

    /// Only what is held and not being settled, under its latest receipt, while its lease lives, and once at a time.
    pub fn extend(&mut self, now: Timestamp, extension: &Extension) {
        assert!(self.settings.queue.extends_visibility, "nobody asked to extend {extension:?}");
        let receipt = number(&extension.handle.receipt);
        let mut unsettled = self.waiting.iter().chain(self.lanes.iter().flat_map(Lane::items));
        let held = unsettled.find(|item| item.name == number(&extension.handle.id));
        let Some(held) = held else { panic!("{extension:?} is of a message that is not held, or being settled") };
        assert_eq!((held.receipt, held.ends_at), (receipt, extension.handle.ends_at), "under its latest receipt");
        assert!(held.ends_at > now && now + extension.by > held.ends_at, "{extension:?} is of no use at {now:?}");
        assert!(!self.extending.contains(&receipt), "{extension:?} is under way already");
        self.extending.push(receipt);
    }

    /// No two batches under way have the same name.
    fn check_names(&self) {
        let running = || self.lanes.iter().filter(|lane| lane.is_running());
        let names: BTreeSet<_> = running().map(|lane| lane.id).collect();
        assert_eq!(names.len(), running().count(), "two batches have one name");
    }

    pub fn settle(&mut self, settlement: &Settlement) {
        let handle = settlement.handle();
        let means = match settlement {
            Settlement::Delete(_) => Means::Delete,
            Settlement::Return(_) => Means::Return,
        };
        let settling = self.settling.iter_mut().find(|settling| settling.item.name == number(&handle.id));
        let Some(settling) = settling else { panic!("invariant 1: message {} is not to be settled", handle.id) };
        assert_eq!(means, settling.means, "invariant 1: message {} is settled differently", handle.id);
        assert_eq!(settling.told, None, "invariant 1: message {} is settled twice", handle.id);
        let latest = (settling.item.receipt, settling.item.ends_at);
        let told = (number(&handle.receipt), handle.ends_at);
        assert_eq!(told, latest, "invariant 55: message {} is settled under its latest receipt", handle.id);
        settling.told = Some(told.0);
    }
}

/// Looking at the lists.
impl Model {
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Batches at the target.
    pub fn invoking(&self) -> Vec<BatchId> {
        self.lanes.iter().filter(|lane| lane.state == State::Invoking).filter_map(|lane| lane.id).collect()
    }

    /// Batches that are being given up.
    pub fn discarding(&self) -> Vec<BatchId> {
        self.lanes.iter().filter(|lane| matches!(lane.state, State::Discarding(_))).filter_map(|lane| lane.id).collect()
    }

    pub fn names_of(&self, id: BatchId) -> Vec<usize> {
        let lane = self.lanes.iter().find(|lane| lane.is_running() && lane.id == Some(id)).expect("it runs");
        lane.current().names()
    }

    pub fn holds_nothing(&self) -> bool {
        self.held().next().is_none()
    }

    fn held(&self) -> impl Iterator<Item = &Item> {
        let in_lanes = self.lanes.iter().flat_map(Lane::items);
        self.waiting.iter().chain(in_lanes).chain(self.settling.iter().map(|settling| &settling.item))
    }

    fn held_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        let in_lanes = self.lanes.iter_mut().flat_map(Lane::items_mut);
        self.waiting.iter_mut().chain(in_lanes).chain(self.settling.iter_mut().map(|settling| &mut settling.item))
    }

    /// Whether a lane holds the key, or one of its deletes is under way.
    fn is_busy(&self, key: &Key) -> bool {
        let in_lanes = self.lanes.iter().flat_map(Lane::items);
        in_lanes.chain(self.settling.iter().map(|settling| &settling.item)).any(|item| item.key == *key)
    }

    fn is_settled(&self, name: usize) -> bool {
        name < self.shard.first || self.shard.settled.contains(&name)
    }

    fn has_window(&self) -> bool {
        !self.settings.window.is_zero()
    }

    fn idle(&self) -> usize {
        self.lanes_now.saturating_sub(self.lanes.len())
    }

    fn free(&self) -> impl Iterator<Item = &Item> {
        let busy: BTreeSet<_> = self.waiting.iter().map(|item| &item.key).filter(|key| self.is_busy(key)).collect();
        self.waiting.iter().filter(move |item| !busy.contains(&item.key))
    }
}
