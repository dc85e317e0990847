//! The wire form of an answer about a mapping: `EventSourceMappingConfiguration` (`docs/semantics.md` 1.5), every
//! default filled in. Members that a source does not have, and optional ones that were not set, are absent. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::document::{
    EsmdDocument, FilterCriteria, MappingDocument, MetricsConfig, ProvisionedPollerConfig, ScalingConfig, epoch_seconds,
};
use super::state::MappingState;
use super::{EventSourceMapping, SourceSettings};

/// What Lambda's API answers about a mapping.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventSourceMappingConfiguration {
    /// The mapping's name.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// Members of streams alone.
    #[serde(flatten)]
    pub stream: Option<StreamConfiguration>,
    /// Most records of a batch.
    pub batch_size: usize,
    /// How long an incomplete batch waits for more records.
    pub maximum_batching_window_in_seconds: u64,
    /// The queue or stream.
    pub event_source_arn: String,
    /// Which records reach the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_criteria: Option<FilterCriteria>,
    /// The function's full ARN, with exactly the qualifier that was given.
    pub function_arn: String,
    /// When the mapping was made or changed.
    #[serde(with = "epoch_seconds")]
    pub last_modified: Option<Timestamp>,
    /// Its state.
    pub state: MappingState,
    /// Who brought it there.
    pub state_transition_reason: &'static str,
    /// How the function's answer is read.
    pub function_response_types: Vec<String>,
    /// A queue's concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_config: Option<ScalingConfig>,
    /// A queue's dedicated pollers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned_poller_config: Option<ProvisionedPollerConfig>,
    /// The key that encrypts the filter criteria.
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// Additional metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_config: Option<MetricsConfig>,
    /// The mapping's own ARN.
    pub event_source_mapping_arn: String,
    /// What AWS does not have: on esmd's own routes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esmd: Option<EsmdDocument>,
    /// The file that declares the mapping: on esmd's own routes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_in: Option<String>,
    /// The shards that have settled nothing for long, and why: on esmd's own routes only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitingShard>,
    /// The shards that stall: on esmd's own routes only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stalled: Vec<String>,
    /// The shards that are not read yet, and why: on esmd's own routes only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<HeldBackShard>,
}

/// A shard that settles nothing for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WaitingShard {
    /// The shard; `queue` is a queue's.
    pub shard: String,
    /// As `esmd_mapping_waits_total` names it.
    pub reason: &'static str,
}

/// A shard that is not read before others are settled to their end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HeldBackShard {
    /// The shard.
    pub shard: String,
    /// The others.
    pub waits_for: Vec<String>,
}

/// What esmd's own routes show besides AWS's members.
#[derive(Clone, Debug, Default)]
pub struct OwnFacts {
    /// The file that declares the mapping, if one does.
    pub declared_in: Option<String>,
    /// The shards that wait.
    pub waits: Vec<WaitingShard>,
    /// The shards that stall.
    pub stalled: Vec<String>,
    /// The shards that are not read yet.
    pub held_back: Vec<HeldBackShard>,
}

/// The members of [`EventSourceMappingConfiguration`] that streams alone have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "they are those of the request")]
pub struct StreamConfiguration {
    pub starting_position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds")]
    pub starting_position_timestamp: Option<Timestamp>,
    pub parallelization_factor: u32,
    /// How the last invocation ended, or why nothing can be read.
    pub last_processing_result: String,
    pub destination_config: Value,
    pub maximum_record_age_in_seconds: i64,
    pub bisect_batch_on_function_error: bool,
    pub maximum_retry_attempts: i64,
    pub tumbling_window_in_seconds: i64,
}

/// What is known of a mapping besides its settings.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub uuid: String,
    /// The configured region, for functions that are named without one.
    pub region: String,
    /// Its state.
    pub state: MappingState,
    /// When it was made or changed.
    pub last_modified: Timestamp,
    /// `LastProcessingResult`, of streams only.
    pub last_processing_result: String,
}

