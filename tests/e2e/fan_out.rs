//! Streams read as a registered consumer: every record is handled, in order per key, through kills and shards that split
//! (`docs/semantics.md` 6.8).

use serde_json::json;

use crate::load::{Load, carry, failing_function, settle};
use crate::support::aws::Stream;
use crate::support::daemon::Installation;
use crate::support::function::Function;
use crate::support::ledger::{Ledger, assert_one_batch_per_key};
use crate::support::servers::{self, Server};

/// The streams of events of this server have no initial-response.
#[tokio::test]
async fn records_pushed_by_kinesis_local_arrive_in_order() {
    records_arrive_in_order(&servers::kinesis_local()).await;
}

/// Those of this one have.
#[tokio::test]
async fn records_pushed_by_ministack_arrive_in_order() {
    records_arrive_in_order(&servers::ministack()).await;
}

/// Each new process finds the subscriptions of the one that was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_pushed_arrives_in_order_through_failures_and_kills() {
    let server = servers::ministack();
    let stream = Stream::create(&server, 4).await;
    let function = failing_function();
    let installation = installation(&server, &stream, &function).await;

    let (ledger, mut daemon) =
        carry(&installation, &function, LOAD, async |ledger| put(&stream, ledger, 200).await).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    assert!(daemon.terminate().await.status.success());
}

/// On ministack a shard that is split is gone at once; its records are settled before, so nothing goes with it.
#[tokio::test]
async fn children_of_a_split_shard_are_subscribed_to() {
    let server = servers::ministack();
    let stream = Stream::create(&server, 1).await;
    let function = Function::start();
    let _daemon = installation(&server, &stream, &function).await.start().await;
    let mut ledger = Ledger::default();
    put(&stream, &mut ledger, 20).await;
    settle(&mut ledger, &function).await;

    stream.split(&stream.shards().await[0]).await;
    put(&stream, &mut ledger, 20).await;
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
}

async fn records_arrive_in_order(server: &Server) {
    let stream = Stream::create(server, 2).await;
    let function = Function::start();
    let installation = installation(server, &stream, &function).await;
    let mut daemon = installation.start().await;
    let mut ledger = Ledger::default();

    for _ in 0..10 {
        put(&stream, &mut ledger, 20).await;
    }
    settle(&mut ledger, &function).await;
    assert!(daemon.terminate().await.status.success());
    put(&stream, &mut ledger, 20).await;
    let _daemon = installation.start().await;
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_eq!(ledger.repeats(), 0, "records were repeated though their checkpoint was saved");
    let source = function.invocations()[0].event["Records"][0]["eventSourceARN"].clone();
    assert!(source.as_str().unwrap().starts_with(&format!("{}/consumer/worker:", stream.arn)), "{source}");
}

/// One record to each of `keys` keys.
async fn put(stream: &Stream, ledger: &mut Ledger, keys: usize) {
    let entries: Vec<_> = (0..keys).map(|key| ledger.next(&format!("key-{key}"))).collect();
    stream.put(&entries).await;
}

async fn installation(server: &Server, stream: &Stream, function: &Function) -> Installation {
    let mapping = json!({
        "EventSourceArn": stream.register_consumer("worker").await,
        "FunctionName": "worker",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "ParallelizationFactor": 10,
    });
    Installation::new().with_kinesis(server).with_function(function).with_mappings(&[mapping])
}

const LOAD: Load = Load { records: 6_000, queued_max: 3_000 };
