//! What is said of a record that does not match.

use super::*;

/// Ten ways to miss, each told in a line that says what to change.
#[test]
fn a_miss_is_explained_in_one_line() {
    for (pattern, event, line) in [
        (
            r#"{"body": {"kind": ["order", {"prefix": "ord-"}]}}"#,
            json!({"body": r#"{"kind": "refund"}"#}),
            r#"body.kind is "refund", expected "order" or a text that begins with "ord-""#,
        ),
        (
            r#"{"kind": ["order"]}"#,
            json!({"body": r#"{"kind": "order"}"#}),
            r#"kind is missing, expected "order" (a pattern begins at the record, whose data is under body)"#,
        ),
        (
            r#"{"body": {"kind": ["order"]}}"#,
            json!({"body": r#"{"Kind": "order"}"#}),
            r#"body.kind is missing, expected "order" (there is Kind: case matters in keys)"#,
        ),
        (
            r#"{"body": {"kind": ["order"]}}"#,
            json!({"body": "kind=order"}),
            "body is no JSON object or list, so there is no body.kind: such records are filtered out",
        ),
        (
            r#"{"body": ["order"]}"#,
            json!({"body": r#"{"kind": "order"}"#}),
            r#"body is JSON, and the pattern compares its text: name its members, as in {"body": {"name": ["value"]}}"#,
        ),
        (
            r#"{"body": {"price": [{"numeric": [">", 10, "<=", 20.5]}]}}"#,
            json!({"body": r#"{"price": "15"}"#}),
            r#"body.price is "15", expected a number > 10 and <= 20.5 (this is a text, and only numbers are compared with numbers)"#,
        ),
        (
            r#"{"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 10]}]}}}}"#,
            json!({"dynamodb": {"NewImage": {"n": {"N": "15"}}}}),
            r#"dynamodb.NewImage.n.N is "15", expected a number > 10 (DynamoDB writes numbers as texts, which are never compared as numbers)"#,
        ),
        (
            r#"{"kinesis": {"data": {"kind": ["order"]}}}"#,
            json!({"kinesis": {"data": "eyJraW5kIjoib3JkZXIifQ=="}}),
            r#"kinesis.data.kind is missing, expected "order" (write data at the top of the pattern, not under kinesis)"#,
        ),
        (
            r#"{"body": {"items": {"sku": ["a"], "count": [1]}}}"#,
            json!({"body": r#"{"items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}]}"#}),
            "body.items.count and body.items.sku are all met, but by no single element of body.items",
        ),
        (
            r#"{"body": {"user": [{"exists": true}]}}"#,
            json!({"body": r#"{"user": {"id": 1}}"#}),
            "body.user is an object, expected any value (a list stands at a value, not at an object: name its members)",
        ),
        (
            r#"{"body": {"state": ["open"], "tags": ["new"]}}"#,
            json!({"body": r#"{"state": "Open", "tags": ["a", "b", "c", "d"]}"#}),
            r#"body.state is "Open", expected "open" (case matters: equals-ignore-case passes over it), and body.tags holds "a", "b", "c", …, expected "new""#,
        ),
        (
            r#"{"body": {"$or": [{"a": [1]}, {"b": [{"anything-but": [2]}]}]}}"#,
            json!({"body": r#"{"a": 2, "b": 2}"#}),
            "no alternative of $or matches: body.a is 2, expected 1; or body.b is 2, expected anything but 2",
        ),
    ] {
        let tested = test(&[pattern.to_owned()], &event.to_string(), None).expect("it can be tested");
        assert_eq!(tested[0].misses, [Explanation { filter: 0, why: line.to_owned() }], "{pattern}");
    }
}

#[test]
fn an_event_is_tested_record_by_record_against_every_pattern() {
    let event = json!({"Records": [{"eventSource": "aws:sqs", "body": "a"}, {"eventSource": "aws:sqs", "body": "c"}]});
    let patterns = [r#"{"body": ["a"]}"#.to_owned(), r#"{"body": ["b"]}"#.to_owned()];
    let tested = test(&patterns, &event.to_string(), None).expect("it can be tested");
    assert_eq!(tested[0], TestedRecord { matched: true, misses: Vec::new() });
    assert!(!tested[1].matched);
    assert_eq!(tested[1].misses.iter().map(|miss| miss.filter).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let pattern = [r#"{"body": ["a"]}"#.to_owned()];
    assert_eq!(test(&[], "{}", None), Err(TestError::NoPattern));
    assert!(std::matches!(test(&pattern, "{", None), Err(TestError::Event(_))));
    assert_eq!(test(&pattern, "[]", None), Err(TestError::NoRecords));
    assert_eq!(test(&pattern, r#"{"Records": []}"#, None), Err(TestError::NoRecords));
    assert_eq!(test(&pattern, r#"{"Records": ["x"]}"#, None), Err(TestError::NoRecords));
    assert_eq!(test(&pattern, "{}", None), Err(TestError::UnknownSource));
    assert!(test(&pattern, "{}", Some(SourceKind::Sqs)).is_ok());
    assert!(std::matches!(test(&["{".to_owned()], r#"{"body": ""}"#, None), Err(TestError::Pattern(0, _))));
}
