//! Renders one SQS message to its element of `Records`, exactly as Lambda's mappings do (`docs/semantics.md` 2.1, 2.2).
//! Pure: takes what a receive brought and knows no SDK type. The same message gives the same bytes every time, however
//! its attributes were ordered.

use std::io::Write;

use bytes::Bytes;

/// What every message of one mapping's events has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The queue's ARN as the mapping gives it.
    pub arn: String,
    /// The region in that ARN.
    pub region: String,
    /// Whether the mapping has a batching window. Lambda writes the hash of missing message attributes as `null` with
    /// one, and leaves it out without (`docs/semantics.md` 9, invariant 29).
    pub has_window: bool,
}

/// One message as it was received.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// `MessageId`.
    pub message_id: &'a str,
    /// `ReceiptHandle`.
    pub receipt_handle: &'a str,
    /// The body as it was sent.
    pub body: &'a str,
    /// System attributes by name, in any order.
    pub attributes: Vec<(&'a str, &'a str)>,
    /// Message attributes, in any order.
    pub message_attributes: Vec<MessageAttribute<'a>>,
    /// `MD5OfMessageAttributes`; not looked at without message attributes.
    pub md5_of_message_attributes: Option<&'a str>,
    /// `MD5OfBody`; left out where the server gives none.
    pub md5_of_body: Option<&'a str>,
}

/// One attribute that the sender gave to a message.
#[derive(Clone, Debug)]
pub struct MessageAttribute<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type with any custom suffix, such as `Number.int`.
    pub data_type: &'a str,
    /// Its value.
    pub value: AttributeValue<'a>,
}

