//! Histories made by hand, one for each thing that can be wrong with a stream, and what looks wrong and is not.

use super::super::{Taken, at, entry};
use super::*;

#[test]
fn a_split_that_keeps_all_promises_is_fine() {
    let (violations, figures, lost) = judge(&split());
    assert!(violations.is_empty() && lost.is_empty(), "{violations:#?}");
    assert_eq!(figures, StreamFigures { sent: 2, received: 2, shards: 3, reshards: 1 });
}

#[test]
fn a_record_that_no_reader_got_is_lost_with_its_shard() {
    let mut history = split();
    history.reads.remove(0);
    let violation = only(&history, Kind::Lost);
    assert_eq!(violation.what, "1 record of parent never read: a/0");
    assert!(violation.events.iter().any(|event| event.ends_with("parent to be split")), "{:?}", violation.events);
    assert_eq!(judge(&history).2.into_iter().collect::<Vec<_>>(), [entry("a", 0)]);
}

#[test]
fn what_was_not_put_is_invented_unless_others_write_as_well() {
    let mut history = split();
    history.reads.push(read("left", 90, &[("b", 0, "900")]));
    assert_eq!(only(&history, Kind::Invented).what, "b/0 was not put");
    let ReadOutcome::Records(records) = &mut history.reads.last_mut().unwrap().outcome else { unreachable!() };
    records[0].seen = Seen::Foreign("hello".to_owned());
    only(&history, Kind::Invented);
    history.is_shared = true;
    assert!(judge(&history).0.is_empty());
}

#[test]
fn a_record_that_is_there_twice_is_repeated() {
    let mut history = split();
    history.reads.push(read("left", 90, &[("a", 1, "900")]));
    let violation = only(&history, Kind::Repeated);
    assert_eq!(violation.what, "a/1 was put once and is in the stream 2 times");
}

#[test]
fn a_key_that_goes_backwards_in_its_shard_is_an_inversion() {
    let mut history = plain();
    history.sent = vec![put("a", 0, 10, "one", "2"), put("a", 1, 20, "one", "3")];
    history.reads = vec![read("one", 30, &[("a", 1, "3"), ("a", 0, "2")])];
    let kinds = kinds(&history);
    assert_eq!(kinds, [Kind::Inversion, Kind::SequenceNumbers]);
}

#[test]
fn numbers_that_do_not_rise_in_a_shard_are_a_violation() {
    let mut history = plain();
    history.sent = vec![put("a", 0, 10, "one", "0010"), put("b", 0, 20, "one", "9")];
    history.reads = vec![read("one", 30, &[("a", 0, "0010"), ("b", 0, "9")])];
    assert_eq!(only(&history, Kind::SequenceNumbers).what, "one: the number 9 comes after 0010");
}

#[test]
fn a_record_in_another_shard_than_its_put_was_told_is_a_violation() {
    let mut history = split();
    history.sent[1] = put("a", 1, 60, "right", "200");
    only(&history, Kind::SequenceNumbers);
}

#[test]
fn a_key_whose_numbers_fall_from_put_to_put_is_a_violation() {
    let mut history = split();
    history.sent[1] = put("a", 1, 60, "left", "50");
    history.reads[2] = read("left", 80, &[("a", 1, "50")]);
    only(&history, Kind::SequenceNumbers);
}

#[test]
fn a_parent_that_vanishes_is_a_violation_of_lineage() {
    let mut history = split();
    history.listings[1].shards.retain(|shard| *shard.id != *"parent");
    let violation = only(&history, Kind::Lineage);
    assert_eq!(violation.what, "the split of parent: parent is no longer listed");
    assert_eq!(judge(&history).2.into_iter().collect::<Vec<_>>(), [entry("a", 0)]);
}

#[test]
fn children_that_do_not_name_their_parent_are_a_violation() {
    let mut history = split();
    history.listings[1].shards.iter_mut().for_each(|shard| shard.parents.clear());
    let violation = only(&history, Kind::Lineage);
    assert_eq!(violation.what, "the split of parent: 2 shards expected that name their parents, 0 listed");
}

#[test]
fn children_that_do_not_share_their_parents_hashes_are_a_violation() {
    let mut history = split();
    history.listings[1].shards[1].hashes = Some(0..=HALF - 1);
    assert_eq!(kinds(&history), [Kind::Lineage, Kind::Lineage]); // and the stream has a hole
}

