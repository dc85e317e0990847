//! A lane owns one batch from its cut until every record of it is settled, discarded, left or let go. A batch that was
//! halved, or lost records to age, goes on as parts: the lane finishes them in order before it takes new records.
//!
//! ```text
//! Idle ──cut──▶ the current part's next step:
//!                 too old ─▶ Discarding ──confirmed──▶ next part, or Idle
//!                 not due ─▶ BackingOff ──due, too old──▶ next step
//!                 else ────▶ Invoking ──settled, left──▶ next part, or Idle
//!                                     ──halved──▶ next part
//!                                     ──failed, throttled, progress──▶ next step, after a back-off
//!                                     ──out of attempts──▶ Discarding
//! Discarding ──not delivered──▶ BackingOff ──due──▶ Discarding
//! BackingOff ──every lease ended──▶ Idle
//! ```

use std::sync::Arc;

use super::Timestamp;
use super::action::DiscardReason;
use super::batch::{Batch, BatchId, Entry};

#[derive(Debug, Default)]
pub(super) enum Lane {
    /// Takes the next batch.
    #[default]
    Idle,
    /// The current part is at the target.
    Invoking(Work),
    /// The current part is being given up, which is not confirmed yet.
    Discarding(Work, DiscardReason),
    /// The current part waits for what comes next.
    BackingOff { work: Work, until: Timestamp, next: Next },
}

/// What a lane holds.
#[derive(Debug)]
pub(super) struct Work {
    /// The part that is invoked or discarded now.
    pub(super) current: Batch,
    /// The parts after it, the next one last.
    pub(super) later: Vec<Batch>,
    /// Whether any part of the batch was invoked, even if what is left of it never was.
    pub(super) was_invoked: bool,
}

/// What is tried again after a back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Invoke,
    Discard(DiscardReason),
}

impl Work {
    pub(super) fn new(batch: Batch) -> Self {
        Self { current: batch, later: Vec::new(), was_invoked: false }
    }

    /// What is left when the current part is finished.
    pub(super) fn finish_current(mut self) -> Option<Self> {
        let current = self.later.pop()?;
        Some(Self { current, ..self })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.parts().flat_map(|part| part.entries.iter())
    }

    fn parts(&self) -> impl Iterator<Item = &Batch> {
        std::iter::once(&self.current).chain(self.later.iter().rev())
    }
}

impl Lane {
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    pub(super) const fn work(&self) -> Option<&Work> {
        match self {
            Self::Idle => None,
            Self::Invoking(work) | Self::Discarding(work, _) | Self::BackingOff { work, .. } => Some(work),
        }
    }

    /// Bytes of the records that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.work().map_or(0, |work| work.parts().map(|part| part.bytes).sum())
    }

    /// Failed attempts of its current part.
    pub(super) fn attempts(&self) -> u32 {
        self.work().map_or(0, |work| work.current.attempts)
    }

    /// Whether its batch did not succeed at its first invocation.
    pub(super) fn is_retrying(&self) -> bool {
        matches!(self, Self::Discarding(..)) || self.work().is_some_and(|work| work.was_invoked)
    }

    /// Whether its current part is the one that was invoked under this name.
    pub(super) fn invokes(&self, id: BatchId) -> bool {
        matches!(self, Self::Invoking(work) if work.current.id == id)
    }

    /// Whether its current part is the one that is being discarded under this name.
    pub(super) fn discards(&self, id: BatchId) -> bool {
        matches!(self, Self::Discarding(work, _) if work.current.id == id)
    }

    /// Takes records out of a batch that waits to be invoked; the lane is idle if none is left.
    pub(super) fn shrink(&mut self, goes: impl Fn(&Arc<Entry>) -> bool) -> Vec<Arc<Entry>> {
        let Self::BackingOff { work, .. } = self else { return Vec::new() };
        debug_assert!(work.later.is_empty(), "a queue's batch has one part");
        let (gone, kept): (Vec<_>, Vec<_>) = work.current.entries.iter().cloned().partition(goes);
        if kept.is_empty() {
            *self = Self::Idle;
        } else if !gone.is_empty() {
            work.current.keep(kept);
        }
        gone
    }

    /// When its current part is to be tried again.
    pub(super) const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::BackingOff { until, .. } => Some(*until),
            Self::Idle | Self::Invoking(_) | Self::Discarding(..) => None,
        }
    }

    /// Takes all away; the lane is idle.
    pub(super) fn take(&mut self) -> Option<Work> {
        match std::mem::take(self) {
            Self::Idle => None,
            Self::Invoking(work) | Self::Discarding(work, _) | Self::BackingOff { work, .. } => Some(work),
        }
    }
}
