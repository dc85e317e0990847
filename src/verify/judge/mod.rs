//! The judges: pure functions from what was seen to what is wrong with it. Each takes a history of calls and their answers
//! with the moments at which they began and ended, as one client saw them, and counts only what no order of events within
//! those moments can excuse. Nothing here reads a clock, calls a server, or knows whose history it is.
//!
//! Invariant: a violation carries the events that show it, in order of time.

pub mod path;
pub mod queue;
pub mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::core::record::SequenceNumber;

/// A moment of a run: microseconds since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// This long after the beginning.
    #[must_use]
    pub fn after(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX))
    }

    /// This moment and so much time.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(Self::after(time).0))
    }

    /// The time since `earlier`, zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:9.4} s", Duration::from_micros(self.0).as_secs_f64())
    }
}

/// One record of the load: its key and its number within the key, from 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The ordering key: a message group, a partition key, an item's key.
    pub key: Arc<str>,
    /// The number within the key.
    pub number: u64,
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.key, self.number)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a body turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A record of this load.
    Ours(Entry),
    /// Something else: the beginning of its text.
    Foreign(String),
}

impl Seen {
    /// The record, if it is one of this load.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Ours(entry) => Some(entry),
            Self::Foreign(_) => None,
        }
    }
}

/// A record that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The record.
    pub entry: Entry,
    /// When the call began.
    pub began: Moment,
    /// When its answer, or the error in place of one, was there.
    pub answered: Moment,
    /// What the server said; `None`: there was no clear answer, so the record may be there or not.
    pub taken: Option<Taken>,
}

/// A server's word that it has a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The number that it gave it, if it gives one.
    pub sequence_number: Option<String>,
    /// The shard that it put it into, if it says so.
    pub shard: Option<String>,
}

/// What can be wrong. The first are of servers, the others of the whole path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The server took a record and never gave it out.
    Lost,
    /// The server gave out what nobody sent.
    Invented,
    /// A stream holds a record twice that was put once.
    Repeated,
    /// Two receivers held messages of one group at a time.
    DoubleLease,
    /// A record came before an earlier one of its group or key.
    Inversion,
    /// A message was handed out again before its visibility timeout ended.
    Visibility,
    /// A message came back after it was deleted.
    Undeleted,
    /// Numbers are missing, do not rise, or are not those of the answer to the put.
    SequenceNumbers,
    /// Shards, their parents, their ends and their ranges of hashes do not fit together.
    Lineage,
    /// A record did not reach the function with success.
    NotDelivered,
    /// The function was handed what nobody sent.
    InventedDelivery,
    /// First deliveries or first successes of a key were out of order.
    DeliveryOrder,
    /// Two invocations that ran at a time shared a key.
    OverlappingKey,
    /// A shard's records were invoked before those of its parents were over.
    ChildBeforeParent,
    /// A record that had succeeded was delivered again without a reason.
    UnexplainedRepeat,
    /// A message was given up that never failed.
    GivenUpEarly,
}

impl Kind {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Invented => "invented",
            Self::Repeated => "repeated",
            Self::DoubleLease => "double-lease",
            Self::Inversion => "inversion",
            Self::Visibility => "visibility",
            Self::Undeleted => "undeleted",
            Self::SequenceNumbers => "sequence-numbers",
            Self::Lineage => "lineage",
            Self::NotDelivered => "not-delivered",
            Self::InventedDelivery => "invented-delivery",
            Self::DeliveryOrder => "delivery-order",
            Self::OverlappingKey => "overlapping-key",
            Self::ChildBeforeParent => "child-before-parent",
            Self::UnexplainedRepeat => "unexplained-repeat",
            Self::GivenUpEarly => "given-up-early",
        }
    }
}

/// One thing that is wrong, with all that shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// What kind of thing.
    pub kind: Kind,
    /// A sentence.
    pub what: String,
    /// The records concerned.
    pub entries: Vec<Entry>,
    /// What happened, in order.
    pub events: Vec<String>,
}

/// Collects the events that show a violation.
#[derive(Debug, Default)]
struct Story(Vec<(Moment, String)>);

impl Story {
    fn tell(&mut self, at: Moment, event: impl Into<String>) {
        self.0.push((at, event.into()));
    }

    fn show(mut self, kind: Kind, entries: Vec<Entry>, what: impl Into<String>) -> Violation {
        self.0.sort_by_key(|(at, _)| *at);
        let events = self.0.into_iter().map(|(at, event)| format!("{at}  {event}")).collect();
        Violation { kind, what: what.into(), entries, events }
    }
}

impl Sent {
    fn tell(&self, story: &mut Story) {
        story.tell(self.began, format!("{} is sent", self.entry));
        let answer = match &self.taken {
            None => "has no clear answer".to_owned(),
            Some(Taken { shard: Some(shard), sequence_number: Some(number) }) => {
                format!("is taken, into {shard} as {number}")
            }
            Some(Taken { sequence_number: Some(number), .. }) => format!("is taken, as {number}"),
            Some(_) => "is taken".to_owned(),
        };
        story.tell(self.answered, format!("{} {answer}", self.entry));
    }
}

/// The records that were put after another one of their key, yet have no greater number in the answer.
fn numbers_that_fall(sent: &[Sent]) -> Option<Violation> {
    let mut last: BTreeMap<&str, (&Sent, SequenceNumber)> = BTreeMap::new();
    let (mut fallen, mut story) = (Vec::new(), Story::default());
    for next in sent {
        let Some(text) = next.taken.as_ref().and_then(|taken| taken.sequence_number.as_deref()) else { continue };
        let number = SequenceNumber::new(text);
        if let Some((before, before_number)) = last.get(&*next.entry.key)
            && before.answered <= next.began
            && number <= *before_number
        {
            if fallen.len() < TOLD_MAX {
                before.tell(&mut story);
                next.tell(&mut story);
            }
            fallen.push(next.entry.clone());
        }
        last.insert(&next.entry.key, (next, number));
    }
    let what = format!(
        "{} without a greater number than the one put before: {}",
        count(fallen.len(), "record"),
        names(&fallen)
    );
    (!fallen.is_empty()).then(|| story.show(Kind::SequenceNumbers, fallen, what))
}

/// Names some entries, and says how many more there are.
fn names<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let entries: Vec<String> = entries.into_iter().map(ToString::to_string).collect();
    let shown = entries.len().min(NAMED_MAX);
    let more = if entries.len() > shown { format!(" and {} more", entries.len() - shown) } else { String::new() };
    entries[..shown].join(", ") + &more
}

/// A number and its noun.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// More names than this make a sentence unreadable; a violation's `entries` hold them all.
const NAMED_MAX: usize = 12;

/// Events are told of so many of the records that a violation names.
const TOLD_MAX: usize = 3;

#[cfg(test)]
pub(super) fn entry(key: &str, number: u64) -> Entry {
    Entry { key: key.into(), number }
}

#[cfg(test)]
pub(super) fn at(milliseconds: u64) -> Moment {
    Moment::after(Duration::from_millis(milliseconds))
}
