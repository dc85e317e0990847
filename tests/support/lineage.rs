//! Which shard each record sits in and which shards came before it, both as the server told. With the recorded
//! invocations this shows whether parents were over before their children began.
//!
//! Nothing here is taken from the daemon: where a record sits is what the answer to its put said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::function::Invocation;
use super::ledger::{Entry, Ledger};

/// Where the server put one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The record.
    pub entry: Entry,
    /// The shard it sits in.
    pub shard: String,
    /// Its number in that shard.
    pub sequence_number: String,
}

/// One shard as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: String,
    /// The shards it came from: none, one (split) or two (merge).
    pub parents: Vec<String>,
    /// The hashes of the keys it takes, or took.
    pub hashes: RangeInclusive<u128>,
    /// Whether it still takes records.
    pub open: bool,
}

/// The records and shards of one stream.
#[derive(Debug, Default)]
pub struct Lineage {
    shards: BTreeMap<String, Shard>,
    records: BTreeMap<Entry, Placed>,
}

impl Lineage {
    /// Notes where records were put.
    pub fn place(&mut self, placed: impl IntoIterator<Item = Placed>) {
        self.records.extend(placed.into_iter().map(|placed| (placed.entry.clone(), placed)));
    }

    /// Takes in a complete listing. Shards that are no longer listed stay known.
    pub fn list(&mut self, listed: impl IntoIterator<Item = Shard>) {
        self.shards.extend(listed.into_iter().map(|shard| (shard.id.clone(), shard)));
    }

    /// The shards that take records, neighbours beside each other.
    pub fn open_shards(&self) -> Vec<&Shard> {
        let mut open: Vec<&Shard> = self.shards.values().filter(|shard| shard.open).collect();
        open.sort_by_key(|shard| *shard.hashes.start());
        open
    }

    /// How many reshards led to this shard: 0 for one of the first.
    pub fn generation(&self, shard: &str) -> usize {
        self.parents(shard).iter().map(|parent| self.generation(parent) + 1).max().unwrap_or(0)
    }

    /// The generations that hold records which are not settled.
    pub fn waiting_generations(&self, ledger: &Ledger) -> BTreeSet<usize> {
        let waiting = self.records.values().filter(|placed| !ledger.is_settled(&placed.entry));
        waiting.map(|placed| self.generation(&placed.shard)).collect()
    }

    /// How many records sit in these shards and in those that came from them.
    pub fn records_in_descendants(&self, shards: &[String]) -> u64 {
        let shards: BTreeSet<&str> = shards.iter().map(String::as_str).collect();
        let descends = |id| shards.contains(id) || !self.ancestors(id).is_disjoint(&shards);
        self.records.values().filter(|placed| descends(&placed.shard)).count() as u64
    }

    /// A child's records are never invoked before all of its parents are settled to their end (`docs/semantics.md` 6.3,
    /// invariant 88). From the recorded invocations, for every shard that was invoked and each of its ancestors:
    ///
    /// 1. every record of the ancestor was in an invocation that succeeded and whose caller was still there, and
    /// 2. every invocation of the ancestor, failed and repeated ones too, had ended when the first invocation of the
    ///    shard arrived.
    ///
    /// By 2 the successes of 1 lie before that first invocation, and so before any. It asks for more than that: since
    /// the end of a parent is stored before a child is read, not even a crash brings back a parent's record later. All
    /// ancestors are looked at, for a parent without records would hide what lies above it.
    ///
    /// On the way: a batch holds records of one shard (6.1, invariant 65), each of them as it was put.
    ///
    /// # Panics
    /// When any of this does not hold.
    pub fn assert_parents_first(&self, invocations: &[Invocation]) {
        let accounts = self.accounts(invocations);
        let mut failures = String::new();
        for (child, account) in &accounts {
            for ancestor in self.ancestors(child) {
                self.check_ancestor(&mut failures, ancestor, accounts.get(ancestor), child, account.invocations[0]);
            }
        }
        assert!(failures.is_empty(), "children before their parents were settled:\n{failures}");
    }

    fn check_ancestor(
        &self,
        failures: &mut String,
        ancestor: &str,
        account: Option<&Account>,
        child: &str,
        first: &Invocation,
    ) {
        let nothing = Account::default();
        let account = account.unwrap_or(&nothing);
        let entries = self.records.values().filter(|placed| placed.shard == ancestor).map(|placed| &placed.entry);
        let missing: Vec<&Entry> = entries.filter(|entry| !account.settled.contains(entry)).collect();
        if !missing.is_empty() {
            writeln!(failures, "{child} was invoked though {ancestor} never settled {missing:?}").unwrap();
        }
        let ended_before = |other: &&&Invocation| other.ended_at.is_some_and(|ended_at| ended_at <= first.arrived_at);
        if let Some(late) = account.invocations.iter().rfind(|other| !ended_before(other)) {
            let (first, late) = (first.number, late.number);
            writeln!(failures, "{child} began with {first} before {late} of {ancestor} had ended").unwrap();
        }
    }

    fn accounts<'a>(&'a self, invocations: &'a [Invocation]) -> BTreeMap<&'a str, Account<'a>> {
        let mut accounts = BTreeMap::<&str, Account>::new();
        for invocation in invocations.iter().filter(|invocation| invocation.behaviour.runs()) {
            let placed: Vec<&Placed> = invocation.records().iter().map(|record| self.placed(record)).collect();
            let shards: BTreeSet<&str> = placed.iter().map(|placed| placed.shard.as_str()).collect();
            let [shard] = *Vec::from_iter(shards) else {
                panic!("invocation {} is not of one shard: {placed:?}", invocation.number)
            };
            let account = accounts.entry(shard).or_default();
            account.invocations.push(invocation);
            if invocation.finished && invocation.behaviour.succeeds() {
                account.settled.extend(placed.iter().map(|placed| &placed.entry));
            }
        }
        accounts
    }

    fn placed(&self, record: &Value) -> &Placed {
        let placed = self.records.get(&Entry::from_record(record)).expect("the record was put");
        assert_eq!(record["eventID"], format!("{}:{}", placed.shard, placed.sequence_number), "not as it was put");
        placed
    }

    fn ancestors(&self, shard: &str) -> BTreeSet<&str> {
        let parents = self.parents(shard).iter().map(String::as_str);
        parents.flat_map(|parent| self.ancestors(parent).into_iter().chain([parent])).collect()
    }

    fn parents(&self, shard: &str) -> &[String] {
        self.shards.get(shard).map_or(&[], |shard| &shard.parents)
    }
}

/// What was invoked of one shard.
#[derive(Default)]
struct Account<'a> {
    /// In the order of their arrival.
    invocations: Vec<&'a Invocation>,
    settled: BTreeSet<&'a Entry>,
}
