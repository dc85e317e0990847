//! The wire form of a mapping: AWS's names, everything optional, nothing checked beyond its shape. The file, the API
//! and the store share it. It survives JSON unchanged; an explicit null means the same as an absent member, and members
//! it does not know are skipped, as Lambda's API skips them (`docs/semantics.md` 1.1). [`FIELDS`] says the same as the
//! types, for readers that must name the place of what does not fit.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// What a user wrote: the request members of `CreateEventSourceMapping` (`docs/semantics.md` 1.3) and esmd's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MappingDocument {
    /// The function to invoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_name: Option<String>,
    /// The queue or stream to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_source_arn: Option<String>,
    /// Whether the mapping runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Most records of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<i64>,
    /// How long an incomplete batch waits for more records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_batching_window_in_seconds: Option<i64>,
    /// Which records reach the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_criteria: Option<FilterCriteria>,
    /// How the function's answer is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_response_types: Option<Vec<String>>,
    /// Where reading a stream begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_position: Option<String>,
    /// The moment of `AT_TIMESTAMP`, to the millisecond. Read from epoch seconds or ISO 8601 text, written as epoch
    /// seconds.
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds")]
    pub starting_position_timestamp: Option<Timestamp>,
    /// Concurrent batches per shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelization_factor: Option<i64>,
    /// Records of a stream older than this are discarded; -1: none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_record_age_in_seconds: Option<i64>,
    /// A stream's batch is discarded after so many retries; -1: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_retry_attempts: Option<i64>,
    /// Whether a stream's failed batch is halved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bisect_batch_on_function_error: Option<bool>,
    /// Length of a stream's tumbling windows; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tumbling_window_in_seconds: Option<i64>,
    /// Where a stream's discarded batches are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_config: Option<DestinationConfig>,
    /// A queue's concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_config: Option<ScalingConfig>,
    /// A queue's dedicated pollers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned_poller_config: Option<ProvisionedPollerConfig>,
    /// The key that encrypts the filter criteria at rest.
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// Additional metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_config: Option<MetricsConfig>,
    /// Logging of Kafka sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_config: Option<Value>,
    /// Tags of the mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// A Kafka source's topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<Value>,
    /// An MQ source's queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<Value>,
    /// Access to Kafka and MQ sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_access_configurations: Option<Value>,
    /// A Kafka cluster of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_managed_event_source: Option<Value>,
    /// Settings of MSK sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amazon_managed_kafka_event_source_config: Option<Value>,
    /// Settings of other Kafka sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_managed_kafka_event_source_config: Option<Value>,
    /// Settings of `DocumentDB` sources.
    #[serde(rename = "DocumentDBEventSourceConfig", skip_serializing_if = "Option::is_none")]
    pub document_db_event_source_config: Option<Value>,
    /// Settings that AWS does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esmd: Option<EsmdDocument>,
}

impl MappingDocument {
    /// This document with the members that `change` gives in place of its own. A member is replaced as a whole, an
    /// empty one clears it, an absent one leaves it (`docs/semantics.md` 1.9). Without criteria there is nothing for a key
    /// to encrypt, so empty ones take it along (1.12).
    #[must_use]
    pub fn changed_by(&self, change: Self) -> Self {
        let destination_config = change.destination_config.filter(|config| *config != DestinationConfig::default());
        let clears_criteria = change.filter_criteria.as_ref().is_some_and(|criteria| !criteria.has_filters());
        let drops_key = clears_criteria && change.kms_key_arn.is_none();
        let change = Self { destination_config, ..change };
        let [Value::Object(mut members), Value::Object(changed)] = [self, &change]
            .map(|document| serde_json::to_value(document).expect("a document holds nothing that JSON lacks"))
        else {
            unreachable!("a document is an object");
        };
        members.extend(changed);
        if drops_key {
            members.remove("KMSKeyArn");
        }
        serde_json::from_value(Value::Object(members)).expect("members of two documents make one")
    }
}

/// `FilterCriteria`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FilterCriteria {
    /// A record passes if one of them matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<Filter>>,
}

impl FilterCriteria {
    /// Whether it filters at all.
    #[must_use]
    pub fn has_filters(&self) -> bool {
        self.filters.as_ref().is_some_and(|filters| !filters.is_empty())
    }
}

