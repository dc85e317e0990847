//! The members of a document that can be judged one by one, and every limit of theirs. Knows no document: `validate`
//! looks the values up.

use serde_json::Value;

use super::rule::Rule;
use crate::mapping::StreamKind;
use crate::mapping::arn::is_key_arn;

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
    kinds: &'static [Kind],
    values: Values,
    /// The number that asks for nothing, if one does. Empty values always ask for nothing.
    neutral: Option<i64>,
    pub(super) support: Support,
}

/// What Lambda's API model says of a member's values.
#[derive(Clone, Copy)]
enum Values {
    /// Nothing that is judged here.
    Any,
    /// Lowest and highest number, both allowed.
    Numbers(i64, i64),
    /// The texts there are.
    OneOf(&'static [&'static str]),
    /// At most `longest` of the texts there are.
    ListOf { known: &'static [&'static str], longest: usize },
    /// The ARN of a key, or nothing.
    KeyArn,
}

/// What becomes of a value that asks for something.
#[derive(Clone, Copy)]
pub(super) enum Support {
    /// It is honoured.
    Full,
    /// It is refused until a later version does it.
    Later,
    /// It is refused for good: no mapping has a destination for what succeeded.
    NeverOnSuccess,
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
    Member::number("TumblingWindowInSeconds", STREAMS, 0, 900).neutral(0),
    Member::number("ScalingConfig.MaximumConcurrency", QUEUES, 2, 1_000),
    Member::number("Esmd.FunctionTimeout", ALL, 1, 900),
    Member::number("Esmd.StallAfterSeconds", ALL, 10, 86_400),
    Member::other("Esmd.ExtendVisibility", QUEUES),
    Member::other("Esmd.ResolveLargePayloads", QUEUES),
    Member::other("StartingPosition", STREAMS).values(Values::OneOf(&["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"])),
    Member::other("StartingPositionTimestamp", STREAMS),
    Member::other("FilterCriteria.Filters", ALL),
    Member::other("FunctionResponseTypes", ALL)
        .values(Values::ListOf { known: &["ReportBatchItemFailures"], longest: 1 }),
    Member::other("BisectBatchOnFunctionError", STREAMS),
    Member::other("DestinationConfig.OnSuccess.Destination", STREAMS).never_on_success(),
    Member::other("DestinationConfig.OnFailure.Destination", STREAMS),
    Member::number("ProvisionedPollerConfig.MinimumPollers", QUEUES, 1, 200),
    Member::number("ProvisionedPollerConfig.MaximumPollers", QUEUES, 1, 2_000),
    Member::other("ProvisionedPollerConfig.PollerGroupName", QUEUES).later(),
    Member::other("KMSKeyArn", ALL).values(Values::KeyArn),
    Member::other("MetricsConfig.Metrics", ALL)
        .values(Values::ListOf { known: &["EventCount", "ErrorCount", "KafkaMetrics"], longest: 3 }),
    Member::other("Tags", ALL),
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
    /// Whether that kind of source has it; of an unknown one, whether any has.
    pub(super) fn is_of(&self, kind: Option<Kind>) -> bool {
        kind.map_or(!self.kinds.is_empty(), |kind| self.kinds.contains(&kind))
    }

    /// Whether the value is absent, empty or AWS's default.
    pub(super) fn asks_for_nothing(&self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Bool(asked) => !asked,
            Value::Number(number) => self.neutral.is_some() && number.as_i64() == self.neutral,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(members) => members.is_empty(),
        }
    }

    /// The constraint of the API's model that a value breaks which asks for something.
    pub(super) fn broken_constraint(&self, value: &Value) -> Option<Rule> {
        match (self.values, value) {
            (Values::Numbers(lowest, highest), value) => match value.as_i64()? {
                number if number < lowest => Some(Rule::at_least(lowest)),
                number if number > highest => Some(Rule::at_most(highest)),
                _ => None,
            },
            (Values::OneOf(known), Value::String(text)) if !known.contains(&text.as_str()) => Some(Rule::one_of(known)),
            (Values::ListOf { known, longest }, Value::Array(values)) => {
                let is_known = |value: &Value| value.as_str().is_some_and(|text| known.contains(&text));
                if values.iter().all(is_known) {
                    (values.len() > longest).then(|| Rule::no_longer_than(longest))
                } else {
                    Some(Rule::list_of(known))
                }
            }
            (Values::KeyArn, Value::String(text)) if !is_key_arn(text) => Some(Rule::KEY_PATTERN),
            _ => None,
        }
    }

    const fn number(path: &'static str, kinds: &'static [Kind], lowest: i64, highest: i64) -> Self {
        Self::other(path, kinds).values(Values::Numbers(lowest, highest))
    }

    const fn other(path: &'static str, kinds: &'static [Kind]) -> Self {
        Self { path, kinds, values: Values::Any, neutral: None, support: Support::Full }
    }

    const fn values(self, values: Values) -> Self {
        Self { values, ..self }
    }

    const fn neutral(self, number: i64) -> Self {
        Self { neutral: Some(number), ..self }
    }

    const fn later(self) -> Self {
        Self { support: Support::Later, ..self }
    }

    const fn never_on_success(self) -> Self {
        Self { support: Support::NeverOnSuccess, ..self }
    }
}
