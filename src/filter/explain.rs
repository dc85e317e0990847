//! Says in words why a record does not match, for whoever wrote the pattern: the path, what stands there, what was asked,
//! and the usual mistake if it looks like one. Judges nothing by itself: whether a record matches says `matcher`.

use std::fmt::Write as _;

use super::condition::{Condition, Matcher, Place, TextRule};
use super::json::{self, Json, NotJson};
use super::matcher::{Site, below};
use super::pattern::{InvalidPattern, Node, Pattern};
use super::subject::{Data, Form, Subject};
use super::{RecordFilter, SourceKind, matches};

/// Why a record does not match one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The pattern's place among the patterns, from 0.
    pub filter: usize,
    /// One line.
    pub why: String,
}

/// What was found out about one record of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestedRecord {
    /// Whether it would reach the function.
    pub matched: bool,
    /// If not, why, for each pattern.
    pub misses: Vec<Explanation>,
}

/// Why nothing could be found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestError {
    /// There is nothing to test.
    #[error("there is no pattern")]
    NoPattern,
    /// Lambda would refuse the mapping.
    #[error("pattern {} is invalid", .0 + 1)]
    Pattern(usize, #[source] InvalidPattern),
    /// The event cannot be read.
    #[error("the event is {0}")]
    Event(NotJson),
    /// It is neither a record nor an event with records.
    #[error("the event is neither a record nor an object with a list Records that holds some")]
    NoRecords,
    /// It does not say where it came from.
    #[error("the event does not show its source: name it as sqs, kinesis or dynamodb")]
    UnknownSource,
}

/// Tests each record of an event, which is one record or `{"Records": […]}`. Without a source the first record shows it.
pub fn test(patterns: &[String], event: &str, source: Option<SourceKind>) -> Result<Vec<TestedRecord>, TestError> {
    if patterns.is_empty() {
        return Err(TestError::NoPattern);
    }
    let event = json::parse(event).map_err(TestError::Event)?;
    let members = event.as_object().ok_or(TestError::NoRecords)?;
    let records = match members.get("Records") {
        Some(Json::List(records)) if records.iter().all(|record| record.as_object().is_some()) => records.as_slice(),
        Some(_) => return Err(TestError::NoRecords),
        None => std::slice::from_ref(&event),
    };
    let first = records.first().ok_or(TestError::NoRecords)?;
    let source = source.or_else(|| SourceKind::of(first)).ok_or(TestError::UnknownSource)?;
    let filter = RecordFilter::compile(source, patterns.iter().map(String::as_str));
    let filter = filter.map_err(|(place, error)| TestError::Pattern(place, error))?;
    Ok(records.iter().map(|record| filter.test(record)).collect())
}

impl RecordFilter {
    fn test(&self, record: &Json) -> TestedRecord {
        self.with_subject(record, None, |subject| {
            let matched = self.patterns.iter().any(|pattern| matches(pattern, subject));
            let patterns = self.patterns.iter().enumerate().filter(|_| !matched);
            let misses = patterns.map(|(filter, pattern)| Explanation { filter, why: why_not(pattern, subject) });
            TestedRecord { matched, misses: misses.collect() }
        })
    }
}

