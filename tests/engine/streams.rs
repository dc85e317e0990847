//! A stream's records: order, retries, checkpoints.

use std::collections::BTreeSet;
use std::time::Duration;

use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::mapping::StartingPosition;

use crate::fakes::target::{Answer, Invocation};
use crate::world::{World, seconds, sleep};

/// `docs/semantics.md` 6.4 and 9 (invariant 66).
#[tokio::test(start_paused = true)]
async fn records_arrive_once_and_in_order_per_key_with_ten_lanes() {
    let world = World::of_stream(2).await.with_lanes(10).with_batch_size(5);
    world.target.answer(|invocation| {
        let took = 5 + (invocation.number * 37) % 200;
        Answer::succeed().after(Duration::from_millis(took as u64))
    });
    world.put(0..400, 23);

    let life = world.start();
    world.until_delivered(0..200).await;
    world.put(400..600, 23);
    world.until_delivered(0..600).await;
    life.drain().await;

    assert_eq!(world.target.delivered().len(), 600, "each once");
    world.assert_first_deliveries_in_order();
    world.assert_no_key_in_two_invocations();
    for shard in world.source.open_shards() {
        let checkpoint = world.checkpoint(&shard).await;
        assert!(matches!(checkpoint.up_to, UpTo::After(_)) && checkpoint.settled_above.is_empty(), "{checkpoint:?}");
    }
}

/// `docs/semantics.md` 6.4 and 9 (invariants 65, 67).
#[tokio::test(start_paused = true)]
async fn a_shard_has_as_many_batches_at_once_as_it_has_lanes() {
    let world = World::of_stream(2).await.with_lanes(3).with_batch_size(5);
    world.target.answer(|_| Answer::succeed().after(seconds(1)));
    world.put(0..200, 23);

    let life = world.start();
    world.until_delivered(0..200).await;
    life.drain().await;

    let invocations = world.target.invocations();
    let shard_of = |invocation: &Invocation| {
        let mut shards = invocation.records.iter().map(|record| world.source.shard_of(&record.key));
        let first = shards.next().unwrap();
        assert!(shards.all(|shard| shard == first), "{invocation:?}");
        first
    };
    let beside = |one: &Invocation| {
        let runs = |other: &&Invocation| other.began_at <= one.began_at && one.began_at < other.ended_at.unwrap();
        invocations.iter().filter(runs).filter(|other| shard_of(other) == shard_of(one)).count()
    };
    assert_eq!(invocations.iter().map(beside).max(), Some(3));
}

/// `docs/semantics.md` 6.6: the same records again, later and later; other keys do not wait for them.
#[tokio::test(start_paused = true)]
async fn a_failing_batch_is_repeated_with_back_off_and_other_keys_go_on() {
    let world = World::of_stream(1).await.with_lanes(10).with_batch_size(10);
    let mut failures = 0;
    world.target.answer(move |invocation| {
        let fails = invocation.records.iter().any(|record| record.key == "bad") && failures < 6;
        failures += u32::from(fails);
        if fails { Answer::fail() } else { Answer::succeed() }
    });
    for data in ["0", "1", "2"] {
        world.source.put("bad", data);
    }

    let life = world.start();
    sleep(seconds(1)).await;
    world.put(3..100, 5);
    world.source.put("bad", "100");
    world.until_delivered(3..100).await;
    let others_done_at = world.clock.now();
    world.until_delivered(0..101).await;
    life.drain().await;

    let invocations = world.target.invocations();
    let bad: Vec<_> = invocations.iter().filter(|invocation| invocation.records[0].key == "bad").collect();
    let bodies = |index: usize| bad[index].records.iter().map(|record| record.body.as_str()).collect::<Vec<_>>();
    assert!((0..7).all(|index| bodies(index) == ["0", "1", "2"]), "{bad:#?}");
    assert_eq!(bodies(7), ["100"]);
    for (index, pair) in bad.windows(2).take(6).enumerate() {
        let waited = pair[1].began_at.since(pair[0].ended_at.unwrap());
        assert!(waited > Duration::ZERO && waited <= seconds(1 << index) + Duration::from_millis(5), "{waited:?}");
    }
    assert!(others_done_at < bad[6].began_at, "the other keys were done before the bad one");
    assert_eq!(world.target.succeeded().len(), 101, "each succeeded once");
}

/// `docs/architecture.md` 5, invariant 2.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_comes_after_success() {
    let world = World::of_stream(1).await.with_batch_size(3);
    world.target.answer(|_| Answer::succeed().after(seconds(5)));
    world.put(0..3, 1);
    let shard = world.source.shard_of("key-0");

    let life = world.start();
    sleep(seconds(4)).await;
    assert_eq!(world.checkpoint(&shard).await.up_to, UpTo::TrimHorizon);
    sleep(seconds(2)).await;

    let checkpoint = world.checkpoint(&shard).await;
    assert_eq!(world.source.covered(&shard, &checkpoint), ["0", "1", "2"]);
    life.drain().await;
}

