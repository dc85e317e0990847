//! Streams: every record is handled, and within a partition key in the order put.

use serde_json::json;

use crate::load::{Load, carry, failing_function, settle};
use crate::support::aws::Stream;
use crate::support::daemon::Installation;
use crate::support::function::Function;
use crate::support::ledger::{Ledger, assert_one_batch_per_key};
use crate::support::servers::{self, Server};

#[tokio::test]
async fn records_of_kinesis_local_arrive_in_order() {
    records_arrive_in_order(&servers::kinesis_local()).await;
}

#[tokio::test]
async fn records_of_ministack_arrive_in_order() {
    records_arrive_in_order(&servers::ministack()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_arrives_in_order_through_failures_and_kills() {
    let server = servers::kinesis_local();
    let stream = Stream::create(&server, 4).await;
    let function = failing_function();
    let installation = installation(&server, &stream, &function);

    let (ledger, mut daemon) =
        carry(&installation, &function, LOAD, async |ledger| put(&stream, ledger, 200).await).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    assert!(daemon.terminate().await.status.success());
}

async fn records_arrive_in_order(server: &Server) {
    let stream = Stream::create(server, 2).await;
    let function = Function::start();
    let _daemon = installation(server, &stream, &function).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..10 {
        put(&stream, &mut ledger, 20).await;
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
}

/// One record to each of `keys` keys.
async fn put(stream: &Stream, ledger: &mut Ledger, keys: usize) {
    let entries: Vec<_> = (0..keys).map(|key| ledger.next(&format!("key-{key}"))).collect();
    stream.put(&entries).await;
}

fn installation(server: &Server, stream: &Stream, function: &Function) -> Installation {
    let mapping = json!({
        "EventSourceArn": stream.arn,
        "FunctionName": "worker",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "ParallelizationFactor": 10,
    });
    Installation::new().with_kinesis(server).with_function(function).with_mappings(&[mapping])
}

const LOAD: Load = Load { records: 10_000, queued_max: 10_000 };
