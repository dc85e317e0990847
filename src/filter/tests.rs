//! The tables of `docs/semantics.md` 7, row by row; here is what all of them need.

mod explain;
mod lists;
mod operators;
mod patterns;
mod records;

use serde_json::{Value, json};

use super::*;

fn sqs(pattern: &str) -> RecordFilter {
    compiled(SourceKind::Sqs, &[pattern])
}

fn compiled(source: SourceKind, patterns: &[&str]) -> RecordFilter {
    RecordFilter::compile(source, patterns.iter().copied()).unwrap_or_else(|(_, error)| panic!("{error}: {patterns:?}"))
}

fn refusal(pattern: &str) -> String {
    match RecordFilter::compile(SourceKind::Sqs, [pattern]) {
        Ok(_) => panic!("{pattern} is taken"),
        Err((_, error)) => error.to_string(),
    }
}

fn matches(filter: &RecordFilter, record: &Value) -> bool {
    filter.matches(record.to_string().as_bytes())
}
