//! Which ARNs and names are taken, and in which regions (`docs/semantics.md` 1.4 and 1.7).

use super::*;

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
    let identity = |document: Value| validate(stream(document)).expect("nothing is wrong").esmd.invoke_identity_arn;
    assert_eq!(identity(role.clone()).as_deref(), Some("arn:aws:iam::123456789012:role/fn"));
    assert_eq!(identity(json!({"Esmd": {"InvokeIdentityArn": ""}})), None);
    assert_refused(queue(role), "Esmd.InvokeIdentityArn", "is shown in the events of Kinesis streams only");
    assert_refused(
        stream(json!({"Esmd": {"InvokeIdentityArn": "admin"}})),
        "Esmd.InvokeIdentityArn",
        "must be the ARN of the function's role",
    );
}
