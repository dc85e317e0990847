//! The retry machine of a stream, step by step: which records are invoked, again or in halves, and which are given up
//! (`docs/semantics.md` 6.6). The sequences are those that were seen on AWS, where there are such.

use std::sync::Arc;
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::action::{Action, DiscardReason, Wakeup};
use esmd::core::batch::Batch;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::outcome::{Answer, Failure, Outage, Outcome};
use esmd::core::record::{OrderingKey, Origin, Received, Record};
use esmd::core::settings::{Kind, QueueRules, RetrySettings, Settings};

use super::source::{names, position};

/// Invariants 68, 69, 82
#[test]
fn r_retries_give_r_plus_one_invocations_of_the_same_records() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(3), ..RetrySettings::default() });
    shard.receive(1..=3);

    for _ in 0..3 {
        shard.expect_invoked(&[1, 2, 3]).fail();
        shard.receive([9]);
    }
    let (batch, reason) = shard.expect_discarded(&[1, 2, 3]);
    assert_eq!((batch.attempts, reason), (3, DiscardReason::RetryAttemptsExhausted));
    shard.confirm(&batch);

    shard.expect_invoked(&[9]).succeed();
}

/// Invariant 87
#[test]
fn without_a_limit_a_batch_is_tried_for_ever() {
    let mut shard = Shard::of(RetrySettings::default());
    shard.receive([1]);
    for _ in 0..200 {
        shard.expect_invoked(&[1]).fail();
    }
    let mean = shard.now.since(START) / 200;
    assert!(Duration::from_secs(20) < mean && mean < Duration::from_secs(40), "up to a minute each: {mean:?}");
}

#[test]
fn without_retries_the_first_failure_is_the_last() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(1), ..RetrySettings::default() });
    shard.receive([1]);
    shard.expect_invoked(&[1]).fail();
    assert_eq!(shard.expect_discarded(&[1]).0.attempts, 1);
}

/// Invariant 41: throttles, 5xx, a missing function, no connection.
#[test]
fn what_never_ran_uses_no_attempt() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(2), ..RetrySettings::default() });
    shard.receive([1]);
    for outcome in [
        Outcome::Throttled,
        Outcome::Unavailable(Outage::Service),
        Outcome::Unavailable(Outage::Missing),
        Outcome::Unavailable(Outage::Unreachable),
    ] {
        shard.expect_invoked(&[1]).end(&outcome);
    }
    shard.expect_invoked(&[1]).fail();
    shard.expect_invoked(&[1]).end(&Outcome::Throttled);
    shard.expect_invoked(&[1]).fail();
    assert_eq!(shard.expect_discarded(&[1]).0.attempts, 2);
}

/// Invariants 70, 71, 72, 81, 82, as seen with retries 1 and record 2 bad.
#[test]
fn a_failed_batch_is_halved_down_to_the_bad_record() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(2), bisect: true, ..RetrySettings::default() });
    shard.receive(1..=4);

    shard.expect_invoked(&[1, 2, 3, 4]).fail();
    shard.expect_invoked(&[1, 2]).fail();
    shard.expect_invoked(&[1]).succeed();
    shard.expect_invoked(&[2]).fail();
    shard.expect_invoked(&[2]).fail();
    let (batch, _) = shard.expect_discarded(&[2]);
    assert_eq!(batch.attempts, 2);
    assert_eq!(shard.settled_up_to(), Some(1), "not before it is confirmed");
    shard.confirm(&batch);
    shard.expect_invoked(&[3, 4]).succeed();
    assert_eq!(shard.settled_up_to(), Some(4));
}

/// Invariant 71: floor(n / 2)
#[test]
fn the_lower_half_is_the_smaller_one() {
    let mut shard = Shard::of(RetrySettings { bisect: true, ..RetrySettings::default() });
    shard.receive(1..=5);
    shard.expect_invoked(&[1, 2, 3, 4, 5]).fail();
    shard.expect_invoked(&[1, 2]).succeed();
    shard.expect_invoked(&[3, 4, 5]).fail();
    shard.expect_invoked(&[3]).succeed();
    shard.expect_invoked(&[4, 5]).succeed();
}

/// `docs/semantics.md` 6.6: a split is no retry, so none is needed for it.
#[test]
fn a_batch_is_halved_even_without_retries() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(1), bisect: true, ..RetrySettings::default() });
    shard.receive(1..=2);
    shard.expect_invoked(&[1, 2]).fail();
    shard.expect_invoked(&[1]).fail();
    let (batch, _) = shard.expect_discarded(&[1]);
    shard.confirm(&batch);
    shard.expect_invoked(&[2]).succeed();
}

