//! Single stories: what the properties found, told shortly, and what random operations are too small to reach.

use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::action::{Action, Wakeup};
use esmd::core::batch::BatchId;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::outcome::{Failure, Outcome};
use esmd::core::record::{OrderingKey, Origin, Receipt, Received, Record};
use esmd::core::settings::{Kind, QueueRules, RetrySettings, Settings};
use esmd::core::settlement::Extended;

use super::source::{names, position};

/// Invariant 2: the receive that ran when the drain began brought the shard's last records.
#[test]
fn a_shard_does_not_end_with_records_that_a_drained_consumer_did_not_take() {
    let mut consumer = consumer(Kind::Stream, 1, 1, Duration::ZERO);

    consumer.drain(NOW);
    consumer.handle_received(NOW, Received { ended: true, ..received([record(0, "a")]) });

    assert_eq!(consumer.checkpoint(), Some(Checkpoint::at(UpTo::TrimHorizon)));
    assert!(consumer.is_drained());
}

/// `docs/metrics.md`: a shard's age is that of its oldest unsettled record, also of one that a drain leaves to a successor.
#[test]
fn what_a_drain_leaves_unsettled_still_has_its_age() {
    let mut consumer = consumer(Kind::Stream, 1, 1, Duration::ZERO);
    let arrived_at = NOW + Duration::from_secs(3);
    consumer.handle_received(NOW, received([record(0, "a"), Record { arrived_at, ..record(1, "a") }]));
    let (batch, _) = invoked(&mut consumer).expect("a lane takes the first");

    consumer.drain(NOW);
    assert_eq!(consumer.status().oldest_arrival, Some(NOW));
    consumer.handle_outcome(NOW, batch, &Outcome::Succeeded, None);

    assert_eq!((consumer.status().unsettled, consumer.status().oldest_arrival), (1, Some(arrived_at)));
}

/// `docs/semantics.md` 4.2 and 6.5, invariant 97.
#[test]
fn an_incomplete_batch_is_invoked_when_its_window_ends_and_without_a_window_at_once() {
    let mut hasty = consumer(Kind::Stream, 1, 10, Duration::ZERO);
    hasty.handle_received(NOW, received([record(0, "a")]));
    assert_eq!(invoked(&mut hasty).map(|(_, names)| names), Some(vec![0]));

    let mut patient = consumer(Kind::Stream, 1, 10, WINDOW);
    patient.handle_received(NOW, received([record(0, "a")]));
    assert_eq!(invoked(&mut patient), None);
    assert_eq!(patient.poll_timeout(), Some((NOW + WINDOW, Wakeup::Window)));
    patient.handle_timeout(NOW + WINDOW);
    assert_eq!(invoked(&mut patient).map(|(_, names)| names), Some(vec![0]));
}

/// `docs/semantics.md` 6.5: with one lane what came while it was busy waits from the end of its invocation on; with
/// several from its arrival on, though all of them are busy.
#[test]
fn a_window_begins_when_the_only_lane_is_free_and_with_several_at_once() {
    let (arrived, freed) = (NOW + 2 * WINDOW, NOW + 2 * WINDOW + Duration::from_secs(1));
    for (lanes, began) in [(1, freed), (2, arrived)] {
        let mut consumer = consumer(Kind::Stream, lanes, 10, WINDOW);
        consumer.handle_received(NOW, received((0..lanes).map(|name| record(name, &name.to_string()))));
        consumer.handle_timeout(NOW + WINDOW);
        let running: Vec<_> = std::iter::from_fn(|| invoked(&mut consumer)).collect();
        assert_eq!(running.len(), lanes, "all lanes are busy");

        consumer.handle_received(arrived, received([record(lanes, "another")]));
        consumer.handle_outcome(freed, running[0].0, &Outcome::Succeeded, None);

        assert_eq!(consumer.poll_timeout(), Some((began + WINDOW, Wakeup::Window)), "{lanes} lanes");
    }
}

/// `docs/semantics.md` 6.5: a batch closes at its bytes; it need not exceed them.
#[test]
fn a_batch_of_exactly_its_bytes_waits_for_no_window() {
    let mut consumer = consumer(Kind::Stream, 1, 5_000, WINDOW);

    consumer.handle_received(NOW, received((0..BATCH_BYTES / 3).map(|name| record(name, "a"))));

    assert_eq!(invoked(&mut consumer).map(|(_, names)| names.len()), Some(BATCH_BYTES / 3));
}

