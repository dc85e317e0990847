//! The rules of `docs/semantics.md` 0 and 1, one behaviour each.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::mapping::document::{FIELDS, Field, Shape};
use crate::mapping::on_failure::{OnFailure, Undeliverable};
use crate::mapping::{Batching, EsmdSettings, Pollers, QueueSettings, Retries, StartingPosition};

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
fn a_record_age_below_a_minute_is_refused() {
    let rule = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)";
    for age in [0, 59] {
        let found = rules(validate(stream(json!({"MaximumRecordAgeInSeconds": age}))));
        assert!(found.contains(&("MaximumRecordAgeInSeconds".to_owned(), rule.to_owned())), "{found:?}");
    }
    let found = rules(validate(stream(json!({"MaximumRecordAgeInSeconds": 60}))));
    assert!(found.iter().all(|(_, found)| found != rule), "{found:?}");
}

/// `docs/semantics.md` 1.7 (invariant 11): worded as a constraint, but not told among them.
#[test]
fn a_stream_needs_a_starting_position() {
    let missing = validate(stream(json!({"StartingPosition": null}))).expect_err("a position is missing");
    assert_eq!(missing.as_slice()[0].wording, Wording::LoneConstraint);
    assert_refused(stream(json!({"StartingPosition": null})), "StartingPosition", "Member must not be null");
    assert_refused(
        stream(json!({"StartingPosition": "OLDEST"})),
        "StartingPosition",
        "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
    );
}

