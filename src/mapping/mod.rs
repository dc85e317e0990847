//! The model that the file, the API and the command line share: a [`document::MappingDocument`] is what a user wrote,
//! an [`EventSourceMapping`] is what esmd runs. The only way from one to the other is `validate`, so code behind it
//! never checks a range or a combination. Pure.

pub mod arn;
pub mod configuration;
pub mod document;
pub mod on_failure;
pub mod state;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use arn::{FunctionName, SourceArn};
use on_failure::OnFailure;

use crate::filter::RecordFilter;

/// A validated mapping of one source to one function. Immutable: a change makes a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSourceMapping {
    /// What is read, and how.
    pub source: SourceSettings,
    /// What is invoked.
    pub function: FunctionName,
    /// How records become batches.
    pub batching: Batching,
    /// Whether the function's answer may name the records that failed: `ReportBatchItemFailures`.
    pub reports_failures: bool,
    /// Which records reach the function; `None`: all of them.
    pub filter: Option<Arc<RecordFilter>>,
    /// Whether it runs.
    pub enabled: bool,
    /// Settings that AWS does not have.
    pub esmd: EsmdSettings,
}

impl EventSourceMapping {
    /// The queue or stream.
    #[must_use]
    pub fn source_arn(&self) -> &SourceArn {
        match &self.source {
            SourceSettings::Queue(queue) => &queue.arn,
            SourceSettings::Stream(stream) => &stream.arn,
        }
    }
}

/// Settings that differ by kind of source, so that a stream's setting on a queue cannot be represented.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSettings {
    /// An SQS queue.
    Queue(QueueSettings),
    /// A Kinesis stream, or the stream of a `DynamoDB` table.
    Stream(StreamSettings),
}

/// An SQS queue's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// The queue.
    pub arn: SourceArn,
    /// Whether message groups keep their order: the queue's name ends in `.fifo`.
    pub fifo: bool,
    /// Most invocations at a time, 2–1,000; `None`: 1,250.
    pub maximum_concurrency: Option<u32>,
    /// Provisioned mode, which excludes a maximum of invocations.
    pub pollers: Option<Pollers>,
}

/// A queue's dedicated pollers (`docs/semantics.md` 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pollers {
    /// Held at any time, 2–200.
    pub minimum: u32,
    /// Never more than these: `minimum`–2,000.
    pub maximum: u32,
}

/// A stream's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSettings {
    /// The stream, or a registered consumer of one.
    pub arn: SourceArn,
    /// Whose stream it is.
    pub kind: StreamKind,
    /// Where a shard without checkpoint begins.
    pub starting_position: StartingPosition,
    /// Concurrent batches per shard, 1–10.
    pub parallelization_factor: u32,
    /// Length of its tumbling windows, 1–900 s; `None`: none. With one, `parallelization_factor` is 1.
    pub tumbling_window: Option<Duration>,
    /// What becomes of a batch that fails.
    pub retries: Retries,
    /// Where discarded batches are reported; `None`: nowhere.
    pub on_failure: Option<OnFailure>,
}

/// What becomes of a stream's batch that fails (`docs/semantics.md` 6.6). The default is AWS's: the same again until it
/// succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Retries after the first attempt, 0–10,000; `None`: without end.
    pub maximum_attempts: Option<u32>,
    /// Records this old are discarded, 60–604,800 s; `None`: none is.
    pub maximum_record_age: Option<Duration>,
    /// Whether a failed batch is halved.
    pub bisect: bool,
}

/// The services that have streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A Kinesis data stream.
    Kinesis,
    /// The stream of a `DynamoDB` table.
    Dynamodb,
}

/// Where reading a stream begins (`docs/semantics.md` 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// At the oldest record retained.
    TrimHorizon,
    /// After the newest record at the time of the first listing.
    Latest,
    /// At the first record that arrived at this moment or later.
    AtTimestamp(jiff::Timestamp),
}

/// How records become batches (`docs/semantics.md` 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Most records of a batch: 1–10,000, 10 for FIFO queues.
    pub size: usize,
    /// How long an incomplete batch waits for more, 0–300 s; zero: not at all.
    pub window: Duration,
}

/// Settings under the key `Esmd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EsmdSettings {
    /// The function's timeout where the Lambda endpoint cannot say it, 1–900 s.
    pub function_timeout: Option<Duration>,
    /// `invokeIdentityArn` where the Lambda endpoint cannot say the function's role.
    pub invoke_identity_arn: Option<String>,
    /// How long a shard or queue may lag without getting on before its consumer begins again, 10–86,400 s.
    pub stall_after: Duration,
    /// Whether a queue's messages that match no filter are left to others instead of deleted.
    pub keep_filtered: bool,
    /// Whether the leases of a queue's messages are extended until they are settled.
    pub extend_visibility: bool,
    /// Whether bodies that senders put into a bucket are fetched from there.
    pub resolve_large_payloads: bool,
}

impl Default for EsmdSettings {
    fn default() -> Self {
        Self {
            function_timeout: None,
            invoke_identity_arn: None,
            stall_after: Duration::from_mins(5),
            keep_filtered: false,
            extend_visibility: false,
            resolve_large_payloads: false,
        }
    }
}
