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
    let SourceSettings::Stream(settings) = validate(at(json!(NOW_SECONDS))).expect("nothing is wrong").source else {
        panic!("a stream's settings")
    };
    assert_eq!(settings.starting_position, StartingPosition::AtTimestamp(scope().now));
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
