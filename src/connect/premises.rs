//! Looks for a mapping's function and source at their servers. Only what a server says for certain refuses a mapping: one
//! that lacks an operation, or does not answer, is told in the log, and the mapping is made.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tracing::warn;

use super::AwsConnector;
use crate::control::premises::{InspectionScope, Premises, Unmet};
use crate::mapping::{EventSourceMapping, SourceSettings, StreamKind};
use crate::source::SourceError;
use crate::source::sqs::facts::{UnknownQueue, visibility_timeout};
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
        let found = visibility_timeout(&self.aws.sqs(), mapping.source_arn().as_str()).await;
        let UnknownQueue { action, error } = match found {
            Ok(visibility) => return Ok(visibility),
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
            StreamKind::Kinesis => (find_kinesis_stream(&self.aws.kinesis(), arn).await, KINESIS_ACTIONS),
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
