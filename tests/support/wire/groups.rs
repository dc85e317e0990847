//! What a FIFO queue has in addition: groups. The messages of a group are those of one key, in order. A receive takes the
//! oldest messages of groups that are not in flight, of each as many as fit; a group is in flight until all that was
//! handed out of it is deleted. Knows neither visibility nor puts: all messages are there from the beginning.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Groups {
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    groups: usize,
    messages: u64,
    /// The first waiting message of each group that is not in flight.
    free: BTreeSet<u64>,
    in_flight: HashMap<u64, Group>,
}

struct Group {
    /// Its first message that was not handed out; there may be none.
    next: u64,
    undeleted: u64,
}

impl Groups {
    pub(super) fn new(groups: u64, messages: u64) -> Self {
        let free = (0..groups.min(messages)).collect();
        let groups = usize::try_from(groups).expect("groups fit into memory");
        Self { state: Mutex::new(State { groups, messages, free, in_flight: HashMap::new() }), freed: Notify::new() }
    }

    /// The numbers of up to `max` messages; none if no group had any until `end`.
    pub(super) async fn receive(&self, max: usize, end: Instant) -> Vec<u64> {
        loop {
            let numbers = self.state().take(max);
            if !numbers.is_empty() || tokio::time::timeout_at(end, self.freed.notified()).await.is_err() {
                return numbers;
            }
        }
    }

    pub(super) fn delete(&self, number: u64) {
        if self.state().delete(number) {
            self.freed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panicked while it was held")
    }
}

impl State {
    fn take(&mut self, max: usize) -> Vec<u64> {
        let mut taken = Vec::with_capacity(max);
        while taken.len() < max
            && let Some(first) = self.free.pop_first()
        {
            let before = taken.len();
            taken.extend((first..self.messages).step_by(self.groups).take(max - before));
            let (undeleted, stride) = ((taken.len() - before) as u64, self.groups as u64);
            self.in_flight.insert(first % stride, Group { next: first + undeleted * stride, undeleted });
        }
        taken
    }

    /// Whether that made a group free which has more messages.
    fn delete(&mut self, number: u64) -> bool {
        let group = number % self.groups as u64;
        let of_group = self.in_flight.get_mut(&group).expect("only what was handed out is deleted, and once");
        of_group.undeleted -= 1;
        if of_group.undeleted > 0 {
            return false;
        }
        let next = of_group.next;
        self.in_flight.remove(&group);
        next < self.messages && self.free.insert(next)
    }
}
