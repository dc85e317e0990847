//! The tables of `docs/semantics.md` 7, row by row.

use serde_json::{Value, json};

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

/// 7.2, the column of what is invalid.
#[test]
fn operators_take_only_what_they_are_for() {
    for matcher in [
        r#"{"equals-ignore-case": 1}"#,
        r#"{"equals-ignore-case": ["a"]}"#,
        r#"{"exactly": null}"#,
        r#"{"prefix": ["a"]}"#,
        r#"{"prefix": 1}"#,
        r#"{"prefix": {"suffix": "a"}}"#,
        r#"{"prefix": {"equals-ignore-case": "a", "exactly": "b"}}"#,
        r#"{"suffix": {"equals-ignore-case": 1}}"#,
        r#"{"exactly": {"equals-ignore-case": "a"}}"#,
        r#"{"wildcard": "a**b"}"#,
        r#"{"wildcard": "a\\b"}"#,
        r#"{"wildcard": "a\\"}"#,
        r#"{"wildcard": ["a*"]}"#,
        r#"{"numeric": []}"#,
        r#"{"numeric": 5}"#,
        r#"{"numeric": ["="]}"#,
        r#"{"numeric": [">"]}"#,
        r#"{"numeric": ["=", "5"]}"#,
        r#"{"numeric": ["==", 5]}"#,
        r#"{"numeric": [">", 0, ">=", 1]}"#,
        r#"{"numeric": ["<", 0, "<=", 1]}"#,
        r#"{"numeric": ["=", 1, "<", 5]}"#,
        r#"{"numeric": [">", 5, "<", 5]}"#,
        r#"{"numeric": [">", 5, "<", 3]}"#,
        r#"{"numeric": [">", 0, "<", 5, "<", 6]}"#,
        r#"{"numeric": [">", 12345678901234567890]}"#,
        r#"{"exists": "true"}"#,
        r#"{"exists": [true]}"#,
        r#"{"anything-but": null}"#,
        r#"{"anything-but": true}"#,
        r#"{"anything-but": []}"#,
        r#"{"anything-but": [["a"]]}"#,
        r#"{"anything-but": ["a", 1]}"#,
        r#"{"anything-but": [true]}"#,
        r#"{"anything-but": {"prefix": ""}}"#,
        r#"{"anything-but": {"suffix": ["a", ""]}}"#,
        r#"{"anything-but": {"prefix": 1}}"#,
        r#"{"anything-but": {"prefix": []}}"#,
        r#"{"anything-but": {"prefix": {"equals-ignore-case": "a"}}}"#,
        r#"{"anything-but": {"prefix": "a", "suffix": "b"}}"#,
        r#"{"anything-but": {"numeric": [">", 1]}}"#,
        r#"{"cidr": "10.0.0.0"}"#,
        r#"{"cidr": "10.0.0/8"}"#,
        r#"{"cidr": "10.0.0.0/33"}"#,
        r#"{"cidr": "::/129"}"#,
        r#"{"cidr": "10.0.0.0/+8"}"#,
        r#"{"regex": "a"}"#,
    ] {
        let pattern = format!("{{\"a\": [{matcher}]}}");
        assert!(RecordFilter::compile(SourceKind::Sqs, [pattern.as_str()]).is_err(), "{matcher}");
    }
}

