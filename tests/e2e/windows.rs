//! Tumbling windows (`docs/semantics.md` 6.9): what the function counts in its state is what was put, through kills.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::aws::Stream;
use crate::support::daemon::Installation;
use crate::support::function::{Behaviour, Function};
use crate::support::ledger::{Entry, Ledger};
use crate::support::servers;

/// Invariants 94 and 98 to 101. Every seventh call fails, the daemon is killed twice, and the last windows are closed
/// though no record follows.
#[tokio::test]
async fn windows_count_each_record_once_through_failures_and_kills() {
    let server = servers::kinesis_local();
    let stream = Stream::create(&server, 2).await;
    let function = Function::start();
    function.answer_with(|number, event| {
        let failure = Behaviour::FunctionError { handled: false };
        let behaviour = if number % 7 == 0 { failure } else { Behaviour::Succeed(json!({ "state": folded(event) })) };
        behaviour.after(Duration::from_millis(20))
    });
    let mapping = json!({
        "EventSourceArn": stream.arn,
        "FunctionName": "worker",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 5,
        "TumblingWindowInSeconds": 2,
    });
    let installation = Installation::new().with_kinesis(&server).with_function(&function).with_mappings(&[mapping]);
    let mut daemon = installation.start().await;
    let mut ledger = Ledger::default();

    let mut put = Vec::new();
    for round in 0..40 {
        let entries: Vec<_> = (0..5).map(|key| ledger.next(&format!("key-{key}"))).collect();
        stream.put(&entries).await;
        put.extend(entries.iter().map(Entry::body));
        if round % 15 == 10 {
            daemon.kill9().await;
            daemon = installation.start().await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    put.sort();

    let deadline = Instant::now() + Duration::from_secs(90);
    while counted(&function) != put {
        let (counted, put) = (counted(&function).len(), put.len());
        assert!(Instant::now() < deadline, "{counted} counted in closed windows, {put} put");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(daemon.terminate().await.status.success());
}

fn folded(event: &Value) -> Value {
    let mut counted = event["state"]["counted"].as_array().cloned().unwrap_or_default();
    let records = event["Records"].as_array().unwrap();
    counted.extend(records.iter().map(|record| Value::from(Entry::from_record(record).body())));
    json!({ "counted": counted })
}

/// What all closed windows counted, sorted. A final call that is repeated after a kill says the same again.
fn counted(function: &Function) -> Vec<String> {
    let mut closed: BTreeMap<(String, String), Value> = BTreeMap::new();
    for invocation in function.invocations() {
        let event = &invocation.event;
        if event["isFinalInvokeForWindow"] == true && invocation.behaviour.at_last().succeeds() {
            assert_eq!(event["Records"], json!([]));
            let name = (event["shardId"].to_string(), event["window"].to_string());
            let before = closed.insert(name, event["state"].clone());
            assert!(before.is_none_or(|before| before == event["state"]), "{event}");
        }
    }
    let lists = closed.values().flat_map(|state| state["counted"].as_array().cloned().unwrap_or_default());
    let mut counted: Vec<_> = lists.map(|body| body.as_str().unwrap().to_owned()).collect();
    counted.sort();
    counted
}
