//! A queue's concurrency: how it follows what waits, what an idle queue costs, and what a target that is away leaves of
//! the messages that are fine.

use std::collections::BTreeMap;

use crate::fakes::queue::FakeQueue;
use crate::fakes::target::{Answer, Invocation};
use crate::world::{World, seconds, sleep};

/// `docs/semantics.md` 4.1: an hour of an idle queue is 360 receives, all of them long polls.
#[tokio::test(start_paused = true)]
async fn an_idle_queue_costs_two_long_polls_at_a_time() {
    let mut world = World::of_queue(false, seconds(30)).await.with_batch_size(10);
    world.source = world.source.with_wait(seconds(20));
    let life = world.start();
    sleep(seconds(3_600)).await;
    let asked = world.source.asked();
    assert!((359..=362).contains(&asked), "asked {asked} times; the last two may have begun already");
    life.drain().await;
}

/// `docs/semantics.md` 4.1: from 5 invocations at a time, 300 more a minute.
#[tokio::test(start_paused = true)]
async fn a_backlog_is_met_by_three_hundred_more_invocations_a_minute() {
    let world = World::of_queue(false, seconds(900)).await;
    world.target.answer(|_| Answer::succeed().after(seconds(600)));
    world.send(0..1_300, 1);
    let began_at = world.clock.now();

    let life = world.start();
    for (second, expected) in [(1, 10), (30, 155), (60, 305), (248, 1_245), (255, 1_250)] {
        let wait = seconds(second).saturating_sub(world.clock.now().since(began_at));
        sleep(wait).await;
        let begun = world.target.invocations().len();
        assert!(begun.abs_diff(expected) <= 6 && begun <= 1_250, "{begun} after {second} s");
    }
    life.crash().await;
}

/// `docs/semantics.md` 9, invariant 54: the cap is reached, and nothing beyond it.
#[tokio::test(start_paused = true)]
async fn maximum_concurrency_is_exact() {
    let world = World::of_queue(false, seconds(60)).await.with_lanes(7);
    world.target.answer(|_| Answer::succeed().after(seconds(1)));
    world.send(0..200, 1);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    assert_eq!(most_at_once(&world.target.invocations()), 7);
}

/// `docs/semantics.md` 4.1: ten invocations a poller, the minimum at once, the maximum never exceeded.
#[tokio::test(start_paused = true)]
async fn provisioned_pollers_bring_ten_invocations_each() {
    let world = World::of_queue(false, seconds(120)).await.with_pollers(3, 5);
    world.target.answer(|_| Answer::succeed().after(seconds(1)));
    world.send(0..1_000, 1);

    let life = world.start();
    sleep(seconds(1)).await;
    let begun = world.target.invocations().len();
    assert!(begun >= 30, "{begun}: the minimum is there at once");
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    assert_eq!(most_at_once(&world.target.invocations()), 50);

    sleep(seconds(60)).await;
    let before = world.source.asked();
    sleep(seconds(100)).await;
    let asked = world.source.asked() - before;
    assert!((147..=153).contains(&asked), "{asked}: three pollers of 2 s each");
    life.drain().await;
}

/// `docs/semantics.md` 5: as many invocations as groups have messages, one of a group at a time.
#[tokio::test(start_paused = true)]
async fn concurrency_of_a_fifo_queue_follows_its_active_groups() {
    let world = World::of_queue(true, seconds(120)).await;
    world.target.answer(|_| Answer::succeed().after(seconds(10)));
    world.send(0..400, 40);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    let invocations = world.target.invocations();
    assert_eq!(most_at_once(&invocations), 40);
    let took = invocations.last().unwrap().ended_at.unwrap().since(invocations[0].began_at);
    assert!(took < seconds(125), "{took:?}: groups idled");
    world.assert_first_deliveries_in_order();
    world.assert_no_key_in_two_invocations();
}

/// `docs/semantics.md` 4.5: half of what runs, once a second.
#[tokio::test(start_paused = true)]
async fn a_function_that_fails_gets_less_and_one_that_recovers_gets_more() {
    let world = World::of_queue(false, seconds(30)).await;
    let clock = world.clock.clone();
    let until = clock.now() + seconds(60);
    world.target.answer(move |_| {
        let answer = if clock.now() < until { Answer::fail() } else { Answer::succeed() };
        answer.after(seconds(1))
    });
    world.send(0..400, 1);

    let life = world.start();
    sleep(seconds(60)).await;
    let failed = world.target.invocations().len();
    assert!((55..=75).contains(&failed), "{failed}: one at a time");
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    assert!(most_at_once(&world.target.invocations()) > 20);
}

