//! What is being read at this moment, for the log of a drain that did not end in time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::core::record::ShardId;

/// The shards that have a running consumer. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Board {
    running: Arc<Mutex<BTreeSet<(Uuid, ShardId)>>>,
}

/// Keeps a shard on the board until it is dropped.
pub(super) struct Entry {
    board: Board,
    name: (Uuid, ShardId),
}

impl Board {
    /// Every shard that has a running consumer, with its mapping.
    #[must_use]
    pub fn running(&self) -> Vec<(Uuid, ShardId)> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn enter(&self, mapping: Uuid, shard: ShardId) -> Entry {
        let name = (mapping, shard);
        self.lock().insert(name.clone());
        Entry { board: self.clone(), name }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Uuid, ShardId)>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.board.lock().remove(&self.name);
    }
}
