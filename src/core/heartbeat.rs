//! When the leases of held messages are to be extended (`Esmd.ExtendVisibility`): at half of each, over and over, until
//! the message is settled or let go. Knows times only; [`super::visibility`] knows the leases and tells it what became of
//! them.
//!
//! Nothing is extended after its lease ended, while an extension of it is under way, once its queue is told what became
//! of it, or past the twelve hours that a queue grants from the receive on (`docs/semantics.md` 4.6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Timestamp;
use super::batch::Order;

/// The leases that are kept up, at most one entry a message.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    leases: BTreeMap<Order, Lease>,
    /// What is not under way, soonest first.
    due: BTreeSet<(Timestamp, Order)>,
}

#[derive(Debug)]
struct Lease {
    /// How long its receive hid the message; each extension is as long.
    length: Duration,
    ends_at: Timestamp,
    /// No extension may end later.
    last_at: Timestamp,
    /// When it is extended; `None`: that is under way.
    due_at: Option<Timestamp>,
}

impl Heartbeat {
    /// A message was received now, perhaps not for the first time.
    pub(super) fn begin(&mut self, now: Timestamp, order: Order, ends_at: Timestamp) {
        self.end(order);
        let length = ends_at.since(now);
        self.leases.insert(order, Lease { length, ends_at, last_at: now + LONGEST, due_at: None });
        self.plan(order, now + length / 2);
    }

    /// It is settled, being settled, let go, or was lost.
    pub(super) fn end(&mut self, order: Order) {
        if let Some(Lease { due_at: Some(due_at), .. }) = self.leases.remove(&order) {
            self.due.remove(&(due_at, order));
        }
    }

    /// Takes what is to be extended now, and by how long. What is due soon goes along, so that calls are shared.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<(Order, Duration)> {
        if self.next_at().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let (mut taken, mut not_yet) = (Vec::new(), Vec::new());
        while let Some((due_at, order)) = self.due.pop_first() {
            if due_at > now + SOON {
                self.due.insert((due_at, order));
                break;
            }
            let lease = self.leases.get_mut(&order).expect("what is due has a lease");
            let by = lease.length.min(lease.last_at.since(now));
            let is_of_use = now + by > lease.ends_at;
            if lease.ends_at <= now || (due_at <= now && !is_of_use) {
                self.leases.remove(&order); // it is lost, or may not be longer
            } else if is_of_use {
                lease.due_at = None;
                taken.push((order, by));
            } else {
                not_yet.push((due_at, order)); // it has just begun
            }
        }
        self.due.extend(not_yet);
        taken
    }

    /// The queue confirmed that the lease ends then.
    pub(super) fn extended(&mut self, now: Timestamp, order: Order, ends_at: Timestamp) {
        if let Some(lease) = self.leases.get_mut(&order) {
            lease.ends_at = lease.ends_at.max(ends_at);
            let half = lease.ends_at.since(now) / 2;
            self.plan(order, now + half);
        }
    }

    /// It did not work, and may if it is tried again.
    pub(super) fn failed(&mut self, now: Timestamp, order: Order) {
        if let Some(lease) = self.leases.get(&order) {
            let wait = (lease.ends_at.since(now) / 4).max(RETRY_FIRST);
            self.plan(order, now + wait);
        }
    }

    /// When [`Heartbeat::take_due`] has something next.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    /// Instead of what was planned before, if anything was.
    fn plan(&mut self, order: Order, due_at: Timestamp) {
        let lease = self.leases.get_mut(&order).expect("only what is kept up is planned");
        if let Some(before) = lease.due_at.take() {
            self.due.remove(&(before, order));
        }
        if due_at >= lease.ends_at {
            self.leases.remove(&order);
        } else {
            lease.due_at = Some(due_at);
            self.due.insert((due_at, order));
        }
    }
}

