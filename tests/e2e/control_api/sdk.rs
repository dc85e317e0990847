//! A call by aws-sdk-lambda, through its builders and its typed answers. Members that a case gives and this file does not
//! know fail the test, so that none is left out unseen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lambda::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::DateTime;
use aws_sdk_lambda::types::{DestinationConfig, Filter, FilterCriteria, OnFailure, OnSuccess};
use serde_json::{Map, Value, json};

use super::client::{Answer, Operation, Refusal};
use crate::support::aws;
use crate::support::daemon::Daemon;

pub(super) struct Sdk {
    client: Client,
    last: Last,
}

/// The members of a call that no builder was given yet.
type Members = Map<String, Value>;

/// Gives members to a request by its setters.
macro_rules! given {
    ($request:expr, $members:ident, $($name:literal => $set:ident($read:path)),+ $(,)?) => {
        $request$(.$set($members.remove($name).map($read)))+
    };
}

/// What a mapping's answer shows, whichever of the SDK's types it has.
macro_rules! shown {
    ($answer:expr) => {{
        let answer = $answer;
        shown(json!({
            "UUID": answer.uuid(),
            "EventSourceMappingArn": answer.event_source_mapping_arn(),
            "EventSourceArn": answer.event_source_arn(),
            "FunctionArn": answer.function_arn(),
            "State": answer.state(),
            "StateTransitionReason": answer.state_transition_reason(),
            "LastModified": answer.last_modified().map(ToString::to_string),
            "LastProcessingResult": answer.last_processing_result(),
            "BatchSize": answer.batch_size(),
            "MaximumBatchingWindowInSeconds": answer.maximum_batching_window_in_seconds(),
            "StartingPosition": answer.starting_position().map(|position| position.as_str()),
            "ParallelizationFactor": answer.parallelization_factor(),
            "MaximumRecordAgeInSeconds": answer.maximum_record_age_in_seconds(),
            "MaximumRetryAttempts": answer.maximum_retry_attempts(),
            "BisectBatchOnFunctionError": answer.bisect_batch_on_function_error(),
            "TumblingWindowInSeconds": answer.tumbling_window_in_seconds(),
            "KMSKeyArn": answer.kms_key_arn(),
            "FilterCriteria": answer.filter_criteria().map(shown_criteria),
            "DestinationConfig": answer.destination_config().map(shown_destination),
        }))
    }};
}

impl Sdk {
    pub(super) fn new(daemon: &Daemon) -> Self {
        let last = Last::default();
        let config = aws_sdk_lambda::config::Builder::from(&aws::config(&format!("http://{}", daemon.listen())))
            .retry_config(RetryConfig::disabled())
            .interceptor(last.clone());
        Self { client: Client::from_conf(config.build()), last }
    }

    pub(super) async fn call(&self, operation: Operation, members: Value) -> Answer {
        let Value::Object(mut members) = members else { unreachable!("members are an object") };
        *self.last.0.lock().unwrap() = None;
        let shown = match operation {
            Operation::Create => self.create(&mut members).await,
            Operation::Update => self.update(&mut members).await,
            Operation::Get => {
                let request = given!(self.client.get_event_source_mapping(), members, "UUID" => set_uuid(read));
                request.send().await.map(|answer| shown!(&answer)).map_err(refusal)
            }
            Operation::Delete => {
                let request = given!(self.client.delete_event_source_mapping(), members, "UUID" => set_uuid(read));
                request.send().await.map(|answer| shown!(&answer)).map_err(refusal)
            }
            Operation::List => self.list(&mut members).await,
            Operation::ListAll => self.list_all(&mut members).await,
            Operation::Tag | Operation::Untag | Operation::ListTags => self.tags(operation, &mut members).await,
        };
        assert!(members.is_empty(), "the SDK was not given {members:?}");
        let (status, wire) = self.last.0.lock().unwrap().take().unzip();
        Answer { status, wire: wire.unwrap_or_default(), shown }
    }

    async fn create(&self, members: &mut Members) -> Result<Value, Refusal> {
        let request = given!(
            self.client.create_event_source_mapping(),
            members,
            "EventSourceArn" => set_event_source_arn(read),
            "FunctionName" => set_function_name(read),
            "Enabled" => set_enabled(read),
            "BatchSize" => set_batch_size(read),
            "MaximumBatchingWindowInSeconds" => set_maximum_batching_window_in_seconds(read),
            "StartingPosition" => set_starting_position(position),
            "StartingPositionTimestamp" => set_starting_position_timestamp(moment),
            "ParallelizationFactor" => set_parallelization_factor(read),
            "MaximumRecordAgeInSeconds" => set_maximum_record_age_in_seconds(read),
            "MaximumRetryAttempts" => set_maximum_retry_attempts(read),
            "BisectBatchOnFunctionError" => set_bisect_batch_on_function_error(read),
            "TumblingWindowInSeconds" => set_tumbling_window_in_seconds(read),
            "FilterCriteria" => set_filter_criteria(criteria),
            "DestinationConfig" => set_destination_config(destinations),
            "Tags" => set_tags(read),
        );
        request.send().await.map(|answer| shown!(&answer)).map_err(refusal)
    }

