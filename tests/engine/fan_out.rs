//! Shards that push their records (`docs/semantics.md` 6.8): what the engine makes of subscriptions.

use crate::fakes::pushing::Loss;
use crate::fakes::stream::FakeStream;
use crate::world::{MAPPING, World, seconds, sleep};

/// Signs of life are answers: nothing is owed, and nothing begins again.
#[tokio::test(start_paused = true)]
async fn an_idle_subscription_is_no_stall() {
    let world = pushed(1).await;
    let life = world.start();
    sleep(seconds(2)).await;
    let shard = world.source.shard_of("key-0");
    let epoch = world.row(&shard).await.epoch;

    sleep(seconds(10_000)).await;

    assert_eq!(life.board.stalled(), []);
    assert_eq!(world.row(&shard).await.epoch, epoch, "its consumer never stopped");
    world.put(0..3, 1);
    world.until_delivered(0..3).await;
    life.drain().await;
}

/// A server that takes subscriptions and never says anything.
#[tokio::test(start_paused = true)]
async fn a_pushed_shard_that_stays_silent_is_reported_and_begins_again() {
    let world = pushed(1).await;
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    sleep(seconds(2)).await;

    world.source.silence(&shard);
    world.put(0..3, 1);
    sleep(seconds(300)).await;
    assert_eq!(life.board.stalled(), []);
    sleep(seconds(45)).await;
    assert_eq!(life.board.stalled(), [(MAPPING, shard.clone())]);

    world.source.answer_again(&shard);
    world.until_delivered(0..3).await;
    sleep(seconds(2)).await;
    assert_eq!(life.board.stalled(), []);
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["0", "1", "2"], "each once");
}

/// Invariants 92, 105 and 106: whatever becomes of a subscription, its records come, once and in order.
#[tokio::test(start_paused = true)]
async fn subscriptions_that_are_lost_cost_nothing_but_time() {
    let world = pushed(1).await;
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    let losses = [Loss::Ended, Loss::Silent, Loss::Failed("InternalFailureException"), Loss::TakenOver];
    for (round, loss) in losses.into_iter().enumerate() {
        world.put(round * 2..round * 2 + 1, 1);
        world.until_delivered([round * 2]).await;
        world.source.lose_subscription(&shard, loss);
        world.put(round * 2 + 1..round * 2 + 2, 1);
        world.until_delivered([round * 2 + 1]).await;
    }

    life.drain().await;
    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

/// A stream of which one consumer is registered.
async fn pushed(shards: u64) -> World<FakeStream> {
    let mut world = World::of_stream(shards).await;
    world.source = world.source.pushed();
    world
}
