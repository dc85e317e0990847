//! What each operator takes and matches (`docs/semantics.md` 7.2).

use super::*;

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

/// The reason says which of two rules was broken.
#[test]
fn a_range_with_an_equal_sign_has_no_other_bound() {
    assert_eq!(refusal(r#"{"a": [{"numeric": ["=", 1, "<", 5]}]}"#), "at a: numeric: = stands alone");
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
        (r#"{"wildcard":"*a*a*"}"#, r#""aa" "xaxax""#, r#""a" "xa""#),
        (r#"{"wildcard":"*ab*b"}"#, r#""abb" "ab-b""#, r#""ab""#),
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
        (r#"{"cidr":"10.0.0.1/32"}"#, r#""10.0.0.1""#, r#""10.0.0.0""#),
        (r#"{"cidr":"::1/128"}"#, r#""::1""#, r#""::""#),
        (r#"{"cidr":"::/0"}"#, r#""ffff::""#, r#""0.0.0.0""#),
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
