//! What a consumer says of itself: why it waits, how full it is, and what it will take. Metrics, and whoever asks why
//! nothing moves, read these; nothing else in the properties depends on them.

use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::action::{Action, Wakeup};
use esmd::core::batch::BatchId;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::outcome::{Failure, Outage, Outcome};
use esmd::core::record::{OrderingKey, Origin, Receipt, Received, Record};
use esmd::core::scaling::ScalingSettings;
use esmd::core::settings::{Kind, QueueRules, RetrySettings, Settings};
use esmd::core::status::BackOff;

use super::source::position;

#[test]
fn a_batch_that_waits_says_how_often_it_failed_and_for_what_it_waits() {
    let retry = RetrySettings { attempts_max: Some(2), ..RetrySettings::default() };
    let mut consumer = new(Settings { retry, ..settings(Kind::Stream) });
    assert_eq!((consumer.status().backing_off_for, consumer.status().attempts), (None, 0));
    take(&mut consumer, [record(0, NOW)]);
    let batch = invoked(&mut consumer);
    assert_eq!((consumer.status().invoking, consumer.status().backing_off_for), (1, None));

    consumer.handle_outcome(NOW, batch, &failed(), None);
    let status = consumer.status();
    assert_eq!((status.backing_off, status.backing_off_for, status.attempts), (1, Some(BackOff::Retry), 1));

    let (now, batch) = next_invoked(&mut consumer);
    consumer.handle_outcome(now, batch, &Outcome::Throttled, None);
    let status = consumer.status();
    assert_eq!((status.backing_off, status.backing_off_for, status.attempts), (1, Some(BackOff::Target), 1));

    let (now, batch) = next_invoked(&mut consumer);
    consumer.handle_outcome(now, batch, &failed(), None);
    let Some(Action::Discard { batch, .. }) = consumer.poll_action() else { panic!("its attempts are used up") };
    let status = consumer.status();
    assert_eq!((status.discarding, status.backing_off_for), (1, Some(BackOff::Destination)));

    consumer.handle_discarded(now, batch.id, false);
    let status = consumer.status();
    assert_eq!((status.discarding, status.backing_off), (0, 1));
    assert_eq!((status.backing_off_for, status.attempts), (Some(BackOff::Destination), 2));
}

/// The gravest reason is told.
#[test]
fn of_several_batches_that_wait_the_one_behind_its_destination_is_told() {
    let retry = RetrySettings { attempts_max: Some(1), ..RetrySettings::default() };
    let mut consumer = new(Settings { lanes: 2, batch_size: 1, retry, ..settings(Kind::Stream) });
    take(&mut consumer, [record(0, NOW), record(1, NOW)]);
    let (first, second) = (invoked(&mut consumer), invoked(&mut consumer));

    consumer.handle_outcome(NOW, first, &failed(), None);
    consumer.handle_outcome(NOW, second, &Outcome::Unavailable(Outage::Unreachable), None);

    assert_eq!(consumer.status().backing_off_for, Some(BackOff::Destination));
}

/// `docs/semantics.md` 6.5
#[test]
fn a_consumer_gathers_while_only_its_window_keeps_a_batch_back() {
    let mut consumer = new(Settings { window: WINDOW, ..settings(Kind::Stream) });
    assert!(!consumer.status().gathers, "nothing waits");
    take(&mut consumer, [record(0, NOW)]);
    assert!(consumer.status().gathers);
    consumer.handle_timeout(NOW + WINDOW);
    assert!(!consumer.status().gathers, "it is invoked");
    take(&mut consumer, [record(1, NOW)]);
    assert!(!consumer.status().gathers, "the only lane is busy");

    let mut drained = new(Settings { window: WINDOW, ..settings(Kind::Stream) });
    take(&mut drained, [record(0, NOW)]);
    drained.drain(NOW);
    assert!(!drained.status().gathers);

    let mut hasty = new(settings(Kind::Stream));
    take(&mut hasty, [record(0, NOW)]);
    assert!(!hasty.status().gathers, "it has no window");
}

#[test]
fn the_oldest_unsettled_record_says_how_far_a_consumer_is_behind() {
    for kind in [Kind::Stream, Kind::Queue] {
        let mut consumer = new(Settings { lanes: 2, batch_size: 1, ..settings(kind) });
        let of = if kind == Kind::Stream { record } else { message };
        assert_eq!(consumer.status().oldest_arrival, None);
        take(&mut consumer, [of(0, NOW), of(1, NOW + SECOND)]);
        assert_eq!(consumer.status().oldest_arrival, Some(NOW));
        let batch = invoked(&mut consumer);
        consumer.handle_outcome(NOW, batch, &Outcome::Succeeded, None);
        while let Some(action) = consumer.poll_action() {
            if let Action::Settle(settlement) = action {
                assert_eq!(consumer.status().oldest_arrival, Some(NOW), "the queue has not confirmed");
                consumer.handle_settled(NOW, &settlement, true);
            }
        }
        assert_eq!(consumer.status().oldest_arrival, Some(NOW + SECOND), "{kind:?}");
    }
}

