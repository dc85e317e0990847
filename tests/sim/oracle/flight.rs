//! An invocation, the records in it, and what its answer says of them.

use esmd::core::outcome::Outcome;
use esmd::core::record::ShardId;
use esmd::event::response::Reply;
use serde_json::Value;
use tokio::time::Instant;

use super::{Terms, windows};
use crate::fakes::target::{Delivered, Windowed};

/// A life and one of its connections: each connect of a mapping makes a new one.
pub type Connection = (u32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlightId(pub u64);

/// An invocation that runs, as far as the daemon knows.
pub struct Flight {
    pub connection: Connection,
    pub terms: Terms,
    pub records: Vec<Carried>,
    pub began_at: Instant,
    pub window: Option<Windowed>,
    /// A stream's.
    pub shard: Option<ShardId>,
}

/// A record in an invocation. Its number is its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Carried {
    pub number: usize,
    pub key: String,
    pub receives: u32,
    identifier: String,
}

/// What an answer means for the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Succeeded,
    /// These failed, by their places, ascending; at least one.
    Reported(Vec<usize>),
    Failed,
    /// The function did not run, as far as the daemon knows.
    NotRun,
}

impl Carried {
    pub fn new(delivered: &Delivered) -> Self {
        let number = delivered.body.parse().expect("a body is a number");
        let Delivered { key, receive_count, identifier, .. } = delivered.clone();
        Self { number, key, receives: receive_count, identifier }
    }
}

impl Heard {
    pub fn of(reply: &Reply, flight: &Flight) -> Self {
        match (reply.outcome(None::<std::iter::Empty<_>>), reply) {
            (Outcome::Succeeded, _) if flight.window.is_some() && windows::returned(reply).is_none() => Self::Failed,
            (Outcome::Succeeded, Reply::Answered { payload, .. }) if flight.terms.reports_failures => {
                Self::reported(payload, &flight.records)
            }
            (Outcome::Succeeded, _) => Self::Succeeded,
            (Outcome::Failed(_), _) => Self::Failed,
            (Outcome::Throttled | Outcome::Unavailable(_), _) => Self::NotRun,
            (Outcome::Partial(_), _) => unreachable!("nobody was named"),
        }
    }

    /// `docs/semantics.md` 4.4, as far as the functions here make use of it.
    fn reported(payload: &[u8], records: &[Carried]) -> Self {
        let failures = match serde_json::from_slice(payload) {
            Ok(Value::Null) => return Self::Succeeded,
            Ok(Value::Object(mut members)) => members.remove("batchItemFailures"),
            _ => return Self::Failed,
        };
        let failures = match failures {
            None => return Self::Succeeded,
            Some(Value::Array(failures)) => failures,
            Some(_) => return Self::Failed,
        };
        let place = |failure: &Value| {
            let identifier = failure["itemIdentifier"].as_str()?;
            records.iter().position(|record| record.identifier == identifier)
        };
        match failures.iter().map(place).collect::<Option<Vec<_>>>() {
            None => Self::Failed,
            Some(failed) if failed.is_empty() => Self::Succeeded,
            Some(mut failed) => {
                failed.sort_unstable();
                failed.dedup();
                Self::Reported(failed)
            }
        }
    }
}

pub fn listed(records: &[Carried]) -> String {
    let each = |record: &Carried| format!("{}:{}", record.number, record.key);
    records.iter().map(each).collect::<Vec<_>>().join(" ")
}
