//! Where records go that were given up (`docs/semantics.md` 1.3, 1.7 and 6.7).

use super::*;
use crate::mapping::on_failure::{OnFailure, Undeliverable};

/// `docs/semantics.md` 1.7
#[test]
fn no_stream_has_a_destination_on_success() {
    assert_refused(
        stream(json!({"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:done"}}})),
        "DestinationConfig.OnSuccess.Destination",
        "OnSuccess configuration is not supported for event source mappings.",
    );
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

fn destination(arn: &str) -> Value {
    json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}})
}

fn on_failure(judged: Result<EventSourceMapping, ValidationErrors>) -> Option<OnFailure> {
    let SourceSettings::Stream(settings) = judged.expect("nothing is wrong").source else { panic!("a stream") };
    settings.on_failure
}

const DESTINATION: &str = "arn:aws:sqs:eu-west-1:123456789012:failed";