/// The value of a message attribute.
#[derive(Clone, Copy, Debug)]
pub enum AttributeValue<'a> {
    /// Of the types `String` and `Number`.
    Text(&'a str),
    /// Of the type `Binary`.
    Binary(&'a [u8]),
}

/// Renders the message in a buffer of its own, of exactly its size: an element held for long pins nothing else.
#[must_use]
pub fn render(message: &Message<'_>, queue: &Queue) -> Bytes {
    let mut json = Vec::with_capacity(message.body.len() + message.body.len() / 16 + 1_024);
    json.extend_from_slice(b"{\"messageId\":");
    write_text(&mut json, message.message_id);
    json.extend_from_slice(b",\"receiptHandle\":");
    write_text(&mut json, message.receipt_handle);
    json.extend_from_slice(b",\"body\":");
    write_text(&mut json, message.body);
    json.extend_from_slice(b",\"attributes\":");
    write_attributes(&mut json, &message.attributes);
    json.extend_from_slice(b",\"messageAttributes\":");
    write_message_attributes(&mut json, &message.message_attributes);
    match message.md5_of_message_attributes.filter(|_| !message.message_attributes.is_empty()) {
        Some(hash) => {
            json.extend_from_slice(b",\"md5OfMessageAttributes\":");
            write_text(&mut json, hash);
        }
        None if queue.has_window => json.extend_from_slice(b",\"md5OfMessageAttributes\":null"),
        None => {}
    }
    if let Some(hash) = message.md5_of_body {
        json.extend_from_slice(b",\"md5OfBody\":");
        write_text(&mut json, hash);
    }
    json.extend_from_slice(b",\"eventSource\":\"aws:sqs\",\"eventSourceARN\":");
    write_text(&mut json, &queue.arn);
    json.extend_from_slice(b",\"awsRegion\":");
    write_text(&mut json, &queue.region);
    json.push(b'}');
    json.into_boxed_slice().into()
}

/// All values are texts, counts and times too. In the order in which AWS writes them, unknown ones last.
fn write_attributes(json: &mut Vec<u8>, attributes: &[(&str, &str)]) {
    let mut attributes: Vec<_> = attributes.iter().filter(|(name, _)| !HIDDEN_ATTRIBUTES.contains(name)).collect();
    attributes.sort_unstable_by_key(|(name, _)| {
        let place = ATTRIBUTE_ORDER.iter().position(|known| known == name);
        (place.unwrap_or(ATTRIBUTE_ORDER.len()), *name)
    });
    json.push(b'{');
    for (index, (name, value)) in attributes.into_iter().enumerate() {
        write_name(json, index, name);
        write_text(json, value);
    }
    json.push(b'}');
}

fn write_message_attributes(json: &mut Vec<u8>, attributes: &[MessageAttribute<'_>]) {
    let mut attributes: Vec<_> = attributes.iter().collect();
    attributes.sort_unstable_by_key(|attribute| attribute.name);
    json.push(b'{');
    for (index, attribute) in attributes.into_iter().enumerate() {
        write_name(json, index, attribute.name);
        match attribute.value {
            AttributeValue::Text(text) => {
                json.extend_from_slice(b"{\"stringValue\":");
                write_text(json, text);
            }
            AttributeValue::Binary(bytes) => {
                json.extend_from_slice(b"{\"binaryValue\":\"");
                base64_simd::STANDARD.encode_append(bytes, json);
                json.push(b'"');
            }
        }
        json.extend_from_slice(b",\"stringListValues\":[],\"binaryListValues\":[],\"dataType\":");
        write_text(json, attribute.data_type);
        json.push(b'}');
    }
    json.push(b'}');
}

fn write_name(json: &mut Vec<u8>, index: usize, name: &str) {
    if index > 0 {
        json.push(b',');
    }
    write_text(json, name);
    json.push(b':');
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json.by_ref(), text).expect("a text always serializes, and a buffer takes everything");
}

/// As seen on the wire for standard and FIFO queues.
const ATTRIBUTE_ORDER: [&str; 8] = [
    "ApproximateReceiveCount",
    "AWSTraceHeader",
    "SentTimestamp",
    "SequenceNumber",
    "MessageGroupId",
    "SenderId",
    "MessageDeduplicationId",
    "ApproximateFirstReceiveTimestamp",
];

/// Received with the others, never shown to the function.
const HIDDEN_ATTRIBUTES: [&str; 1] = ["SqsManagedSseEnabled"];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Recorded on AWS with a window of 1 s (`docs/semantics.md` 9, invariants 28, 29).
    #[test]
    fn a_message_without_attributes_is_rendered_as_recorded() {
        let recorded = recorded(include_str!("../../tests/golden/event-sqs.json"));
        let queue = Queue { has_window: true, ..queue() };
        assert_eq!(rendered_again(&recorded[0], &queue), recorded[0]);
        assert!(recorded[0].get("md5OfMessageAttributes").is_some_and(Value::is_null));
    }

    /// Recorded on AWS (`docs/semantics.md` 9, invariant 31).
    #[test]
    fn message_attributes_are_rendered_as_recorded() {
        let recorded = recorded(include_str!("../../tests/golden/event-sqs-message-attributes.json"));
        for has_window in [false, true] {
            assert_eq!(rendered_again(&recorded[0], &Queue { has_window, ..queue() }), recorded[0]);
        }
    }

    /// Recorded on AWS (`docs/semantics.md` 2.2 and 9, invariant 29): no window, so no hash of nothing.
    #[test]
    fn fifo_messages_are_rendered_as_recorded() {
        let recorded = recorded(include_str!("../../tests/golden/event-sqs-fifo.json"));
        assert_eq!(recorded.len(), 2);
        for element in &recorded {
            assert_eq!(&rendered_again(element, &queue()), element);
            assert_eq!(element.get("md5OfMessageAttributes"), None);
        }
    }

    /// `docs/semantics.md` 2.1: the wire order, whatever order the receive had.
    #[test]
    fn members_stand_in_the_order_of_the_wire() {
        let message = Message {
            attributes: vec![
                ("Zulu", "z"),
                ("ApproximateFirstReceiveTimestamp", "1760700000150"),
                ("SqsManagedSseEnabled", "true"),
                ("SenderId", "AIDA"),
                ("SentTimestamp", "1760700000123"),
                ("Alpha", "a"),
                ("AWSTraceHeader", "Root=1"),
                ("ApproximateReceiveCount", "1"),
            ],
            message_attributes: vec![
                attribute("weight", "Number.int", AttributeValue::Text("12")),
                attribute("blob", "Binary", AttributeValue::Binary(&[0, 1, 0x7f, 0x80, 0xff])),
            ],
            ..message()
        };
        let expected = concat!(
            r#"{"messageId":"m-1","receiptHandle":"r-1","body":"{\"id\":7}","#,
            r#""attributes":{"ApproximateReceiveCount":"1","AWSTraceHeader":"Root=1","SentTimestamp":"1760700000123","#,
            r#""SenderId":"AIDA","ApproximateFirstReceiveTimestamp":"1760700000150","Alpha":"a","Zulu":"z"},"#,
            r#""messageAttributes":{"#,
            r#""blob":{"binaryValue":"AAF/gP8=","stringListValues":[],"binaryListValues":[],"dataType":"Binary"},"#,
            r#""weight":{"stringValue":"12","stringListValues":[],"binaryListValues":[],"dataType":"Number.int"}},"#,
            r#""md5OfMessageAttributes":"0123","md5OfBody":"fedc","eventSource":"aws:sqs","#,
            r#""eventSourceARN":"arn:aws:sqs:eu-west-1:111111111111:orders","awsRegion":"eu-west-1"}"#,
        );
        assert_eq!(render(&message, &queue()), expected.as_bytes());
    }

    #[test]
    fn a_missing_hash_of_the_body_is_left_out() {
        let message = Message { md5_of_body: None, ..message() };
        assert_eq!(parsed(&render(&message, &queue())).get("md5OfBody"), None);
    }

    proptest! {
        /// `docs/semantics.md` 9 (invariants 28, 30, 31).
        #[test]
        fn any_text_survives(body: String, id in ".*", name in ".*", value: String, bytes: Vec<u8>, has_window: bool) {
            let message = Message {
                message_id: &id,
                body: &body,
                attributes: vec![("SenderId", &value), ("ApproximateReceiveCount", "3")],
                message_attributes: vec![
                    attribute("binary", "Binary.x", AttributeValue::Binary(&bytes)),
                    attribute(&name, "String", AttributeValue::Text(&value)),
                ],
                ..message()
            };
            let mut expected = json!({
                "messageId": id,
                "receiptHandle": "r-1",
                "body": body,
                "attributes": { "ApproximateReceiveCount": "3", "SenderId": value },
                "messageAttributes": {
                    "binary": {
                        "binaryValue": base64_simd::STANDARD.encode_to_string(&bytes),
                        "stringListValues": [], "binaryListValues": [], "dataType": "Binary.x",
                    },
                },
                "md5OfMessageAttributes": "0123",
                "md5OfBody": "fedc",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:111111111111:orders",
                "awsRegion": "eu-west-1",
            });
            expected["messageAttributes"][&name] =
                json!({ "stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String" });
            let element = parsed(&render(&message, &Queue { has_window, ..queue() }));
            prop_assert_eq!(element["body"].as_str().unwrap().as_bytes(), body.as_bytes());
            prop_assert_eq!(element, expected);
        }
    }

    /// The recorded records, their embedded bodies back in the text form that they have on the wire.
    fn recorded(file: &str) -> Vec<Value> {
        let mut event: Value = serde_json::from_str(file).unwrap();
        let mut records: Vec<Value> = event["Records"].as_array_mut().unwrap().drain(..).collect();
        for record in &mut records {
            if record["body"].is_object() {
                record["body"] = record["body"].to_string().into();
            }
        }
        records
    }

    /// Takes a recorded element apart into the message that it came from, and renders that.
    fn rendered_again(element: &Value, queue: &Queue) -> Value {
        let text = |member: &str| element[member].as_str().unwrap();
        let members = |member: &str| element[member].as_object().unwrap();
        let queue = Queue { arn: text("eventSourceARN").to_owned(), region: text("awsRegion").to_owned(), ..*queue };
        let message = Message {
            message_id: text("messageId"),
            receipt_handle: text("receiptHandle"),
            body: text("body"),
            attributes: members("attributes").iter().map(|(name, value)| (&**name, value.as_str().unwrap())).collect(),
            message_attributes: members("messageAttributes")
                .iter()
                .map(|(name, value)| {
                    let text = |member: &str| value[member].as_str().unwrap();
                    attribute(name, text("dataType"), AttributeValue::Text(text("stringValue")))
                })
                .collect(),
            md5_of_message_attributes: element["md5OfMessageAttributes"].as_str(),
            md5_of_body: Some(text("md5OfBody")),
        };
        parsed(&render(&message, &queue))
    }

    fn attribute<'a>(name: &'a str, data_type: &'a str, value: AttributeValue<'a>) -> MessageAttribute<'a> {
        MessageAttribute { name, data_type, value }
    }

    fn message() -> Message<'static> {
        Message {
            message_id: "m-1",
            receipt_handle: "r-1",
            body: r#"{"id":7}"#,
            attributes: Vec::new(),
            message_attributes: Vec::new(),
            md5_of_message_attributes: Some("0123"),
            md5_of_body: Some("fedc"),
        }
    }

    fn queue() -> Queue {
        Queue {
            arn: "arn:aws:sqs:eu-west-1:111111111111:orders".to_owned(),
            region: "eu-west-1".to_owned(),
            has_window: false,
        }
    }

    fn parsed(element: &Bytes) -> Value {
        serde_json::from_slice(element).unwrap()
    }
}
