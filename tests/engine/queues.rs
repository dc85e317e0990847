//! A queue's messages: groups, leases, receive counts.

use crate::fakes::target::{Answer, Invocation};
use crate::world::{World, seconds, sleep};

#[tokio::test(start_paused = true)]
async fn messages_are_delivered_once_and_deleted() {
    let world = World::of_queue(false, seconds(30)).await.with_lanes(10).with_batch_size(10);
    (0..200).for_each(|number| world.source.send(&number.to_string(), None));

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    assert_eq!(world.target.delivered().len(), 200);
    assert!(world.target.delivered().iter().all(|record| record.receive_count == 1));
}

/// `docs/semantics.md` 5, invariants 60 to 62: a failed message holds up its group for its visibility timeout, and no
/// other.
#[tokio::test(start_paused = true)]
async fn a_failed_group_pauses_and_the_others_go_on() {
    let world = World::of_queue(true, seconds(30)).await.with_lanes(3);
    world.target.answer(|invocation| {
        let record = &invocation.records[0];
        if record.body == "2" && record.receive_count < 3 { Answer::fail() } else { Answer::succeed() }
    });
    for number in 0..30 {
        world.source.send(&number.to_string(), Some(["a", "b", "c"][number % 3]));
    }

    let life = world.start();
    world.until_delivered((0..30).filter(|number| number % 3 < 2)).await;
    assert_eq!(world.target.delivered().iter().filter(|record| record.key == "c").count(), 1, "c waits");
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    world.assert_first_deliveries_in_order();
    world.assert_no_key_in_two_invocations();
    let succeeded = world.target.succeeded();
    let numbers: Vec<usize> = succeeded.iter().map(|body| body.parse().unwrap()).collect();
    for group in 0..3 {
        let in_order: Vec<_> = numbers.iter().copied().filter(|number| number % 3 == group).collect();
        assert_eq!(in_order, (0..10).map(|index| index * 3 + group).collect::<Vec<_>>());
    }
}

/// `docs/semantics.md` 5, invariants 48 and 63: whoever lists only the second of three loses the order.
#[tokio::test(start_paused = true)]
async fn what_a_function_does_not_list_is_deleted_wherever_it_stands() {
    let mut world = World::of_queue(true, seconds(30)).await.with_batch_size(10);
    world.mapping.reports_failures = true;
    world.target.answer(|invocation| match invocation.number {
        0 => Answer::report(&[&invocation.records[1].identifier]),
        _ => Answer::succeed(),
    });
    world.send(0..3, 1);

    let life = world.start();
    sleep(seconds(10)).await;
    assert_eq!(world.source.left(), ["1"], "2 comes after it, and is deleted all the same");
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    assert_eq!(world.target.delivered().len(), 4);
}

/// `docs/semantics.md` 9, invariants 40 and 64.
#[tokio::test(start_paused = true)]
async fn no_batch_of_a_fifo_queue_exceeds_its_size() {
    for size in [3, 10] {
        let world = World::of_queue(true, seconds(60)).await.with_batch_size(size);
        world.send(0..200, 20);
        let life = world.start();
        world.until("the queue is empty", |world| world.source.left().is_empty()).await;
        life.drain().await;
        let largest = world.target.invocations().iter().map(|invocation| invocation.records.len()).max();
        assert_eq!(largest, Some(size));
    }
}

/// `docs/semantics.md` 9, invariants 45 and 56: by the queue's own policy, which counts receives; nothing is sent.
#[tokio::test(start_paused = true)]
async fn a_message_that_always_fails_goes_where_its_queue_sends_it() {
    let world = World::of_queue(false, seconds(30)).await;
    world.source.set_redrive(3);
    world
        .target
        .answer(|invocation| if invocation.records[0].body == "1" { Answer::fail() } else { Answer::succeed() });
    world.send(0..3, 1);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    assert_eq!(world.source.dead(), ["1"]);
    assert_eq!(world.target.delivered().iter().filter(|record| record.body == "1").count(), 3);
}

/// `docs/semantics.md` 4.2: a large batch is filled by many receives within its window.
#[tokio::test(start_paused = true)]
async fn a_window_merges_receives_into_one_batch() {
    let world = World::of_queue(false, seconds(60)).await.with_batch_size(10_000).with_window(seconds(5));
    world.send(0..1_000, 1);
    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    let invocations = world.target.invocations();
    assert_eq!(invocations.len(), 1, "no more than the window allows");
    assert_eq!(invocations[0].records.len(), 1_000);
}

