//! AWS's defaults, which members reach the mapping, and what each member may hold (`docs/semantics.md` 0 and 1).

use super::*;
use crate::mapping::{Batching, EsmdSettings, Pollers, QueueSettings};

/// `docs/semantics.md` 0
#[test]
fn a_queue_has_awss_defaults() {
    let mapping = validate(queue(json!({}))).expect("nothing is wrong");
    assert_eq!(mapping.batching, Batching { size: 10, window: Duration::ZERO });
    assert!(mapping.enabled);
    assert_eq!(mapping.esmd, EsmdSettings::default());
    let SourceSettings::Queue(settings) = mapping.source else { panic!("a queue's settings") };
    assert_eq!((settings.fifo, settings.maximum_concurrency), (false, None));
}

/// `docs/semantics.md` 0
#[test]
fn a_stream_has_awss_defaults() {
    let mapping = validate(stream(json!({}))).expect("nothing is wrong");
    assert_eq!(mapping.batching, Batching { size: 100, window: Duration::ZERO });
    let SourceSettings::Stream(settings) = mapping.source else { panic!("a stream's settings") };
    assert_eq!((settings.starting_position, settings.parallelization_factor), (StartingPosition::TrimHorizon, 1));
}

#[test]
fn a_queue_is_fifo_by_its_name() {
    let mapping = validate(fifo(json!({}))).expect("nothing is wrong");
    assert_eq!(mapping.source_arn().name(), "orders.fifo");
    assert!(matches!(mapping.source, SourceSettings::Queue(QueueSettings { fifo: true, .. })));
}

#[test]
fn every_honoured_member_reaches_the_mapping() {
    let mapping = validate(queue(json!({
        "Enabled": false, "BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 299,
        "ScalingConfig": {"MaximumConcurrency": 1_000},
        "Esmd": {"FunctionTimeout": 899, "StallAfterSeconds": 90, "ExtendVisibility": true, "ResolveLargePayloads": true},
    })))
    .expect("nothing is wrong");
    assert!(!mapping.enabled);
    assert_eq!(mapping.function.as_given(), "fn");
    assert_eq!(mapping.batching, Batching { size: 10_000, window: Duration::from_secs(299) });
    assert_eq!(mapping.esmd.function_timeout, Some(Duration::from_secs(899)));
    assert_eq!(mapping.esmd.stall_after, Duration::from_secs(90));
    assert!(mapping.esmd.extend_visibility && mapping.esmd.resolve_large_payloads);
    let SourceSettings::Queue(settings) = mapping.source else { panic!("a queue's settings") };
    assert_eq!(settings.maximum_concurrency, Some(1_000));
}

/// `docs/semantics.md` 0 and 1.9
#[test]
fn pollers_have_awss_defaults_once_one_number_is_given() {
    for (config, expected) in [
        (json!({"MinimumPollers": 5, "MaximumPollers": 7}), Some(Pollers { minimum: 5, maximum: 7 })),
        (json!({"MinimumPollers": 5}), Some(Pollers { minimum: 5, maximum: 200 })),
        (json!({"MaximumPollers": 7}), Some(Pollers { minimum: 2, maximum: 7 })),
        (json!({}), None),
    ] {
        let mapping = validate(queue(json!({"ProvisionedPollerConfig": config}))).expect("nothing is wrong");
        let SourceSettings::Queue(settings) = mapping.source else { panic!("a queue's settings") };
        assert_eq!(settings.pollers, expected);
    }
}

/// `docs/semantics.md` 1.7
#[test]
fn pollers_exclude_a_maximum_of_invocations_and_are_at_least_two() {
    let given = |config: Value| queue(json!({ "ProvisionedPollerConfig": config }));
    let concurrency = "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers \
                       as the control mechanism and remove maximum concurrency.";
    let both = merged(given(json!({"MinimumPollers": 2})), json!({"ScalingConfig": {"MaximumConcurrency": 2}}));
    assert_refused(both, "ScalingConfig.MaximumConcurrency", concurrency);
    let range =
        "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 10000]";
    for config in
        [json!({"MinimumPollers": 1}), json!({"MaximumPollers": 1}), json!({"MinimumPollers": 9, "MaximumPollers": 8})]
    {
        assert_refused(given(config), "ProvisionedPollerConfig", range);
    }
    for config in [json!({"MaximumPollers": 2}), json!({"MinimumPollers": 8, "MaximumPollers": 8}), json!({})] {
        assert_eq!(rules(validate(given(config))), []);
    }
    let concurrency_alone = json!({"ProvisionedPollerConfig": {}, "ScalingConfig": {"MaximumConcurrency": 2}});
    assert_eq!(rules(validate(queue(concurrency_alone))), []);
}

