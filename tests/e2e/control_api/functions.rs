//! Which pairs of source and function there can be, and what filters show.

use serde_json::{Value, json};

use super::client::Operation;
use super::{CONFLICT, Caller, Case, Source, through_both, uuid};
use crate::support::function::ARN_PREFIX;

pub(super) const CASES: &[Case] = &[
    Case { invariants: &[6, 7], run: |caller| Box::pin(a_qualifier_is_part_of_the_function(caller)) },
    Case { invariants: &[7, 8], run: |caller| Box::pin(a_pair_is_mapped_once(caller)) },
    Case { invariants: &[9, 27], run: |caller| Box::pin(filters_are_shown_as_given_or_hidden(caller)) },
];

#[tokio::test]
async fn both_clients_see_functions_conflicts_and_filters_as_they_gave_them() {
    through_both(CASES).await;
}

async fn a_qualifier_is_part_of_the_function(caller: &Caller<'_>) {
    let name = caller.name("qualified");
    for (given, qualifier) in [
        (name.clone(), ""),
        (format!("{name}:$LATEST"), ":$LATEST"),
        (format!("{name}:1"), ":1"),
        (format!("000000000000:function:{name}:live"), ":live"),
        (format!("{ARN_PREFIX}{name}:2"), ":2"),
    ] {
        let made = caller.create(caller.mapping(Source::Queue, "", json!({"FunctionName": given}))).await;
        assert_eq!(made["FunctionArn"], format!("{ARN_PREFIX}{name}{qualifier}"), "{given}");
    }
}

async fn a_pair_is_mapped_once(caller: &Caller<'_>) {
    for source in [Source::Queue, Source::Stream, Source::Table] {
        let name = format!("{}:live", caller.name("occupied"));
        let mapping = caller.mapping(source, "", json!({"FunctionName": name}));
        let made = caller.create(mapping.clone()).await;

        let (arn, bare, uuid) = (caller.arn(source), caller.name("occupied"), uuid(&made));
        let message = if source.is_stream() {
            format!(
                "The event source arn (\" {arn} \") and function (\" {bare} \") provided mapping already exists. Please \
                 update or delete the existing mapping with UUID {uuid}"
            )
        } else {
            format!(
                "An event source mapping with SQS arn (\" {arn} \") and function (\" {bare} \") already exists. Please \
                 update or delete the existing mapping with UUID {uuid}"
            )
        };
        let body = json!({"Type": "User", "message": message});
        caller.refused(Operation::Create, mapping, CONFLICT, &body).await;
    }
}

async fn filters_are_shown_as_given_or_hidden(caller: &Caller<'_>) {
    let pattern = "{ \"body\" :{\"a\": [ 1.50,\"\\u00e4\", \"ß\" ] } }";
    let criteria = json!({"Filters": [{ "Pattern": pattern }]});
    let key = "arn:aws:kms:us-east-1:000000000000:key/6f1c2d34";
    let mapping = caller.mapping(Source::Queue, "filtered", json!({"FilterCriteria": criteria}));
    let listed = async || {
        let asked = json!({"FunctionName": caller.name("filtered")});
        caller.succeed(Operation::List, asked).await["EventSourceMappings"][0].clone()
    };

    let made = caller.create(mapping).await;
    assert_eq!(made["FilterCriteria"], criteria, "9");
    assert_eq!(listed().await["FilterCriteria"], criteria, "9: no key hides it");
    let changed = caller.update(uuid(&made), json!({"KMSKeyArn": key})).await;

    for shown in [&changed, &caller.get(uuid(&made)).await] {
        assert_eq!((&shown["KMSKeyArn"], &shown["FilterCriteria"]), (&json!(key), &criteria), "27");
    }
    let hidden = listed().await;
    assert_eq!((&hidden["KMSKeyArn"], &hidden["FilterCriteria"]), (&json!(key), &Value::Null), "27");
}
