//! YAML text to a tree in which every key and value knows its place. Knows nothing of settings or mappings: it accepts
//! whatever is YAML (JSON is a part of it), keeps duplicate keys and tags for those who judge them, and stops at the
//! first error of syntax only.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Spanned, Tagged};

/// Where something stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In characters, at least 1. May go beyond the end of the line.
    pub length: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins. For an alias: where its anchor's value begins.
    pub place: Place,
    /// A tag that is not one of YAML's own, such as `!Ref`.
    pub tag: Option<String>,
    /// What it is.
    pub value: Value,
}

/// What a node is, by YAML 1.2's rules: `yes` and `on` are text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Anything else that is no collection.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in YAML's sense, with duplicates, in the order of the file.
    Table(Vec<(Key, Node)>),
}

/// The key of a table's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As written, without quotes.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// The text is not YAML, or more than one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where it was noticed.
    pub place: Place,
    /// What is wrong there.
    pub message: String,
}

/// Reads one document. `None`: the file holds nothing but comments.
pub fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let mut documents = serde_saphyr::from_multiple_with_options::<Node>(text, options)
        .map_err(|error| SyntaxError::from_parser(&error))?
        .into_iter();
    let first = documents.next();
    match documents.next() {
        Some(second) => Err(SyntaxError {
            place: second.place,
            message: "a second document begins here, but a configuration is one document".to_owned(),
        }),
        None => Ok(first),
    }
}

impl Node {
    /// The value of a table's entry, the first one if there are several.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Table(entries) = &self.value else { return None };
        entries.iter().find(|(candidate, _)| candidate.name == key).map(|(_, node)| node)
    }

    /// Where it begins, for a mark: a block table begins with its first key, which is marked whole.
    #[must_use]
    pub fn beginning(&self) -> Place {
        match &self.value {
            Value::Table(entries) => match entries.first() {
                Some((key, _)) if key.place.line == self.place.line && key.place.column == self.place.column => {
                    key.place
                }
                _ => self.place,
            },
            _ => self.place,
        }
    }

    /// What was found, in words, for messages about something else being expected.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(value) => format!("`{value}`"),
            Value::Integer(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Text(value) => format!("the text \"{}\"", shortened(value)),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table of keys".to_owned(),
        }
    }
}

impl SyntaxError {
    fn from_parser(error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let location = error.location();
        let message = error.to_string();
        // The parser ends its text with the place, which is shown separately.
        let suffix = location.map(|place| format!(" at line {}, column {}", place.line(), place.column()));
        let message = match suffix.and_then(|suffix| message.strip_suffix(&suffix).map(str::to_owned)) {
            Some(without) => without,
            None => message,
        };
        let place = location.map_or(Place { line: 1, column: 1, length: 1 }, Place::from);
        Self { place, message }
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).max(1);
        Self { line: number(location.line()), column: number(location.column()), length: number(location.span().len()) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: Tagged(value, tag), defined, .. } = Spanned::<Tagged<Value>>::deserialize(deserializer)?;
        let tag = tag.filter(|tag| !tag.starts_with(CORE_TAGS));
        Ok(Self { place: defined.into(), tag, value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Node { place, tag: None, value } = Node::deserialize(deserializer)? else {
            return Err(de::Error::custom("a key cannot have a tag"));
        };
        let name = match value {
            Value::Text(name) => name,
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Null | Value::Float(_) | Value::List(_) | Value::Table(_) => {
                return Err(de::Error::custom("a key must be a text"));
            }
        };
        Ok(Self { name, place })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = sequence.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Table(entries))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Tags such as `!!str`, which the parser has already applied.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// How much of a text a message repeats.
const SHOWN_CHARACTERS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_yaml_1_2_says() {
        let text = "a: 1_000\nb: 1.5\nc: true\nd: yes\ne: 010\nf: 2026-01-31T09:30:00Z\ng: ~\nh:\ni: '1'\nj: .inf\n";

        let Value::Table(entries) = parsed(text).value else { panic!("a table") };

        let values: Vec<_> = entries.into_iter().map(|(_, node)| node.value).collect();
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            Value::Integer(1000),
            Value::Float(1.5),
            Value::Boolean(true),
            text("yes"),
            text("010"),
            text("2026-01-31T09:30:00Z"),
            Value::Null,
            Value::Null,
            text("1"),
            text(".inf"),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_file_of_comments_holds_nothing() {
        for text in ["", "# a comment\n", "---\n", "null\n"] {
            assert_eq!(parse(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn json_is_yaml() {
        let root = parsed("{\"log\": {\"level\": \"info\"},\n \"mappings\": []}\n");

        assert_eq!(root.get("mappings").map(|node| node.place), Some(Place { line: 2, column: 14, length: 1 }));
    }

    #[test]
    fn a_place_counts_characters_not_bytes() {
        let root = parsed("{größe: 12}\n");

        assert_eq!(root.get("größe").map(|node| node.place), Some(Place { line: 1, column: 9, length: 2 }));
    }

    #[test]
    fn an_alias_stands_where_its_anchor_does() {
        let root = parsed("a: &size 12\nb: *size\nc:\n  <<: {d: 1}\n");

        assert_eq!(root.get("b"), root.get("a"));
        assert_eq!(root.get("c").and_then(|node| node.get("d")).map(|node| node.place.line), Some(4));
    }

    #[test]
    fn a_tag_is_kept_unless_it_is_yamls_own() {
        let root = parsed("a: !Ref Queue\nb: !!str 12\n");

        let tags = ["a", "b"].map(|key| root.get(key).expect("it is there").tag.clone());
        assert_eq!(tags, [Some("!Ref".to_owned()), None]);
        assert_eq!(root.get("b").map(|node| &node.value), Some(&Value::Text("12".to_owned())));
    }

    #[test]
    fn a_key_given_twice_is_kept_twice() {
        let Value::Table(entries) = parsed("a: 1\na: 2\n").value else { panic!("a table") };

        assert_eq!(entries.iter().map(|(key, _)| key.place.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_place() {
        let cases = [
            ("a: 1\n  b: 2\n", 2, 4, "mapping values are not allowed in this context"),
            ("a: *nope\n", 1, 4, "alias references unknown anchor"),
            ("a: 1\n---\nb: 2\n", 3, 1, "a second document begins here, but a configuration is one document"),
            ("? [a]\n: 1\n", 1, 3, "a key must be a text"),
            ("!Ref a: 1\n", 1, 6, "a key cannot have a tag"),
        ];
        for (text, line, column, message) in cases {
            let error = parse(text).expect_err(text);

            assert_eq!((error.place.line, error.place.column, error.message.as_str()), (line, column, message));
        }
    }

    fn parsed(text: &str) -> Node {
        parse(text).expect("it is YAML").expect("it is not empty")
    }
}