/// SQS counts from the receive, which was before its reply.
const LONGEST: Duration = Duration::from_mins(12 * 60 - 1);
const SOON: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Order = Order(7);

    #[test]
    fn a_lease_is_extended_at_half_of_it_by_its_own_length() {
        let mut heartbeat = begun(28);
        assert_eq!(heartbeat.take_due(time(13)), []);
        assert_eq!(heartbeat.take_due(time(14)), [(MESSAGE, seconds(28))]);
        assert_eq!(heartbeat.take_due(time(20)), [], "it is under way");

        heartbeat.extended(time(15), MESSAGE, time(40));
        assert_eq!(heartbeat.next_at(), Some(time(15) + seconds(25) / 2));
    }

    #[test]
    fn leases_that_are_due_soon_are_extended_together() {
        let mut heartbeat = begun(20);
        heartbeat.begin(time(1), Order(8), time(21));
        heartbeat.begin(time(2), Order(9), time(22));
        let orders: Vec<_> = heartbeat.take_due(time(10)).into_iter().map(|(order, _)| order).collect();
        assert_eq!(orders, [MESSAGE, Order(8)]);
    }

    #[test]
    fn a_settled_message_is_not_extended() {
        let mut heartbeat = begun(20);
        heartbeat.end(MESSAGE);
        assert_eq!(heartbeat.next_at(), None);

        let mut heartbeat = begun(20);
        heartbeat.take_due(time(10));
        heartbeat.end(MESSAGE);
        heartbeat.extended(time(11), MESSAGE, time(30));
        assert_eq!(heartbeat.next_at(), None, "what was under way begins nothing anew");
    }

    /// Servers exist that give the same receipt again: an answer to what was under way may then come after a receive.
    #[test]
    fn an_answer_that_comes_after_another_receive_leaves_one_extension_planned() {
        for failed in [false, true] {
            let mut heartbeat = begun(20);
            heartbeat.take_due(time(10));
            heartbeat.begin(time(11), MESSAGE, time(31));
            if failed {
                heartbeat.failed(time(12), MESSAGE);
            } else {
                heartbeat.extended(time(12), MESSAGE, time(32));
            }
            assert_eq!(heartbeat.take_due(time(25)).len(), 1);
            assert_eq!(heartbeat.next_at(), None, "it is under way");
            heartbeat.end(MESSAGE);
            assert_eq!(heartbeat.take_due(time(40)), []);
        }
    }

    #[test]
    fn a_short_lease_that_has_just_begun_is_kept_up_in_its_own_time() {
        let mut heartbeat = begun(2);
        heartbeat.begin(time(1), Order(8), time(3));
        assert_eq!(heartbeat.take_due(time(1)), [(MESSAGE, seconds(2))]);
        assert_eq!(heartbeat.next_at(), Some(time(2)));
        assert_eq!(heartbeat.take_due(time(2)), [(Order(8), seconds(2))]);
    }

    #[test]
    fn a_lost_lease_is_not_extended() {
        let mut heartbeat = begun(20);
        assert_eq!(heartbeat.take_due(time(21)), [], "such as after the machine slept");
        assert_eq!(heartbeat.next_at(), None);
    }

    #[test]
    fn what_failed_is_tried_again_while_the_lease_lives() {
        let mut heartbeat = begun(20);
        let mut tries = 0;
        while let Some(at) = heartbeat.next_at() {
            assert_eq!(heartbeat.take_due(at).len(), 1);
            assert!(at < time(20));
            heartbeat.failed(at, MESSAGE);
            tries += 1;
        }
        assert!((5..30).contains(&tries), "{tries}");
    }

    #[test]
    fn no_extension_ends_after_twelve_hours() {
        let mut heartbeat = begun(28);
        let mut ends_at = time(28);
        while let Some(at) = heartbeat.next_at() {
            let taken = heartbeat.take_due(at);
            let Some((_, by)) = taken.first() else { break };
            ends_at = at + *by;
            heartbeat.extended(at, MESSAGE, ends_at);
        }
        assert_eq!(ends_at, time(12 * 3_600 - 60));
    }

    fn begun(lease: u64) -> Heartbeat {
        let mut heartbeat = Heartbeat::default();
        heartbeat.begin(time(0), MESSAGE, time(lease));
        heartbeat
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn time(after: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000) + seconds(after)
    }
}
