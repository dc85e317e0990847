//! What one would write by hand: loops over the SDK that receive or read, render the event as Lambda has it by
//! `serde_json`, invoke, and delete. The clients are esmd's, the leanest that the SDK gives: no retries, no protection
//! against stalled streams. Nothing here knows leases, checkpoints, retries, filters, metrics or an end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use base64_simd::STANDARD;
use esmd::aws::Aws;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Which loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Work {
    /// So many loops that each receive up to ten messages, invoke once, and delete them.
    Queue { loops: usize },
    /// A loop for each shard that reads up to `page` records and invokes them `batch` at a time, in order. After a read
    /// without records it leaves the shard alone until `poll` after the read's beginning.
    Stream { page: i32, batch: usize, poll: Duration },
}

/// Runs until the process is ended.
pub async fn run(work: Work) -> ! {
    let aws = Arc::new(Aws::load().await.expect("the environment is complete"));
    let mut loops = JoinSet::new();
    match work {
        Work::Queue { loops: count } => (0..count).for_each(|_| _ = loops.spawn(work_off_queue(Arc::clone(&aws)))),
        Work::Stream { page, batch, poll } => {
            for shard in shards(&aws).await {
                loops.spawn(work_off_shard(Arc::clone(&aws), shard, page, batch, poll));
            }
        }
    }
    let ended = loops.join_next().await;
    panic!("no loop ends: {ended:?}");
}

async fn work_off_queue(aws: Arc<Aws>) {
    let (sqs, lambda) = (aws.sqs(), aws.lambda());
    loop {
        let call = sqs.receive_message().queue_url(QUEUE_URL).max_number_of_messages(10).wait_time_seconds(20);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All");
        let messages = call.send().await.expect("the server answers").messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let records = messages.iter().map(QueueElement::of).collect();
        invoke(&lambda, &Event { records }).await;
        let entries = messages.into_iter().enumerate().map(|(index, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.set_receipt_handle(message.receipt_handle).build().expect("it has an id and a receipt handle")
        });
        let call = sqs.delete_message_batch().queue_url(QUEUE_URL).set_entries(Some(entries.collect()));
        let deleted = call.send().await.expect("the server answers");
        assert!(deleted.failed().is_empty(), "all are deleted");
    }
}

async fn work_off_shard(aws: Arc<Aws>, shard: String, page: i32, batch: usize, poll: Duration) {
    let (kinesis, lambda) = (aws.kinesis(), aws.lambda());
    let call = kinesis.get_shard_iterator().stream_arn(super::STREAM_ARN).shard_id(&shard);
    let made = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("the server answers");
    let mut iterator = made.shard_iterator;
    loop {
        let began = Instant::now();
        let call = kinesis.get_records().stream_arn(super::STREAM_ARN).set_shard_iterator(iterator).limit(page);
        let read = call.send().await.expect("the server answers");
        iterator = read.next_shard_iterator;
        for records in read.records.chunks(batch) {
            let records = records.iter().map(|record| StreamElement::of(record, &shard)).collect();
            invoke(&lambda, &Event { records }).await;
        }
        if read.records.is_empty() {
            tokio::time::sleep_until(began + poll).await;
        }
    }
}

async fn invoke<T: Serialize>(lambda: &aws_sdk_lambda::Client, event: &Event<T>) {
    let payload = serde_json::to_vec(event).expect("an event is always JSON");
    let call = lambda.invoke().function_name("worker").payload(Blob::new(payload));
    let answer = call.send().await.expect("the server answers");
    assert!(answer.function_error.is_none(), "the function never fails");
}

async fn shards(aws: &Aws) -> Vec<String> {
    let mut shards = Vec::new();
    let mut page = aws.kinesis().list_shards().stream_arn(super::STREAM_ARN).send().await.expect("the server answers");
    loop {
        shards.extend(page.shards.unwrap_or_default().into_iter().map(|shard| shard.shard_id));
        let Some(token) = page.next_token else { return shards };
        page = aws.kinesis().list_shards().next_token(token).send().await.expect("the server answers");
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<T> {
    records: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueElement<'a> {
    message_id: Option<&'a str>,
    receipt_handle: Option<&'a str>,
    body: Option<&'a str>,
    attributes: HashMap<&'a str, &'a str>,
    message_attributes: HashMap<&'a str, &'a str>,
    md5_of_body: Option<&'a str>,
    event_source: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    aws_region: &'a str,
}

impl<'a> QueueElement<'a> {
    fn of(message: &'a Message) -> Self {
        let attributes = message.attributes.iter().flatten();
        Self {
            message_id: message.message_id(),
            receipt_handle: message.receipt_handle(),
            body: message.body(),
            attributes: attributes.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            message_attributes: HashMap::new(), // the load has none
            md5_of_body: message.md5_of_body(),
            event_source: "aws:sqs",
            event_source_arn: super::QUEUE_ARN,
            aws_region: super::REGION,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamElement<'a> {
    kinesis: KinesisData<'a>,
    event_source: &'a str,
    event_version: &'a str,
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: &'a str,
    invoke_identity_arn: &'a str,
    aws_region: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KinesisData<'a> {
    kinesis_schema_version: &'a str,
    partition_key: Option<&'a str>,
    sequence_number: &'a str,
    data: String,
    approximate_arrival_timestamp: Option<f64>,
}

impl<'a> StreamElement<'a> {
    fn of(record: &'a Record, shard: &str) -> Self {
        Self {
            kinesis: KinesisData {
                kinesis_schema_version: "1.0",
                partition_key: record.partition_key.as_deref(),
                sequence_number: &record.sequence_number,
                data: STANDARD.encode_to_string(record.data.as_ref()),
                approximate_arrival_timestamp: record.approximate_arrival_timestamp.map(|time| time.as_secs_f64()),
            },
            event_source: "aws:kinesis",
            event_version: "1.0",
            event_id: format!("{shard}:{}", record.sequence_number),
            event_name: "aws:kinesis:record",
            invoke_identity_arn: "arn:aws:iam::000000000000:role/worker",
            aws_region: super::REGION,
            event_source_arn: super::STREAM_ARN,
        }
    }
}

const QUEUE_URL: &str = "http://127.0.0.1/000000000000/load";
