//! An invocation and the records in it.

use crate::fakes::target::Delivered;

/// A life and one of its connections: each connect of a mapping makes a new one.
pub type Connection = (u32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlightId(pub u64);

/// An invocation that runs, as far as the daemon knows.
pub struct Flight {
    pub connection: Connection,
    pub records: Vec<Carried>,
}

/// A record in an invocation. Its number is its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Carried {
    pub number: usize,
    pub key: String,
    pub receives: u32,
}

impl Carried {
    pub fn new(delivered: &Delivered) -> Self {
        let number = delivered.body.parse().expect("a body is a number");
        Self { number, key: delivered.key.clone(), receives: delivered.receive_count }
    }
}

pub fn listed(records: &[Carried]) -> String {
    let each = |record: &Carried| format!("{}:{}", record.number, record.key);
    records.iter().map(each).collect::<Vec<_>>().join(" ")
}
