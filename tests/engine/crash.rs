//! Crashes at every step that the outside can see, and what comes after them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fakes::target::Answer;
use crate::fakes::wire::Wire;
use crate::world::{World, seconds, sleep};

/// `docs/architecture.md` 5, invariants 2 and 3: whatever was under way, nothing is lost, first deliveries keep their
/// order, and only what no checkpoint covers is repeated.
#[tokio::test(start_paused = true)]
async fn a_stream_survives_a_crash_at_every_step() {
    for step in 1.. {
        let world = World::of_stream(2).await.with_lanes(3).with_batch_size(4);
        fail_every_fifth(&world.target);
        world.put(0..24, 5);
        let life = world.start_with(Wire::cut_at(step), seconds(30));
        let crashed = life.crashes_before(world.until_delivered(0..24)).await;

        let before = world.target.invocations().len();
        let mut covered = BTreeSet::new();
        for row in world.rows().await {
            covered.extend(world.source.covered(&row.shard, &row.checkpoint));
        }
        let life = world.start();
        world.put(24..30, 5);
        world.until_delivered(0..30).await;
        life.drain().await;

        world.assert_first_deliveries_in_order();
        let invocations = &world.target.invocations()[before..];
        let again: BTreeSet<_> = invocations.iter().flat_map(|invocation| &invocation.records).collect();
        assert!(again.iter().all(|record| !covered.contains(&record.body)), "step {step}: {covered:?} {again:?}");
        if !crashed {
            assert!(step > 50, "{step}");
            assert_eq!(world.target.succeeded().len(), 30, "each succeeded once");
            return;
        }
    }
}

/// The same while the shard is split under the reader.
#[tokio::test(start_paused = true)]
async fn a_split_stream_survives_a_crash_at_every_step() {
    for step in 1.. {
        let world = World::of_stream(1).await.with_lanes(2).with_batch_size(3);
        fail_every_fifth(&world.target);
        world.put(0..10, 4);
        let stream = world.source.clone();
        let producer = tokio::spawn(async move {
            sleep(Duration::from_millis(500)).await;
            stream.split(&stream.shard_of("key-0"));
            (10..20).for_each(|number| stream.put(&format!("key-{}", number % 4), &number.to_string()));
        });
        let life = world.start_with(Wire::cut_at(step), seconds(30));
        let crashed = life.crashes_before(world.until_delivered(0..20)).await;

        let life = world.start();
        world.until_delivered(0..20).await;
        life.drain().await;
        producer.await.unwrap();

        world.assert_first_deliveries_in_order();
        if !crashed {
            assert!(step > 50, "{step}");
            return;
        }
    }
}

/// `docs/semantics.md` 5: a FIFO queue's messages too, and nothing is deleted that was not delivered.
#[tokio::test(start_paused = true)]
async fn a_fifo_queue_survives_a_crash_at_every_step() {
    for step in 1.. {
        let world = World::of_queue(true, seconds(10)).await.with_lanes(3).with_batch_size(4);
        fail_every_fifth(&world.target);
        for number in 0..24 {
            world.source.send(&number.to_string(), Some(&format!("group-{}", number % 5)));
        }
        let life = world.start_with(Wire::cut_at(step), seconds(30));
        let crashed =
            life.crashes_before(world.until("the queue is empty", |world| world.source.left().is_empty())).await;

        let life = world.start();
        world.until("the queue is empty", |world| world.source.left().is_empty()).await;
        life.drain().await;

        let succeeded: BTreeSet<_> = world.target.succeeded().into_iter().collect();
        assert_eq!(succeeded.len(), 24, "step {step}");
        world.assert_first_deliveries_in_order();
        if !crashed {
            assert!(step > 50, "{step}");
            return;
        }
    }
}

fn fail_every_fifth(target: &crate::fakes::target::FakeTarget) {
    target.answer(|invocation| {
        let answer = if invocation.number % 5 == 3 { Answer::fail() } else { Answer::succeed() };
        answer.after(Duration::from_millis(10 + (invocation.number as u64 * 13) % 50))
    });
}