/// `docs/architecture.md` 4: nothing more could come in, so nothing is waited for.
#[test]
fn a_full_backlog_waits_for_no_window() {
    let mut consumer = consumer(Kind::Stream, 2, 2, WINDOW);
    let most = consumer.capacity();

    let blocking = (0..most - 1).map(|name| record(name, "a"));
    consumer.handle_received(NOW, received(blocking.chain([record(most - 1, "b")])));

    assert_eq!(invoked(&mut consumer).map(|(_, names)| names), Some(vec![0, 1]));
    assert_eq!(invoked(&mut consumer).map(|(_, names)| names), Some(vec![most - 1]));
}

/// `docs/semantics.md` 4.2: a batch closes when it is full or its window is over, however many deletes are under way.
#[test]
fn deletes_under_way_do_not_shorten_the_window() {
    let mut consumer = consumer(Kind::Queue, 1, 2, WINDOW);
    consumer.handle_received(NOW, received([message(0), message(1)]));
    let (batch, _) = invoked(&mut consumer).expect("it is full");
    consumer.handle_outcome(NOW, batch, &Outcome::Succeeded, None);
    let Some(Action::Settle(delete)) = consumer.poll_action() else { panic!("it is deleted") };
    consumer.handle_settled(NOW, &delete, true);
    assert_eq!(consumer.capacity(), 1, "the other delete is under way");

    consumer.handle_received(NOW, received([message(2)]));
    assert_eq!(invoked(&mut consumer), None);

    consumer.handle_timeout(NOW + WINDOW);
    assert_eq!(invoked(&mut consumer).map(|(_, names)| names), Some(vec![2]));
}

/// `docs/architecture.md` 4: as long as a lane retries, a shard with 1,000 settled ranges above its checkpoint waits.
#[test]
fn a_shard_with_a_thousand_settled_ranges_waits_for_its_retry() {
    let mut consumer = consumer(Kind::Stream, 2, Checkpoint::RANGES_MAX, Duration::ZERO);
    let pairs =
        (0..Checkpoint::RANGES_MAX).flat_map(|pair| [record(2 * pair, "poisoned"), record(2 * pair + 1, "good")]);
    consumer.handle_received(NOW, received(pairs));
    let (poisoned, _) = invoked(&mut consumer).expect("a lane takes one key");
    let (good, _) = invoked(&mut consumer).expect("the other takes the other");

    consumer.handle_outcome(NOW, good, &Outcome::Succeeded, None);
    assert_eq!(consumer.status().settled_ranges, Checkpoint::RANGES_MAX);
    assert!(consumer.capacity() > 0, "nothing failed yet");

    consumer.handle_outcome(NOW, poisoned, &Outcome::Failed(Failure::FunctionError), None);
    assert_eq!(consumer.capacity(), 0);
}

/// `docs/architecture.md` 4: a batch of which a part is left is one that retries, however new that part is.
#[test]
fn a_shard_with_a_thousand_settled_ranges_waits_for_the_rest_of_a_batch() {
    let pairs = Checkpoint::RANGES_MAX + 1;
    let settings = Settings { batch_bytes: 2 * BATCH_BYTES, ..settings(Kind::Stream, 2, pairs, Duration::ZERO) };
    let mut consumer = Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon));
    let records = (0..pairs).flat_map(|pair| [record(2 * pair, "poisoned"), record(2 * pair + 1, "good")]);
    consumer.handle_received(NOW, received(records));
    let (poisoned, _) = invoked(&mut consumer).expect("a lane takes one key");
    let (good, _) = invoked(&mut consumer).expect("the other takes the other");

    consumer.handle_outcome(NOW, good, &Outcome::Succeeded, None);
    consumer.handle_outcome(NOW, poisoned, &Outcome::Partial(vec![1]), None);

    assert_eq!(consumer.status().settled_ranges, Checkpoint::RANGES_MAX);
    assert_eq!(consumer.capacity(), 0);
    let (due, _) = consumer.poll_timeout().expect("the rest waits");
    consumer.handle_timeout(due);
    assert_eq!(invoked(&mut consumer).map(|(_, names)| names.len()), Some(pairs - 1));
    assert_eq!(consumer.capacity(), 0);
}