/// What keeps a record from matching the pattern, which it does not.
fn why_not(pattern: &Pattern, subject: &Subject) -> String {
    let mut ways: Vec<String> = Vec::new();
    for alternative in &pattern.alternatives {
        let way = misses(alternative, subject).join(", and ");
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    let more = ways.len().saturating_sub(ALTERNATIVES_SHOWN);
    ways.truncate(ALTERNATIVES_SHOWN);
    let mut line = if ways.len() == 1 { String::new() } else { "no alternative of $or matches: ".to_owned() };
    line.push_str(&ways.join("; or "));
    if more > 0 {
        _ = write!(line, "; and {more} more");
    }
    line
}

/// What an alternative asks for in vain, at least one thing.
fn misses(alternative: &Node, subject: &Subject) -> Vec<String> {
    let mut misses = Vec::new();
    let form = alternative.form(subject.source);
    let fits = subject.fits(form);
    for (key, child) in &alternative.children {
        if Some(&**key) == subject.source.data_key() && !fits {
            misses.push(misfit(key, child, form, subject));
            continue;
        }
        let before = misses.len();
        let sites = subject.below(key);
        let hint = nearest_at_top(key, subject);
        Walk { subject, misses: &mut misses }.look(child, key, &sites, Some(&hint));
        if misses.len() == before && !super::matcher::holds(child, &sites) {
            misses.push(apart(child, key));
        }
    }
    misses
}

/// The data does not have the form that the pattern asks for (`docs/semantics.md` 7.3).
fn misfit(key: &str, data: &Node, form: Form, subject: &Subject) -> String {
    let member = data.children.keys().next().map(|member| format!("{key}.{member}")).unwrap_or_default();
    match (subject.data, form) {
        (Data::Json(_), _) => {
            format!(
                "{key} is JSON, and the pattern compares its text: name its members, as in {{\"{key}\": {{\"name\": [\"value\"]}}}}"
            )
        }
        (Data::Text(_), Form::Json) => {
            format!("{key} is no JSON object or list, so there is no {member}: such records are filtered out")
        }
        (Data::Opaque, _) if below(&subject.tops, key).iter().any(|site| is_no_text(*site)) => {
            format!("{key} is not a text in this event: a record's {key} is a text, which may hold JSON")
        }
        _ => format!("{key} is missing, or holds bytes that are no text"),
    }
}

fn is_no_text(site: Site) -> bool {
    site.value().is_some_and(|value| value.as_text().is_none())
}

/// Goes down a pattern's node beside the record, and looks at each condition by itself.
struct Walk<'walk, 'record> {
    subject: &'walk Subject<'record>,
    misses: &'walk mut Vec<String>,
}

impl<'record> Walk<'_, 'record> {
    /// `hint` is what may be wrong if nothing stands at the path.
    fn look(&mut self, node: &Node, path: &str, sites: &[Site<'record>], hint: Option<&str>) {
        let sites = spread(sites);
        let values: Vec<&Json> = sites.iter().filter_map(|site| site.value()).collect();
        let leaves: Vec<&Json> = values.iter().copied().filter(|value| !value.is_container()).collect();
        for condition in &node.conditions {
            let holds = if leaves.is_empty() {
                condition.allows_absence()
            } else {
                leaves.iter().any(|leaf| condition.matches(leaf))
            };
            if !holds {
                self.misses.push(miss(condition, path, &leaves, &sites, self.subject.source, hint));
            }
        }
        for (key, child) in &node.children {
            let path = format!("{path}.{key}");
            let found = nearest(key, &values).or_else(|| displaced(&path, self.subject));
            let hint = if sites.is_empty() { hint } else { found.as_deref() };
            self.look(child, &path, &below(&sites, key), hint);
        }
    }
}

/// The sites with each list replaced by what it holds.
fn spread<'json>(sites: &[Site<'json>]) -> Vec<Site<'json>> {
    let mut all = Vec::new();
    for site in sites {
        match site.value() {
            Some(Json::List(values)) => all.extend(spread(&values.iter().map(Site::from).collect::<Vec<_>>())),
            _ => all.push(*site),
        }
    }
    all
}

fn miss(
    condition: &Condition,
    path: &str,
    leaves: &[&Json],
    sites: &[Site],
    source: SourceKind,
    hint: Option<&str>,
) -> String {
    let found = match leaves {
        [] if sites.is_empty() => "is missing".to_owned(),
        [] => "is an object".to_owned(),
        [leaf] => format!("is {}", shown(leaf)),
        several => {
            let first: Vec<_> = several.iter().take(LEAVES_SHOWN).map(|leaf| shown(leaf)).collect();
            let more = if several.len() > LEAVES_SHOWN { ", …" } else { "" };
            format!("holds {}{more}", first.join(", "))
        }
    };
    let hint = match leaves {
        [] if sites.is_empty() => hint,
        [] => Some("a list stands at a value, not at an object: name its members"),
        leaves => mistake(condition, leaves, source),
    };
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{path} {found}, expected {}{hint}", expected(condition))
}

/// All conditions hold, but not together: a list is to have one element that meets all of them.
fn apart(mut node: &Node, key: &str) -> String {
    let mut path = key.to_owned();
    while let (true, 1) = (node.conditions.is_empty(), node.children.len()) {
        let Some((key, child)) = node.children.iter().next() else { break };
        _ = write!(path, ".{key}");
        node = child;
    }
    let below: Vec<_> = node.children.keys().map(|key| format!("{path}.{key}")).collect();
    format!("{} are all met, but by no single element of {path}", below.join(" and "))
}

/// A key that differs in case alone.
fn nearest(key: &str, values: &[&Json]) -> Option<String> {
    let keys = values.iter().filter_map(|value| value.as_object()).flat_map(|members| members.keys());
    let other = keys.into_iter().find(|other| *other != key && other.to_lowercase() == key.to_lowercase())?;
    Some(format!("there is {other}: case matters in keys"))
}

