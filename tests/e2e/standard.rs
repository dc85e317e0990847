//! Standard queues: every message is handled and deleted; there is no order.

use std::time::Duration;

use serde_json::json;

use crate::load::{Load, carry, failing_function, settle};
use crate::support::aws::Queue;
use crate::support::function::Function;
use crate::support::ledger::Ledger;
use crate::support::servers::{self, Server};
use crate::{VISIBILITY, queue_installation};

#[tokio::test]
async fn messages_of_ministack_arrive_and_are_deleted() {
    messages_arrive_and_are_deleted(&servers::ministack()).await;
}

#[tokio::test]
async fn messages_of_fauxqs_arrive_and_are_deleted() {
    messages_arrive_and_are_deleted(&servers::fauxqs()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_arrives_completely_through_failures_and_kills() {
    let server = servers::ministack();
    let queue = Queue::standard(&server, VISIBILITY).await;
    let function = failing_function();
    let installation = queue_installation(&server, &queue, &function, json!({}));

    let (ledger, mut daemon) =
        carry(&installation, &function, LOAD, async |ledger| send(&queue, ledger, 100).await).await;

    ledger.assert_complete();
    queue.wait_until_empty(Duration::from_secs(30)).await;
    assert!(daemon.terminate().await.status.success());
}

async fn messages_arrive_and_are_deleted(server: &Server) {
    let queue = Queue::standard(server, VISIBILITY).await;
    let function = Function::start();
    let _daemon = queue_installation(server, &queue, &function, json!({})).start().await;
    let mut ledger = Ledger::default();

    send(&queue, &mut ledger, 50).await;
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    queue.wait_until_empty(Duration::from_secs(5)).await;
}

async fn send(queue: &Queue, ledger: &mut Ledger, count: usize) {
    let entries: Vec<_> = (0..count).map(|_| ledger.next("none")).collect();
    queue.send(&entries).await;
}

/// With more queued, ministack measures itself: it scans the whole queue at every receive.
const LOAD: Load = Load { records: 5_000, queued_max: 1_900 };
