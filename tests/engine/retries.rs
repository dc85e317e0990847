//! Streams under errors, through the engine: bad records are given up and everything else is delivered in order
//! (`docs/semantics.md` 6.6). The rules one by one: `tests/properties/retries.rs`.

use std::time::Duration;

use esmd::mapping::Retries;

use crate::fakes::target::{Answer, Invocation};
use crate::world::{World, seconds, sleep};

/// Invariants 70 to 72, 86
#[tokio::test(start_paused = true)]
async fn bad_records_are_found_by_halving_and_all_others_are_delivered_in_order() {
    let world = World::of_stream(2).await.with_lanes(3).with_batch_size(8);
    let world = world.with_retries(Retries { maximum_attempts: Some(2), bisect: true, ..Retries::default() });
    world.target.answer(failing_on(&["17", "41"]));
    world.put(0..100, 9);
    let life = world.start();

    world.until_delivered((0..100).filter(|number| *number != 17 && *number != 41)).await;
    sleep(seconds(30)).await;
    life.drain().await;

    world.assert_first_deliveries_in_order();
    world.assert_no_key_in_two_invocations();
    let alone = |body: &str| {
        let invocations = world.target.invocations();
        invocations
            .iter()
            .filter(|invocation| invocation.records.len() == 1 && invocation.records[0].body == body)
            .count()
    };
    assert_eq!((alone("17"), alone("41")), (3, 3), "a fresh budget each");
    let rows = world.rows().await;
    let covered: usize = rows.iter().map(|row| world.source.covered(&row.shard, &row.checkpoint).len()).sum();
    assert_eq!(covered, 100, "the checkpoints pass what was given up");
}

/// Invariants 69, 86: as AWS does without bisect, the whole batch goes.
#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_too_often_is_given_up_and_the_next_one_is_invoked() {
    let world = World::of_stream(1).await.with_batch_size(5);
    let world = world.with_retries(Retries { maximum_attempts: Some(1), ..Retries::default() });
    world.target.answer(failing_on(&["2"]));
    world.put(0..10, 1);
    let life = world.start();

    world.until_delivered(5..10).await;
    life.drain().await;

    let sizes: Vec<_> = world.target.invocations().iter().map(|invocation| invocation.records.len()).collect();
    assert_eq!(sizes, [5, 5, 5]);
}

/// Invariants 78, 79
#[tokio::test(start_paused = true)]
async fn records_that_waited_too_long_are_given_up() {
    let age = Some(Duration::from_mins(1));
    let world = World::of_stream(1).await.with_batch_size(10);
    let world = world.with_retries(Retries { maximum_record_age: age, ..Retries::default() });
    world.put(0..5, 1);
    sleep(seconds(90)).await;
    world.put(5..10, 1);
    let life = world.start();

    world.until_delivered(5..10).await;
    life.drain().await;

    assert_eq!(world.target.succeeded(), ["5", "6", "7", "8", "9"]);
}

fn failing_on(bad: &'static [&'static str]) -> impl FnMut(&Invocation) -> Answer + Send + 'static {
    move |invocation| {
        let is_bad = invocation.records.iter().any(|record| bad.contains(&record.body.as_str()));
        if is_bad { Answer::fail() } else { Answer::succeed() }
    }
}
