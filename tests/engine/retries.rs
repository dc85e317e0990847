//! Streams under errors, through the engine: bad records are given up and everything else is delivered in order
//! (`docs/semantics.md` 6.6). The rules one by one: `tests/properties/retries.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use esmd::event::failure::Condition;
use esmd::mapping::Retries;
use esmd::mapping::on_failure::Undeliverable;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::fakes::Fault;
use crate::fakes::destination::Hitch;
use crate::fakes::target::{Answer, Invocation};
use crate::world::{MAPPING, World, seconds, sleep};

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

/// Invariants 81, 82, 86
#[tokio::test(start_paused = true)]
async fn a_destination_is_told_of_what_is_given_up() {
    let world = World::of_stream(1).await.with_batch_size(4).with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(1), bisect: true, ..Retries::default() });
    world.target.answer(failing_on(&["5"]));
    world.put(0..8, 1);
    let life = world.start();

    world.until_delivered([0, 1, 2, 3, 4, 6, 7]).await;
    life.drain().await;

    let [failure] = &world.destination.delivered()[..] else { panic!("one record") };
    assert_eq!((failure.condition, failure.invoke_count), (Condition::RetryAttemptsExhausted, 2));
    let records = failure.batch.records.as_ref().expect("it is about records");
    assert_eq!(records.size, 1);
    assert_eq!(records.first_sequence_number, records.last_sequence_number);
    assert_eq!(failure.mapping.as_ref(), MAPPING.to_string());
    assert_eq!(failure.function_arn, "arn:aws:lambda:eu-west-1:111111111111:function:worker");
    let response = failure.response.clone().expect("the function answered");
    assert_eq!(
        (response.executed_version.as_str(), response.function_error.as_deref()),
        ("$LATEST", Some("Unhandled"))
    );
}

