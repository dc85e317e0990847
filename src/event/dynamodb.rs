//! A change of a table's item as the function sees it (`docs/semantics.md` 2.4). Pure; knows the event's members, not
//! where the record was read. Invariant: the same change gives the same bytes, as names of attributes are in order.

use std::collections::BTreeMap;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};

/// Attributes by name: an item, or the part of it that is its key.
pub type Attributes = BTreeMap<String, AttributeValue>;

/// A value as `DynamoDB` types it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AttributeValue {
    /// Text.
    S(String),
    /// A number in the text that the table gave; no float holds its 38 digits.
    N(String),
    /// Bytes.
    B(Binary),
    /// True or false.
    Bool(bool),
    /// Always true.
    Null(bool),
    /// A set of texts.
    Ss(Vec<String>),
    /// A set of numbers.
    Ns(Vec<String>),
    /// A set of bytes.
    Bs(Vec<Binary>),
    /// Values of any types.
    L(Vec<AttributeValue>),
    /// Values of any types, by name.
    M(Attributes),
}

/// Bytes that the event shows as base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary(pub Vec<u8>);

/// One record as its stream gave it. A member that the stream left out is left out of the event.
#[derive(Clone, Debug, Serialize)]
pub struct StreamRecord<'a> {
    /// The record's id.
    #[serde(rename = "eventID", skip_serializing_if = "Option::is_none")]
    pub event_id: Option<&'a str>,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    #[serde(rename = "eventName", skip_serializing_if = "Option::is_none")]
    pub event_name: Option<&'a str>,
    /// The version of the record's form.
    #[serde(rename = "eventVersion", skip_serializing_if = "Option::is_none")]
    pub event_version: Option<&'a str>,
    /// `aws:dynamodb`.
    #[serde(rename = "eventSource", skip_serializing_if = "Option::is_none")]
    pub event_source: Option<&'a str>,
    /// The region, as the stream names it.
    #[serde(rename = "awsRegion", skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<&'a str>,
    /// What happened to the item.
    pub dynamodb: Change<'a>,
    /// Who did it, where it was not a caller: the service deletes what has outlived its time.
    #[serde(rename = "userIdentity", skip_serializing_if = "Option::is_none")]
    pub user_identity: Option<UserIdentity<'a>>,
    /// The source exactly as the mapping names it.
    #[serde(rename = "eventSourceARN")]
    pub event_source_arn: &'a str,
}

/// What happened to an item.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change<'a> {
    /// When, in whole seconds since 1970.
    #[serde(rename = "ApproximateCreationDateTime", serialize_with = "seconds")]
    pub created_at: u64,
    /// The item's key.
    pub keys: &'a Attributes,
    /// The item afterwards, if the stream shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_image: Option<&'a Attributes>,
    /// The item before, if the stream shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_image: Option<&'a Attributes>,
    /// Its number in the shard, verbatim.
    pub sequence_number: &'a str,
    /// The size of the change in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Which images the stream shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_view_type: Option<&'a str>,
}

/// Who made a change.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UserIdentity<'a> {
    /// `Service`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
    /// `dynamodb.amazonaws.com`.
    #[serde(rename = "principalId", skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<&'a str>,
}

/// Renders one record into a buffer of its own that is exactly as large as the element: a record that is held for hours
/// pins neither its page nor spare room. `scratch` is overwritten; one serves a whole page.
#[must_use]
pub fn render(record: &StreamRecord<'_>, scratch: &mut Vec<u8>) -> Bytes {
    scratch.clear();
    serde_json::to_writer(&mut *scratch, record).expect("texts as names, and a Vec takes any number of bytes");
    Bytes::copy_from_slice(scratch)
}

/// The key by which an item's changes keep their order: the same item has the same text (`docs/semantics.md` 6.4).
#[must_use]
pub fn ordering_key(keys: &Attributes) -> String {
    serde_json::to_string(keys).expect("texts as names")
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(&self.0))
    }
}

