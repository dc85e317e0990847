//! Tumbling windows (`docs/semantics.md` 6.9): first each rule as a story, then random stories with crashes, in which
//! the function folds the names of the records into its state and nothing may be counted twice or left out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::action::{Action, DiscardReason};
use esmd::core::batch::Batch;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::outcome::{Answer, Failure, Outcome};
use esmd::core::record::{OrderingKey, Origin, Received, Record, ShardId};
use esmd::core::settings::{Kind, QueueRules, RetrySettings, Settings};
use esmd::core::window::{WindowCall, WindowState};
use esmd::event::window::Events;
use esmd::event::{ELEMENT_BYTES_MAX, PAYLOAD_BYTES_MAX};
use proptest::prelude::*;

use super::source::{names, position};

/// Invariants 98 to 101: the sequence that was seen on AWS.
#[test]
fn each_call_is_handed_the_last_state_and_the_next_window_waits_for_the_final_call() {
    let mut shard = Shard::new(Settings { batch_size: 1, ..settings() });
    shard.receive([(1, 10_000), (2, 11_000), (3, 19_999), (4, 20_000)]);

    shard.expect(&[1], "{}").fold();
    shard.expect(&[2], "1 ").fold();
    shard.expect(&[3], "1 2 ").fold();
    let final_call = shard.expect_final("1 2 3 ");
    assert!(!call(&final_call.batch).is_terminated_early());
    assert_eq!(final_call.starts_at(), 10_000);
    final_call.fold();
    let next = shard.expect(&[4], "{}");
    assert_eq!(next.starts_at(), 20_000);
    next.fold();
    shard.expect_nothing();
}

/// `docs/semantics.md` 6.9: a batch has records of one window, and does not wait for more when the window is over.
#[test]
fn a_batch_ends_at_the_border_whatever_its_batching_window() {
    let mut shard = Shard::new(Settings { window: Duration::from_mins(5), ..settings() });
    shard.receive([(1, 10_000), (2, 12_000)]);
    shard.expect_nothing();
    shard.receive([(3, 21_000)]);
    shard.expect(&[1, 2], "{}").fold();
    shard.expect_final("1 2 ").fold();
    shard.expect_nothing();
}

/// Invariant 99
#[test]
fn a_failed_call_is_repeated_with_the_state_of_before() {
    let mut shard = Shard::new(Settings { batch_size: 1, ..settings() });
    shard.receive([(1, 10_000), (2, 11_000)]);
    shard.expect(&[1], "{}").fold();
    shard.expect(&[2], "1 ").fail();
    shard.expect(&[2], "1 ").fold();
    assert_eq!(shard.stored_state(), Some("1 2 ".to_owned()));
}

/// `docs/semantics.md` 6.9
#[test]
fn a_partial_responses_state_goes_to_the_suffix() {
    let mut shard = Shard::new(settings());
    shard.receive([(1, 10_000), (2, 11_000), (3, 12_000)]);
    shard.expect(&[1, 2, 3], "{}").end(&Outcome::Partial(vec![1]), Some("1 "));
    assert_eq!(shard.stored_state(), Some("1 ".to_owned()));
    shard.expect(&[2, 3], "1 ").end(&Outcome::Partial(vec![0]), Some("bad "));
    shard.expect(&[2, 3], "1 ").fold();
}

/// `docs/semantics.md` 6.9: the upper half is handed what the lower one returned.
#[test]
fn halves_hand_on_the_state() {
    let retry = RetrySettings { bisect: true, ..RetrySettings::default() };
    let mut shard = Shard::new(Settings { retry, ..settings() });
    shard.receive([(1, 10_000), (2, 11_000)]);
    shard.expect(&[1, 2], "{}").fail();
    shard.expect(&[1], "{}").fold();
    shard.expect(&[2], "1 ").fold();
}

/// `docs/semantics.md` 6.9: expired records are discarded, the state stays.
#[test]
fn a_discard_leaves_the_state() {
    let retry = RetrySettings { attempts_max: Some(1), ..RetrySettings::default() };
    let mut shard = Shard::new(Settings { batch_size: 1, retry, ..settings() });
    shard.receive([(1, 10_000), (2, 11_000), (3, 12_000)]);
    shard.expect(&[1], "{}").fold();
    shard.expect(&[2], "1 ").fail();
    shard.discard(&[2], DiscardReason::RetryAttemptsExhausted);
    shard.expect(&[3], "1 ").fold();
}

