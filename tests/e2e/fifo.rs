//! FIFO queues: every message is handled, and within a group in the order sent.

use std::time::Duration;

use serde_json::json;

use crate::load::{Load, carry, settle, troubled_function};
use crate::support::aws::Queue;
use crate::support::function::Function;
use crate::support::ledger::{Ledger, assert_one_batch_per_key};
use crate::support::servers::{self, Server};
use crate::{VISIBILITY, queue_installation};

#[tokio::test]
async fn groups_of_ministack_arrive_in_order() {
    groups_arrive_in_order(&servers::ministack()).await;
}

#[tokio::test]
async fn groups_of_fauxqs_arrive_in_order() {
    groups_arrive_in_order(&servers::fauxqs()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_of_ministack_arrives_in_order_through_failures_and_kills() {
    load_arrives_in_order(&servers::ministack(), load("ESMD_TEST_FIFO_LOAD_MINISTACK")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_of_fauxqs_arrives_in_order_through_failures_and_kills() {
    load_arrives_in_order(&servers::fauxqs(), load("ESMD_TEST_FIFO_LOAD_FAUXQS")).await;
}

async fn groups_arrive_in_order(server: &Server) {
    let queue = Queue::fifo(server, VISIBILITY).await;
    let function = Function::start();
    let _daemon = queue_installation(server, &queue, &function, json!({})).start().await;
    let mut ledger = Ledger::default();

    for _ in 0..10 {
        send(&queue, &mut ledger, 8).await;
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    queue.wait_until_empty(Duration::from_secs(5)).await;
}

async fn load_arrives_in_order(server: &Server, load: Load) {
    let queue = Queue::fifo(server, VISIBILITY).await;
    let function = troubled_function();
    let installation = queue_installation(server, &queue, &function, json!({}));

    let (ledger, mut daemon) =
        carry(&installation, &function, load, async |ledger| send(&queue, ledger, GROUPS).await).await;

    ledger.assert_complete();
    ledger.assert_in_order();
    assert_one_batch_per_key(&function.invocations());
    queue.wait_until_empty(Duration::from_mins(1)).await;
    assert!(daemon.terminate().await.status.success());
}

/// One message to each of `groups` groups.
async fn send(queue: &Queue, ledger: &mut Ledger, groups: usize) {
    let entries: Vec<_> = (0..groups).map(|group| ledger.next(&format!("group-{group}"))).collect();
    queue.send(&entries).await;
}

/// As many records as the variable says: 100,000 on fauxqs and 10,000 on ministack are the full measure. At most 2,000 are
/// queued: with more, ministack measures itself, since it scans the whole queue at every receive.
fn load(variable: &str) -> Load {
    let records = std::env::var(variable).map_or(5_000, |text| text.parse().expect("a number of records"));
    Load { records, queued_max: 1_001 }
}

const GROUPS: usize = 1_000;
