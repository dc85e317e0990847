//! Consumers that stall, and others that wait for a reason (`docs/architecture.md` 6).

use std::time::Duration;

use esmd::mapping::Retries;
use esmd::mapping::on_failure::Undeliverable;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::fakes::Fault;
use crate::fakes::queue::FakeQueue;
use crate::fakes::stream::FakeStream;
use crate::fakes::target::Answer;
use crate::world::{Life, MAPPING, World, seconds, sleep};

/// A source that accepts a read and never answers it.
#[tokio::test(start_paused = true)]
async fn a_shard_whose_source_falls_silent_is_reported_and_begins_again_alone() {
    let world = World::of_stream(2).await;
    let [silent, other] = <[_; 2]>::try_from(world.source.open_shards()).unwrap();
    let keys = [&silent, &other].map(|shard| world.source.key_of(shard));
    let life = world.start();
    sleep(seconds(2)).await;
    let epoch = world.row(&other).await.epoch;

    world.source.silence(&silent);
    world.source.put(&keys[0], "0");
    world.source.put(&keys[1], "1");
    world.until_delivered([1]).await;
    sleep(seconds(290)).await;
    assert_eq!(life.board.stalled(), []);
    sleep(seconds(15)).await;
    assert_eq!(life.board.stalled(), [(MAPPING, silent.clone())]);

    sleep(seconds(1_000)).await;
    assert_eq!(life.board.stalled(), [(MAPPING, silent.clone())], "a new consumer alone heals nothing");
    world.source.put(&keys[1], "2");
    world.until_delivered([2]).await;
    assert_eq!(world.target.succeeded(), ["1", "2"], "the other shard goes on");

    world.source.answer_again(&silent);
    world.until_delivered([0]).await;
    sleep(seconds(2)).await;
    assert_eq!(life.board.stalled(), []);
    assert_eq!(world.row(&other).await.epoch, epoch, "the other consumer never stopped");
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["1", "2", "0"], "each once");
}

/// What fails for ever without saying why is not a reason.
#[tokio::test(start_paused = true)]
async fn a_shard_whose_reads_keep_failing_stalls() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.source.fail_receives(&shard, [Fault::Transient; 60]);
    world.put(0..3, 1);
    let life = world.start();

    sleep(seconds(305)).await;
    assert_eq!(life.board.stalled(), [(MAPPING, shard)]);
    world.until_delivered(0..3).await;
    sleep(seconds(2)).await;

    assert_eq!(life.board.stalled(), []);
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_falls_silent_begins_again_when_its_receives_do_not_end() {
    let mut world = World::of_queue(false, seconds(30)).await;
    world.mapping.esmd.stall_after = seconds(60);
    let life = world.start();
    sleep(seconds(1)).await;

    world.source.set_silent(true);
    world.source.send("0", None);
    world.until_delivered([0]).await;
    world.source.send("1", None);
    sleep(seconds(70)).await;
    assert_eq!(life.board.stalled().len(), 1);
    world.source.set_silent(false);
    world.until_delivered([1]).await;
    sleep(seconds(5)).await;

    assert_eq!(life.board.stalled(), []);
    life.drain().await;
    assert_eq!(world.target.succeeded(), ["0", "1"], "each once");
}

