//! Which mappings a list shows, and how many at a time.

use std::collections::BTreeSet;

use serde_json::json;

use super::client::Operation;
use super::{Caller, Case, Source, through_both, uuid};
use crate::VISIBILITY;
use crate::support::aws::Queue;
use crate::support::servers;

pub(super) const CASES: &[Case] = &[
    Case { invariants: &[22], run: |caller| Box::pin(a_list_is_exact_about_qualifiers(caller)) },
    Case { invariants: &[23], run: |caller| Box::pin(pages_show_each_mapping_once(caller)) },
];

#[tokio::test]
async fn both_clients_list_what_they_ask_for_page_by_page() {
    through_both(CASES).await;
}

async fn a_list_is_exact_about_qualifiers(caller: &Caller<'_>) {
    let name = caller.name("listed");
    let mut made = Vec::new();
    for function in [name.clone(), format!("{name}:live")] {
        let mapping = caller.create(caller.mapping(Source::Queue, "", json!({"FunctionName": function}))).await;
        made.push(uuid(&mapping).to_owned());
    }
    let by_function = async |function: String| caller.list(Operation::List, json!({"FunctionName": function})).await;

    assert_eq!(by_function(name.clone()).await, made[..1]);
    assert_eq!(by_function(format!("{name}:live")).await, made[1..]);
    let unknown = format!("{}-nobody", caller.arn(Source::Queue));
    for unknown in [json!({"FunctionName": "nobody"}), json!({"EventSourceArn": unknown})] {
        let answer = caller.call(Operation::List, unknown).await;
        assert_eq!((answer.status, answer.wire), (Some(200), json!({"EventSourceMappings": [], "NextMarker": null})));
        assert_eq!(answer.shown.unwrap(), json!({"EventSourceMappings": []}));
    }
}

async fn pages_show_each_mapping_once(caller: &Caller<'_>) {
    let queue = Queue::standard(&servers::ministack(), VISIBILITY).await;
    let mut made = BTreeSet::new();
    for number in 0..105 {
        let function = format!("{}-{number}", caller.name("paged"));
        let mapping = json!({"EventSourceArn": queue.arn, "FunctionName": function, "Enabled": false});
        let (status, mapping) = caller.on_the_wire("POST", "", &mapping).await;
        assert_eq!(status, 202, "{mapping}");
        made.insert(uuid(&mapping).to_owned());
    }

    // The CLI's own `--max-items` is another thing: how much it shows.
    let first = json!({"EventSourceArn": queue.arn, "MaxItems": 500});
    let page = caller.succeed(Operation::List, first).await;
    let shown = page["EventSourceMappings"].as_array().unwrap();
    assert!(shown.len() == 100 && page["NextMarker"].is_string(), "{} and {}", shown.len(), page["NextMarker"]);
    let rest = json!({"EventSourceArn": queue.arn, "Marker": page["NextMarker"]});
    let rest = caller.succeed(Operation::List, rest).await;
    assert_eq!(rest.get("NextMarker"), None);

    let rest = rest["EventSourceMappings"].as_array().unwrap();
    let by_hand: Vec<&str> = shown.iter().chain(rest).map(uuid).collect();
    let by_itself = caller.list(Operation::ListAll, json!({"EventSourceArn": queue.arn})).await;
    for listed in [by_hand, by_itself.iter().map(String::as_str).collect()] {
        assert_eq!(listed.len(), made.len());
        assert_eq!(listed.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), made);
    }
}