/// Invariant 100: a window whose records were all given up had records.
#[test]
fn a_window_of_nothing_but_discards_has_its_final_call() {
    let retry = RetrySettings { attempts_max: Some(1), ..RetrySettings::default() };
    let mut shard = Shard::new(Settings { retry, ..settings() });
    shard.receive([(1, 10_000)]);
    shard.expect(&[1], "{}").fail();
    shard.discard(&[1], DiscardReason::RetryAttemptsExhausted);
    shard.end();
    shard.expect_final("{}").fold();
    assert!(shard.consumer.is_drained());
}

/// Invariant 102: then the rest of the window begins anew, even within a batch.
#[test]
fn an_oversized_state_ends_the_window_early() {
    let mut shard = Shard::new(settings());
    shard.receive([(1, 10_000), (2, 11_000)]);
    let oversized = "x".repeat(1_048_577);
    shard.expect(&[1, 2], "{}").end(&Outcome::Partial(vec![1]), Some(&oversized));

    let final_call = shard.expect_final(&oversized);
    assert!(call(&final_call.batch).is_terminated_early());
    final_call.fold();
    let rest = shard.expect(&[2], "{}");
    assert_eq!(rest.starts_at(), 10_000);
    rest.fold();
    shard.end();
    shard.expect_final("2 ").fold();
}

/// Invariants 101, 103: the shard waits for the final call, by the retry rules.
#[test]
fn a_failed_final_call_is_repeated_and_at_last_discarded() {
    let retry = RetrySettings { attempts_max: Some(2), bisect: true, ..RetrySettings::default() };
    let mut shard = Shard::new(Settings { retry, ..settings() });
    shard.receive([(1, 10_000), (2, 20_000)]);
    shard.expect(&[1], "{}").fold();
    shard.expect_final("1 ").fail();
    shard.expect_final("1 ").fail();
    assert_eq!(shard.stored_state(), Some("1 ".to_owned()), "not settled before it is told");
    let batch = shard.discard(&[], DiscardReason::RetryAttemptsExhausted);
    assert_eq!(batch.attempts, 2);
    shard.expect(&[2], "{}").fold();
}

/// `docs/semantics.md` 6.9: a final call is made however old its window is; one that failed may be too old.
#[test]
fn age_counts_for_a_final_call_only_after_a_failure() {
    let retry = RetrySettings { age_max: Some(Duration::from_mins(1)), ..RetrySettings::default() };
    let mut shard = Shard::new(Settings { retry, ..settings() });
    shard.receive([(1, 10_000)]);
    shard.expect(&[1], "{}").fold();
    shard.now = Timestamp::from_millis(500_000);
    shard.end();
    shard.expect_final("1 ").fail();
    shard.discard(&[], DiscardReason::RecordAgeExceeded);
    assert!(shard.consumer.is_drained());
}

/// `docs/semantics.md` 6.9: a read that was asked for 10 s after the window's end found the tip.
#[test]
fn an_idle_window_is_closed_when_the_tip_was_read_after_its_end() {
    let mut shard = Shard::new(settings());
    shard.receive([(1, 10_000)]);
    shard.expect(&[1], "{}").fold();
    shard.tip(29_999);
    shard.expect_nothing();
    shard.tip(30_000);
    shard.expect_final("1 ").fold();
    shard.tip(60_000);
    shard.expect_nothing();
}

/// `docs/semantics.md` 6.9
#[test]
fn a_late_record_goes_to_the_open_window() {
    let mut shard = Shard::new(settings());
    shard.receive([(1, 20_000)]);
    shard.expect(&[1], "{}").fold();
    shard.receive([(2, 12_000), (3, 21_000)]);
    let late = shard.expect(&[2, 3], "1 ");
    assert_eq!(late.starts_at(), 20_000);
    late.fold();
}

/// `docs/semantics.md` 6.9: shard end closes the window, and only then is the shard settled to its end.
#[test]
fn a_shard_ends_after_its_last_windows_final_call() {
    let mut shard = Shard::new(settings());
    shard.receive([(1, 10_000)]);
    shard.expect(&[1], "{}").fold();
    shard.end();
    let final_call = shard.expect_final("1 ");
    assert_ne!(final_call.shard.consumer.checkpoint().unwrap().up_to, UpTo::Ended);
    final_call.fold();
    assert_eq!(shard.consumer.checkpoint(), Some(Checkpoint::at(UpTo::Ended)));
    assert!(shard.consumer.is_drained());
}