/// An element of `FilterCriteria.Filters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Filter {
    /// A pattern as JSON text, kept byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// `DestinationConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DestinationConfig {
    /// What no event source mapping has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_success: Option<Destination>,
    /// Where discarded batches are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Destination>,
}

/// A member of [`DestinationConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Destination {
    /// An ARN; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
}

/// `ScalingConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScalingConfig {
    /// Most invocations at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_concurrency: Option<i64>,
}

/// `ProvisionedPollerConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProvisionedPollerConfig {
    /// Fewest pollers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_pollers: Option<i64>,
    /// Most pollers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_pollers: Option<i64>,
    /// Pollers shared with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poller_group_name: Option<String>,
}

/// `MetricsConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MetricsConfig {
    /// Names of groups of metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<String>>,
}

/// `Esmd`: settings that AWS does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EsmdDocument {
    /// Whether the visibility of a queue's messages is extended until they are settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_visibility: Option<bool>,
    /// The function's timeout in seconds, where the Lambda endpoint cannot say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_timeout: Option<i64>,
    /// The function's role, where the Lambda endpoint cannot say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoke_identity_arn: Option<String>,
    /// What becomes of a discarded batch that its destination does not take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_destination_failure: Option<String>,
    /// Whether bodies that senders put into a bucket are fetched from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_large_payloads: Option<bool>,
    /// Seconds after which a shard or queue that lags without getting on counts as stalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after_seconds: Option<i64>,
    /// Whether a queue's messages that match no filter are left to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_filtered: Option<bool>,
}

/// A member of a document or of one of its objects.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in AWS's words.
    pub name: &'static str,
    /// What its value looks like. Null is always possible.
    pub shape: Shape,
}

/// What a value looks like.
#[derive(Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Epoch seconds, also with a fraction, or an ISO 8601 text with offset.
    Timestamp,
    /// A list of such values, none of them null.
    List(&'static Shape),
    /// An object of any keys with such values, none of them null.
    Map(&'static Shape),
    /// An object of these members.
    Object(&'static [Field]),
    /// Any value: validation refuses all but empty ones, whatever they hold.
    Any,
}

impl Shape {
    /// Whether a list stands where an object belongs: serde would read it by position.
    #[must_use]
    pub fn has_list_for_object(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Object(_), Value::Array(_)) => true,
            (Self::Object(fields), Value::Object(members)) => fields
                .iter()
                .any(|field| members.get(field.name).is_some_and(|value| field.shape.has_list_for_object(value))),
            (Self::List(shape), Value::Array(values)) => values.iter().any(|value| shape.has_list_for_object(value)),
            _ => false,
        }
    }
}

/// The members of [`MappingDocument`].
pub const FIELDS: &[Field] = &[
    field("FunctionName", Shape::Text),
    field("EventSourceArn", Shape::Text),
    field("Enabled", Shape::Boolean),
    field("BatchSize", Shape::Integer),
    field("MaximumBatchingWindowInSeconds", Shape::Integer),
    field(
        "FilterCriteria",
        Shape::Object(&[field("Filters", Shape::List(&Shape::Object(&[field("Pattern", Shape::Text)])))]),
    ),
    field("FunctionResponseTypes", Shape::List(&Shape::Text)),
    field("StartingPosition", Shape::Text),
    field("StartingPositionTimestamp", Shape::Timestamp),
    field("ParallelizationFactor", Shape::Integer),
    field("MaximumRecordAgeInSeconds", Shape::Integer),
    field("MaximumRetryAttempts", Shape::Integer),
    field("BisectBatchOnFunctionError", Shape::Boolean),
    field("TumblingWindowInSeconds", Shape::Integer),
    field("DestinationConfig", Shape::Object(&[field("OnSuccess", DESTINATION), field("OnFailure", DESTINATION)])),
    field("ScalingConfig", Shape::Object(&[field("MaximumConcurrency", Shape::Integer)])),
    field(
        "ProvisionedPollerConfig",
        Shape::Object(&[
            field("MinimumPollers", Shape::Integer),
            field("MaximumPollers", Shape::Integer),
            field("PollerGroupName", Shape::Text),
        ]),
    ),
    field("KMSKeyArn", Shape::Text),
    field("MetricsConfig", Shape::Object(&[field("Metrics", Shape::List(&Shape::Text))])),
    field("LoggingConfig", Shape::Any),
    field("Tags", Shape::Map(&Shape::Text)),
    field("Topics", Shape::Any),
    field("Queues", Shape::Any),
    field("SourceAccessConfigurations", Shape::Any),
    field("SelfManagedEventSource", Shape::Any),
    field("AmazonManagedKafkaEventSourceConfig", Shape::Any),
    field("SelfManagedKafkaEventSourceConfig", Shape::Any),
    field("DocumentDBEventSourceConfig", Shape::Any),
    field(
        "Esmd",
        Shape::Object(&[
            field("ExtendVisibility", Shape::Boolean),
            field("FunctionTimeout", Shape::Integer),
            field("InvokeIdentityArn", Shape::Text),
            field("OnDestinationFailure", Shape::Text),
            field("ResolveLargePayloads", Shape::Boolean),
            field("StallAfterSeconds", Shape::Integer),
            field("KeepFiltered", Shape::Boolean),
        ]),
    ),
];

