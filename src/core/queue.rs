//! What only a queue's consumer does: delete what succeeded, leave what failed, let go what is about to become visible
//! to others, and hand back what was never invoked. A grouped message takes its successors along whenever it is left,
//! let go or refused, or they would overtake it (`docs/semantics.md` 5, invariant 61).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Timestamp;
use super::action::Action;
use super::batch::{Batch, Entry, Order};
use super::consumer::{Consumer, Progress};
use super::keys::KeyId;
use super::settlement::{Extended, Extension, Settlement};
use super::visibility::{Place, Visibility};

impl Consumer {
    /// The queue answered an extension. Until it confirms, the lease ends when it would have ended.
    pub fn handle_extended(&mut self, now: Timestamp, extension: &Extension, extended: Extended) {
        self.visibility().on_extended(now, extension, extended);
        self.advance(now);
    }

    /// Asks for longer leases of what is held, as far as it is time to.
    pub(super) fn extend_due(&mut self, now: Timestamp) {
        let Progress::Queue(visibility) = &mut self.progress else { return };
        let extensions = visibility.take_extensions(now);
        if !extensions.is_empty() {
            self.actions.push_back(Action::Extend(extensions));
        }
    }

    /// The message is done; its key stays busy until the queue confirms.
    pub(super) fn delete(&mut self, order: Order) {
        let visibility = self.visibility();
        visibility.place(order, Place::Settling);
        let handle = visibility.handle(order);
        self.actions.push_back(Action::Settle(Settlement::Delete(handle)));
    }

    /// These records failed, by their places: the queue is told nothing of them, and they come back by their visibility
    /// timeout (`docs/semantics.md` 4.3, invariant 45). The others are done.
    pub(super) fn leave_some(&mut self, batch: &Batch, failed: &[usize]) {
        for (place, entry) in batch.entries.iter().enumerate() {
            if failed.binary_search(&place).is_err() {
                self.delete(entry.order);
                continue;
            }
            self.visibility().forget(entry.order);
            self.forget_successors(entry);
            self.release(entry);
        }
    }

    /// Gives back what was never invoked, so that others get it at once (`docs/semantics.md` 4.6). A message whose lease
    /// has ended is no longer ours to give. A stream's records need no word: they are read again after the checkpoint.
    pub(super) fn hand_back(&mut self, now: Timestamp, unstarted: &[Arc<Entry>]) {
        let Progress::Queue(visibility) = &mut self.progress else {
            self.given_back = self.given_back.iter().chain(unstarted).min_by_key(|entry| entry.order).cloned();
            return;
        };
        for entry in unstarted {
            let handle = visibility.handle(entry.order);
            if handle.ends_at <= now {
                visibility.forget(entry.order);
                continue;
            }
            visibility.place(entry.order, Place::Settling);
            self.actions.push_back(Action::Settle(Settlement::Return(handle)));
        }
    }

    /// The queue answered. If the message was received again meanwhile, whatever it said of the old receipt proves
    /// nothing (`docs/semantics.md` 11): it is told the same under the newer one.
    pub(super) fn on_settled(&mut self, settlement: &Settlement, confirmed: bool) {
        let told = settlement.handle();
        let visibility = self.visibility();
        let (entry, place) =
            visibility.find(&told.id).expect("what the queue was told about is held until it answered");
        assert_eq!(place, Place::Settling, "the queue is told once at a time");
        let newest = visibility.handle(entry.order);
        if newest.receipt != told.receipt {
            let again = match settlement {
                Settlement::Delete(_) => Settlement::Delete(newest),
                Settlement::Return(_) => Settlement::Return(newest),
            };
            return self.actions.push_back(Action::Settle(again));
        }
        visibility.forget(entry.order);
        if matches!(settlement, Settlement::Delete(_)) {
            if !confirmed {
                self.forget_successors(&entry);
            }
            self.release(&entry);
        }
    }

    /// Lets go every unstarted message whose lease has ended, and of a group all that come after it: others may have
    /// them now (invariant 52). What is left of a batch that waits goes on.
    pub(super) fn let_go_expired(&mut self, now: Timestamp) {
        let Progress::Queue(visibility) = &self.progress else { return };
        let expired = visibility.expired(now);
        if expired.is_empty() {
            return;
        }
        let mut alone = BTreeSet::new();
        let mut groups: BTreeMap<KeyId, Order> = BTreeMap::new();
        for entry in &expired {
            match entry.key {
                None => _ = alone.insert(entry.order),
                Some(group) => {
                    let first = groups.entry(group).or_insert(entry.order);
                    *first = entry.order.min(*first);
                }
            }
        }
        let goes = |entry: &Arc<Entry>| match entry.key {
            None => alone.contains(&entry.order),
            Some(group) => groups.get(&group).is_some_and(|first| entry.order >= *first),
        };
        let held: Vec<_> = self.lanes.iter_mut().flat_map(|lane| lane.shrink(goes)).collect();
        let mut waiting: Vec<_> = alone.iter().filter_map(|order| self.backlog.remove_alone(*order)).collect();
        waiting.extend(groups.into_iter().flat_map(|(group, first)| self.backlog.remove_from(group, first)));
        for gone in held.iter().chain(&waiting) {
            self.visibility().forget(gone.order);
        }
        for gone in &held {
            self.release(gone); // last: a key's number lives as long as a record of it is held
        }
        self.let_go += (held.len() + waiting.len()) as u64;
    }

    fn forget_successors(&mut self, entry: &Entry) {
        let Some(key) = entry.key else { return };
        for successor in self.backlog.remove_from(key, entry.order) {
            self.visibility().forget(successor.order);
        }
    }

    fn visibility(&mut self) -> &mut Visibility {
        match &mut self.progress {
            Progress::Queue(visibility) => visibility,
            Progress::Stream(_) => unreachable!("only a queue's consumer settles messages"),
        }
    }
}
