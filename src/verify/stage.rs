//! What a run works on: queues, a stream or a table, either made for it and removed in the end, or the user's own. What is
//! to be removed is noted before it is made, so that nothing stays behind however the run ends. Sends no records.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodbstreams::types::{StreamStatus as TableStreamStatus, StreamViewType};
use aws_sdk_kinesis::types::StreamStatus;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;

use super::table::Table;
use super::{VerifyError, unanswered};
use crate::aws::{Aws, Service};
use crate::mapping::arn::SourceArn;

/// Makes things and removes them.
pub struct Stage {
    aws: Aws,
    /// Begins the name of all that is made.
    name: String,
    /// Replaces every endpoint of the environment.
    endpoint: Option<String>,
    made: Mutex<Vec<Made>>,
}

enum Made {
    Queue(String),
    Stream(String),
    Table(Table),
    /// Items in the user's own table.
    Item(Table, Arc<str>),
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The URL, as the server gave it.
    pub url: String,
    /// The ARN.
    pub arn: String,
}

/// A table with its stream.
#[derive(Clone, Debug)]
pub struct StreamedTable {
    /// The table.
    pub table: Table,
    /// The ARN of its stream.
    pub stream_arn: String,
}

impl Stage {
    /// An empty stage. `name` is of letters, digits and hyphens.
    pub fn new(aws: Aws, name: String, endpoint: Option<String>) -> Self {
        Self { aws, name, endpoint, made: Mutex::default() }
    }

