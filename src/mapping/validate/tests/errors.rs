//! How errors read, and in which order they are told (`docs/semantics.md` 1.7).

use super::*;

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
