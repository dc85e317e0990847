//! Whether the records of each key reach the function in order, each once, and never in two invocations at a time. Looks
//! only where the function works on its records: the other loads do without its cost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

pub(super) struct Order {
    /// Records whose numbers differ by this have the same key.
    stride: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<u64, Key>,
    violations: u64,
}

struct Key {
    /// The number that must come next.
    next: u64,
    running: bool,
}

impl Order {
    pub(super) fn new(stride: u64) -> Self {
        Self { stride, state: Mutex::default() }
    }

    /// An invocation with these records begins.
    pub(super) fn begin(&self, numbers: &[u64]) {
        let mut state = self.state();
        let running = |number: &&u64| state.keys.get(&(**number % self.stride)).is_some_and(|key| key.running);
        let mut violations = numbers.iter().filter(running).count() as u64;
        for number in numbers {
            let first = number % self.stride;
            let key = state.keys.entry(first).or_insert(Key { next: first, running: true });
            violations += u64::from(key.next != *number);
            *key = Key { next: number + self.stride, running: true };
        }
        state.violations += violations;
    }

    /// An invocation with these records is over.
    pub(super) fn end(&self, numbers: &[u64]) {
        let mut state = self.state();
        for number in numbers {
            let key = state.keys.get_mut(&(number % self.stride));
            key.expect("it has begun").running = false;
        }
    }

    /// Records that came too early, again, or beside another one of their key.
    pub(super) fn violations(&self) -> u64 {
        self.state().violations
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panicked while it was held")
    }
}