/// `docs/semantics.md` 6.9: checkpoint and state are one. A window that nothing was settled of is not stored.
#[test]
fn a_checkpoint_has_the_state_that_counts_what_it_covers() {
    let mut shard = Shard::new(Settings { batch_size: 1, ..settings() });
    shard.receive([(1, 10_000), (2, 11_000), (3, 20_000)]);
    assert_eq!(shard.stored_state(), None);
    shard.expect(&[1], "{}").fold();
    let stored = shard.consumer.poll_checkpoint().unwrap();
    assert_eq!((&stored.up_to, stored.window.as_ref().unwrap().state.as_str()), (&UpTo::After(position(1)), "1 "));

    let mut again = Shard { consumer: Consumer::new(shard.settings, stored), ..shard };
    again.receive([(2, 11_000), (3, 20_000)]);
    again.expect(&[2], "1 ").fold();
    again.expect_final("1 2 ").fold();
    let stored = again.consumer.poll_checkpoint().unwrap();
    assert_eq!((stored.up_to, stored.window), (UpTo::After(position(2)), None));
}

/// `docs/semantics.md` 6.9: also when the mapping has no windows any more, and several lanes.
#[test]
fn a_window_of_before_a_change_is_closed_first() {
    for (tumbling_window, lanes) in [(Some(Duration::from_secs(20)), 1), (None, 4)] {
        let mut shard = Shard::new(settings());
        shard.receive([(1, 10_000)]);
        shard.expect(&[1], "{}").fold();
        let stored = shard.consumer.checkpoint().unwrap();

        let changed = Settings { tumbling_window, lanes, window: Duration::from_secs(1), ..settings() };
        let mut shard = Shard { consumer: Consumer::new(changed, stored), ..shard };
        shard.receive([(2, 11_000)]);
        let final_call = shard.expect_final("1 ");
        assert_eq!(final_call.starts_at(), 10_000);
        final_call.shard.consumer.handle_timeout(Timestamp::from_millis(3_000_000));
        final_call.shard.now = Timestamp::from_millis(3_000_000);
        final_call.fold();
        let next = shard.next_invocation().expect("the record that waited");
        assert_eq!(next.window.map(|call| call.bounds.start.as_millis()), tumbling_window.map(|_| 0));
    }
}

/// `docs/semantics.md` 6.9: the state counts towards the payload. What no longer fits is split, and no attempt is used.
#[test]
fn a_grown_state_splits_the_parts_that_wait() {
    let retry = RetrySettings { attempts_max: Some(1), bisect: true, ..RetrySettings::default() };
    let mut shard = Shard::new(Settings { batch_bytes: 14, retry, ..settings() }); // 3 bytes a record, 2 the first state
    shard.receive([(1, 10_000), (2, 11_000), (3, 12_000), (4, 13_000), (5, 14_000)]);
    shard.expect(&[1, 2, 3, 4], "{}").fail();
    shard.expect(&[1, 2], "{}").end(&Outcome::Succeeded, Some("0123456789"));
    shard.expect(&[3], "0123456789").end(&Outcome::Succeeded, Some("01234567890123456789"));
    let alone = shard.expect(&[4], "01234567890123456789");
    assert_eq!(alone.batch.attempts, 0);
    alone.fold();
}

/// A drain makes no final call; the window stays open for the next consumer.
#[test]
fn a_drain_leaves_the_window_open() {
    let mut shard = Shard::new(settings());
    shard.receive([(1, 10_000), (2, 20_000)]);
    let running = shard.expect(&[1], "{}");
    let now = running.shard.now;
    running.shard.consumer.drain(now);
    running.fold();
    shard.expect_nothing();
    assert!(shard.consumer.is_drained());
    assert_eq!(shard.stored_state(), Some("1 ".to_owned()));
}

