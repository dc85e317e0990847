//! Histories made by hand, one for each thing that can be wrong with a queue, and those that look wrong and are not.

use super::super::{Taken, at, entry};
use super::*;

#[test]
fn a_queue_that_keeps_its_promises_is_fine() {
    let history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 0), ("a", 1)]);
    let history = history.deleted("a", 0, 30, 50).deleted("a", 1, 30, 50).0;

    let (violations, figures) = judge(&history);

    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(figures, QueueFigures { sent: 2, received: 2, deliveries: 2, receives: 1, deleted: 2 });
}

#[test]
fn a_message_that_was_taken_and_never_handed_out_is_lost() {
    let history = fifo().sent("a", 0, 10).sent("b", 0, 20).received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 50);
    let violation = only(&history.0, Kind::Lost);
    assert_eq!(violation.what, "1 message never handed out: b/0");
    assert_eq!(violation.entries, [entry("b", 0)]);
    assert_eq!(violation.events.len(), 3, "{:?}", violation.events);
}

#[test]
fn a_message_that_was_left_to_its_timeout_and_never_came_again_is_lost() {
    let history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]);
    let violation = only(&history.0, Kind::Lost);
    assert!(violation.what.contains("never handed out again: a/0"), "{}", violation.what);
}

#[test]
fn a_message_without_a_clear_answer_to_its_put_is_not_missed() {
    let mut history = fifo().sent("a", 0, 10);
    history.0.sent[0].taken = None;
    assert!(judge(&history.0).0.is_empty());
}

#[test]
fn what_was_not_sent_is_invented() {
    let mut history = fifo().received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 50);
    assert_eq!(only(&history.0, Kind::Invented).what, "a/0 was not sent");
    history.0.receives[0].messages[0].seen = Seen::Foreign("hello".to_owned());
    assert_eq!(only(&history.0, Kind::Invented).what, "a message that was not sent: \"hello\"");
}

#[test]
fn a_message_in_another_group_is_invented() {
    let mut history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 50);
    history.0.receives[0].messages[0].group = Some("b".to_owned());
    only(&history.0, Kind::Invented);
}

#[test]
fn two_receivers_that_hold_one_group_are_a_double_lease() {
    let history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 0)]);
    let history = history.received(2, (35, 50), &[("a", 1)]).deleted("a", 0, 30, 60).deleted("a", 1, 35, 70);

    let violation = only(&history.0, Kind::DoubleLease);

    assert_eq!(violation.what, "group a: 1 is handed to receiver 2 while receiver 1 holds 0");
    let told: Vec<&str> =
        violation.events.iter().filter_map(|event| event.split_once(" s  ")).map(|event| event.1).collect();
    assert_eq!(
        told,
        [
            "a/0 is sent",
            "a/0 is taken, as 100",
            "a/1 is sent",
            "a/1 is taken, as 101",
            "receiver 1 receives a/0 (receive 1, called at    0.0300 s)",
            "receiver 2 receives a/1 (receive 2, called at    0.0350 s)",
            "both are held from here, for at least 10.0ms",
            "a/0 is deleted",
            "the deletion of a/0 is confirmed",
        ]
    );
}

/// The deletion may have been done before the second message was granted, whatever the order of the answers.
#[test]
fn a_deletion_that_began_before_the_next_message_came_excuses_it() {
    let history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 45);
    let history = history.received(2, (31, 50), &[("a", 1)]).deleted("a", 1, 31, 60);
    assert!(judge(&history.0).0.is_empty(), "{:#?}", judge(&history.0).0);
}

#[test]
fn a_standard_queue_may_hand_out_records_of_one_key_at_once() {
    let mut history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 1)]);
    history = history.received(2, (35, 50), &[("a", 0)]).deleted("a", 0, 35, 60).deleted("a", 1, 30, 70);
    history.0.is_fifo = false;
    assert!(judge(&history.0).0.is_empty());
}

#[test]
fn a_message_that_comes_before_an_earlier_one_of_its_group_is_an_inversion() {
    let history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 1)]).deleted("a", 1, 30, 45);
    let history = history.received(2, (50, 60), &[("a", 0)]).deleted("a", 0, 50, 70);
    let violation = only(&history.0, Kind::Inversion);
    assert_eq!(violation.what, "group a: 1 comes before 0");
    assert_eq!(violation.entries, [entry("a", 0), entry("a", 1)]);
}

#[test]
fn a_batch_in_the_wrong_order_is_an_inversion() {
    let history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 1), ("a", 0)]);
    only(&history.deleted("a", 0, 30, 50).deleted("a", 1, 30, 50).0, Kind::Inversion);
}

/// The timeout of the first is over, so it is in the queue again, in front.
#[test]
fn a_message_that_overtakes_one_whose_timeout_ended_is_an_inversion() {
    let history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 0)]);
    let history = history.received(2, (1_500, 1_600), &[("a", 1)]).deleted("a", 1, 1_500, 1_610);
    let history = history.received(1, (1_700, 1_710), &[("a", 0)]).deleted("a", 0, 1_700, 1_720);
    only(&history.0, Kind::Inversion);
}