/// `docs/semantics.md` 9, invariant 59: what a function reports costs no concurrency.
#[tokio::test(start_paused = true)]
async fn partial_failures_lower_nothing() {
    let mut world = World::of_queue(false, seconds(600)).await.with_lanes(5).with_batch_size(2);
    world.mapping.reports_failures = true;
    world.target.answer(|invocation| {
        let first = invocation.records[0].identifier.clone();
        let fresh = invocation.records[0].receive_count == 1;
        if fresh { Answer::report(&[&first]) } else { Answer::succeed() }.after(seconds(1))
    });
    world.send(0..100, 1);

    let life = world.start();
    world.until("each was delivered", |world| world.target.delivered().len() == 100).await;
    let invocations = world.target.invocations();
    let took = invocations.last().unwrap().began_at.since(invocations[0].began_at);
    assert!(took < seconds(13), "{took:?}: fifty invocations, five at a time");
    life.drain().await;
}

/// The target has no room for a minute, twice the queue's visibility timeout, and three receives are all that a message
/// has (`docs/semantics.md` 4.5).
#[tokio::test(start_paused = true)]
async fn a_minute_of_throttles_sends_nothing_to_the_dead_letter_queue() {
    survive_a_minute_of(Answer::throttle).await;
}

/// As above.
#[tokio::test(start_paused = true)]
async fn a_minute_of_outage_sends_nothing_to_the_dead_letter_queue() {
    survive_a_minute_of(Answer::is_down).await;
}

/// As above.
#[tokio::test(start_paused = true)]
async fn a_minute_of_refused_connections_sends_nothing_to_the_dead_letter_queue() {
    survive_a_minute_of(Answer::refuse_connection).await;
}

/// What an outage longer than all receives costs: the messages that probed, one at a time (`docs/semantics.md` 4.5).
#[tokio::test(start_paused = true)]
async fn a_long_outage_costs_only_the_messages_that_probed() {
    let world = World::of_queue(false, seconds(30)).await.with_batch_size(10);
    be_away(&world, 1_200, Answer::throttle);
    world.source.set_redrive(3);
    world.send(0..1_000, 1);

    let life = world.start();
    sleep(seconds(1_200)).await;
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    let dead = world.source.dead();
    assert!(dead.len() <= 1_200 / 28 / 2, "{dead:?}: a lease is 28 s, and those of the first batches had one receive");
    assert_eq!(world.target.succeeded().len() + dead.len(), 1_000);
}

async fn survive_a_minute_of(answer: fn() -> Answer) {
    for fifo in [false, true] {
        let world = World::of_queue(fifo, seconds(30)).await.with_batch_size(10);
        be_away(&world, 60, answer);
        world.source.set_redrive(3);
        world.send(0..1_000, 50);

        let life = world.start();
        world.until("the queue is empty", |world| world.source.left().is_empty()).await;
        life.drain().await;

        assert_eq!(world.source.dead(), <Vec<String>>::new(), "fifo: {fifo}");
        assert_eq!(world.target.succeeded().len(), 1_000);
        world.assert_first_deliveries_in_order();
    }
}

fn be_away(world: &World<FakeQueue>, for_seconds: u64, answer: fn() -> Answer) {
    let clock = world.clock.clone();
    let until = clock.now() + seconds(for_seconds);
    world.target.answer(move |_| if clock.now() < until { answer() } else { Answer::succeed() });
}

fn most_at_once(invocations: &[Invocation]) -> usize {
    let mut changes = BTreeMap::new();
    for invocation in invocations {
        let ended_at = invocation.ended_at.expect("it ended");
        changes.entry(invocation.began_at).or_insert((0_usize, 0_usize)).0 += 1;
        changes.entry(ended_at).or_insert((0, 0)).1 += 1;
    }
    let mut running = 0;
    let at_each = changes.into_values().map(|(begun, ended)| {
        running = running + begun - ended;
        running
    });
    at_each.max().unwrap_or(0)
}
