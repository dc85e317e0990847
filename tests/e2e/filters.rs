//! Mappings that filter, on each kind of source: what matches arrives, in order where there is one, and what does not match
//! is gone from the queue, or passed, without an invocation.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::settle;
use crate::support::aws::{Queue, Stream};
use crate::support::daemon::{Daemon, Installation};
use crate::support::function::Function;
use crate::support::ledger::{Entry, Ledger};
use crate::support::servers;
use crate::support::table::Table;
use crate::{VISIBILITY, queue_installation};

/// `docs/semantics.md` 9, invariants 53 and 116.
#[tokio::test]
async fn messages_that_match_nothing_are_deleted_without_an_invocation() {
    for fifo in [false, true] {
        let server = servers::ministack();
        let queue =
            if fifo { Queue::fifo(&server, VISIBILITY).await } else { Queue::standard(&server, VISIBILITY).await };
        let function = Function::start();
        let installation = queue_installation(&server, &queue, &function, filters(BODY));
        let daemon = installation.start().await;

        let ledger = run(&function, async |entries| queue.send(&entries).await).await;

        queue.wait_until_empty(Duration::from_secs(10)).await;
        assert_filtered(&daemon).await;
        daemon.until_counted("esmd_records_deleted_total", || ROUNDS * (FOREIGN + OWN)).await;
        if fifo {
            ledger.assert_in_order();
        }
    }
}

#[tokio::test]
async fn messages_that_match_nothing_stay_if_the_mapping_keeps_them() {
    let server = servers::ministack();
    let queue = Queue::standard(&server, VISIBILITY).await;
    let function = Function::start();
    let mut settings = filters(BODY);
    settings["Esmd"] = json!({"KeepFiltered": true});
    let mut daemon = queue_installation(&server, &queue, &function, settings).start().await;

    run(&function, async |entries| queue.send(&entries).await).await;

    assert!(daemon.terminate().await.status.success());
    let counts = queue.counts().await;
    assert_eq!(counts.visible + counts.in_flight, ROUNDS * FOREIGN, "they are others' to have");
}

/// `docs/semantics.md` 9, invariant 93: what a restart would read again if the checkpoint had not moved is counted once.
#[tokio::test]
async fn records_of_a_stream_that_match_nothing_are_passed() {
    let server = servers::kinesis_local();
    let stream = Stream::create(&server, 2).await;
    let function = Function::start();
    let installation = Installation::new().with_kinesis(&server).with_function(&function);
    let daemon = installation.with_mappings(&[mapping(&stream.arn, DATA)]).start().await;

    let ledger = run(&function, async |entries| drop(stream.put(&entries).await)).await;

    ledger.assert_in_order();
    assert_filtered(&daemon).await;
}

#[tokio::test]
async fn changes_of_a_table_that_match_nothing_are_passed() {
    let server = servers::dynamodb_local();
    let table = Table::create(&server.url).await;
    let function = Function::start();
    let installation = Installation::new().with_dynamodb_streams(&server).with_function(&function);
    let daemon = installation.with_mappings(&[mapping(&table.stream_arn, IMAGE)]).start().await;

    let put = async |entries: Vec<Entry>| {
        for entry in entries {
            table.put(&entry.key, entry.sequence).await;
        }
    };
    let ledger = run(&function, put).await;

    ledger.assert_in_order();
    assert_filtered(&daemon).await;
}

/// Sends what matches among what does not, and waits until all that matches arrived; the ledger objects to anything else.
async fn run(function: &Function, mut send: impl AsyncFnMut(Vec<Entry>)) -> Ledger {
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        let foreign = (0..FOREIGN).map(|key| Entry { key: format!("other-{key}"), sequence: round as u64 });
        let own: Vec<_> = (0..OWN).map(|key| ledger.next(&format!("own-{key}"))).collect();
        send(foreign.chain(own).collect()).await;
    }
    settle(&mut ledger, function).await;
    ledger.assert_complete();
    let records: usize = function.invocations().iter().map(|invocation| invocation.records().len()).sum();
    assert_eq!(records, ROUNDS * OWN, "nothing but what matches");
    ledger
}

/// Waits until the daemon says that it filtered all that does not match.
async fn assert_filtered(daemon: &Daemon) {
    daemon.until_counted("esmd_records_filtered_total", || ROUNDS * FOREIGN).await;
}

fn mapping(source: &str, pattern: &str) -> Value {
    let mut mapping = filters(pattern);
    mapping["EventSourceArn"] = source.into();
    mapping["FunctionName"] = "worker".into();
    mapping["StartingPosition"] = "TRIM_HORIZON".into();
    mapping
}

fn filters(pattern: &str) -> Value {
    json!({"FilterCriteria": {"Filters": [{ "Pattern": pattern }]}})
}

const BODY: &str = r#"{"body": {"key": [{"prefix": "own-"}]}}"#;
const DATA: &str = r#"{"data": {"key": [{"prefix": "own-"}]}}"#;
const IMAGE: &str = r#"{"dynamodb": {"NewImage": {"pk": {"S": [{"prefix": "own-"}]}}}}"#;
const ROUNDS: usize = 4;
/// Keys of each round that match, and that do not.
const OWN: usize = 3;
const FOREIGN: usize = 5;
