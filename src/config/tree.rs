//! Walks the tree of a file against the two tables of what may stand there, the daemon's settings and the members of a
//! mapping, and collects every mistake instead of stopping at the first. What it hands on has the right names and
//! shapes; ranges and combinations of a mapping's members are judged by the mapping's own validation alone.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::answer::{self, AnswerMember};
use super::problem::Problem;
use super::settings::{GivenSettings, SETTINGS};
use super::yaml::{Key, Node, Place, Value};
use crate::mapping::document::{FIELDS, Field, MappingDocument, Shape};

/// What a file says, as far as its names and shapes are right.
#[derive(Debug, Default)]
pub struct Contents<'a> {
    /// The daemon's settings.
    pub settings: GivenSettings,
    /// The mappings, in the order of the file.
    pub mappings: Vec<ShapedMapping<'a>>,
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
}

/// A mapping of which every member has the right shape, or is left out and blamed.
#[derive(Debug)]
pub struct ShapedMapping<'a> {
    /// Where it stands.
    pub node: &'a Node,
    /// Its members that are as they should be.
    pub document: MappingDocument,
    /// Members that are left out because of a problem, or that an unknown key probably meant: that validation misses
    /// them is no news.
    pub blamed: BTreeSet<&'static str>,
}

impl<'a> Contents<'a> {
    /// Reads a whole file.
    #[must_use]
    pub fn read(root: &'a Node) -> Self {
        let mut contents = Self::default();
        let entries = contents.table("the configuration", root);
        contents.read_settings("", entries);
        contents
    }

    /// Reads a file of one mapping's members.
    pub fn read_one(root: &'a Node) -> Result<MappingDocument, Vec<Problem>> {
        let mut contents = Self::default();
        contents.read_mapping(root);
        match contents.mappings.pop() {
            Some(mapping) if contents.problems.is_empty() => Ok(mapping.document),
            _ => {
                contents.problems.sort();
                Err(contents.problems)
            }
        }
    }

