//! Looks for a mapping's function and source at their servers. Only what a server says for certain refuses a mapping: one
//! that lacks an operation, or does not answer, is told in the log, and the mapping is made.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tracing::warn;

use super::AwsConnector;
use crate::control::premises::{InspectionScope, Premises, Unmet};
use crate::mapping::{EventSourceMapping, SourceSettings, StreamKind};
use crate::source::SourceError;
use crate::source::sqs::facts::{self, UnknownQueue};
use crate::source::stream_facts::{find_dynamodb_stream, find_kinesis_stream};
use crate::target::DescribeError;
use crate::target::lambda::described_timeout;
use crate::telemetry::chain;

impl Premises for AwsConnector {
    fn inspect<'a>(
        &'a self,
        mapping: &'a EventSourceMapping,
        scope: InspectionScope,
    ) -> BoxFuture<'a, Result<(), Unmet>> {
        Box::pin(async move {
            let looked = tokio::time::timeout(INSPECTION_TIMEOUT, self.look(mapping, scope)).await;
            looked.unwrap_or_else(|_| {
                tell_unknown(mapping, "the servers took too long");
                Ok(())
            })
        })
    }
}

impl AwsConnector {
    /// The function first, as AWS looks.
    async fn look(&self, mapping: &EventSourceMapping, scope: InspectionScope) -> Result<(), Unmet> {
        let timeout = match described_timeout(&self.aws.lambda(), mapping.function.as_given()).await {
            Ok(timeout) => timeout,
            Err(DescribeError::Missing) => return Err(Unmet::NoFunction),
            Err(unknown) => {
                tell_unknown(mapping, &chain(&unknown));
                None
            }
        };
        match &mapping.source {
            SourceSettings::Queue(_) => {
                let visibility = self.look_for_queue(mapping, scope).await?;
                match (visibility, timeout) {
                    _ if mapping.esmd.extend_visibility => Ok(()),
                    (Some(visibility), Some(timeout)) if visibility < timeout => {
                        Err(Unmet::ShortVisibility { visibility, timeout })
                    }
                    _ => Ok(()),
                }
            }
            SourceSettings::Stream(_) if scope == InspectionScope::Function => Ok(()),
            SourceSettings::Stream(settings) => self.look_for_stream(mapping, settings.kind).await,
        }
    }

    async fn look_for_queue(
        &self,
        mapping: &EventSourceMapping,
        scope: InspectionScope,
    ) -> Result<Option<Duration>, Unmet> {
        let found = facts::inspect(&self.aws.sqs(), mapping.source_arn().as_str()).await;
        let UnknownQueue { action, error } = match found {
            Ok(facts) => return Ok(facts.visibility),
            Err(unknown) => unknown,
        };
        match error {
            SourceError::Missing(_) if scope == InspectionScope::All => Err(Unmet::NoQueue),
            SourceError::Denied(_) if scope == InspectionScope::All => Err(Unmet::QueueDenied { action }),
            unknown => {
                tell_unknown(mapping, &chain(&unknown));
                Ok(None)
            }
        }
    }

    async fn look_for_stream(&self, mapping: &EventSourceMapping, kind: StreamKind) -> Result<(), Unmet> {
        let arn = mapping.source_arn().as_str();
        let (found, actions) = match kind {
            StreamKind::Kinesis => {
                let stream = mapping.source_arn().stream(); // of a consumer the one that it reads
                (find_kinesis_stream(&self.aws.kinesis(), stream).await, KINESIS_ACTIONS)
            }
            StreamKind::Dynamodb => (find_dynamodb_stream(&self.aws.dynamodb_streams(), arn).await, DYNAMODB_ACTIONS),
        };
        match found {
            Ok(()) => Ok(()),
            Err(SourceError::Missing(_)) => Err(Unmet::NoStream { arn: arn.to_owned() }),
            Err(SourceError::Denied(_)) => Err(Unmet::StreamDenied { arn: arn.to_owned(), actions }),
            Err(unknown) => {
                tell_unknown(mapping, &chain(&unknown));
                Ok(())
            }
        }
    }
}

