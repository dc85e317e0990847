//! The leases of a queue's messages: which receipt counts, which unstarted message is about to become visible to
//! others, and whether a message that comes in is one already held.
//!
//! Invariant 52: no invocation starts on an expired lease.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Timestamp;
use super::batch::{Entry, Order};
use super::heartbeat::Heartbeat;
use super::record::{Origin, Receipt};
use super::settlement::{Extended, Extension, Handle};

/// Every message that is held: waiting, in an invocation, or being settled.
#[derive(Debug, Default)]
pub(super) struct Visibility {
    by_id: HashMap<Arc<str>, Order>,
    held: BTreeMap<Order, Held>,
    /// Lease ends of unstarted messages, soonest first.
    unstarted: BTreeSet<(Timestamp, Order)>,
    settling: usize,
    bytes: usize,
    /// `None`: leases are left to end.
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug)]
struct Held {
    entry: Arc<Entry>,
    receipt: Receipt,
    place: Place,
}

/// Where a held message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the backlog, or in a batch that waits for its next invocation.
    Unstarted,
    /// In an invocation.
    Invoked,
    /// The queue is being told what became of it.
    Settling,
}

impl Visibility {
    /// Nothing is held yet.
    pub(super) fn new(extends: bool) -> Self {
        Self { heartbeat: extends.then(Heartbeat::default), ..Self::default() }
    }

    /// Takes a message that is not held.
    pub(super) fn hold(&mut self, now: Timestamp, entry: &Arc<Entry>) {
        let Origin::Message { id, receipt } = &entry.record.origin else {
            unreachable!("a queue's record is a message")
        };
        let before = self.by_id.insert(Arc::clone(id), entry.order);
        assert!(before.is_none(), "a held message is not a second record");
        self.unstarted.insert((receipt.ends_at, entry.order));
        self.bytes += entry.bytes();
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.begin(now, entry.order, receipt.ends_at);
        }
        let held = Held { entry: Arc::clone(entry), receipt: receipt.clone(), place: Place::Unstarted };
        self.held.insert(entry.order, held);
    }

    /// A message was received again while it is held: the held one takes the receipt whose lease ends later, so that
    /// its delete uses the last one (`docs/semantics.md` 4.2). False if it is not held.
    pub(super) fn renew(&mut self, now: Timestamp, id: &str, receipt: &Receipt) -> bool {
        let Some(order) = self.by_id.get(id).copied() else { return false };
        let held = self.held.get_mut(&order).expect("both maps name the same messages");
        if receipt.ends_at < held.receipt.ends_at {
            return true;
        }
        if held.place == Place::Unstarted {
            self.unstarted.remove(&(held.receipt.ends_at, order));
            self.unstarted.insert((receipt.ends_at, order));
        }
        held.receipt = receipt.clone();
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|_| held.place != Place::Settling) {
            heartbeat.begin(now, order, receipt.ends_at);
        }
        true
    }

    /// The leases that are to be extended now.
    pub(super) fn take_extensions(&mut self, now: Timestamp) -> Vec<Extension> {
        let Some(heartbeat) = &mut self.heartbeat else { return Vec::new() };
        let due = heartbeat.take_due(now);
        due.into_iter().map(|(order, by)| Extension { handle: self.handle(order), by }).collect()
    }

    /// The queue answered. What it says of an older receipt, or of a message that it is told about, is of no use.
    pub(super) fn on_extended(&mut self, now: Timestamp, extension: &Extension, extended: Extended) {
        let Some(order) = self.by_id.get(&extension.handle.id).copied() else { return };
        let held = self.held.get_mut(&order).expect("both maps name the same messages");
        if held.receipt.handle != extension.handle.receipt || held.place == Place::Settling {
            return;
        }
        let heartbeat = self.heartbeat.as_mut().expect("only a heartbeat extends");
        match extended {
            Extended::Until(ends_at) => {
                heartbeat.extended(now, order, ends_at);
                let before = held.receipt.ends_at;
                held.receipt.ends_at = before.max(ends_at);
                if held.place == Place::Unstarted {
                    self.unstarted.remove(&(before, order));
                    self.unstarted.insert((held.receipt.ends_at, order));
                }
            }
            Extended::Refused => heartbeat.end(order),
            Extended::Failed => heartbeat.failed(now, order),
        }
    }

    /// When the next lease is to be extended.
    pub(super) fn next_extension(&self) -> Option<Timestamp> {
        self.heartbeat.as_ref().and_then(Heartbeat::next_at)
    }

    pub(super) fn place(&mut self, order: Order, place: Place) {
        let held = self.held.get_mut(&order).expect("only held messages are placed");
        debug_assert!(held.place != Place::Settling, "a settlement that has begun is not taken back");
        let end = (held.receipt.ends_at, order);
        match (held.place, place) {
            (Place::Unstarted, Place::Invoked | Place::Settling) => {
                self.unstarted.remove(&end);
            }
            (_, Place::Unstarted) => {
                self.unstarted.insert(end);
            }
            _ => {}
        }
        self.settling += usize::from(place == Place::Settling);
        held.place = place;
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|_| place == Place::Settling) {
            heartbeat.end(order);
        }
    }

    /// The message under its latest receipt.
    pub(super) fn handle(&self, order: Order) -> Handle {
        let held = self.held.get(&order).expect("only held messages have a handle");
        let Origin::Message { id, .. } = &held.entry.record.origin else {
            unreachable!("a queue's record is a message")
        };
        Handle { id: Arc::clone(id), receipt: Arc::clone(&held.receipt.handle), ends_at: held.receipt.ends_at }
    }

    /// The held message of this id and where it is.
    pub(super) fn find(&self, id: &str) -> Option<(Arc<Entry>, Place)> {
        let held = self.held.get(self.by_id.get(id)?)?;
        Some((Arc::clone(&held.entry), held.place))
    }

    /// It is settled, left or let go: no longer ours.
    pub(super) fn forget(&mut self, order: Order) {
        let held = self.held.remove(&order).expect("a message is forgotten once (invariant 1)");
        let Origin::Message { id, .. } = &held.entry.record.origin else {
            unreachable!("a queue's record is a message")
        };
        self.by_id.remove(id);
        self.bytes -= held.entry.bytes();
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.end(order);
        }
        self.unstarted.remove(&(held.receipt.ends_at, order));
        self.settling -= usize::from(held.place == Place::Settling);
    }

    /// The unstarted messages whose lease has ended.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Arc<Entry>> {
        let expired = self.unstarted.iter().take_while(|(ends_at, _)| *ends_at <= now);
        expired.map(|(_, order)| Arc::clone(&self.held.get(order).expect("unstarted is held").entry)).collect()
    }

    /// When the next unstarted message's lease ends.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.unstarted.first().map(|(ends_at, _)| *ends_at)
    }

    /// When the first lease among these messages ends.
    pub(super) fn first_end(&self, entries: &[Arc<Entry>]) -> Option<Timestamp> {
        entries.iter().filter_map(|entry| Some(self.held.get(&entry.order)?.receipt.ends_at)).min()
    }

    /// How many messages the queue is being told about.
    pub(super) fn settling(&self) -> usize {
        self.settling
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Bytes of all that is held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest held message was sent.
    pub(super) fn oldest_arrival(&self) -> Option<Timestamp> {
        self.held.first_key_value().map(|(_, held)| held.entry.record.arrived_at)
    }
}
