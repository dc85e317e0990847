//! What is judged of a change, or of a document, besides the mapping that it makes (`docs/semantics.md` 1.3 and 1.7).

use super::*;

/// `docs/semantics.md` 1.3
#[test]
fn an_update_cannot_change_where_is_read_and_from_which_source() {
    let before = read(merged(
        stream(json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": NOW_SECONDS})),
        json!({"Tags": {"team": "blue"}}),
    ));
    let fixed = "cannot be changed: delete the mapping and make another";
    for (member, other, rule) in [
        ("EventSourceArn", json!("arn:aws:kinesis:eu-west-1:123456789012:stream/others"), fixed),
        ("StartingPosition", json!("LATEST"), fixed),
        ("StartingPositionTimestamp", json!(NOW_SECONDS - 1), fixed),
        ("Tags", json!({"team": "red"}), "are changed by TagResource and UntagResource, not by an update"),
    ] {
        let change = |value: &Value| refuse_change_of_fixed_members(&before, &read(json!({ member: value })));
        assert_eq!(told(change(&other)), [(member.to_owned(), rule.to_owned())]);
        let same = serde_json::to_value(&before).expect("plain data")[member].clone();
        for nothing in [same, json!(null)] {
            assert_eq!(told(change(&nothing)), [], "{member}: {nothing}");
        }
    }
    assert_eq!(told(refuse_change_of_fixed_members(&before, &read(json!({"Tags": {}, "BatchSize": 5})))), []);
}

/// `docs/semantics.md` 1.7: what AWS judges before it looks for the mapping.
#[test]
fn a_change_is_judged_by_the_constraints_of_its_own_members_alone() {
    let long = format!("arn:aws:sqs:eu-west-1:123456789012:{}", "q".repeat(350));
    for (change, member) in [
        (json!({"BatchSize": 0}), "BatchSize"),
        (json!({"FunctionName": "my fn"}), "FunctionName"),
        (json!({"EventSourceArn": "orders"}), "EventSourceArn"),
        (json!({"DestinationConfig": {"OnFailure": {"Destination": long}}}), "DestinationConfig.OnFailure.Destination"),
    ] {
        let found = told(refuse_broken_constraints(&read(change.clone())));
        assert_eq!(found.iter().map(|(member, _)| member.as_str()).collect::<Vec<_>>(), [member], "{change}");
    }
    let later = json!({"DestinationConfig": {"OnFailure": {"Destination": "failed"}}, "MaximumRecordAgeInSeconds": 59});
    for change in [json!({}), json!({"FunctionName": "fn"}), later] {
        assert_eq!(told(refuse_broken_constraints(&read(change.clone()))), [], "{change}");
    }
}

/// `docs/semantics.md` 1.7 and 1.9
#[test]
fn a_queues_new_mapping_says_how_many_pollers_it_asks_for() {
    let judge = |document: Value| {
        let document = read(document);
        let mapping = EventSourceMapping::from_document(&document, &scope()).expect("nothing else is wrong");
        told(refuse_empty_pollers(&document, &mapping))
    };
    let rule = "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided.";
    let empty = json!({"ProvisionedPollerConfig": {}});
    assert_eq!(judge(queue(empty.clone())), [("ProvisionedPollerConfig".to_owned(), rule.to_owned())]);
    assert_eq!(judge(queue(json!({"ProvisionedPollerConfig": {"MaximumPollers": 5}}))), []);
    assert_eq!(judge(queue(json!({}))), []);
    assert_eq!(judge(stream(empty)), []);
}

/// `docs/semantics.md` 1.11
#[test]
fn tags_are_judged_by_themselves() {
    let judge = |tags: Value| told(refuse_invalid_tags(&read(json!({"Tags": tags, "BatchSize": 0}))));
    let rule = "keys that begin with aws: are AWS's own";
    assert_eq!(judge(json!({"aws:team": "blue"})), [("Tags.aws:team".to_owned(), rule.to_owned())]);
    assert_eq!(judge(json!({"team": "blue"})), []);
}

fn told(judged: Result<(), ValidationErrors>) -> Vec<(String, String)> {
    let errors = judged.err().map(|errors| errors.0).unwrap_or_default();
    errors.into_iter().map(|error| (error.field, error.rule)).collect()
}
