//! Numbers for ordering keys, and what is known of each key under its number. A text is looked up when a record comes in
//! and when nothing is left of its key; in between the number is enough.
//!
//! Invariant: a key keeps its number until it is forgotten. Texts are hashed and never walked, so no order of theirs
//! shows.

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;

use super::record::OrderingKey;

/// An ordering key's number within its consumer, as long as a record of it waits or is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyId(usize);

#[derive(Debug)]
pub(super) struct Keys<T> {
    ids: HashMap<OrderingKey, KeyId, RandomState>,
    states: Vec<T>,
    /// Numbers that no key has.
    unused: Vec<KeyId>,
}

impl<T: Default> Keys<T> {
    /// The key's number. A new one's state is the default, or as it was left when the number's last key was forgotten.
    pub(super) fn id(&mut self, name: &OrderingKey) -> KeyId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.unused.pop().unwrap_or(KeyId(self.states.len()));
        if id.0 == self.states.len() {
            self.states.push(T::default());
        }
        self.ids.insert(name.clone(), id);
        id
    }

    /// The number is free for another key.
    pub(super) fn forget(&mut self, name: &OrderingKey) {
        let id = self.ids.remove(name).expect("only a numbered key is forgotten");
        self.unused.push(id);
    }

    /// Gives memory back if no key has a number.
    pub(super) fn shrink(&mut self) {
        if self.ids.is_empty() {
            *self = Self::default();
        }
    }

    /// What is known of every key, and of numbers that no key has.
    pub(super) fn states_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.states.iter_mut()
    }
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self { ids: HashMap::default(), states: Vec::new(), unused: Vec::new() }
    }
}

impl<T> Index<KeyId> for Keys<T> {
    type Output = T;

    fn index(&self, id: KeyId) -> &T {
        &self.states[id.0]
    }
}

impl<T> IndexMut<KeyId> for Keys<T> {
    fn index_mut(&mut self, id: KeyId) -> &mut T {
        &mut self.states[id.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_serves_another_key_when_its_own_is_forgotten() {
        let [first, second, third] = ["a", "b", "c"].map(OrderingKey::new);
        let mut keys = Keys::default();
        let (a, b) = (keys.id(&first), keys.id(&second));
        keys[a] = 7;
        assert_eq!(keys.id(&first), a);
        assert_ne!(a, b);

        keys.forget(&first);

        assert_eq!(keys.id(&third), a);
        assert_eq!(keys[a], 7, "whoever forgets a key says what is left of its state");
    }

    #[test]
    fn without_keys_memory_is_given_back() {
        let names: Vec<_> = (0..100).map(|number| OrderingKey::new(number.to_string())).collect();
        let mut keys = Keys::<u64>::default();
        for name in &names {
            keys.id(name);
        }

        for name in &names[1..] {
            keys.forget(name);
        }
        keys.shrink();
        assert!(keys.states.capacity() >= 100, "a key still has a number");
        keys.forget(&names[0]);
        keys.shrink();

        assert_eq!((keys.ids.capacity(), keys.states.capacity(), keys.unused.capacity()), (0, 0, 0));
    }
}