impl EventSourceMappingConfiguration {
    /// The answer about `mapping`, which was made from `document`.
    #[must_use]
    pub fn new(document: &MappingDocument, mapping: &EventSourceMapping, facts: Facts) -> Self {
        let source = mapping.source_arn();
        let function_arn = mapping.function.arn(source.partition(), &facts.region, source.account());
        let (stream, state_transition_reason) = match &mapping.source {
            SourceSettings::Queue(_) => (None, "USER_INITIATED"),
            SourceSettings::Stream(settings) => {
                let stream = StreamConfiguration {
                    starting_position: document.starting_position.clone(),
                    starting_position_timestamp: document.starting_position_timestamp,
                    parallelization_factor: settings.parallelization_factor,
                    last_processing_result: facts.last_processing_result,
                    destination_config: destination_config(document),
                    maximum_record_age_in_seconds: document.maximum_record_age_in_seconds.unwrap_or(-1),
                    bisect_batch_on_function_error: document.bisect_batch_on_function_error.unwrap_or(false),
                    maximum_retry_attempts: document.maximum_retry_attempts.unwrap_or(-1),
                    tumbling_window_in_seconds: document.tumbling_window_in_seconds.unwrap_or(0),
                };
                (Some(stream), "User action")
            }
        };
        Self {
            stream,
            batch_size: mapping.batching.size,
            maximum_batching_window_in_seconds: mapping.batching.window.as_secs(),
            event_source_arn: source.as_str().to_owned(),
            filter_criteria: document.filter_criteria.clone().filter(FilterCriteria::has_filters),
            event_source_mapping_arn: mapping_arn(&function_arn, &facts.uuid),
            uuid: facts.uuid,
            function_arn,
            last_modified: Some(facts.last_modified),
            state: facts.state,
            state_transition_reason,
            function_response_types: document.function_response_types.clone().unwrap_or_default(),
            scaling_config: document.scaling_config.clone().filter(|given| *given != ScalingConfig::default()),
            provisioned_poller_config: document
                .provisioned_poller_config
                .clone()
                .filter(|given| *given != ProvisionedPollerConfig::default()),
            kms_key_arn: document.kms_key_arn.clone().filter(|arn| !arn.is_empty()),
            metrics_config: document.metrics_config.clone().filter(has_metrics),
            esmd: None,
            declared_in: None,
            waits: Vec::new(),
            stalled: Vec::new(),
            held_back: Vec::new(),
        }
    }

    /// The same in a list, which does not show criteria that a key encrypts (`docs/semantics.md` 1.12).
    #[must_use]
    pub fn as_listed(self) -> Self {
        let filter_criteria = self.filter_criteria.filter(|_| self.kms_key_arn.is_none());
        Self { filter_criteria, ..self }
    }

    /// The same on esmd's own routes.
    #[must_use]
    pub fn with_own_members(self, document: &MappingDocument, facts: OwnFacts) -> Self {
        let OwnFacts { declared_in, waits, stalled, held_back } = facts;
        Self { esmd: document.esmd.clone(), declared_in, waits, stalled, held_back, ..self }
    }
}

fn has_metrics(config: &MetricsConfig) -> bool {
    config.metrics.as_ref().is_some_and(|metrics| !metrics.is_empty())
}

/// Streams always show the member, empty if there is no destination.
fn destination_config(document: &MappingDocument) -> Value {
    let on_failure = document.destination_config.as_ref().and_then(|config| config.on_failure.as_ref());
    match on_failure.and_then(|on_failure| on_failure.destination.as_deref()).filter(|arn| !arn.is_empty()) {
        Some(arn) => json!({"OnFailure": {"Destination": arn}}),
        None => json!({"OnFailure": {}}),
    }
}

