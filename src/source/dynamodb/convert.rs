//! From the SDK's record to the event's. Invariant: a record is carried over whole or refused, so a function never sees
//! an item with an attribute missing.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types;

use crate::core::Timestamp;
use crate::core::record::{OrderingKey, Origin, Position, Record, SequenceNumber};
use crate::event::dynamodb::{
    AttributeValue, Attributes, Binary, Change, StreamRecord, UserIdentity, ordering_key, render,
};

/// A record that cannot be handed to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It would have no place in its shard.
    #[error("a record of the stream has no {0}")]
    Without(&'static str),
    /// `DynamoDB` has a type of attribute that this version does not know.
    #[error("a record of the stream holds an attribute of an unknown type")]
    UnknownType,
}

/// Renders a record of the stream. `scratch` is overwritten.
pub(super) fn record(record: types::Record, stream_arn: &str, scratch: &mut Vec<u8>) -> Result<Record, Unreadable> {
    let change = record.dynamodb.ok_or(Unreadable::Without("change"))?;
    let sequence_number = change.sequence_number.ok_or(Unreadable::Without("sequence number"))?;
    let created_at = change.approximate_creation_date_time.as_ref().map(seconds);
    let created_at = created_at.ok_or(Unreadable::Without("creation time"))?;
    let keys = attributes(change.keys.ok_or(Unreadable::Without("keys"))?)?;
    let new_image = change.new_image.map(attributes).transpose()?;
    let old_image = change.old_image.map(attributes).transpose()?;
    let identity = record.user_identity.as_ref();
    let element = render(
        &StreamRecord {
            event_id: record.event_id.as_deref(),
            event_name: record.event_name.as_ref().map(types::OperationType::as_str),
            event_version: record.event_version.as_deref(),
            event_source: record.event_source.as_deref(),
            aws_region: record.aws_region.as_deref(),
            dynamodb: Change {
                created_at,
                keys: &keys,
                new_image: new_image.as_ref(),
                old_image: old_image.as_ref(),
                sequence_number: &sequence_number,
                size_bytes: change.size_bytes,
                stream_view_type: change.stream_view_type.as_ref().map(types::StreamViewType::as_str),
            },
            user_identity: identity.map(|identity| UserIdentity {
                kind: identity.r#type.as_deref(),
                principal_id: identity.principal_id.as_deref(),
            }),
            event_source_arn: stream_arn,
        },
        scratch,
    );
    Ok(Record {
        origin: Origin::Position(Position::from(SequenceNumber::new(sequence_number))),
        key: Some(OrderingKey::new(ordering_key(&keys))),
        arrived_at: Timestamp::from_millis(created_at * 1_000),
        element,
    })
}

fn attributes(item: HashMap<String, types::AttributeValue>) -> Result<Attributes, Unreadable> {
    item.into_iter().map(|(name, value)| Ok((name, attribute(value)?))).collect()
}

fn attribute(value: types::AttributeValue) -> Result<AttributeValue, Unreadable> {
    Ok(match value {
        types::AttributeValue::S(text) => AttributeValue::S(text),
        types::AttributeValue::N(number) => AttributeValue::N(number),
        types::AttributeValue::B(bytes) => AttributeValue::B(Binary(bytes.into_inner())),
        types::AttributeValue::Bool(value) => AttributeValue::Bool(value),
        types::AttributeValue::Null(value) => AttributeValue::Null(value),
        types::AttributeValue::Ss(texts) => AttributeValue::Ss(texts),
        types::AttributeValue::Ns(numbers) => AttributeValue::Ns(numbers),
        types::AttributeValue::Bs(all) => {
            AttributeValue::Bs(all.into_iter().map(|bytes| Binary(bytes.into_inner())).collect())
        }
        types::AttributeValue::L(values) => {
            AttributeValue::L(values.into_iter().map(attribute).collect::<Result<_, _>>()?)
        }
        types::AttributeValue::M(values) => AttributeValue::M(attributes(values)?),
        _ => return Err(Unreadable::UnknownType),
    })
}

/// Whole seconds, which is all that AWS gives. Servers exist that give a fraction.
fn seconds(time: &DateTime) -> u64 {
    u64::try_from(time.secs()).unwrap_or(0)
}
