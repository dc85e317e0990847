//! What a queue's book says of leases that are extended, and of messages that an outage must not cost.

use esmd::core::Timestamp;
use esmd::core::settlement::{Extended, Extension};

use super::QueueBook;
use crate::oracle::Verdict;

impl QueueBook {
    /// Nobody asks for more of what is over, or of what was settled (`docs/semantics.md` 4.6).
    pub fn extending(&self, extension: &Extension) -> Verdict {
        let handle = &extension.handle;
        let number = self.numbers[&handle.id];
        if self.told.contains(&handle.receipt) {
            return Err(format!(
                "{number} is extended under {}, and its queue was told what became of it",
                handle.receipt
            ));
        }
        let is_over = self.queue.look(&handle.id).is_some_and(|look| !look.leased);
        if is_over && !self.messages[number].is_repeated {
            return Err(format!("{number} is extended under {}, and its lease is over", handle.receipt));
        }
        Ok(())
    }

    /// What was let go meanwhile is not held again.
    pub fn extended(&mut self, extension: &Extension, extended: Extended, now: Timestamp) {
        let held = self.held.get_mut(&self.numbers[&extension.handle.id]);
        if let (Extended::Until(ends_at), Some(held)) = (extended, held.filter(|held| **held > now)) {
            *held = ends_at.max(*held);
        }
    }

    /// None of the messages that the function would have taken went where its queue sends what fails.
    pub fn judge_spared(&self) -> Verdict {
        let dead = self.queue.dead();
        if dead.is_empty() { Ok(()) } else { Err(format!("an outage cost {dead:?}")) }
    }
}
