//! What a pattern is, and how its keys and lists are joined (`docs/semantics.md` 7.1, 7.2).

use super::*;

/// 7.1 (invariant 109): what AWS refuses with one text, we refuse with a reason.
#[test]
fn what_is_no_pattern_is_refused() {
    for (pattern, reason) in [
        ("", "the pattern is not JSON at byte 0"),
        ("null", "a pattern is a JSON object"),
        ("[]", "a pattern is a JSON object"),
        ("plain text", "the pattern is not JSON at byte 0"),
        (r#"{"a": ["b"]} x"#, "the pattern is not JSON at byte 13"),
        ("{}", "an empty object asks for nothing"),
        (r#"{"a": {}}"#, "at a: an empty object asks for nothing"),
        (r#"{"a": "b"}"#, r#"at a: a value stands in a list, such as ["value"]"#),
        (r#"{"n": 42}"#, r#"at n: a value stands in a list, such as ["value"]"#),
        (r#"{"a": {"b": null}}"#, r#"at a.b: a value stands in a list, such as ["value"]"#),
        (r#"{"a": []}"#, "at a: an empty list matches nothing"),
        (r#"{"a": [["b"]]}"#, "at a: a list holds values and operators, no other list"),
        (r#"{"a": [{}]}"#, "at a: an object in a list names one operator, this one none"),
        (
            r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
            "at a: an object in a list names one operator, this one several",
        ),
        (r#"{"a": [{"Prefix": "x"}]}"#, "at a: Prefix: is no operator"),
        (r#"{"a": [{"begins-with": "x"}]}"#, "at a: begins-with: is no operator"),
    ] {
        assert_eq!(refusal(pattern), reason, "{pattern}");
    }
}

/// 7.1 (invariant 108)
#[test]
fn patterns_are_ored_keys_anded_and_list_elements_ored() {
    let filter = compiled(SourceKind::Sqs, &[r#"{"a": ["x", "y"], "b": [1]}"#, r#"{"c": [true]}"#]);
    for (record, expected) in [
        (json!({"a": "x", "b": 1}), true),
        (json!({"a": "y", "b": 1}), true),
        (json!({"a": "z", "b": 1}), false),
        (json!({"a": "x", "b": 2}), false),
        (json!({"a": "x"}), false),
        (json!({"c": true}), true),
    ] {
        assert_eq!(matches(&filter, &record), expected, "{record}");
    }
}

/// 7.1: of equal keys the last counts.
#[test]
fn of_equal_keys_of_a_pattern_the_last_counts() {
    assert!(matches(&sqs(r#"{"a": ["x"], "a": ["y"]}"#), &json!({"a": "y"})));
    assert!(!matches(&sqs(r#"{"a": ["x"], "a": ["y"]}"#), &json!({"a": "x"})));
}

/// 7.2
#[test]
fn a_dot_in_a_key_is_a_level() {
    for pattern in [r#"{"a.b": [1], "a.c": [2]}"#, r#"{"a": {"b": [1], "c": [2]}}"#, r#"{"a": {"b": [1]}, "a.c": [2]}"#]
    {
        for record in [json!({"a": {"b": 1, "c": 2}}), json!({"a.b": 1, "a.c": 2}), json!({"a": {"b": 1}, "a.c": 2})] {
            assert!(matches(&sqs(pattern), &record), "{pattern} and {record}");
        }
        assert!(!matches(&sqs(pattern), &json!({"a.b": 1, "a": {"c": 3}, "a!c": 2, "a.c.d": 2})), "{pattern}");
    }
    assert!(matches(&sqs(r#"{"a.b.c": [1]}"#), &json!({"a": {"b.c": 1}})));
    assert!(matches(&sqs(r#"{"a.b.c": [1]}"#), &json!({"a.b": {"c": 1}})));
}

#[test]
fn an_empty_key_is_a_level() {
    let filter = compiled(SourceKind::Dynamodb, &[r#"{"": {"a": [1]}}"#]);
    for (record, expected) in [(json!({"": {"a": 1}}), true), (json!({".a": 1}), true), (json!({"a": 1}), false)] {
        assert_eq!(matches(&filter, &record), expected, "{record}");
    }
}

/// 7.2
#[test]
fn or_joins_fields_and_stands_beside_others() {
    let filter = sqs(r#"{"kind": ["k"], "$or": [{"a": [1]}, {"b": {"c": [2]}, "d": [3]}]}"#);
    for (record, expected) in [
        (json!({"kind": "k", "a": 1}), true),
        (json!({"kind": "k", "b": {"c": 2}, "d": 3}), true),
        (json!({"kind": "k", "b": {"c": 2}}), false),
        (json!({"kind": "x", "a": 1}), false),
        (json!({"a": 1}), false),
    ] {
        assert_eq!(matches(&filter, &record), expected, "{record}");
    }
    let nested = sqs(r#"{"$or": [{"a": [1]}, {"$or": [{"b": [1]}, {"c": {"$or": [{"d": [1]}, {"e": [1]}]}}]}]}"#);
    for record in [json!({"a": 1}), json!({"b": 1}), json!({"c": {"d": 1}}), json!({"c": {"e": 1}})] {
        assert!(matches(&nested, &record), "{record}");
    }
    assert!(!matches(&nested, &json!({"c": {"f": 1}})));
}

/// 7.2: without at least two objects that are no operators `$or` is a field's name.
#[test]
fn or_of_any_other_form_is_a_field() {
    assert!(matches(&sqs(r#"{"$or": ["x"]}"#), &json!({"$or": "x"})));
    assert!(matches(&sqs(r#"{"$or": [{"prefix": "x"}, {"suffix": "y"}]}"#), &json!({"$or": "xa"})));
    assert!(matches(&sqs(r#"{"$or": {"a": [1]}}"#), &json!({"$or": {"a": 1}})));
    assert_eq!(refusal(r#"{"$or": [{"a": [1]}]}"#), "at $or: a: is no operator");
    assert_eq!(refusal(r#"{"$or": []}"#), "at $or: an empty list matches nothing");
    assert_eq!(refusal(r#"{"$or": [{"a": [1]}, {"<": [1], "b": [1]}]}"#), "at $or: a: is no operator");
    assert_eq!(refusal(r#"{"$or": [{"a": [1]}, {}]}"#), "an empty object asks for nothing");
}

/// As `EventBridge` does.
#[test]
fn too_many_combinations_are_refused() {
    let pattern = |counts: &[usize]| {
        let or = |(place, count): (usize, &usize)| {
            let alternatives = vec![r#"{"a": [1]}"#; *count].join(", ");
            format!(r#""k{place}": {{"$or": [{alternatives}]}}"#)
        };
        format!("{{{}}}", counts.iter().enumerate().map(or).collect::<Vec<_>>().join(", "))
    };
    assert!(RecordFilter::compile(SourceKind::Sqs, [pattern(&[10, 10, 10]).as_str()]).is_ok());
    assert_eq!(refusal(&pattern(&[7, 11, 13])), "more than 1000 combinations of $or");
}
