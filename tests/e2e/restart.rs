//! What a state directory keeps from one process to the next, and that only one process has it.

use serde_json::json;

use crate::load::settle;
use crate::support::aws::Stream;
use crate::support::daemon::Installation;
use crate::support::function::Function;
use crate::support::ledger::Ledger;
use crate::support::servers;

#[tokio::test]
async fn a_stopped_stream_continues_at_its_checkpoint() {
    let server = servers::kinesis_local();
    let stream = Stream::create(&server, 2).await;
    let function = Function::start();
    let mapping = json!({"EventSourceArn": stream.arn, "FunctionName": "worker", "StartingPosition": "TRIM_HORIZON"});
    let installation = Installation::new().with_kinesis(&server).with_function(&function).with_mappings(&[mapping]);
    let mut ledger = Ledger::default();

    for _ in 0..2 {
        let mut daemon = installation.start().await;
        for _ in 0..5 {
            let entries: Vec<_> = (0..20).map(|key| ledger.next(&format!("key-{key}"))).collect();
            stream.put(&entries).await;
        }
        settle(&mut ledger, &function).await;
        let exit = daemon.terminate().await;
        assert!(exit.status.success(), "{exit:?}");
    }

    ledger.read(&function);
    ledger.assert_complete();
    ledger.assert_in_order();
    assert_eq!(ledger.repeats(), 0, "records were repeated though their checkpoint was saved");
}

#[tokio::test]
async fn a_second_run_on_a_state_directory_names_directory_and_process() {
    let installation = Installation::new();
    let first = installation.start().await;

    let mut second = installation.spawn();
    let exit = second.wait().await;

    assert_eq!(exit.status.code(), Some(1));
    let printed = second.printed();
    let directory = installation.state_directory();
    assert!(printed.contains(directory.to_str().unwrap()), "does not name the directory: {printed}");
    assert!(printed.contains(&first.pid().to_string()), "does not name the process: {printed}");
}

#[tokio::test]
async fn a_killed_process_leaves_a_state_directory_that_opens() {
    let installation = Installation::new();
    installation.start().await.kill9().await;

    let exit = installation.start().await.terminate().await;

    assert!(exit.status.success(), "{exit:?}");
}