/// Invariants 79, 80: one was never invoked, the other failed until it was too old.
#[tokio::test(start_paused = true)]
async fn records_that_grew_too_old_are_told_without_a_response() {
    let world = World::of_stream(1).await.with_destination(Undeliverable::Keep);
    let age = Some(Duration::from_mins(1));
    let world = world.with_retries(Retries { maximum_record_age: age, ..Retries::default() });
    world.target.answer(|_| Answer::fail());
    world.put(0..1, 1);
    sleep(seconds(90)).await;
    world.put(1..2, 1);
    let life = world.start();

    world.until("two reports", |world| world.destination.delivered().len() == 2).await;
    life.drain().await;

    let told = world.destination.delivered();
    let attempts = world.target.invocations().len();
    assert!(attempts > 1, "{attempts}");
    for (failure, invoke_count) in told.iter().zip([0, attempts]) {
        assert_eq!((failure.condition, failure.invoke_count as usize), (Condition::RecordAgeExceeded, invoke_count));
        assert_eq!((failure.response.clone(), failure.batch.records.as_ref().unwrap().size), (None, 1));
    }
    assert!(told[0].message().contains(r#""approximateInvokeCount":1}"#), "{}", told[0].message());
    assert!(told.iter().all(|failure| !failure.request_id.is_empty()));
}

/// Invariants 74, 77: the function succeeded, but what it said was of no use.
#[tokio::test(start_paused = true)]
async fn a_useless_response_is_told_with_a_null_function_error() {
    for response in
        [r#"{"batchItemFailures":[{"itemIdentifier":123}]}"#, r#"{"batchItemFailures":[{"itemIdentifier":"95"}]}"#]
    {
        let mut world = World::of_stream(1).await.with_batch_size(2).with_destination(Undeliverable::Keep);
        world.mapping.reports_failures = true;
        let world = world.with_retries(Retries { maximum_attempts: Some(1), ..Retries::default() });
        world.target.answer(move |_| Answer::say(response));
        world.put(0..2, 1);
        let life = world.start();

        world.until("the report", |world| world.destination.delivered().len() == 1).await;
        life.drain().await;

        let failure = &world.destination.delivered()[0];
        assert_eq!((failure.batch.records.as_ref().unwrap().size, failure.invoke_count), (2, 2), "{response}");
        assert_eq!(failure.response.as_ref().expect("it answered").function_error, None, "{response}");
        assert!(failure.message().contains(r#""functionError":null"#), "{}", failure.message());
    }
}

/// Invariant 87
#[tokio::test(start_paused = true)]
async fn a_batch_that_keeps_failing_blocks_its_shard_and_no_other() {
    let world = World::of_stream(4).await;
    let shards = world.source.open_shards();
    let bad = world.source.key_of(&shards[2]);
    for number in 0..5 {
        for shard in &shards {
            let key = world.source.key_of(shard);
            let body = if key == bad { format!("bad-{number}") } else { format!("{}-{number}", shard.as_str()) };
            world.source.put(&key, &body);
        }
    }
    world.target.answer(failing_on(&["bad-0"]));
    let life = world.start();

    sleep(seconds(600)).await;
    life.drain().await;

    let succeeded = world.target.succeeded();
    assert_eq!(succeeded.len(), 15, "{succeeded:?}");
    let tried: BTreeSet<_> = world.target.delivered().into_iter().map(|record| record.body).collect();
    let of_bad: Vec<_> = tried.iter().filter(|body| body.starts_with("bad")).collect();
    assert_eq!(of_bad, ["bad-0"], "what comes after it waits");
}

/// Invariants 73, 96: a report is no failure of the function.
#[tokio::test(start_paused = true)]
async fn a_partial_response_leaves_the_last_result_ok() {
    let mut world = World::of_stream(1).await.with_batch_size(3);
    world.mapping.reports_failures = true;
    let mut has_reported = false;
    world.target.answer(move |invocation| {
        if std::mem::replace(&mut has_reported, true) {
            return Answer::succeed();
        }
        Answer::report(&[&invocation.records[1].identifier]).after(seconds(1))
    });
    world.put(0..3, 1);
    let life = world.start();

    world.until("the report was heard", |world| world.target.invocations().len() == 2).await;
    assert_eq!(life.board.last_processing_result(MAPPING), "OK");
    life.drain().await;

    let sizes: Vec<_> = world.target.invocations().iter().map(|invocation| invocation.records.len()).collect();
    assert_eq!(sizes, [3, 2], "what came before the reported record is settled");
}

/// Invariant 74: it is a failed attempt, however well the function says it.
#[tokio::test(start_paused = true)]
async fn a_report_that_names_the_first_record_is_no_progress() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder); // this runtime has one thread
    let mut world = World::of_stream(1).await.with_batch_size(3);
    world.mapping.reports_failures = true;
    world.target.answer(|invocation| Answer::report(&[&invocation.records[0].identifier]));
    world.put(0..3, 1);
    let life = world.start();

    world.until("some attempts", |world| world.target.invocations().len() == 5).await;
    sleep(seconds(2)).await;
    life.drain().await;

    assert_eq!(lines(&recorder, "esmd_shard_last_progress_timestamp_seconds"), Vec::<String>::new());
}

/// Invariant 76: what is invoked again was not done the first time.
#[tokio::test(start_paused = true)]
async fn each_record_of_a_partial_response_has_one_latency() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder); // this runtime has one thread
    let mut world = World::of_stream(1).await.with_batch_size(3);
    world.mapping.reports_failures = true;
    world.target.answer(|invocation| match invocation.number {
        0 => Answer::report(&[&invocation.records[1].identifier]),
        _ => Answer::succeed(),
    });
    world.put(0..3, 1);
    let life = world.start();

    world.until("the rest", |world| world.target.invocations().len() == 2).await;
    life.drain().await;

    assert_eq!(
        lines(&recorder, "esmd_end_to_end_latency_seconds_count"),
        [format!("esmd_end_to_end_latency_seconds_count{{mapping=\"{MAPPING}\"}} 3")]
    );
}

/// Invariant 42
#[tokio::test(start_paused = true)]
async fn an_oversized_record_uses_its_retries_and_is_told_without_a_response() {
    let world = World::of_stream(1).await.with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(1), ..Retries::default() });
    world.target.answer(|invocation| match invocation.records[0].body.as_str() {
        "0" => Answer::too_large(),
        _ => Answer::succeed(),
    });
    world.put(0..2, 1);
    let life = world.start();

    world.until_delivered([1]).await;
    life.drain().await;

    let [failure] = &world.destination.delivered()[..] else { panic!("one record") };
    assert_eq!((failure.condition, failure.invoke_count), (Condition::RetryAttemptsExhausted, 2));
    assert_eq!(failure.response, None);
}

/// Where AWS would lose the records, their lane waits, other keys go on, and no checkpoint passes them; a crash repeats
/// them.
#[tokio::test(start_paused = true)]
async fn while_a_destination_is_down_nothing_is_lost_and_other_keys_go_on() {
    let world = World::of_stream(1).await.with_lanes(2).with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
    world.target.answer(failing_on(&["0"]));
    world.destination.set_missing(true);
    world.put(0..20, 2);
    let shard = world.source.shard_of("key-0");
    let life = world.start();

    world.until_delivered((0..10).map(|number| 2 * number + 1)).await;
    sleep(seconds(600)).await;
    let covered = world.source.covered(&shard, &world.checkpoint(&shard).await);
    assert!(covered.iter().all(|body| body.parse::<u32>().unwrap() % 2 == 1), "{covered:?}");
    let result = life.board.last_processing_result(MAPPING);
    assert!(result.starts_with("PROBLEM: the destination refused the record"), "{result}");
    life.crash().await;
    assert!(world.destination.delivered().is_empty());

    world.destination.set_missing(false);
    let life = world.start();
    world.until_delivered(1..20).await;
    life.drain().await;
    assert_eq!(world.destination.delivered().len(), 1);
    world.assert_first_deliveries_in_order();
}

