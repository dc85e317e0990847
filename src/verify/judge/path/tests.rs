//! Histories made by hand, one for each thing that can be wrong on the path, and what looks wrong and is not.

use super::super::{Taken, at, entry};
use super::*;

#[test]
fn a_path_that_delivers_all_in_order_is_fine() {
    let history = fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)]), succeeded(120, 130, &[("a", 1)])]);
    let (violations, figures) = judge(&history);
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!((figures.delivered, figures.lost, figures.deliveries), (3, 0, 3));
    assert_eq!(figures.batch_size, Some(Spread { least: 1, mean: 1.5, greatest: 2 }));
    assert_eq!(figures.latency_ms, Some(Percentiles { p50: 90, p90: 110, p99: 110, max: 110 }));
}

#[test]
fn a_record_that_never_succeeded_is_named_with_all_that_happened_to_it() {
    let mut history = fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)]), failed(120, 130, &[("a", 1)])]);
    history.gone_from_server.insert(entry("a", 1));
    let violation = only(&history, Kind::NotDelivered);
    let expected = "1 record not delivered within 60s (1 of them gone from the server): a/1";
    assert_eq!(violation.what, expected);
    assert!(violation.events.iter().any(|event| event.ends_with("invocation 2 fails for a/1")), "{violation:#?}");
}

#[test]
fn an_invocation_whose_caller_died_delivers_nothing() {
    let mut history = fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)]), succeeded(120, 130, &[("a", 1)])]);
    history.invocations[1].is_answered = false;
    only(&history, Kind::NotDelivered);
}

#[test]
fn what_was_not_sent_is_an_invented_delivery() {
    let mut history = whole();
    history.invocations.push(succeeded(200, 210, &[("c", 0)]));
    assert_eq!(only(&history, Kind::InventedDelivery).what, "c/0 was not sent");
}

#[test]
fn a_first_delivery_out_of_order_is_a_violation() {
    let history = fifo(vec![succeeded(100, 110, &[("a", 1), ("b", 0)]), succeeded(120, 130, &[("a", 0)])]);
    let kinds: Vec<Kind> = judge(&history).0.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [Kind::DeliveryOrder, Kind::DeliveryOrder]);
    assert_eq!(judge(&history).0[0].what, "key a: 0 first came after 1");
    assert_eq!(judge(&history).0[1].what, "key a: 0 first succeeded after 1");
}

#[test]
fn a_batch_in_the_wrong_order_is_a_violation() {
    let history = fifo(vec![succeeded(100, 110, &[("a", 1), ("a", 0), ("b", 0)])]);
    assert_eq!(judge(&history).0.len(), 2);
}

#[test]
fn a_standard_queue_has_no_order() {
    let mut history = fifo(vec![succeeded(100, 110, &[("a", 1), ("b", 0)]), succeeded(105, 130, &[("a", 0)])]);
    history.is_ordered = false;
    assert!(judge(&history).0.is_empty());
}

#[test]
fn two_invocations_of_one_key_at_a_time_are_a_violation() {
    let history = fifo(vec![succeeded(100, 130, &[("a", 0), ("b", 0)]), succeeded(120, 140, &[("a", 1)])]);
    let violation = only(&history, Kind::OverlappingKey);
    assert_eq!(violation.what, "key a: invocations 1 and 2 ran at once");
}

#[test]
fn a_throttled_invocation_is_no_delivery() {
    let mut history = whole();
    let throttled = Invocation { answer: Answer::Throttled, ..succeeded(90, 135, &[("a", 1)]) };
    history.invocations.insert(0, throttled);
    let (violations, figures) = judge(&history);
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!((figures.invocations.throttled, figures.deliveries), (1, 3));
}

#[test]
fn repeats_are_told_by_their_reason() {
    let mut history = whole();
    history.invocations.insert(0, failed(80, 90, &[("a", 0), ("b", 0)]));
    assert_eq!(judge(&history).1.repeats, Repeats { after_failure: 2, ..Repeats::default() });

    let mut history = whole();
    history.invocations.push(succeeded(200, 210, &[("a", 1)]));
    history.kills = vec![Kill { began: at(150), done: at(160) }];
    assert_eq!(judge(&history).1.repeats, Repeats { after_crash: 1, ..Repeats::default() });

    history.kills.clear();
    history.invocations[2].records[0].receive_count = Some(2);
    let (violations, figures) = judge(&history);
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(figures.repeats, Repeats { by_server: 1, ..Repeats::default() });
}

/// Between the decision to kill and the death, an invocation may still arrive.
#[test]
fn an_invocation_that_arrives_while_the_daemon_dies_is_repeated_after_a_crash() {
    let mut history = whole();
    history.invocations[1].is_answered = false;
    history.invocations.push(succeeded(200, 210, &[("a", 1)]));
    history.kills = vec![Kill { began: at(119), done: at(121) }];
    let (violations, figures) = judge(&history);
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(figures.repeats, Repeats { after_crash: 1, ..Repeats::default() });
}

#[test]
fn a_repeat_without_a_reason_is_a_violation() {
    let mut history = whole();
    history.invocations.push(succeeded(200, 210, &[("a", 1)]));
    assert_eq!(only(&history, Kind::UnexplainedRepeat).entries, [entry("a", 1)]);
}

