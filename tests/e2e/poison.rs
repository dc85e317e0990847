//! One record that no function can process, among many: it ends as one failure record that names it, and nothing else
//! suffers (`docs/semantics.md` 6.6, 6.7).

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::settle_all_but;
use crate::support::aws::{Queue, Stream};
use crate::support::daemon::Installation;
use crate::support::function::{Behaviour, Function};
use crate::support::ledger::{Entry, Ledger, assert_one_batch_per_key};
use crate::support::servers;

/// Invariants 70 to 72, 81, 82, 86, 115
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_with_a_poison_record_ends_in_one_failure_record_that_names_it() {
    let (streams, queues, function) = (servers::kinesis_local(), servers::ministack(), Function::start());
    let stream = Stream::create(&streams, 4).await;
    let failures = Queue::standard(&queues, Duration::from_mins(1)).await;
    let poison = Entry { key: "key-77".to_owned(), sequence: 23 };
    function.answer_with(failing_on(poison.clone()));
    let mapping = json!({
        "EventSourceArn": stream.arn,
        "FunctionName": "worker:live",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "ParallelizationFactor": 10,
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": 2,
        "DestinationConfig": {"OnFailure": {"Destination": failures.arn}},
    });
    let installation = Installation::new().with_kinesis(&streams).with_sqs(&queues).with_function(&function);
    let mut daemon = installation.with_mappings(&[mapping]).start().await;
    let mut ledger = Ledger::default();
    ledger.give_up(poison.clone());

    let mut poisoned = None;
    for _ in 0..RECORDS / KEYS {
        let entries: Vec<_> = (0..KEYS).map(|key| ledger.next(&format!("key-{key}"))).collect();
        let placed = stream.put(&entries).await;
        poisoned = placed.into_iter().find(|placed| placed.entry == poison).or(poisoned);
    }
    settle_all_but(1, &mut ledger, &function).await;
    let attempted = || function.invocations().iter().map(|invocation| invocation.records().len()).sum::<usize>();
    daemon.until_counted("esmd_records_invoked_total", attempted).await;
    assert!(attempted() > RECORDS, "what failed came again");
    assert!(daemon.terminate().await.status.success());

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    assert!(!ledger.is_settled(&poison));
    let told = failures.receive_all().await;
    let [told] = &told[..] else { panic!("{} failure records: {told:?}", told.len()) };
    let told: Value = serde_json::from_str(told).unwrap();
    let poisoned = poisoned.expect("it was put");
    let batch = &told["KinesisBatchInfo"];
    assert_eq!(batch["batchSize"], 1, "{told}");
    for member in ["startSequenceNumber", "endSequenceNumber"] {
        assert_eq!(batch[member], poisoned.sequence_number.as_str());
    }
    assert_eq!(batch["shardId"], poisoned.shard.as_str());
    assert_eq!(batch["streamArn"], stream.arn.as_str());
    assert_eq!(told["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(told["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(told["responseContext"]["functionError"], "Unhandled");
}

fn failing_on(poison: Entry) -> impl FnMut(usize, &Value) -> Behaviour + Send + 'static {
    move |_, event| {
        let records = event["Records"].as_array().expect("an event has records");
        if records.iter().any(|record| Entry::from_record(record) == poison) {
            Behaviour::FunctionError { handled: false }
        } else {
            Behaviour::succeed()
        }
    }
}

const RECORDS: usize = 10_000;
const KEYS: usize = 200;
