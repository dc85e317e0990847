//! A consumer's settings: what its mapping says, less what only adapters need.

use std::time::Duration;

use crate::mapping::{EventSourceMapping, SourceSettings};

/// How a consumer batches and how many batches it has in flight.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What settles a record.
    pub kind: Kind,
    /// Most batches in flight, at least 1.
    pub lanes: usize,
    /// Most records of a batch, at least 1.
    pub batch_size: usize,
    /// How long an incomplete batch waits for more; zero: not at all.
    pub window: Duration,
    /// Most bytes of a batch's elements, each counted with a comma.
    pub batch_bytes: usize,
    /// Seed of the back-off's jitter.
    pub seed: u64,
}

/// The kind of source decides three things: a failed batch is retried or left, settling moves the watermark or
/// deletes, and only a stream is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Settled by deleting.
    Queue,
    /// Settled by a checkpoint.
    Stream,
}

impl Settings {
    /// The settings of a mapping's consumers. `batch_bytes` and `seed` are the fields of these names.
    #[must_use]
    pub fn of(mapping: &EventSourceMapping, batch_bytes: usize, seed: u64) -> Self {
        let (kind, lanes) = match &mapping.source {
            SourceSettings::Queue(queue) => (Kind::Queue, queue.maximum_concurrency.unwrap_or(QUEUE_CONCURRENCY)),
            SourceSettings::Stream(stream) => (Kind::Stream, stream.parallelization_factor),
        };
        let lanes = usize::try_from(lanes).expect("at most 1,000 lanes");
        let (batch_size, window) = (mapping.batching.size, mapping.batching.window);
        Self { kind, lanes, batch_size, window, batch_bytes, seed }
    }
}

/// Concurrent invocations of a queue without `MaximumConcurrency`: where AWS begins (`docs/semantics.md` 4.1).
const QUEUE_CONCURRENCY: u32 = 5;