#[test]
fn a_partial_response_of_a_queue_settles_what_it_does_not_name() {
    let partial = Invocation { answer: Answer::Partial(vec![0]), ..succeeded(100, 110, &[("a", 0), ("b", 0)]) };
    let history = fifo(vec![partial.clone()]);
    assert_eq!(judge(&history).1.delivered, 1);

    let mut history = fifo(vec![partial]);
    history.is_stream = true;
    assert_eq!(judge(&history).1.delivered, 0);
}

#[test]
fn a_message_in_the_dead_letter_queue_must_have_failed() {
    let mut history = fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)])]);
    history.dead_lettered.insert(entry("a", 1));
    assert_eq!(only(&history, Kind::GivenUpEarly).what, "a/1 is in the dead-letter queue and never failed");
    history.invocations.push(failed(120, 130, &[("a", 1)]));
    let (violations, figures) = judge(&history);
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(figures.given_up, 1);
}

#[test]
fn a_stream_gives_up_a_batch_when_its_attempts_are_used() {
    let mut history = fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)]), failed(120, 130, &[("a", 1)])]);
    (history.is_stream, history.attempts_max) = (true, Some(2));
    only(&history, Kind::NotDelivered);
    history.invocations.push(failed(140, 150, &[("a", 1)]));
    assert_eq!(judge(&history).1.given_up, 1);
}

/// Halving begins the count anew, so only a record by itself runs out of attempts.
#[test]
fn where_batches_are_halved_only_a_record_by_itself_is_given_up() {
    let mut history = fifo(vec![failed(100, 110, &[("a", 0), ("b", 0)]), failed(120, 130, &[("a", 0), ("b", 0)])]);
    history.sent.truncate(2);
    (history.is_stream, history.attempts_max, history.bisects) = (true, Some(2), true);
    assert_eq!(judge(&history).1.lost, 2);
    history.invocations.extend([failed(140, 150, &[("a", 0)]), failed(160, 170, &[("a", 0)])]);
    assert_eq!((judge(&history).1.given_up, judge(&history).1.lost), (1, 1));
}

#[test]
fn a_stream_gives_up_what_is_too_old() {
    let mut history = fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)]), failed(120, 130, &[("a", 1)])]);
    (history.is_stream, history.age_max, history.ended) = (true, Some(Duration::from_mins(1)), at(61_000));
    assert_eq!(judge(&history).1.given_up, 1);
}

#[test]
fn a_child_that_begins_before_its_parent_is_over_is_a_violation() {
    let mut history = whole();
    let of_shard = |invocation: &mut Invocation, shard: &str| {
        invocation.records.iter_mut().for_each(|record| record.shard = Some(shard.into()));
    };
    of_shard(&mut history.invocations[0], "parent");
    of_shard(&mut history.invocations[1], "grandchild");
    history.parents.insert("grandchild".into(), vec!["child".into()]);
    history.parents.insert("child".into(), vec!["parent".into()]);
    assert!(judge(&history).0.is_empty());

    history.invocations[0].ended = Some(at(125));
    history.invocations[1].records[0].seen = Seen::Ours(entry("c", 0));
    history.sent[2].entry = entry("c", 0);
    let violation = only(&history, Kind::ChildBeforeParent);
    assert_eq!(violation.what, "grandchild began before its ancestor parent was over");
}

/// The one violation that there is.
fn only(history: &PathHistory, kind: Kind) -> Violation {
    let (violations, _) = judge(history);
    assert_eq!(violations.iter().map(|violation| violation.kind).collect::<Vec<_>>(), [kind], "{violations:#?}");
    violations.into_iter().next().unwrap()
}

/// Three records that were sent at 10 ms, and these invocations.
fn fifo(invocations: Vec<Invocation>) -> PathHistory {
    let sent = [("a", 0), ("b", 0), ("a", 1)].map(|(key, number)| Sent {
        entry: entry(key, number),
        began: at(10),
        answered: at(11),
        taken: Some(Taken::default()),
    });
    PathHistory {
        is_ordered: true,
        sent: sent.into(),
        invocations,
        patience: Duration::from_mins(1),
        ended: at(10_000),
        ..PathHistory::default()
    }
}

/// All of them delivered.
fn whole() -> PathHistory {
    fifo(vec![succeeded(100, 110, &[("a", 0), ("b", 0)]), succeeded(120, 130, &[("a", 1)])])
}

pub fn succeeded(arrived: u64, ended: u64, records: &[(&str, u64)]) -> Invocation {
    let delivered = |(key, number): &(&str, u64)| Delivered {
        seen: Seen::Ours(entry(key, *number)),
        shard: None,
        receive_count: Some(1),
    };
    Invocation {
        arrived: at(arrived),
        ended: Some(at(ended)),
        is_answered: true,
        records: records.iter().map(delivered).collect(),
        answer: Answer::Succeeded,
    }
}

pub fn failed(arrived: u64, ended: u64, records: &[(&str, u64)]) -> Invocation {
    Invocation { answer: Answer::Failed, ..succeeded(arrived, ended, records) }
}
