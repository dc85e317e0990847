//! Tags, which belong to a mapping's ARN. Both clients send it percent-encoded in the path.

use serde_json::{Value, json};

use super::client::Operation;
use super::{Caller, Case, INVALID, NOT_FOUND, Source, through_both, with};

pub(super) const CASES: &[Case] = &[Case { invariants: &[25], run: |caller| Box::pin(tags_are_merged(caller)) }];

#[tokio::test]
async fn both_clients_tag_a_mapping_by_its_arn() {
    through_both(CASES).await;
}

async fn tags_are_merged(caller: &Caller<'_>) {
    let tags = json!({"Tags": {"team": "blue", "stage": "test"}});
    let made = caller.create(caller.mapping(Source::Queue, "tagged", tags)).await;
    let mapping = json!({"Resource": made["EventSourceMappingArn"]});
    let of = |members: Value| with(mapping.clone(), members);

    caller.succeed(Operation::Tag, of(json!({"Tags": {"team": "red", "größe": "", "a b/c": "+&=%"}}))).await;
    caller.succeed(Operation::Untag, of(json!({"TagKeys": ["stage", "absent", "a b/c"]}))).await;
    let many: Value = (0..51).map(|number| (number.to_string(), json!(""))).collect();
    let body = json!({"Type": "User", "message": "Number of tags exceeds resource tag limit."});
    caller.refused(Operation::Tag, of(json!({ "Tags": many })), INVALID, &body).await;
    let listed = caller.succeed(Operation::ListTags, mapping.clone()).await;
    assert_eq!(listed, json!({"Tags": {"team": "red", "größe": ""}}));

    let nobody = "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
    let body = json!({"Type": "User", "Message": format!("Event source mapping not found: {nobody}")});
    for (operation, members) in [
        (Operation::Tag, json!({"Tags": {"a": "b"}})),
        (Operation::Untag, json!({"TagKeys": ["a"]})),
        (Operation::ListTags, json!({})),
    ] {
        caller.refused(operation, with(json!({"Resource": nobody}), members), NOT_FOUND, &body).await;
    }
}