#[test]
fn a_merge_makes_one_child_of_two() {
    let mut history = plain();
    let [left, right] = [listed("left", &[], 0..=HALF, true), listed("right", &[], HALF + 1..=u128::MAX, true)];
    let closed = |shard: &ListedShard| ListedShard { is_open: false, ..shard.clone() };
    let child = listed("child", &["left", "right"], 0..=u128::MAX, true);
    let after = vec![closed(&left), closed(&right), child];
    history.listings = vec![listing(0, vec![left, right]), listing(50, after)];
    history.reshards = vec![reshard(&["left", "right"])];
    history.reads = vec![end("left", 60), end("right", 60)];
    assert!(judge(&history).0.is_empty(), "{:#?}", judge(&history).0);

    history.listings[1].shards[2].parents.pop();
    assert!(judge(&history).0.is_empty(), "one named parent is enough for the count");
}

#[test]
fn a_record_that_goes_to_a_closed_shard_is_a_violation() {
    let mut history = split();
    history.sent[1] = put("a", 1, 60, "parent", "200");
    history.reads[2] = read("parent", 80, &[("a", 1, "200")]);
    assert_eq!(only(&history, Kind::Lineage).what, "parent took 1 record after it was closed: a/1");
}

#[test]
fn a_closed_shard_that_never_ends_is_a_violation() {
    let mut history = split();
    history.reads.remove(1);
    assert_eq!(only(&history, Kind::Lineage).what, "parent is closed and never ends");
}

#[test]
fn open_shards_that_leave_hashes_out_are_a_violation() {
    let mut history = plain();
    history.listings[0].shards[0].hashes = Some(1..=u128::MAX);
    assert_eq!(only(&history, Kind::Lineage).what, "the open shards do not share all hashes");
}

fn kinds(history: &StreamHistory) -> Vec<Kind> {
    judge(history).0.iter().map(|violation| violation.kind).collect()
}

/// The one violation that there is.
fn only(history: &StreamHistory, kind: Kind) -> Violation {
    let violations = judge(history).0;
    assert_eq!(violations.iter().map(|violation| violation.kind).collect::<Vec<_>>(), [kind], "{violations:#?}");
    violations.into_iter().next().unwrap()
}

/// One open shard.
fn plain() -> StreamHistory {
    let listings = vec![listing(0, vec![listed("one", &[], 0..=u128::MAX, true)])];
    StreamHistory { listings, ended: at(1_000), ..StreamHistory::default() }
}

/// A shard that is split with a record in it; the key's next record goes to its left child.
fn split() -> StreamHistory {
    let parent = listed("parent", &[], 0..=u128::MAX, true);
    let closed = ListedShard { is_open: false, ..parent.clone() };
    let left = listed("left", &["parent"], 0..=HALF, true);
    let right = listed("right", &["parent"], HALF + 1..=u128::MAX, true);
    StreamHistory {
        sent: vec![put("a", 0, 10, "parent", "100"), put("a", 1, 60, "left", "200")],
        listings: vec![listing(0, vec![parent]), listing(50, vec![closed, left, right])],
        reshards: vec![reshard(&["parent"])],
        reads: vec![read("parent", 70, &[("a", 0, "100")]), end("parent", 75), read("left", 80, &[("a", 1, "200")])],
        ended: at(1_000),
        ..StreamHistory::default()
    }
}

fn put(key: &str, number: u64, when: u64, shard: &str, sequence_number: &str) -> Sent {
    let taken = Taken { sequence_number: Some(sequence_number.to_owned()), shard: Some(shard.to_owned()) };
    Sent { entry: entry(key, number), began: at(when), answered: at(when + 1), taken: Some(taken) }
}

fn read(shard: &str, when: u64, records: &[(&str, u64, &str)]) -> Read {
    let record = |(key, number, sequence_number): &(&str, u64, &str)| ReadRecord {
        seen: Seen::Ours(entry(key, *number)),
        sequence_number: (*sequence_number).to_owned(),
    };
    let outcome = ReadOutcome::Records(records.iter().map(record).collect());
    Read { shard: shard.into(), answered: at(when), outcome }
}

fn end(shard: &str, when: u64) -> Read {
    Read { shard: shard.into(), answered: at(when), outcome: ReadOutcome::End }
}

fn listing(when: u64, shards: Vec<ListedShard>) -> Listing {
    Listing { began: at(when), shards }
}

fn listed(id: &str, parents: &[&str], hashes: RangeInclusive<u128>, is_open: bool) -> ListedShard {
    let parents = parents.iter().map(|parent| (*parent).into()).collect();
    ListedShard { id: id.into(), parents, hashes: Some(hashes), is_open }
}

/// From 30 to 40 ms.
fn reshard(parents: &[&str]) -> Reshard {
    Reshard { parents: parents.iter().map(|parent| (*parent).into()).collect(), began: at(30), done: at(40) }
}

const HALF: u128 = u128::MAX / 2;
