//! Bodies that their sender put into a bucket: messages of the SQS extended clients, whose body points there, get the
//! object's text as their body before anyone sees them (`Esmd.ResolveLargePayloads`).
//!
//! A message whose object cannot be read is left: never delivered as a pointer, never deleted; with it go the later
//! messages of its group, which would overtake it.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use futures_util::StreamExt;
use serde::Deserialize;

use crate::aws::cause;
use crate::event::PAYLOAD_BYTES_MAX;
use crate::source::BoxError;

/// Why a body could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("the bucket did not give the object {bucket}/{key}")]
    Bucket {
        bucket: String,
        key: String,
        #[source]
        cause: BoxError,
    },
    #[error("the object {bucket}/{key} has {bytes} bytes, more than any event may have")]
    TooLarge { bucket: String, key: String, bytes: u64 },
    #[error("the object {bucket}/{key} is not a text")]
    NoText { bucket: String, key: String },
}

/// The messages with their bodies, in the same order, without those whose body could not be had and their successors;
/// and why, for the first of these.
pub(super) async fn resolve(client: &Client, messages: Vec<Message>) -> (Vec<Message>, Option<PayloadError>) {
    let resolved = futures_util::stream::iter(messages).map(|message| resolve_one(client, message));
    let resolved: Vec<_> = resolved.buffered(FETCHES_AT_ONCE).collect().await;
    let (mut kept, mut left_groups, mut first_error) = (Vec::with_capacity(resolved.len()), BTreeSet::new(), None);
    for (message, fetched) in resolved {
        let group = group(&message).map(str::to_owned);
        match (fetched, group) {
            (Err(error), group) => {
                first_error.get_or_insert(error);
                left_groups.extend(group);
            }
            (Ok(()), Some(group)) if left_groups.contains(&group) => {}
            (Ok(()), _) => kept.push(message),
        }
    }
    (kept, first_error)
}

async fn resolve_one(client: &Client, mut message: Message) -> (Message, Result<(), PayloadError>) {
    let Some(Pointer { bucket, key }) = pointer(&message) else { return (message, Ok(())) };
    match fetch(client, bucket, key).await {
        Ok(body) => {
            message.body = Some(body);
            if let Some(attributes) = &mut message.message_attributes {
                attributes.retain(|name, _| !SIZE_ATTRIBUTES.contains(&name.as_str()));
            }
            (message, Ok(()))
        }
        Err(error) => (message, Err(error)),
    }
}

async fn fetch(client: &Client, bucket: String, key: String) -> Result<String, PayloadError> {
    let mut tries = 1;
    loop {
        match fetch_once(client, &bucket, &key).await {
            Err(PayloadError::Bucket { .. }) if tries < TRIES => {
                tokio::time::sleep(RETRY_FIRST * tries).await;
                tries += 1;
            }
            fetched => return fetched,
        }
    }
}

async fn fetch_once(client: &Client, bucket: &str, key: &str) -> Result<String, PayloadError> {
    let place = || (bucket.to_owned(), key.to_owned());
    let refused = |cause: BoxError| PayloadError::Bucket { bucket: bucket.to_owned(), key: key.to_owned(), cause };
    let answer = client.get_object().bucket(bucket).key(key).send().await.map_err(|error| refused(cause(error)))?;
    let bytes = answer.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    if bytes > PAYLOAD_BYTES_MAX as u64 {
        let (bucket, key) = place();
        return Err(PayloadError::TooLarge { bucket, key, bytes });
    }
    let body = answer.body.collect().await.map_err(|error| refused(error.into()))?;
    String::from_utf8(body.to_vec()).map_err(|_| {
        let (bucket, key) = place();
        PayloadError::NoText { bucket, key }
    })
}

/// Where the body is.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Pointer {
    #[serde(rename = "s3BucketName")]
    bucket: String,
    #[serde(rename = "s3Key")]
    key: String,
}

/// Only what both says so and looks like it is one: a body may be any text.
fn pointer(message: &Message) -> Option<Pointer> {
    let attributes = message.message_attributes()?;
    if !SIZE_ATTRIBUTES.iter().any(|name| attributes.contains_key(*name)) {
        return None;
    }
    let (class, pointer): (String, Pointer) = serde_json::from_str(message.body()?).ok()?;
    CLASSES.contains(&class.as_str()).then_some(pointer)
}

fn group(message: &Message) -> Option<&str> {
    message.attributes()?.get(&MessageSystemAttributeName::MessageGroupId).map(String::as_str)
}

/// The attribute that the extended clients give to such a message: today's name, and the one of old.
const SIZE_ATTRIBUTES: [&str; 2] = ["ExtendedPayloadSize", "SQSLargePayloadSize"];
/// The first element of its body: likewise.
const CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];
const FETCHES_AT_ONCE: usize = 4;
const TRIES: u32 = 3;
const RETRY_FIRST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::MessageAttributeValue;

    use super::*;

    #[test]
    fn both_forms_of_a_pointer_are_known() {
        for class in CLASSES {
            for attribute in SIZE_ATTRIBUTES {
                let body = format!(r#"["{class}",{{"s3BucketName":"large","s3Key":"a/b","more":1}}]"#);
                let expected = Pointer { bucket: "large".to_owned(), key: "a/b".to_owned() };
                assert_eq!(pointer(&message(&body, Some(attribute))), Some(expected));
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_pointer_is_a_body() {
        let body = format!(r#"["{}",{{"s3BucketName":"large","s3Key":"a"}}]"#, CLASSES[0]);
        assert_eq!(pointer(&message(&body, None)), None);
        assert_eq!(pointer(&message(&body, Some("Size"))), None);
        for body in ["", "text", "[]", r#"["other",{"s3BucketName":"large","s3Key":"a"}]"#, r#"{"s3Key":"a"}"#] {
            assert_eq!(pointer(&message(body, Some(SIZE_ATTRIBUTES[0]))), None, "{body}");
        }
    }

    fn message(body: &str, attribute: Option<&str>) -> Message {
        let value =
            MessageAttributeValue::builder().data_type("Number").string_value("7").build().expect("it has a type");
        let attributes = attribute.map(|name| [(name.to_owned(), value)].into_iter().collect());
        Message::builder().body(body).set_message_attributes(attributes).build()
    }
}
