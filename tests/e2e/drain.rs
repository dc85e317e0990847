//! SIGTERM: what runs is finished and settled, what has not begun is given back at once, and the exit code is 0.

use std::time::Duration;

use serde_json::json;

use crate::queue_installation;
use crate::support::aws::{Queue, QueueCounts};
use crate::support::function::{Behaviour, Function};
use crate::support::ledger::{Entry, Ledger};
use crate::support::servers;

#[tokio::test]
async fn messages_that_wait_for_a_window_are_visible_at_once() {
    let server = servers::ministack();
    let queue = Queue::standard(&server, LONG_VISIBILITY).await;
    let function = Function::start();
    let window = json!({"BatchSize": 100, "MaximumBatchingWindowInSeconds": 60});
    let mut daemon = queue_installation(&server, &queue, &function, window).start().await;
    queue.send(&entries("none", 3)).await;
    wait_for_counts(&queue, QueueCounts { visible: 0, in_flight: 3 }).await;

    let exit = daemon.terminate().await;

    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(queue.counts().await, QueueCounts { visible: 3, in_flight: 0 });
    assert_eq!(function.count(), 0);
}

#[tokio::test]
async fn a_running_batch_is_finished_and_its_successors_are_given_back() {
    let server = servers::ministack();
    let queue = Queue::fifo(&server, LONG_VISIBILITY).await;
    let function = Function::start();
    function.answer_with(|_, _| Behaviour::succeed().after(Duration::from_secs(2)));
    queue.send(&entries("group", 6)).await;
    let mut daemon = queue_installation(&server, &queue, &function, json!({"BatchSize": 2})).start().await;
    function.wait_for(1, Duration::from_secs(10)).await;

    let exit = daemon.terminate().await;

    assert!(exit.status.success(), "{exit:?}");
    let arrived: Vec<u64> =
        function.invocations()[0].records().iter().map(|record| Entry::from_record(record).sequence).collect();
    assert_eq!(function.count(), 1, "a batch began after the signal");
    assert_eq!(arrived.first(), Some(&0));
    assert_eq!(queue.counts().await, QueueCounts { visible: 6 - arrived.len(), in_flight: 0 });
}

fn entries(key: &str, count: usize) -> Vec<Entry> {
    let mut ledger = Ledger::default();
    (0..count).map(|_| ledger.next(key)).collect()
}

async fn wait_for_counts(queue: &Queue, expected: QueueCounts) {
    for _ in 0..200 {
        if queue.counts().await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{expected:?} expected within 10 s, the queue holds {:?}", queue.counts().await);
}

/// Longer than any test: what is visible again was given back, not timed out.
const LONG_VISIBILITY: Duration = Duration::from_mins(10);
