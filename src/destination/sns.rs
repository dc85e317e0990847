//! Failure records to a standard topic: one publication each, without a subject.

use aws_sdk_sns::Client;
use futures_util::future::{BoxFuture, FutureExt};

use super::errors::delivery_error;
use super::{DeliveryError, Destination};
use crate::event::failure::FailureRecord;
use crate::mapping::on_failure::DestinationArn;

/// A topic, which may not exist.
pub struct SnsDestination {
    client: Client,
    arn: DestinationArn,
}

impl SnsDestination {
    /// Does no I/O.
    #[must_use]
    pub fn new(client: Client, arn: DestinationArn) -> Self {
        Self { client, arn }
    }
}

impl Destination for SnsDestination {
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>> {
        let call = self.client.publish().topic_arn(self.arn.as_str()).message(failure.message());
        async { call.send().await.map(drop).map_err(delivery_error) }.boxed()
    }
}