    /// Reads the entries of the table that `prefix` leads to: empty, or with a dot at its end.
    fn read_settings(&mut self, prefix: &str, entries: &'a [(Key, Node)]) {
        for (key, node) in entries {
            let path = format!("{prefix}{}", key.name);
            if path == MAPPINGS {
                for element in self.list(&path, node) {
                    self.read_mapping(element);
                }
            } else if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == path) {
                if let Some(text) = self.scalar(&path, node)
                    && let Err(expected) = (setting.read)(&mut self.settings, &text)
                {
                    self.problem(node.place, format!("invalid value for `{path}`"), Some(expected));
                }
            } else if SETTINGS.iter().any(|setting| is_below(setting.key, &path)) {
                let entries = self.table(&path, node);
                self.read_settings(&format!("{path}."), entries);
            } else {
                self.unknown(key, &keys_below(prefix));
            }
        }
    }

    fn read_mapping(&mut self, node: &'a Node) {
        if !matches!(node.value, Value::Table(_)) {
            return self.mismatch(MAPPINGS, "expected the members of a mapping", node);
        }
        let mut members = Map::new();
        let mut blamed = BTreeSet::new();
        let entries = self.table(MAPPINGS, node);
        for (key, value) in entries {
            if let Some(member) = answer::member(&key.name) {
                blamed.extend(self.read_answer(&member, node, value, &mut members));
                continue;
            }
            let Some(field) = FIELDS.iter().find(|field| field.name == key.name) else {
                blamed.extend(self.unknown(key, &names(FIELDS)));
                continue;
            };
            match self.member("", field, value).and_then(|json| self.readable(field, json, value)) {
                Some(json) => {
                    members.insert(field.name.to_owned(), json);
                }
                None => {
                    blamed.insert(field.name);
                }
            }
        }
        let document = document(members).expect("each of its members was read alone");
        self.mappings.push(ShapedMapping { node, document, blamed });
    }

    /// Reads a member that answers alone have. Returns the one of a request that it would have said, if it does not.
    fn read_answer(
        &mut self,
        member: &AnswerMember,
        mapping: &Node,
        node: &Node,
        members: &mut Map<String, Json>,
    ) -> Option<&'static str> {
        let (said, value) = match member {
            AnswerMember::Fact => return None,
            AnswerMember::FunctionArn => {
                ("FunctionName", self.shaped("FunctionArn", &Shape::Text, node).ok_or("FunctionName"))
            }
            AnswerMember::State if !self.is_literal(node) => ("Enabled", Err("Enabled")),
            AnswerMember::State => {
                let enabled = answer::enabled(node).map(Json::from);
                if enabled.is_none() {
                    self.mismatch("State", "expected the state of a mapping that is not being deleted", node);
                }
                ("Enabled", enabled.ok_or("Enabled"))
            }
        };
        match value {
            // The member of requests counts, wherever it stands.
            Ok(value) if mapping.get(said).is_none() => {
                members.insert(said.to_owned(), value);
                None
            }
            Ok(_) => None,
            Err(said) => Some(said),
        }
    }

    /// The last check of one member: what its shape leaves open, such as what is a timestamp.
    fn readable(&mut self, field: &Field, json: Json, node: &Node) -> Option<Json> {
        let alone = Map::from_iter([(field.name.to_owned(), json.clone())]);
        match document(alone) {
            Ok(_) => Some(json),
            Err(error) => {
                self.problem(node.place, format!("`{}`: {error}", field.name), None);
                None
            }
        }
    }

    /// A member as JSON, null included. `None`: a problem was found.
    fn member(&mut self, prefix: &str, field: &Field, node: &Node) -> Option<Json> {
        if node.value == Value::Null && node.tag.is_none() {
            return Some(Json::Null);
        }
        self.shaped(&format!("{prefix}{}", field.name), &field.shape, node)
    }

    fn shaped(&mut self, path: &str, shape: &Shape, node: &Node) -> Option<Json> {
        if !self.is_literal(node) {
            return None;
        }
        match (shape, &node.value) {
            (Shape::Text, Value::Text(_))
            | (Shape::Boolean, Value::Boolean(_))
            | (Shape::Timestamp, Value::Text(_) | Value::Integer(_) | Value::Float(_)) => json(node),
            (Shape::Integer, Value::Integer(value)) if i64::try_from(*value).is_ok() => json(node),
            (Shape::List(element), Value::List(nodes)) => {
                let shaped: Vec<_> = nodes
                    .iter()
                    .enumerate()
                    .map(|(index, node)| self.shaped(&format!("{path}[{index}]"), element, node))
                    .collect();
                shaped.into_iter().collect::<Option<_>>().map(Json::Array)
            }
            (Shape::Map(element), Value::Table(_)) => {
                let mut shaped = Vec::new();
                for (key, node) in self.table(path, node) {
                    let value = self.shaped(&format!("{path}.{}", key.name), element, node);
                    shaped.push(value.map(|value| (key.name.clone(), value)));
                }
                shaped.into_iter().collect::<Option<_>>().map(Json::Object)
            }
            (Shape::Object(fields), Value::Table(_)) => self.object(path, fields, node),
            (Shape::Any, _) => json(node).or_else(|| {
                self.mismatch(path, "expected plain values", node);
                None
            }),
            _ => {
                self.mismatch(path, expected(shape), node);
                None
            }
        }
    }

    fn object(&mut self, path: &str, fields: &[Field], node: &Node) -> Option<Json> {
        let mut members = Vec::new();
        for (key, value) in self.table(path, node) {
            let Some(field) = fields.iter().find(|field| field.name == key.name) else {
                self.unknown(key, &names(fields));
                members.push(None);
                continue;
            };
            let member = self.member(&format!("{path}."), field, value);
            members.push(member.map(|json| (field.name.to_owned(), json)));
        }
        members.into_iter().collect::<Option<_>>().map(Json::Object)
    }

    /// The entries of a table, of which none has a key twice; nothing for null.
    fn table<'n>(&mut self, path: &str, node: &'n Node) -> &'n [(Key, Node)] {
        if !self.is_literal(node) {
            return &[];
        }
        match &node.value {
            Value::Table(entries) => {
                self.find_duplicates(entries);
                entries
            }
            Value::Null => &[],
            _ => {
                self.mismatch(path, "expected a table of keys", node);
                &[]
            }
        }
    }

    /// The elements of a list; none for null.
    fn list<'n>(&mut self, path: &str, node: &'n Node) -> &'n [Node] {
        if !self.is_literal(node) {
            return &[];
        }
        match &node.value {
            Value::List(nodes) => nodes,
            Value::Null => &[],
            _ => {
                self.mismatch(path, "expected a list", node);
                &[]
            }
        }
    }

    /// The text of a value that is no collection; `None` for null, which leaves a setting at its default.
    fn scalar(&mut self, path: &str, node: &Node) -> Option<String> {
        if !self.is_literal(node) {
            return None;
        }
        match &node.value {
            Value::Null => None,
            Value::Boolean(value) => Some(value.to_string()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Text(value) => Some(value.clone()),
            Value::List(_) | Value::Table(_) => {
                self.mismatch(path, "expected a single value", node);
                None
            }
        }
    }

    fn find_duplicates(&mut self, entries: &[(Key, Node)]) {
        for (index, (key, _)) in entries.iter().enumerate() {
            if let Some((first, _)) = entries[..index].iter().find(|(earlier, _)| earlier.name == key.name) {
                let message = format!("the key `{}` stands here twice", key.name);
                self.problem(key.place, message, Some(format!("first on line {}", first.place.line)));
            }
        }
    }

    /// A tag or an intrinsic function asks for something to be done with the value, which nobody here would do.
    fn is_literal(&mut self, node: &Node) -> bool {
        let (place, message, remedy) = match (&node.tag, &node.value) {
            (Some(tag), _) if is_intrinsic(tag.trim_start_matches('!')) => {
                (node.place, format!("the intrinsic function `{tag}` is not evaluated here"), "write the value itself")
            }
            (Some(tag), _) => {
                (node.place, format!("the tag `{tag}` is not understood"), "write the value itself, without a tag")
            }
            (None, Value::Table(entries)) => match entries.as_slice() {
                [(key, _)] if key.name == "Ref" || key.name.strip_prefix("Fn::").is_some_and(is_intrinsic) => {
                    let message = format!("the intrinsic function `{}` is not evaluated here", key.name);
                    (key.place, message, "write the value itself")
                }
                _ => return true,
            },
            _ => return true,
        };
        self.problem(place, message, Some(remedy.to_owned()));
        false
    }

    /// Reports a key that is not among the known ones, and returns the one that it probably means.
    fn unknown(&mut self, key: &Key, known: &[&'static str]) -> Option<&'static str> {
        let nearest = nearest(&key.name, known);
        let remedy = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.len() > KNOWN_SHOWN_MAX => format!("expected {}, …", known[..KNOWN_SHOWN_MAX].join(", ")),
            None => format!("expected {}", known.join(", ")),
        };
        self.problem(key.place, format!("unknown key `{}`", key.name), Some(remedy));
        nearest
    }

    fn mismatch(&mut self, path: &str, expected: &str, node: &Node) {
        let remedy = match (&node.value, expected) {
            (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), EXPECTED_TEXT) => Some("put it in quotes"),
            (Value::Text(text), EXPECTED_INTEGER) if text.parse::<i64>().is_ok() => Some("leave out the quotes"),
            _ => None,
        };
        let message = format!("`{path}`: {expected}, found {}", node.described());
        self.problem(node.place, message, remedy.map(str::to_owned));
    }

    fn problem(&mut self, place: Place, message: String, remedy: Option<String>) {
        self.problems.push(Problem::new(place, message).remedy(remedy));
    }
}