/// Invariants 73, 74, 76, as seen with bisect, retries 1, record 2 reported.
#[test]
fn a_report_with_progress_settles_what_came_before_and_one_without_halves() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(2), bisect: true, ..RetrySettings::default() });
    shard.receive(1..=4);

    shard.expect_invoked(&[1, 2, 3, 4]).report(&[1]);
    assert_eq!(shard.settled_up_to(), Some(1));
    shard.expect_invoked(&[2, 3, 4]).report(&[0]);
    shard.expect_invoked(&[2]).report(&[0]);
    shard.expect_invoked(&[2]).report(&[0]);
    let (batch, _) = shard.expect_discarded(&[2]);
    shard.confirm(&batch);
    shard.expect_invoked(&[3, 4]).succeed();
}

/// Invariants 73, 74, 81, 82, as seen with retries 1, record 2 reported every time, no bisect.
#[test]
fn without_bisect_the_reported_record_and_all_after_it_are_given_up_as_one() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(2), ..RetrySettings::default() });
    shard.receive(1..=4);
    shard.expect_invoked(&[1, 2, 3, 4]).report(&[1]);
    shard.expect_invoked(&[2, 3, 4]).report(&[0]);
    shard.expect_invoked(&[2, 3, 4]).report(&[0]);
    assert_eq!(shard.expect_discarded(&[2, 3, 4]).0.attempts, 2);
}

/// Invariant 73, as seen with retries 3 and record 6 always reported: five invocations, four of them counted.
#[test]
fn the_rest_after_progress_has_a_fresh_budget() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(4), ..RetrySettings::default() });
    shard.receive(4..=6);
    shard.expect_invoked(&[4, 5, 6]).report(&[2]);
    for _ in 0..4 {
        shard.expect_invoked(&[6]).report(&[0]);
    }
    assert_eq!(shard.expect_discarded(&[6]).0.attempts, 4);
}

/// Invariant 75: the lowest counts, and what was reported beside it is invoked again anyway.
#[test]
fn of_several_reported_records_the_first_counts() {
    let mut shard = Shard::of(RetrySettings::default());
    shard.receive(1..=4);
    shard.expect_invoked(&[1, 2, 3, 4]).report(&[1, 3]);
    shard.expect_invoked(&[2, 3, 4]).succeed();
}

/// Invariants 78, 79, 80, as seen with one old and five fresh records and a limit of 60 s.
#[test]
fn only_the_leading_records_that_are_too_old_are_given_up_before_the_first_invocation() {
    let mut shard = Shard::of(aged(60));
    let old = record(1, shard.now);
    shard.now = shard.now + Duration::from_mins(1);
    let fresh = (2..=6).map(|name| record(name, shard.now)).collect::<Vec<_>>();
    shard.take(std::iter::once(old).chain(fresh));

    let (batch, reason) = shard.expect_discarded(&[1]);
    assert_eq!((reason, batch.attempts, batch.last_answer.clone()), (DiscardReason::RecordAgeExceeded, 0, None));
    shard.confirm(&batch);
    let rest = shard.expect_invoked(&[2, 3, 4, 5, 6]);
    assert_ne!(rest.batch.id, batch.id, "each has a name of its own");
    rest.succeed();
}

#[test]
fn an_old_record_behind_a_fresh_one_is_invoked() {
    let mut shard = Shard::of(aged(60));
    let old = record(2, shard.now);
    shard.now = shard.now + Duration::from_mins(1);
    let fresh = record(1, shard.now);
    shard.take([fresh, old]);
    shard.expect_invoked(&[1, 2]).succeed();
}

/// `docs/semantics.md` 6.6: age is tested before each invocation, and the back-off ends when a record gets too old.
#[test]
fn a_back_off_ends_when_its_first_record_is_too_old() {
    let mut shard = Shard::of(RetrySettings { attempts_max: None, ..aged(60) });
    let began = shard.now;
    shard.receive(1..=2);
    let (batch, reason) = shard.fail_until_discarded();
    assert_eq!((names(batch.records()), reason), (vec![1, 2], DiscardReason::RecordAgeExceeded));
    assert_eq!(shard.now, began + Duration::from_mins(1), "neither sooner nor later");
}