/// A lane that waits for its destination goes on where it was; each discard is told once.
#[tokio::test(start_paused = true)]
async fn a_delivery_is_repeated_until_it_is_taken() {
    let world = World::of_stream(1).await.with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
    world.target.answer(failing_on(&["0", "1"]));
    world.destination.hitch(3, Hitch::Transient);
    world.put(0..3, 1);
    let life = world.start();

    world.until_delivered([2]).await;
    life.drain().await;

    let delivered = world.destination.delivered();
    assert_eq!(delivered.len(), 2);
    assert_ne!(delivered[0].id, delivered[1].id, "each discard has its own");
}

/// Two troubles of one shard are told apart: that one is over says nothing about the other.
#[tokio::test(start_paused = true)]
async fn a_delivery_does_not_hide_that_the_source_cannot_be_read() {
    let world = World::of_stream(1).await.with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
    world.target.answer(|_| Answer::fail().after(seconds(20)));
    world.put(0..1, 1);
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    world.until("it was invoked", |world| world.target.invocations().len() == 1).await;
    world.source.fail_receives(&shard, [Fault::Denied; 20]);

    world.until("the report", |world| world.destination.delivered().len() == 1).await;
    sleep(Duration::from_millis(100)).await;

    let result = life.board.last_processing_result(MAPPING);
    assert!(result.starts_with("PROBLEM: access to the source denied"), "{result}");
    life.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_answers_again_does_not_hide_that_nobody_takes_the_report() {
    let world = World::of_stream(1).await.with_destination(Undeliverable::Keep);
    let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
    world.target.answer(|_| Answer::fail());
    world.destination.set_missing(true);
    world.put(0..1, 1);
    let shard = world.source.shard_of("key-0");
    let life = world.start();
    sleep(seconds(60)).await;

    for _ in 0..20 {
        world.source.fail_receives(&shard, [Fault::Transient]);
        sleep(seconds(4)).await;
        let result = life.board.last_processing_result(MAPPING);
        assert!(result.starts_with("PROBLEM: the destination refused"), "{result}");
    }
    life.drain().await;
}

/// Invariant 117: of deliveries each failed one counts, of records those that were told.
#[tokio::test(start_paused = true)]
async fn a_destination_is_counted_by_records_and_its_failures_by_deliveries() {
    for (undeliverable, failed, told, dropped) in
        [(Undeliverable::Keep, 3, 5, None), (Undeliverable::Drop, 1, 2, Some(3))]
    {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder); // this runtime has one thread
        let world = World::of_stream(1).await.with_batch_size(3).with_destination(undeliverable);
        let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
        world.target.answer(failing_on(&["1", "4"]));
        world.put(0..5, 1);
        world.destination.hitch(failed, Hitch::Transient);
        let shard = world.source.shard_of("key-0");
        let life = world.start();

        sleep(seconds(120)).await;
        life.drain().await;

        assert_eq!(world.source.covered(&shard, &world.checkpoint(&shard).await).len(), 5);
        let by_type = format!("{{mapping=\"{MAPPING}\",destination_type=\"sqs\"}}");
        for (metric, count) in
            [("esmd_destination_failures_total", failed), ("esmd_records_delivered_to_destination_total", told)]
        {
            assert_eq!(lines(&recorder, metric), [format!("{metric}{by_type} {count}")]);
        }
        let dropped = dropped
            .map(|count| format!("esmd_records_dropped_total{{mapping=\"{MAPPING}\",reason=\"retries\"}} {count}"));
        assert_eq!(lines(&recorder, "esmd_records_dropped_total"), Vec::from_iter(dropped));
    }
}

/// Invariant 85: AWS's own behaviour, if it is asked for.
#[tokio::test(start_paused = true)]
async fn under_drop_a_failed_delivery_loses_the_records_and_blocks_nothing() {
    let world = World::of_stream(1).await.with_destination(Undeliverable::Drop);
    let world = world.with_retries(Retries { maximum_attempts: Some(0), ..Retries::default() });
    world.target.answer(failing_on(&["0"]));
    world.destination.set_missing(true);
    world.put(0..3, 1);
    let shard = world.source.shard_of("key-0");
    let life = world.start();

    world.until_delivered(1..3).await;
    sleep(seconds(1)).await;
    assert_eq!(life.board.last_processing_result(MAPPING), "OK", "what is over is no problem any more");
    life.drain().await;

    assert!(world.destination.delivered().is_empty());
    assert_eq!(world.source.covered(&shard, &world.checkpoint(&shard).await), ["0", "1", "2"]);
}

/// The page's lines of one metric.
fn lines(recorder: &PrometheusRecorder, metric: &str) -> Vec<String> {
    let page = recorder.handle().render();
    let lines = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric));
    lines.map(str::to_owned).collect()
}

fn failing_on(bad: &'static [&'static str]) -> impl FnMut(&Invocation) -> Answer + Send + 'static {
    move |invocation| {
        let is_bad = invocation.records.iter().any(|record| bad.contains(&record.body.as_str()));
        if is_bad { Answer::fail() } else { Answer::succeed() }
    }
}
