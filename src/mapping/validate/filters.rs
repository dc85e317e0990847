//! Filter patterns and what becomes of messages that match none (`docs/semantics.md` 1.7, 7.1). Whether a text is a pattern
//! says `crate::filter`; AWS has one sentence for all that is not.

use serde_json::Value;

use super::Check;
use super::members::Kind;
use super::rule::Rule;
use crate::filter::{RecordFilter, SourceKind};
use crate::mapping::StreamKind;
use crate::mapping::document::Filter;

impl Check<'_> {
    /// The filter, unless there is none or it is refused.
    pub(super) fn filters(&mut self, kind: Option<Kind>) -> Option<RecordFilter> {
        let filters = self.document.filter_criteria.as_ref().and_then(|criteria| criteria.filters.as_deref());
        let filters = filters.unwrap_or_default();
        self.keep_filtered(kind, !filters.is_empty());
        if filters.is_empty() {
            return None;
        }
        if filters.len() > FILTERS_MAX {
            self.refuse(FILTERS, Rule::TOO_MANY_FILTERS);
            return None;
        }
        self.pattern_lengths(filters);
        let patterns = filters.iter().map(|filter| filter.pattern.as_deref().unwrap_or_default());
        let refuse = |(place, error): (usize, crate::filter::InvalidPattern)| {
            let value = Value::from(filters[place].pattern.as_deref()).to_string();
            self.refuse_value(FILTERS, value, Rule::INVALID_PATTERN, Some(format!("filter {}: {error}", place + 1)));
        };
        RecordFilter::compile(kind.map_or(SourceKind::Sqs, source_kind), patterns).map_err(refuse).ok()
    }

    /// A constraint of the API's model, whose lists count from 1.
    fn pattern_lengths(&mut self, filters: &[Filter]) {
        for (place, filter) in filters.iter().enumerate() {
            let pattern = filter.pattern.as_deref().unwrap_or_default();
            if pattern.chars().count() > PATTERN_LENGTH_MAX {
                let field = format!("{FILTERS}.{}.member.Pattern", place + 1);
                self.refuse_value(
                    &field,
                    Value::from(pattern).to_string(),
                    Rule::no_longer_than(PATTERN_LENGTH_MAX),
                    None,
                );
            }
        }
    }

    fn keep_filtered(&mut self, kind: Option<Kind>, has_filters: bool) {
        if self.document.esmd.as_ref().and_then(|esmd| esmd.keep_filtered) != Some(true) {
            return;
        }
        if matches!(kind, Some(Kind::Stream(_))) {
            self.refuse(KEEP_FILTERED, Rule::KEEP_ON_STREAM);
        } else if !has_filters {
            self.refuse(KEEP_FILTERED, Rule::NEEDS_FILTERS);
        }
    }
}

fn source_kind(kind: Kind) -> SourceKind {
    match kind {
        Kind::Standard | Kind::Fifo => SourceKind::Sqs,
        Kind::Stream(StreamKind::Kinesis) => SourceKind::Kinesis,
        Kind::Stream(StreamKind::Dynamodb) => SourceKind::Dynamodb,
    }
}

const FILTERS: &str = "FilterCriteria.Filters";
const KEEP_FILTERED: &str = "Esmd.KeepFiltered";
const FILTERS_MAX: usize = 5;
const PATTERN_LENGTH_MAX: usize = 4_096;
