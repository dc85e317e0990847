//! Bodies that their sender put into a bucket: messages of the SQS extended clients, whose body points there, get the
//! object's text as their body before anyone sees them (`Esmd.ResolveLargePayloads`).
//!
//! A message whose object cannot be read is left: never delivered as a pointer, never deleted; on a FIFO queue with it
//! go the later messages of its group, which would overtake it. No object is waited for without end, or the receive
//! that brought it would never end.

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
    #[error("the object {bucket}/{key} has {bytes} bytes or more, too many for any event")]
    TooLarge { bucket: String, key: String, bytes: u64 },
    #[error("the object {bucket}/{key} is not a text")]
    NoText { bucket: String, key: String },
}

/// The messages with their bodies, in the same order, without those whose body could not be had and, where messages
/// `are_ordered`, their successors; and why, for the first of these.
pub(super) async fn resolve(
    client: &Client,
    messages: Vec<Message>,
    are_ordered: bool,
) -> (Vec<Message>, Option<PayloadError>) {
    let resolved = futures_util::stream::iter(messages).map(|message| resolve_one(client, message));
    let resolved: Vec<_> = resolved.buffered(FETCHES_AT_ONCE).collect().await;
    let (mut kept, mut left_groups, mut first_error) = (Vec::with_capacity(resolved.len()), BTreeSet::new(), None);
    for (message, fetched) in resolved {
        let group = are_ordered.then(|| group(&message).to_owned());
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
    let Some(pointer) = pointer(&message) else { return (message, Ok(())) };
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch(client, &pointer)).await;
    match fetched.unwrap_or_else(|late| Err(pointer.unread(late.into()))) {
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

async fn fetch(client: &Client, pointer: &Pointer) -> Result<String, PayloadError> {
    let mut tries = 1;
    loop {
        match fetch_once(client, pointer).await {
            Err(PayloadError::Bucket { .. }) if tries < TRIES => {
                tokio::time::sleep(RETRY_FIRST * tries).await;
                tries += 1;
            }
            fetched => return fetched,
        }
    }
}

/// The size that the server says may be missing, so what comes is counted too.
async fn fetch_once(client: &Client, pointer: &Pointer) -> Result<String, PayloadError> {
    let Pointer { bucket, key } = pointer;
    let call = client.get_object().bucket(bucket).key(key);
    let mut answer = call.send().await.map_err(|error| pointer.unread(cause(error)))?;
    let mut bytes = answer.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    let mut body = Vec::new();
    while bytes <= PAYLOAD_BYTES_MAX as u64 {
        let Some(part) = answer.body.try_next().await.map_err(|error| pointer.unread(error.into()))? else {
            return String::from_utf8(body)
                .map_err(|_| PayloadError::NoText { bucket: bucket.clone(), key: key.clone() });
        };
        body.extend_from_slice(&part);
        bytes = bytes.max(body.len() as u64);
    }
    Err(PayloadError::TooLarge { bucket: bucket.clone(), key: key.clone(), bytes })
}

/// Where the body is.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Pointer {
    #[serde(rename = "s3BucketName")]
    bucket: String,
    #[serde(rename = "s3Key")]
    key: String,
}

impl Pointer {
    fn unread(&self, cause: BoxError) -> PayloadError {
        PayloadError::Bucket { bucket: self.bucket.clone(), key: self.key.clone(), cause }
    }
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

/// A FIFO message always has a group. Those that do not say which share one, to keep their order.
pub(super) fn group(message: &Message) -> &str {
    let attributes = message.attributes();
    attributes.and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId)).map_or("", String::as_str)
}

/// The attribute that the extended clients give to such a message: today's name, and the one of old.
const SIZE_ATTRIBUTES: [&str; 2] = ["ExtendedPayloadSize", "SQSLargePayloadSize"];
/// The first element of its body: likewise.
const CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];
const FETCHES_AT_ONCE: usize = 4;
/// For all tries of one object: the SDK's own deadline ends with the head of an answer, and leases run meanwhile.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const TRIES: u32 = 3;
const RETRY_FIRST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::retry::RetryConfig;
    use aws_sdk_s3::config::timeout::TimeoutConfig;
    use aws_sdk_s3::config::{Credentials, Region, StalledStreamProtectionConfig};
    use aws_sdk_sqs::types::MessageAttributeValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_util::task::AbortOnDropHandle;

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

    /// Without an end of its own such a receive would never end, nor would any other of its mapping begin.
    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_stops_in_the_middle_of_an_object_is_given_up() {
        let (client, _bucket) = bucket("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhal").await;
        let messages = vec![pointing_message(), message("small", None)];

        let resolved = tokio::time::timeout(Duration::from_mins(5), resolve(&client, messages, false)).await;

        let (kept, error) = resolved.expect("it does not wait forever");
        assert_eq!(kept.iter().map(|message| message.body().unwrap()).collect::<Vec<_>>(), ["small"]);
        assert!(matches!(error, Some(PayloadError::Bucket { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn an_object_whose_size_is_not_said_is_read_no_further_than_an_event_can_hold() {
        let half = "x".repeat(PAYLOAD_BYTES_MAX / 2 + 1);
        let chunk = format!("{:x}\r\n{half}\r\n", half.len());
        let (client, _bucket) =
            bucket(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}")).await;

        let (kept, error) = resolve(&client, vec![pointing_message()], false).await;

        assert_eq!(kept, []);
        assert!(matches!(error, Some(PayloadError::TooLarge { .. })), "{error:?}");
    }

    /// On a standard queue a group is about fairness, and its messages wait for nobody.
    #[tokio::test(start_paused = true)]
    async fn only_an_ordered_queue_leaves_what_comes_after_in_a_group() {
        let (client, _bucket) = bucket("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        for group in [Some("a"), None] {
            for (is_ordered, kept_bodies) in [(true, vec!["first"]), (false, vec!["first", "last"])] {
                let messages = [message("first", None), pointing_message(), message("last", None)];
                let messages = messages.map(|message| in_group(message, group));

                let (kept, _) = resolve(&client, messages.to_vec(), is_ordered).await;

                let bodies: Vec<_> = kept.iter().map(|message| message.body().unwrap()).collect();
                assert_eq!(bodies, kept_bodies, "{group:?}");
            }
        }
    }

    /// A bucket that answers every request with this and then keeps silent, and what ends it.
    async fn bucket(answer: &str) -> (Client, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                _ = connection.read(&mut [0; 4096]).await;
                _ = connection.write_all(answer.as_bytes()).await;
                connections.push(connection);
            }
        });
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .http_client(crate::aws::http_client())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .force_path_style(true)
            .endpoint_url(endpoint);
        (Client::from_conf(config.build()), AbortOnDropHandle::new(server))
    }

    fn pointing_message() -> Message {
        let body = format!(r#"["{}",{{"s3BucketName":"large","s3Key":"a"}}]"#, CLASSES[0]);
        message(&body, Some(SIZE_ATTRIBUTES[0]))
    }

    fn in_group(mut message: Message, group: Option<&str>) -> Message {
        message.attributes = group.map(|group| [(MessageSystemAttributeName::MessageGroupId, group.to_owned())].into());
        message
    }

    fn message(body: &str, attribute: Option<&str>) -> Message {
        let value =
            MessageAttributeValue::builder().data_type("Number").string_value("7").build().expect("it has a type");
        let attributes = attribute.map(|name| [(name.to_owned(), value)].into_iter().collect());
        Message::builder().body(body).set_message_attributes(attributes).build()
    }
}
