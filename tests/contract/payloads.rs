//! Messages whose bodies their sender put into a bucket, on a server that has both queues and buckets.

use std::time::Duration;

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use esmd::clock::Clock;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Received, Record, ShardId};
use esmd::source::sqs::{SqsSettings, SqsSource};
use esmd::source::{Source, SourceError};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_body_in_a_bucket_is_fetched_and_its_mark_is_gone() {
    let place = Place::new(false).await;
    let body = "large \u{e9} ".repeat(100_000);
    place.put("a/b", &body).await;
    place.send_pointer("a/b", "ExtendedPayloadSize", None).await;

    let received = place.receive().await.unwrap();

    assert_eq!((bodies(&received), received.unresolved), (vec![body], 0));
    let element = element(&received.records[0]);
    assert_eq!(element["messageAttributes"], json!({}));
}

#[tokio::test]
async fn a_body_that_is_not_there_leaves_its_message_and_fails_the_receive_that_brings_nothing_else() {
    let place = Place::new(false).await;
    place.send_pointer("missing", "SQSLargePayloadSize", None).await;

    assert!(matches!(place.receive().await, Err(SourceError::Transient(_))));

    place.put("missing", "late").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let received = place.receive().await.unwrap();
    assert_eq!(bodies(&received), ["late"]);
    assert_eq!(element(&received.records[0])["attributes"]["ApproximateReceiveCount"], "2");
}

/// `docs/semantics.md` 9, invariant 61: what comes after it in its group would overtake it.
#[tokio::test]
async fn a_body_that_is_not_there_holds_its_group_and_no_other() {
    let place = Place::new(true).await;
    place.send("a1", Some("a")).await;
    place.send_pointer("missing", "ExtendedPayloadSize", Some("a")).await;
    place.send("a3", Some("a")).await;
    place.send("b1", Some("b")).await;

    let received = place.receive().await.unwrap();

    let mut bodies = bodies(&received);
    bodies.sort();
    assert_eq!((bodies, received.unresolved), (vec!["a1".to_owned(), "b1".to_owned()], 2));
}

/// A queue and a bucket made for one test.
struct Place {
    sqs: aws_sdk_sqs::Client,
    s3: aws_sdk_s3::Client,
    url: String,
    arn: String,
    bucket: String,
}

impl Place {
    async fn new(fifo: bool) -> Self {
        let aws = crate::destination::aws(&address(), REGION).await;
        let (sqs, s3) = (aws.sqs(), aws.s3());
        let bucket = format!("large-{}", Uuid::new_v4().simple());
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let name = format!("{bucket}{}", if fifo { ".fifo" } else { "" });
        let mut queue = sqs.create_queue().queue_name(&name).attributes(QueueAttributeName::VisibilityTimeout, "2");
        if fifo {
            queue = queue.attributes(QueueAttributeName::FifoQueue, "true");
        }
        let url = queue.send().await.unwrap().queue_url.unwrap();
        let arn = format!("arn:aws:sqs:{REGION}:000000000000:{name}");
        Self { sqs, s3, url, arn, bucket }
    }

    async fn put(&self, key: &str, body: &str) {
        self.s3.put_object().bucket(&self.bucket).key(key).body(body.as_bytes().to_vec().into()).send().await.unwrap();
    }

    async fn send(&self, body: &str, group: Option<&str>) {
        let message = self.sqs.send_message().queue_url(&self.url).message_body(body);
        let message = message.set_message_group_id(group.map(str::to_owned));
        message.set_message_deduplication_id(group.map(|_| body.to_owned())).send().await.unwrap();
    }

    /// As the extended clients do.
    async fn send_pointer(&self, key: &str, attribute: &str, group: Option<&str>) {
        let class = "software.amazon.payloadoffloading.PayloadS3Pointer";
        let body = json!([class, {"s3BucketName": self.bucket, "s3Key": key}]).to_string();
        let size = MessageAttributeValue::builder().data_type("Number").string_value("800000").build().unwrap();
        let message =
            self.sqs.send_message().queue_url(&self.url).message_body(&body).message_attributes(attribute, size);
        let message = message.set_message_group_id(group.map(str::to_owned));
        message.set_message_deduplication_id(group.map(|_| key.to_owned())).send().await.unwrap();
    }

    async fn receive(&self) -> Result<Received, SourceError> {
        let settings = SqsSettings {
            arn: self.arn.clone(),
            wait: Duration::from_secs(1),
            batch_size: 10,
            window: Duration::ZERO,
            function_timeout: Duration::from_secs(1),
            extends_visibility: false,
            payloads: Some(self.s3.clone()),
        };
        let source = SqsSource::open(self.sqs.clone(), settings, Clock::system()).await.unwrap();
        let from = Checkpoint::at(UpTo::TrimHorizon);
        source.open(&ShardId::new("queue"), &from).receive(10).await
    }
}

fn bodies(received: &Received) -> Vec<String> {
    received.records.iter().map(|record| element(record)["body"].as_str().unwrap().to_owned()).collect()
}

fn element(record: &Record) -> Value {
    serde_json::from_slice(&record.element).unwrap()
}

fn address() -> String {
    std::env::var("ESMD_TEST_MINISTACK").expect("ESMD_TEST_MINISTACK is set by `make test`")
}

const REGION: &str = "us-east-1";
