//! What follows from the model's lists: the next cut, whether it is due, the capacity; and what must hold between two
//! inputs.

use std::collections::BTreeSet;

use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::settings::{Kind, Settings};

use super::item::NEVER;
use super::lane::{Lane, State};
use super::{Model, Shard};
use crate::source::{first_above, names_in};

/// What a lane should take now.
pub(super) struct Cut {
    pub(super) names: Vec<usize>,
    is_full: bool,
    is_ripe: bool,
}

/// What must hold once the actions are empty.
impl Model {
    pub fn check(&self, now: Timestamp, consumer: &Consumer) {
        self.check_accounts(consumer);
        self.check_checkpoint(consumer);
        self.check_timeout(now, consumer);
        if let Some(settling) = self.settling.iter().find(|settling| settling.told.is_none()) {
            panic!("invariant 1: the queue is not told to {:?} {}", settling.means, settling.item.name)
        }
        for lane in &self.lanes {
            let overdue = lane.due_at(&self.settings.retry).is_some_and(|due_at| due_at <= now);
            let (names, state) = (lane.current().names(), lane.state);
            assert!(!overdue, "invariant 8: {names:?} is not invoked or given up in time: {state:?}");
        }
        let cut = self.next_cut();
        let could_start = !self.draining && self.idle() > 0 && !cut.names.is_empty();
        assert!(!could_start || !self.is_due(&cut), "invariant 8: {:?} waits while a lane is idle", cut.names);
        let nothing_runs = self.lanes.is_empty() && self.settling.is_empty();
        let drained = nothing_runs && (self.draining || (self.ended && self.waiting.is_empty()));
        assert_eq!(consumer.is_drained(), drained, "invariant 7: drained when nothing runs any more");
    }

    /// Invariants 1 and 4: every record is where it should be, and there are no others.
    fn check_accounts(&self, consumer: &Consumer) {
        let status = consumer.status();
        let unsettled = match self.settings.kind {
            Kind::Queue => self.held().count(),
            Kind::Stream => (self.shard.first..self.shard.next).filter(|name| !self.is_settled(*name)).count(),
        };
        let (invoking, discarding) = (self.invoking().len(), self.discarding().len());
        let backing_off = self.lanes.len() - invoking - discarding;
        let expected = (self.waiting.len(), unsettled, invoking, discarding, backing_off);
        let counted = (status.waiting, status.unsettled, status.invoking, status.discarding, status.backing_off);
        assert_eq!(counted, expected, "invariant 1: waiting, unsettled, invoking, discarding, backing off");
        if self.settings.kind == Kind::Stream {
            let open = self.shard.arrivals.iter().find(|(name, _)| !self.is_settled(**name));
            let expected = open.map(|(_, arrived_at)| *arrived_at);
            assert_eq!(status.oldest_arrival, expected, "when the oldest unsettled record arrived");
        }
        assert_eq!(consumer.capacity(), self.capacity(), "invariant 4: capacity");
        let most = consumer.capacity_when_empty();
        assert!(self.draining || self.held().count() <= most, "invariant 4: more than {most} records are held");
    }

    /// Invariant 2: the checkpoint is the end of what is settled without a gap, no more and no less.
    fn check_checkpoint(&self, consumer: &Consumer) {
        let Some(checkpoint) = consumer.checkpoint() else { return };
        let Shard { first, next, .. } = self.shard;
        let open = (first..next).find(|name| !self.is_settled(*name));
        let up_to = first_above(&checkpoint, next);
        assert_eq!(up_to, open.unwrap_or(next), "invariant 2: the checkpoint is at the first open record");
        let ended = self.ended && open.is_none();
        assert_eq!(checkpoint.up_to == UpTo::Ended, ended, "invariant 2: a shard ends when all of it is settled");
        let ranges = &checkpoint.settled_above;
        let covered: BTreeSet<usize> = ranges.iter().flat_map(names_in).collect();
        for above in up_to..next {
            assert_eq!(
                covered.contains(&above),
                self.is_settled(above),
                "invariant 2: whether {above} is settled, in {ranges:?}"
            );
        }
        assert!(ranges.is_sorted_by(|one, other| one.last < other.last), "invariant 2: {ranges:?} ascend, none twice");
        assert!(ranges.len() <= Checkpoint::RANGES_MAX, "invariant 2: there are too many ranges");
    }