/// A key that fails says nothing about reading.
#[tokio::test(start_paused = true)]
async fn a_silent_source_is_noticed_behind_a_batch_that_keeps_failing() {
    let world = World::of_stream(1).await.with_lanes(2);
    let shard = world.source.shard_of("key-0");
    world.target.answer(|_| Answer::fail());
    world.put(0..1, 1);
    let life = world.start();
    sleep(seconds(10)).await;

    world.source.silence(&shard);
    sleep(seconds(310)).await;

    assert_eq!(life.board.stalled(), [(MAPPING, shard.clone())]);
    world.source.answer_again(&shard);
    world.target.answer(|_| Answer::succeed());
    world.until_delivered([0]).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_for_an_hour_is_waited_for() {
    let world = World::of_stream(1).await;
    world.target.answer(|_| Answer::fail());
    world.put(0..2, 1);
    let life = world.start();

    expect_wait(&life, "retry").await;

    world.target.answer(|_| Answer::succeed());
    world.until_delivered(0..2).await;
    expect_no_wait(&world, &life).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_throttled_for_an_hour_is_waited_for() {
    let world = World::of_stream(1).await;
    world.target.answer(|_| Answer::throttle());
    world.put(0..2, 1);
    let life = world.start();

    expect_wait(&life, "target").await;

    world.target.answer(|_| Answer::succeed());
    world.until_delivered(0..2).await;
    expect_no_wait(&world, &life).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_missing_for_an_hour_is_waited_for() {
    let retries = Retries { maximum_attempts: Some(0), ..Retries::default() };
    let world = World::of_stream(1).await.with_retries(retries).with_destination(Undeliverable::Keep);
    world.target.answer(|_| Answer::fail());
    world.destination.set_missing(true);
    world.put(0..1, 1);
    let life = world.start();

    expect_wait(&life, "destination").await;

    world.destination.set_missing(false);
    world.until("the report", |world| world.destination.delivered().len() == 1).await;
    expect_no_wait(&world, &life).await;
    life.drain().await;
}

/// `docs/semantics.md` 6.2: it goes on by itself.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_denied_for_an_hour_is_waited_for() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    world.source.fail_receives(&shard, [Fault::Denied; 260]);
    world.put(0..2, 1);
    let life = world.start();

    expect_wait(&life, "source").await;

    world.until_delivered(0..2).await;
    expect_no_wait(&world, &life).await;
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_for_an_hour_is_waited_for() {
    let world = World::of_stream(1).await;
    world.put(0..2, 1);
    let life = world.start();
    world.until_delivered(0..1).await;
    world.store.set_unavailable(true);
    sleep(seconds(65)).await; // until then it is read on

    expect_wait(&life, "store").await;

    world.store.set_unavailable(false);
    expect_no_wait(&world, &life).await;
    life.drain().await;
}

/// Its last checkpoint has to be written, which is no stall.
#[tokio::test(start_paused = true)]
async fn a_shard_that_ended_waits_for_its_store() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    world.put(0..1, 1);
    world.until_delivered(0..1).await;
    world.store.set_unavailable(true);
    world.source.split(&shard);
    world.put(1..3, 2);

    sleep(seconds(5)).await;
    expect_wait(&life, "store").await;

    world.store.set_unavailable(false);
    world.until_delivered(1..3).await;
    expect_no_wait(&world, &life).await;
    life.drain().await;
    assert_eq!(world.target.succeeded().len(), 3, "each once");
}

#[tokio::test(start_paused = true)]
async fn new_beginnings_are_counted_by_their_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder); // this runtime has one thread
    let world = World::of_stream(2).await;
    let [silent, other] = <[_; 2]>::try_from(world.source.open_shards()).unwrap();
    world.source.fail_receives(&other, [Fault::Panic; 2]);
    world.source.silence(&silent);
    let life = world.start();

    sleep(seconds(310)).await;
    life.drain().await;

    let page = recorder.handle().render();
    for (reason, count) in [("panic", 2), ("stalled", 1)] {
        let line = format!("esmd_consumer_restarts_total{{mapping=\"{MAPPING}\",reason=\"{reason}\"}} {count}\n");
        assert!(page.contains(&line), "{page}");
    }
}

/// Patience is shorter than the function's time.
#[tokio::test(start_paused = true)]
async fn an_invocation_within_its_time_is_no_stall() {
    let mut world = World::of_stream(1).await;
    world.mapping.esmd.stall_after = seconds(10);
    world.target.set_timeout(seconds(900));
    world.target.answer(|_| Answer::succeed().after(seconds(890)));
    world.put(0..2, 1);
    let life = world.start();

    sleep(seconds(60)).await;
    assert_eq!(reasons(&life), ["invocation"]);
    world.until_delivered(0..2).await;

    assert_eq!(world.target.invocations().len(), 2, "nothing was cut off");
    life.drain().await;
}

