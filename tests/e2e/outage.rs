//! A function that is away for twice the queue's visibility timeout, with three receives before the dead-letter queue: no
//! message that is fine goes there (`docs/semantics.md` 4.5). Scaled down from a minute and 30 s, as they are in
//! `tests/engine/scaling.rs` in virtual time; the ratio is what counts. `ESMD_TEST_OUTAGE_VISIBILITY=30` takes the whole time.

use std::env;
use std::time::Duration;

use serde_json::json;

use crate::load::settle;
use crate::queue_installation;
use crate::support::aws::{Queue, QueueCounts};
use crate::support::function::{Behaviour, Function};
use crate::support::ledger::Ledger;
use crate::support::servers::{self, Server};

#[tokio::test]
async fn throttles_cost_no_message_of_ministack() {
    costs_no_message(&servers::ministack(), Outage::Answers(Behaviour::Throttle)).await;
}

#[tokio::test]
async fn throttles_cost_no_message_of_fauxqs() {
    costs_no_message(&servers::fauxqs(), Outage::Answers(Behaviour::Throttle)).await;
}

#[tokio::test]
async fn a_service_that_is_down_costs_no_message_of_fauxqs() {
    costs_no_message(&servers::fauxqs(), Outage::Answers(Behaviour::Status(503))).await;
}

#[tokio::test]
async fn refused_connections_cost_no_message_of_fauxqs() {
    costs_no_message(&servers::fauxqs(), Outage::RefusesConnections).await;
}

enum Outage {
    Answers(Behaviour),
    RefusesConnections,
}

async fn costs_no_message(server: &Server, outage: Outage) {
    let visibility = visibility();
    let dead = Queue::standard(server, visibility).await;
    let queue = Queue::standard(server, visibility).await.with_redrive(&dead, 3).await;
    let mut function = Function::start();
    let daemon = queue_installation(server, &queue, &function, json!({})).start().await;
    match &outage {
        Outage::Answers(behaviour) => function.answer_with({
            let behaviour = behaviour.clone();
            move |_, _| behaviour.clone()
        }),
        Outage::RefusesConnections => function.stop_listening().await,
    }
    let mut ledger = Ledger::default();
    let entries: Vec<_> = (0..1_000).map(|number| ledger.next(&format!("key-{}", number % 50))).collect();
    queue.send(&entries).await;

    tokio::time::sleep(visibility * 2).await;
    match outage {
        Outage::Answers(_) => function.answer_with(|_, _| Behaviour::succeed()),
        Outage::RefusesConnections => function.listen_again(),
    }
    settle(&mut ledger, &function).await;

    ledger.assert_complete();
    queue.wait_until_empty(visibility * 4).await;
    assert_eq!(dead.counts().await, QueueCounts { visible: 0, in_flight: 0 });
    drop(daemon);
}

fn visibility() -> Duration {
    let seconds = env::var("ESMD_TEST_OUTAGE_VISIBILITY").map_or(5, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}
