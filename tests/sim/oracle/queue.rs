//! A queue's book: every message, its group's order, who may delete it.

mod leases;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use esmd::core::Timestamp;
use esmd::core::record::{Origin, Received};
use esmd::core::settlement::Settlement;

use super::flight::{Carried, Flight, FlightId, Heard};
use super::{Terms, Verdict};
use crate::fakes::queue::FakeQueue;
use crate::plan::Sieve;

pub struct QueueBook {
    queue: FakeQueue,
    pub sieve: Option<Sieve>,
    /// By number.
    messages: Vec<Message>,
    numbers: BTreeMap<Arc<str>, usize>,
    groups: BTreeMap<String, Group>,
    /// What a standard queue's consumer holds and has not invoked with success, and until when by its own clock.
    held: BTreeMap<usize, Timestamp>,
    /// Receipts under which the queue was told what became of a message.
    told: BTreeSet<Arc<str>>,
}

struct Message {
    id: Arc<str>,
    /// The lives that heard that an invocation with it succeeded.
    succeeded_in: BTreeSet<u32>,
    /// The receives whose invocation failed.
    failed: BTreeSet<u32>,
    /// The latest receive that was invoked.
    invoked: u32,
    /// Its queue handed it out again while somebody held it.
    is_repeated: bool,
}

#[derive(Default)]
struct Group {
    numbers: Vec<usize>,
    /// So many of them are no longer in the queue.
    gone: usize,
}

impl QueueBook {
    pub fn new(queue: FakeQueue) -> Self {
        let (numbers, groups, held) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let told = BTreeSet::new();
        Self { queue, sieve: None, messages: Vec::new(), numbers, groups, held, told }
    }

    /// Whether the mapping's filter lets it through.
    fn passes(&self, number: usize) -> bool {
        self.sieve.as_ref().is_none_or(|sieve| sieve.passes(number as u64))
    }

    /// Whether it is left to others.
    fn is_kept(&self, number: usize) -> bool {
        !self.passes(number) && self.sieve.as_ref().is_some_and(|sieve| sieve.keeps)
    }

    pub fn sent(&mut self, group: Option<&str>, id: &Arc<str>) {
        let number = self.messages.len();
        self.numbers.insert(Arc::clone(id), number);
        let (succeeded_in, failed) = (BTreeSet::new(), BTreeSet::new());
        let (invoked, is_repeated) = (0, false);
        self.messages.push(Message { id: Arc::clone(id), succeeded_in, failed, invoked, is_repeated });
        if let Some(group) = group {
            self.groups.entry(group.to_owned()).or_default().numbers.push(number);
        }
    }

    pub fn repeated(&mut self, number: usize) {
        self.messages[number].is_repeated = true;
    }

    pub fn has_succeeded(&self, number: usize) -> bool {
        !self.messages[number].succeeded_in.is_empty()
    }

    /// A new consumer holds nothing.
    pub fn claimed(&mut self) {
        self.held.clear();
    }

    /// `docs/architecture.md` 5, invariant 4. Of a FIFO queue's messages the daemon may let go early, so nobody else can
    /// count them.
    pub fn received(
        &mut self,
        received: &Received,
        terms: Terms,
        now: Timestamp,
        flights: &BTreeMap<FlightId, Flight>,
    ) -> Verdict {
        for record in &received.records {
            let Origin::Message { id, receipt } = &record.origin else {
                return Err("a position in a queue".to_owned());
            };
            if self.is_kept(self.numbers[id]) {
                continue;
            }
            let ends_at = self.held.entry(self.numbers[id]).or_default();
            *ends_at = receipt.ends_at.max(*ends_at);
        }
        let flying: BTreeSet<_> =
            flights.values().flat_map(|flight| &flight.records).map(|record| record.number).collect();
        self.held.retain(|number, ends_at| *ends_at > now || flying.contains(number));
        let capacity = terms.lanes * terms.batch_size;
        if self.groups.is_empty() && self.held.len() > capacity {
            return Err(format!("{} messages are held, {capacity} at most", self.held.len()));
        }
        Ok(())
    }

    /// `docs/semantics.md` 9, invariants 45, 52 and 61.
    pub fn judge_begin(&mut self, life: u32, records: &[Carried]) -> Verdict {
        for (index, record) in records.iter().enumerate() {
            if !self.passes(record.number) {
                return Err(format!("{} is invoked, and no filter lets it through", record.number));
            }
            let message = &self.messages[record.number];
            if message.failed.contains(&record.receives) {
                return Err(format!("{} is invoked again after it failed in the same receive", record.number));
            }
            let look = self.queue.look(&message.id);
            if look.is_some_and(|look| !look.leased) && !message.is_repeated {
                return Err(format!("life {life} invokes {} on a lease that is over", record.number));
            }
            if !record.key.is_empty()
                && let Some(older) = self.older_left(record, &records[..index])
            {
                return Err(format!("{} of group {} is invoked before {older}", record.number, record.key));
            }
        }
        for record in records {
            self.messages[record.number].invoked = record.receives;
        }
        Ok(())
    }