/// A mapping's own ARN: it belongs to its function's account and region.
#[must_use]
pub fn mapping_arn(function_arn: &str, uuid: &str) -> String {
    let owner: Vec<&str> = function_arn.splitn(6, ':').take(5).collect();
    format!("{}:event-source-mapping:{uuid}", owner.join(":"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::mapping::validate::Scope;

    /// `docs/semantics.md` 1.5, as recorded
    #[test]
    fn a_queues_answer_has_the_members_that_were_recorded() {
        let document = json!({"EventSourceArn": "arn:aws:sqs:eu-west-1:111111111111:orders", "FunctionName": "worker",
            "MaximumBatchingWindowInSeconds": 1});
        assert_as_recorded("create-sqs.json", document);
    }

    /// `docs/semantics.md` 1.5, as recorded
    #[test]
    fn a_streams_answer_has_the_members_that_were_recorded() {
        let document = json!({"EventSourceArn": "arn:aws:kinesis:eu-west-1:111111111111:stream/orders",
            "FunctionName": "worker", "StartingPosition": "LATEST"});
        assert_as_recorded("create-kinesis.json", document);
    }

    #[test]
    fn a_members_value_that_asks_for_nothing_is_not_shown() {
        let answer = answer(json!({"EventSourceArn": "arn:aws:sqs:eu-west-1:111111111111:orders",
            "FunctionName": "worker:live", "FilterCriteria": {"Filters": []}, "ScalingConfig": {}, "KMSKeyArn": ""}));

        let members: Vec<_> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
        for absent in ["FilterCriteria", "ScalingConfig", "KMSKeyArn", "Esmd", "DestinationConfig"] {
            assert!(!members.contains(&absent), "{absent}: {answer}");
        }
        assert_eq!(answer["FunctionArn"], "arn:aws:lambda:eu-west-1:111111111111:function:worker:live");
        assert_eq!(answer["LastModified"], 1_760_700_041.314);
    }

    /// `docs/semantics.md` 1.5 and 9 (invariant 9): nothing is read and written again.
    #[test]
    fn a_filters_pattern_is_shown_byte_for_byte() {
        let pattern = "{ \"body\":{\"a\" : [ 1.0,\"\\u00e4\" ]}}\n";
        let shown = configuration(json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}}));
        let shown = serde_json::to_value(shown.as_listed()).expect("plain data");
        assert_eq!(shown["FilterCriteria"]["Filters"][0]["Pattern"], pattern);
    }

    /// `docs/semantics.md` 1.12 and 9 (invariant 27)
    #[test]
    fn criteria_that_a_key_encrypts_are_shown_but_not_listed() {
        let key = "arn:aws:kms:eu-west-1:111111111111:key/6f1c2d34";
        let document = json!({"KMSKeyArn": key, "FilterCriteria": {"Filters": [{"Pattern": "{}"}]}});
        let shown = configuration(document);
        assert!(shown.filter_criteria.is_some());
        let listed = shown.as_listed();
        assert_eq!((listed.filter_criteria, listed.kms_key_arn.as_deref()), (None, Some(key)));
    }

    /// `docs/semantics.md` 1.5
    #[test]
    fn what_was_set_is_shown() {
        let answer = answer(json!({"EventSourceArn": "arn:aws:kinesis:eu-west-1:111111111111:stream/orders",
            "FunctionName": "worker", "StartingPosition": "LATEST", "MetricsConfig": {"Metrics": ["EventCount"]},
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
            "KMSKeyArn": "arn:aws:kms:eu-west-1:111111111111:key/6f1c2d34"}));
        assert_eq!(answer["MetricsConfig"], json!({"Metrics": ["EventCount"]}));
        assert_eq!(answer["DestinationConfig"], json!({"OnFailure": {"Destination": "arn:aws:s3:::failed"}}));
        assert_eq!(answer["KMSKeyArn"], "arn:aws:kms:eu-west-1:111111111111:key/6f1c2d34");
        assert_eq!(
            answer["EventSourceMappingArn"],
            "arn:aws:lambda:eu-west-1:111111111111:event-source-mapping:6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d"
        );
    }

    #[test]
    fn a_queues_concurrency_or_its_pollers_are_shown() {
        for (member, value) in [
            ("ScalingConfig", json!({"MaximumConcurrency": 7})),
            ("ProvisionedPollerConfig", json!({"MinimumPollers": 5})),
        ] {
            let answer = answer(json!({"EventSourceArn": "arn:aws:sqs:eu-west-1:111111111111:orders",
                "FunctionName": "worker", member: value, "MetricsConfig": {"Metrics": []}}));
            assert_eq!(answer[member], value);
            assert_eq!(answer.get("MetricsConfig"), None, "it asks for nothing");
        }
    }

    #[test]
    fn esmds_own_routes_show_its_own_members() {
        let document = json!({"EventSourceArn": "arn:aws:sqs:eu-west-1:111111111111:orders", "FunctionName": "worker",
            "Esmd": {"FunctionTimeout": 3}});
        let document: MappingDocument = serde_json::from_value(document).expect("a document");
        let waits = vec![WaitingShard { shard: "queue".to_owned(), reason: "target" }];
        let facts = OwnFacts {
            declared_in: Some("mappings.yaml".to_owned()),
            waits,
            stalled: vec!["queue".to_owned()],
            held_back: vec![HeldBackShard { shard: "child".to_owned(), waits_for: vec!["parent".to_owned()] }],
        };

        let shown = configuration(json!({})).with_own_members(&document, facts);

        let shown = serde_json::to_value(shown).expect("plain data");
        assert_eq!(shown["Esmd"], json!({"FunctionTimeout": 3}));
        assert_eq!(shown["DeclaredIn"], "mappings.yaml");
        assert_eq!(shown["Waits"], json!([{"Shard": "queue", "Reason": "target"}]));
        assert_eq!(shown["Stalled"], json!(["queue"]));
        assert_eq!(shown["HeldBack"], json!([{"Shard": "child", "WaitsFor": ["parent"]}]));
    }

    /// The answer about a queue's mapping with more in its document, whether or not that is carried out yet.
    fn configuration(more: Value) -> EventSourceMappingConfiguration {
        let plain = json!({"EventSourceArn": "arn:aws:sqs:eu-west-1:111111111111:orders", "FunctionName": "worker"});
        let read = |document| serde_json::from_value::<MappingDocument>(document).expect("a document");
        let mapping = EventSourceMapping::from_document(&read(plain.clone()), &scope()).expect("a valid one");
        EventSourceMappingConfiguration::new(&read(plain).changed_by(read(more)), &mapping, facts())
    }

    /// Placeholders of the recording match anything.
    fn assert_as_recorded(name: &str, document: Value) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let recorded = std::fs::read_to_string(path).expect("the recording is there");
        let mut recorded: serde_json::Map<_, _> = serde_json::from_str(&recorded).expect("it is an object");
        recorded.remove("_status");
        let answer = answer(document);
        let shown = answer.as_object().expect("an object");

        assert_eq!(shown.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
        for (member, value) in recorded {
            let is_placeholder = value.as_str().is_some_and(|text| text.contains('<'));
            assert!(is_placeholder || shown[&member] == value, "{member}: {} is not {value}", shown[&member]);
        }
    }

    fn answer(document: Value) -> Value {
        let document: MappingDocument = serde_json::from_value(document).expect("a document");
        let mapping = EventSourceMapping::from_document(&document, &scope()).expect("a valid one");
        serde_json::to_value(EventSourceMappingConfiguration::new(&document, &mapping, facts())).expect("plain data")
    }

    fn scope() -> Scope {
        Scope { region: None, custom_endpoint: true, now: Timestamp::UNIX_EPOCH }
    }

    fn facts() -> Facts {
        Facts {
            uuid: "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d".to_owned(),
            region: "eu-west-1".to_owned(),
            state: MappingState::Creating,
            last_modified: Timestamp::from_millisecond(1_760_700_041_314).expect("in range"),
            last_processing_result: "No records processed".to_owned(),
        }
    }
}
