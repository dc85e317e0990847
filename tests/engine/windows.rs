//! Tumbling windows through the engine (`docs/semantics.md` 6.9): the function keeps the numbers of its records in its
//! state, and the final calls have each number once. The rules one by one: `tests/properties/windows.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use esmd::core::checkpoint::UpTo;
use esmd::event::failure::Condition;
use esmd::mapping::on_failure::Undeliverable;
use esmd::mapping::{Retries, SourceSettings};
use serde_json::{Value, json};

use crate::fakes::stream::FakeStream;
use crate::fakes::target::{Answer, FakeTarget, Invocation, Windowed};
use crate::fakes::wire::Wire;
use crate::world::{World, seconds, sleep};

/// Invariants 98 to 101; the last windows are closed though no record follows.
#[tokio::test(start_paused = true)]
async fn every_record_is_in_one_final_call_of_its_window() {
    let world = World::of_stream(2).await.with_batch_size(3).with_windows(seconds(10));
    collect(&world.target);
    let life = world.start();
    for round in 0..5 {
        world.put(round * 10..round * 10 + 10, 7);
        sleep(seconds(4)).await;
    }
    world.until("all are counted", |world| counted(world) == (0..50).collect()).await;

    let closed = closed(&world);
    assert_eq!(closed.values().map(Vec::len).sum::<usize>(), 50, "none twice");
    assert_eq!(closed.len(), finals(&world).len(), "one final call each");
    for call in finals(&world) {
        assert_eq!((call.start % 10_000, call.end - call.start), (0, 10_000));
    }
    for row in world.rows().await {
        let starts: Vec<_> = calls(&world).filter(|call| call.shard == row.shard.as_str()).collect();
        assert!(starts.is_sorted_by_key(|call| call.start), "{starts:?}");
    }
    life.drain().await;
    assert!(world.rows().await.iter().all(|row| row.checkpoint.window.is_none()));
}

/// Checkpoint and state are one value: whatever is cut off, nothing is counted twice and nothing left out.
#[tokio::test(start_paused = true)]
async fn windows_survive_a_crash_at_every_step() {
    for step in 1.. {
        let world = World::of_stream(1).await.with_batch_size(2).with_windows(seconds(2));
        collect(&world.target);
        let source = world.source.clone();
        let producer = tokio::spawn(async move {
            for number in 0..12 {
                source.put("key", &number.to_string());
                sleep(Duration::from_millis(450)).await;
            }
        });
        let life = world.start_with(Wire::cut_at(step), seconds(30));
        let done = world.until("all are counted", |world| counted(world) == (0..12).collect());
        let crashed = life.crashes_before(done).await;

        let life = world.start();
        world.until("all are counted", |world| counted(world) == (0..12).collect()).await;
        life.drain().await;
        producer.await.unwrap();

        let all: Vec<_> = closed(&world).into_values().flatten().collect();
        assert_eq!(all, (0..12).collect::<Vec<_>>(), "step {step}");
        if !crashed {
            assert!(step > 50, "{step}");
            assert_eq!(closed(&world).len(), finals(&world).len(), "one final call each");
            return;
        }
    }
}

/// Invariant 103
#[tokio::test(start_paused = true)]
async fn a_final_call_that_is_given_up_is_told_without_records() {
    let world = World::of_stream(1).await.with_windows(seconds(10)).with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(1), ..Retries::default() });
    world.target.answer(|invocation| if window(invocation).is_final { Answer::fail() } else { folded(invocation) });
    world.put(0..2, 1);
    let life = world.start();

    world.until("a failure record", |world| !world.destination.delivered().is_empty()).await;
    world.put(2..3, 1);
    world.until_delivered([2]).await;
    life.drain().await;

    let failure = world.destination.delivered().remove(0);
    assert_eq!((failure.condition, failure.invoke_count), (Condition::RetryAttemptsExhausted, 2));
    assert_eq!(failure.batch.records, None);
    let event: Value = serde_json::from_slice(&failure.payload).unwrap();
    assert_eq!((&event["Records"], &event["state"]), (&json!([]), &json!({"numbers": [0, 1]})));
    assert_eq!(window(world.target.invocations().last().unwrap()).state, json!({}), "the next window begins anew");
}

