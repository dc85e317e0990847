//! Stores, sources and functions that fail, and leases that are lost.

use std::time::Duration;

use esmd::core::checkpoint::UpTo;
use esmd::mapping::Retries;
use esmd::store::StateStore;

use crate::fakes::Fault;
use crate::fakes::target::Answer;
use crate::world::{MAPPING, World, seconds, sleep};

/// `docs/architecture.md` 6: a crash would repeat all that no checkpoint covers, so that must not grow without bound.
#[tokio::test(start_paused = true)]
async fn without_a_store_receiving_stops_after_a_minute_and_heals() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    world.put(0..1, 1);
    world.until_delivered(0..1).await;
    sleep(seconds(1)).await;

    world.store.set_unavailable(true);
    for number in 1..=300 {
        world.put(number..number + 1, 1);
        sleep(seconds(1)).await;
    }
    let without_store = world.target.succeeded().len();
    assert!((58..=66).contains(&without_store), "{without_store}");

    world.store.set_unavailable(false);
    world.put(301..310, 1);
    world.until_delivered(0..310).await;
    sleep(seconds(2)).await;
    assert_eq!(world.source.covered(&shard, &world.checkpoint(&shard).await).len(), 310);
    life.drain().await;
    assert_eq!(world.target.delivered().len(), 310, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_crash_without_a_store_repeats_what_was_not_saved_and_loses_nothing() {
    let world = World::of_stream(1).await.with_batch_size(5);
    let life = world.start();
    world.put(0..10, 3);
    world.until_delivered(0..10).await;
    sleep(seconds(1)).await;
    world.store.set_unavailable(true);
    world.put(10..20, 3);
    world.until_delivered(10..20).await;
    life.crash().await;

    world.store.set_unavailable(false);
    world.put(20..30, 3);
    let life = world.start();
    world.until_delivered(0..30).await;
    life.drain().await;

    assert_eq!(world.target.delivered().len(), 40);
    world.assert_first_deliveries_in_order();
}

/// A store that is away at the start is waited for.
#[tokio::test(start_paused = true)]
async fn a_mapping_waits_for_its_store() {
    let world = World::of_stream(1).await;
    world.store.set_unavailable(true);
    world.put(0..2, 1);
    let life = world.start();
    sleep(seconds(300)).await;
    assert!(world.target.delivered().is_empty());

    world.store.set_unavailable(false);
    world.until_delivered(0..2).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_mapping_waits_for_its_function() {
    let world = World::of_stream(1).await;
    world.target.set_missing(true);
    world.put(0..2, 1);
    let life = world.start();
    sleep(seconds(300)).await;
    assert_eq!(world.source.listings(), 0, "the source was left alone");

    world.target.set_missing(false);
    let back_at = world.clock.now();
    world.until_delivered(0..2).await;
    assert!(world.clock.now().since(back_at) < seconds(32));
    life.drain().await;
}

/// `docs/semantics.md` 6.6: no attempt is used up, nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_function_that_goes_missing_is_waited_for() {
    let world = World::of_queue(false, seconds(120)).await;
    let life = world.start();
    sleep(seconds(1)).await;
    world.target.set_missing(true);
    world.source.send("0", None);
    sleep(seconds(60)).await;
    world.target.set_missing(false);

    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
    assert_eq!(world.target.delivered()[0].receive_count, 1);
}

/// `docs/semantics.md` 9 (invariant 92): what the source refuses uses up no attempt.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again_and_loses_nothing() {
    let world = World::of_stream(1).await;
    let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
    let shard = world.source.shard_of("key-0");
    world.source.fail_listings([Fault::Transient, Fault::Denied, Fault::Throttled]);
    world.source.fail_receives(&shard, [Fault::Throttled, Fault::Transient, Fault::Denied, Fault::Missing]);
    world.put(0..5, 1);

    let life = world.start();
    sleep(seconds(1)).await;
    world.source.fail_listings([Fault::Transient; 5]);
    world.until_delivered(0..5).await;
    world.source.fail_receives(&shard, [Fault::Transient; 20]);
    world.put(5..10, 1);
    world.until_delivered(5..10).await;
    life.drain().await;

    assert_eq!(world.target.succeeded().len(), 10, "each once");
    assert!(matches!(world.checkpoint(&shard).await.up_to, UpTo::After(_)), "it did not count as ended");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fails_is_asked_again() {
    let world = World::of_queue(false, seconds(30)).await;
    world.source.fail_receives([Fault::Missing, Fault::Transient, Fault::Throttled, Fault::Denied]);
    world.source.send("0", None);

    let life = world.start();
    world.until("the queue is empty", |world| world.source.left().is_empty()).await;
    life.drain().await;
}

/// `docs/architecture.md` 6.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_panics_begins_again_alone_and_later_each_time() {
    let world = World::of_stream(2).await;
    let [first, second] = <[_; 2]>::try_from(world.source.open_shards()).unwrap();
    let (bad, good) = (world.source.key_of(&first), world.source.key_of(&second));
    world.source.put(&bad, "0");
    let life = world.start();
    world.until_delivered(0..1).await;
    let epoch = world.row(&second).await.epoch;

    world.source.fail_receives(&first, [Fault::Panic; 4]);
    world.source.put(&bad, "1");
    let failed_at = world.clock.now();
    for number in 2..20 {
        world.source.put(&good, &number.to_string());
    }
    world.until_delivered(2..20).await;
    assert!(world.clock.now().since(failed_at) < seconds(3), "the other shard did not wait");
    world.until_delivered(1..2).await;
    let back_after = world.clock.now().since(failed_at);
    life.drain().await;

    assert!((Duration::from_millis(7_500)..seconds(10)).contains(&back_after), "0.5, 1, 2 and 4 s: {back_after:?}");
    assert_eq!(world.row(&second).await.epoch, epoch, "the other consumer never stopped");
    assert_eq!(world.target.succeeded().len(), 20, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_invocation_is_its_consumers() {
    let world = World::of_stream(1).await.with_lanes(2);
    world.target.answer(|invocation| {
        assert!(invocation.records[0].body != "1" || invocation.number > 4, "the test says so");
        Answer::succeed()
    });
    world.put(0..10, 3);

    let life = world.start();
    world.until_delivered(0..10).await;
    life.drain().await;

    world.assert_first_deliveries_in_order();
}

/// A shard that is over is not waited for, whatever happened to its consumer before.
#[tokio::test(start_paused = true)]
async fn a_shard_that_ended_after_a_panic_keeps_nobody_busy() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.source.fail_receives(&shard, [Fault::Panic]);
    world.put(0..2, 1);
    let life = world.start();
    world.until_delivered(0..2).await;
    world.source.split(&shard);
    world.put(2..4, 1);
    world.until_delivered(2..4).await;

    let before = world.source.listings();
    sleep(seconds(100)).await;
    let listed = world.source.listings() - before;
    life.drain().await;

    assert!(listed <= 12, "listed {listed} times in 100 s");
}

/// `docs/architecture.md` 8: whoever holds the newer epoch goes on from the checkpoint; the other writes nothing more
/// and stops.
#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_its_consumer_without_writing() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.target.answer(|_| Answer::succeed().after(seconds(5)));
    world.put(0..3, 1);
    let life = world.start();
    sleep(seconds(3)).await;

    let (stolen, _) = world.store.claim(MAPPING, shard.clone(), "other".to_owned()).await.unwrap().unwrap();
    sleep(Duration::from_millis(2_100)).await;

    assert_eq!(world.target.succeeded(), ["0"]);
    assert_eq!(world.checkpoint(&shard).await.up_to, UpTo::TrimHorizon);
    world.until_delivered(0..3).await;
    life.drain().await;
    let row = world.row(&shard).await;
    assert!(row.epoch > stolen.epoch, "{row:?}");
    assert_eq!(world.source.covered(&shard, &row.checkpoint).len(), 3);
    assert_eq!(world.target.succeeded(), ["0", "0", "1", "2"], "the next holder begins at the checkpoint");
}
