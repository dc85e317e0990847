//! Gaps that the source told of, and what the daemon counted of them.

use super::Verdict;
use crate::resets::ResetsCounted;

/// Gaps that the source told of.
pub struct Resets {
    /// Answers that the daemon was given.
    pub told: u64,
    /// Those that it has surely seen: it asked again after them.
    pub heard: u64,
    /// What it counted.
    pub counted: ResetsCounted,
}

impl Resets {
    /// `docs/semantics.md` 6.2: each gap that the daemon was told of is counted, and no other.
    pub fn judge(&self) -> Verdict {
        let (Self { told, heard, .. }, counted) = (self, self.counted.get());
        if counted < *heard || counted > *told {
            return Err(format!("{told} gaps were told, {heard} of them surely heard, and {counted} counted"));
        }
        Ok(())
    }
}