/// `docs/semantics.md` 4.5, invariant 51.
#[tokio::test(start_paused = true)]
async fn a_minute_of_throttles_costs_no_receive() {
    let world = World::of_queue(false, seconds(120)).await.with_batch_size(10);
    let clock = world.clock.clone();
    let until = clock.now() + seconds(60);
    world.target.answer(move |_| if clock.now() < until { Answer::throttle() } else { Answer::succeed() });
    (0..10).for_each(|number| world.source.send(&number.to_string(), None));

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    assert!(world.clock.now() >= until);
    assert!(world.target.delivered().iter().all(|record| record.receive_count == 1));
    assert!(world.target.invocations().len() > 5, "it was tried more than once");
}

/// `docs/semantics.md` 4.5, invariant 52.
#[tokio::test(start_paused = true)]
async fn throttles_beyond_the_lease_end_it_and_the_message_comes_again() {
    let world = World::of_queue(false, seconds(30)).await;
    let clock = world.clock.clone();
    let until = clock.now() + seconds(100);
    world.target.answer(move |_| if clock.now() < until { Answer::throttle() } else { Answer::succeed() });
    world.source.send("0", None);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    let counts: Vec<_> = world.target.delivered().iter().map(|record| record.receive_count).collect();
    assert!(counts.is_sorted() && counts.last() == Some(&4), "{counts:?}");
    assert_eq!(world.target.succeeded(), ["0"]);
}

/// `docs/semantics.md` 4.3, invariants 45 and 46.
#[tokio::test(start_paused = true)]
async fn a_failed_message_comes_back_by_its_visibility_timeout() {
    let world = World::of_queue(false, seconds(30)).await;
    world.target.answer(|invocation| if invocation.number == 0 { Answer::fail() } else { Answer::succeed() });
    world.source.send("0", None);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    let [first, second] = <[_; 2]>::try_from(world.target.invocations()).unwrap();
    let waited = second.began_at.since(first.began_at);
    assert!((seconds(30)..seconds(31)).contains(&waited), "{waited:?}");
    assert_eq!(second.records[0].receive_count, 2);
}

/// A queue that is full keeps every lane busy and none beyond (`docs/architecture.md` 5, invariant 4).
#[tokio::test(start_paused = true)]
async fn no_more_invocations_run_than_there_are_lanes() {
    let world = World::of_queue(false, seconds(60)).await.with_lanes(4).with_batch_size(2);
    world.target.answer(|_| Answer::succeed().after(seconds(1)));
    (0..80).for_each(|number| world.source.send(&number.to_string(), None));

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    let invocations = world.target.invocations();
    for invocation in &invocations {
        let runs = |other: &&Invocation| {
            other.began_at <= invocation.began_at && invocation.began_at < other.ended_at.unwrap()
        };
        assert!(invocations.iter().filter(runs).count() <= 4);
    }
    let took = invocations.last().unwrap().ended_at.unwrap().since(invocations[0].began_at);
    assert!(took < seconds(13), "{took:?}: the lanes idled");
}

/// `docs/semantics.md` 4.2: its record stays, and it is deleted under the newest receipt.
#[tokio::test(start_paused = true)]
async fn a_message_received_again_while_it_is_at_work_is_not_invoked_again() {
    for fifo in [false, true] {
        let world = World::of_queue(fifo, seconds(5)).await;
        world.target.answer(|_| Answer::succeed().after(seconds(12)));
        for number in 0..3 {
            world.source.send(&number.to_string(), fifo.then_some("a"));
        }

        let life = world.start();
        world.until("the queue is empty", |world| world.source.left().is_empty()).await;
        life.drain().await;

        assert_eq!(world.target.succeeded(), ["0", "1", "2"], "fifo: {fifo}");
        let invocations = world.target.invocations();
        let took = invocations[2].ended_at.unwrap().since(invocations[0].began_at);
        assert_eq!(took > seconds(20), fifo, "{took:?}: only a group goes one by one");
    }
}

/// `docs/semantics.md` 4.3: a delete that failed is told again while its lease lives.
#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_is_repeated() {
    let world = World::of_queue(true, seconds(60)).await.with_batch_size(10);
    (0..20).for_each(|number| world.source.send(&number.to_string(), Some(["a", "b"][number % 2])));
    world.source.fail_settlements(35);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;

    assert_eq!(world.target.delivered().len(), 20, "each once");
    world.assert_first_deliveries_in_order();
}

/// What cannot be deleted comes again: late and twice, but never lost, and its group in order.
#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_beyond_its_lease_repeats_the_message() {
    let world = World::of_queue(true, seconds(20)).await.with_lanes(2);
    (0..4).for_each(|number| world.source.send(&number.to_string(), Some("a")));
    let life = world.start();
    world.source.fail_settlements(usize::MAX);
    sleep(seconds(30)).await;
    assert!(world.target.delivered().iter().all(|record| record.body == "0"), "the group waits");

    world.source.fail_settlements(0);
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    world.assert_first_deliveries_in_order();
}
