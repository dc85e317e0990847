//! The reader on subscriptions that follow a script, in virtual time.

#![allow(clippy::unwrap_used)] // tests may

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::core::record::{Origin, PositionReset, Record, ShardId};
use crate::event::aggregated::tests::aggregate;

/// `docs/semantics.md` 6.8 (invariant 105): heartbeats included, and at once if the last one is old enough.
#[tokio::test(start_paused = true)]
async fn a_subscription_that_ended_is_renewed_after_the_last_number_heard() {
    let script = Script::of([
        vec![event(&["101"], "101"), after(5, event(&[], "150")), after(10, Step::End)],
        vec![event(&["160"], "160")],
    ]);
    let mut receiver = script.open(UpTo::TrimHorizon);
    assert_eq!(receive(&mut receiver, 10).await, ["101"]);
    assert!(receive(&mut receiver, 10).await.is_empty());

    let began = Instant::now();
    assert_eq!(receive(&mut receiver, 10).await, ["160"]);

    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(script.subscribed(), ["TRIM_HORIZON", "after 150"]);
}

/// `docs/semantics.md` 6.8: the service refuses a second subscription within 5 s.
#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_at_once_is_renewed_five_seconds_after_it_began() {
    let script = Script::of([vec![event(&["101"], "101"), Step::End], vec![event(&["102"], "102")]]);
    let mut receiver = script.open(UpTo::TrimHorizon);
    let began = Instant::now();

    assert_eq!(receive(&mut receiver, 10).await, ["101"]);
    assert_eq!(receive(&mut receiver, 10).await, ["102"]);

    assert_eq!(began.elapsed(), SUBSCRIBE_INTERVAL);
}

/// Else a server that ends every subscription would be asked for ever, and nobody told.
#[tokio::test(start_paused = true)]
async fn a_subscription_without_any_event_is_an_error() {
    for last in [vec![Step::End], vec![]] {
        let script = Script::of([last, vec![event(&["101"], "101")]]);
        let mut receiver = script.open(UpTo::TrimHorizon);

        assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))));

        assert_eq!(receive(&mut receiver, 10).await, ["101"]);
    }
}