fn nearest_at_top(key: &str, subject: &Subject) -> String {
    let values: Vec<&Json> = subject.tops.iter().filter_map(|site| site.value()).collect();
    let members = match subject.data {
        Data::Json(Json::Object(members)) => Some(members),
        _ => None,
    };
    let in_data = members.filter(|members| members.contains_key(key)).and(subject.source.data_key());
    let in_data = in_data.map(|data_key| format!("there is {data_key}.{key}: the pattern begins at the record"));
    in_data.or_else(|| nearest(key, &values)).unwrap_or_else(|| {
        let data_key = subject.source.data_key().unwrap_or("dynamodb");
        format!("a pattern begins at the record, whose data is under {data_key}")
    })
}

/// Data of Kinesis is not looked for where the event has it.
fn displaced(path: &str, subject: &Subject) -> Option<String> {
    (subject.source == SourceKind::Kinesis && path.starts_with("kinesis.data."))
        .then(|| "write data at the top of the pattern, not under kinesis".to_owned())
}

/// What looks like the same to a person.
fn mistake(condition: &Condition, leaves: &[&Json], source: SourceKind) -> Option<&'static str> {
    let texts = || leaves.iter().filter_map(|leaf| leaf.as_text());
    let is_number = |text: &str| matches!(json::parse(text), Ok(Json::Number(_)));
    for matcher in &condition.0 {
        let hint = match matcher {
            Matcher::Range(_) | Matcher::Number(_) if texts().any(is_number) => match source {
                SourceKind::Dynamodb => "DynamoDB writes numbers as texts, which are never compared as numbers",
                SourceKind::Sqs | SourceKind::Kinesis => "this is a text, and only numbers are compared with numbers",
            },
            Matcher::Text(TextRule { folded: false, text, .. })
                if texts().any(|found| found.to_lowercase() == text.to_lowercase()) =>
            {
                "case matters: equals-ignore-case passes over it"
            }
            Matcher::Text(TextRule { place: Place::Whole, text, .. })
                if leaves.iter().any(|leaf| !matches!(leaf, Json::Text(_)) && shown(leaf) == **text) =>
            {
                "this is no text: write it without quotes"
            }
            _ => continue,
        };
        return Some(hint);
    }
    None
}

fn expected(condition: &Condition) -> String {
    condition.0.iter().map(words).collect::<Vec<_>>().join(" or ")
}

fn words(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Null => "null".to_owned(),
        Matcher::Bool(value) => value.to_string(),
        Matcher::Number(number) => number.as_str().to_owned(),
        Matcher::Range(range) => {
            let side = |sign: char, bound: &super::number::Bound| {
                format!("{sign}{} {}", if bound.inclusive { "=" } else { "" }, bound.text)
            };
            let sides = range
                .lower
                .iter()
                .map(|bound| side('>', bound))
                .chain(range.upper.iter().map(|bound| side('<', bound)));
            format!("a number {}", sides.collect::<Vec<_>>().join(" and "))
        }
        Matcher::Text(rule) => text_words(rule),
        Matcher::Address(range) => format!("an address in {range}"),
        Matcher::Exists(true) => "any value".to_owned(),
        Matcher::Exists(false) => "no value".to_owned(),
        Matcher::AnythingBut(excluded) => {
            format!("anything but {}", excluded.iter().map(words).collect::<Vec<_>>().join(", "))
        }
    }
}

fn text_words(rule: &TextRule) -> String {
    let text = quoted(&rule.text);
    let words = match &rule.place {
        Place::Whole => text,
        Place::Start => format!("a text that begins with {text}"),
        Place::End => format!("a text that ends with {text}"),
        Place::Pieces(_) => format!("a text like {text}"),
    };
    if rule.folded { format!("{words} in any case") } else { words }
}

fn shown(leaf: &Json) -> String {
    match leaf {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => (*text).to_owned(),
        Json::Text(text) => quoted(text),
        Json::List(_) | Json::Object(_) => unreachable!("a leaf holds no other values"),
    }
}

/// As JSON, so that it is one line, and not without end.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(CHARACTERS_SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", serde_json::Value::from(short))
}

const ALTERNATIVES_SHOWN: usize = 4;
const LEAVES_SHOWN: usize = 3;
const CHARACTERS_SHOWN: usize = 60;