fn tell_unknown(mapping: &EventSourceMapping, error: &str) {
    warn!(
        source = mapping.source_arn().as_str(),
        function = mapping.function.as_given(),
        error,
        "function or source could not be looked for: the mapping is taken as it is"
    );
}

/// For all of an inspection's calls.
const INSPECTION_TIMEOUT: Duration = Duration::from_secs(10);
const KINESIS_ACTIONS: &str = "GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams";
const DYNAMODB_ACTIONS: &str = "GetRecords, GetShardIterator, DescribeStream, and ListStreams";

#[cfg(test)]
mod tests {
    use aws_config::Region;
    use aws_sdk_sqs::config::Credentials;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::aws::{self, Aws};
    use crate::clock::Clock;
    use crate::mapping::validate::Scope;

    /// `docs/semantics.md` 6.8: there is no stream of a consumer's ARN.
    #[tokio::test]
    async fn a_consumer_is_looked_for_by_its_stream() {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks/consumer/fast:1760700041";
        let mapping = mapping(json!({"EventSourceArn": arn, "FunctionName": "worker", "StartingPosition": "LATEST"}));

        let found = connector().await.inspect(&mapping, InspectionScope::All).await;

        assert_eq!(found, Ok(()));
    }

    /// `docs/semantics.md` 1.7: with leases that are extended the queue's timeout is nobody's limit.
    #[tokio::test]
    async fn a_function_may_be_slower_than_its_queue_where_leases_are_extended() {
        let connector = connector().await;
        let inspect = async |extends| {
            let arn = "arn:aws:sqs:us-east-1:000000000000:orders";
            let esmd = json!({"ExtendVisibility": extends});
            let mapping = mapping(json!({"EventSourceArn": arn, "FunctionName": "worker", "Esmd": esmd}));
            connector.inspect(&mapping, InspectionScope::All).await
        };
        let short = Unmet::ShortVisibility { visibility: Duration::from_secs(30), timeout: Duration::from_mins(1) };

        assert_eq!((inspect(false).await, inspect(true).await), (Err(short), Ok(())));
    }

    fn mapping(document: Value) -> EventSourceMapping {
        let document = serde_json::from_value(document).expect("a document");
        let scope = Scope { region: None, custom_endpoint: true, now: Timestamp::MAX };
        EventSourceMapping::from_document(&document, &scope).expect("a valid one")
    }

    /// To a server with every function and queue, of 60 and 30 s, and the stream `clicks`.
    async fn connector() -> AwsConnector {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it listens"));
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let loader = aws::loader().endpoint_url(endpoint).region(Region::new("us-east-1"));
        AwsConnector {
            aws: Aws::from_loader(loader.credentials_provider(credentials)).await.expect("nothing is missing"),
            clock: Clock::system(),
            queue_wait_time: Duration::from_secs(1),
            shard_poll_interval: Duration::from_secs(1),
        }
    }

    async fn answer(headers: HeaderMap, body: String) -> (StatusCode, &'static str) {
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        match target.rsplit('.').next().unwrap_or_default() {
            "GetQueueUrl" => (StatusCode::OK, r#"{"QueueUrl": "http://127.0.0.1/000000000000/orders"}"#),
            "GetQueueAttributes" => (StatusCode::OK, r#"{"Attributes": {"VisibilityTimeout": "30"}}"#),
            "DescribeStreamSummary" if !body.contains(":stream/clicks\"") => {
                (StatusCode::BAD_REQUEST, r#"{"__type": "ResourceNotFoundException"}"#)
            }
            "" => (StatusCode::OK, r#"{"Timeout": 60}"#),
            _ => (StatusCode::OK, "{}"),
        }
    }
}