/// 7.2, the column of what matches (invariants 108, 110, 112). `-` is a missing member.
#[test]
fn operators_match_their_values_and_no_others() {
    for (matcher, matching, others) in [
        (r#""abc""#, r#""abc""#, r#""Abc" "abcd" "" null 1 true - {"x":1}"#),
        (r#""""#, r#""""#, r#""x" null - []"#),
        ("42", "42 42.0 4.2e1 420E-1", r#"43 "42" null -"#),
        ("300.0", "300 3.0e2", r#""300.0""#),
        ("9007199254740993", "9007199254740993", "9007199254740992 9007199254740994 9007199254740993.0"),
        ("true", "true", r#"false "true" 1 null -"#),
        ("false", "false", "true 0 null -"),
        ("null", "null", r#""null" - [] "" 0 false"#),
        (r#"{"equals-ignore-case":"aBc"}"#, r#""abc" "ABC""#, r#""abcd" 1 -"#),
        (r#"{"exactly":"abc"}"#, r#""abc""#, r#""ABC""#),
        (r#"{"prefix":"ab"}"#, r#""ab" "abc""#, r#""Abc" "cab" 1 -"#),
        (r#"{"prefix":""}"#, r#""" "x""#, "1 null -"),
        (r#"{"suffix":"bc"}"#, r#""bc" "abc""#, r#""bcd" "BC" 1 -"#),
        (r#"{"suffix":""}"#, r#""" "x""#, "null -"),
        (r#"{"prefix":{"equals-ignore-case":"aB"}}"#, r#""Abc""#, r#""cab""#),
        (r#"{"suffix":{"equals-ignore-case":"aB"}}"#, r#""cAB""#, r#""abc""#),
        (r#"{"wildcard":"a*b"}"#, r#""ab" "a-b" "aab""#, r#""a" "b" "abc" "Ab" 1 -"#),
        (r#"{"wildcard":"*a*b*"}"#, r#""ab" "xaxbx" "aabb""#, r#""ba" """#),
        (r#"{"wildcard":"a*a"}"#, r#""aa" "aba""#, r#""a""#),
        (r#"{"wildcard":"a\\*b\\\\"}"#, r#""a*b\\""#, r#""axb\\" "a*b""#),
        (r#"{"wildcard":""}"#, r#""""#, r#""a""#),
        (r#"{"wildcard":"*"}"#, r#""" "a""#, "null -"),
        (r#"{"numeric":["=",5]}"#, "5 5.0", r#"4 "5" -"#),
        (r#"{"numeric":[">",0,"<=",5]}"#, "0.1 5", r#"0 5.1 "3" null -"#),
        (r#"{"numeric":["<=",5,">",0]}"#, "5", "0"),
        (r#"{"numeric":["<",3]}"#, "-1e9 2.999", "3"),
        (r#"{"numeric":[">=",-1]}"#, "-1 0", "-1.5"),
        (r#"{"exists":true}"#, r#"null "" 0 false "x" [1]"#, r#"- [] {"x":1} {} [{"x":1}]"#),
        (r#"{"exists":false}"#, r#"- [] {"x":1} {}"#, r#"null "" 0 [1]"#),
        (r#"{"anything-but":"x"}"#, r#""y" "" null 1 true ["x","y"]"#, r#""x" - [] ["x"]"#),
        (r#"{"anything-but":5}"#, r#"6 "5" null"#, "5 5.0 -"),
        (r#"{"anything-but":["x","y"]}"#, r#""z" 1"#, r#""x" "y" -"#),
        (r#"{"anything-but":[1,2]}"#, r#"3 "1""#, "1 2.0 -"),
        (r#"{"anything-but":{"prefix":"x"}}"#, r#""yx" 1 null"#, r#""x" "xy" -"#),
        (r#"{"anything-but":{"prefix":["x","y"]}}"#, r#""z""#, r#""xa" "ya""#),
        (r#"{"anything-but":{"suffix":"x"}}"#, r#""xy""#, r#""yx" -"#),
        (r#"{"anything-but":{"equals-ignore-case":["x","y"]}}"#, r#""z" 1"#, r#""X" "Y" -"#),
        (r#"{"anything-but":{"wildcard":"x*"}}"#, r#""ax""#, r#""xa" -"#),
        (r#"{"cidr":"10.0.0.0/8"}"#, r#""10.1.2.3""#, r#""11.0.0.1" "10.1" "::1" 10 -"#),
        (r#"{"cidr":"2001:db8::/32"}"#, r#""2001:db8:1::1""#, r#""2001:db9::" "32.1.13.184""#),
        (r#"{"cidr":"0.0.0.0/0"}"#, r#""255.255.255.255""#, r#""::""#),
    ] {
        let pattern = format!("{{\"messageAttributes\": {{\"a\": [{matcher}]}}}}");
        for (values, expected) in [(matching, true), (others, false)] {
            for value in values.split(' ') {
                let record = match value {
                    "-" => r#"{"messageAttributes": {}}"#.to_owned(),
                    value => format!("{{\"messageAttributes\": {{\"a\": {value}}}}}"),
                };
                assert_eq!(sqs(&pattern).matches(record.as_bytes()), expected, "{matcher} and {value}");
            }
        }
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

/// 7.2 (invariant 111)
#[test]
fn exists_sees_leaves_only() {
    let parent = json!({"a": {"b": 1}});
    assert!(!matches(&sqs(r#"{"a": [{"exists": true}]}"#), &parent));
    assert!(matches(&sqs(r#"{"a": [{"exists": false}]}"#), &parent));
    assert!(matches(&sqs(r#"{"a": {"b": [{"exists": true}]}}"#), &parent));
    assert!(matches(&sqs(r#"{"a": {"b": {"c": [{"exists": false}]}}}"#), &parent));
    assert!(matches(&sqs(r#"{"x": {"y": [{"exists": false}]}}"#), &parent), "the parent is missing as well");
    assert!(matches(&sqs(r#"{"x": [{"exists": false}, "v"]}"#), &json!({"x": "v"})));
    assert!(matches(&sqs(r#"{"x": [{"exists": false}, "v"]}"#), &json!({})));
    assert!(!matches(&sqs(r#"{"x": [{"exists": false}, "v"]}"#), &json!({"x": "w"})));
}

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
    let or = |name: usize| format!("\"k{name}\": {{\"$or\": [{{\"a\": [1]}}, {{\"b\": [1]}}]}}");
    let pattern = |count: usize| format!("{{{}}}", (0..count).map(or).collect::<Vec<_>>().join(", "));
    assert!(RecordFilter::compile(SourceKind::Sqs, [pattern(9).as_str()]).is_ok());
    assert_eq!(refusal(&pattern(10)), "more than 1000 combinations of $or");
}

/// 7.3: the table of forms, SQS.
#[test]
fn a_message_body_is_compared_in_the_form_that_the_pattern_asks_for() {
    let text = sqs(r#"{"body": ["text", "42", "{\"k\": 1}", {"prefix": "<"}]}"#);
    let members = sqs(r#"{"body": {"k": [1], "gone": [{"exists": false}]}}"#);
    let metadata = sqs(r#"{"attributes": {"MessageGroupId": ["g"]}}"#);
    for (body, by_text, by_members) in [
        ("text", true, false),
        ("42", true, false),
        ("<xml/>", true, false),
        ("other", false, false),
        (r#"{"k": 1}"#, false, true),
        (r#"{"k": 2}"#, false, false),
        (r#"{"k": 1, "gone": 1}"#, false, false),
        (r#"[{"k": 1}]"#, false, true),
        (r#"{"k": 1"#, false, false),
        ("", false, false),
    ] {
        let record = json!({"body": body, "attributes": {"MessageGroupId": "g"}});
        assert_eq!(matches(&text, &record), by_text, "{body}");
        assert_eq!(matches(&members, &record), by_members, "{body}");
        assert!(matches(&metadata, &record), "{body}");
    }
    assert!(
        !matches(&sqs(r#"{"body": {"k": [{"exists": false}]}}"#), &json!({"body": "text"})),
        "no JSON, so filtered out"
    );
}

/// 7.3, Kinesis: data at the top, members of `kinesis` lifted, `kinesis` itself as it is.
#[test]
fn a_kinesis_record_is_matched_with_its_data_decoded_at_the_top() {
    let record = |data: &[u8]| {
        json!({"kinesis": {"partitionKey": "p", "sequenceNumber": "7", "approximateArrivalTimestamp": 1_760_700_000.507,
            "data": base64_simd::STANDARD.encode_to_string(data)}, "eventName": "aws:kinesis:record"})
    };
    let json = record(br#"{"k": {"n": 9007199254740993}}"#);
    for (pattern, expected) in [
        (r#"{"data": {"k": {"n": [9007199254740993]}}}"#, true),
        (r#"{"data": {"k": {"n": [9007199254740992]}}}"#, false),
        (r#"{"partitionKey": ["p"], "sequenceNumber": ["7"]}"#, true),
        (r#"{"kinesis": {"partitionKey": ["p"]}}"#, true),
        (r#"{"approximateArrivalTimestamp": [{"numeric": [">", 1760700000, "<", 1760700001]}]}"#, true),
        (r#"{"eventName": ["aws:kinesis:record"], "data": {"k": {"n": [{"exists": true}]}}}"#, true),
        (r#"{"kinesis": {"data": {"k": {"n": [{"exists": true}]}}}}"#, false),
    ] {
        assert_eq!(matches(&compiled(SourceKind::Kinesis, &[pattern]), &json), expected, "{pattern}");
    }
    let absent = compiled(SourceKind::Kinesis, &[r#"{"data": {"k": [{"exists": false}]}}"#]);
    assert!(matches(&absent, &record(b"{}")));
    for not_json in [&b"text"[..], b"{", b"\xff{}", b"", b"42"] {
        assert!(!matches(&absent, &record(not_json)), "{not_json:?}");
    }
    let metadata = compiled(SourceKind::Kinesis, &[r#"{"partitionKey": ["p"]}"#]);
    assert!(matches(&metadata, &record(b"\xff")), "data that nobody asks for is not parsed");
}

/// 7.3: refused when a mapping is made.
#[test]
fn a_kinesis_pattern_cannot_compare_the_data_itself() {
    for pattern in
        [r#"{"data": ["x"]}"#, r#"{"data": [{"exists": true}]}"#, r#"{"$or": [{"a": [1]}, {"data": ["x"]}]}"#]
    {
        assert!(RecordFilter::compile(SourceKind::Kinesis, [pattern]).is_err(), "{pattern}");
        assert!(RecordFilter::compile(SourceKind::Sqs, [pattern]).is_ok(), "{pattern}");
    }
}

/// 7.3 (invariant 110): the recorded case.
#[test]
fn a_table_record_is_matched_as_it_is_and_its_numbers_are_texts() {
    let record = |n: &str| {
        json!({"eventName": "MODIFY", "dynamodb": {"ApproximateCreationDateTime": 1.789_651_658e9,
            "NewImage": {"n": {"N": n}, "tags": {"L": [{"S": "a"}, {"S": "b"}]}}}})
    };
    for (pattern, expected) in [
        (r#"{"dynamodb": {"NewImage": {"n": {"N": ["42"]}}}}"#, true),
        (r#"{"dynamodb": {"NewImage": {"n": {"N": [42]}}}}"#, false),
        (r#"{"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 0]}]}}}}"#, false),
        (r#"{"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]}}}}"#, true),
        (r#"{"dynamodb": {"NewImage": {"tags": {"L": {"S": ["b"]}}}}}"#, true),
        (r#"{"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 1789651657]}]}}"#, true),
        (r#"{"dynamodb": {"OldImage": {"n": {"N": [{"exists": false}]}}}}"#, true),
        (r#"{"eventName": ["MODIFY"]}"#, true),
        (r#"{"eventName": ["INSERT"]}"#, false),
    ] {
        assert_eq!(matches(&compiled(SourceKind::Dynamodb, &[pattern]), &record("42")), expected, "{pattern}");
    }
    let recorded = r#"{"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]}}}}"#;
    assert!(!matches(&compiled(SourceKind::Dynamodb, &[recorded]), &record("101")));
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

/// Nothing is deleted for being unreadable to us.
#[test]
fn a_record_that_cannot_be_read_passes() {
    assert!(sqs(r#"{"body": ["x"]}"#).matches(b"{"));
    assert!(sqs(r#"{"body": ["x"]}"#).matches(b"\xff"));
}

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

fn sqs(pattern: &str) -> RecordFilter {
    compiled(SourceKind::Sqs, &[pattern])
}

fn compiled(source: SourceKind, patterns: &[&str]) -> RecordFilter {
    RecordFilter::compile(source, patterns.iter().copied()).unwrap_or_else(|(_, error)| panic!("{error}: {patterns:?}"))
}

fn refusal(pattern: &str) -> String {
    match RecordFilter::compile(SourceKind::Sqs, [pattern]) {
        Ok(_) => panic!("{pattern} is taken"),
        Err((_, error)) => error.to_string(),
    }
}

fn matches(filter: &RecordFilter, record: &Value) -> bool {
    filter.matches(record.to_string().as_bytes())
}
