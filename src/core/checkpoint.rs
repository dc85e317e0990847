//! The durable position of one shard: everything up to it is settled, and some ranges above it. A tumbling window's
//! state counts exactly the records that the position covers, so both are one value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::record::Position;
use super::window::OpenWindow;

/// Up to where a shard is settled. Stored as JSON, so that a person can read a state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Everything up to here is settled.
    pub up_to: UpTo,
    /// Settled ranges above it, ascending, at most [`Checkpoint::RANGES_MAX`]. What is left out is repeated after a
    /// crash, never lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled_above: Vec<PositionRange>,
    /// The tumbling window of the last settled records, if it has not had its final call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<OpenWindow>,
}

impl Checkpoint {
    /// How many settled ranges a checkpoint keeps: the lowest ones.
    pub const RANGES_MAX: usize = 1_000;

    /// A checkpoint without settled ranges above it.
    #[must_use]
    pub fn at(up_to: UpTo) -> Self {
        Self { up_to, settled_above: Vec::new(), window: None }
    }
}

/// At first the starting position, then the last settled record, at last the end of the shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpTo {
    /// Nothing is settled; reading begins at the oldest record retained.
    TrimHorizon,
    /// Nothing is settled; reading begins at the tip as it was at this moment (`docs/semantics.md` 6.1).
    Latest(Timestamp),
    /// Nothing is settled; reading begins at the first record that arrived at this moment or later.
    AtTimestamp(Timestamp),
    /// Everything up to and including this record is settled.
    After(Position),
    /// The shard is closed and all of it is settled.
    Ended,
}

impl fmt::Display for UpTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => formatter.write_str("TRIM_HORIZON"),
            Self::Latest(since) => write!(formatter, "LATEST as of {}", since.as_millis()),
            Self::AtTimestamp(at) => write!(formatter, "AT_TIMESTAMP {}", at.as_millis()),
            Self::After(position) => write!(formatter, "after {}", position.sequence_number.as_str()),
            Self::Ended => formatter.write_str("the end"),
        }
    }
}

/// Positions from `first` to `last`, both included, all of them settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRange {
    /// The lowest settled position.
    pub first: Position,
    /// The highest settled position.
    pub last: Position,
}

impl PositionRange {
    /// Whether the position lies inside.
    #[must_use]
    pub fn contains(&self, position: &Position) -> bool {
        self.first <= *position && *position <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::SequenceNumber;

    #[test]
    fn a_person_can_read_up_to_where_a_shard_is_settled() {
        let at = Timestamp::from_millis(7);
        for (up_to, words) in [
            (UpTo::TrimHorizon, "TRIM_HORIZON"),
            (UpTo::Latest(at), "LATEST as of 7"),
            (UpTo::AtTimestamp(at), "AT_TIMESTAMP 7"),
            (UpTo::After(SequenceNumber::new("101").into()), "after 101"),
            (UpTo::Ended, "the end"),
        ] {
            assert_eq!(up_to.to_string(), words);
        }
    }

    /// What is as usual is not written, and is understood where it is missing.
    #[test]
    fn a_checkpoint_survives_its_text() {
        let position = |number: &str, index| Position { index, ..SequenceNumber::new(number).into() };
        let mut checkpoint = Checkpoint::at(UpTo::After(position("101", 0)));
        let text = serde_json::to_string(&checkpoint).expect("plain data");
        assert_eq!(text, r#"{"up_to":{"After":{"sequence_number":"101"}}}"#);
        assert_eq!(serde_json::from_str::<Checkpoint>(&text).expect("what was written"), checkpoint);

        checkpoint.settled_above.push(PositionRange { first: position("103", 2), last: position("104", 0) });
        let text = serde_json::to_string(&checkpoint).expect("plain data");
        assert_eq!(serde_json::from_str::<Checkpoint>(&text).expect("what was written"), checkpoint, "{text}");
    }

    #[test]
    fn a_range_holds_both_of_its_ends() {
        let position = |number: u32| Position::from(SequenceNumber::new(number.to_string()));
        let range = PositionRange { first: position(5), last: position(7) };
        assert_eq!([4, 5, 6, 7, 8].map(|number| range.contains(&position(number))), [false, true, true, true, false]);
    }
}
