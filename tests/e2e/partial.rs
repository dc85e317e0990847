//! Partial batch responses over the wire: what a function reports comes again, the rest does not
//! (`docs/semantics.md` 4.4, 5, 6.6).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::settle;
use crate::queue_installation;
use crate::support::aws::{Queue, Stream};
use crate::support::daemon::Installation;
use crate::support::function::{Behaviour, Function};
use crate::support::ledger::{Entry, Ledger, assert_one_batch_per_key, identifier};
use crate::support::servers;
use crate::support::table::Table;

/// Invariants 48, 63: exactly the unlisted messages are deleted.
#[tokio::test]
async fn of_a_standard_queue_only_the_reported_messages_come_again() {
    let queue = Queue::standard(&servers::ministack(), VISIBILITY).await;
    let function = Function::start();
    function.answer_with(reporting(|_, _| true));
    let _daemon = queue_installation(&servers::ministack(), &queue, &function, reports(10)).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..5 {
        queue.send(&entries(&mut ledger, 10)).await;
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    assert_eq!(ledger.repeats(), 0, "what was not reported does not come again");
    queue.wait_until_empty(Duration::from_secs(5)).await;
}

/// Invariant 61: a function that gives back the rest of a group keeps its order.
#[tokio::test]
async fn a_fifo_queues_groups_stay_in_order_through_reports() {
    let queue = Queue::fifo(&servers::ministack(), VISIBILITY).await;
    let function = Function::start();
    function.answer_with(reporting(|failed, entry| entry.key == failed.key));
    let _daemon = queue_installation(&servers::ministack(), &queue, &function, reports(10)).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..8 {
        queue.send(&entries(&mut ledger, 5)).await;
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_eq!(ledger.repeats(), 0);
}

/// Invariants 73, 76: the lowest reported record decides.
#[tokio::test]
async fn of_a_stream_the_first_reported_record_and_all_after_it_come_again() {
    let (server, function) = (servers::kinesis_local(), Function::start());
    let stream = Stream::create(&server, 2).await;
    function.answer_with(reporting(|_, _| false));
    let installation = Installation::new().with_kinesis(&server).with_function(&function);
    let _daemon = installation.with_mappings(&[stream_mapping(&stream.arn)]).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..10 {
        stream.put(&entries(&mut ledger, 10)).await;
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    assert_eq!(ledger.repeats(), 0);
}

#[tokio::test]
async fn of_a_table_the_first_reported_change_and_all_after_it_come_again() {
    let (server, function) = (servers::dynamodb_local(), Function::start());
    let table = Table::create(&server.url).await;
    function.answer_with(reporting(|_, _| false));
    let installation = Installation::new().with_dynamodb_streams(&server).with_function(&function);
    let _daemon = installation.with_mappings(&[stream_mapping(&table.stream_arn)]).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..10 {
        for entry in entries(&mut ledger, 10) {
            table.put(&entry.key, entry.sequence).await;
        }
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_eq!(ledger.repeats(), 0);
}

/// Reports the first record of each batch whose sequence ends in 3 and was not reported before; with it those after it
/// that `follows` says.
fn reporting(follows: fn(&Entry, &Entry) -> bool) -> impl FnMut(usize, &Value) -> Behaviour + Send + 'static {
    let mut reported = BTreeSet::new();
    move |_, event| {
        let records = event["Records"].as_array().expect("an event has records");
        let entries: Vec<_> = records.iter().map(Entry::from_record).collect();
        let bad = entries.iter().position(|entry| entry.sequence % 10 == 3 && !reported.contains(entry));
        let Some(bad) = bad else { return Behaviour::succeed() };
        reported.insert(entries[bad].clone());
        let failed = (bad..records.len()).filter(|at| *at == bad || follows(&entries[bad], &entries[*at]));
        Behaviour::report(failed.map(|at| identifier(&records[at])))
    }
}

fn reports(batch_size: usize) -> Value {
    json!({"BatchSize": batch_size, "FunctionResponseTypes": ["ReportBatchItemFailures"]})
}

fn stream_mapping(arn: &str) -> Value {
    let mut mapping = reports(20);
    for (member, value) in [("EventSourceArn", arn), ("FunctionName", "worker"), ("StartingPosition", "TRIM_HORIZON")] {
        mapping[member] = value.into();
    }
    mapping["ParallelizationFactor"] = 3.into();
    mapping
}

/// One record of each of `keys` keys.
fn entries(ledger: &mut Ledger, keys: usize) -> Vec<Entry> {
    (0..keys).map(|key| ledger.next(&format!("key-{key}"))).collect()
}

const VISIBILITY: Duration = Duration::from_secs(2);