    async fn update(&self, members: &mut Members) -> Result<Value, Refusal> {
        let request = given!(
            self.client.update_event_source_mapping(),
            members,
            "UUID" => set_uuid(read),
            "BatchSize" => set_batch_size(read),
            "MaximumBatchingWindowInSeconds" => set_maximum_batching_window_in_seconds(read),
            "ParallelizationFactor" => set_parallelization_factor(read),
            "MaximumRecordAgeInSeconds" => set_maximum_record_age_in_seconds(read),
            "TumblingWindowInSeconds" => set_tumbling_window_in_seconds(read),
            "KMSKeyArn" => set_kms_key_arn(read),
        );
        request.send().await.map(|answer| shown!(&answer)).map_err(refusal)
    }

    async fn list(&self, members: &mut Members) -> Result<Value, Refusal> {
        let request = given!(
            self.client.list_event_source_mappings(),
            members,
            "EventSourceArn" => set_event_source_arn(read),
            "FunctionName" => set_function_name(read),
            "Marker" => set_marker(read),
            "MaxItems" => set_max_items(read),
        );
        let page = request.send().await.map_err(refusal)?;
        let mappings: Vec<_> = page.event_source_mappings().iter().map(|mapping| shown!(mapping)).collect();
        Ok(shown(json!({"EventSourceMappings": mappings, "NextMarker": page.next_marker()})))
    }

    async fn list_all(&self, members: &mut Members) -> Result<Value, Refusal> {
        let request = self.client.list_event_source_mappings();
        let request = given!(request, members, "EventSourceArn" => set_event_source_arn(read));
        let mut pages = request.into_paginator().items().send();
        let mut mappings = Vec::new();
        while let Some(mapping) = pages.next().await {
            mappings.push(shown!(&mapping.map_err(refusal)?));
        }
        Ok(json!({"EventSourceMappings": mappings}))
    }

    async fn tags(&self, operation: Operation, members: &mut Members) -> Result<Value, Refusal> {
        let resource = members.remove("Resource").map(read);
        match operation {
            Operation::Tag => {
                let request = self.client.tag_resource().set_resource(resource);
                let request = given!(request, members, "Tags" => set_tags(read));
                request.send().await.map(|_| Value::Null).map_err(refusal)
            }
            Operation::Untag => {
                let request = self.client.untag_resource().set_resource(resource);
                let request = given!(request, members, "TagKeys" => set_tag_keys(read));
                request.send().await.map(|_| Value::Null).map_err(refusal)
            }
            _ => {
                let listed = self.client.list_tags().set_resource(resource).send().await.map_err(refusal)?;
                Ok(json!({"Tags": listed.tags}))
            }
        }
    }
}

fn position(value: Value) -> aws_sdk_lambda::types::EventSourcePosition {
    read::<String>(value).as_str().into()
}

fn moment(value: Value) -> DateTime {
    DateTime::from_secs(read(value))
}

fn criteria(mut value: Value) -> FilterCriteria {
    let patterns: Vec<HashMap<String, String>> = read(value["Filters"].take());
    let filters =
        patterns.into_iter().map(|mut filter| Filter::builder().set_pattern(filter.remove("Pattern")).build());
    FilterCriteria::builder().set_filters(Some(filters.collect())).build()
}

fn destinations(value: Value) -> DestinationConfig {
    let mut given: HashMap<String, HashMap<String, String>> = read(value);
    let mut of = |name: &str| given.remove(name).and_then(|mut destination| destination.remove("Destination"));
    let failure = of("OnFailure").map(|arn| OnFailure::builder().destination(arn).build());
    let success = of("OnSuccess").map(|arn| OnSuccess::builder().destination(arn).build());
    DestinationConfig::builder().set_on_failure(failure).set_on_success(success).build()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a case gives its members in AWS's types")
}

fn shown_criteria(criteria: &FilterCriteria) -> Value {
    let filters = criteria.filters().iter().map(|filter| json!({"Pattern": filter.pattern()}));
    json!({"Filters": filters.collect::<Vec<_>>()})
}

fn shown_destination(config: &DestinationConfig) -> Value {
    let failure = config.on_failure().map(|failure| shown(json!({"Destination": failure.destination()})));
    let success = config.on_success().map(|success| shown(json!({"Destination": success.destination()})));
    shown(json!({"OnFailure": failure, "OnSuccess": success}))
}

/// What is none in the SDK's types is absent.
fn shown(mut members: Value) -> Value {
    members.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    members
}

fn refusal<E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(error: SdkError<E, R>) -> Refusal {
    match error {
        SdkError::ServiceError(refused) => {
            let error = refused.into_err();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            Refusal { name: text(error.code()), message: text(error.message()) }
        }
        other => panic!("the call was not answered: {other:?}"),
    }
}

/// The status and the body of the last answer.
#[derive(Clone, Debug, Default)]
struct Last(Arc<Mutex<Option<(u16, Value)>>>);

impl Intercept for Last {
    fn name(&self) -> &'static str {
        "Last"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let body = response.body().bytes().unwrap_or_default();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? };
        *self.0.lock().unwrap() = Some((response.status().as_u16(), body));
        Ok(())
    }
}
