//! A record as the model sees it.

use esmd::core::Timestamp;
use esmd::core::record::{OrderingKey, Origin, Record};

use crate::source::{name, number};

/// A record that the consumer holds.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: usize,
    pub(super) key: Key,
    /// With its comma.
    pub(super) bytes: usize,
    /// Of its latest receive; 0 for a stream's.
    pub(super) receipt: usize,
    pub(super) arrived_at: Timestamp,
    /// When its lease ends; never for a stream's.
    pub(super) ends_at: Timestamp,
    /// It was waiting when a window ended.
    pub(super) is_ripe: bool,
}

/// A record without a key is a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Shared(OrderingKey),
    Own(usize),
}

impl Item {
    pub(super) fn new(record: &Record) -> Self {
        let name = name(record);
        let (receipt, ends_at) = match &record.origin {
            Origin::Message { receipt, .. } => (number(&receipt.handle), receipt.ends_at),
            Origin::Position(_) => (0, NEVER),
        };
        let key = record.key.clone().map_or(Key::Own(name), Key::Shared);
        let (bytes, arrived_at) = (record.element.len() + 1, record.arrived_at);
        Self { name, key, bytes, receipt, arrived_at, ends_at, is_ripe: false }
    }
}

/// When the lease of a stream's record ends.
pub(super) const NEVER: Timestamp = Timestamp::from_millis(u64::MAX);