    /// `docs/semantics.md` 4.6: what a drain leaves uninvoked is there for others at once. Of a FIFO queue's messages the
    /// daemon lets go those whose group may not go on.
    pub fn judge_drain(&self) -> Verdict {
        if !self.groups.is_empty() {
            return Ok(());
        }
        let is_kept = |message: &Message| {
            let look = self.queue.look(&message.id);
            look.is_some_and(|look| look.leased && look.receives > message.invoked)
        };
        let kept = self.messages.iter().position(is_kept);
        kept.map_or(Ok(()), |number| Err(format!("{number} was not invoked, and stays hidden after the drain")))
    }

    pub fn ended(&mut self, life: u32, records: &[Carried], heard: &Heard) {
        for (place, record) in records.iter().enumerate() {
            let has_failed = match heard {
                Heard::Succeeded => false,
                Heard::Reported(failed) => failed.contains(&place),
                Heard::Failed => true,
                Heard::NotRun => continue,
            };
            let message = &mut self.messages[record.number];
            if has_failed {
                message.failed.insert(record.receives);
            } else {
                message.succeeded_in.insert(life);
            }
            self.held.remove(&record.number); // nobody sees how long it is tried to delete it
        }
    }

    /// `docs/semantics.md` 9, invariants 45, 46, 48 and 53: deleted is what succeeded, and nothing under a receive that
    /// failed, or what no filter lets through; returned is what is not under way.
    pub fn settling(&mut self, life: u32, settlement: &Settlement, flights: &BTreeMap<FlightId, Flight>) -> Verdict {
        let number = self.numbers[&settlement.handle().id];
        let flies = |flight: &Flight| {
            flight.connection.0 == life && flight.records.iter().any(|record| record.number == number)
        };
        if flights.values().any(flies) {
            return Err(format!("{settlement:?} while its invocation runs"));
        }
        let succeeded = self.messages[number].succeeded_in.contains(&life);
        match settlement {
            Settlement::Delete(handle) if self.messages[number].failed.contains(&receives(&handle.receipt)) => {
                Err(format!("{number} is deleted under {}, and its invocation failed", handle.receipt))
            }
            Settlement::Delete(_) if self.is_kept(number) => {
                Err(format!("{number} is deleted, and is others' to have"))
            }
            Settlement::Delete(_) if !self.passes(number) => Ok(()),
            Settlement::Delete(_) if !succeeded => Err(format!("{number} is deleted, and no invocation succeeded")),
            Settlement::Delete(_) | Settlement::Return(_) => Ok(()),
        }
    }

    /// It was received again while it was being deleted, perhaps.
    pub fn settled(&mut self, settlement: &Settlement) {
        self.told.insert(Arc::clone(&settlement.handle().receipt));
        self.held.remove(&self.numbers[&settlement.handle().id]);
    }

    /// `docs/semantics.md` 9, invariants 46 and 56.
    pub fn judge_losses(&self) -> Verdict {
        let dead: BTreeSet<String> = self.queue.dead().into_iter().collect();
        let lost = self.messages.iter().enumerate().find(|(number, message)| {
            let succeeded = !message.succeeded_in.is_empty();
            let may_be_gone = succeeded || !(self.passes(*number) || self.is_kept(*number));
            !may_be_gone && self.queue.look(&message.id).is_none() && !dead.contains(&number.to_string())
        });
        lost.map_or(Ok(()), |(number, _)| Err(format!("{number} is lost")))
    }

    pub fn unsettled(&self) -> Option<String> {
        let left: Vec<usize> = self.queue.left().iter().map(|body| body.parse().expect("a body is a number")).collect();
        let awaited: Vec<_> = left.iter().filter(|number| !self.may_stay(**number, &left)).collect();
        (!awaited.is_empty()).then(|| format!("the queue still has {awaited:?}"))
    }

    /// What is left to others may stay, and so may what is behind it in its group, which it locks.
    fn may_stay(&self, number: usize, left: &[usize]) -> bool {
        let group = self.groups.values().find(|group| group.numbers.binary_search(&number).is_ok());
        let locks = |other: &usize| *other < number && self.is_kept(*other) && left.contains(other);
        self.is_kept(number) || group.is_some_and(|group| group.numbers.iter().any(locks))
    }

    /// A message of the same group that comes first, is still in the queue, and is not in front of it in the batch.
    fn older_left(&mut self, record: &Carried, in_front: &[Carried]) -> Option<usize> {
        let group = self.groups.get_mut(&record.key)?;
        let is_left = |number: usize| self.queue.look(&self.messages[number].id).is_some();
        while group.numbers.get(group.gone).is_some_and(|number| !is_left(*number)) {
            group.gone += 1;
        }
        let own = group.numbers.partition_point(|number| *number < record.number);
        let sieve = &self.sieve;
        let passes = |number: &usize| sieve.as_ref().is_none_or(|sieve| sieve.passes(*number as u64));
        let mut older = group.numbers[group.gone.min(own)..own].iter().copied().filter(passes);
        older.find(|number| is_left(*number) && !in_front.iter().any(|other| other.number == *number))
    }
}

/// The fake's receipt handles tell how often their message was received.
fn receives(receipt: &str) -> u32 {
    let (_, receives) = receipt.rsplit_once('/').expect("the fake's receipt handles have two parts");
    receives.parse().expect("the second is a number")
}
