//! What was sent and what arrived. Every record carries its key and its number within that key, so loss and disorder
//! show whatever happens in between: retries, kills, repeats.
//!
//! A record counts as settled once an invocation that succeeded contained it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::function::{Behaviour, Function, Invocation};

/// One record's identity; the body of a message, the data of a stream record, the item of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The ordering key: a message group, a partition key.
    pub key: String,
    /// The place within the key, from 0.
    pub sequence: u64,
}

impl Entry {
    /// What is sent.
    pub fn body(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    /// Reads an element of an event's `Records`, of a queue, a stream or a table.
    ///
    /// # Panics
    /// When the element is not of a record made from an entry.
    pub fn from_record(record: &Value) -> Self {
        if let Some(item) = record["dynamodb"]["NewImage"].as_object() {
            let (key, sequence) = (item["pk"]["S"].as_str().unwrap(), item["sequence"]["N"].as_str().unwrap());
            return Self { key: key.to_owned(), sequence: sequence.parse().unwrap() };
        }
        let parsed = match record["kinesis"]["data"].as_str() {
            Some(data) => serde_json::from_slice(&base64_simd::STANDARD.decode_to_vec(data).unwrap()),
            None => serde_json::from_str(record["body"].as_str().unwrap_or_default()),
        };
        parsed.unwrap_or_else(|error| panic!("a record that the test did not send ({error}): {record}"))
    }
}

/// One arrival of a record.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    sequence: u64,
    invocation: usize,
    succeeded: bool,
}

/// The account of one test.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<String, u64>,
    deliveries: BTreeMap<String, Vec<Delivery>>,
    settled: BTreeMap<String, BTreeSet<u64>>,
    /// Records that are not to succeed.
    given_up: BTreeSet<Entry>,
    invocations_read: usize,
}

impl Ledger {
    /// An account that begins after so many invocations.
    pub fn after(invocations: usize) -> Self {
        Self { invocations_read: invocations, ..Self::default() }
    }

    /// The next record of `key`, noted as sent.
    pub fn next(&mut self, key: &str) -> Entry {
        let count = self.sent.entry(key.to_owned()).or_default();
        let entry = Entry { key: key.to_owned(), sequence: *count };
        *count += 1;
        entry
    }

    /// Takes in the invocations that arrived since the last call.
    pub fn read(&mut self, function: &Function) {
        for invocation in function.invocations_after(self.invocations_read) {
            self.invocations_read = invocation.number;
            self.take_in(&invocation);
        }
    }

    /// Takes note of a record that no function can process.
    pub fn give_up(&mut self, entry: Entry) {
        self.given_up.insert(entry);
    }

    /// How many records were sent.
    pub fn sent(&self) -> u64 {
        self.sent.values().sum()
    }

    /// How many of them were settled.
    pub fn settled(&self) -> u64 {
        self.settled.values().map(|settled| settled.len() as u64).sum()
    }

    /// Whether this record was settled.
    pub fn is_settled(&self, entry: &Entry) -> bool {
        self.settled.get(&entry.key).is_some_and(|settled| settled.contains(&entry.sequence))
    }

    /// How many arrivals repeated a record that had been settled before.
    pub fn repeats(&self) -> usize {
        self.deliveries.values().map(|deliveries| count_repeats(deliveries)).sum()
    }

    /// # Panics
    /// When a record that was sent has not been settled, or one arrived that was not sent.
    pub fn assert_complete(&self) {
        let mut failures = String::new();
        for (key, count) in &self.sent {
            let settled = self.settled.get(key).cloned().unwrap_or_default();
            let is_missing = |sequence: &u64| !settled.contains(sequence) && !self.is_given_up(key, *sequence);
            let missing: Vec<u64> = (0..*count).filter(is_missing).collect();
            if !missing.is_empty() {
                writeln!(failures, "key {key}: {count} sent, missing {missing:?}").unwrap();
            }
        }
        for (key, settled) in &self.settled {
            let count = self.sent.get(key).copied().unwrap_or(0);
            if settled.last().is_some_and(|last| *last >= count) {
                writeln!(failures, "key {key}: {count} sent, yet {:?} arrived", settled.last()).unwrap();
            }
        }
        assert!(failures.is_empty(), "{} sent, {} settled\n{failures}", self.sent(), self.settled());
    }

