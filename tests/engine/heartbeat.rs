//! Leases that are extended (`Esmd.ExtendVisibility`): for functions slower than their queue, and for targets that are
//! away longer than any lease.

use std::time::Duration;

use crate::fakes::queue::FakeQueue;
use crate::fakes::target::Answer;
use crate::world::{World, seconds, sleep};

#[tokio::test(start_paused = true)]
async fn a_function_slower_than_its_queue_gets_each_message_once() {
    for fifo in [false, true] {
        let world = slow_function(fifo, 300).await;
        world.send(0..20, 4);
        let life = world.start();
        world.until("the queue is empty", |world| world.source.left().is_empty()).await;
        life.drain().await;

        assert!(world.target.delivered().iter().all(|record| record.receive_count == 1), "fifo: {fifo}");
        world.assert_first_deliveries_in_order();
    }
}

/// Without it the queue hands them out again; only that the first invocation still runs keeps them from a second.
#[tokio::test(start_paused = true)]
async fn without_a_heartbeat_leases_end_while_the_function_runs() {
    let mut world = slow_function(false, 300).await;
    world.mapping.esmd.extend_visibility = false;
    world.send(0..5, 1);
    let life = world.start();
    sleep(seconds(100)).await;
    assert_eq!(world.source.extensions(), 0);
    assert!(world.source.look("message-000000").unwrap().receives > 1 || !world.source.visible().is_empty());
    life.crash().await;
}

/// Nothing is extended after the queue was told what became of it.
#[tokio::test(start_paused = true)]
async fn extending_stops_at_settlement() {
    let world = slow_function(false, 70).await;
    world.send(0..1, 1);
    let life = world.start();
    world.source.fail_settlements(usize::MAX);
    world.until("the function ends", |world| !world.target.succeeded().is_empty()).await;
    let before = world.source.extensions();
    assert!(before >= 3, "{before}");
    sleep(seconds(60)).await;

    let again = world.source.look("message-000000").unwrap();
    assert!(again.receives > 1 || !again.leased, "it came back, since it could not be deleted");
    world.source.fail_settlements(0);
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_fails_is_tried_again_while_the_lease_lives() {
    let world = slow_function(false, 100).await;
    world.send(0..5, 1);
    let life = world.start();
    sleep(seconds(1)).await;
    world.source.fail_extensions(8);
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    assert!(world.target.delivered().iter().all(|record| record.receive_count == 1));
}

/// A queue grants twelve hours from the receive on, so the lease ends then, and nobody asks for more.
#[tokio::test(start_paused = true)]
async fn nothing_is_extended_past_twelve_hours() {
    let world = slow_function(false, 50_000).await;
    world.target.set_timeout(Duration::from_mins(1_000));
    world.send(0..1, 1);
    let life = world.start();
    sleep(seconds(12 * 3_600 - 120)).await;
    assert!(world.source.look("message-000000").unwrap().leased);
    sleep(seconds(121)).await;
    let look = world.source.look("message-000000").unwrap();
    assert!(!look.leased || look.receives == 2, "{look:?}");
    life.crash().await;
}

/// A throttled batch waits for its target with its leases, however long that takes (`docs/semantics.md` 4.5).
#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_costs_no_receive() {
    let world = World::of_queue(false, seconds(30)).await.with_batch_size(10);
    let world = extending(world);
    let clock = world.clock.clone();
    let until = clock.now() + seconds(3_600);
    world.target.answer(move |_| if clock.now() < until { Answer::throttle() } else { Answer::succeed() });
    world.source.set_redrive(1);
    world.send(0..200, 1);

    let life = world.start();
    sleep(seconds(3_600)).await;
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    assert_eq!(world.source.dead(), <Vec<String>>::new());
    assert_eq!(world.target.succeeded().len(), 200);
}

/// What was never invoked goes back at once, extended or not (`docs/semantics.md` 4.6).
#[tokio::test(start_paused = true)]
async fn extended_messages_go_back_on_drain() {
    let world = extending(World::of_queue(false, seconds(30)).await.with_batch_size(10));
    world.target.answer(|_| Answer::throttle());
    world.send(0..20, 1);
    let life = world.start();
    sleep(seconds(100)).await;
    life.drain().await;
    assert_eq!(world.source.visible().len(), 20);
}

async fn slow_function(fifo: bool, takes: u64) -> World<FakeQueue> {
    let world = extending(World::of_queue(fifo, seconds(30)).await);
    world.target.set_timeout(seconds(900));
    world.target.answer(move |_| Answer::succeed().after(seconds(takes)));
    world
}

fn extending(mut world: World<FakeQueue>) -> World<FakeQueue> {
    world.mapping.esmd.extend_visibility = true;
    world
}
