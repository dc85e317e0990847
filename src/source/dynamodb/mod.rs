//! The streams of `DynamoDB` tables, polled: lists shards and opens receivers. Nothing outside this module sees an SDK
//! type but the client that it is given.

mod convert;
mod listing;
mod shard;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use futures_util::future::BoxFuture;

use self::shard::DynamodbShard;
use super::limits::ReadLimits;
use super::polling::PollingReceiver;
use super::{Receiver, Source, SourceError};
use crate::core::checkpoint::Checkpoint;
use crate::core::record::ShardId;
use crate::core::settlement::{Settled, Settlement};
use crate::core::shards::Shard;

/// A table's stream as a [`Source`]. Its shards are those of the stream.
pub struct DynamodbSource {
    /// The stream's ARN, verbatim: calls and events name the stream by it.
    arn: Arc<str>,
    client: Client,
    limits: ReadLimits,
    shards_per_page: i32,
}

impl DynamodbSource {
    /// For a client that does not retry by itself: the callers of a source do.
    #[must_use]
    pub fn new(client: Client, arn: &str) -> Self {
        Self { arn: arn.into(), client, limits: ReadLimits::DYNAMODB, shards_per_page: 100 }
    }

    /// Asks a shard without new records more often than every 250 ms, which is AWS's rate (`docs/semantics.md` 6.2). A
    /// longer interval changes nothing, and less than 100 ms does no more than 100 ms.
    #[must_use]
    pub fn with_poll_interval_at_most(mut self, poll_interval: Duration) -> Self {
        self.limits.poll_interval = self.limits.poll_interval.min(poll_interval);
        self
    }

    /// How many shards a call lists, 1–100; 100 unless told otherwise. A small number shows how a server pages.
    #[must_use]
    pub fn with_shards_per_page(mut self, shards: i32) -> Self {
        self.shards_per_page = shards;
        self
    }
}

impl Source for DynamodbSource {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        Box::pin(listing::shards(&self.client, &self.arn, self.shards_per_page))
    }

    fn retention(&self) -> BoxFuture<'_, Result<Option<Duration>, SourceError>> {
        Box::pin(std::future::ready(Ok(Some(RETENTION))))
    }

    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver> {
        let from = from.up_to.clone();
        let shard = DynamodbShard::new(self.client.clone(), Arc::clone(&self.arn), shard.clone(), &from);
        Box::new(PollingReceiver::new(shard, from, self.limits))
    }

    fn poll_time(&self) -> Duration {
        self.limits.poll_interval
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        Box::pin(std::future::ready(vec![Settled::Confirmed; settlements.len()]))
    }
}

/// Fixed (`docs/semantics.md` 0).
const RETENTION: Duration = Duration::from_hours(24);
