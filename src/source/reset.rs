//! A reader whose position the source no longer knows begins anew at the oldest record (`docs/semantics.md` 6.2). What is
//! told of that: why, and between which moments records may not have been read. Knows no source.

use super::SourceError;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{PositionReset, Record};
use crate::telemetry::chain;

/// What one reader has to tell.
#[derive(Debug, Default)]
pub(super) struct Reset {
    /// The next records are the first after a new beginning, and why.
    reason: Option<PositionReset>,
    /// When the last record that was handed out arrived; `None` before the first.
    last_arrived_at: Option<Timestamp>,
}

impl Reset {
    /// Reading goes on at the oldest record instead of the position.
    pub fn begin(&mut self, position: &UpTo, refusal: &SourceError, reason: PositionReset) {
        tracing::warn!(
            %position,
            error = %chain(refusal),
            "the stream no longer knows the last record read: reading on at the oldest one it has"
        );
        self.reason = Some(reason);
    }

    /// These are handed out, the shard's last ones if it `ended`. Answers why reading began anew, if it did and this is
    /// the first that is known of it.
    pub fn hand_out(&mut self, records: &[Record], ended: bool) -> Option<PositionReset> {
        let reason = if records.is_empty() && !ended { None } else { self.reason.take() };
        if let (Some(_), Some(first)) = (reason, records.first()) {
            self.tell_gap(first.arrived_at);
        }
        self.last_arrived_at = records.last().map(|last| last.arrived_at).or(self.last_arrived_at);
        reason
    }

    /// Says between which moments nothing was read. A position that was stored tells no moment.
    fn tell_gap(&self, to: Timestamp) {
        let [from, to] = [self.last_arrived_at, Some(to)].map(|moment| moment.and_then(Timestamp::to_utc));
        match (from, to) {
            (Some(from), Some(to)) => {
                let seconds = to.duration_since(from).as_secs();
                tracing::warn!(%from, %to, seconds, "records that arrived in between may not have been read");
            }
            (None, Some(to)) => tracing::warn!(%to, "records that arrived before this may not have been read"),
            (_, None) => {}
        }
    }
}