fn is_intrinsic(name: &str) -> bool {
    INTRINSICS.contains(&name)
}

fn document(members: Map<String, Json>) -> Result<MappingDocument, serde_json::Error> {
    serde_json::from_value(Json::Object(members))
}

/// A node as JSON; `None` if a tag or a number is in it that JSON does not have.
fn json(node: &Node) -> Option<Json> {
    if node.tag.is_some() {
        return None;
    }
    match &node.value {
        Value::Null => Some(Json::Null),
        Value::Boolean(value) => Some((*value).into()),
        Value::Integer(value) => i64::try_from(*value).ok().map(Json::from),
        Value::Float(value) => serde_json::Number::from_f64(*value).map(Json::Number),
        Value::Text(value) => Some(value.clone().into()),
        Value::List(nodes) => nodes.iter().map(json).collect::<Option<_>>().map(Json::Array),
        Value::Table(entries) => entries
            .iter()
            .map(|(key, node)| json(node).map(|json| (key.name.clone(), json)))
            .collect::<Option<_>>()
            .map(Json::Object),
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text => EXPECTED_TEXT,
        Shape::Integer => EXPECTED_INTEGER,
        Shape::Boolean => "expected true or false",
        Shape::Timestamp => "expected a time such as 2026-01-31T12:00:00Z, or seconds since 1970",
        Shape::List(_) => "expected a list",
        Shape::Map(_) | Shape::Object(_) => "expected a table of keys",
        Shape::Any => "expected any value",
    }
}

/// The known key that looks most like the given one, if any looks like it at all. Upper case, `_` and `-` do not count,
/// so that Terraform's words find AWS's.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let given = plain(name);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&given, &plain(candidate));
    let limit = (given.chars().count() / 3).max(1);
    known.iter().copied().min_by_key(|candidate| distance(candidate)).filter(|candidate| distance(candidate) <= limit)
}

fn names(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).collect()
}

/// The keys that may stand in the table that `prefix` leads to.
fn keys_below(prefix: &str) -> Vec<&'static str> {
    let mut keys: Vec<_> = SETTINGS
        .iter()
        .filter_map(|setting| setting.key.strip_prefix(prefix))
        .map(|rest| rest.split_once('.').map_or(rest, |(table, _)| table))
        .collect();
    if prefix.is_empty() {
        keys.insert(0, MAPPINGS);
    }
    keys.dedup();
    keys
}

fn is_below(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

const MAPPINGS: &str = "mappings";

/// `CloudFormation`'s, as tags (`!Sub`) and, but for the first two, as keys with `Fn::` before them.
const INTRINSICS: &[&str] = &[
    "Ref",
    "Condition",
    "GetAtt",
    "Sub",
    "Join",
    "Select",
    "Split",
    "If",
    "ImportValue",
    "FindInMap",
    "Base64",
    "Cidr",
    "GetAZs",
    "Length",
    "ToJsonString",
    "ForEach",
    "Transform",
    "And",
    "Or",
    "Not",
    "Equals",
];

/// How many known keys a message lists; the usual ones come first.
const KNOWN_SHOWN_MAX: usize = 8;

const EXPECTED_TEXT: &str = "expected a text";
const EXPECTED_INTEGER: &str = "expected a whole number";