/// `docs/semantics.md` 6.6: what is given up for its age is no reason to invoke the younger rest before its back-off is
/// over; it would use up its attempts in no time.
#[test]
fn the_younger_rest_of_a_batch_waits_for_its_own_back_off() {
    let mut shard = Shard::of(aged(60));
    let records: Vec<_> = (1..=3).map(|name| record(name, START + Duration::from_millis(name as u64))).collect();
    shard.now = START + Duration::from_millis(59_990);
    shard.take(records);
    shard.expect_invoked(&[1, 2, 3]).fail();

    for oldest in [1, 2] {
        let (batch, reason) = shard.expect_discarded(&[oldest]);
        assert_eq!((reason, batch.attempts), (DiscardReason::RecordAgeExceeded, 1));
        assert_eq!(shard.now, START + Duration::from_millis(60_000 + oldest as u64));
        shard.confirm(&batch);
    }
}

/// `docs/semantics.md` 6.6: no back-off where nothing is left to be tried again.
#[test]
fn what_is_too_old_when_it_fails_is_given_up_at_once() {
    let mut shard = Shard::of(aged(60));
    shard.receive(1..=2);
    let invocation = shard.expect_invoked(&[1, 2]);
    invocation.shard.now = START + Duration::from_hours(1);
    invocation.fail();
    assert_eq!(shard.expect_discarded(&[1, 2]).0.attempts, 1);
    assert_eq!(shard.now, START + Duration::from_hours(1));
}

/// `docs/semantics.md` 6.6: the back-off of a part is not that of the parts after it.
#[test]
fn the_upper_half_is_invoked_as_soon_as_the_lower_is_given_up() {
    let mut shard = Shard::of(RetrySettings { bisect: true, ..aged(60) });
    shard.take([record(1, START), record(2, START + Duration::from_mins(1))]);
    shard.expect_invoked(&[1, 2]).fail();
    let (batch, _) = shard.fail_until_discarded();
    assert_eq!(names(batch.records()), [1]);
    shard.confirm(&batch);
    let confirmed_at = shard.now;
    shard.expect_invoked(&[2]).succeed();
    assert_eq!(shard.now, confirmed_at);
}

/// `docs/semantics.md` 6.6: a record that gets too old while the function runs is not touched.
#[test]
fn a_success_counts_however_old_the_records_are_by_then() {
    let mut shard = Shard::of(aged(60));
    shard.receive(1..=2);
    let invocation = shard.expect_invoked(&[1, 2]);
    invocation.shard.now = invocation.shard.now + Duration::from_hours(1);
    invocation.succeed();
    assert_eq!(shard.settled_up_to(), Some(2));
}

/// `docs/semantics.md` 6.6: what failed does not outlive the source, or it would block the shard for ever.
#[test]
fn a_record_that_failed_is_given_up_when_its_source_would_have_dropped_it() {
    let retention = Some(Duration::from_hours(24));
    let mut shard = Shard::of(RetrySettings { retention, ..RetrySettings::default() });
    let began = shard.now;
    shard.receive([1]);

    let (batch, reason) = shard.fail_until_discarded();

    assert_eq!((shard.now, reason), (began + Duration::from_hours(24), DiscardReason::Expired));
    shard.confirm(&batch);
}

/// What was never processed is not dropped for its age alone: AWS would have lost it, we need not.
#[test]
fn a_record_that_never_failed_is_invoked_however_old() {
    let retention = Some(Duration::from_hours(24));
    let mut shard = Shard::of(RetrySettings { retention, ..RetrySettings::default() });
    shard.receive([1]);
    for _ in 0..20_000 {
        shard.expect_invoked(&[1]).end(&Outcome::Throttled);
    }
    assert!(shard.now > START + Duration::from_hours(24));
    shard.expect_invoked(&[1]).succeed();
}

/// `docs/architecture.md` 4: what is given up is held until somebody knows.
#[test]
fn a_discard_that_is_not_delivered_is_tried_again_and_nothing_passes_it() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(1), ..RetrySettings::default() });
    shard.receive([1]);
    shard.expect_invoked(&[1]).fail();
    shard.receive([2]);
    for _ in 0..100 {
        let (batch, _) = shard.expect_discarded(&[1]);
        assert_eq!(batch.attempts, 1, "delivering is no attempt");
        shard.consumer.handle_discarded(shard.now, batch.id, false);
        assert_eq!(shard.settled_up_to(), None);
    }
    let mean = shard.now.since(START) / 100;
    assert!(Duration::from_secs(3) < mean && mean < Duration::from_secs(7), "up to ten seconds each: {mean:?}");
    let (batch, _) = shard.expect_discarded(&[1]);
    shard.confirm(&batch);
    shard.expect_invoked(&[2]).succeed();
}

