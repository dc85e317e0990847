//! A consumer's settings: what its mapping says, less what only adapters need.

use std::time::Duration;

use crate::mapping::{EventSourceMapping, Retries, SourceSettings};

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
    /// Length of a stream's tumbling windows, whole seconds; `None`: it has none. Then there is one lane.
    pub tumbling_window: Option<Duration>,
    /// Most bytes of a batch's elements, each counted with a comma. A window's state counts too.
    pub batch_bytes: usize,
    /// When a stream's records are given up.
    pub retry: RetrySettings,
    /// Whether a queue's messages that no filter let through are left to others instead of deleted.
    pub keeps_filtered: bool,
    /// Seed of the back-off's jitter.
    pub seed: u64,
}

/// When a stream's records are given up, and how a failed batch is tried again (`docs/semantics.md` 6.6). The default
/// is AWS's: never, and unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetrySettings {
    /// Most attempts of the same records, the first one included; `None`: no limit.
    pub attempts_max: Option<u32>,
    /// Records this old are not invoked; `None`: no limit.
    pub age_max: Option<Duration>,
    /// How long the source keeps records; `None`: it does not say. Those that failed are given up after that.
    pub retention: Option<Duration>,
    /// Whether a failed batch of several records is halved.
    pub bisect: bool,
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
    /// The settings of a mapping's consumers. `batch_bytes`, `retention` and `seed` are the fields of these names.
    #[must_use]
    pub fn of(mapping: &EventSourceMapping, batch_bytes: usize, retention: Option<Duration>, seed: u64) -> Self {
        let (kind, lanes, retry, tumbling_window) = match &mapping.source {
            SourceSettings::Queue(queue) => {
                (Kind::Queue, queue.maximum_concurrency.unwrap_or(QUEUE_CONCURRENCY), RetrySettings::default(), None)
            }
            SourceSettings::Stream(stream) => {
                let Retries { maximum_attempts, maximum_record_age, bisect } = stream.retries;
                let attempts_max = maximum_attempts.map(|retries| retries + 1);
                let retry = RetrySettings { attempts_max, age_max: maximum_record_age, retention, bisect };
                (Kind::Stream, stream.parallelization_factor, retry, stream.tumbling_window)
            }
        };
        let lanes = usize::try_from(lanes).expect("at most 1,000 lanes");
        let (batch_size, window) = (mapping.batching.size, mapping.batching.window);
        let keeps_filtered = mapping.esmd.keep_filtered;
        Self { kind, lanes, batch_size, window, tumbling_window, batch_bytes, retry, keeps_filtered, seed }
    }
}

/// Concurrent invocations of a queue without `MaximumConcurrency`: where AWS begins (`docs/semantics.md` 4.1).
const QUEUE_CONCURRENCY: u32 = 5;
