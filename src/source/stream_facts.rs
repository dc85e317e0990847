//! Whether a stream is there and may be read, for whoever is about to map it.

use super::SourceError;
use super::stream_errors::source_error;

/// Finds a Kinesis stream, or says why not.
pub async fn find_kinesis_stream(client: &aws_sdk_kinesis::Client, arn: &str) -> Result<(), SourceError> {
    client.describe_stream_summary().stream_arn(arn).send().await.map(drop).map_err(source_error)
}

/// Finds a table's stream, or says why not.
pub async fn find_dynamodb_stream(client: &aws_sdk_dynamodbstreams::Client, arn: &str) -> Result<(), SourceError> {
    client.describe_stream().stream_arn(arn).limit(1).send().await.map(drop).map_err(source_error)
}