/// Invariant 52
#[test]
fn messages_whose_lease_ends_unstarted_are_counted() {
    let mut consumer = new(Settings { lanes: 2, batch_size: 2, ..settings(Kind::Queue) });
    let of_one_group = |name| Record { key: Some(OrderingKey::new("g")), ..message(name, NOW) };
    take(&mut consumer, (0..4).map(of_one_group));
    invoked(&mut consumer);
    assert_eq!(consumer.poll_timeout(), Some((NOW + LEASE, Wakeup::LeaseEnd)));

    consumer.handle_timeout(NOW + LEASE);

    assert_eq!((consumer.status().let_go, consumer.status().unsettled), (2, 2));
}

/// `docs/semantics.md` 4.1 and 4.5
#[test]
fn a_queue_says_how_many_lanes_and_receives_it_has_and_whether_it_only_probes() {
    let scaling = ScalingSettings {
        idle: 2,
        per_minute: 60,
        receives_idle: 3,
        lanes_per_receive: 1,
        receive_interval: Duration::ZERO,
        falls_on_failure: true,
    };
    let queue = QueueRules { scaling: Some(scaling), extends_visibility: false };
    let mut consumer = new(Settings { lanes: 9, batch_size: 2, queue, ..settings(Kind::Queue) });
    let status = consumer.status();
    assert_eq!((status.lanes, status.receives, status.probes, consumer.receives()), (2, 3, false, 3));
    assert_eq!(consumer.capacity(), 4, "two lanes of two messages");

    take(&mut consumer, [message(0, NOW), message(1, NOW)]);
    let batch = invoked(&mut consumer);
    consumer.handle_outcome(NOW, batch, &Outcome::Throttled, None);
    let status = consumer.status();
    assert_eq!((status.lanes, status.probes), (1, true));

    let stream = new(Settings { lanes: 4, ..settings(Kind::Stream) });
    let status = stream.status();
    assert_eq!((status.lanes, status.receives, status.probes), (4, 1, false));
}

/// `docs/semantics.md` 4.1: a queue with room for one lane more, while all others are busy, wakes up to receive.
#[test]
fn the_next_lane_wakes_a_queue_whose_lanes_are_busy() {
    let scaling = ScalingSettings {
        idle: 1,
        per_minute: 60,
        receives_idle: 1,
        lanes_per_receive: 1,
        receive_interval: Duration::ZERO,
        falls_on_failure: true,
    };
    let queue = QueueRules { scaling: Some(scaling), extends_visibility: false };
    let busy = || {
        let mut consumer = new(Settings { lanes: 3, batch_size: 1, queue, ..settings(Kind::Queue) });
        consumer.handle_received(NOW, Received { is_full: true, ..received([message(0, NOW)]) });
        invoked(&mut consumer);
        assert_eq!(consumer.poll_timeout(), Some((NOW + SECOND, Wakeup::Scaling)));
        consumer
    };
    let mut consumer = busy();
    consumer.handle_timeout(NOW + SECOND);
    assert_eq!((consumer.status().lanes, consumer.capacity()), (2, 1));
    assert_eq!(consumer.poll_timeout(), None, "a lane is idle");

    let mut drained = busy();
    drained.drain(NOW);
    assert_eq!(drained.poll_timeout(), None);
}

/// `docs/architecture.md` 4: the messages of a queue together, however many lanes it has.
#[test]
fn a_queue_takes_no_more_than_its_bytes() {
    let settings = Settings { lanes: 100, batch_size: 1, batch_bytes: 8 * MEBIBYTE, ..settings(Kind::Queue) };
    let large: bytes::Bytes = vec![b' '; 4 * MEBIBYTE - 1].into();
    let mut consumer = new(settings);
    let message = |name| Record { element: large.clone(), ..message(name, NOW) };
    take(&mut consumer, (0..63).map(message));
    assert_eq!(consumer.capacity(), 37, "252 MiB are held");
    take(&mut consumer, [message(63)]);
    assert_eq!(consumer.capacity(), 0, "256 MiB are held");

    let first = invoked(&mut consumer);
    consumer.handle_outcome(NOW, first, &failed(), None);
    assert_eq!(consumer.capacity(), 37, "one is left to come back");
    take(&mut consumer, [message(64)]);
    assert_eq!(consumer.capacity(), 0, "256 MiB are held again");
}