/// AWS writes a number with a point, so languages that tell floats from integers see what they see there.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's `serialize_with` hands a reference
fn seconds<S: Serializer>(seconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*seconds as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests may
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::event::payload;

    /// `docs/semantics.md` 2.4 and 9 (invariant 35): the members, their order and their form on the wire.
    #[test]
    fn an_element_has_the_documented_members_in_their_order() {
        let keys = item(&[("pk", text("a"))]);
        let new_image = item(&[("pk", text("a")), ("n", number("2")), ("b", binary(b"foobar"))]);
        let old_image = item(&[("pk", text("a")), ("n", number("1"))]);
        let record = StreamRecord {
            event_name: Some("MODIFY"),
            dynamodb: Change {
                new_image: Some(&new_image),
                old_image: Some(&old_image),
                stream_view_type: Some("NEW_AND_OLD_IMAGES"),
                ..change(&keys)
            },
            ..inserted(&keys)
        };

        assert_eq!(
            std::str::from_utf8(&render(&record, &mut Vec::from("left over from another record"))).unwrap(),
            concat!(
                r#"{"eventID":"0123456789abcdef0123456789abcdef","eventName":"MODIFY","eventVersion":"1.1","#,
                r#""eventSource":"aws:dynamodb","awsRegion":"eu-west-1","#,
                r#""dynamodb":{"ApproximateCreationDateTime":1760700000.0,"Keys":{"pk":{"S":"a"}},"#,
                r#""NewImage":{"b":{"B":"Zm9vYmFy"},"n":{"N":"2"},"pk":{"S":"a"}},"#,
                r#""OldImage":{"n":{"N":"1"},"pk":{"S":"a"}},"#,
                r#""SequenceNumber":"2900002759746085485437","SizeBytes":70,"StreamViewType":"NEW_AND_OLD_IMAGES"},"#,
                r#""eventSourceARN":"arn:aws:dynamodb:eu-west-1:111111111111:table/users/stream/2026-01-31T09:30:00.000"}"#,
            )
        );
    }

    /// The event that AWS sent, with the recording's placeholders filled in (invariant 38: no member of a window).
    #[test]
    fn a_payload_equals_the_recorded_event() {
        let recorded = include_str!("../../tests/golden/event-dynamodb.json")
            .replace("\"<approximate-creation-datetime>\"", "1760700000.0")
            .replace("<event-i-d:1>", "0123456789abcdef0123456789abcdef")
            .replace("<partition>", "aws")
            .replace("<region>", "eu-west-1")
            .replace("<resource:1>", "users")
            .replace("<resource:2>", "2026-01-31T09:30:00.000")
            .replace("<sequence-number:1>", "2900002759746085485437");
        let keys = item(&[("my_partition_key", text("hello world"))]);
        let image = item(&[("my_partition_key", text("hello world")), ("binary_key", binary(b"foobar"))]);
        let dynamodb = Change { new_image: Some(&image), ..change(&keys) };

        let element = render(&StreamRecord { dynamodb, ..inserted(&keys) }, &mut Vec::new());

        let rendered: Value = serde_json::from_slice(&payload(std::iter::once(&element))).unwrap();
        assert_eq!(rendered, serde_json::from_str::<Value>(&recorded).unwrap());
    }

    /// `docs/semantics.md` 2.4: an item deleted at the end of its time.
    #[test]
    fn a_deletion_by_the_service_says_who_did_it() {
        let keys = item(&[("pk", text("a"))]);
        let user_identity = UserIdentity { kind: Some("Service"), principal_id: Some("dynamodb.amazonaws.com") };
        let record = StreamRecord { event_name: Some("REMOVE"), user_identity: Some(user_identity), ..inserted(&keys) };

        let element: Value = serde_json::from_slice(&render(&record, &mut Vec::new())).unwrap();

        assert_eq!(element["userIdentity"], json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"}));
        assert_eq!(element["dynamodb"].get("NewImage"), None);
    }

    /// `docs/semantics.md` 2.4: every type of attribute.
    #[test]
    fn values_are_rendered_in_their_types() {
        let values = [
            (AttributeValue::S("é\"\n".into()), json!({"S": "é\"\n"})),
            (
                number("3.14159265358979323846264338327950288419"),
                json!({"N": "3.14159265358979323846264338327950288419"}),
            ),
            (binary(&[0, 255, 10]), json!({"B": "AP8K"})),
            (AttributeValue::Bool(false), json!({"BOOL": false})),
            (AttributeValue::Null(true), json!({"NULL": true})),
            (AttributeValue::Ss(vec!["b".into(), "a".into()]), json!({"SS": ["b", "a"]})),
            (AttributeValue::Ns(vec!["2".into(), "-1".into()]), json!({"NS": ["2", "-1"]})),
            (AttributeValue::Bs(vec![Binary(vec![1]), Binary(vec![])]), json!({"BS": ["AQ==", ""]})),
            (AttributeValue::L(vec![text("a"), number("1")]), json!({"L": [{"S": "a"}, {"N": "1"}]})),
            (AttributeValue::M(item(&[("x", AttributeValue::L(vec![]))])), json!({"M": {"x": {"L": []}}})),
        ];
        for (value, expected) in values {
            assert_eq!(serde_json::to_value(&value).unwrap(), expected);
        }
    }

    proptest! {
        /// `docs/semantics.md` 6.4: only the same key of an item is the same ordering key.
        #[test]
        fn ordering_keys_are_equal_when_the_items_are(
            one in prop::collection::btree_map("[ab\"]{1,2}", any_key(), 1..3),
            other in prop::collection::btree_map("[ab\"]{1,2}", any_key(), 1..3),
        ) {
            prop_assert_eq!(ordering_key(&one) == ordering_key(&other), one == other);
        }
    }

    fn any_key() -> impl Strategy<Value = AttributeValue> {
        prop_oneof![
            "[1a\"]{0,2}".prop_map(AttributeValue::S),
            "[0-9]{1,2}".prop_map(AttributeValue::N),
            prop::collection::vec(0..3_u8, 0..3).prop_map(|bytes| AttributeValue::B(Binary(bytes))),
        ]
    }

    fn item(attributes: &[(&str, AttributeValue)]) -> Attributes {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn text(text: &str) -> AttributeValue {
        AttributeValue::S(text.into())
    }

    fn number(text: &str) -> AttributeValue {
        AttributeValue::N(text.into())
    }

    fn binary(bytes: &[u8]) -> AttributeValue {
        AttributeValue::B(Binary(bytes.into()))
    }

    fn inserted(keys: &Attributes) -> StreamRecord<'_> {
        StreamRecord {
            event_id: Some("0123456789abcdef0123456789abcdef"),
            event_name: Some("INSERT"),
            event_version: Some("1.1"),
            event_source: Some("aws:dynamodb"),
            aws_region: Some("eu-west-1"),
            dynamodb: change(keys),
            user_identity: None,
            event_source_arn: "arn:aws:dynamodb:eu-west-1:111111111111:table/users/stream/2026-01-31T09:30:00.000",
        }
    }

    fn change(keys: &Attributes) -> Change<'_> {
        Change {
            created_at: 1_760_700_000,
            keys,
            new_image: None,
            old_image: None,
            sequence_number: "2900002759746085485437",
            size_bytes: Some(70),
            stream_view_type: Some("NEW_IMAGE"),
        }
    }
}
