//! What a queue says of itself to whoever is about to map it, or asks what a mapping would meet.

use aws_sdk_sqs::Client;

use super::{QueueFacts, look_up};
use crate::source::SourceError;

/// Why a queue's facts are not known.
#[derive(Debug)]
pub struct UnknownQueue {
    /// The action that failed.
    pub action: &'static str,
    /// How.
    pub error: SourceError,
}

/// The facts of the queue with this ARN.
pub async fn inspect(client: &Client, arn: &str) -> Result<QueueFacts, UnknownQueue> {
    let failed = |action| move |error| UnknownQueue { action, error };
    let url = look_up(client, arn).await.map_err(failed("GetQueueUrl"))?;
    QueueFacts::read(client, &url).await.map_err(failed("GetQueueAttributes"))
}