/// `docs/architecture.md` 4
#[test]
fn a_stream_is_read_ahead_by_two_batches_or_a_thousand_records_for_each_lane_and_two_thousand_at_least() {
    for (lanes, batch_size, most) in [(1, 10, 2_000), (1, 1_001, 2_002), (3, 100, 3_000), (3, 501, 3_006)] {
        let consumer = new(Settings { lanes, batch_size, ..settings(Kind::Stream) });
        assert_eq!((consumer.capacity_when_empty(), consumer.capacity()), (most, most));
    }
    let consumer = new(Settings { lanes: 3, batch_size: 10, ..settings(Kind::Queue) });
    assert_eq!((consumer.capacity_when_empty(), consumer.capacity()), (30, 30));
}

/// `docs/architecture.md` 4: pages are worth their call.
#[test]
fn a_stream_asks_for_records_when_there_is_room_for_a_page() {
    let mut consumer = new(settings(Kind::Stream));
    take(&mut consumer, (0..1_000).map(|name| record(name, NOW)));
    assert_eq!(consumer.capacity(), 1_000);
    take(&mut consumer, [record(1_000, NOW)]);
    assert_eq!(consumer.capacity(), 0);
}

/// `docs/architecture.md` 4: however large the batches are.
#[test]
fn a_stream_with_large_batches_is_read_on_by_pages() {
    let mut consumer = new(Settings { batch_size: 10_000, ..settings(Kind::Stream) });
    take(&mut consumer, (0..19_000).map(|name| record(name, NOW)));
    assert_eq!(consumer.capacity(), 1_000);
    take(&mut consumer, [record(19_000, NOW)]);
    assert_eq!(consumer.capacity(), 0);
}

/// `docs/architecture.md` 4: a key that blocks holds up no other until nearly all room is taken, and pages stay worth
/// their call.
#[test]
fn a_stream_with_an_idle_lane_asks_for_less_than_a_page() {
    let mut consumer = new(Settings { lanes: 2, ..settings(Kind::Stream) });
    let blocked = |name| Record { key: Some(OrderingKey::new("blocked")), ..record(name, NOW) };
    take(&mut consumer, (0..1_875).map(blocked));
    assert_eq!(consumer.capacity(), 125);
    take(&mut consumer, [record(1_875, NOW)]);
    assert_eq!(consumer.capacity(), 0, "both lanes are busy");
    let mut consumer = new(Settings { lanes: 2, ..settings(Kind::Stream) });
    take(&mut consumer, (0..1_876).map(blocked));
    assert_eq!(consumer.capacity(), 0);
}

/// `docs/semantics.md` 6.5: as long as a batch gathers, more records may come, whatever waits behind a key that blocks.
#[test]
fn a_key_that_blocks_cuts_no_window_short() {
    let mut consumer = new(Settings { lanes: 2, window: WINDOW, ..settings(Kind::Stream) });
    take(&mut consumer, (0..1_500).map(|name| Record { key: Some(OrderingKey::new("blocked")), ..record(name, NOW) }));
    invoked(&mut consumer);
    take(&mut consumer, [record(1_500, NOW)]);
    assert!(consumer.poll_action().is_none(), "its window is not over");
    assert_eq!(consumer.capacity(), 499);
}

fn new(settings: Settings) -> Consumer {
    Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon))
}

/// One lane for batches of up to ten.
fn settings(kind: Kind) -> Settings {
    Settings {
        kind,
        lanes: 1,
        batch_size: 10,
        window: Duration::ZERO,
        tumbling_window: None,
        batch_bytes: MEBIBYTE,
        retry: RetrySettings::default(),
        keeps_filtered: false,
        queue: QueueRules::default(),
        seed: 0,
    }
}

fn take(consumer: &mut Consumer, records: impl IntoIterator<Item = Record>) {
    consumer.handle_received(NOW, received(records));
}

fn received(records: impl IntoIterator<Item = Record>) -> Received {
    Received { records: records.into_iter().collect(), ..Received::default() }
}

fn invoked(consumer: &mut Consumer) -> BatchId {
    match consumer.poll_action() {
        Some(Action::Invoke { batch, .. }) => batch.id,
        other => panic!("something should be invoked: {other:?}"),
    }
}

/// What is invoked next, and when.
fn next_invoked(consumer: &mut Consumer) -> (Timestamp, BatchId) {
    let (at, _) = consumer.poll_timeout().expect("something waits");
    consumer.handle_timeout(at);
    (at, invoked(consumer))
}

/// Each has a key of its own.
fn record(name: usize, arrived_at: Timestamp) -> Record {
    let (origin, key) = (Origin::Position(position(name)), Some(OrderingKey::new(name.to_string())));
    Record { origin, key, arrived_at, element: "{}".into() }
}

fn message(name: usize, arrived_at: Timestamp) -> Record {
    let receipt = Receipt { handle: "1".into(), ends_at: NOW + LEASE };
    let origin = Origin::Message { id: name.to_string().into(), receipt };
    Record { origin, key: None, arrived_at, element: "{}".into() }
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::FunctionError)
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(30);
const MEBIBYTE: usize = 1024 * 1024;
