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

/// What was asked for, of each operator.
#[test]
fn what_was_expected_is_said_in_words() {
    for (matcher, words) in [
        ("null", "null"),
        ("true", "true"),
        ("4.20", "4.20"),
        (r#""a\"b""#, r#""a\"b""#),
        (r#"{"numeric": [">=", 1, "<", 2]}"#, "a number >= 1 and < 2"),
        (r#"{"numeric": ["=", 5]}"#, "a number >= 5 and <= 5"),
        (r#"{"equals-ignore-case": "A"}"#, r#""a" in any case"#),
        (r#"{"prefix": {"equals-ignore-case": "a"}}"#, r#"a text that begins with "a" in any case"#),
        (r#"{"suffix": "a"}"#, r#"a text that ends with "a""#),
        (r#"{"wildcard": "a*b"}"#, r#"a text like "a*b""#),
        (r#"{"cidr": "10.0.0.0/8"}"#, "an address in 10.0.0.0/8"),
        (r#"{"anything-but": ["a", "b"]}"#, r#"anything but "a", "b""#),
    ] {
        let pattern = format!(r#"{{"body": {{"a": [{matcher}]}}}}"#);
        let event = json!({"body": r#"{"other": 1}"#});
        assert_eq!(why(&[&pattern], &event), [format!("body.a is missing, expected {words}")]);
    }
    let absent = r#"{"body": {"a": [{"exists": false}]}}"#;
    for (value, shown) in [("null", "null"), ("true", "true"), ("4.20", "4.20"), (r#""\n""#, r#""\n""#)] {
        let event = json!({"body": format!(r#"{{"a": {value}}}"#)});
        assert_eq!(why(&[absent], &event), [format!("body.a is {shown}, expected no value")]);
    }
}

/// A hint is a guess, so it is given only where it fits.
#[test]
fn what_looks_like_no_mistake_gets_no_hint() {
    for (matcher, value, hint) in [
        (r#"{"numeric": [">", 1]}"#, r#""many""#, ""),
        ("5", r#""5.0""#, " (this is a text, and only numbers are compared with numbers)"),
        (r#""5""#, "5", " (this is no text: write it without quotes)"),
        (r#""5""#, "6", ""),
        (r#""5""#, r#""6""#, ""),
        (r#"{"prefix": "5"}"#, "5", ""),
        (r#"{"prefix": "Or"}"#, r#""oR""#, " (case matters: equals-ignore-case passes over it)"),
        (r#"{"equals-ignore-case": "a"}"#, r#""b""#, ""),
    ] {
        let pattern = format!(r#"{{"body": {{"a": [{matcher}]}}}}"#);
        let [line] = why(&[&pattern], &json!({"body": format!(r#"{{"a": {value}}}"#)})).try_into().expect("one line");
        let (_, after) = line.split_once(", expected ").expect("it says what was expected");
        let found = after.find(" (").map_or("", |at| &after[at..]);
        assert_eq!(found, hint, "{matcher} and {value}");
    }
}

#[test]
fn a_missing_path_is_explained_by_what_is_near() {
    let of_table = json!({"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {}}});
    for (patterns, event, line) in [
        (
            [r#"{"kind": ["order"]}"#, r#"{"body": {"x": [1]}}"#],
            json!({"body": r#"{"kind": "order"}"#}),
            r#"kind is missing, expected "order" (there is body.kind: the pattern begins at the record)"#,
        ),
        (
            [r#"{"kind": ["order"]}"#, r#"{"body": {"x": [1]}}"#],
            json!({"body": r#"{"sort": "order"}"#}),
            r#"kind is missing, expected "order" (a pattern begins at the record, whose data is under body)"#,
        ),
        (
            [r#"{"Attributes": {"a": ["b"]}}"#; 2],
            json!({"body": "", "attributes": {"a": "b"}}),
            r#"Attributes.a is missing, expected "b" (there is attributes: case matters in keys)"#,
        ),
        (
            [r#"{"Keys": {"id": [{"exists": true}]}}"#; 2],
            of_table,
            "Keys.id is missing, expected any value (a pattern begins at the record, whose data is under dynamodb)",
        ),
        (
            [r#"{"kinesis": {"gone": ["b"]}}"#; 2],
            json!({"kinesis": {"data": ""}}),
            r#"kinesis.gone is missing, expected "b""#,
        ),
        (
            [r#"{"body": ["a"]}"#; 2],
            json!({"eventSource": "aws:sqs"}),
            "body is missing, or holds bytes that are no text",
        ),
        (
            [r#"{"body": ["a"]}"#; 2],
            json!({"body": {"a": 1}}),
            "body is not a text in this event: a record's body is a text, which may hold JSON",
        ),
        (
            [r#"{"data": {"a": [1]}}"#; 2],
            json!({"kinesis": {"data": "/w=="}}),
            "data is missing, or holds bytes that are no text",
        ),
    ] {
        assert_eq!(why(&patterns, &event)[0], line, "{}", patterns[0]);
    }
}

#[test]
fn a_long_explanation_is_cut_short() {
    let or = |count: usize| {
        let each: Vec<_> = (1..=count).map(|number| format!(r#"{{"a": [{number}]}}"#)).collect();
        format!(r#"{{"body": {{"$or": [{}]}}}}"#, each.join(", "))
    };
    let event = json!({"body": r#"{"a": 0}"#});
    let four = "no alternative of $or matches: body.a is 0, expected 1; or body.a is 0, expected 2; or body.a is 0, \
                expected 3; or body.a is 0, expected 4";
    assert_eq!(why(&[&or(4)], &event), [four]);
    assert_eq!(why(&[&or(6)], &event), [format!("{four}; and 2 more")]);

    let new = r#"{"body": {"tags": ["new"]}}"#;
    let three = json!({"body": r#"{"tags": ["a", "b", "c"]}"#});
    assert_eq!(why(&[new], &three), [r#"body.tags holds "a", "b", "c", expected "new""#]);
    for (length, more) in [(60, ""), (61, "…")] {
        let long = json!({"body": json!({"tags": "é".repeat(length)}).to_string()});
        assert_eq!(why(&[new], &long), [format!(r#"body.tags is "{}"{more}, expected "new""#, "é".repeat(60))]);
    }
}

/// Equal ways to miss are told once.
#[test]
fn conditions_that_hold_apart_are_named_down_to_their_list() {
    let pattern = r#"{"body": {"order": {"items": {"sku": ["a"], "$or": [{"count": [1]}, {"count": [2]}]}}}}"#;
    let event = json!({"body": r#"{"order": {"items": [{"sku": "a"}, {"sku": "b", "count": [1, 2]}]}}"#});
    assert_eq!(
        why(&[pattern], &event),
        ["body.order.items.count and body.order.items.sku are all met, but by no single element of body.order.items"]
    );
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

#[test]
fn a_record_shows_its_source_by_its_name_or_by_its_members() {
    for (record, source) in [
        (json!({"eventSource": "aws:sqs"}), Some(SourceKind::Sqs)),
        (json!({"eventSource": "aws:kinesis"}), Some(SourceKind::Kinesis)),
        (json!({"eventSource": "aws:dynamodb"}), Some(SourceKind::Dynamodb)),
        (json!({"eventSource": "aws:sns", "body": ""}), None),
        (json!({"body": ""}), Some(SourceKind::Sqs)),
        (json!({"kinesis": {}}), Some(SourceKind::Kinesis)),
        (json!({"dynamodb": {}}), Some(SourceKind::Dynamodb)),
        (json!({"data": ""}), None),
        (json!(["body"]), None),
    ] {
        let text = record.to_string();
        assert_eq!(SourceKind::of(&json::parse(&text).expect("JSON")), source, "{record}");
    }
}

/// Why the event, which is one record, matches none of the patterns.
fn why(patterns: &[&str], event: &Value) -> Vec<String> {
    let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let tested = test(&patterns, &event.to_string(), None).expect("it can be tested");
    tested[0].misses.iter().map(|miss| miss.why.clone()).collect()
}
