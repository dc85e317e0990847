//! Patterns of filters, and what is kept of what they reject (`docs/semantics.md` 1.7 and 7).

use super::*;

/// `docs/semantics.md` 1.7, 7.1 and 7.3 (invariant 109)
#[test]
fn what_is_no_filter_pattern_is_refused_in_one_sentence() {
    let invalid = "Invalid filter pattern definition.";
    for filter in [
        json!({}),
        json!({"Pattern": ""}),
        json!({"Pattern": "{}"}),
        json!({"Pattern": "null"}),
        json!({"Pattern": "text"}),
        json!({"Pattern": r#"{"a": "b"}"#}),
        json!({"Pattern": r#"{"a": []}"#}),
        json!({"Pattern": r#"{"a": [{"begins": "b"}]}"#}),
    ] {
        let filters = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}, filter]}});
        for document in [queue, fifo, stream] {
            assert_refused(document(filters.clone()), "FilterCriteria.Filters", invalid);
        }
    }
    let text_of_data = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"data": ["x"]}"#}]}});
    assert_refused(stream(text_of_data.clone()), "FilterCriteria.Filters", invalid);
    assert_eq!(rules(validate(queue(text_of_data))), []);
}

#[test]
fn an_invalid_pattern_says_in_our_words_where() {
    let filters =
        json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}, {"Pattern": r#"{"a": {"b": 1}}"#}]}});
    let errors = validate(queue(filters)).expect_err("the second is none");
    let detail = errors.as_slice()[0].detail.as_deref();
    assert_eq!(detail, Some(r#"filter 2: at a.b: a value stands in a list, such as ["value"]"#));
}

/// `docs/semantics.md` 0 and 1.7
#[test]
fn filters_are_few_and_their_patterns_short() {
    let filters =
        |count: usize, pattern: &str| json!({"FilterCriteria": {"Filters": vec![json!({"Pattern": pattern}); count]}});
    assert_eq!(rules(validate(queue(filters(5, r#"{"a": [1]}"#)))), []);
    let rule = "Filters exceed the maximum of 5 filters.";
    assert_refused(queue(filters(6, r#"{"a": [1]}"#)), "FilterCriteria.Filters", rule);
    let long = |length: usize| format!(r#"{{"a": ["{}"]}}"#, "x".repeat(length - 11));
    assert_eq!(rules(validate(queue(filters(1, &long(4_096))))), []);
    let rule = "Member must have length less than or equal to 4096";
    assert_refused(queue(filters(1, &long(4_097))), "FilterCriteria.Filters.1.member.Pattern", rule);
}

#[test]
fn only_a_queue_with_filters_can_keep_what_they_reject() {
    let keep = json!({"Esmd": {"KeepFiltered": true}, "FilterCriteria": {"Filters": [{"Pattern": r#"{"a": [1]}"#}]}});
    for document in [queue, fifo] {
        let mapping = validate(document(keep.clone())).expect("valid");
        assert!(mapping.esmd.keep_filtered && mapping.filter.is_some());
    }
    assert_refused(stream(keep), "Esmd.KeepFiltered", "a stream keeps all its records anyway");
    let alone = json!({"Esmd": {"KeepFiltered": true}});
    assert_refused(queue(alone), "Esmd.KeepFiltered", "needs FilterCriteria.Filters");
    assert_eq!(rules(validate(stream(json!({"Esmd": {"KeepFiltered": false}})))), []);
}
