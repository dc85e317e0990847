//! What flows: a record with its place, its ordering key and its rendered element, and what one receive brought.
//! Knows nothing of any source's wire format.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A shard's name at its source. A queue counts as one endless shard without parents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// Takes the source's name for the shard, verbatim.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The source's name for the shard.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A stream's sequence number: an opaque decimal text, compared as an integer of any size (`docs/semantics.md` 6.6).
/// Servers exist that pad with zeros, so `"007"` equals `"7"`; the text is kept as it was given. Cloning shares it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// Takes the text as the source gave it.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text as the source gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn digits(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0.len() == other.0.len() {
            return self.0.cmp(&other.0); // whatever zeros either begins with
        }
        let (mine, theirs) = (self.digits(), other.digits());
        mine.len().cmp(&theirs.len()).then_with(|| mine.cmp(theirs))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SequenceNumber {}

/// A record's place in its shard. The records of one KPL aggregate share a sequence number; `index` tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The source's number.
    pub sequence_number: SequenceNumber,
    /// Place inside an aggregate, else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's `skip_serializing_if` hands a reference
fn is_zero(index: &u32) -> bool {
    *index == 0
}

impl From<SequenceNumber> for Position {
    fn from(sequence_number: SequenceNumber) -> Self {
        Self { sequence_number, index: 0 }
    }
}

/// What makes records of one key wait for each other: a message group, a partition key, an item's keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderingKey(Box<str>);

impl OrderingKey {
    /// Takes the key's text, verbatim.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A queue message's lease: the right to settle it, until it becomes visible to others again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The receipt handle of the latest receive.
    pub handle: Arc<str>,
    /// When the lease ends, already shortened by the source's safety margin.
    pub ends_at: Timestamp,
}

/// Where a record came from, and what settles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A queue's message: settled by deleting it under its receipt.
    Message {
        /// The `MessageId`, stable over redeliveries.
        id: Arc<str>,
        /// The lease of this receive.
        receipt: Receipt,
    },
    /// A stream's record: settled by the checkpoint that passes it.
    Position(Position),
}

/// One record, rendered once.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its identity at the source.
    pub origin: Origin,
    /// Its ordering key; `None` where the source promises no order.
    pub key: Option<OrderingKey>,
    /// When the source took it in: `SentTimestamp`, or the approximate arrival at a stream.
    pub arrived_at: Timestamp,
    /// Its element of the event's `Records`, as JSON text in a buffer of its own.
    pub element: Bytes,
}

/// What one receive brought. An empty one counts too.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// In the source's order.
    pub records: Vec<Record>,
    /// The places of those that no filter let through, ascending. They are never invoked, so their elements may be empty.
    pub filtered: Vec<usize>,
    /// How far behind the tip the source says this read was, in milliseconds; `None` where it does not say.
    pub behind_millis: Option<u64>,
    /// There was nothing more in the shard at some moment after this receive was asked for.
    pub at_tip: bool,
    /// When it was asked for. The shell says it.
    pub asked_at: Timestamp,
    /// The shard is closed and these are its last records.
    pub ended: bool,
    /// It brought about as many as were asked for, so more may wait. Of a queue only, whose lanes follow it.
    pub is_full: bool,
    /// Messages of a queue that were left, since their bodies could not be fetched.
    pub unresolved: usize,
    /// The source began at its oldest record, and why: positions before the last one are not repetitions.
    pub reset: Option<PositionReset>,
}

/// Why a source could not go on after the last position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionReset {
    /// What followed it is past its retention.
    Trimmed,
    /// It does not know the position: trimmed as well, or the stream is another one of the same name.
    Unknown,
}

impl PositionReset {
    /// The value of the label `reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 6.6 (invariant 75): compared as integers, not as text.
    #[test]
    fn sequence_numbers_compare_as_integers() {
        let number = SequenceNumber::new;
        assert!(number("9") < number("10"));
        assert!(number("000000000000000000000000000009") < number("10"));
        assert_eq!(number("007"), number("7"));
        assert_eq!(number("007").as_str(), "007");
        assert!(
            number("49660000000000000000000000000000000000000000000000000002")
                < number("49660000000000000000000000000000000000000000000000000010")
        );
        assert_eq!(number("0"), number("000"));
    }

    #[test]
    fn names_are_kept_as_they_were_given() {
        let shard = ShardId::new("shardId-000000000001");
        assert_eq!((shard.as_str(), shard.to_string()), ("shardId-000000000001", "shardId-000000000001".to_owned()));
        assert_eq!(OrderingKey::new("a b").as_str(), "a b");
        assert_eq!([PositionReset::Trimmed, PositionReset::Unknown].map(PositionReset::name), ["trimmed", "unknown"]);
    }
}