/// Invariants 37 and 38, and `docs/semantics.md` 2.5: the members, their order and their form on the wire.
#[test]
fn an_event_has_the_documented_members_in_their_order() {
    let events = Events::new(&ShardId::new("shardId-000000000000"), "arn:aws:kinesis:eu-west-1:111111111111:stream/é");
    let mut shard = Shard::new(settings());
    shard.receive([(1, 1_770_000_012_345), (2, 1_770_000_013_000)]);

    let call = shard.expect(&[1, 2], "{}");
    let payload = events.payload(&call.batch);
    call.fold();
    let members = concat!(
        r#","shardId":"shardId-000000000000","eventSourceARN":"arn:aws:kinesis:eu-west-1:111111111111:stream/é","#,
        r#""window":{"start":"2026-02-02T02:40:10Z","end":"2026-02-02T02:40:20Z"},"#,
    );
    let flags = r#""isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}"#;
    assert_eq!(payload, format!(r#"{{"Records":[{{}},{{}}]{members}"state":{{}},{flags}"#));
    assert_eq!(payload.len(), r#"{"Records":[{},{}"#.len() + events.window_bytes() + "{}".len());

    shard.end();
    let payload = events.payload(&shard.expect_final("1 2 ").batch);
    let flags = r#""isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}"#;
    assert_eq!(payload, format!(r#"{{"Records":[]{members}"state":1 2 ,{flags}"#));
    let plain = Events::new(&ShardId::new("shard"), "arn");
    let mut shard = Shard::new(Settings { tumbling_window: None, ..settings() });
    shard.receive([(1, 10_000)]);
    assert_eq!(plain.payload(&shard.next_invocation().unwrap()), r#"{"Records":[{}]}"#);
}

/// Invariant 39: a batch that is as large as it may be gives a payload within the limit, whatever the state.
#[test]
fn a_payload_with_a_state_is_within_the_limit() {
    let events = Events::new(&ShardId::new("shard"), "arn");
    let batch_bytes = ELEMENT_BYTES_MAX - events.window_bytes();
    let mut shard = Shard::new(Settings { batch_size: 10_000, batch_bytes, ..settings() });
    let large = |name| Record { element: vec![b'1'; 999].into(), ..record(name, 10_000) };
    let records = (1..=18_000).map(large).collect();
    shard.consumer.handle_received(shard.now, Received { records, ..Received::default() });

    for state in ["{}", &"x".repeat(1_000_000)] {
        let batch = shard.next_invocation().unwrap();
        let payload = events.payload(&batch);
        assert!((PAYLOAD_BYTES_MAX - 1_100..=PAYLOAD_BYTES_MAX).contains(&payload.len()), "{}", payload.len());
        assert_eq!(batch.window.as_ref().unwrap().state.as_str(), state);
        let returned = Some(WindowState::new("x".repeat(1_000_000)));
        let answer = Answer { state: returned, ..Answer::default() };
        shard.consumer.handle_outcome(shard.now, batch.id, &Outcome::Succeeded, Some(Arc::new(answer)));
    }
}

proptest! {
    /// Invariants 99 to 101, and `docs/architecture.md` 5, invariants 1 and 2: over all final calls that a checkpoint
    /// knows of, every record was counted exactly once, unless it was given up, and windows closed in their order.
    #[test]
    fn every_record_is_counted_once_through_failures_and_crashes(
        gaps in prop::collection::vec(0..6_000_u64, 1..60),
        events in prop::collection::vec(event(), 0..200),
        batch_size in 1..6_usize,
        attempts_max in prop::option::of(1..4_u32),
        bisect in any::<bool>(),
        batch_bytes in prop_oneof![Just(1_000_000_usize), 8..80_usize],
    ) {
        let retry = RetrySettings { attempts_max, bisect, ..RetrySettings::default() };
        let settings = Settings { batch_size, retry, batch_bytes, ..settings() };
        let story = Story::tell(settings, &gaps, &events);
        let counted: Vec<usize> = story.closed.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        prop_assert!(counted.is_sorted_by(|one, other| one < other), "{counted:?}");
        prop_assert!(story.closed.is_sorted_by_key(|(start, _)| *start), "{:?}", story.closed);
        for name in 1..=gaps.len() {
            prop_assert!(counted.contains(&name) != story.given_up.contains(&name), "{name}: {:?}", story.closed);
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Receive(usize),
    Succeed,
    Fail,
    Report(usize),
    Save,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..8_usize).prop_map(Event::Receive),
        Just(Event::Succeed),
        Just(Event::Succeed),
        Just(Event::Fail),
        (0..6_usize).prop_map(Event::Report),
        Just(Event::Save),
        Just(Event::Crash),
    ]
}

/// One shard from its first record to its end, over several consumers.
struct Story {
    shard: Shard,
    arrivals: Vec<u64>,
    /// So many were read by this consumer, or by those before it.
    read: usize,
    stored: Checkpoint,
    /// Final calls that succeeded: start, and what was counted. Those beyond `confirmed` no checkpoint knows of.
    closed: Vec<(u64, Vec<usize>)>,
    confirmed: usize,
    given_up: BTreeSet<usize>,
    given_up_since: BTreeSet<usize>,
}

impl Story {
    fn tell(settings: Settings, gaps: &[u64], events: &[Event]) -> Self {
        let arrivals = gaps.iter().scan(100_000, |at, gap| {
            *at += gap;
            Some(*at)
        });
        let mut story = Self {
            shard: Shard::new(settings),
            arrivals: arrivals.collect(),
            read: 0,
            stored: Checkpoint::at(UpTo::TrimHorizon),
            closed: Vec::new(),
            confirmed: 0,
            given_up: BTreeSet::new(),
            given_up_since: BTreeSet::new(),
        };
        for event in events {
            story.happen(*event);
        }
        while !story.shard.consumer.is_drained() {
            story.happen(Event::Receive(usize::MAX));
            story.happen(Event::Succeed);
        }
        story.happen(Event::Save);
        story
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Receive(count) => {
                let end = self.read.saturating_add(count).min(self.arrivals.len());
                let ended = end == self.arrivals.len();
                let records = (self.read..end).map(|index| record(index + 1, self.arrivals[index])).collect();
                self.read = end;
                let received = Received { records, ended, ..Received::default() };
                self.shard.consumer.handle_received(self.shard.now, received);
            }
            Event::Succeed => self.invoke(&Outcome::Succeeded),
            Event::Fail => self.invoke(&Outcome::Failed(Failure::FunctionError)),
            Event::Report(place) => self.invoke(&Outcome::Partial(vec![place])),
            Event::Save => {
                if let Some(checkpoint) = self.shard.consumer.poll_checkpoint() {
                    self.stored = checkpoint;
                }
                self.confirmed = self.closed.len();
                self.given_up.append(&mut self.given_up_since);
            }
            Event::Crash => {
                let consumer = Consumer::new(self.shard.settings, self.stored.clone());
                self.shard.consumer = consumer;
                self.closed.truncate(self.confirmed);
                self.given_up_since.clear();
                self.read = match &self.stored.up_to {
                    UpTo::After(last) => {
                        (1..=self.arrivals.len()).find(|name| position(*name) == *last).expect("it was put")
                    }
                    UpTo::Ended => self.arrivals.len(),
                    _ => 0,
                };
                if self.stored.up_to == UpTo::Ended {
                    self.happen(Event::Receive(0));
                }
            }
        }
    }

    /// The next invocation, if any is due, ends so; discards are confirmed.
    fn invoke(&mut self, outcome: &Outcome) {
        let batch = loop {
            match self.shard.next_action() {
                Some(Action::Invoke { batch, .. }) => break batch,
                Some(Action::Discard { batch, .. }) => {
                    self.given_up_since.extend(names(batch.records()));
                    if batch.is_empty() {
                        self.given_up_since.extend(counted(call(&batch).state.as_str()));
                    }
                    self.shard.consumer.handle_discarded(self.shard.now, batch.id, true);
                }
                Some(Action::Settle(_) | Action::Extend(_)) => unreachable!("a stream tells nobody"),
                None => return,
            }
        };
        let call = call(&batch).clone();
        let outcome = match outcome {
            Outcome::Partial(_) if batch.is_empty() => &Outcome::Succeeded,
            Outcome::Partial(failed) if failed[0] >= batch.len() => &Outcome::Succeeded,
            other => other,
        };
        let done = match outcome {
            Outcome::Partial(failed) => failed[0],
            _ => batch.len(),
        };
        let within = |record: &Record| (call.bounds.start..call.bounds.end).contains(&record.arrived_at);
        assert!(batch.records().all(within), "a batch has records of one window");
        if call.is_final && *outcome == Outcome::Succeeded {
            self.closed.push((call.bounds.start.as_millis(), counted(call.state.as_str())));
        }
        let state = fold(call.state.as_str(), &names(batch.records())[..done]);
        let answer = Answer { state: Some(WindowState::new(state)), ..Answer::default() };
        self.shard.consumer.handle_outcome(self.shard.now, batch.id, outcome, Some(Arc::new(answer)));
    }
}

/// A consumer of one shard, and its time.
struct Shard {
    settings: Settings,
    consumer: Consumer,
    now: Timestamp,
}

/// A batch at the target.
struct Invocation<'a> {
    shard: &'a mut Shard,
    batch: Batch,
}

impl Shard {
    fn new(settings: Settings) -> Self {
        let consumer = Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon));
        Self { settings, consumer, now: Timestamp::from_millis(30_000) }
    }

    /// Names and arrivals.
    fn receive(&mut self, records: impl IntoIterator<Item = (usize, u64)>) {
        let records = records.into_iter().map(|(name, arrived_at)| record(name, arrived_at)).collect();
        self.consumer.handle_received(self.now, Received { records, ..Received::default() });
    }

    fn end(&mut self) {
        self.consumer.handle_received(self.now, Received { ended: true, ..Received::default() });
    }

    /// A read that was asked for at this time found nothing.
    fn tip(&mut self, asked_at: u64) {
        let asked_at = Timestamp::from_millis(asked_at);
        self.now = self.now.max(asked_at);
        self.consumer.handle_received(self.now, Received { at_tip: true, asked_at, ..Received::default() });
    }

    /// The next action, if need be after the next timeout.
    fn next_action(&mut self) -> Option<Action> {
        if let Some(action) = self.consumer.poll_action() {
            return Some(action);
        }
        self.now = self.consumer.poll_timeout()?.0;
        self.consumer.handle_timeout(self.now);
        self.consumer.poll_action()
    }

    fn next_invocation(&mut self) -> Option<Batch> {
        match self.next_action()? {
            Action::Invoke { batch, .. } => Some(batch),
            other => panic!("something should be invoked: {other:?}"),
        }
    }

    fn expect(&mut self, expected: &[usize], state: &str) -> Invocation<'_> {
        let batch = self.next_invocation().unwrap_or_else(|| panic!("{expected:?} should be invoked"));
        let call = call(&batch);
        assert_eq!((names(batch.records()).as_slice(), call.state.as_str()), (expected, state));
        assert_eq!(call.is_final, expected.is_empty());
        Invocation { shard: self, batch }
    }

    fn expect_final(&mut self, state: &str) -> Invocation<'_> {
        self.expect(&[], state)
    }

    /// Nothing is due now.
    fn expect_nothing(&mut self) {
        assert!(self.consumer.poll_action().is_none());
    }

    fn discard(&mut self, expected: &[usize], expected_reason: DiscardReason) -> Batch {
        let Some(Action::Discard { batch, reason }) = self.next_action() else { panic!("no discard") };
        assert_eq!((names(batch.records()).as_slice(), reason), (expected, expected_reason));
        self.consumer.handle_discarded(self.now, batch.id, true);
        batch
    }

    fn stored_state(&self) -> Option<String> {
        Some(self.consumer.checkpoint()?.window?.state.as_str().to_owned())
    }
}

