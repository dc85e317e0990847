//! What is a stream's alone: its position, its retries, its window (`docs/semantics.md` 1.7, 6.6 and 6.9).

use super::*;
use crate::mapping::Retries;

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
    assert_eq!(rules(validate(at(json!(0)))), []);
    let SourceSettings::Stream(settings) = validate(at(json!(NOW_SECONDS))).expect("nothing is wrong").source else {
        panic!("a stream's settings")
    };
    assert_eq!(settings.starting_position, StartingPosition::AtTimestamp(scope().now));
}

/// `docs/semantics.md` 1.7
#[test]
fn a_record_age_below_a_minute_is_refused() {
    let rule = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)";
    let given = |age: i64| stream(json!({ "MaximumRecordAgeInSeconds": age }));
    for age in [0, 59] {
        assert_refused(given(age), "MaximumRecordAgeInSeconds", rule);
    }
    for age in [-1, 60, 604_800] {
        assert_eq!(rules(validate(given(age))), [], "{age}");
    }
    for (age, bound) in [(-2, "greater than or equal to -1"), (604_801, "less than or equal to 604800")] {
        assert_refused(given(age), "MaximumRecordAgeInSeconds", &format!("Member must have value {bound}"));
    }
}

/// `docs/semantics.md` 6.6
#[test]
fn minus_one_is_no_limit() {
    let mapping = validate(stream(json!({"MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1})));
    let SourceSettings::Stream(stream) = mapping.expect("AWS's defaults").source else { panic!("a stream") };
    assert_eq!(stream.retries, Retries::default());
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

/// `docs/semantics.md` 1.7 (invariant 12)
#[test]
fn a_tables_stream_cannot_start_at_an_instant() {
    let timestamp = json!(1_760_700_000);
    let document = table(json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": timestamp}));
    let rule = format!("Unsupported starting position for arn type: {TABLE_STREAM}");
    assert_refused(document, "StartingPosition", &rule);
}

/// `docs/semantics.md` 1.7
#[test]
fn a_tumbling_window_excludes_filters_and_a_factor() {
    let factor = "Parallelization factor must be equal to 1 when tumbling window period is configured";
    let filters = "Filter criteria must not be configured when tumbling window period is configured";
    for document in [stream, table] {
        let given = |members: Value| document(merged(json!({"TumblingWindowInSeconds": 60}), members));
        assert_refused(given(json!({"ParallelizationFactor": 2})), "ParallelizationFactor", factor);
        let filter = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}]}});
        assert_refused(given(filter), "FilterCriteria.Filters", filters);
        let neutral = json!({"ParallelizationFactor": 1, "FilterCriteria": {"Filters": []}});
        assert_eq!(rules(validate(given(neutral))), []);
    }
}

/// `docs/semantics.md` 1.7: whatever the source will be.
#[test]
fn without_a_source_a_window_is_judged_as_a_streams() {
    let document = json!({"FunctionName": "fn", "TumblingWindowInSeconds": 60, "ParallelizationFactor": 2});
    let found = rules(validate(document));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["EventSourceArn", "ParallelizationFactor"]);
}