/// `docs/semantics.md` 1.7
#[test]
fn a_timestamp_goes_with_at_timestamp_and_lies_in_the_past() {
    let member = "StartingPositionTimestamp";
    let at = |timestamp: Value| stream(json!({"StartingPosition": "AT_TIMESTAMP", member: timestamp}));
    assert_refused(
        stream(json!({"StartingPosition": "LATEST", member: NOW_SECONDS})),
        member,
        "Timestamp only valid with StartingPosition AT_TIMESTAMP",
    );
    assert_refused(at(json!(null)), member, "Timestamp must be provided with StartingPosition AT_TIMESTAMP");
    assert_refused(at(json!(NOW_SECONDS + 1)), member, "Timestamp must not be in the future");
    assert_refused(at(json!(-1)), member, "Timestamp must not be before 1970");
    let SourceSettings::Stream(settings) = validate(at(json!(NOW_SECONDS))).expect("nothing is wrong").source else {
        panic!("a stream's settings")
    };
    assert_eq!(settings.starting_position, StartingPosition::AtTimestamp(scope().now));
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

/// `docs/semantics.md` 1.7
#[test]
fn no_stream_has_a_destination_on_success() {
    assert_refused(
        stream(json!({"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:done"}}})),
        "DestinationConfig.OnSuccess.Destination",
        "OnSuccess configuration is not supported for event source mappings.",
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

/// `docs/semantics.md` 6.6
#[test]
fn minus_one_is_no_limit() {
    let mapping = validate(stream(json!({"MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1})));
    let SourceSettings::Stream(stream) = mapping.expect("AWS's defaults").source else { panic!("a stream") };
    assert_eq!(stream.retries, Retries::default());
}

/// `docs/semantics.md` 6.7
#[test]
fn a_streams_destination_reaches_the_mapping() {
    for arn in [
        "arn:aws:sqs:us-east-1:210987654321:failed",
        "arn:aws:sns:eu-west-1:123456789012:failed",
        "arn:aws:s3:::failed",
    ] {
        for document in [stream, table] {
            let on_failure = on_failure(validate(document(destination(arn)))).expect("a destination");
            assert_eq!((on_failure.destination.as_str(), on_failure.undeliverable), (arn, Undeliverable::Keep));
        }
    }
}

/// `docs/semantics.md` 1.3 and 1.9
#[test]
fn an_empty_destination_is_none() {
    for none in [destination(""), json!({"DestinationConfig": {"OnFailure": {}}}), json!({"DestinationConfig": {}})] {
        assert_eq!(on_failure(validate(stream(none))), None);
    }
}

/// `docs/semantics.md` 6.7
#[test]
fn a_destination_that_fails_keeps_the_batch_unless_dropping_is_asked_for() {
    for (given, undeliverable) in
        [("", Undeliverable::Keep), ("Keep", Undeliverable::Keep), ("Drop", Undeliverable::Drop)]
    {
        let document = stream(merged(destination(DESTINATION), json!({"Esmd": {"OnDestinationFailure": given}})));
        assert_eq!(on_failure(validate(document)).expect("a destination").undeliverable, undeliverable, "{given}");
    }
    assert_refused(
        stream(merged(destination(DESTINATION), json!({"Esmd": {"OnDestinationFailure": "drop"}}))),
        "Esmd.OnDestinationFailure",
        "must be Keep or Drop",
    );
    assert_refused(
        stream(json!({"Esmd": {"OnDestinationFailure": "Keep"}})),
        "Esmd.OnDestinationFailure",
        "needs DestinationConfig.OnFailure.Destination",
    );
}

/// `docs/semantics.md` 1.3, 1.7 and 6.7
#[test]
fn what_cannot_be_a_destination_is_refused() {
    let member = "DestinationConfig.OnFailure.Destination";
    let refused = |arn: &str, rule: &str| assert_refused(stream(destination(arn)), member, rule);
    refused(&format!("{DESTINATION}.fifo"), "must be a standard queue or topic, not a FIFO one");
    refused(&"a".repeat(351), "Member must have length less than or equal to 350");
    let function = "arn:aws:lambda:eu-west-1:123456789012:function:fn";
    let found = rules(validate(stream(destination(function))));
    assert!(found[0].1.starts_with("must be the ARN of a queue"), "{found:?}");
    for document in [queue, fifo] {
        let rule = "Unsupported DestinationConfig parameter for given event source mapping type.";
        assert_refused(document(destination(DESTINATION)), member, rule);
    }
}

/// `docs/semantics.md` 1.7, 7.1 and 7.3 (invariant 109)
#[test]
fn what_is_no_filter_pattern_is_refused_in_one_sentence() {
    let invalid = "Invalid filter pattern definition.";
    for filter in [
        json!({}),
        json!({"Pattern": ""}),
        json!({"Pattern": "{}"}),
        json!({"Pattern": "null"}),
        json!({"Pattern": "text"}),
        json!({"Pattern": r#"{"a": "b"}"#}),
        json!({"Pattern": r#"{"a": []}"#}),
        json!({"Pattern": r#"{"a": [{"begins": "b"}]}"#}),
    ] {
        let filters = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}, filter]}});
        for document in [queue, fifo, stream] {
            assert_refused(document(filters.clone()), "FilterCriteria.Filters", invalid);
        }
    }
    let text_of_data = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"data": ["x"]}"#}]}});
    assert_refused(stream(text_of_data.clone()), "FilterCriteria.Filters", invalid);
    assert_eq!(rules(validate(queue(text_of_data))), []);
}

#[test]
fn an_invalid_pattern_says_in_our_words_where() {
    let filters =
        json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}, {"Pattern": r#"{"a": {"b": 1}}"#}]}});
    let errors = validate(queue(filters)).expect_err("the second is none");
    let detail = errors.as_slice()[0].detail.as_deref();
    assert_eq!(detail, Some(r#"filter 2: at a.b: a value stands in a list, such as ["value"]"#));
}

/// `docs/semantics.md` 0 and 1.7
#[test]
fn filters_are_few_and_their_patterns_short() {
    let filters =
        |count: usize, pattern: &str| json!({"FilterCriteria": {"Filters": vec![json!({"Pattern": pattern}); count]}});
    assert_eq!(rules(validate(queue(filters(5, r#"{"a": [1]}"#)))), []);
    let rule = "Filters exceed the maximum of 5 filters.";
    assert_refused(queue(filters(6, r#"{"a": [1]}"#)), "FilterCriteria.Filters", rule);
    let long = |length: usize| format!(r#"{{"a": ["{}"]}}"#, "x".repeat(length - 11));
    assert_eq!(rules(validate(queue(filters(1, &long(4_096))))), []);
    let rule = "Member must have length less than or equal to 4096";
    assert_refused(queue(filters(1, &long(4_097))), "FilterCriteria.Filters.1.member.Pattern", rule);
}

#[test]
fn only_a_queue_with_filters_can_keep_what_they_reject() {
    let keep = json!({"Esmd": {"KeepFiltered": true}, "FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}]}});
    for document in [queue, fifo] {
        let mapping = validate(document(keep.clone())).expect("valid");
        assert!(mapping.esmd.keep_filtered && mapping.filter.is_some());
    }
    assert_refused(stream(keep), "Esmd.KeepFiltered", "a stream keeps all its records anyway");
    let alone = json!({"Esmd": {"KeepFiltered": true}});
    assert_refused(queue(alone), "Esmd.KeepFiltered", "needs FilterCriteria.Filters");
    assert_eq!(rules(validate(stream(json!({"Esmd": {"KeepFiltered": false}})))), []);
}

#[test]
fn what_comes_in_a_later_version_is_refused_by_name() {
    assert_refused(
        queue(json!({"ProvisionedPollerConfig": {"MinimumPollers": 2, "PollerGroupName": "ours"}})),
        "ProvisionedPollerConfig.PollerGroupName",
        "ProvisionedPollerConfig.PollerGroupName is not supported yet by this version of esmd",
    );
}

/// `docs/semantics.md` 6.9
#[test]
fn a_tumbling_window_is_a_streams() {
    for (given, length) in [(json!(0), None), (json!(1), Some(1)), (json!(900), Some(900)), (json!(null), None)] {
        let mapping = validate(stream(json!({"TumblingWindowInSeconds": given}))).expect("nothing is wrong");
        let SourceSettings::Stream(settings) = mapping.source else { panic!("a stream's settings") };
        assert_eq!(settings.tumbling_window, length.map(Duration::from_secs));
    }
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

/// `docs/semantics.md` 6.8: all settings are those of the stream.
#[test]
fn a_consumer_is_a_stream_of_kinesis() {
    let consumer = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/fast:1760700041";
    let settings = json!({"EventSourceArn": consumer, "StartingPosition": "LATEST", "ParallelizationFactor": 10});

    let mapping = validate(stream(settings)).expect("nothing is wrong");

    let SourceSettings::Stream(settings) = mapping.source else { panic!("a stream") };
    assert_eq!((settings.kind, settings.arn.as_str()), (StreamKind::Kinesis, consumer));
}

#[test]
fn a_consumer_without_its_time_of_registration_is_no_source() {
    for consumer in ["fast", "fast:", "fast:soon", ":1", "fast:1:2", "fa st:1"] {
        let arn = format!("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/{consumer}");
        assert_refused(stream(json!({"EventSourceArn": arn})), "EventSourceArn", "Unrecognized event source.");
    }
}

#[test]
fn a_tables_stream_is_a_stream_of_dynamodb() {
    let mapping = validate(table(json!({"StartingPosition": "LATEST", "ParallelizationFactor": 10})));
    let SourceSettings::Stream(settings) = mapping.expect("nothing is wrong").source else { panic!("a stream") };
    assert_eq!((settings.kind, settings.arn.as_str()), (StreamKind::Dynamodb, TABLE_STREAM));
    assert_eq!((settings.starting_position, settings.parallelization_factor), (StartingPosition::Latest, 10));
}

/// `docs/semantics.md` 1.7 (invariant 12)
#[test]
fn a_tables_stream_cannot_start_at_an_instant() {
    let timestamp = json!(1_760_700_000);
    let document = table(json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": timestamp}));
    let rule = format!("Unsupported starting position for arn type: {TABLE_STREAM}");
    assert_refused(document, "StartingPosition", &rule);
}

/// `docs/semantics.md` 1.7: `DynamoDB` Local's own region.
#[test]
fn a_tables_stream_of_a_local_server_needs_its_endpoint() {
    let arn = "arn:aws:dynamodb:ddblocal:000000000000:table/users/stream/2026-01-31T09:30:00.000";
    let document = read(table(json!({"EventSourceArn": arn})));
    assert!(EventSourceMapping::from_document(&document, &scope()).is_err());
    assert!(EventSourceMapping::from_document(&document, &Scope { custom_endpoint: true, ..scope() }).is_ok());
}

/// `docs/semantics.md` 2.4: an event of a table names no role.
#[test]
fn a_tables_stream_shows_no_role() {
    let document = table(json!({"Esmd": {"InvokeIdentityArn": "arn:aws:iam::123456789012:role/worker"}}));
    assert_refused(document, "Esmd.InvokeIdentityArn", "is shown in the events of Kinesis streams only");
}

/// `docs/semantics.md` 1.7
#[test]
fn a_missing_or_foreign_source_is_not_recognized() {
    let rule = "Unrecognized event source.";
    assert_refused(queue(json!({"EventSourceArn": null})), "EventSourceArn", rule);
    let topic = "arn:aws:sns:eu-west-1:123456789012:orders";
    assert_refused(queue(json!({"EventSourceArn": topic})), "EventSourceArn", rule);
    let found = rules(validate(queue(json!({"EventSourceArn": "orders"}))));
    assert!(found[0].1.starts_with("Member must satisfy regular expression pattern: arn:"), "{found:?}");
}

/// `docs/semantics.md` 1.7
#[test]
fn a_source_in_another_region_is_refused() {
    let document = queue(json!({"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:orders"}));
    assert_refused(document.clone(), "EventSourceArn", "the source must be in the configured region, eu-west-1");
    assert!(EventSourceMapping::from_document(&read(document), &Scope { region: None, ..scope() }).is_ok());
}

/// `docs/semantics.md` 1.7
#[test]
fn a_region_that_aws_does_not_have_needs_an_endpoint() {
    let document = read(queue(json!({"EventSourceArn": "arn:aws:sqs:local:123456789012:orders"})));
    let judge = |scope: &Scope| EventSourceMapping::from_document(&document, scope);
    let rule = "a region that is none of AWS's needs an endpoint for the source's service";
    let found = rules(judge(&Scope { region: None, ..scope() }));
    assert_eq!(found, [("EventSourceArn".to_owned(), rule.to_owned())]);
    assert!(judge(&Scope { custom_endpoint: true, ..scope() }).is_ok());
}

/// `docs/semantics.md` 1.4 and 1.7
#[test]
fn a_function_must_be_named_in_an_accepted_form() {
    assert_refused(queue(json!({"FunctionName": null})), "FunctionName", "Member must not be null");
    let found = rules(validate(queue(json!({"FunctionName": "my fn"}))));
    assert!(found[0].1.starts_with("Member must satisfy regular expression pattern: ("), "{found:?}");
    assert_refused(
        queue(json!({"FunctionName": "f".repeat(65)})),
        "FunctionName",
        "Member must have length less than or equal to 64",
    );
}

#[test]
fn the_invoke_identity_is_an_arn_and_for_streams_only() {
    let role = json!({"Esmd": {"InvokeIdentityArn": "arn:aws:iam::123456789012:role/fn"}});
    assert!(validate(stream(role.clone())).is_ok());
    assert_refused(queue(role), "Esmd.InvokeIdentityArn", "is shown in the events of Kinesis streams only");
    assert_refused(
        stream(json!({"Esmd": {"InvokeIdentityArn": "admin"}})),
        "Esmd.InvokeIdentityArn",
        "must be the ARN of the function's role",
    );
}

#[test]
fn everything_that_is_wrong_is_told_in_one_go() {
    let found = rules(validate(json!({"BatchSize": 0, "StartingPosition": "OLDEST", "Tags": {"aws:team": "blue"}})));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["FunctionName", "BatchSize", "StartingPosition", "EventSourceArn", "Tags.aws:team"]);
}

#[test]
fn an_error_reads_as_one_line() {
    let errors = validate(queue(json!({"ScalingConfig": {"MaximumConcurrency": 1}}))).expect_err("1 is too few");
    assert_eq!(
        errors.to_string(),
        "ScalingConfig.MaximumConcurrency: Member must have value greater than or equal to 2 (given: 1)"
    );
}

/// `docs/semantics.md` 1.7: constraints of the model, kind of source, members of the kind, the rest.
#[test]
fn errors_come_in_awss_order() {
    let found = rules(validate(json!({
        "FunctionName": "fn", "EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/clicks",
        "TumblingWindowInSeconds": 60, "ParallelizationFactor": 2, "BatchSize": 0,
        "ScalingConfig": {"MaximumConcurrency": 2}, "MaximumRecordAgeInSeconds": 1,
    })));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    let expected = [
        "BatchSize",
        "EventSourceArn",
        "ScalingConfig.MaximumConcurrency",
        "StartingPosition",
        "MaximumRecordAgeInSeconds",
        "ParallelizationFactor",
    ];
    assert_eq!(fields, expected);
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

/// Nothing is accepted and ignored: a new member of the document must be judged somewhere.
#[test]
fn every_member_of_the_document_is_judged() {
    let judged_elsewhere = [
        "FunctionName",
        "EventSourceArn",
        "Enabled",
        "Esmd.InvokeIdentityArn",
        "Esmd.KeepFiltered",
        "Esmd.OnDestinationFailure",
    ];
    let judged: BTreeSet<String> =
        MEMBERS.iter().map(|member| member.path).chain(judged_elsewhere).map(str::to_owned).collect();
    assert_eq!(judged, leaves("", FIELDS));
}

proptest! {
    #[test]
    fn whatever_is_given_is_judged_and_what_passes_is_within_limits(
        document in any_document(),
        custom_endpoint in any::<bool>(),
    ) {
        let scope = Scope { custom_endpoint, ..scope() };
        match EventSourceMapping::from_document(&document, &scope) {
            Ok(mapping) => assert_within_limits(&mapping, &document),
            Err(errors) => prop_assert!(!errors.as_slice().is_empty()),
        }
    }
}

fn leaves(prefix: &str, fields: &[Field]) -> BTreeSet<String> {
    let paths = fields.iter().flat_map(|field| match field.shape {
        Shape::Object(members) => leaves(&format!("{prefix}{}.", field.name), members),
        _ => BTreeSet::from([format!("{prefix}{}", field.name)]),
    });
    paths.collect()
}

fn assert_within_limits(mapping: &EventSourceMapping, document: &MappingDocument) {
    let window = mapping.batching.window.as_secs();
    assert!((1..=10_000).contains(&mapping.batching.size) && window <= 300);
    match &mapping.source {
        SourceSettings::Queue(_) if destination_of(document).is_some() => panic!("a queue has no destination"),
        SourceSettings::Queue(queue) if queue.fifo => assert!(mapping.batching.size <= 10 && window == 0),
        SourceSettings::Queue(_) => assert!(mapping.batching.size <= 10 || window > 0),
        SourceSettings::Stream(stream) => {
            assert!((1..=10).contains(&stream.parallelization_factor));
            assert!(stream.retries.maximum_attempts.is_none_or(|most| most <= 10_000));
            let age = stream.retries.maximum_record_age.map(|age| age.as_secs());
            assert!(age.is_none_or(|seconds| (60..=604_800).contains(&seconds)));
            let length = stream.tumbling_window.map(|length| length.as_secs());
            assert!(length.is_none_or(|seconds| (1..=900).contains(&seconds) && stream.parallelization_factor == 1));
            let asked_for = destination_of(document);
            assert_eq!(stream.on_failure.as_ref().map(|set| set.destination.as_str()), asked_for);
            if let StartingPosition::AtTimestamp(moment) = stream.starting_position {
                assert!((Timestamp::UNIX_EPOCH..=scope().now).contains(&moment));
            }
        }
    }
    if let SourceSettings::Queue(queue) = &mapping.source {
        assert!(queue.maximum_concurrency.is_none_or(|most| queue.pollers.is_none() && (2..=1_000).contains(&most)));
        assert!(queue.pollers.is_none_or(|Pollers { minimum, maximum }| {
            (2..=200).contains(&minimum) && (minimum..=2_000).contains(&maximum)
        }));
    }
    if let Some(timeout) = mapping.esmd.function_timeout {
        assert!((1..=900).contains(&timeout.as_secs()));
    }
    assert!((10..=86_400).contains(&mapping.esmd.stall_after.as_secs()));
    assert!(document.tags.as_ref().is_none_or(|tags| tags.len() <= 50));
}

fn destination_of(document: &MappingDocument) -> Option<&str> {
    let on_failure = document.destination_config.as_ref()?.on_failure.as_ref()?;
    on_failure.destination.as_deref().filter(|arn| !arn.is_empty())
}

/// Documents with any of the members, mostly with a function and a source that are fine.
fn any_document() -> impl Strategy<Value = MappingDocument> {
    let sound = prop_oneof![Just(json!({})), Just(queue(json!({}))), Just(fifo(json!({}))), Just(stream(json!({}))),];
    (sound, any_object(FIELDS)).prop_map(|(mut sound, members)| {
        merge(&mut sound, members);
        read(sound)
    })
}

fn any_object(fields: &'static [Field]) -> BoxedStrategy<Value> {
    let members: Vec<_> = fields.iter().map(|field| prop::option::weighted(0.08, any_value(&field.shape))).collect();
    members
        .prop_map(|values| {
            let names = fields.iter().map(|field| field.name.to_owned());
            names.zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
        })
        .boxed()
}

fn any_value(shape: &'static Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Text => {
            prop_oneof![prop::sample::select(TEXTS).prop_map(|text| json!(text)), any::<String>().prop_map(Value::from)]
                .boxed()
        }
        Shape::Integer => prop::sample::select(NUMBERS).prop_map(Value::from).boxed(),
        Shape::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Timestamp => (-1..2 * NOW_SECONDS).prop_map(Value::from).boxed(),
        Shape::List(shape) => prop::collection::vec(any_value(shape), 0..2).prop_map(Value::from).boxed(),
        Shape::Map(shape) => any_value(shape).prop_map(|value| json!({"key": value})).boxed(),
        Shape::Object(fields) => any_object(fields),
        Shape::Any => prop_oneof![Just(json!([])), Just(json!({"Any": {"Thing": 1}}))].boxed(),
    }
}

/// Numbers at and just past the limits.
const NUMBERS: &[i64] =
    &[i64::MIN, -2, -1, 0, 1, 2, 10, 11, 59, 60, 300, 301, 900, 901, 1_000, 1_001, 10_000, 10_001, i64::MAX];
const TEXTS: &[&str] =
    &["", "fn:prod", "LATEST", "AT_TIMESTAMP", "arn:aws:sqs:local:123456789012:q", "arn:aws:lambda:", "é:"];
const NOW_SECONDS: i64 = 1_760_700_041;

fn scope() -> Scope {
    Scope {
        region: Some("eu-west-1".to_owned()),
        custom_endpoint: false,
        now: Timestamp::from_second(NOW_SECONDS).expect("a moment"),
    }
}

fn queue(members: Value) -> Value {
    merged(json!({"FunctionName": "fn", "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders"}), members)
}

fn fifo(members: Value) -> Value {
    merged(json!({"FunctionName": "fn", "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"}), members)
}

fn stream(members: Value) -> Value {
    let source = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
    merged(json!({"FunctionName": "fn", "EventSourceArn": source, "StartingPosition": "TRIM_HORIZON"}), members)
}

fn table(members: Value) -> Value {
    merged(stream(json!({"EventSourceArn": TABLE_STREAM})), members)
}

fn destination(arn: &str) -> Value {
    json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}})
}

fn on_failure(judged: Result<EventSourceMapping, ValidationErrors>) -> Option<OnFailure> {
    let SourceSettings::Stream(settings) = judged.expect("nothing is wrong").source else { panic!("a stream") };
    settings.on_failure
}

fn merged(mut document: Value, members: Value) -> Value {
    merge(&mut document, members);
    document
}

fn merge(document: &mut Value, members: Value) {
    if let Value::Object(members) = members {
        for (name, value) in members {
            document[name] = value;
        }
    }
}

fn nested(path: &str, number: i64) -> Value {
    path.rsplit('.').fold(json!(number), |value, name| json!({ name: value }))
}

fn read(document: Value) -> MappingDocument {
    serde_json::from_value(document).expect("a document")
}

fn validate(document: Value) -> Result<EventSourceMapping, ValidationErrors> {
    EventSourceMapping::from_document(&read(document), &scope())
}

fn rules(judged: Result<EventSourceMapping, ValidationErrors>) -> Vec<(String, String)> {
    let errors = judged.err().map(|errors| errors.0).unwrap_or_default();
    errors.into_iter().map(|error| (error.field, error.rule)).collect()
}

fn assert_refused(document: Value, field: &str, rule: &str) {
    assert_eq!(rules(validate(document)), [(field.to_owned(), rule.to_owned())]);
}

const DESTINATION: &str = "arn:aws:sqs:eu-west-1:123456789012:failed";
const TABLE_STREAM: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/users/stream/2026-01-31T09:30:00.000";
