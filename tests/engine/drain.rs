//! A stop: what runs ends and counts, what does not is given back, and it is over in time (`docs/architecture.md` 10).

use std::time::Duration;

use esmd::core::checkpoint::UpTo;

use crate::fakes::target::Answer;
use crate::fakes::wire::Wire;
use crate::world::{MAPPING, World, seconds, sleep};

/// `docs/semantics.md` 4.6, invariant 58.
#[tokio::test(start_paused = true)]
async fn what_runs_ends_and_its_messages_are_deleted() {
    let world = World::of_queue(false, seconds(60)).await.with_lanes(2);
    world.target.answer(|_| Answer::succeed().after(seconds(10)));
    (0..5).for_each(|number| world.source.send(&number.to_string(), None));

    let life = world.start();
    sleep(seconds(1)).await;
    let stopped_at = world.clock.now();
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["0", "1"]);
    assert_eq!(world.source.visible(), ["2", "3", "4"]);
    assert!(world.clock.now().since(stopped_at) <= seconds(10));
}

/// `docs/semantics.md` 4.6: the second of the group was received and waits for the first.
#[tokio::test(start_paused = true)]
async fn unstarted_messages_are_visible_again_at_once() {
    let world = World::of_queue(true, seconds(60)).await.with_lanes(4);
    world.target.answer(|_| Answer::succeed().after(seconds(10)));
    (0..4).for_each(|number| world.source.send(&number.to_string(), Some("a")));
    let life = world.start();
    sleep(seconds(1)).await;
    assert_eq!(world.source.visible().len(), 0, "all were received");

    life.stop();
    sleep(Duration::from_millis(10)).await;

    assert_eq!(world.source.visible(), ["1", "2", "3"]);
    life.end().await.unwrap();
    assert_eq!(world.source.left(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_its_window_is_given_back() {
    let world = World::of_queue(false, seconds(60)).await.with_batch_size(100).with_window(seconds(30));
    world.source.send("0", None);
    let life = world.start();
    sleep(seconds(3)).await;
    assert_eq!(world.source.visible().len(), 0, "it was received");
    life.drain().await;

    assert_eq!(world.target.invocations().len(), 0);
    assert_eq!(world.source.visible(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_message_is_given_back() {
    let world = World::of_queue(false, seconds(600)).await;
    world.target.answer(|_| Answer::throttle());
    world.source.send("0", None);
    let life = world.start();
    sleep(seconds(100)).await;
    life.drain().await;

    assert_eq!(world.source.visible(), ["0"]);
}

/// A poll that runs when the stop comes is awaited, and what it brings goes back, however slowly the queue answers.
#[tokio::test(start_paused = true)]
async fn a_message_received_while_draining_is_given_back() {
    let world = World::of_queue(false, seconds(60)).await.with_batch_size(100).with_window(seconds(30));
    world.source.set_settle_delay(Duration::from_millis(200));
    world.source.send("0", None);
    let life = world.start();
    sleep(seconds(3)).await;
    assert_eq!(world.source.visible().len(), 0, "it was received");
    life.drain().await;

    assert_eq!(world.target.invocations().len(), 0);
    assert_eq!(world.source.visible(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_what_its_drain_settled() {
    let world = World::of_stream(1).await.with_lanes(2);
    world.target.answer(|invocation| {
        let answer = Answer::succeed().after(seconds(10));
        if invocation.records[0].body == "0" { Answer::fail() } else { answer }
    });
    world.source.put("a", "0");
    world.source.put("b", "1");
    world.source.put("b", "2");
    let shard = world.source.shard_of("a");

    let life = world.start();
    sleep(seconds(3)).await;
    let stopped_at = world.clock.now();
    life.drain().await;
    assert!(world.clock.now().since(stopped_at) <= seconds(10));

    let checkpoint = world.checkpoint(&shard).await;
    assert_eq!((&checkpoint.up_to, checkpoint.settled_above.len()), (&UpTo::TrimHorizon, 1));
    assert_eq!(world.row(&shard).await.owner, None, "its lease is free");
    world.target.answer(|_| Answer::succeed());
    let life = world.start();
    world.until_delivered(0..3).await;
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["1", "0", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_does_not_end_in_time_names_its_shards() {
    let world = World::of_stream(2).await;
    world.target.answer(|_| Answer::succeed().after(seconds(60)));
    world.put(0..1, 1);
    let slow = world.source.shard_of("key-0");

    let life = world.start_with(Wire::whole(), seconds(5));
    sleep(seconds(1)).await;
    let stopped_at = world.clock.now();
    life.stop();
    let cut_off = life.end().await.unwrap_err();

    assert_eq!(cut_off.shards, [(MAPPING, slow)]);
    assert_eq!(world.clock.now().since(stopped_at), seconds(5));
}

/// A mapping that has not begun, because its function is missing, is no reason to wait.
#[tokio::test(start_paused = true)]
async fn a_mapping_that_waits_stops_at_once() {
    let world = World::of_stream(1).await;
    world.target.set_missing(true);
    let life = world.start();
    sleep(seconds(100)).await;
    let stopped_at = world.clock.now();
    life.drain().await;

    assert_eq!(world.clock.now(), stopped_at);
}
