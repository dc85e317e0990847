//! From a pattern's text to what is matched (`docs/semantics.md` 7.1, 7.2): strictly, as whatever is misread here would
//! later delete messages. A pattern with `$or` becomes its alternatives, each without one, so that all conditions on an
//! object in a list can be held against the same object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::{AddressRange, Condition, Matcher, Place, TextRule};
use super::json::{self, Json, Members, Names};
use super::number::{Bound, Number, NumberRange, comparable};

/// A compiled pattern: it matches what one of its alternatives matches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    /// At least one.
    pub(super) alternatives: Vec<Node>,
}

/// What is asked at one path, and of what lies below it. All of it has to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) conditions: Vec<Arc<Condition>>,
    pub(super) children: BTreeMap<Box<str>, Node>,
}

/// Why a pattern is refused, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if path.is_empty() { String::new() } else { format!("at {path}: ") })]
pub struct InvalidPattern {
    /// The keys down to it, with dots between; empty at the top.
    pub path: String,
    /// In words.
    pub reason: String,
}

impl InvalidPattern {
    pub(super) fn new(path: &str, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

impl Pattern {
    pub(super) fn compile(text: &str) -> Result<Self, InvalidPattern> {
        let json = json::parse(text).map_err(|error| InvalidPattern::new("", format!("the pattern is {error}")))?;
        let Json::Object(members) = json else {
            return Err(InvalidPattern::new("", "a pattern is a JSON object"));
        };
        let alternatives = alternatives_of(&members, None)?;
        Ok(Self { alternatives: alternatives.into_iter().map(Node::of).collect() })
    }
}

impl Node {
    fn of(leaves: Vec<Leaf>) -> Self {
        let mut root = Self::default();
        for Leaf { path, condition } in leaves {
            let below = |node, segment: &str| -> &mut Self { Self::child(node, segment) };
            path.split('.').fold(&mut root, below).conditions.push(condition);
        }
        root
    }

    /// All keys in it.
    pub(super) fn name_keys(&self, names: &mut Names) {
        for (key, child) in &self.children {
            names.add(key);
            child.name_keys(names);
        }
    }

    fn child<'node>(node: &'node mut Self, segment: &str) -> &'node mut Self {
        node.children.entry(segment.into()).or_default()
    }
}

/// A condition and its path. A dot in a key is the same as a level.
#[derive(Clone)]
struct Leaf {
    path: String,
    condition: Arc<Condition>,
}

/// What an object asks, without `$or`: each alternative with all its leaves. It has no path at the top; an empty one is that
/// of an empty key.
fn alternatives_of(members: &Members, path: Option<&str>) -> Result<Vec<Vec<Leaf>>, InvalidPattern> {
    if members.is_empty() {
        return Err(InvalidPattern::new(path.unwrap_or_default(), "an empty object asks for nothing"));
    }
    let mut alternatives = vec![Vec::new()];
    for (key, value) in members {
        let below = path.map_or_else(|| key.to_string(), |path| format!("{path}.{key}"));
        let of_member = match value {
            Json::List(values) => match alternatives_of_or(key, values) {
                Some(objects) => {
                    let each = objects.into_iter().map(|object| alternatives_of(object, path));
                    each.collect::<Result<Vec<_>, _>>()?.concat()
                }
                None => vec![vec![Leaf { condition: Arc::new(condition(values, &below)?), path: below }]],
            },
            Json::Object(members) => alternatives_of(members, Some(&below))?,
            _ => return Err(InvalidPattern::new(&below, "a value stands in a list, such as [\"value\"]")),
        };
        if alternatives.len() * of_member.len() > ALTERNATIVES_MAX {
            return Err(InvalidPattern::new(
                path.unwrap_or_default(),
                format!("more than {ALTERNATIVES_MAX} combinations of $or"),
            ));
        }
        alternatives = combined(&alternatives, &of_member);
    }
    Ok(alternatives)
}

