//! What changes a mapping, and what does not.

use serde_json::{Value, json};

use super::client::{Client, Operation};
use super::{Caller, Case, INVALID, NOT_FOUND, Source, through_both, with, without};

pub(super) const CASES: &[Case] = &[
    Case { invariants: &[19], run: |caller| Box::pin(a_refused_update_changes_nothing(caller)) },
    Case { invariants: &[20], run: |caller| Box::pin(an_update_changes_what_it_gives(caller)) },
    Case { invariants: &[21], run: |caller| Box::pin(nobody_is_not_found(caller)) },
    Case { invariants: &[24], run: |caller| Box::pin(a_function_that_is_deleted_leaves_its_mapping(caller)) },
];

#[tokio::test]
async fn both_clients_change_what_they_give_and_nothing_else() {
    through_both(CASES).await;
}

/// `LastModified` included.
async fn a_refused_update_changes_nothing(caller: &Caller<'_>) {
    let uuid = caller.settled(caller.mapping(Source::Stream, "kept", json!({}))).await;
    let before = caller.get(&uuid).await;
    let change = json!({"UUID": uuid, "BatchSize": 7, "MaximumRecordAgeInSeconds": 59});
    let message = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)";
    let body = json!({"Type": "User", "message": message});

    caller.refused(Operation::Update, change, INVALID, &body).await;

    assert!(before["LastModified"].is_string() || before["LastModified"].is_number(), "{before}");
    assert_eq!(caller.get(&uuid).await, before);
}

async fn an_update_changes_what_it_gives(caller: &Caller<'_>) {
    let settings = json!({
        "BatchSize": 7, "MaximumBatchingWindowInSeconds": 1, "ParallelizationFactor": 2, "MaximumRetryAttempts": 3,
        "MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": true, "Tags": {"team": "blue"},
        "FilterCriteria": {"Filters": [{"Pattern": r#"{"data": {"a": [1]}}"#}]},
        "DestinationConfig": {"OnFailure": {"Destination": caller.arn(Source::Queue)}},
    });
    let made = caller.create(caller.mapping(Source::Stream, "changed", settings)).await;
    let uuid = super::uuid(&made);
    caller.settle(uuid).await;

    let changed = caller.update(uuid, json!({"BatchSize": 8})).await;
    let rest = |mapping: &Value| without(mapping.clone(), &["State", "LastModified"]);
    assert_eq!(rest(&changed), with(rest(&made), json!({"BatchSize": 8})), "what is absent stays");
    caller.settle(uuid).await;

    // The SDK has no setter for what an update cannot change; the CLI looks into the model and sends nothing.
    let fixed = json!({"EventSourceArn": caller.arn(Source::Table), "StartingPosition": "LATEST", "Tags": {"a": "b"}});
    if matches!(caller.client, Client::Cli) {
        let answer = caller.call(Operation::Update, with(json!({"UUID": uuid}), fixed.clone())).await;
        let told = answer.shown.expect_err("it is not sent").message;
        assert_eq!(answer.status, None);
        for member in fixed.as_object().unwrap().keys() {
            assert!(told.contains(&format!("Unknown parameter in input: \"{member}\"")), "{told}");
        }
    }
    // Whoever sends it all the same is told; no client sends null.
    for (member, value) in fixed.as_object().unwrap() {
        let (status, refused) = caller.on_the_wire("PUT", uuid, &json!({ member: value })).await;
        assert_eq!((status, &refused["Type"]), (400, &json!("User")), "{refused}");
    }
    let nothing = json!({"BatchSize": null, "FilterCriteria": null, "DestinationConfig": null, "Enabled": null});
    assert_eq!(caller.on_the_wire("PUT", uuid, &nothing).await.0, 202);
    caller.settle(uuid).await;

    assert_eq!(rest(&caller.get(uuid).await), rest(&changed), "nor does null change anything");
    let tags = json!({"Resource": made["EventSourceMappingArn"]});
    assert_eq!(caller.succeed(Operation::ListTags, tags).await, json!({"Tags": {"team": "blue"}}));
}

async fn nobody_is_not_found(caller: &Caller<'_>) {
    let nobody = json!({"UUID": "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d"});
    let body = json!({"Type": "User", "Message": "The resource you requested does not exist."});
    for operation in [Operation::Get, Operation::Update, Operation::Delete] {
        caller.refused(operation, nobody.clone(), NOT_FOUND, &body).await;
    }
}

async fn a_function_that_is_deleted_leaves_its_mapping(caller: &Caller<'_>) {
    let uuid = caller.settled(caller.mapping(Source::Queue, "deleted", json!({"Enabled": true}))).await;
    let before = caller.get(&uuid).await;

    caller.function.delete(&caller.name("deleted"));
    assert_eq!(caller.get(&uuid).await, before);
    caller.update(&uuid, json!({"BatchSize": 5})).await;
    caller.settle(&uuid).await;

    let after = caller.get(&uuid).await;
    assert_eq!(without(after, &["LastModified"]), with(without(before, &["LastModified"]), json!({"BatchSize": 5})));
    let gone = caller.mapping(Source::Fifo, "deleted", json!({}));
    let body = json!({"Type": "User", "message": "Function does not exist"});
    caller.refused(Operation::Create, gone, INVALID, &body).await;
    assert_eq!(caller.delete(&uuid).await["State"], "Deleting");
}
