//! Failure records to a standard queue: one message each. Invariant: a queue is asked for by name and account only, so
//! whatever host a server puts into its URL, requests go to the client's endpoint.

use std::sync::OnceLock;

use aws_sdk_sqs::Client;
use futures_util::future::{BoxFuture, FutureExt};

use super::errors::delivery_error;
use super::{DeliveryError, Destination};
use crate::event::failure::FailureRecord;
use crate::mapping::on_failure::DestinationArn;

/// A queue, which may not exist.
pub struct SqsDestination {
    client: Client,
    arn: DestinationArn,
    /// Known from the first delivery on: a queue keeps its URL.
    url: OnceLock<String>,
}

impl SqsDestination {
    /// Does no I/O.
    #[must_use]
    pub fn new(client: Client, arn: DestinationArn) -> Self {
        Self { client, arn, url: OnceLock::new() }
    }

    async fn send(&self, failure: &FailureRecord) -> Result<(), DeliveryError> {
        let url = if let Some(url) = self.url.get() {
            url
        } else {
            // Not one search for all: a lane would wait for those of the others before its own.
            let found = self.find().await?;
            self.url.get_or_init(|| found)
        };
        let sent = self.client.send_message().queue_url(url).message_body(failure.message()).send().await;
        sent.map(drop).map_err(delivery_error)
    }

    async fn find(&self) -> Result<String, DeliveryError> {
        let call = self.client.get_queue_url().queue_name(self.arn.name());
        let found = call.queue_owner_aws_account_id(self.arn.account()).send().await.map_err(delivery_error)?;
        found.queue_url.ok_or_else(|| DeliveryError::Transient("the queue's URL is missing".into()))
    }
}

impl Destination for SqsDestination {
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>> {
        self.send(failure).boxed()
    }
}
