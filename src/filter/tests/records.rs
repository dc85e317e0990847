//! In which form a record and its data are compared (`docs/semantics.md` 7.3).

use super::*;

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

/// Nothing is deleted for being unreadable to us.
#[test]
fn a_record_that_cannot_be_read_passes() {
    assert!(sqs(r#"{"body": ["x"]}"#).matches(b"{"));
    assert!(sqs(r#"{"body": ["x"]}"#).matches(b"\xff"));
}
