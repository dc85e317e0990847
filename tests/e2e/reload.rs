//! A changed configuration file is taken up while the daemon runs, on its own and at SIGHUP; one with mistakes changes
//! nothing and says where they are.

use serde_json::{Value, json};

use crate::VISIBILITY;
use crate::load::settle;
use crate::support::aws::Queue;
use crate::support::daemon::{Daemon, Installation};
use crate::support::function::Function;
use crate::support::ledger::Ledger;
use crate::support::servers;

#[tokio::test]
async fn a_changed_file_is_taken_up_and_a_broken_one_is_not() {
    let (server, function) = (servers::ministack(), Function::start());
    let (first, second) = (Queue::standard(&server, VISIBILITY).await, Queue::standard(&server, VISIBILITY).await);
    let installation = Installation::new().with_sqs(&server).with_function(&function).with_mappings(&[mapping(&first)]);
    let mut daemon = installation.start().await;
    let mut ledger = Ledger::default();

    installation.rewrite(&json!({"mappings": [mapping(&first), mapping(&second)]}).to_string());
    send(&second, &mut ledger).await;
    settle(&mut ledger, &function).await;
    until_reload(&daemon, true).await;

    installation.rewrite("mappings:\n  - EventSourceArm: nonsense\n");
    until_reload(&daemon, false).await;
    assert!(daemon.printed().contains("esmd.yaml:2:5"), "the log names the place");
    send(&first, &mut ledger).await;
    send(&second, &mut ledger).await;
    settle(&mut ledger, &function).await;

    installation.rewrite(&json!({"mappings": [mapping(&second)]}).to_string());
    daemon.signal("HUP").await;
    until_reload(&daemon, true).await;
    daemon.wait_for_log("mapping is no longer in the file").await;
    send(&second, &mut ledger).await;
    settle(&mut ledger, &function).await;
    ledger.assert_complete();
    assert!(daemon.terminate().await.status.success());
}

async fn send(queue: &Queue, ledger: &mut Ledger) {
    let entries: Vec<_> = (0..5).map(|_| ledger.next("none")).collect();
    queue.send(&entries).await;
}

fn mapping(queue: &Queue) -> Value {
    json!({"EventSourceArn": queue.arn, "FunctionName": "worker"})
}

async fn until_reload(daemon: &Daemon, succeeded: bool) {
    let line = format!("esmd_config_last_reload_success {}\n", u8::from(succeeded));
    daemon.until("/metrics", |page| page.contains(&line)).await;
}