const DESTINATION: Shape = Shape::Object(&[field("Destination", Shape::Text)]);

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape }
}

/// Epoch seconds as a JSON number, whole or with a fraction to the millisecond (`docs/semantics.md` 1.1). Finer
/// fractions are rounded on reading: a `f64` would not keep them through JSON.
pub(super) mod epoch_seconds {
    use super::{Deserialize, Deserializer, EpochSeconds, Serializer, Timestamp};

    #[expect(clippy::ref_option, reason = "serde passes the field itself")]
    pub(in crate::mapping) fn serialize<S: Serializer>(
        moment: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(moment) = moment else { return serializer.serialize_none() };
        let milliseconds = moment.as_millisecond();
        if milliseconds % 1_000 == 0 {
            return serializer.serialize_i64(milliseconds / 1_000);
        }
        #[expect(clippy::cast_precision_loss, reason = "the milliseconds of jiff's years fit the 53 bits")]
        serializer.serialize_f64(milliseconds as f64 / 1_000.0)
    }

    pub(in crate::mapping) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let moment = Option::<EpochSeconds>::deserialize(deserializer)?;
        Ok(moment.map(|EpochSeconds(moment)| moment))
    }
}

struct EpochSeconds(Timestamp);

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EpochSecondsVisitor)
    }
}

struct EpochSecondsVisitor;

