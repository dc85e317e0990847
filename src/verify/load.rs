//! The load: numbered records with keys, in an order drawn from the seed, and the text that carries each one. A record is
//! known by its key and its number within the key, so loss and disorder show whatever happens in between. The text names
//! the run as well: what another run or another program wrote is never taken for ours. Calls no server.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::judge::{Entry, Seen};
use super::random::Random;

/// What is sent in one part of a run.
#[derive(Clone, Debug)]
pub struct Load {
    /// Tells this part's records from all others.
    pub run: String,
    /// In rounds: each holds a key once at most, so that a call with one round leaves no doubt about a key's order.
    pub rounds: Vec<Vec<Entry>>,
}

/// The text of a record.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(rename = "esmdVerify")]
    run: &'a str,
    key: &'a str,
    number: u64,
}

impl Load {
    /// `records` records over `keys` keys (at least one), whose names begin with `prefix`.
    #[must_use]
    pub fn new(run: String, prefix: &str, records: usize, keys: usize, seed: u64) -> Self {
        let mut names: Vec<Arc<str>> = (0..keys).map(|key| format!("{prefix}key-{key}").into()).collect();
        let mut random = Random::new(seed);
        let mut rounds = Vec::new();
        for number in 0..records.div_ceil(keys) {
            random.shuffle(&mut names);
            let left = (records - number * keys).min(keys);
            let number = u64::try_from(number).expect("a count fits");
            rounds.push(names[..left].iter().map(|key| Entry { key: Arc::clone(key), number }).collect());
        }
        Self { run, rounds }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// So many of the records, by the seed.
    #[must_use]
    pub fn some(&self, number: usize, seed: u64) -> BTreeSet<Entry> {
        let mut all: Vec<&Entry> = self.rounds.iter().flatten().collect();
        Random::of(seed, SOME).shuffle(&mut all);
        all.into_iter().take(number).cloned().collect()
    }

    /// The text that carries a record.
    #[must_use]
    pub fn body(&self, entry: &Entry) -> String {
        let body = Body { run: &self.run, key: &entry.key, number: entry.number };
        serde_json::to_string(&body).expect("texts and numbers are JSON")
    }

    /// What a text turns out to be.
    #[must_use]
    pub fn seen(&self, text: &str) -> Seen {
        match serde_json::from_str::<Body>(text) {
            Ok(body) if body.run == self.run => Seen::Ours(Entry { key: body.key.into(), number: body.number }),
            _ => Seen::Foreign(text.chars().take(FOREIGN_CHARS_MAX).collect()),
        }
    }

    /// What an element of an event's `Records` turns out to be.
    #[must_use]
    pub fn seen_in_event(&self, record: &Value) -> Seen {
        if let Some(text) = record["dynamodb"]["NewImage"][ATTRIBUTE]["S"].as_str().or(record["body"].as_str()) {
            return self.seen(text);
        }
        let data = record["kinesis"]["data"].as_str().and_then(|data| STANDARD.decode_to_vec(data).ok());
        self.seen(&String::from_utf8_lossy(&data.unwrap_or_default()))
    }
}

/// The attribute of an item that holds the text.
pub const ATTRIBUTE: &str = "esmdVerify";

const FOREIGN_CHARS_MAX: usize = 80;

/// Keeps these draws apart from others of the seed.
const SOME: u64 = 0x736f_6d65;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::judge::entry;
    use super::*;

    #[test]
    fn a_key_has_every_number_once_and_in_order() {
        let load = load(7);
        let numbers: Vec<u64> =
            load.rounds.iter().flatten().filter(|entry| *entry.key == *"key-2").map(|entry| entry.number).collect();
        assert_eq!(load.len(), 103);
        assert!(numbers == (0..10).collect::<Vec<_>>() || numbers == (0..11).collect::<Vec<_>>(), "{numbers:?}");
    }

    #[test]
    fn a_seed_repeats_its_load() {
        assert_eq!(load(7).rounds, load(7).rounds);
        assert_ne!(load(7).rounds, load(8).rounds);
        assert_eq!(load(7).some(3, 1), load(7).some(3, 1));
    }

    #[test]
    fn a_record_is_known_again_in_each_kind_of_event() {
        let (load, entry) = (load(7), entry("key-1", 4));
        let body = load.body(&entry);
        let data = STANDARD.encode_to_string(&body);
        for record in [
            json!({ "body": body }),
            json!({"kinesis": {"data": data}}),
            json!({"dynamodb": {"NewImage": {ATTRIBUTE: {"S": body}}}}),
        ] {
            assert_eq!(load.seen_in_event(&record), Seen::Ours(entry.clone()));
        }
    }

    #[test]
    fn what_another_run_sent_is_foreign() {
        let other = Load::new("other".to_owned(), "", 10, 2, 7);
        let body = other.body(&entry("key-1", 4));
        assert_eq!(load(7).seen(&body), Seen::Foreign(body));
        assert_eq!(load(7).seen("hello"), Seen::Foreign("hello".to_owned()));
    }

    fn load(seed: u64) -> Load {
        Load::new("run".to_owned(), "", 103, 10, seed)
    }
}
