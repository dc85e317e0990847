//! Failure records to a bucket: one object each, with the payload. Invariant: a record has one key, so delivering it
//! again overwrites its object.

use aws_sdk_s3::Client;
use futures_util::future::{BoxFuture, FutureExt};

use super::errors::delivery_error;
use super::{DeliveryError, Destination};
use crate::event::failure::FailureRecord;
use crate::mapping::on_failure::DestinationArn;

/// A bucket, which may not exist.
pub struct S3Destination {
    client: Client,
    arn: DestinationArn,
}

impl S3Destination {
    /// Does no I/O.
    #[must_use]
    pub fn new(client: Client, arn: DestinationArn) -> Self {
        Self { client, arn }
    }
}

impl Destination for S3Destination {
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>> {
        let call = self.client.put_object().bucket(self.arn.name()).key(failure.object_key());
        let call = call.content_type(CONTENT_TYPE).body(failure.object().into());
        async { call.send().await.map(drop).map_err(delivery_error) }.boxed()
    }
}

/// AWS's own (`docs/semantics.md` 6.7), though the object is JSON.
const CONTENT_TYPE: &str = "application/octet-stream";
