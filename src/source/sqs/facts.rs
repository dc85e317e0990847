//! What a queue says of itself to whoever is about to map it.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::errors::source_error;
use crate::source::SourceError;

/// Why a queue's facts are not known.
#[derive(Debug)]
pub struct UnknownQueue {
    /// The action that failed.
    pub action: &'static str,
    /// How.
    pub error: SourceError,
}

/// The visibility timeout of a queue that is there; none if the server does not say it.
pub async fn visibility_timeout(client: &Client, arn: &str) -> Result<Option<Duration>, UnknownQueue> {
    let failed = |action| move |error| UnknownQueue { action, error };
    let mut parts = arn.split(':').skip(4);
    let (account, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let found = client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account).send().await;
    let found = found.map_err(source_error).map_err(failed("GetQueueUrl"))?;
    let call = client.get_queue_attributes().set_queue_url(found.queue_url);
    let answer = call.attribute_names(QueueAttributeName::VisibilityTimeout).send().await;
    let answer = answer.map_err(source_error).map_err(failed("GetQueueAttributes"))?;
    let text = answer.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::VisibilityTimeout));
    Ok(text.and_then(|text| text.parse().ok()).map(Duration::from_secs))
}