/// `docs/architecture.md` 6: one commit for many shards.
#[tokio::test(start_paused = true)]
async fn all_shards_write_their_checkpoints_at_the_same_moments() {
    let world = World::of_stream(4).await.with_batch_size(1);
    world.target.answer(|invocation| {
        let number: u64 = invocation.records[0].body.parse().unwrap();
        Answer::succeed().after(Duration::from_millis(3 + 7 * number))
    });
    world.put(0..8, 8);
    let life = world.start();

    let mut before = world.rows().await;
    let mut moments = Vec::new();
    for _ in 0..2_000 {
        sleep(Duration::from_millis(1)).await;
        let rows = world.rows().await;
        if rows.iter().zip(&before).any(|(row, before)| row.checkpoint != before.checkpoint) {
            moments.push(world.clock.now().as_millis() % 25);
        }
        before = rows;
    }
    life.drain().await;

    assert!(moments.len() >= 3 && moments.iter().all(|moment| *moment <= 1), "{moments:?}");
}

/// `docs/architecture.md` 4, capacity: reading stalls behind a blocked key, and goes on when it is free.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_blocked_for_long_stalls_reading_and_loses_nothing() {
    let world = World::of_stream(1).await.with_lanes(2);
    let clock = world.clock.clone();
    let until = clock.now() + seconds(600);
    world.target.answer(move |invocation| {
        let is_bad = invocation.records[0].key == "bad" && clock.now() < until;
        if is_bad { Answer::fail() } else { Answer::succeed() }
    });
    for number in 0..4_000 {
        let good = format!("key-{}", number % 50);
        world.source.put(if number % 2 == 0 { "bad" } else { &good }, &number.to_string());
    }
    let shard = world.source.shard_of("bad");

    let life = world.start();
    sleep(seconds(300)).await;
    let stalled_at = world.target.succeeded().len();
    sleep(seconds(200)).await;
    assert_eq!(world.target.succeeded().len(), stalled_at);
    assert!((1_000..=1_875).contains(&stalled_at), "{stalled_at}");
    life.crash().await;
    let life = world.start();
    world.until_delivered(0..4_000).await;
    life.drain().await;

    let repeated = world.target.succeeded().len() - 4_000;
    assert_eq!(repeated, stalled_at.saturating_sub(Checkpoint::RANGES_MAX), "the crash cost what no range could keep");
    world.assert_first_deliveries_in_order();
    assert_eq!(world.source.covered(&shard, &world.checkpoint(&shard).await).len(), 4_000);
}

/// `docs/semantics.md` 6.5.
#[tokio::test(start_paused = true)]
async fn a_window_gathers_a_batch() {
    let world = World::of_stream(1).await.with_batch_size(100).with_window(seconds(5));
    let life = world.start();
    for number in 0..4 {
        world.put(number..number + 1, 2);
        sleep(seconds(1)).await;
    }
    world.until_delivered(0..4).await;
    life.drain().await;

    assert_eq!(world.target.invocations().len(), 1);
}

/// `docs/semantics.md` 6.1.
#[tokio::test(start_paused = true)]
async fn latest_begins_where_the_stream_stood_at_the_first_listing() {
    let world = World::of_stream(1).await.with_starting_position(StartingPosition::Latest);
    world.put(0..5, 1);
    sleep(seconds(1)).await;

    let life = world.start();
    sleep(seconds(1)).await;
    life.crash().await;
    world.put(5..8, 1);
    let life = world.start();
    world.until_delivered(5..8).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["5", "6", "7"]);
}

/// `docs/semantics.md` 6.2: what its retention took is gone; what is left is read.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_older_than_the_stream_goes_on_at_its_oldest_record() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.put(0..3, 1);
    let life = world.start();
    world.until_delivered(0..3).await;
    life.drain().await;

    world.put(3..10, 1);
    world.source.trim(&shard, 2);
    let life = world.start();
    world.until_delivered(8..10).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["0", "1", "2", "8", "9"]);
}

/// A mapping with nothing to do asks the source as often as it promises, and the store not at all.
#[tokio::test(start_paused = true)]
async fn an_idle_stream_is_listed_once_per_refresh() {
    let world = World::of_stream(3).await;
    let life = world.start();
    sleep(seconds(1)).await;
    let before = world.source.listings();
    sleep(seconds(100)).await;
    let listed = world.source.listings() - before;
    life.drain().await;

    assert!((9..=11).contains(&listed), "{listed}");
    let shards: BTreeSet<_> = world.source.open_shards().into_iter().collect();
    assert_eq!(shards.len(), 3);
}

/// `docs/semantics.md` 6.1 and 9 (invariants 91, 94 and 95): a starting position acts once.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_wins_over_the_starting_position() {
    let moment = jiff::Timestamp::from_second(1).unwrap();
    for position in [StartingPosition::Latest, StartingPosition::TrimHorizon, StartingPosition::AtTimestamp(moment)] {
        let world = World::of_stream(1).await;
        world.put(0..5, 2);
        let life = world.start();
        world.until_delivered(0..5).await;
        life.drain().await;
        world.put(5..10, 2);

        let world = world.with_starting_position(position);
        let life = world.start();
        world.until_delivered(5..10).await;
        life.drain().await;

        assert_eq!(world.target.delivered().len(), 10, "each once, whatever the position: {position:?}");
    }
}