/// Invariants 66, 67 and issue: a lane that halves holds its keys, other keys go on, and the checkpoint waits.
#[test]
fn a_lane_that_halves_holds_its_keys_while_others_go_on() {
    let retry = RetrySettings { attempts_max: Some(1), bisect: true, ..RetrySettings::default() };
    let mut shard = Shard::new(retry, 2);
    shard.take([keyed(1, "a"), keyed(2, "a")]);
    let failing = shard.expect_invoked(&[1, 2]).id();
    shard.take([keyed(3, "b"), keyed(4, "a")]);
    shard.expect_invoked(&[3]).succeed();
    assert_eq!(shard.consumer.poll_action().map(drop), None, "4 waits for its key");

    shard.consumer.handle_outcome(shard.now, failing, &FAILED, None);
    shard.expect_invoked(&[1]).succeed();
    let second = shard.expect_invoked(&[2]).id();
    assert_eq!(shard.consumer.poll_action().map(drop), None, "4 waits for its key still");
    assert_eq!(shard.settled_up_to(), Some(1));
    shard.consumer.handle_outcome(shard.now, second, &Outcome::Succeeded, None);
    shard.expect_invoked(&[4]).succeed();
    assert_eq!(shard.settled_up_to(), Some(4));
}

#[test]
fn a_drain_gives_up_the_parts_that_wait_and_awaits_the_one_that_runs() {
    let mut shard = Shard::of(RetrySettings { bisect: true, ..RetrySettings::default() });
    shard.receive(1..=4);
    shard.expect_invoked(&[1, 2, 3, 4]).fail();
    let running = shard.expect_invoked(&[1, 2]).id();

    shard.consumer.drain(shard.now);
    assert!(!shard.consumer.is_drained());
    shard.consumer.handle_outcome(shard.now, running, &Outcome::Succeeded, None);

    assert!(shard.consumer.is_drained());
    assert!(shard.consumer.poll_action().is_none());
    assert_eq!(shard.settled_up_to(), Some(2));
}

/// `docs/architecture.md` 4: a discard that a drain's last outcome demands is tried once.
#[test]
fn a_drained_consumer_tries_a_last_discard_once() {
    for delivered in [true, false] {
        let mut shard = Shard::of(RetrySettings { attempts_max: Some(1), ..RetrySettings::default() });
        shard.receive(1..=2);
        let running = shard.expect_invoked(&[1, 2]).id();
        shard.consumer.drain(shard.now);
        shard.consumer.handle_outcome(shard.now, running, &FAILED, None);

        let (batch, _) = shard.expect_discarded(&[1, 2]);
        assert!(!shard.consumer.is_drained());
        shard.consumer.handle_discarded(shard.now, batch.id, delivered);

        assert!(shard.consumer.is_drained());
        assert_eq!(shard.settled_up_to(), delivered.then_some(2));
    }
}

/// The failure record tells of the last attempt; throttles are none.
#[test]
fn a_discard_carries_the_answer_of_the_last_attempt() {
    let mut shard = Shard::of(RetrySettings { attempts_max: Some(2), ..RetrySettings::default() });
    shard.receive([1]);
    let answer = |id: &str| Some(Arc::new(Answer { request_id: Some(id.to_owned()), ..Answer::default() }));
    for (id, outcome) in [(Some("first"), FAILED), (None, Outcome::Throttled), (Some("second"), FAILED)] {
        let batch = shard.expect_invoked(&[1]).id();
        shard.consumer.handle_outcome(shard.now, batch, &outcome, id.and_then(answer));
    }
    assert_eq!(shard.expect_discarded(&[1]).0.last_answer, answer("second"));
}

/// A throttle says nothing, so it does not take the place of what the function said.
#[test]
fn a_throttle_leaves_the_answer_of_the_last_attempt() {
    let mut shard = Shard::of(aged(60));
    shard.receive([1]);
    let answer = Some(Arc::new(Answer { request_id: Some("first".to_owned()), ..Answer::default() }));
    let batch = shard.expect_invoked(&[1]).id();
    shard.consumer.handle_outcome(shard.now, batch, &FAILED, answer.clone());
    shard.expect_invoked(&[1]).end(&Outcome::Throttled);
    assert_eq!(shard.expect_invoked(&[1]).batch.last_answer, answer);
}

/// Invariant 70: halves know nothing of the whole, and are other batches than it.
#[test]
fn a_half_has_no_answer_and_a_name_of_its_own() {
    let mut shard = Shard::of(RetrySettings { bisect: true, ..RetrySettings::default() });
    shard.receive(1..=2);
    let whole = shard.expect_invoked(&[1, 2]).id();
    shard.consumer.handle_outcome(shard.now, whole, &FAILED, Some(Arc::default()));
    let lower = shard.expect_invoked(&[1]);
    assert_eq!(lower.batch.last_answer, None);
    let lower = lower.id();
    shard.consumer.handle_outcome(shard.now, lower, &Outcome::Succeeded, None);
    let upper = shard.expect_invoked(&[2]);
    assert_eq!(upper.batch.last_answer, None);
    let upper = upper.id();
    assert!(whole != lower && whole != upper && lower != upper, "each has a name of its own");
}

