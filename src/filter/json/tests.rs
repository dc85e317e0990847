use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn only_named_members_are_built_and_all_of_the_text_is_judged() {
    let mut names = Names::default();
    names.add("a");
    let read = |text| parse_only(text, Some(&names)).map(|json| json.to_serde().to_string());

    let text = r#"{"b": {"a": [1, {"a": 2}]}, "a": [{"a": 1, "c": 2}, [{"aa": 1}], {"a.b": 3, "b.a": 4}]}"#;
    assert_eq!(read(text), Ok(r#"{"a":[{"a":1},[{}],{"a.b":3}]}"#.to_owned()));
    assert_eq!(read(r#"{"a": 1, "b": [1,]}"#), Err(NotJson { at: 17 }));
}

#[test]
fn a_number_keeps_its_text() {
    let text = r#"{"a": 9007199254740993, "b": -1.50E+3, "c": 2e-7}"#;
    let Ok(Json::Object(members)) = parse(text) else { panic!("an object") };
    assert_eq!(members["a"], Json::Number("9007199254740993"));
    assert_eq!(members["b"], Json::Number("-1.50E+3"));
    assert_eq!(members["c"], Json::Number("2e-7"));
}

/// `docs/semantics.md` 7.3
#[test]
fn of_equal_keys_the_last_counts() {
    let Ok(Json::Object(members)) = parse(r#"{"a": 1, "\u0061": 2}"#) else { panic!("an object") };
    assert_eq!(members.into_iter().collect::<Vec<_>>(), [("a".into(), Json::Number("2"))]);
}

#[test]
fn escapes_stand_for_their_characters() {
    let text = |text: &str| parse(text).map(|json| json.as_text().unwrap_or_default().to_owned());
    assert_eq!(text(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#), Ok("\"\\/\u{8}\u{c}\n\r\té😀".to_owned()));
    assert_eq!(text(r#""\ud83d!""#), Ok("\u{fffd}!".to_owned()), "half a pair");
    assert_eq!(text(r#""\ud83d\u0041""#), Ok("\u{fffd}A".to_owned()));
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "-",
        "nul",
        "truer",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12",
        "\"a\nb\"",
        "1 2",
        "[1 2]",
        "'a'",
        "NaN",
        "[",
        "]",
        "\u{feff}1",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_text_too_deep_is_refused_and_costs_no_stack() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
    assert!(parse(&nested(100_000)).is_err());
    let objects = |levels: usize| r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels);
    assert!(parse(&objects(DEPTH_MAX)).is_ok());
    assert!(parse(&objects(DEPTH_MAX + 1)).is_err());
}

proptest! {
    #[test]
    fn texts_are_read_as_serde_reads_them(text in json_like()) {
        let own = parse(&text).ok().map(|json| json.to_serde());
        prop_assert_eq!(own, serde_json::from_str::<Value>(&text).ok());
    }
}

/// JSON, or nearly.
fn json_like() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", " ", "\"a\"", "\"\\n\"", "\"é\"", "0", "-1", "12", "1.5", "1e2", "true", "false",
        "null", "\"", "\\", "\n", "-", ".",
    ]);
    let noise = prop::collection::vec(token, 0..8).prop_map(|tokens| tokens.concat());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        ".*".prop_map(|text: String| Value::from(text).to_string()),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[ {} ]", values.join(" ,"))),
            prop::collection::vec((".{0,3}", inner), 0..4).prop_map(|members| {
                let member = |(key, value): (String, String)| format!("{} : {value}", Value::from(key));
                format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    });
    prop_oneof![noise, tree]
}

impl Json<'_> {
    fn to_serde(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Number(text) => serde_json::from_str(text).expect("a number"),
            Self::Text(text) => Value::from(text.as_ref()),
            Self::List(values) => values.iter().map(Json::to_serde).collect(),
            Self::Object(members) => {
                members.iter().map(|(key, value)| (key.clone().into_owned(), value.to_serde())).collect()
            }
        }
    }
}