/// `docs/semantics.md` 0
#[test]
fn every_number_has_its_bounds() {
    for (document, member, lowest, highest) in [
        (stream as fn(Value) -> Value, "BatchSize", 1, 10_000),
        (stream, "MaximumBatchingWindowInSeconds", 0, 300),
        (stream, "ParallelizationFactor", 1, 10),
        (stream, "MaximumRetryAttempts", -1, 10_000),
        (queue, "ScalingConfig.MaximumConcurrency", 2, 1_000),
        (stream, "Esmd.FunctionTimeout", 1, 900),
        (queue, "Esmd.StallAfterSeconds", 10, 86_400),
    ] {
        let judge = |number: i64| validate(document(nested(member, number)));
        assert!(judge(lowest).is_ok() && judge(highest).is_ok(), "{member}");
        assert_eq!(
            rules(judge(lowest - 1)),
            [(member.to_owned(), format!("Member must have value greater than or equal to {lowest}"))]
        );
        assert_eq!(
            rules(judge(highest + 1)),
            [(member.to_owned(), format!("Member must have value less than or equal to {highest}"))]
        );
    }
}

#[test]
fn a_member_inside_another_is_judged_by_its_bounds() {
    let found = rules(validate(queue(json!({"ProvisionedPollerConfig": {"MinimumPollers": 201}}))));
    assert_eq!(found[0].1, "Member must have value less than or equal to 200");
}