/// Invariants 94 and 99: across a drain and a start.
#[tokio::test(start_paused = true)]
async fn a_stopped_window_goes_on_with_its_state() {
    let world = World::of_stream(1).await.with_windows(seconds(900));
    collect(&world.target);
    world.put(0..3, 1);
    let life = world.start();
    world.until_delivered(0..3).await;
    life.drain().await;
    assert!(finals(&world).is_empty(), "a drain closes no window");

    let life = world.start();
    world.put(3..4, 1);
    world.until_delivered([3]).await;
    life.drain().await;

    assert_eq!(window(world.target.invocations().last().unwrap()).state, json!({"numbers": [0, 1, 2]}));
}

/// `docs/semantics.md` 6.9: under its old bounds; what follows is of the new length.
#[tokio::test(start_paused = true)]
async fn a_changed_length_closes_the_open_window_first() {
    for length in [Some(seconds(30)), None] {
        let world = World::of_stream(1).await.with_windows(seconds(900));
        collect(&world.target);
        world.put(0..1, 1);
        let life = world.start();
        world.until_delivered([0]).await;

        let mut changed = world.mapping.clone();
        let SourceSettings::Stream(stream) = &mut changed.source else { unreachable!() };
        stream.tumbling_window = length;
        life.want(Some(changed));
        world.put(1..2, 1);
        world.until_delivered([1]).await;
        life.drain().await;

        let closed: Vec<_> = finals(&world).iter().map(|call| (call.end - call.start, call.state.clone())).collect();
        assert_eq!(closed, [(900_000, json!({"numbers": [0]}))]);
        let last = world.target.invocations().pop().unwrap().window;
        assert_eq!(last.map(|call| (call.end - call.start, call.state)), length.map(|_| (30_000, json!({}))));
    }
}

/// Invariant 65 and `docs/semantics.md` 6.9: a shard's end closes its window, and then its children begin.
#[tokio::test(start_paused = true)]
async fn children_begin_after_their_parents_final_call_and_with_no_state() {
    let world = World::of_stream(1).await.with_batch_size(10).with_windows(seconds(900));
    collect(&world.target);
    world.put(0..4, 4);
    let parent = world.source.shard_of("key-0");
    world.source.split(&parent);
    world.put(4..12, 4);
    let life = world.start();
    world.until_delivered(0..12).await;
    life.drain().await;

    let calls: Vec<_> = calls(&world).collect();
    let [first, close, children @ ..] = &calls[..] else { panic!("{calls:?}") };
    assert!(!first.is_final && first.shard == parent.as_str());
    assert!(close.is_final && close.shard == parent.as_str());
    assert!(!children.is_empty() && children.iter().all(|call| call.state == json!({}) && !call.is_final));
    assert_eq!(world.checkpoint(&parent).await.up_to, UpTo::Ended);
}

/// Each call adds its numbers to the state.
fn collect(target: &FakeTarget) {
    target.answer(folded);
}

fn folded(invocation: &Invocation) -> Answer {
    let Some(window) = &invocation.window else { return Answer::succeed() };
    let mut numbers = numbers(&window.state);
    numbers.extend(invocation.records.iter().map(|record| record.body.parse::<usize>().unwrap()));
    Answer::state(&json!({ "numbers": numbers }))
}

fn numbers(state: &Value) -> Vec<usize> {
    state.get("numbers").map(|numbers| serde_json::from_value(numbers.clone()).unwrap()).unwrap_or_default()
}

fn window(invocation: &Invocation) -> &Windowed {
    invocation.window.as_ref().expect("every call is in a window")
}

fn calls(world: &World<FakeStream>) -> impl Iterator<Item = Windowed> {
    let succeeded = world.target.invocations().into_iter().filter(|invocation| invocation.succeeded);
    succeeded.filter_map(|invocation| invocation.window)
}

fn finals(world: &World<FakeStream>) -> Vec<Windowed> {
    calls(world).filter(|call| call.is_final).collect()
}

/// What each window counted. A final call that is repeated after a crash says the same again.
fn closed(world: &World<FakeStream>) -> BTreeMap<(String, u64), Vec<usize>> {
    let mut closed = BTreeMap::new();
    for call in finals(world) {
        let counted = numbers(&call.state);
        let before = closed.insert((call.shard.clone(), call.start), counted.clone());
        assert!(before.is_none_or(|before| before == counted), "{call:?}");
    }
    closed
}

fn counted(world: &World<FakeStream>) -> BTreeSet<usize> {
    closed(world).into_values().flatten().collect()
}
