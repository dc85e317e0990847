//! Gives up records of a stream: counts and logs them. Where the mapping has no destination that is all; they are
//! discarded as soon as that is said.

use tracing::warn;

use crate::core::Timestamp;
use crate::core::action::DiscardReason;
use crate::core::batch::Batch;
use crate::core::record::Origin;
use crate::log_limit::LogLimit;
use crate::telemetry::MappingMetrics;

/// What one consumer gives up.
pub(super) struct Discarding {
    metrics: MappingMetrics,
    log: LogLimit,
}

impl Discarding {
    pub(super) fn new(metrics: MappingMetrics) -> Self {
        Self { metrics, log: LogLimit::default() }
    }

    /// Nobody will process these records.
    pub(super) fn report(&mut self, now: Timestamp, batch: &Batch, reason: DiscardReason) {
        self.metrics.dropped(batch.len() as u64, reason);
        if let Some(suppressed) = self.log.permit(now) {
            let (first, last) = numbers(batch);
            warn!(
                reason = reason.name(),
                records = batch.len(),
                attempts = batch.attempts,
                first,
                last,
                suppressed,
                "records given up: nobody processes them"
            );
        }
    }
}

/// The first and the last sequence number.
fn numbers(batch: &Batch) -> (&str, &str) {
    let mut numbers = batch.records().filter_map(|record| match &record.origin {
        Origin::Position(position) => Some(position.sequence_number.as_str()),
        Origin::Message { .. } => None,
    });
    let first = numbers.next().unwrap_or_default();
    (first, numbers.last().unwrap_or(first))
}
