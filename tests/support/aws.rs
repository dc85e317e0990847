//! Clients for the servers that stand in for AWS, and what tests do with them: make queues and streams, fill them,
//! count. The clients retry as the SDK does by default; the ledger counts a record once however often it was put.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ConsumerStatus, PutRecordsRequestEntry, ScalingType, StreamStatus};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use uuid::Uuid;

use super::ledger::Entry;
use super::lineage::{Placed, Shard};
use super::servers::Server;

/// The region of all test servers.
pub const REGION: &str = "us-east-1";

/// The settings that every client of one server shares.
pub fn config(endpoint: &str) -> SdkConfig {
    let http_client =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests")))
        .endpoint_url(endpoint)
        .http_client(http_client)
        .build()
}

/// A client for the queues of a server.
pub fn sqs(server: &Server) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&config(&server.url))
}

/// A client for the streams of a server.
pub fn kinesis(server: &Server) -> aws_sdk_kinesis::Client {
    aws_sdk_kinesis::Client::new(&config(&server.url))
}

/// A name that no other test uses, since all of them share the servers.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4().simple())
}

/// A queue made for one test.
#[derive(Clone, Debug)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    /// The URL, as the server gave it.
    pub url: String,
    /// The ARN.
    pub arn: String,
    is_fifo: bool,
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCounts {
    /// Ready to be received.
    pub visible: usize,
    /// Received, neither deleted nor visible again.
    pub in_flight: usize,
}

impl Queue {
    /// A standard queue.
    pub async fn standard(server: &Server, visibility: Duration) -> Self {
        Self::create(server, unique("standard"), visibility, false).await
    }

    /// A FIFO queue.
    pub async fn fifo(server: &Server, visibility: Duration) -> Self {
        Self::create(server, format!("{}.fifo", unique("ordered")), visibility, true).await
    }

    /// What is received more often than so many times goes to the other queue.
    pub async fn with_redrive(self, dead: &Self, receives_max: u32) -> Self {
        let policy = serde_json::json!({"deadLetterTargetArn": dead.arn, "maxReceiveCount": receives_max.to_string()});
        let request = self.client.set_queue_attributes().queue_url(&self.url);
        let request = request.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        request.send().await.expect("the server has redrive policies");
        self
    }

