//! Lists in a record, and lists of objects (`docs/semantics.md` 7.2).

use super::*;

/// 7.2: any element may match, however deep the lists lie in each other.
#[test]
fn lists_are_flattened() {
    let filter = sqs(r#"{"a": [2]}"#);
    for (value, expected) in [
        (json!([1, 2]), true),
        (json!([[1], [[2]]]), true),
        (json!([1, {"x": 2}]), false),
        (json!([]), false),
        (json!([[]]), false),
    ] {
        assert_eq!(matches(&filter, &json!({"a": value})), expected, "{value}");
    }
    assert!(matches(&sqs(r#"{"a": {"x": [2]}}"#), &json!({"a": [[{"x": 1}], [{"x": 2}]]})));
}

/// 7.2: a dot in a key makes it a level, so that a path may have values and members.
#[test]
fn a_list_may_hold_values_beside_the_objects_of_a_deeper_condition() {
    let filter = sqs(r#"{"a": [1], "a.b": [2]}"#);
    assert!(matches(&filter, &json!({"a": [1, {"b": 2}]})));
    assert!(!matches(&filter, &json!({"a": [0, {"b": 2}]})));
    assert!(!matches(&filter, &json!({"a": [1, {"b": 3}]})));
}

/// 7.2 (invariant 113)
#[test]
fn conditions_on_a_list_of_objects_hold_for_one_element() {
    let filter = sqs(r#"{"items": {"sku": ["a"], "count": [1]}}"#);
    assert!(matches(&filter, &json!({"items": [{"sku": "b", "count": 2}, {"sku": "a", "count": 1}]})));
    assert!(!matches(&filter, &json!({"items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}]})));
    assert!(!matches(&filter, &json!({"items": [[{"sku": "a"}, {"count": 1}]]})));
    assert!(matches(&filter, &json!({"items": [[{"sku": "x"}], [{"sku": "a", "count": [0, 1]}]]})));
    let through_or = sqs(r#"{"items": {"sku": ["a"]}, "$or": [{"items": {"count": [1]}}, {"other": [1]}]}"#);
    assert!(!matches(&through_or, &json!({"items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}]})));
    assert!(matches(&through_or, &json!({"items": [{"sku": "a", "count": 1}]})));
    let inner = sqs(r#"{"a": {"b": {"c": [1], "d": [2]}}}"#);
    assert!(matches(&inner, &json!({"a": [{"b": [{"c": 1, "d": 2}]}]})));
    assert!(!matches(&inner, &json!({"a": [{"b": [{"c": 1}]}, {"b": [{"d": 2}]}]})));
}

/// 7.2: what is absent is looked for where the other conditions hold, else everywhere.
#[test]
fn absence_in_a_list_of_objects_belongs_to_the_element_that_meets_the_rest() {
    let with_anchor = sqs(r#"{"items": {"sku": ["a"], "gone": [{"exists": false}]}}"#);
    assert!(matches(&with_anchor, &json!({"items": [{"sku": "a"}, {"sku": "b", "gone": 1}]})));
    assert!(!matches(&with_anchor, &json!({"items": [{"sku": "a", "gone": 1}, {"sku": "b"}]})));
    let alone = sqs(r#"{"items": {"gone": [{"exists": false}]}}"#);
    assert!(!matches(&alone, &json!({"items": [{"sku": "a"}, {"gone": 1}]})));
    assert!(matches(&alone, &json!({"items": [{"sku": "a"}, {"sku": "b"}]})));
    assert!(matches(&alone, &json!({"items": []})));
}

/// As deep as a record may be, in a thread of the usual size.
#[test]
fn lists_in_lists_cost_no_stack() {
    let nested = |levels: usize| format!("{}{{\"b\": 1}}{}", "[".repeat(levels), "]".repeat(levels));
    let filter = sqs(r#"{"a": {"b": [1]}, "a.c": [{"exists": false}]}"#);
    assert!(filter.matches(format!(r#"{{"a": {}}}"#, nested(500)).as_bytes()));
    let missed =
        test(&[r#"{"a": {"b": [2]}}"#.to_owned()], &format!(r#"{{"a": {}}}"#, nested(500)), Some(SourceKind::Sqs));
    assert_eq!(missed.expect("it can be tested")[0].misses[0].why, "a.b is 1, expected 2");
}
