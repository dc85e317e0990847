//! The streams of tables: every change is handled, and within an item in the order of the writes.

use serde_json::json;

use crate::load::{Load, carry, failing_function, settle};
use crate::support::daemon::Installation;
use crate::support::function::Function;
use crate::support::ledger::{Ledger, assert_one_batch_per_key};
use crate::support::servers::{self, Server};
use crate::support::table::Table;

#[tokio::test]
async fn changes_of_dynamodb_local_arrive_in_order() {
    changes_arrive_in_order(&servers::dynamodb_local()).await;
}

#[tokio::test]
async fn changes_of_ministack_arrive_in_order() {
    changes_arrive_in_order(&servers::ministack()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_of_a_table_arrives_in_order_through_failures_and_kills() {
    let server = servers::dynamodb_local();
    let table = Table::create(&server.url).await;
    let function = failing_function();
    let installation = installation(&server, &table, &function);

    let (ledger, mut daemon) =
        carry(&installation, &function, LOAD, async |ledger| put(&table, ledger, 50).await).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    assert!(daemon.terminate().await.status.success());
}

async fn changes_arrive_in_order(server: &Server) {
    let table = Table::create(&server.url).await;
    let function = Function::start();
    let _daemon = installation(server, &table, &function).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..10 {
        put(&table, &mut ledger, 20).await;
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
}

/// One change of each of `items` items.
async fn put(table: &Table, ledger: &mut Ledger, items: usize) {
    for item in 0..items {
        let entry = ledger.next(&format!("item-{item}"));
        table.put(&entry.key, entry.sequence).await;
    }
}

fn installation(server: &Server, table: &Table, function: &Function) -> Installation {
    let mapping = json!({
        "EventSourceArn": table.stream_arn,
        "FunctionName": "worker",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 20,
        "ParallelizationFactor": 10,
    });
    Installation::new().with_dynamodb_streams(server).with_function(function).with_mappings(&[mapping])
}

const LOAD: Load = Load { records: 1_000, queued_max: 1_000 };
