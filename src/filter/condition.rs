//! What a leaf of a pattern asks of one value (`docs/semantics.md` 7.2). Knows no path, no record, and not how it was
//! written.

use std::net::IpAddr;

use super::json::Json;
use super::number::{Number, NumberRange};

/// The list at a leaf: one of its matchers has to match.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition(pub(super) Vec<Matcher>);

/// One element of a leaf's list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Matcher {
    Null,
    Bool(bool),
    Number(Number),
    Range(NumberRange),
    Text(TextRule),
    Address(AddressRange),
    /// Any value, or none.
    Exists(bool),
    /// A value that none of these matches.
    AnythingBut(Vec<Matcher>),
}

/// What is asked of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextRule {
    pub(super) place: Place,
    /// Lower case if case does not matter. Of a wildcard as it is written.
    pub(super) text: Box<str>,
    /// Whether case does not matter.
    pub(super) folded: bool,
}

/// Where in a value the text has to stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Whole,
    Start,
    End,
    /// These one after another, with anything in between: the first at the start, the last at the end.
    Pieces(Vec<Box<str>>),
}

/// Addresses that share their first bits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AddressRange {
    address: IpAddr,
    bits: u32,
}

impl Condition {
    /// Whether it holds if there is no value at all.
    pub(super) fn allows_absence(&self) -> bool {
        self.0.contains(&Matcher::Exists(false))
    }

    /// Whether it holds by this value, which is no object and no list.
    pub(super) fn matches(&self, leaf: &Json) -> bool {
        self.0.iter().any(|matcher| matcher.matches(leaf))
    }
}

impl Matcher {
    fn matches(&self, leaf: &Json) -> bool {
        match (self, leaf) {
            (Self::Exists(wanted), _) => *wanted,
            (Self::AnythingBut(excluded), leaf) => !excluded.iter().any(|matcher| matcher.matches(leaf)),
            (Self::Null, Json::Null) => true,
            (Self::Bool(wanted), Json::Bool(value)) => wanted == value,
            (Self::Number(wanted), Json::Number(value)) => wanted.equals(value),
            (Self::Range(range), Json::Number(value)) => range.contains(value),
            (Self::Text(rule), Json::Text(value)) => rule.holds(value),
            (Self::Address(range), Json::Text(value)) => range.contains(value),
            _ => false,
        }
    }
}

impl TextRule {
    /// A text that is exactly this.
    pub(super) fn exactly(text: &str) -> Self {
        Self { place: Place::Whole, text: text.into(), folded: false }
    }

    pub(super) fn new(place: Place, text: &str, folded: bool) -> Self {
        let text = if folded { text.to_lowercase().into() } else { text.into() };
        Self { place, text, folded }
    }

    fn holds(&self, value: &str) -> bool {
        if self.folded { self.stands_in(&value.to_lowercase()) } else { self.stands_in(value) }
    }

    fn stands_in(&self, value: &str) -> bool {
        match &self.place {
            Place::Whole => *self.text == *value,
            Place::Start => value.starts_with(&*self.text),
            Place::End => value.ends_with(&*self.text),
            Place::Pieces(pieces) => stand_one_after_another(pieces, value),
        }
    }
}

/// The earliest place for each piece is always good enough.
fn stand_one_after_another(pieces: &[Box<str>], value: &str) -> bool {
    match pieces {
        [] => value.is_empty(),
        [whole] => **whole == *value,
        [first, middle @ .., last] => {
            let inner = value.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
            let rest = middle.iter().try_fold(inner, |rest, piece| {
                let rest = rest?;
                rest.find(&**piece).map(|at| Some(&rest[at + piece.len()..]))
            });
            rest.flatten().is_some()
        }
    }
}

impl AddressRange {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`. Bits of the address behind the first ones do not count.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u32 = bits.bytes().all(|byte| byte.is_ascii_digit()).then(|| bits.parse().ok())??;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
    }

    fn contains(&self, text: &str) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let rest = width - self.bits;
            one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        };
        match (self.address, text.parse()) {
            (IpAddr::V4(one), Ok(IpAddr::V4(other))) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), Ok(IpAddr::V6(other))) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}