    /// Sends in tens. On a FIFO queue the key is the message group; a standard queue takes no notice of it.
    pub async fn send(&self, entries: &[Entry]) {
        for (start, ten) in (0_usize..).step_by(10).zip(entries.chunks(10)) {
            let batch = ten.iter().zip(start..).map(|(entry, index)| self.message(entry, index)).collect();
            let sent = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(batch)).send().await;
            let failed = sent.expect("the server takes messages").failed;
            assert!(failed.is_empty(), "the server refused messages: {failed:?}");
        }
    }

    /// The counts that the server gives, exact on test servers.
    pub async fn counts(&self) -> QueueCounts {
        let attributes = attributes(&self.client, &self.url).await;
        let count = |name| attributes[&name].parse().unwrap();
        QueueCounts {
            visible: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        }
    }

    /// The bodies of all messages that are visible now.
    pub async fn receive_all(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let messages = request.send().await.expect("the server gives messages").messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            bodies.extend(messages.into_iter().filter_map(|message| message.body));
        }
    }

    /// Waits until the queue holds nothing.
    ///
    /// # Panics
    /// When it still does after `limit`.
    pub async fn wait_until_empty(&self, limit: Duration) {
        let empty = QueueCounts { visible: 0, in_flight: 0 };
        let emptied = async {
            while self.counts().await != empty {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let emptied = tokio::time::timeout(limit, emptied).await;
        assert!(emptied.is_ok(), "the queue still holds {:?} after {limit:?}", self.counts().await);
    }

    async fn create(server: &Server, name: String, visibility: Duration, is_fifo: bool) -> Self {
        let client = sqs(server);
        let mut request = client
            .create_queue()
            .queue_name(name)
            .attributes(QueueAttributeName::VisibilityTimeout, visibility.as_secs().to_string());
        if is_fifo {
            request = request.attributes(QueueAttributeName::FifoQueue, "true");
        }
        let url = request.send().await.expect("the server makes queues").queue_url.expect("a queue has a URL");
        let arn = attributes(&client, &url).await[&QueueAttributeName::QueueArn].clone();
        Self { client, url, arn, is_fifo }
    }

    fn message(&self, entry: &Entry, index: usize) -> SendMessageBatchRequestEntry {
        let mut message = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(entry.body());
        if self.is_fifo {
            let deduplication = format!("{}-{}", entry.key, entry.sequence);
            message = message.message_group_id(&entry.key).message_deduplication_id(deduplication);
        }
        message.build().expect("id and body are set")
    }
}

async fn attributes(client: &aws_sdk_sqs::Client, queue_url: &str) -> HashMap<QueueAttributeName, String> {
    let request = client.get_queue_attributes().queue_url(queue_url).attribute_names(QueueAttributeName::All);
    request.send().await.expect("the queue exists").attributes.expect("a queue has attributes")
}

/// A stream made for one test.
#[derive(Clone, Debug)]
pub struct Stream {
    client: aws_sdk_kinesis::Client,
    /// The name.
    pub name: String,
    /// The ARN.
    pub arn: String,
}

impl Stream {
    /// A stream of `shards` shards, ready.
    ///
    /// # Panics
    /// When it is not active within 30 seconds.
    pub async fn create(server: &Server, shards: i32) -> Self {
        let client = kinesis(server);
        let name = unique("stream");
        client.create_stream().stream_name(&name).shard_count(shards).send().await.expect("the server makes streams");
        let arn = wait_until_active(&client, &name).await;
        Self { client, name, arn }
    }

    /// Puts the records in one request, and those that failed again, and says where each one went. Two of one key would
    /// have no certain order in it.
    ///
    /// # Panics
    /// When a key is given twice, or the server goes on refusing.
    pub async fn put(&self, entries: &[Entry]) -> Vec<Placed> {
        let keys: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys.len(), entries.len(), "one request, each key once");
        let mut placed = Vec::with_capacity(entries.len());
        let mut pending: Vec<&Entry> = entries.iter().collect();
        for _ in 0..20 {
            let records = pending.iter().map(|entry| record(entry)).collect();
            let request = self.client.put_records().stream_name(&self.name).set_records(Some(records));
            let results = request.send().await.expect("the server takes records").records;
            let (refused, taken): (Vec<_>, Vec<_>) =
                pending.into_iter().zip(results).partition(|(_, result)| result.error_code.is_some());
            placed.extend(taken.into_iter().map(|(entry, result)| Placed {
                entry: entry.clone(),
                shard: result.shard_id.expect("a record that was taken is in a shard"),
                sequence_number: result.sequence_number.expect("a record that was taken has a number"),
            }));
            pending = refused.into_iter().map(|(entry, _)| entry).collect();
            if pending.is_empty() {
                return placed;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{} records were refused again and again", pending.len());
    }

    /// Registers a consumer and returns its ARN once it is active.
    ///
    /// # Panics
    /// When it is not within 30 seconds.
    pub async fn register_consumer(&self, name: &str) -> String {
        let request = self.client.register_stream_consumer().stream_arn(&self.arn).consumer_name(name);
        let registered = request.send().await.expect("the server registers consumers").consumer;
        let arn = registered.expect("a consumer has a description").consumer_arn;
        for _ in 0..300 {
            let answer = self.client.describe_stream_consumer().consumer_arn(&arn).send().await;
            let consumer = answer.ok().and_then(|answer| answer.consumer_description);
            if consumer.is_some_and(|consumer| consumer.consumer_status == ConsumerStatus::Active) {
                return arn;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{arn} was not active within 30 s");
    }

    /// All its shards, closed ones too.
    pub async fn shards(&self) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(&self.name).max_results(1_000).send().await;
        let listed = listed.expect("the server lists shards");
        assert_eq!(listed.next_token, None, "one page holds them all");
        listed.shards.unwrap_or_default().into_iter().map(shard).collect()
    }

    /// Splits an open shard in the middle. Returns when the stream is active again.
    pub async fn split(&self, shard: &Shard) {
        let middle = shard.hashes.start() + (shard.hashes.end() - shard.hashes.start()) / 2 + 1;
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(&shard.id);
        request.new_starting_hash_key(middle.to_string()).send().await.expect("the server splits shards");
        wait_until_active(&self.client, &self.name).await;
    }

    /// Merges an open shard with the next one. Returns when the stream is active again.
    pub async fn merge(&self, shard: &Shard, next: &Shard) {
        let request = self.client.merge_shards().stream_name(&self.name).shard_to_merge(&shard.id);
        request.adjacent_shard_to_merge(&next.id).send().await.expect("the server merges shards");
        wait_until_active(&self.client, &self.name).await;
    }

    /// Lets the server split or merge shards towards `count` open ones; of uneven ones kinesis-local may leave more.
    /// Returns when the stream is active again.
    pub async fn update_shard_count(&self, count: i32) {
        let request = self.client.update_shard_count().stream_name(&self.name).target_shard_count(count);
        request.scaling_type(ScalingType::UniformScaling).send().await.expect("the server changes the count");
        wait_until_active(&self.client, &self.name).await;
    }
}

/// Returns the stream's ARN once it is active.
///
/// # Panics
/// When it is not within 30 seconds.
async fn wait_until_active(client: &aws_sdk_kinesis::Client, name: &str) -> String {
    for _ in 0..300 {
        let answer = client.describe_stream_summary().stream_name(name).send().await;
        let summary = answer.ok().and_then(|answer| answer.stream_description_summary);
        if let Some(summary) = summary.filter(|summary| summary.stream_status == StreamStatus::Active) {
            return summary.stream_arn;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} was not active within 30 s");
}

fn shard(listed: aws_sdk_kinesis::types::Shard) -> Shard {
    let hashes = listed.hash_key_range.expect("a shard has a range of hashes");
    let [start, end] = [hashes.starting_hash_key, hashes.ending_hash_key].map(|hash| hash.parse().unwrap());
    let numbers = listed.sequence_number_range.expect("a shard has a range of numbers");
    Shard {
        id: listed.shard_id,
        parents: listed.parent_shard_id.into_iter().chain(listed.adjacent_parent_shard_id).collect(),
        hashes: start..=end,
        open: numbers.ending_sequence_number.is_none(),
    }
}

fn record(entry: &Entry) -> PutRecordsRequestEntry {
    let data = Blob::new(entry.body());
    PutRecordsRequestEntry::builder().partition_key(&entry.key).data(data).build().expect("key and data are set")
}