/// `docs/semantics.md` 1.7
#[test]
fn a_standard_queue_needs_a_window_for_more_than_ten_records() {
    assert_refused(
        queue(json!({"BatchSize": 11})),
        "BatchSize",
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
    );
    assert!(validate(queue(json!({"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1}))).is_ok());
}

/// `docs/semantics.md` 0
#[test]
fn a_stream_needs_no_window_for_more_than_ten_records() {
    assert!(validate(stream(json!({"BatchSize": 101, "MaximumBatchingWindowInSeconds": 0}))).is_ok());
}

/// `docs/semantics.md` 1.7
#[test]
fn a_fifo_queue_takes_no_window() {
    assert_refused(
        fifo(json!({"MaximumBatchingWindowInSeconds": 1})),
        "MaximumBatchingWindowInSeconds",
        "Batching window is not supported for FIFO queues",
    );
    assert!(validate(fifo(json!({"MaximumBatchingWindowInSeconds": 0}))).is_ok());
}

/// `docs/semantics.md` 0 and 1.7: AWS's message comes first, ours says what to do about it.
#[test]
fn a_fifo_queue_takes_at_most_ten_records() {
    assert!(validate(fifo(json!({"BatchSize": 10}))).is_ok());
    for (document, first) in [
        (json!({"BatchSize": 11}), "Maximum batch window in seconds must be greater than 0 if"),
        (json!({"BatchSize": 11, "MaximumBatchingWindowInSeconds": 5}), "Batching window is not supported"),
    ] {
        let found = rules(validate(fifo(document)));
        assert!(found[0].1.starts_with(first), "{found:?}");
        assert_eq!(found[1], ("BatchSize".to_owned(), "a FIFO queue's batch has at most 10 records".to_owned()));
    }
}

/// `docs/semantics.md` 1.7
#[test]
fn a_member_that_the_source_lacks_is_unsupported() {
    for (member, value) in [
        ("StartingPosition", json!("LATEST")),
        ("StartingPositionTimestamp", json!(NOW_SECONDS)),
        ("ParallelizationFactor", json!(2)),
        ("MaximumRecordAgeInSeconds", json!(60)),
        ("MaximumRetryAttempts", json!(0)),
        ("BisectBatchOnFunctionError", json!(true)),
        ("TumblingWindowInSeconds", json!(60)),
        ("LoggingConfig", json!({"SystemLogLevel": "INFO"})),
        ("Topics", json!(["orders"])),
    ] {
        let rule = format!("Unsupported {member} parameter for given event source mapping type.");
        assert_refused(queue(json!({ member: value })), member, &rule);
    }
    assert_refused(
        queue(json!({"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:done"}}})),
        "DestinationConfig.OnSuccess.Destination",
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    );
    assert_refused(
        stream(json!({"ScalingConfig": {"MaximumConcurrency": 2}})),
        "ScalingConfig.MaximumConcurrency",
        "Unsupported ScalingConfig parameter for given event source mapping type.",
    );
}

/// `docs/semantics.md` 1.3, 1.7
#[test]
fn the_only_response_type_is_report_batch_item_failures() {
    let given = |types: serde_json::Value| stream(json!({ "FunctionResponseTypes": types }));
    let mapping = validate(given(json!(["ReportBatchItemFailures"]))).expect("a type that is known");
    assert!(mapping.reports_failures);
    let unknown = "Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures], \
                   Member must not be null]";
    assert_refused(given(json!(["Bad"])), "FunctionResponseTypes", unknown);
    let twice = "Member must have length less than or equal to 1";
    assert_refused(
        given(json!(["ReportBatchItemFailures", "ReportBatchItemFailures"])),
        "FunctionResponseTypes",
        twice,
    );
}

#[test]
fn what_comes_in_a_later_version_is_refused_by_name() {
    assert_refused(
        queue(json!({"ProvisionedPollerConfig": {"MinimumPollers": 2, "PollerGroupName": "ours"}})),
        "ProvisionedPollerConfig.PollerGroupName",
        "ProvisionedPollerConfig.PollerGroupName is not supported yet by this version of esmd",
    );
}

#[test]
fn values_that_ask_for_nothing_pass_on_every_source() {
    let defaults = json!({
        "FilterCriteria": {"Filters": []}, "FunctionResponseTypes": [], "ParallelizationFactor": 1,
        "MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": -1, "BisectBatchOnFunctionError": false,
        "TumblingWindowInSeconds": 0, "DestinationConfig": {"OnFailure": {"Destination": ""}, "OnSuccess": {}},
        "ScalingConfig": {}, "ProvisionedPollerConfig": {}, "KMSKeyArn": "", "MetricsConfig": {"Metrics": []},
        "LoggingConfig": {}, "Tags": {}, "Topics": [], "Queues": [], "SourceAccessConfigurations": [],
        "SelfManagedEventSource": {}, "AmazonManagedKafkaEventSourceConfig": null,
    });
    for document in [queue, fifo, stream] {
        assert_eq!(rules(validate(document(defaults.clone()))), []);
        assert_eq!(
            rules(validate(document(json!({"DestinationConfig": {"OnFailure": {}}, "FilterCriteria": {}})))),
            []
        );
    }
}

/// `docs/semantics.md` 1.3
#[test]
fn a_metrics_config_names_groups_of_metrics() {
    let given = |metrics: Value| queue(json!({"MetricsConfig": {"Metrics": metrics}}));
    assert!(validate(given(json!(["EventCount", "ErrorCount", "KafkaMetrics"]))).is_ok());
    let unknown = "Member must satisfy constraint: [Member must satisfy enum value set: [EventCount, ErrorCount, \
                   KafkaMetrics], Member must not be null]";
    assert_refused(given(json!(["EventCount", "Errors"])), "MetricsConfig.Metrics", unknown);
    let four = json!(["EventCount", "EventCount", "EventCount", "EventCount"]);
    assert_refused(given(four), "MetricsConfig.Metrics", "Member must have length less than or equal to 3");
}

/// `docs/semantics.md` 1.3
#[test]
fn a_key_is_named_by_its_arn() {
    assert_eq!(rules(validate(queue(json!({"KMSKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1"})))), []);
    let pattern = "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
    assert_refused(queue(json!({"KMSKeyArn": "key/1"})), "KMSKeyArn", pattern);
}

/// `docs/semantics.md` 1.11
#[test]
fn tags_have_limits() {
    let numbered = |count: usize| (0..count).map(|number| (number.to_string(), json!(""))).collect::<Value>();
    assert!(validate(queue(json!({"Tags": numbered(50)}))).is_ok());
    let many = "Number of tags exceeds resource tag limit.";
    assert_refused(queue(json!({"Tags": numbered(51)})), "Tags", many);
    let longest = "é".repeat(128);
    assert!(validate(queue(json!({"Tags": {longest.clone(): "é".repeat(256), "Aws:x": "", "a.b": ""}}))).is_ok());
    for (key, value, rule) in [
        ("", String::new(), "the key of a tag has 1 to 128 characters"),
        (&format!("{longest}e"), String::new(), "the key of a tag has 1 to 128 characters"),
        ("team", "é".repeat(257), "the value of a tag has at most 256 characters"),
        ("aws:team", String::new(), "keys that begin with aws: are AWS's own"),
    ] {
        assert_refused(queue(json!({"Tags": {key: value}})), &format!("Tags.{key}"), rule);
    }
}

fn nested(path: &str, number: i64) -> Value {
    path.rsplit('.').fold(json!(number), |value, name| json!({ name: value }))
}
