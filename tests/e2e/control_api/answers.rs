//! What answers show of a mapping from its creation to its deletion, on each kind of source.

use serde_json::{Value, json};

use super::client::Operation;
use super::{Caller, Case, Source, through_both, uuid, with, without};

pub(super) const CASES: &[Case] = &[
    Case { invariants: &[1, 3, 4, 5, 10, 26], run: |caller| Box::pin(a_mapping_lives(caller)) },
    Case { invariants: &[2, 5], run: |caller| Box::pin(a_mapping_is_made_disabled(caller)) },
];

#[tokio::test]
async fn both_clients_see_what_a_mapping_is_and_what_is_done_about_it() {
    through_both(CASES).await;
}

async fn a_mapping_lives(caller: &Caller<'_>) {
    for source in Source::ALL {
        let function = format!("life-{source:?}");
        let asked = json!({"Enabled": true, "FilterCriteria": {"Filters": []}});
        let made = caller.create(caller.mapping(source, &function, asked)).await;
        assert_eq!(made["State"], "Creating", "1: {source:?}");
        caller.settle(uuid(&made)).await;
        let read = caller.get(uuid(&made)).await;
        let listed = json!({"FunctionName": caller.name(&function)});
        let listed = caller.succeed(Operation::List, listed).await["EventSourceMappings"][0].clone();
        let changed = caller.update(uuid(&made), json!({"BatchSize": 5})).await;
        caller.settle(uuid(&made)).await;
        let deleted = caller.delete(uuid(&made)).await;

        for answer in [&made, &read, &listed, &changed, &deleted] {
            let present = OF_STREAMS.iter().map(|member| answer.get(member).is_some());
            assert!(present.into_iter().all(|present| present == source.is_stream()), "3, 4: {source:?}: {answer}");
            let destination = source.is_stream().then(|| json!({"OnFailure": {}}));
            assert_eq!(answer.get("DestinationConfig"), destination.as_ref(), "4: {source:?}");
            assert_eq!(answer["StateTransitionReason"], reason(source), "5: {source:?}");
            assert_eq!(answer.get("FilterCriteria"), None, "10: {source:?}");
        }
        assert_eq!((&read["State"], &deleted["State"]), (&json!("Enabled"), &json!("Deleting")), "26: {source:?}");
        let rest = |mapping: &Value| without(mapping.clone(), &["State", "LastModified"]);
        assert_eq!(rest(&deleted), with(rest(&read), json!({"BatchSize": 5})), "26: {source:?}");
    }
}

async fn a_mapping_is_made_disabled(caller: &Caller<'_>) {
    for source in [Source::Queue, Source::Stream] {
        let made = caller.create(caller.mapping(source, "disabled", json!({}))).await;
        let state = if source.is_stream() { "Creating" } else { "Disabled" };
        assert_eq!(made["State"], state, "{source:?}");

        caller.settle(uuid(&made)).await;
        let read = caller.get(uuid(&made)).await;
        assert_eq!((&read["State"], &read["StateTransitionReason"]), (&json!("Disabled"), &json!(reason(source))));
    }
}

fn reason(source: Source) -> &'static str {
    if source.is_stream() { "User action" } else { "USER_INITIATED" }
}

const OF_STREAMS: [&str; 8] = [
    "StartingPosition",
    "ParallelizationFactor",
    "LastProcessingResult",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "TumblingWindowInSeconds",
];