/// Half-open: the other end is gone and the connection does not know.
#[tokio::test(start_paused = true)]
async fn a_silent_subscription_is_renewed_within_a_receive() {
    let script = Script::of([vec![event(&["101"], "101")], vec![event(&["102"], "102")]]);
    let mut receiver = script.open(UpTo::TrimHorizon);
    receive(&mut receiver, 10).await;

    let began = Instant::now();
    assert_eq!(receive(&mut receiver, 10).await, ["102"]);

    assert_eq!(began.elapsed(), SILENCE_MAX);
    assert_eq!(script.subscribed(), ["TRIM_HORIZON", "after 101"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_is_an_error_within_the_poll_time() {
    let script = Script::default();
    let mut receiver = script.open(UpTo::TrimHorizon);

    let read = timeout(POLL_TIME, receiver.receive(10)).await.unwrap();

    assert!(matches!(read, Err(SourceError::Transient(_))));
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_keep_a_subscription_and_tell_of_the_tip() {
    let beats = (0..100).map(|number| after(5, event(&[], &format!("{}", 200 + number)))).collect();
    let script = Script::of([beats]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    for _ in 0..100 {
        let received = receiver.receive(10).await.unwrap();
        assert!(received.records.is_empty() && !received.ended);
        assert_eq!(received.behind_millis, Some(0));
    }

    assert_eq!(script.subscribed().len(), 1);
}

/// What was sent while nobody read says nothing about now, and records may lie behind it.
#[tokio::test(start_paused = true)]
async fn signs_of_life_that_gathered_are_read_over() {
    let script =
        Script::of([vec![event(&["101"], "101"), event(&[], "150"), event(&[], "151"), event(&["160"], "160")]]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    assert_eq!(receive(&mut receiver, 10).await, ["101"]);
    assert_eq!(receive(&mut receiver, 10).await, ["160"]);
}

/// `docs/semantics.md` 6.8 (invariant 106): that of a daemon that just ended, for one.
#[tokio::test(start_paused = true)]
async fn another_young_subscription_is_waited_out() {
    for is_in_stream in [false, true] {
        let script = Script::of([refused(IN_USE, is_in_stream), vec![event(&["101"], "101")]]);
        let mut receiver = script.open(UpTo::TrimHorizon);
        let began = Instant::now();

        assert_eq!(receive(&mut receiver, 10).await, ["101"]);

        assert_eq!(began.elapsed(), SUBSCRIBE_INTERVAL);
    }
}

/// Two readers with one consumer take the shard from each other: people have to know.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_somebody_else_uses_is_an_error() {
    let script = Script::of([
        refused(IN_USE, false),
        refused(IN_USE, false),
        vec![event(&["101"], "101"), after(10, fail(IN_USE))],
        vec![event(&["102"], "102")],
    ]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    assert!(matches!(receiver.receive(10).await, Err(SourceError::Throttled(_))));
    assert_eq!(receive(&mut receiver, 10).await, ["101"]);
    assert!(matches!(receiver.receive(10).await, Err(SourceError::Throttled(_))));
    let began = Instant::now();
    assert_eq!(receive(&mut receiver, 10).await, ["102"]);
    assert_eq!(began.elapsed(), SUBSCRIBE_INTERVAL);
}

/// `docs/semantics.md` 6.8: an error ends the stream; renewal goes on where it stood (invariant 92).
#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_is_told_and_loses_nothing() {
    for (code, meaning) in [
        ("LimitExceededException", "Throttled"),
        ("KMSAccessDeniedException", "Denied"),
        ("ResourceNotFoundException", "Missing"),
        ("InternalFailureException", "Transient"),
    ] {
        let script = Script::of([vec![event(&["101"], "120"), fail(code)], vec![event(&["121"], "121")]]);
        let mut receiver = script.open(UpTo::TrimHorizon);
        receive(&mut receiver, 10).await;

        let error = receiver.receive(10).await.unwrap_err();

        assert!(format!("{error:?}").starts_with(meaning), "{code}: {error:?}");
        assert_eq!(receive(&mut receiver, 10).await, ["121"]);
        assert_eq!(script.subscribed(), ["TRIM_HORIZON", "after 120"]);
    }
}

/// `docs/semantics.md` 6.8 (invariant 107).
#[tokio::test(start_paused = true)]
async fn a_shard_ends_with_its_last_records_and_stays_ended() {
    let script = Script::of([vec![Step::Event(Pushed { next: Next::End, ..pushed(&["101", "102"], "") })]]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    let slices =
        [receiver.receive(1).await.unwrap(), receiver.receive(1).await.unwrap(), receiver.receive(1).await.unwrap()];

    assert_eq!(slices.each_ref().map(|slice| (slice.records.len(), slice.ended)), [(1, false), (1, true), (0, true)]);
    assert_eq!(script.subscribed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_checkpoint_says_ended_is_not_subscribed_to() {
    let script = Script::of([]);

    assert!(script.open(UpTo::Ended).receive(10).await.unwrap().ended);

    assert!(script.subscribed().is_empty());
}

/// A number left out by mistake must not end a shard that goes on.
#[tokio::test(start_paused = true)]
async fn an_event_without_number_and_children_does_not_end_the_shard() {
    let unsaid = |numbers: &[&str]| Step::Event(Pushed { next: Next::Unsaid, ..pushed(numbers, "") });
    let script = Script::of([vec![unsaid(&["101"])], vec![unsaid(&[])], vec![event(&["102"], "102")]]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    assert_eq!(receive(&mut receiver, 10).await, ["101"]);
    assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))));
    assert_eq!(receive(&mut receiver, 10).await, ["102"]);

    assert_eq!(script.subscribed(), ["TRIM_HORIZON", "after 101", "after 101"]);
}

/// `docs/semantics.md` 6.2: the same as for a reader that polls.
#[tokio::test(start_paused = true)]
async fn a_position_that_is_unknown_reads_on_at_the_oldest_record() {
    for (code, reason) in [
        ("InvalidArgumentException", PositionReset::Unknown),
        ("ResourceNotFoundException", PositionReset::Unknown),
        ("TrimmedDataAccessException", PositionReset::Trimmed),
    ] {
        for is_in_stream in [false, true] {
            let events = vec![event(&[], "200"), event(&["201"], "201"), event(&["202"], "202")];
            let script = Script::of([refused(code, is_in_stream), events]);
            let mut receiver = script.open(after_number("101"));

            let mut read = Vec::new();
            for _ in 0..3 {
                let received = receiver.receive(10).await.unwrap();
                read.push((numbers(&received.records), received.reset));
            }

            let expected = [(vec![], None), (vec!["201".into()], Some(reason)), (vec!["202".into()], None)];
            assert_eq!(read, expected, "{code}");
            assert_eq!(script.subscribed(), ["after 101", "TRIM_HORIZON"]);
        }
    }
}

/// `docs/semantics.md` 6.2: a source that refuses everything has not forgotten one record.
#[tokio::test(start_paused = true)]
async fn a_position_is_given_up_only_for_a_subscription_at_the_oldest_record() {
    for code in ["InvalidArgumentException", "ResourceNotFoundException", "InternalFailure"] {
        let script = Script::of([
            refused("InvalidArgumentException", false),
            refused(code, false),
            vec![event(&["102"], "102")],
        ]);
        let mut receiver = script.open(after_number("101"));
        receiver.receive(10).await.unwrap_err();

        let received = receiver.receive(10).await.unwrap();

        assert_eq!((numbers(&received.records), received.reset), (vec!["102".into()], None), "{code}");
        assert_eq!(script.subscribed(), ["after 101", "TRIM_HORIZON", "after 101"]);
    }
}

/// `docs/semantics.md` 6.8: no event is read that nobody has room for, and a large one is handed out in slices.
#[tokio::test(start_paused = true)]
async fn a_push_is_handed_out_in_slices_before_the_next_is_read() {
    let script = Script::of([vec![event(&["101", "102", "103"], "103"), event(&["104"], "104")]]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    let first = receiver.receive(2).await.unwrap();
    let second = receiver.receive(2).await.unwrap();

    assert_eq!(numbers(&first.records), ["101", "102"]);
    assert_eq!(first.behind_millis, Some(NOW_MILLIS - ARRIVED_MILLIS), "the third waits since it arrived");
    assert_eq!((numbers(&second.records), second.behind_millis), (vec!["103".into()], Some(0)));
    assert_eq!(script.events_read(), 1);
    assert_eq!(receive(&mut receiver, 2).await, ["104"]);
}

/// `Receiver::receive`: wherever it is dropped.
#[tokio::test(start_paused = true)]
async fn a_receive_that_is_dropped_loses_nothing() {
    let large = "x".repeat(300 * 1024); // so that rendering lets others run in between
    let mut polls = 0;
    loop {
        let records = ["101", "102", "103", "104", "105"].map(|number| record(number, &large));
        let script = Script::of([vec![Step::Event(Pushed { records: records.into(), ..pushed(&[], "105") })]]);
        let mut receiver = script.open(UpTo::TrimHorizon);
        let mut is_ready = false;
        {
            let mut receive = receiver.receive(10);
            for _ in 0..polls {
                is_ready |= futures_util::poll!(&mut receive).is_ready();
            }
        }
        if is_ready {
            break;
        }
        assert_eq!(
            receive(&mut receiver, 10).await,
            ["101", "102", "103", "104", "105"],
            "dropped after {polls} polls"
        );
        polls += 1;
    }
    assert!(polls > 2, "it was dropped in the middle too");
}

/// `docs/semantics.md` 2.3: the inner records share the number; keys and data are their own.
#[tokio::test(start_paused = true)]
async fn an_aggregate_is_taken_apart() {
    let script = Script::of([vec![holding(&[("101", aggregate(&[("a", b"x"), ("b", b"y")])), ("102", "z".into())])]]);
    let mut receiver = script.open(UpTo::TrimHorizon);

    let records = receiver.receive(10).await.unwrap().records;

    let places: Vec<_> = records.iter().map(place).collect();
    assert_eq!(places, [("101".into(), 1), ("101".into(), 2), ("102".into(), 0)]);
    let keys: Vec<_> = records.iter().map(|record| record.key.as_ref().unwrap().as_str()).collect();
    assert_eq!(keys, ["a", "b", "k"]);
    for (record, (key, data)) in records.iter().zip([("a", "eA=="), ("b", "eQ=="), ("k", "eg==")]) {
        let element: Value = serde_json::from_slice(&record.element).unwrap();
        assert_eq!((&element["kinesis"]["partitionKey"], &element["kinesis"]["data"]), (&key.into(), &data.into()));
        let number = element["kinesis"]["sequenceNumber"].as_str().unwrap();
        assert_eq!(element["eventID"], format!("shardId-0:{number}"));
        assert_eq!(element["eventSourceARN"], CONSUMER, "invariant 36");
    }
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_is_handed_out_in_slices_of_any_size() {
    let inner: Vec<(String, &[u8])> = (0..10).map(|number| (number.to_string(), &b"x"[..])).collect();
    let inner: Vec<(&str, &[u8])> = inner.iter().map(|(key, data)| (&**key, *data)).collect();
    for max in 1..=11 {
        let script = Script::of([vec![holding(&[("101", aggregate(&inner)), ("102", "z".into())])]]);
        let mut receiver = script.open(UpTo::TrimHorizon);

        let mut places = Vec::new();
        while places.len() < 11 {
            let records = receiver.receive(max).await.unwrap().records;
            assert!(records.len() <= max);
            places.extend(records.iter().map(place));
        }

        let expected = (1..=10).map(|index| ("101".into(), index)).chain([("102".into(), 0)]);
        assert_eq!(places, expected.collect::<Vec<_>>());
    }
}

/// `docs/semantics.md` 6.6 (invariant 94): a checkpoint inside an aggregate loses nothing of it and repeats nothing.
#[tokio::test(start_paused = true)]
async fn a_position_inside_an_aggregate_is_resumed_at_its_next_record() {
    let inner: [(&str, &[u8]); 3] = [("a", b"x"), ("b", b"y"), ("c", b"z")];
    for settled in 1..=3 {
        let script = Script::of([vec![holding(&[("101", aggregate(&inner)), ("102", "z".into())])]]);
        let position = Position { sequence_number: SequenceNumber::new("101"), index: settled };
        let mut receiver = script.open(UpTo::After(position));

        let records = receiver.receive(10).await.unwrap().records;

        let expected = (settled + 1..=3).map(|index| ("101".into(), index)).chain([("102".into(), 0)]);
        assert_eq!(records.iter().map(place).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(script.subscribed(), ["at 101"]);
    }
}

/// `docs/semantics.md` 6.8 (invariant 105): a sign of life before the aggregate names the number that it was asked for.
#[tokio::test(start_paused = true)]
async fn a_sign_of_life_before_the_rest_of_an_aggregate_does_not_pass_it() {
    let rest = || holding(&[("101", aggregate(&[("a", b"x"), ("b", b"y")]))]);
    let script = Script::of([vec![event(&[], "101"), after(10, Step::End)], vec![rest()]]);
    let position = Position { sequence_number: SequenceNumber::new("101"), index: 1 };
    let mut receiver = script.open(UpTo::After(position));
    assert!(receive(&mut receiver, 10).await.is_empty());

    let records = receiver.receive(10).await.unwrap().records;

    assert_eq!(script.subscribed(), ["at 101", "at 101"]);
    assert_eq!(records.iter().map(place).collect::<Vec<_>>(), [("101".into(), 2)]);
}

/// The stream is another one of the same name: its numbers mean nothing here.
#[tokio::test(start_paused = true)]
async fn a_position_inside_an_aggregate_that_is_unknown_hides_nothing() {
    let oldest = holding(&[("7", aggregate(&[("a", b"x"), ("b", b"y")]))]);
    let script = Script::of([refused("InvalidArgumentException", false), vec![oldest]]);
    let position = Position { sequence_number: SequenceNumber::new("101"), index: 2 };

    let received = script.open(UpTo::After(position)).receive(10).await.unwrap();

    assert_eq!(received.records.iter().map(place).collect::<Vec<_>>(), [("7".into(), 1), ("7".into(), 2)]);
    assert_eq!(received.reset, Some(PositionReset::Unknown));
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What the next subscriptions bring. One more is never answered.
    subscriptions: VecDeque<Vec<Step>>,
    subscribed: Vec<String>,
    events_read: usize,
}

enum Step {
    After(Duration, Box<Step>),
    Event(Pushed),
    Fail(&'static str),
    /// In place of a subscription.
    Refuse(&'static str),
    End,
}

impl Script {
    /// A subscription at the end of its steps is silent.
    fn of(subscriptions: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let script = Self::default();
        script.0.lock().unwrap().subscriptions.extend(subscriptions);
        script
    }

    fn open(&self, position: UpTo) -> Box<dyn Receiver> {
        let renderer = Renderer::new(&ShardId::new("shardId-0"), "role", "eu-west-1", CONSUMER);
        let clock = Clock::new(|| Duration::from_millis(NOW_MILLIS));
        Box::new(PushReceiver::new(self.clone(), renderer, clock, position))
    }

    fn subscribed(&self) -> Vec<String> {
        self.0.lock().unwrap().subscribed.clone()
    }

    fn events_read(&self) -> usize {
        self.0.lock().unwrap().events_read
    }
}

impl PushedShard for Script {
    type Subscription = Subscribed;

    async fn subscribe(&self, position: &UpTo) -> Result<Subscribed, Failure> {
        let steps = {
            let state = &mut *self.0.lock().unwrap();
            state.subscribed.push(match position {
                UpTo::After(position) if at_or_after(position).0 => format!("at {}", position.sequence_number.as_str()),
                position => position.to_string(),
            });
            state.subscriptions.pop_front()
        };
        let Some(steps) = steps else { return std::future::pending().await };
        if let [Step::Refuse(code)] = steps.as_slice() {
            return Err(Failure::new(Some(code), "the script"));
        }
        Ok(Subscribed { script: self.clone(), steps: steps.into() })
    }
}

struct Subscribed {
    script: Script,
    steps: VecDeque<Step>,
}

impl Subscription for Subscribed {
    async fn next(&mut self) -> Result<Option<Pushed>, Failure> {
        let mut step = self.steps.pop_front();
        if let Some(Step::After(wait, then)) = step {
            tokio::time::sleep(wait).await;
            step = Some(*then);
        }
        self.script.0.lock().unwrap().events_read += 1;
        match step {
            Some(Step::Event(event)) => Ok(Some(event)),
            Some(Step::Fail(code)) => Err(Failure::new(Some(code), "the script")),
            Some(Step::End) => Ok(None),
            Some(Step::After(..) | Step::Refuse(_)) => panic!("no such script"),
            None => std::future::pending().await,
        }
    }
}

async fn receive(receiver: &mut Box<dyn Receiver>, max: usize) -> Vec<String> {
    numbers(&receiver.receive(max).await.unwrap().records)
}

fn after(seconds: u64, step: Step) -> Step {
    Step::After(Duration::from_secs(seconds), Box::new(step))
}

fn fail(code: &'static str) -> Step {
    Step::Fail(code)
}

fn refused(code: &'static str, is_in_stream: bool) -> Vec<Step> {
    vec![if is_in_stream { Step::Fail(code) } else { Step::Refuse(code) }]
}

fn event(numbers: &[&str], next: &str) -> Step {
    Step::Event(pushed(numbers, next))
}

fn holding(records: &[(&str, Bytes)]) -> Step {
    let last = records.last().unwrap().0;
    let records = records.iter().map(|(number, data)| PushedRecord { data: data.clone(), ..record(number, "") });
    Step::Event(Pushed { records: records.collect(), ..pushed(&[], last) })
}

fn pushed(numbers: &[&str], next: &str) -> Pushed {
    Pushed {
        records: numbers.iter().map(|number| record(number, "hello")).collect(),
        behind_millis: Some(0),
        next: Next::After(SequenceNumber::new(next)),
    }
}

fn record(number: &str, data: &str) -> PushedRecord {
    PushedRecord {
        sequence_number: SequenceNumber::new(number),
        partition_key: Some("k".to_owned()),
        data: Bytes::copy_from_slice(data.as_bytes()),
        arrived_at: Timestamp::from_millis(ARRIVED_MILLIS),
    }
}

fn after_number(number: &str) -> UpTo {
    UpTo::After(SequenceNumber::new(number).into())
}

fn numbers(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| place(record).0).collect()
}

fn place(record: &Record) -> (String, u32) {
    let Origin::Position(position) = &record.origin else { panic!("a stream's record has a position") };
    (position.sequence_number.as_str().to_owned(), position.index)
}

const IN_USE: &str = "ResourceInUseException";
const CONSUMER: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/clicks/consumer/fast:1760700041";
const NOW_MILLIS: u64 = 1_760_700_060_000;
const ARRIVED_MILLIS: u64 = 1_760_700_000_000;