/// A consumer of one shard, and its time.
struct Shard {
    consumer: Consumer,
    now: Timestamp,
}

/// A batch at the target.
struct Invocation<'a> {
    shard: &'a mut Shard,
    batch: Batch,
}

impl Shard {
    fn of(retry: RetrySettings) -> Self {
        Self::new(retry, 1)
    }

    fn new(retry: RetrySettings, lanes: usize) -> Self {
        let settings = Settings {
            kind: Kind::Stream,
            lanes,
            batch_size: 100,
            window: Duration::ZERO,
            tumbling_window: None,
            batch_bytes: 1_000_000,
            retry,
            keeps_filtered: false,
            queue: QueueRules::default(),
            seed: 7,
        };
        Self { consumer: Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon)), now: START }
    }

    fn receive(&mut self, names: impl IntoIterator<Item = usize>) {
        let now = self.now;
        self.take(names.into_iter().map(|name| record(name, now)));
    }

    fn take(&mut self, records: impl IntoIterator<Item = Record>) {
        let received = Received { records: records.into_iter().collect(), ..Received::default() };
        self.consumer.handle_received(self.now, received);
    }

    /// The next action, if need be after the next back-off.
    fn next_action(&mut self) -> Action {
        if let Some(action) = self.consumer.poll_action() {
            return action;
        }
        let (at, wakeup) = self.consumer.poll_timeout().expect("something is to come");
        assert_eq!(wakeup, Wakeup::Backoff);
        self.now = at;
        self.consumer.handle_timeout(at);
        self.consumer.poll_action().expect("something was due")
    }

    fn expect_invoked(&mut self, expected: &[usize]) -> Invocation<'_> {
        match self.next_action() {
            Action::Invoke { batch, .. } => {
                assert_eq!(names(batch.records()), expected);
                Invocation { shard: self, batch }
            }
            other => panic!("{expected:?} should be invoked: {other:?}"),
        }
    }

    fn expect_discarded(&mut self, expected: &[usize]) -> (Batch, DiscardReason) {
        match self.next_action() {
            Action::Discard { batch, reason } => {
                assert_eq!(names(batch.records()), expected);
                (batch, reason)
            }
            other => panic!("{expected:?} should be discarded: {other:?}"),
        }
    }

    fn fail_until_discarded(&mut self) -> (Batch, DiscardReason) {
        for _ in 0..10_000 {
            match self.next_action() {
                Action::Invoke { batch, .. } => self.consumer.handle_outcome(self.now, batch.id, &FAILED, None),
                Action::Discard { batch, reason } => return (batch, reason),
                Action::Settle(_) | Action::Extend(_) => unreachable!("a stream tells nobody"),
            }
        }
        panic!("it is tried again for ever")
    }

    fn confirm(&mut self, batch: &Batch) {
        self.consumer.handle_discarded(self.now, batch.id, true);
    }

    /// The last record that the checkpoint passes.
    fn settled_up_to(&self) -> Option<usize> {
        match self.consumer.checkpoint()?.up_to {
            UpTo::After(last) => (1..100).find(|name| position(*name) == last),
            _ => None,
        }
    }
}

impl Invocation<'_> {
    fn id(self) -> esmd::core::batch::BatchId {
        self.batch.id
    }

    fn end(self, outcome: &Outcome) {
        self.shard.consumer.handle_outcome(self.shard.now, self.batch.id, outcome, None);
    }

    fn succeed(self) {
        self.end(&Outcome::Succeeded);
    }

    fn fail(self) {
        self.end(&FAILED);
    }

    fn report(self, places: &[usize]) {
        self.end(&Outcome::Partial(places.to_vec()));
    }
}

fn aged(seconds: u64) -> RetrySettings {
    RetrySettings { age_max: Some(Duration::from_secs(seconds)), ..RetrySettings::default() }
}

fn record(name: usize, arrived_at: Timestamp) -> Record {
    Record { arrived_at, ..keyed(name, "key") }
}

fn keyed(name: usize, key: &str) -> Record {
    let origin = Origin::Position(position(name));
    Record { origin, key: Some(OrderingKey::new(key)), arrived_at: START, element: "{}".into() }
}

const START: Timestamp = Timestamp::from_millis(1_000_000);
const FAILED: Outcome = Outcome::Failed(Failure::FunctionError);
