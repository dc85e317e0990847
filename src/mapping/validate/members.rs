//! The members of a document that can be judged one by one, and every limit of theirs. Knows no document: `validate`
//! looks the values up.

use crate::mapping::StreamKind;

/// The kinds of source that differ in what they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Standard,
    Fifo,
    Stream(StreamKind),
}

/// A member that can be judged by itself, once the kind of source is known.
pub(super) struct Member {
    pub(super) path: &'static str,
    /// The kinds that have it.
    pub(super) kinds: &'static [Kind],
    /// Lowest and highest number, both allowed.
    pub(super) bounds: Option<(i64, i64)>,
    /// The number that asks for nothing, if one does. Empty values always ask for nothing.
    pub(super) neutral: Option<i64>,
    pub(super) support: Support,
}

/// What becomes of a value that asks for something.
#[derive(Clone, Copy)]
pub(super) enum Support {
    /// It is honoured.
    Full,
    /// It is refused until a later version does it.
    Later,
    /// It is refused for good, with this rule.
    Never(&'static str),
}

const ALL: &[Kind] =
    &[Kind::Standard, Kind::Fifo, Kind::Stream(StreamKind::Kinesis), Kind::Stream(StreamKind::Dynamodb)];
const QUEUES: &[Kind] = &[Kind::Standard, Kind::Fifo];
const STREAMS: &[Kind] = &[Kind::Stream(StreamKind::Kinesis), Kind::Stream(StreamKind::Dynamodb)];
/// Sources that esmd does not read at all: Kafka, MQ, `DocumentDB`.
const NONE: &[Kind] = &[];

/// The members with their limits (`docs/semantics.md` 0, 1.3, 1.7), in the order in which their errors are told.
pub(super) const MEMBERS: &[Member] = &[
    Member::number("BatchSize", ALL, 1, 10_000),
    Member::number("MaximumBatchingWindowInSeconds", ALL, 0, 300),
    Member::number("ParallelizationFactor", STREAMS, 1, 10).neutral(1),
    Member::number("MaximumRecordAgeInSeconds", STREAMS, -1, 604_800).neutral(-1),
    Member::number("MaximumRetryAttempts", STREAMS, -1, 10_000).neutral(-1),
    Member::number("TumblingWindowInSeconds", STREAMS, 0, 900).neutral(0).later(),
    Member::number("ScalingConfig.MaximumConcurrency", QUEUES, 2, 1_000),
    Member::number("Esmd.FunctionTimeout", ALL, 1, 900),
    Member::number("Esmd.StallAfterSeconds", ALL, 10, 86_400),
    Member::other("StartingPosition", STREAMS),
    Member::other("StartingPositionTimestamp", STREAMS),
    Member::other("FilterCriteria.Filters", ALL).later(),
    Member::other("FunctionResponseTypes", ALL),
    Member::other("BisectBatchOnFunctionError", STREAMS),
    Member::other("DestinationConfig.OnSuccess.Destination", STREAMS)
        .never("OnSuccess configuration is not supported for event source mappings."),
    Member::other("DestinationConfig.OnFailure.Destination", STREAMS),
    Member::number("ProvisionedPollerConfig.MinimumPollers", QUEUES, 1, 200).later(),
    Member::number("ProvisionedPollerConfig.MaximumPollers", QUEUES, 1, 2_000).later(),
    Member::other("ProvisionedPollerConfig.PollerGroupName", QUEUES).later(),
    Member::other("KMSKeyArn", ALL).later(),
    Member::other("MetricsConfig.Metrics", ALL).later(),
    Member::other("Tags", ALL).later(),
    Member::other("LoggingConfig", NONE),
    Member::other("Topics", NONE),
    Member::other("Queues", NONE),
    Member::other("SourceAccessConfigurations", NONE),
    Member::other("SelfManagedEventSource", NONE),
    Member::other("AmazonManagedKafkaEventSourceConfig", NONE),
    Member::other("SelfManagedKafkaEventSourceConfig", NONE),
    Member::other("DocumentDBEventSourceConfig", NONE),
];

impl Member {
    const fn number(path: &'static str, kinds: &'static [Kind], lowest: i64, highest: i64) -> Self {
        Self { path, kinds, bounds: Some((lowest, highest)), neutral: None, support: Support::Full }
    }

    const fn other(path: &'static str, kinds: &'static [Kind]) -> Self {
        Self { path, kinds, bounds: None, neutral: None, support: Support::Full }
    }

    const fn neutral(self, number: i64) -> Self {
        Self { neutral: Some(number), ..self }
    }

    const fn later(self) -> Self {
        Self { support: Support::Later, ..self }
    }

    const fn never(self, rule: &'static str) -> Self {
        Self { support: Support::Never(rule), ..self }
    }
}