    /// Makes a queue. With `dead_letters`, a message goes there that was received so often without being deleted.
    pub async fn create_queue(
        &self,
        part: &str,
        is_fifo: bool,
        visibility: Duration,
        dead_letters: Option<(&Queue, usize)>,
    ) -> Result<Queue, VerifyError> {
        let name = format!("{}-{part}{}", self.name, if is_fifo { ".fifo" } else { "" });
        self.note(Made::Queue(name.clone()));
        let client = self.aws.sqs();
        let mut call = client.create_queue().queue_name(&name);
        call = call.attributes(QueueAttributeName::VisibilityTimeout, visibility.as_secs().to_string());
        if is_fifo {
            call = call.attributes(QueueAttributeName::FifoQueue, "true");
        }
        if let Some((queue, receives)) = dead_letters {
            let policy = serde_json::json!({"deadLetterTargetArn": queue.arn, "maxReceiveCount": receives.to_string()});
            call = call.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        let url = call.send().await.map_err(|error| unanswered("CreateQueue", error))?.queue_url.unwrap_or_default();
        let [arn] = self.attributes(&url, [QueueAttributeName::QueueArn]).await?;
        Ok(Queue { url, arn })
    }

    /// Finds the user's queue.
    pub async fn find_queue(&self, arn: &SourceArn) -> Result<Queue, VerifyError> {
        let call = self.aws.sqs().get_queue_url().queue_name(arn.name()).queue_owner_aws_account_id(arn.account());
        let found = call.send().await.map_err(|error| unanswered("GetQueueUrl", error))?;
        Ok(Queue { url: found.queue_url.unwrap_or_default(), arn: arn.as_str().to_owned() })
    }

    /// Refuses a queue that holds messages: a test would take them from their own readers.
    pub async fn check_empty(&self, queue: &Queue) -> Result<(), VerifyError> {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let [visible, hidden] = self.attributes(&queue.url, counts).await?;
        if visible == "0" && hidden == "0" {
            return Ok(());
        }
        let reason = format!("{} must be empty: it holds {visible} messages, and {hidden} are in flight", queue.arn);
        Err(VerifyError::Usage(reason))
    }

    /// Makes a Kinesis stream and waits until it is active. Returns its ARN.
    pub async fn create_stream(&self, shards: usize) -> Result<String, VerifyError> {
        self.note(Made::Stream(self.name.clone()));
        let shards = i32::try_from(shards).unwrap_or(i32::MAX);
        let created = self.aws.kinesis().create_stream().stream_name(&self.name).shard_count(shards).send().await;
        created.map_err(|error| unanswered("CreateStream", error))?;
        wait_until_active(&self.aws.kinesis(), &self.name).await
    }

    /// Makes a table and waits until its stream is enabled.
    pub async fn create_table(&self) -> Result<StreamedTable, VerifyError> {
        let table = self.table(self.name.clone(), vec!["key".to_owned()]);
        self.note(Made::Table(table.clone()));
        table.create().await.map_err(|error| unanswered("CreateTable", error))?;
        let client = self.aws.dynamodb_streams();
        for _ in 0..CHECKS {
            let listed = client.list_streams().table_name(&self.name).send().await;
            let listed = listed.map_err(|error| unanswered("ListStreams", error))?;
            let stream_arn = listed.streams.unwrap_or_default().pop().and_then(|stream| stream.stream_arn);
            if let Some(stream_arn) = stream_arn
                && self.is_enabled(&stream_arn).await?
            {
                return Ok(StreamedTable { table, stream_arn });
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        Err(VerifyError::Server(format!("the stream of the table {} was not enabled in time", self.name)))
    }

    /// Finds the user's table by its stream, which must show new images. Its items are removed in the end.
    pub async fn find_table(&self, arn: &SourceArn) -> Result<StreamedTable, VerifyError> {
        let described = self.aws.dynamodb_streams().describe_stream().stream_arn(arn.as_str()).send().await;
        let described = described.map_err(|error| unanswered("DescribeStream", error))?.stream_description;
        let described = described.ok_or_else(|| VerifyError::Server("the answer describes no stream".to_owned()))?;
        if !matches!(described.stream_view_type, Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages)) {
            let reason = format!("the stream {} has no new images, which hold the records' names", arn.as_str());
            return Err(VerifyError::Usage(reason));
        }
        let key = described.key_schema.unwrap_or_default().into_iter().map(|element| element.attribute_name).collect();
        let table = self.table(described.table_name.unwrap_or_default(), key);
        Ok(StreamedTable { table, stream_arn: arn.as_str().to_owned() })
    }

    /// Notes that the user's own table is about to have these items.
    pub fn note_items(&self, table: &Table, keys: &BTreeSet<Arc<str>>) {
        let mut made = self.made();
        made.extend(keys.iter().map(|key| Made::Item(table.clone(), Arc::clone(key))));
    }

    /// Removes all that was made, newest first. Returns what could not be removed, and why.
    pub async fn clear(&self) -> Vec<String> {
        let made = std::mem::take(&mut *self.made());
        let mut left = Vec::new();
        for thing in made.into_iter().rev() {
            let (name, removed) = match thing {
                Made::Queue(name) => (format!("queue {name}"), self.delete_queue(&name).await),
                Made::Stream(name) => (format!("stream {name}"), self.delete_stream(&name).await),
                Made::Table(table) => (format!("table {}", table.name), gone_once_steady(|| table.delete()).await),
                Made::Item(table, key) => {
                    (format!("item {key} of {}", table.name), gone(table.delete_item(&key).await))
                }
            };
            if let Err(reason) = removed {
                left.push(format!("{name}: {reason}"));
            }
        }
        left
    }

    async fn delete_queue(&self, name: &str) -> Result<(), String> {
        let client = self.aws.sqs();
        match client.get_queue_url().queue_name(name).send().await {
            Ok(found) => gone(client.delete_queue().set_queue_url(found.queue_url).send().await),
            Err(error) => gone(Err::<(), _>(error)),
        }
    }

    async fn delete_stream(&self, name: &str) -> Result<(), String> {
        let client = self.aws.kinesis();
        gone_once_steady(|| client.delete_stream().stream_name(name).send()).await
    }

    async fn attributes<const N: usize>(
        &self,
        url: &str,
        names: [QueueAttributeName; N],
    ) -> Result<[String; N], VerifyError> {
        let call = self.aws.sqs().get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let answer = call.send().await.map_err(|error| unanswered("GetQueueAttributes", error))?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(names.map(|name| attributes.get(&name).cloned().unwrap_or_default()))
    }

    async fn is_enabled(&self, stream_arn: &str) -> Result<bool, VerifyError> {
        let described = self.aws.dynamodb_streams().describe_stream().stream_arn(stream_arn).send().await;
        let described = described.map_err(|error| unanswered("DescribeStream", error))?.stream_description;
        Ok(described.and_then(|stream| stream.stream_status) == Some(TableStreamStatus::Enabled))
    }

    fn table(&self, name: String, key: Vec<String>) -> Table {
        // Tables and their streams are one server wherever an endpoint is set for both.
        let own = || std::env::var("AWS_ENDPOINT_URL_DYNAMODB").ok();
        let of_streams = || self.aws.endpoint(Service::DynamodbStreams).map(str::to_owned);
        let set = self.endpoint.clone().or_else(own).or_else(of_streams);
        let region = self.aws.region();
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = set.unwrap_or_else(|| format!("https://dynamodb.{region}.{suffix}"));
        Table::new(self.aws.dynamodb_streams(), endpoint, name, key)
    }

    fn note(&self, thing: Made) {
        self.made().push(thing);
    }

    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a stream is active. Returns its ARN.
pub async fn wait_until_active(client: &aws_sdk_kinesis::Client, name: &str) -> Result<String, VerifyError> {
    for _ in 0..CHECKS {
        let answer = client.describe_stream_summary().stream_name(name).send().await;
        let answer = answer.map_err(|error| unanswered("DescribeStreamSummary", error))?;
        match answer.stream_description_summary {
            Some(summary) if summary.stream_status == StreamStatus::Active => return Ok(summary.stream_arn),
            _ => tokio::time::sleep(CHECK_INTERVAL).await,
        }
    }
    Err(VerifyError::Server(format!("the stream {name} was not active in time")))
}

/// Whether a deletion worked, or there was nothing to delete.
fn gone<T, E>(result: Result<T, E>) -> Result<(), String>
where
    E: ProvideErrorMetadata + std::error::Error,
{
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.code() {
            Some(code)
                if code.contains("NonExistent") || code.contains("DoesNotExist") || code.contains("NotFound") =>
            {
                Ok(())
            }
            _ => Err(crate::telemetry::chain(&error)),
        },
    }
}

/// Deletes what AWS deletes only when it is neither being made nor changed. How long that may take, the caller knows.
async fn gone_once_steady<T, E, F>(delete: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<T, E>>,
    E: ProvideErrorMetadata + std::error::Error,
{
    loop {
        match delete().await {
            Err(busy) if busy.code() == Some("ResourceInUseException") => tokio::time::sleep(CHECK_INTERVAL).await,
            result => return gone(result),
        }
    }
}

/// AWS takes up to a minute to make a stream.
const CHECKS: usize = 600;
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_config::Region;
    use aws_sdk_sqs::config::Credentials;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use tokio::net::TcpListener;

    use super::*;

    /// Of a run that ended while its stream was being made or split.
    #[tokio::test]
    async fn a_stream_that_is_not_steady_yet_is_removed_when_it_is() {
        let asked = Arc::new(AtomicUsize::new(0));
        let stage = stage(Arc::clone(&asked)).await;
        stage.create_stream(1).await.unwrap_err();

        assert_eq!(stage.clear().await, <Vec<String>>::new());

        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    /// On a server whose streams are busy twice when they are to be deleted.
    async fn stage(asked: Arc<AtomicUsize>) -> Stage {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = async move |headers: HeaderMap| {
            let is_deletion = headers["x-amz-target"].to_str().unwrap().ends_with(".DeleteStream");
            if is_deletion && asked.fetch_add(1, Ordering::Relaxed) == 2 {
                return (StatusCode::OK, "{}");
            }
            (StatusCode::BAD_REQUEST, r#"{"__type": "ResourceInUseException"}"#)
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let loader = crate::aws::loader().endpoint_url(endpoint).region(Region::new("us-east-1"));
        let aws = Aws::from_loader(loader.credentials_provider(credentials)).await.unwrap();
        Stage::new(aws, "esmd-verify-test".to_owned(), None)
    }
}
