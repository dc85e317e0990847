//! Shards that split, merge and vanish: children after their parents, and nothing between them lost
//! (`docs/semantics.md` 6.3).

use std::collections::BTreeSet;

use esmd::core::checkpoint::UpTo;
use esmd::core::shards::HeldBack;
use esmd::mapping::StartingPosition;

use crate::fakes::target::Answer;
use crate::world::{MAPPING, World, seconds, sleep};

/// Invariant 88
#[tokio::test(start_paused = true)]
async fn a_merged_shard_is_not_read_before_both_its_parents_are_settled_to_their_end() {
    let world = World::of_stream(2).await;
    let [first, second] = <[_; 2]>::try_from(world.source.open_shards()).unwrap();
    let (left, right) = (world.source.key_of(&first), world.source.key_of(&second));
    let slow = right.clone();
    world.target.answer(move |invocation| {
        let is_slow = invocation.records[0].key == slow && invocation.records[0].body == "1";
        if is_slow { Answer::succeed().after(seconds(60)) } else { Answer::succeed() }
    });
    world.source.put(&left, "0");
    world.source.put(&right, "1");

    let life = world.start();
    sleep(seconds(5)).await;
    let child = world.source.merge(&first, &second);
    world.source.put(&left, "2");
    world.source.put(&right, "3");
    sleep(seconds(50)).await;

    assert_eq!(world.checkpoint(&first).await.up_to, UpTo::Ended);
    assert_eq!(world.target.delivered().len(), 2, "one parent is at work");
    let waits_for = BTreeSet::from([second.clone()]);
    assert_eq!(life.board.held_back(MAPPING), HeldBack::from([(child.clone(), waits_for)]));
    world.until_delivered(0..4).await;
    assert_eq!(life.board.held_back(MAPPING), HeldBack::new());
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3"]);
    assert!(matches!(world.checkpoint(&child).await.up_to, UpTo::After(_)));
}

/// Invariant 88
#[tokio::test(start_paused = true)]
async fn a_parent_that_fails_holds_back_its_children() {
    let world = World::of_stream(1).await;
    world.target.answer(|invocation| if invocation.number < 4 { Answer::fail() } else { Answer::succeed() });
    world.put(0..2, 1);
    world.source.split(&world.source.shard_of("key-0"));
    world.put(2..4, 1);

    let life = world.start();
    world.until_delivered(0..4).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3"]);
    world.assert_first_deliveries_in_order();
}

/// Invariant 89
#[tokio::test(start_paused = true)]
async fn siblings_of_a_split_run_side_by_side() {
    let world = World::of_stream(1).await;
    let siblings = world.source.split(&world.source.shard_of("key-0"));
    for (number, shard) in siblings.iter().enumerate() {
        world.source.put(&world.source.key_of(shard), &number.to_string());
    }
    world.target.answer(|_| Answer::succeed().after(seconds(30)));

    let life = world.start();
    world.until_delivered(0..2).await;
    life.drain().await;

    let [first, second] = &world.target.invocations()[..] else { panic!("one each") };
    assert!(second.began_at < first.ended_at.unwrap(), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn children_begin_as_soon_as_their_parent_ended() {
    let world = World::of_stream(1).await;
    world.put(0..1, 1);
    let life = world.start();
    world.until_delivered(0..1).await;

    world.source.split(&world.source.shard_of("key-0"));
    world.put(1..2, 1);
    let split_at = world.clock.now();
    world.until_delivered(1..2).await;

    assert!(world.clock.now().since(split_at) < seconds(3), "no refresh is waited for");
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_resharded_while_down_is_read_generation_by_generation() {
    let world = World::of_stream(2).await.with_lanes(3).with_batch_size(4);
    world.put(0..20, 6);
    let life = world.start();
    world.until_delivered(0..20).await;
    life.drain().await;

    let [first, second] = <[_; 2]>::try_from(world.source.open_shards()).unwrap();
    world.put(20..40, 6);
    let [_, inner] = world.source.split(&first);
    world.put(40..60, 6);
    world.source.merge(&inner, &second);
    world.put(60..80, 6);
    let life = world.start();
    world.until_delivered(0..80).await;
    life.drain().await;

    assert_eq!(world.target.delivered().len(), 80, "each once");
    world.assert_first_deliveries_in_order();
    world.assert_no_key_in_two_invocations();
}

/// Its stream still lists the others, so it is over: what it held is gone, and nothing waits for it.
#[tokio::test(start_paused = true)]
async fn a_shard_that_vanishes_gives_way_to_its_children() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.put(0..2, 1);
    let life = world.start();
    world.until_delivered(0..2).await;

    world.source.split(&shard);
    world.source.remove(&shard);
    world.put(2..4, 1);
    world.until_delivered(2..4).await;
    sleep(seconds(15)).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3"]);
    assert!(world.rows().await.iter().all(|row| row.shard != shard), "its row went with it");
}

/// `docs/semantics.md` 6.3
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_left_out_of_listings_for_a_while_is_not_read_again() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.put(0..2, 1);
    world.source.split(&shard);
    let life = world.start();
    world.until_delivered(0..2).await;
    sleep(seconds(2)).await;

    world.source.leave_out(&shard);
    sleep(seconds(300)).await;
    world.source.list_again(&shard);
    sleep(seconds(120)).await;
    world.put(2..4, 1);
    world.until_delivered(2..4).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3"], "each once");
}

/// `docs/semantics.md` 6.3
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_read_when_a_parent_turns_up_is_not_held_back() {
    let world = World::of_stream(1).await;
    world.target.answer(|_| Answer::fail());
    let parent = world.source.shard_of("key-0");
    world.put(0..1, 1);
    world.source.split(&parent);
    world.source.leave_out(&parent);
    let life = world.start();
    sleep(seconds(5)).await;

    world.source.list_again(&parent);
    sleep(seconds(90)).await;

    assert_eq!(life.board.running_shards().len(), 3);
    assert_eq!(life.board.held_back(MAPPING), HeldBack::new());
    world.target.answer(|_| Answer::succeed());
    world.until_delivered(0..1).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_vanished_while_down_gives_way_to_its_children() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.put(0..2, 1);
    let life = world.start();
    world.until_delivered(0..2).await;
    life.drain().await;

    world.source.split(&shard);
    world.source.remove(&shard);
    world.put(2..4, 1);
    let life = world.start();
    world.until_delivered(2..4).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3"]);
}

/// Only the first listing knows a starting position.
#[tokio::test(start_paused = true)]
async fn a_mapping_from_latest_reads_later_children_from_their_beginning() {
    let world = World::of_stream(1).await.with_starting_position(StartingPosition::Latest);
    world.put(0..3, 1);
    sleep(seconds(1)).await;
    let life = world.start();
    sleep(seconds(2)).await;
    life.drain().await;

    world.source.split(&world.source.shard_of("key-0"));
    world.put(3..6, 1);
    sleep(seconds(60)).await;
    let life = world.start();
    world.until_delivered(3..6).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["3", "4", "5"]);
}