    /// Invariant 6, and that nothing sleeps beyond the moment at which something is due.
    fn check_timeout(&self, now: Timestamp, consumer: &Consumer) {
        let timeout = consumer.poll_timeout().map_or(NEVER, |(at, _)| at);
        assert!(timeout > now, "invariant 6: a timeout is due");
        let retries = self.lanes.iter().filter_map(|lane| lane.due_at(&self.settings.retry));
        let backing_off = self.lanes.iter().filter(|lane| lane.state == State::Waiting);
        let unstarted = self.waiting.iter().chain(backing_off.flat_map(Lane::items));
        let leases = unstarted.map(|item| item.ends_at);
        let windows = self.window_since.filter(|_| self.has_window() && !self.draining && self.idle() > 0);
        let windows = windows.map(|since| since + self.settings.window);
        let due = retries.chain(leases).chain(windows).min().unwrap_or(NEVER);
        assert!(timeout <= due, "invariant 6: something is due at {due:?}, but the next timeout is {timeout:?}");
    }
}

/// What is possible now.
impl Model {
    /// How many keys one cut may take of a stream's.
    pub(super) fn share(&self) -> usize {
        let keys: BTreeSet<_> = self.free().map(|item| &item.key).collect();
        keys.len().div_ceil(self.idle().max(1))
    }

    pub(super) fn next_cut(&self) -> Cut {
        let Settings { kind, batch_size, batch_bytes, .. } = self.settings;
        let keys_most = if kind == Kind::Stream { self.share() } else { usize::MAX };
        let mut cut = Cut { names: Vec::new(), is_full: false, is_ripe: false };
        let mut keys = BTreeSet::new();
        let mut bytes = 0;
        for item in self.free() {
            if keys.len() == keys_most && !keys.contains(&item.key) {
                continue;
            }
            bytes += item.bytes;
            if bytes > batch_bytes && !cut.names.is_empty() {
                cut.is_full = true;
                break;
            }
            cut.is_ripe |= cut.names.is_empty() && item.is_ripe;
            cut.names.push(item.name);
            keys.insert(&item.key);
            if cut.names.len() == batch_size || bytes >= batch_bytes {
                cut.is_full = true;
                break;
            }
        }
        cut
    }

    pub(super) fn is_due(&self, cut: &Cut) -> bool {
        let backlog_is_full = self.settings.kind == Kind::Stream && self.capacity() == 0;
        !self.has_window() || self.ended || cut.is_ripe || cut.is_full || backlog_is_full
    }

    fn capacity(&self) -> usize {
        let Settings { kind, lanes, batch_size, .. } = self.settings;
        if self.draining || self.ended {
            return 0;
        }
        let waiting: usize = self.waiting.iter().map(|item| item.bytes).sum();
        let (room, held, bytes, budget) = match kind {
            Kind::Queue => {
                let held = self.waiting.len() + self.settling.len();
                let batch = if self.probes { 1 } else { batch_size };
                (self.idle() * batch, held, waiting, self.idle() * BYTES_PER_LANE)
            }
            Kind::Stream => {
                let in_lanes: usize = self.lanes.iter().flat_map(Lane::items).map(|item| item.bytes).sum();
                let room = SHARD_RECORDS.max(lanes * LANE_RECORDS.max(2 * batch_size));
                (room, self.held().count(), waiting + in_lanes, lanes * BYTES_PER_LANE)
            }
        };
        let least = match kind {
            Kind::Queue => 1,
            Kind::Stream if self.idle() > 0 => room / 16,
            Kind::Stream => SHARD_RECORDS / 2,
        };
        let left = room.saturating_sub(held);
        if bytes >= budget || left < least { 0 } else { left }
    }
}

const LANE_RECORDS: usize = 1_000;
const SHARD_RECORDS: usize = 2_000;
const BYTES_PER_LANE: usize = 12 * 1024 * 1024;