impl de::Visitor<'_> for EpochSecondsVisitor {
    type Value = EpochSeconds;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("epoch seconds or a text such as 2026-01-31T09:30:00Z")
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<EpochSeconds, E> {
        let moment = Timestamp::from_second(seconds);
        moment.map(EpochSeconds).map_err(|_| E::invalid_value(de::Unexpected::Signed(seconds), &self))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<EpochSeconds, E> {
        let Ok(seconds) = i64::try_from(seconds) else {
            return Err(E::invalid_value(de::Unexpected::Unsigned(seconds), &self));
        };
        self.visit_i64(seconds)
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<EpochSeconds, E> {
        if seconds.is_nan() {
            return Err(E::invalid_value(de::Unexpected::Float(seconds), &self));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, and jiff refuses what is out of range"
        )]
        let moment = Timestamp::from_millisecond((seconds * 1_000.0).round() as i64);
        moment.map(EpochSeconds).map_err(|_| E::invalid_value(de::Unexpected::Float(seconds), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<EpochSeconds, E> {
        let moment = text.parse::<Timestamp>().ok().and_then(|moment| moment.round(jiff::Unit::Millisecond).ok());
        moment.map(EpochSeconds).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_names_the_members_that_serde_knows() {
        assert_eq!(names(FIELDS), members::<MappingDocument>());
        assert_eq!(names(object("FilterCriteria")), members::<FilterCriteria>());
        assert_eq!(names(list_of_objects(object("FilterCriteria"), "Filters")), members::<Filter>());
        assert_eq!(names(object("DestinationConfig")), members::<DestinationConfig>());
        assert_eq!(names(member_of(object("DestinationConfig"), "OnFailure")), members::<Destination>());
        assert_eq!(names(object("ScalingConfig")), members::<ScalingConfig>());
        assert_eq!(names(object("ProvisionedPollerConfig")), members::<ProvisionedPollerConfig>());
        assert_eq!(names(object("MetricsConfig")), members::<MetricsConfig>());
        assert_eq!(names(object("Esmd")), members::<EsmdDocument>());
    }

    #[test]
    fn a_value_of_every_shape_in_the_table_survives_json() {
        let full = sample(&Shape::Object(FIELDS));
        let document: MappingDocument = serde_json::from_value(full.clone()).expect("the table's shapes are serde's");
        assert_eq!(serde_json::to_value(&document).expect("plain data"), full);
    }

    #[test]
    fn a_value_of_another_shape_than_the_table_says_is_refused() {
        for field in FIELDS.iter().filter(|field| field.shape != Shape::Any) {
            let wrong = json!({ field.name: if field.shape == Shape::Boolean { json!(1) } else { json!(true) } });
            assert!(serde_json::from_value::<MappingDocument>(wrong).is_err(), "{}", field.name);
        }
    }

    /// `docs/semantics.md` 1.1
    #[test]
    fn null_means_absent_at_every_depth() {
        let nulls: serde_json::Map<_, _> =
            FIELDS.iter().map(|field| (field.name.to_owned(), serde_json::Value::Null)).collect();
        let document = serde_json::from_value::<MappingDocument>(nulls.into()).expect("nulls are always possible");
        assert_eq!(document, MappingDocument::default());
        assert_eq!(read(json!({"ScalingConfig": {"MaximumConcurrency": null}})), read(json!({"ScalingConfig": {}})));
    }

    /// `docs/semantics.md` 1.1
    #[test]
    fn unknown_members_are_skipped() {
        assert_eq!(read(json!({"BatchSice": 5, "Esmd": {"Colour": "red"}})), read(json!({"Esmd": {}})));
    }

    /// `docs/semantics.md` 1.9
    #[test]
    fn a_change_replaces_whole_members_and_leaves_the_others() {
        let before = read(json!({"FunctionName": "one", "BatchSize": 5, "ScalingConfig": {"MaximumConcurrency": 7},
            "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
            "DestinationConfig": {"OnFailure": {"Destination": "arn"}}}));

        let after = before.changed_by(read(json!({"BatchSize": 9, "Enabled": null, "ScalingConfig": {},
            "FilterCriteria": {"Filters": [{"Pattern": "{\"a\": [1]}"}]}, "DestinationConfig": {}})));

        let expected = read(json!({"FunctionName": "one", "BatchSize": 9, "ScalingConfig": {},
            "FilterCriteria": {"Filters": [{"Pattern": "{\"a\": [1]}"}]},
            "DestinationConfig": {"OnFailure": {"Destination": "arn"}}}));
        assert_eq!(after, expected);
    }

    /// `docs/semantics.md` 1.12
    #[test]
    fn a_change_that_clears_the_criteria_takes_their_key_along() {
        let before = read(json!({"KMSKeyArn": "key", "FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}));
        for (change, key) in [
            (json!({"FilterCriteria": {}}), None),
            (json!({"FilterCriteria": {"Filters": []}}), None),
            (json!({"FilterCriteria": {}, "KMSKeyArn": "other"}), Some("other")),
            (json!({"FilterCriteria": {"Filters": [{"Pattern": "{\"a\": [1]}"}]}}), Some("key")),
            (json!({"BatchSize": 5}), Some("key")),
        ] {
            assert_eq!(before.changed_by(read(change.clone())).kms_key_arn.as_deref(), key, "{change}");
        }
    }

    #[test]
    fn a_list_where_an_object_belongs_is_found_at_any_depth() {
        for (document, expected) in [
            (json!([]), true),
            (json!({"ScalingConfig": [7]}), true),
            (json!({"FilterCriteria": {"Filters": [{"Pattern": "{}"}, ["{}"]]}}), true),
            (json!({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}, "ScalingConfig": {}, "Topics": [[]]}), false),
            (json!({"FunctionResponseTypes": ["ReportBatchItemFailures"], "Unknown": [1]}), false),
            (json!(7), false),
        ] {
            assert_eq!(Shape::Object(FIELDS).has_list_for_object(&document), expected, "{document}");
        }
    }

    #[test]
    fn what_is_no_moment_is_told_what_would_be_one() {
        let error = serde_json::from_value::<MappingDocument>(json!({"StartingPositionTimestamp": true})).unwrap_err();
        assert!(error.to_string().contains("epoch seconds or a text such as 2026-01-31T09:30:00Z"), "{error}");
    }

    #[test]
    fn a_timestamp_is_read_from_a_number_or_a_text() {
        let moment = |value: Value| read(json!({ "StartingPositionTimestamp": value })).starting_position_timestamp;
        let expected = Timestamp::from_millisecond(1_760_700_041_314).ok();
        assert_eq!(moment(json!(1_760_700_041.314)), expected);
        assert_eq!(moment(json!("2025-10-17T11:20:41.314Z")), expected);
        assert_eq!(moment(json!("2025-10-17T13:20:41.314+02:00")), expected);
        assert_eq!(moment(json!(1_760_700_041)), Timestamp::from_second(1_760_700_041).ok());
    }

    #[test]
    fn a_timestamp_is_kept_to_the_millisecond() {
        for milliseconds in
            [0, 1, 999, 1_760_700_041_000, 1_760_700_041_001, 1_760_700_041_314, 253_402_207_199_999, -1]
        {
            let moment = Timestamp::from_millisecond(milliseconds).expect("in jiff's range");
            let document = MappingDocument { starting_position_timestamp: Some(moment), ..Default::default() };
            let json = serde_json::to_string(&document).expect("plain data");
            assert_eq!(serde_json::from_str::<MappingDocument>(&json).expect("what was written"), document, "{json}");
        }
    }

    /// `docs/semantics.md` 1.1
    #[test]
    fn whole_seconds_are_written_without_a_fraction() {
        for text in ["1760700041", "1760700041.314"] {
            let json = format!(r#"{{"StartingPositionTimestamp":{text}}}"#);
            let document: MappingDocument = serde_json::from_str(&json).expect("a document");
            assert_eq!(serde_json::to_string(&document).expect("plain data"), json);
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for value in
            [json!("yesterday"), json!("2025-10-17"), json!(1_760_700_041_314_i64), json!(u64::MAX), json!(1e300)]
        {
            let document = json!({ "StartingPositionTimestamp": value });
            assert!(serde_json::from_value::<MappingDocument>(document).is_err(), "{value}");
        }
    }

    fn read(json: Value) -> MappingDocument {
        serde_json::from_value(json).expect("a document")
    }

    /// A value that reads and writes as itself.
    fn sample(shape: &Shape) -> Value {
        match shape {
            Shape::Text => json!("text"),
            Shape::Integer => json!(7),
            Shape::Boolean => json!(true),
            Shape::Timestamp => json!(1_760_700_041.314),
            Shape::List(shape) => json!([sample(shape)]),
            Shape::Map(shape) => json!({"key": sample(shape)}),
            Shape::Object(fields) => fields.iter().map(|field| (field.name.to_owned(), sample(&field.shape))).collect(),
            Shape::Any => json!({"Anything": [1]}),
        }
    }

    fn names(fields: &[Field]) -> Vec<&'static str> {
        fields.iter().map(|field| field.name).collect()
    }

    fn object(name: &str) -> &'static [Field] {
        member_of(FIELDS, name)
    }

    fn member_of(fields: &'static [Field], name: &str) -> &'static [Field] {
        match find(fields, name) {
            Shape::Object(fields) => fields,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn list_of_objects(fields: &'static [Field], name: &str) -> &'static [Field] {
        match find(fields, name) {
            Shape::List(Shape::Object(fields)) => fields,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn find(fields: &'static [Field], name: &str) -> &'static Shape {
        &fields.iter().find(|field| field.name == name).expect("a member of the table").shape
    }

    /// The names that serde derived for a type, which it hands to any deserializer.
    fn members<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
        let mut names = Vec::new();
        let _ = T::deserialize(NameCollector(&mut names));
        names
    }

    struct NameCollector<'names>(&'names mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for NameCollector<'_> {
        type Error = de::value::Error;

        fn deserialize_struct<V: de::Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.extend(fields);
            Err(de::Error::custom("only the names are wanted"))
        }

        fn deserialize_any<V: de::Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("not a struct"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
}