/// `docs/architecture.md` 4: the parts that wait count too, or a shard that halves would take more and more.
#[test]
fn all_parts_of_a_batch_count_as_held() {
    let retry = RetrySettings { bisect: true, ..RetrySettings::default() };
    let settings = Settings { batch_bytes: 16 * MEBIBYTE, retry, ..settings(Kind::Stream, 1, 2, Duration::ZERO) };
    let mut consumer = Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon));
    let large = |name| Record { element: vec![b' '; 6 * MEBIBYTE].into(), ..record(name, "a") };
    consumer.handle_received(NOW, received([large(0), large(1)]));
    let (whole, _) = invoked(&mut consumer).expect("it is full");
    assert_eq!(consumer.capacity(), 0, "12 MiB per lane");

    consumer.handle_outcome(NOW, whole, &Outcome::Failed(Failure::FunctionError), None);
    let (lower, names) = invoked(&mut consumer).expect("the lower half is next");
    assert_eq!(names, [0]);
    assert_eq!(consumer.capacity(), 0, "the upper half waits");

    consumer.handle_outcome(NOW, lower, &Outcome::Succeeded, None);
    assert!(consumer.capacity() > 0);
}

/// Invariant 93: a page of which nothing matches moves the checkpoint, and the shard ends behind it.
#[test]
fn filtered_records_move_the_checkpoint_without_an_invocation() {
    let mut consumer = consumer(Kind::Stream, 1, 1, WINDOW);

    consumer.handle_received(NOW, filtered((0..3).map(|name| record(name, "a"))));
    assert_eq!(consumer.poll_checkpoint(), Some(Checkpoint::at(UpTo::After(position(2)))));
    assert_eq!(consumer.poll_checkpoint(), None, "it did not move again");
    assert_eq!(consumer.poll_timeout(), None, "no window opens");

    consumer.handle_received(NOW, Received { ended: true, ..filtered([record(3, "a")]) });
    assert_eq!(consumer.poll_checkpoint(), Some(Checkpoint::at(UpTo::Ended)));
    assert!(consumer.poll_action().is_none() && consumer.is_drained());
}

/// Invariants 2 and 93: what is filtered settles beside what is not, and the checkpoint waits for the latter.
#[test]
fn filtered_records_overtake_their_key_and_no_checkpoint_overtakes_it() {
    let mut consumer = consumer(Kind::Stream, 1, 2, Duration::ZERO);

    let page = received((0..5).map(|name| record(name, "a")));
    consumer.handle_received(NOW, Received { filtered: vec![0, 2, 4], ..page });

    let (batch, names) = invoked(&mut consumer).expect("what matches is invoked");
    assert_eq!(names, [1, 3], "filtered records fill no batch");
    assert_eq!(consumer.poll_checkpoint().map(|moved| moved.up_to), Some(UpTo::After(position(0))));
    consumer.handle_outcome(NOW, batch, &Outcome::Succeeded, None);
    assert_eq!(consumer.poll_checkpoint(), Some(Checkpoint::at(UpTo::After(position(4)))));
}

/// Invariant 53, and `docs/semantics.md` 5: a filtered message is in no group's way, before or behind others of it.
#[test]
fn filtered_messages_are_deleted_at_once_and_hold_nobody_back() {
    let mut consumer = consumer(Kind::Queue, 1, 10, Duration::ZERO);

    let messages = (0..4).map(|name| Record { key: Some(OrderingKey::new("g")), ..message(name) });
    consumer.handle_received(NOW, Received { filtered: vec![0, 2], ..received(messages) });

    let mut deleted = Vec::new();
    let mut batch = None;
    while let Some(action) = consumer.poll_action() {
        match action {
            Action::Settle(settlement) => deleted.push(settlement),
            Action::Invoke { batch: of_group, .. } => batch = Some((of_group.id, names(of_group.records()))),
            Action::Discard { .. } | Action::Extend(_) => panic!("nothing else is done with them"),
        }
    }
    assert_eq!(deleted.iter().map(|delete| delete.handle().id.to_string()).collect::<Vec<_>>(), ["0", "2"]);
    let (batch, names) = batch.expect("the others are invoked");
    assert_eq!(names, [1, 3]);

    consumer.handle_settled(NOW, &deleted[0], false);
    consumer.handle_outcome(NOW, batch, &Outcome::Succeeded, None);
    assert_eq!(consumer.status().unsettled, 3, "one delete was refused, which concerns nobody else");
}

/// What is left to others is not held: it takes no room, and nothing is told of it.
#[test]
fn messages_left_to_others_take_no_room() {
    let settings = Settings { keeps_filtered: true, ..settings(Kind::Queue, 1, 2, Duration::ZERO) };
    let mut consumer = Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon));

    consumer.handle_received(NOW, filtered([message(0), message(1)]));

    assert!(consumer.poll_action().is_none());
    assert_eq!((consumer.capacity(), consumer.status().unsettled), (2, 0));
}