    /// Within each key, records arrived first in the order sent, and were first handled with success in that order.
    ///
    /// # Panics
    /// When they did not.
    pub fn assert_in_order(&self) {
        let mut failures = String::new();
        for (key, deliveries) in &self.deliveries {
            check_order(&mut failures, key, "first arrivals", deliveries, |_| false);
            let successes: Vec<Delivery> = deliveries.iter().copied().filter(|delivery| delivery.succeeded).collect();
            check_order(&mut failures, key, "first successes", &successes, |sequence| self.is_given_up(key, sequence));
        }
        assert!(failures.is_empty(), "out of order:\n{failures}");
    }

    fn is_given_up(&self, key: &str, sequence: u64) -> bool {
        self.given_up.contains(&Entry { key: key.to_owned(), sequence })
    }

    fn take_in(&mut self, invocation: &Invocation) {
        if !invocation.behaviour.runs() {
            return;
        }
        let given_back = given_back(invocation);
        for (place, record) in invocation.records().iter().enumerate() {
            let succeeded = invocation.behaviour.succeeds() && !given_back.contains(&place);
            let Entry { key, sequence } = Entry::from_record(record);
            let delivery = Delivery { sequence, invocation: invocation.number, succeeded };
            self.deliveries.entry(key.clone()).or_default().push(delivery);
            if succeeded {
                self.settled.entry(key).or_default().insert(sequence);
            }
        }
    }
}

/// The places of the records that come again because of a partial response: of a queue those that it lists, of a stream
/// all from the first of them on.
fn given_back(invocation: &Invocation) -> BTreeSet<usize> {
    let Behaviour::Succeed(response) = invocation.behaviour.at_last() else { return BTreeSet::new() };
    let failures = response["batchItemFailures"].as_array().map_or(&[][..], Vec::as_slice);
    let listed: BTreeSet<&str> = failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str()).collect();
    if listed.is_empty() {
        return BTreeSet::new();
    }
    let records = invocation.records();
    let places = (0..records.len()).filter(|place| listed.contains(identifier(&records[*place])));
    let is_queue = records.first().is_some_and(|record| record["messageId"].is_string());
    if is_queue { places.collect() } else { places.min().map_or(0..0, |first| first..records.len()).collect() }
}

/// What a partial response calls this record.
pub fn identifier(record: &Value) -> &str {
    let stream = record["kinesis"]["sequenceNumber"].as_str().or_else(|| record["dynamodb"]["SequenceNumber"].as_str());
    stream.or_else(|| record["messageId"].as_str()).expect("a record has an identifier")
}

/// No two invocations that ran at once shared a key (invariant 3 of the consumer).
///
/// # Panics
/// When two did.
pub fn assert_one_batch_per_key(invocations: &[Invocation]) {
    let mut last: BTreeMap<String, &Invocation> = BTreeMap::new();
    for invocation in invocations.iter().filter(|invocation| invocation.behaviour.runs()) {
        let keys: BTreeSet<String> = invocation.records().iter().map(|record| Entry::from_record(record).key).collect();
        for key in keys {
            if let Some(before) = last.insert(key.clone(), invocation) {
                let ended = before.ended_at.is_some_and(|ended_at| ended_at <= invocation.arrived_at);
                let numbers = (before.number, invocation.number);
                assert!(ended, "key {key}: invocations {} and {} ran at once", numbers.0, numbers.1);
            }
        }
    }
}

fn count_repeats(deliveries: &[Delivery]) -> usize {
    let mut settled = BTreeSet::new();
    let mut repeats = 0;
    for delivery in deliveries {
        repeats += usize::from(settled.contains(&delivery.sequence));
        if delivery.succeeded {
            settled.insert(delivery.sequence);
        }
    }
    repeats
}

fn check_order(
    failures: &mut String,
    key: &str,
    what: &str,
    deliveries: &[Delivery],
    is_given_up: impl Fn(u64) -> bool,
) {
    let mut expected = 0;
    for (index, delivery) in deliveries.iter().enumerate() {
        while is_given_up(expected) {
            expected += 1;
        }
        if delivery.sequence > expected {
            let around = &deliveries[index.saturating_sub(CONTEXT)..deliveries.len().min(index + CONTEXT)];
            writeln!(failures, "key {key}, {what}: {expected} expected, {} seen", delivery.sequence).unwrap();
            writeln!(failures, "    around it: {}", describe(around)).unwrap();
            return;
        }
        expected = expected.max(delivery.sequence + 1);
    }
}

fn describe(deliveries: &[Delivery]) -> String {
    let each = deliveries.iter().map(|delivery| {
        let outcome = if delivery.succeeded { "ok" } else { "failed" };
        format!("{} (invocation {}, {outcome})", delivery.sequence, delivery.invocation)
    });
    each.collect::<Vec<_>>().join(", ")
}

/// How many deliveries a failure shows on each side.
const CONTEXT: usize = 5;