/// The objects of a `$or`. Of any other form the key is a field's name.
fn alternatives_of_or<'json>(key: &str, values: &'json [Json]) -> Option<Vec<&'json Members<'json>>> {
    let objects: Option<Vec<_>> = values.iter().map(Json::as_object).collect();
    objects.filter(|objects| {
        let is_reserved = |key: &str| RESERVED.contains(&key);
        key == "$or" && objects.len() >= 2 && !objects.iter().any(|object| object.keys().any(|key| is_reserved(key)))
    })
}

fn combined(some: &[Vec<Leaf>], others: &[Vec<Leaf>]) -> Vec<Vec<Leaf>> {
    some.iter().flat_map(|one| others.iter().map(|other| [one.as_slice(), other].concat())).collect()
}

fn condition(values: &[Json], path: &str) -> Result<Condition, InvalidPattern> {
    if values.is_empty() {
        return Err(InvalidPattern::new(path, "an empty list matches nothing"));
    }
    values.iter().map(|value| matcher(value, path)).collect::<Result<_, _>>().map(Condition)
}

fn matcher(value: &Json, path: &str) -> Result<Matcher, InvalidPattern> {
    match value {
        Json::Null => Ok(Matcher::Null),
        Json::Bool(value) => Ok(Matcher::Bool(*value)),
        Json::Number(text) => Ok(Matcher::Number(Number::new(text))),
        Json::Text(text) => Ok(Matcher::Text(TextRule::exactly(text))),
        Json::List(_) => Err(InvalidPattern::new(path, "a list holds values and operators, no other list")),
        Json::Object(members) => {
            let (operator, operand) = only_member(members, path)?;
            operation(operator, operand).map_err(|reason| InvalidPattern::new(path, format!("{operator}: {reason}")))
        }
    }
}

fn only_member<'json>(members: &'json Members, path: &str) -> Result<(&'json str, &'json Json<'json>), InvalidPattern> {
    let mut members = members.iter();
    match (members.next(), members.next()) {
        (Some((key, value)), None) => Ok((key.as_ref(), value)),
        (None, _) => Err(InvalidPattern::new(path, "an object in a list names one operator, this one none")),
        (Some(_), Some(_)) => {
            Err(InvalidPattern::new(path, "an object in a list names one operator, this one several"))
        }
    }
}

type Reason = &'static str;

fn operation(operator: &str, operand: &Json) -> Result<Matcher, Reason> {
    match operator {
        "exists" => match operand {
            Json::Bool(wanted) => Ok(Matcher::Exists(*wanted)),
            _ => Err("is true or false"),
        },
        "numeric" => range(operand).map(Matcher::Range),
        "cidr" => operand
            .as_text()
            .and_then(AddressRange::parse)
            .map(Matcher::Address)
            .ok_or("needs a range such as 10.0.0.0/8"),
        "anything-but" => anything_but(operand).map(Matcher::AnythingBut),
        _ => text_rule(operator, operand).map(Matcher::Text),
    }
}

fn text_rule(operator: &str, operand: &Json) -> Result<TextRule, Reason> {
    let place = match operator {
        "exactly" | "equals-ignore-case" => Place::Whole,
        "prefix" => Place::Start,
        "suffix" => Place::End,
        "wildcard" => Place::Pieces(pieces(operand.as_text().ok_or(NEEDS_TEXT)?)?),
        _ => return Err("is no operator"),
    };
    if let (Place::Start | Place::End, Json::Object(members)) = (&place, operand) {
        let inner = members.get("equals-ignore-case").filter(|_| members.len() == 1);
        let text = inner.and_then(Json::as_text).ok_or("takes a text or {\"equals-ignore-case\": text}")?;
        return Ok(TextRule::new(place, text, true));
    }
    let text = operand.as_text().ok_or(NEEDS_TEXT)?;
    Ok(TextRule::new(place, text, operator == "equals-ignore-case"))
}

/// What stands between the stars of a wildcard.
fn pieces(wildcard: &str) -> Result<Vec<Box<str>>, Reason> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut characters = wildcard.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.peek() == Some(&'*') => return Err("two stars in a row say no more than one"),
            '*' => pieces.push(std::mem::take(&mut piece).into()),
            '\\' => piece.push(
                characters.next().filter(|next| matches!(next, '*' | '\\')).ok_or("only \\* and \\\\ are escapes")?,
            ),
            other => piece.push(other),
        }
    }
    pieces.push(piece.into());
    Ok(pieces)
}

