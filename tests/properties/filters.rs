//! Filters against quamina, another matcher of the same language, on what it gets right: not `$or`, not the nested forms of
//! `anything-but` and `prefix`, not numbers that a double cannot hold, not `exists` on empty lists,
//! not `exists` or `equals-ignore-case` beside others in a list (`"XY"` then takes "xy"), and not absence.

use esmd::filter::{self, RecordFilter, SourceKind};
use proptest::prelude::*;
use quamina::Quamina;
use serde_json::{Map, Value, json};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// `docs/semantics.md` 7.1, 7.2 (invariants 108, 110 to 113).
    #[test]
    fn records_match_as_quamina_says(pattern in pattern(), events in prop::collection::vec(event(), 8)) {
        let (pattern, events) = (levelled(pattern, 0).to_string(), events.into_iter().map(|event| levelled(event, 0).to_string()));
        let own = RecordFilter::compile(SourceKind::Dynamodb, [pattern.as_str()]).expect("it is a pattern");
        let mut other = Quamina::new();
        other.add_pattern("only", &pattern).expect("it is a pattern");
        for event in events {
            let expected = !other.matches_for_event(event.as_bytes()).expect("it is JSON").is_empty();
            prop_assert_eq!(own.matches(event.as_bytes()), expected, "{} and {}", pattern, event);
        }
    }

    /// A filter reads only what its patterns name; who asks why reads all of the record. Both have to say the same.
    #[test]
    fn what_no_pattern_names_makes_no_difference(pattern in full_pattern(), values in prop::collection::vec(full_event(), 8)) {
        for value in values {
            let text = value.to_string();
            let data = base64_simd::STANDARD.encode_to_string(&text);
            for (source, pattern, record) in [
                (SourceKind::Dynamodb, pattern.clone(), value),
                (SourceKind::Sqs, json!({ "body": pattern }), json!({"messageId": "1", "body": text, "b": {"a": "x"}})),
                (SourceKind::Kinesis, json!({ "data": pattern }), json!({"kinesis": {"data": data, "a": "x"}, "c": [1]})),
            ] {
                let (pattern, record) = (pattern.to_string(), record.to_string());
                let own = RecordFilter::compile(source, [pattern.as_str()]).expect("it is a pattern");
                let asked = filter::test(std::slice::from_ref(&pattern), &record, Some(source)).expect("it is a record");
                prop_assert_eq!(own.matches(record.as_bytes()), asked[0].matched, "{} and {}", pattern, record);
            }
        }
    }
}

/// Gives keys names of their level: quamina takes the key of an object in a list for the list's own if they are equal.
fn levelled(value: Value, level: usize) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(key, value): (String, Value)| {
                let is_operator = !matches!(key.as_str(), "a" | "b" | "c");
                if is_operator { (key, value) } else { (format!("{key}{level}"), levelled(value, level + 1)) }
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        Value::Array(values) => values.into_iter().map(|value| levelled(value, level)).collect(),
        other => other,
    }
}

fn pattern() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        9 => prop::collection::vec(matcher(), 1..3).prop_map(Value::from),
        1 => Just(json!([{"exists": true}])),
        1 => text().prop_map(|text| json!([{ "equals-ignore-case": text }])),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| members(inner, 1..3)).prop_filter("a pattern is an object", Value::is_object)
}

/// With what quamina does not know, or gets wrong.
fn full_pattern() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => prop::collection::vec(matcher(), 1..3).prop_map(Value::from),
        2 => any::<bool>().prop_map(|exists| json!([{ "exists": exists }])),
        1 => text().prop_map(|text| json!([{"anything-but": {"prefix": text}}])),
    ];
    let tree = leaf.prop_recursive(2, 8, 3, |inner| {
        let one = || members(inner.clone(), 1..3);
        prop_oneof![2 => one(), 1 => (one(), one()).prop_map(|(one, other)| json!({"$or": [one, other]}))]
    });
    tree.prop_filter("a pattern is an object", Value::is_object)
}

fn event() -> impl Strategy<Value = Value> {
    event_of(&["a", "b", "c"])
}

/// With keys that no pattern names, and some that hold two levels.
fn full_event() -> impl Strategy<Value = Value> {
    event_of(&["a", "b", "c", "d", "aa", "a.b", "b.a.c", "d.a", ".a", "a."])
}

fn event_of(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let tree = scalar().prop_recursive(4, 24, 3, move |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from);
        prop_oneof![members_of(keys, inner, 0..4), list]
    });
    members_of(keys, tree, 0..4)
}

fn members(values: impl Strategy<Value = Value>, count: std::ops::Range<usize>) -> impl Strategy<Value = Value> {
    members_of(&["a", "b", "c"], values, count)
}

fn members_of(
    keys: &'static [&'static str],
    values: impl Strategy<Value = Value>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Value> {
    let key = prop::sample::select(keys);
    prop::collection::vec((key, values), count).prop_map(|members| {
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect::<Map<_, _>>())
    })
}

fn matcher() -> impl Strategy<Value = Value> {
    let number = || -3..4_i64;
    prop_oneof![
        4 => scalar(),
        1 => text().prop_map(|text| json!({ "prefix": text })),
        1 => text().prop_map(|text| json!({ "suffix": text })),
        1 => prop::sample::select(vec!["*", "x*", "*y", "x*y", "*x*", "xy"]).prop_map(|text| json!({ "wildcard": text })),
        1 => prop::collection::vec(text(), 1..3).prop_map(|texts| json!({ "anything-but": texts })),
        1 => number().prop_map(|number| json!({"numeric": [">", number]})),
        1 => (number(), 1..4_i64).prop_map(|(low, more)| json!({"numeric": [">=", low, "<", low + more]})),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => text().prop_map(Value::from),
        2 => (-3..4_i64).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x", "y", "xy", "yx", "XY", "xyy"])
}