#[test]
fn a_message_that_is_handed_out_within_its_timeout_is_a_violation_of_visibility() {
    let history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]).received(2, (400, 500), &[("a", 0)]);
    let history = history.deleted("a", 0, 400, 510);
    let violation = only(&history.0, Kind::Visibility);
    assert_eq!(violation.what, "a/0 is handed to receiver 2 while receiver 1 holds it");
}

#[test]
fn a_message_that_comes_again_after_its_timeout_is_fine() {
    let history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]).received(2, (400, 1_100), &[("a", 0)]);
    assert!(judge(&history.deleted("a", 0, 400, 1_110).0).0.is_empty());
}

#[test]
fn a_message_that_comes_after_its_deletion_was_confirmed_was_not_deleted() {
    let history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 50);
    let history = history.received(2, (1_200, 1_300), &[("a", 0)]).deleted("a", 0, 1_200, 1_310);
    only(&history.0, Kind::Undeleted);
}

/// A receipt whose lease is over need not work, though the server says yes.
#[test]
fn a_deletion_after_the_timeout_proves_nothing() {
    let history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 1_100);
    let history = history.received(2, (1_200, 1_300), &[("a", 0)]).deleted("a", 0, 1_200, 1_310);
    assert!(judge(&history.0).0.is_empty());
}

#[test]
fn a_missing_sequence_number_is_told_once() {
    let mut history = fifo().sent("a", 0, 10).sent("b", 0, 20).received(1, (30, 40), &[("a", 0), ("b", 0)]);
    history = history.deleted("a", 0, 30, 50).deleted("b", 0, 30, 50);
    history.0.receives[0].messages.iter_mut().for_each(|message| message.sequence_number = None);
    assert_eq!(only(&history.0, Kind::SequenceNumbers).what, "2 of 2 messages came without SequenceNumber");
}

#[test]
fn another_number_than_the_put_was_told_is_a_violation() {
    let mut history = fifo().sent("a", 0, 10).received(1, (30, 40), &[("a", 0)]).deleted("a", 0, 30, 50);
    history.0.receives[0].messages[0].sequence_number = Some("7".to_owned());
    assert_eq!(only(&history.0, Kind::SequenceNumbers).what, "a/0 was taken as 100 and comes as 7");
}

#[test]
fn numbers_that_fall_along_a_group_are_a_violation() {
    let mut history = fifo().sent("a", 0, 10).sent("a", 1, 20).received(1, (30, 40), &[("a", 0), ("a", 1)]);
    history = history.deleted("a", 0, 30, 50).deleted("a", 1, 30, 50);
    for number in [0, 1] {
        let told = Some((200 - number).to_string());
        history.0.sent[number].taken = Some(Taken { sequence_number: told.clone(), shard: None });
        history.0.receives[0].messages[number].sequence_number = told;
    }
    only(&history.0, Kind::SequenceNumbers);
}

/// The one violation that there is.
fn only(history: &QueueHistory, kind: Kind) -> Violation {
    let (violations, _) = judge(history);
    assert_eq!(violations.iter().map(|violation| violation.kind).collect::<Vec<_>>(), [kind], "{violations:#?}");
    violations.into_iter().next().unwrap()
}

/// A FIFO queue with a visibility timeout of one second, watched for ten.
fn fifo() -> Scene {
    Scene(QueueHistory {
        is_fifo: true,
        visibility: Duration::from_secs(1),
        ended: at(10_000),
        ..QueueHistory::default()
    })
}

struct Scene(QueueHistory);

impl Scene {
    /// A message that took a millisecond to send.
    fn sent(mut self, key: &str, number: u64, when: u64) -> Self {
        let taken = Some(Taken { sequence_number: Some((100 + number).to_string()), shard: None });
        self.0.sent.push(Sent { entry: entry(key, number), began: at(when), answered: at(when + 1), taken });
        self
    }

    fn received(mut self, receiver: usize, (began, answered): (u64, u64), messages: &[(&str, u64)]) -> Self {
        let message = |(key, number): &(&str, u64)| Message {
            seen: Seen::Ours(entry(key, *number)),
            group: Some((*key).to_owned()),
            sequence_number: Some((100 + number).to_string()),
        };
        let messages = messages.iter().map(message).collect();
        self.0.receives.push(Receive { receiver, began: at(began), answered: at(answered), messages });
        self
    }

    /// A deletion under the receive that began at `received`; confirmed in a millisecond.
    fn deleted(mut self, key: &str, number: u64, received: u64, when: u64) -> Self {
        let (received_at, began, answered) = (at(received), at(when), at(when + 1));
        let deletion = Deletion { entry: entry(key, number), received_at, began, answered, confirmed: true };
        self.0.deletions.push(deletion);
        self
    }
}
