//! Filters: which records of a source reach the function (`docs/semantics.md` 7). A [`RecordFilter`] is compiled once from a
//! mapping's patterns, then asked for each record in the form that the function would see. Pure; knows no mapping and
//! says nothing of what becomes of a record.
//!
//! Text becomes a pattern in `pattern`, a record what is matched in `subject`; `matcher` walks both; `explain` says
//! why they did not meet.

mod condition;
mod explain;
mod json;
mod matcher;
mod number;
mod pattern;
mod subject;
#[cfg(test)]
mod tests;

pub use explain::{Explanation, TestError, TestedRecord, test};
pub use pattern::InvalidPattern;

use json::{Json, Names};
use pattern::Pattern;
use subject::{Data, Form, Subject, data_text};

/// The services whose records are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A queue's messages.
    Sqs,
    /// A Kinesis stream's records.
    Kinesis,
    /// The records of a table's stream.
    Dynamodb,
}

/// The patterns of one mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordFilter {
    source: SourceKind,
    /// A record passes if one of them matches. At least one.
    patterns: Vec<Pattern>,
    /// The keys that are looked at: those of the patterns, and the way to the data.
    names: Names,
}

impl RecordFilter {
    /// Compiles at least one pattern. The error is the first that was found, by the place of its pattern.
    pub fn compile<'patterns>(
        source: SourceKind,
        patterns: impl IntoIterator<Item = &'patterns str>,
    ) -> Result<Self, (usize, InvalidPattern)> {
        let compile = |(place, text)| Self::pattern(source, text).map_err(|error| (place, error));
        let patterns: Vec<_> = patterns.into_iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        assert!(!patterns.is_empty(), "without patterns there is no filter");
        let mut names = Names::default();
        names.add("kinesis"); // whose members count as those of the record
        patterns.iter().flat_map(|pattern| &pattern.alternatives).for_each(|node| node.name_keys(&mut names));
        Ok(Self { source, patterns, names })
    }

    /// A Kinesis record's data is JSON to a pattern or nothing: AWS refuses the form that compares its text
    /// (`docs/semantics.md` 7.3).
    fn pattern(source: SourceKind, text: &str) -> Result<Pattern, InvalidPattern> {
        let pattern = Pattern::compile(text)?;
        let compares_data = |data: &pattern::Node| !data.conditions.is_empty();
        let mut alternatives = pattern.alternatives.iter();
        if source == SourceKind::Kinesis
            && alternatives.any(|alternative| alternative.children.get("data").is_some_and(compares_data))
        {
            return Err(InvalidPattern::new("data", "a pattern names members of the data, which has to be JSON"));
        }
        Ok(pattern)
    }

    /// Whether a record, as an element of the event's `Records`, matches any pattern. One that could not be read at all
    /// passes: it must not be deleted for that.
    #[must_use]
    pub fn matches(&self, element: &[u8]) -> bool {
        let names = Some(&self.names);
        let Some(record) = std::str::from_utf8(element).ok().and_then(|text| json::parse_only(text, names).ok()) else {
            return true;
        };
        self.with_subject(&record, names, |subject| self.patterns.iter().any(|pattern| matches(pattern, subject)))
    }

    /// The data is read only if a pattern looks at it, and only what is named of it.
    fn with_subject<T>(&self, record: &Json, names: Option<&Names>, judge: impl FnOnce(&Subject) -> T) -> T {
        let looks_at_data = |pattern: &Pattern| {
            pattern.alternatives.iter().any(|alternative| alternative.form(self.source) != Form::Metadata)
        };
        let text = if self.patterns.iter().any(looks_at_data) { data_text(self.source, record) } else { None };
        let data = Data::of(text.as_deref(), names);
        judge(&Subject::new(self.source, record, &data))
    }
}

fn matches(pattern: &Pattern, subject: &Subject) -> bool {
    pattern.alternatives.iter().any(|alternative| subject.matches(alternative))
}