/// The invocation gets no answer, though its target promised one.
#[tokio::test(start_paused = true)]
async fn an_invocation_far_beyond_its_time_is_given_up_with_its_consumer() {
    let world = World::of_stream(1).await;
    let mut hangs = true;
    world.target.answer(move |_| {
        let after = if std::mem::take(&mut hangs) { Duration::from_hours(1_000) } else { Duration::ZERO };
        Answer::succeed().after(after)
    });
    world.put(0..2, 1);
    let life = world.start();

    world.until_delivered(0..2).await;
    sleep(seconds(2)).await;

    assert_eq!(life.board.stalled(), []);
    assert_eq!(world.target.invocations().len(), 3);
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_window_longer_than_the_patience_is_no_stall() {
    let mut world = World::of_stream(1).await.with_batch_size(100).with_window(seconds(300));
    world.mapping.esmd.stall_after = seconds(10);
    world.put(0..3, 1);
    let life = world.start();

    sleep(seconds(200)).await;
    assert_eq!(reasons(&life), ["window"]);
    world.until_delivered(0..3).await;

    assert_eq!(world.target.invocations().len(), 1);
    life.drain().await;
}

/// What follows on a reason is another one.
#[tokio::test(start_paused = true)]
async fn an_invocation_after_a_window_is_named_as_such() {
    let mut world = World::of_stream(1).await.with_batch_size(100).with_window(seconds(100));
    world.mapping.esmd.stall_after = seconds(10);
    world.target.set_timeout(seconds(900));
    world.target.answer(|_| Answer::succeed().after(seconds(800)));
    world.put(0..3, 1);
    let life = world.start();

    sleep(seconds(50)).await;
    assert_eq!(reasons(&life), ["window"]);
    sleep(seconds(100)).await;
    assert_eq!(reasons(&life), ["invocation"]);

    world.until_delivered(0..3).await;
    life.drain().await;
}

/// Its reads failed when reading stopped for want of a store. Since then nobody has asked it.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_asked_owes_no_answer() {
    let world = World::of_stream(1).await;
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    sleep(seconds(2)).await;
    world.put(0..1, 1);
    world.store.set_unavailable(true);
    world.until_delivered(0..1).await;
    world.source.fail_receives(&shard, [Fault::Transient; 20]); // for longer than it is read on

    sleep(seconds(600)).await;
    assert_eq!(reasons(&life), ["store"]);
    world.store.set_unavailable(false);

    for _ in 0..100 {
        sleep(seconds(1)).await;
        assert_eq!(life.board.stalled(), []);
    }
    world.put(1..2, 1);
    world.until_delivered(1..2).await;
    life.drain().await;
    assert_eq!(world.rows().await[0].epoch, 1, "its consumer was never started again");
}

/// Each consumer lives too short to be judged, yet nothing is settled.
#[tokio::test(start_paused = true)]
async fn a_shard_whose_consumers_fail_one_after_the_other_stalls() {
    let world = World::of_stream(2).await;
    let [failing, other] = <[_; 2]>::try_from(world.source.open_shards()).unwrap();
    world.source.fail_receives(&failing, [Fault::Panic; 13]);
    world.source.fail_receives(&other, [Fault::Panic]);
    world.source.put(&world.source.key_of(&failing), "0");
    let life = world.start();

    sleep(seconds(290)).await;
    assert_eq!(life.board.stalled(), []);
    sleep(seconds(15)).await;
    assert_eq!(life.board.stalled(), [(MAPPING, failing)]);

    world.until_delivered([0]).await;
    sleep(seconds(2)).await;
    assert_eq!(life.board.stalled(), []);
    life.drain().await;
}

/// Or a mapping could be neither changed nor disabled any more.
#[tokio::test(start_paused = true)]
async fn an_invocation_far_beyond_its_time_holds_up_no_drain_for_ever() {
    let world = World::of_stream(2).await;
    world.target.answer(|invocation| match invocation.records[0].body.as_str() {
        "0" => Answer::succeed().after(Duration::from_hours(1_000)),
        _ => Answer::succeed(),
    });
    world.put(0..1, 1);
    let life = world.start();
    world.until("it was invoked", |world| world.target.invocations().len() == 1).await;

    life.want(None);
    sleep(seconds(290)).await;
    assert!(life.board.is_running(MAPPING), "it gets its time");
    sleep(seconds(50)).await;

    assert!(!life.board.is_running(MAPPING));
    life.drain().await;
}

/// Empty polls are an answer, however patient the source and impatient the user.
#[tokio::test(start_paused = true)]
async fn an_idle_queue_and_an_idle_stream_never_stall() {
    let mut queue: World<FakeQueue> = World::of_queue(true, seconds(30)).await;
    let mut stream: World<FakeStream> = World::of_stream(3).await;
    queue.mapping.esmd.stall_after = seconds(10);
    stream.mapping.esmd.stall_after = seconds(10);
    let lives = [queue.start(), stream.start()];

    for _ in 0..3_600 {
        sleep(seconds(1)).await;
        assert!(lives.iter().all(|life| life.board.stalled().is_empty()));
    }

    for life in lives {
        life.drain().await;
    }
    assert_eq!(queue.rows().await[0].epoch, 1);
}

/// An hour in which the shard waits for this reason and does not stall.
async fn expect_wait(life: &Life, reason: &str) {
    sleep(seconds(330)).await;
    for _ in 0..3_300 {
        assert_eq!(reasons(life), [reason]);
        assert_eq!(life.board.stalled(), []);
        sleep(seconds(1)).await;
    }
}

/// The wait is over, and its consumer is still the first.
async fn expect_no_wait(world: &World<FakeStream>, life: &Life) {
    sleep(seconds(3)).await;
    assert_eq!((reasons(life), life.board.stalled()), (vec![], vec![]));
    assert_eq!(world.rows().await[0].epoch, 1);
}

fn reasons(life: &Life) -> Vec<&'static str> {
    life.board.waits(MAPPING).into_iter().map(|(_, reason)| reason).collect()
}
