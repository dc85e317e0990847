//! What is wanted changes while the engine runs.

use std::time::Duration;

use crate::fakes::target::Answer;
use crate::world::{World, seconds, sleep};

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_no_longer_wanted_drains_and_its_checkpoint_stays() {
    let world = World::of_stream(1).await;
    world.target.answer(|_| Answer::succeed().after(seconds(5)));
    world.put(0..3, 1);
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    sleep(seconds(1)).await;

    life.want(None);
    sleep(seconds(60)).await;
    assert_eq!(world.target.succeeded(), ["0"], "what ran ended, and nothing began");
    assert_eq!(world.source.covered(&shard, &world.checkpoint(&shard).await), ["0"]);
    assert_eq!(world.row(&shard).await.owner, None);

    life.want(Some(world.mapping.clone()));
    world.until_delivered(0..3).await;
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_mapping_drains_and_goes_on_when_it_is_enabled() {
    let world = World::of_stream(1).await;
    let life = world.start();
    world.put(0..2, 1);
    world.until_delivered(0..2).await;

    let mut disabled = world.mapping.clone();
    disabled.enabled = false;
    life.want(Some(disabled));
    sleep(seconds(1)).await;
    world.put(2..4, 1);
    sleep(seconds(60)).await;
    assert_eq!(world.target.succeeded(), ["0", "1"]);

    life.want(Some(world.mapping.clone()));
    world.until_delivered(2..4).await;
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_mapping_drains_and_begins_again_at_its_checkpoint_with_its_new_settings() {
    let world = World::of_stream(1).await;
    world.target.answer(|_| Answer::succeed().after(seconds(5)));
    world.put(0..7, 1);
    let life = world.start();
    sleep(seconds(1)).await;

    let mut changed = world.mapping.clone();
    changed.batching.size = 3;
    life.want(Some(changed));
    world.until_delivered(0..7).await;
    life.drain().await;

    let invocations = world.target.invocations();
    let sizes: Vec<_> = invocations.iter().map(|invocation| invocation.records.len()).collect();
    assert_eq!(sizes, [1, 3, 3]);
    assert_eq!(world.target.succeeded().len(), 7, "each once");
    world.assert_first_deliveries_in_order();
}

/// Twice in a row, before the first change has drained: the last one counts.
#[tokio::test(start_paused = true)]
async fn the_last_of_several_changes_counts() {
    let world = World::of_stream(1).await;
    world.target.answer(|_| Answer::succeed().after(seconds(5)));
    world.put(0..5, 1);
    let life = world.start();
    sleep(seconds(1)).await;

    for size in [2, 3, 4] {
        let mut changed = world.mapping.clone();
        changed.batching.size = size;
        life.want(Some(changed));
        sleep(Duration::from_millis(10)).await;
    }
    world.until_delivered(0..5).await;
    life.drain().await;

    let sizes: Vec<_> = world.target.invocations().iter().map(|invocation| invocation.records.len()).collect();
    assert_eq!(sizes, [1, 4]);
}

/// The function's role stands in a stream's events, so its consumers begin anew; its timeout does not.
#[tokio::test(start_paused = true)]
async fn a_function_whose_role_changed_gets_new_consumers() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    sleep(seconds(1)).await;
    let epoch = world.row(&shard).await.epoch;

    world.target.set_timeout(seconds(60));
    sleep(seconds(90)).await;
    assert_eq!(world.row(&shard).await.epoch, epoch);

    world.target.set_role("arn:aws:iam::111111111111:role/other");
    sleep(seconds(90)).await;
    assert!(world.row(&shard).await.epoch > epoch);

    world.put(0..1, 1);
    world.until_delivered(0..1).await;
    life.drain().await;
}