impl Invocation<'_> {
    fn starts_at(&self) -> u64 {
        call(&self.batch).bounds.start.as_millis()
    }

    /// It succeeds, and the names are in the state.
    fn fold(self) {
        let state = fold(call(&self.batch).state.as_str(), &names(self.batch.records()));
        self.end(&Outcome::Succeeded, Some(&state));
    }

    fn fail(self) {
        self.end(&Outcome::Failed(Failure::FunctionError), None);
    }

    fn end(self, outcome: &Outcome, state: Option<&str>) {
        let answer = Answer { state: state.map(WindowState::new), ..Answer::default() };
        self.shard.consumer.handle_outcome(self.shard.now, self.batch.id, outcome, Some(Arc::new(answer)));
    }
}

fn call(batch: &Batch) -> &WindowCall {
    batch.window.as_ref().expect("every call is in a window")
}

fn fold(state: &str, names: &[usize]) -> String {
    let begun = if state == "{}" { String::new() } else { state.to_owned() };
    names.iter().fold(begun, |state, name| format!("{state}{name} "))
}

fn counted(state: &str) -> Vec<usize> {
    state.split_whitespace().filter_map(|name| name.parse().ok()).collect()
}

fn settings() -> Settings {
    Settings {
        kind: Kind::Stream,
        lanes: 1,
        batch_size: 100,
        window: Duration::ZERO,
        tumbling_window: Some(Duration::from_secs(10)),
        batch_bytes: 1_000_000,
        retry: RetrySettings::default(),
        keeps_filtered: false,
        queue: QueueRules::default(),
        seed: 7,
    }
}

fn record(name: usize, arrived_at: u64) -> Record {
    let (origin, arrived_at) = (Origin::Position(position(name)), Timestamp::from_millis(arrived_at));
    Record { origin, key: Some(OrderingKey::new((name % 3).to_string())), arrived_at, element: "{}".into() }
}