/// A message is judged by the receive that brought it first, whatever later ones would say of it.
#[test]
fn a_held_message_that_comes_again_is_not_judged_again() {
    let mut consumer = consumer(Kind::Queue, 1, 1, Duration::ZERO);
    consumer.handle_received(NOW, received([message(0)]));
    assert!(invoked(&mut consumer).is_some());

    consumer.handle_received(NOW, filtered([message(0)]));

    assert!(consumer.poll_action().is_none());
    assert_eq!(consumer.status().unsettled, 1);
}

/// `docs/semantics.md` 4.6: a lease is extended at its half, and what the queue says of an older receipt makes the newer
/// one no longer.
#[test]
fn an_extension_of_an_older_receipt_leaves_the_newer_lease_as_it_is() {
    let queue = QueueRules { scaling: None, extends_visibility: true };
    let settings = Settings { queue, ..settings(Kind::Queue, 2, 1, Duration::ZERO) };
    let mut consumer = Consumer::new(settings, Checkpoint::at(UpTo::TrimHorizon));
    let of_one_group = |name| Record { key: Some(OrderingKey::new("g")), ..message(name) };
    consumer.handle_received(NOW, received((0..2).map(of_one_group)));
    let (first, _) = invoked(&mut consumer).expect("its successor waits");
    let half = NOW + Duration::from_secs(30);
    assert_eq!(consumer.poll_timeout(), Some((half, Wakeup::Heartbeat)));
    consumer.handle_timeout(half);
    let Some(Action::Extend(extensions)) = consumer.poll_action() else { panic!("both leases are extended") };
    assert_eq!(extensions.iter().map(|extension| &*extension.handle.id).collect::<Vec<_>>(), ["0", "1"]);

    let newer = Receipt { handle: "2".into(), ends_at: half + Duration::from_mins(1) };
    let again = Record { origin: Origin::Message { id: "1".into(), receipt: newer.clone() }, ..of_one_group(1) };
    consumer.handle_received(half, received([again]));
    consumer.handle_extended(half, &extensions[1], Extended::Until(half + Duration::from_hours(1)));

    consumer.handle_outcome(half, first, &Outcome::Succeeded, None);
    let Some(Action::Settle(delete)) = consumer.poll_action() else { panic!("it is deleted") };
    consumer.handle_settled(half, &delete, true);
    let Some(Action::Invoke { start_before, .. }) = consumer.poll_action() else { panic!("its successor is next") };
    assert_eq!(start_before, Some(newer.ends_at));
}

fn consumer(kind: Kind, lanes: usize, batch_size: usize, window: Duration) -> Consumer {
    Consumer::new(settings(kind, lanes, batch_size, window), Checkpoint::at(UpTo::TrimHorizon))
}

fn settings(kind: Kind, lanes: usize, batch_size: usize, window: Duration) -> Settings {
    let retry = RetrySettings::default();
    Settings {
        kind,
        lanes,
        batch_size,
        window,
        tumbling_window: None,
        batch_bytes: BATCH_BYTES,
        retry,
        keeps_filtered: false,
        queue: QueueRules::default(),
        seed: 0,
    }
}

/// The next batch, if the next action is an invocation.
fn invoked(consumer: &mut Consumer) -> Option<(BatchId, Vec<usize>)> {
    match consumer.poll_action()? {
        Action::Invoke { batch, .. } => Some((batch.id, names(batch.records()))),
        Action::Settle(_) | Action::Extend(_) | Action::Discard { .. } => None,
    }
}

fn received(records: impl IntoIterator<Item = Record>) -> Received {
    Received { records: records.into_iter().collect(), ..Received::default() }
}

/// A page of which nothing matches.
fn filtered(records: impl IntoIterator<Item = Record>) -> Received {
    let page = received(records);
    Received { filtered: (0..page.records.len()).collect(), ..page }
}

fn record(name: usize, key: &str) -> Record {
    let origin = Origin::Position(position(name));
    Record { origin, key: Some(OrderingKey::new(key)), arrived_at: NOW, element: "{}".into() }
}

fn message(name: usize) -> Record {
    let receipt = Receipt { handle: "1".into(), ends_at: NOW + Duration::from_mins(1) };
    Record {
        origin: Origin::Message { id: name.to_string().into(), receipt },
        key: None,
        arrived_at: NOW,
        element: "{}".into(),
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const MEBIBYTE: usize = 1024 * 1024;
const WINDOW: Duration = Duration::from_secs(5);
/// A thousand of the records here, with their commas.
const BATCH_BYTES: usize = 3_000;
