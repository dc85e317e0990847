//! Filters: records judged a second, beside a bare parse of the same records by `serde_json`, and beside quamina where both
//! speak the same language.

mod allocator;
mod measure;

use esmd::filter::{RecordFilter, SourceKind};
use measure::Comparison;
use quamina::Quamina;
use serde_json::{Value, json};

const RECORDS: usize = 10_000;

fn main() {
    println!("filter: {RECORDS} records, of which every other one matches");
    println!(
        "{:<28} {:>5}   {:<26} {:<10} {:<26} CPU / baseline",
        "source and pattern", "bytes", "million records/CPU s", "baseline", ""
    );
    let data = json!({"data": {"status": ["paid"], "amount": [{"numeric": [">", 10]}]}});
    let body = json!({"body": {"status": ["paid"], "amount": [{"numeric": [">", 10]}]}});
    let key = json!({"partitionKey": [{"prefix": "paid-"}]});
    let image = json!({"dynamodb": {"NewImage": {"status": {"S": ["paid"]}}}, "eventName": ["INSERT", "MODIFY"]});
    beside_parse("Kinesis, two members of data", SourceKind::Kinesis, &data, kinesis);
    beside_parse("Kinesis, partition key", SourceKind::Kinesis, &key, kinesis);
    beside_parse("SQS, two members of body", SourceKind::Sqs, &body, sqs);
    beside_parse("DynamoDB, image and name", SourceKind::Dynamodb, &image, dynamodb);
    beside_quamina("DynamoDB, image and name", &image, dynamodb);
}

fn beside_parse(name: &str, source: SourceKind, pattern: &Value, element: fn(usize) -> Value) {
    let (filter, elements) = (compile(source, pattern), elements(element));
    let parse = |element: &String| serde_json::from_str::<Value>(element).is_ok_and(|value| value.is_object());
    let compared = measure::beside(
        || (),
        |()| assert_eq!(count(&elements, |element| filter.matches(element.as_bytes())), RECORDS / 2),
        |()| assert_eq!(count(&elements, parse), RECORDS),
    );
    print(name, &elements, "parse", compared);
}

fn beside_quamina(name: &str, pattern: &Value, element: fn(usize) -> Value) {
    let (filter, elements) = (compile(SourceKind::Dynamodb, pattern), elements(element));
    let mut quamina = Quamina::new();
    quamina.add_pattern("only", &pattern.to_string()).expect("it is a pattern");
    let judged = |element: &String| !quamina.matches_for_event(element.as_bytes()).expect("it is JSON").is_empty();
    let compared = measure::beside(
        || (),
        |()| assert_eq!(count(&elements, |element| filter.matches(element.as_bytes())), RECORDS / 2),
        |()| assert_eq!(count(&elements, judged), RECORDS / 2),
    );
    print(name, &elements, "quamina", compared);
}

fn print(name: &str, elements: &[String], baseline: &str, compared: Comparison) {
    let millions = RECORDS as f64 / 1e6;
    println!(
        "{name:<28} {:>5}   {:<26} {baseline:<10} {:<26} {}",
        elements[0].len(),
        compared.cpu.rate(millions).to_string(),
        compared.baseline_cpu.rate(millions).to_string(),
        compared.ratio
    );
}

fn compile(source: SourceKind, pattern: &Value) -> RecordFilter {
    RecordFilter::compile(source, [pattern.to_string().as_str()]).expect("it is a pattern")
}

fn elements(element: fn(usize) -> Value) -> Vec<String> {
    (0..RECORDS).map(|number| element(number).to_string()).collect()
}

fn count(elements: &[String], judge: impl FnMut(&String) -> bool) -> usize {
    elements.iter().map(judge).filter(|matches| *matches).count()
}

fn status(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "paid" } else { "open" }
}

fn order(number: usize) -> Value {
    json!({
        "id": format!("order-{number}"), "status": status(number), "amount": 20.5, "currency": "EUR",
        "customer": {"id": "customer-1234", "country": "DE"}, "items": [{"sku": "a-1", "count": 2}, {"sku": "b-2", "count": 1}],
    })
}

fn kinesis(number: usize) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": format!("{}-{number}", status(number)),
            "sequenceNumber": format!("4966{number:052}"),
            "data": base64_simd::STANDARD.encode_to_string(order(number).to_string()),
            "approximateArrivalTimestamp": 1_760_700_000.507,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000000:4966{number:052}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/worker",
        "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    })
}

fn sqs(number: usize) -> Value {
    json!({
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": order(number).to_string(),
        "attributes": {
            "ApproximateReceiveCount": "1", "SentTimestamp": "1760700000123", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1760700000150",
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
        "awsRegion": "eu-west-1",
    })
}

fn dynamodb(number: usize) -> Value {
    let image = |status: &str| {
        json!({
            "id": {"S": format!("order-{number}")}, "status": {"S": status}, "amount": {"N": "20.5"}, "currency": {"S": "EUR"},
            "customer": {"M": {"id": {"S": "customer-1234"}, "country": {"S": "DE"}}},
        })
    };
    json!({
        "eventID": "c81e728d9d4c2f636f067f89cc14862c",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_760_700_000.0,
            "Keys": {"id": {"S": format!("order-{number}")}},
            "NewImage": image(status(number)),
            "OldImage": image("draft"),
            "SequenceNumber": "4421584500000000017450439091",
            "SizeBytes": 59,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000",
    })
}