fn range(operand: &Json) -> Result<NumberRange, Reason> {
    let Json::List(parts) = operand else { return Err("needs a list such as [\">\", 0, \"<=\", 5]") };
    let mut range = NumberRange::default();
    if parts.is_empty() || parts.len() % 2 == 1 {
        return Err("needs a number after each comparison");
    }
    for pair in parts.chunks_exact(2) {
        let [Json::Text(comparison), Json::Number(text)] = pair else {
            return Err("needs a number after each comparison");
        };
        let value = comparable(text).ok_or("compares only numbers that a double holds")?;
        let bound = |inclusive| Some(Bound { value, text: (*text).into(), inclusive });
        let (lower, upper) = match comparison.as_ref() {
            "=" if parts.len() == 2 => (bound(true), bound(true)),
            "=" => return Err("= stands alone"),
            ">" => (bound(false), None),
            ">=" => (bound(true), None),
            "<" => (None, bound(false)),
            "<=" => (None, bound(true)),
            _ => return Err("compares by =, <, <=, > and >="),
        };
        if (lower.is_some() && range.lower.is_some()) || (upper.is_some() && range.upper.is_some()) {
            return Err("has at most one lower and one upper bound");
        }
        range = NumberRange { lower: lower.or(range.lower), upper: upper.or(range.upper) };
    }
    if range.is_empty() { Err("no number lies between these bounds") } else { Ok(range) }
}

fn anything_but(operand: &Json) -> Result<Vec<Matcher>, Reason> {
    match operand {
        Json::Text(text) => Ok(vec![Matcher::Text(TextRule::exactly(text))]),
        Json::Number(text) => Ok(vec![Matcher::Number(Number::new(text))]),
        Json::List(values) => all_texts(values)
            .map(|texts| texts.into_iter().map(|text| Matcher::Text(TextRule::exactly(text))).collect())
            .or_else(|| all_numbers(values))
            .ok_or("takes a list of texts alone or of numbers alone"),
        Json::Object(members) => {
            let mut members = members.iter();
            let (Some((operator, operand)), None) = (members.next(), members.next()) else {
                return Err("takes one operator");
            };
            anything_but_rules(operator, operand)
        }
        Json::Null | Json::Bool(_) => Err("takes texts, numbers or an operator"),
    }
}

fn anything_but_rules(operator: &str, operand: &Json) -> Result<Vec<Matcher>, Reason> {
    if !matches!(operator, "prefix" | "suffix" | "equals-ignore-case" | "wildcard") {
        return Err("takes prefix, suffix, equals-ignore-case or wildcard");
    }
    let operands = match operand {
        Json::List(values) => all_texts(values).map(|_| values.as_slice()),
        Json::Text(_) => Some(std::slice::from_ref(operand)),
        _ => None,
    };
    let operands = operands.ok_or("its operator takes a text or a list of texts")?;
    let is_empty = |operand: &Json| operand.as_text() == Some("");
    if matches!(operator, "prefix" | "suffix") && operands.iter().any(is_empty) {
        return Err("every text begins and ends with the empty one");
    }
    operands.iter().map(|operand| text_rule(operator, operand).map(Matcher::Text)).collect()
}

fn all_texts<'json>(values: &'json [Json]) -> Option<Vec<&'json str>> {
    let texts: Option<Vec<_>> = values.iter().map(Json::as_text).collect();
    texts.filter(|texts| !texts.is_empty())
}

fn all_numbers(values: &[Json]) -> Option<Vec<Matcher>> {
    let number = |value: &Json| match value {
        Json::Number(text) => Some(Matcher::Number(Number::new(text))),
        _ => None,
    };
    values.iter().map(number).collect::<Option<Vec<_>>>().filter(|numbers| !numbers.is_empty())
}

const NEEDS_TEXT: Reason = "needs a text";

/// `EventBridge` refuses patterns of more.
const ALTERNATIVES_MAX: usize = 1_000;

/// Keys that make an object an operator and no alternative of `$or` (`docs/semantics.md` 7.2).
const RESERVED: [&str; 24] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];
