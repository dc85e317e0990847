//! A lane owns one batch from its cut until every record of it is settled, left or let go.
//!
//! ```text
//!  Idle ──cut──▶ Invoking ──settled or left──▶ Idle
//!                 │    ▲
//!     failed, busy▼    │due
//!               BackingOff ──every lease ended──▶ Idle
//! ```

use std::sync::Arc;

use super::Timestamp;
use super::batch::{Batch, BatchId, Entry};

#[derive(Debug, Default)]
pub(super) enum Lane {
    /// Takes the next batch.
    #[default]
    Idle,
    /// Its batch is at the target.
    Invoking(Batch),
    /// Its batch is invoked again at this time.
    BackingOff { batch: Batch, until: Timestamp },
}

impl Lane {
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    pub(super) const fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Idle => None,
            Self::Invoking(batch) | Self::BackingOff { batch, .. } => Some(batch),
        }
    }

    /// Whether its batch did not succeed at its first invocation.
    pub(super) fn is_retrying(&self) -> bool {
        self.batch().is_some_and(|batch| batch.attempts + batch.waits > 0)
    }

    /// Whether its batch is the one that was invoked under this name.
    pub(super) fn invokes(&self, id: BatchId) -> bool {
        matches!(self, Self::Invoking(batch) if batch.id == id)
    }

    /// Takes records out of a batch that waits to be invoked; the lane is idle if none is left.
    pub(super) fn shrink(&mut self, goes: impl Fn(&Arc<Entry>) -> bool) -> Vec<Arc<Entry>> {
        let Self::BackingOff { batch, .. } = self else { return Vec::new() };
        let (gone, kept): (Vec<_>, Vec<_>) = batch.entries.iter().cloned().partition(goes);
        if kept.is_empty() {
            *self = Self::Idle;
        } else if !gone.is_empty() {
            batch.keep(kept);
        }
        gone
    }

    /// When its batch is to be invoked again.
    pub(super) const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::BackingOff { until, .. } => Some(*until),
            Self::Idle | Self::Invoking(_) => None,
        }
    }

    /// Takes the batch away; the lane is idle.
    pub(super) fn take(&mut self) -> Option<Batch> {
        match std::mem::take(self) {
            Self::Idle => None,
            Self::Invoking(batch) | Self::BackingOff { batch, .. } => Some(batch),
        }
    }
}
