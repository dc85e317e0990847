//! Kinesis data streams, polled or pushed to a registered consumer: lists shards and opens receivers. Nothing outside
//! this module sees an SDK type but the client that it is given.

mod fan_out;
mod listing;
mod shard;

#[cfg(test)]
mod fan_out_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures_util::future::BoxFuture;

pub use self::fan_out::FanOut;
use self::fan_out::SubscribedShard;
use self::shard::KinesisShard;
use super::fan_out::{POLL_TIME, PushReceiver};
use super::limits::ReadLimits;
use super::polling::PollingReceiver;
use super::{Receiver, Source, SourceError};
use crate::aws::cause;
use crate::clock::Clock;
use crate::core::checkpoint::Checkpoint;
use crate::core::record::ShardId;
use crate::core::settlement::{Settled, Settlement};
use crate::core::shards::Shard;
use crate::event::kinesis::Renderer;

/// A stream as its mapping and its events name it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its ARN, verbatim: every call names the stream by it.
    pub arn: String,
    /// The region in the ARN, `awsRegion` in events. The client may sign for another one.
    pub region: String,
    /// The function's execution role, `invokeIdentityArn` in events.
    pub invoke_identity_arn: String,
}

/// A Kinesis stream as a [`Source`]. Its shards are those of the stream.
pub struct KinesisSource {
    stream: Arc<Stream>,
    client: Client,
    clock: Clock,
    limits: ReadLimits,
    /// How its shards push their records, if they are not polled.
    fan_out: Option<FanOut>,
    shards_per_page: i32,
}

impl KinesisSource {
    /// For a client that does not retry by itself: the callers of a source do.
    #[must_use]
    pub fn new(client: Client, stream: Stream, clock: Clock) -> Self {
        let limits = ReadLimits::KINESIS;
        Self { stream: Arc::new(stream), client, clock, limits, fan_out: None, shards_per_page: 1_000 }
    }

    /// Reads as a registered consumer of the stream, whose ARN events show then (`docs/semantics.md` 6.8).
    #[must_use]
    pub fn with_fan_out(mut self, fan_out: FanOut) -> Self {
        self.fan_out = Some(fan_out);
        self
    }

    /// How often a shard without new records is asked, 1 s unless told otherwise (`docs/semantics.md` 6.2). The limits
    /// of a shard hold all the same: less than 200 ms changes nothing.
    #[must_use]
    pub fn with_poll_interval(mut self, poll_interval: Duration) -> Self {
        self.limits.poll_interval = poll_interval;
        self
    }

    /// How many shards a call lists, 1–1,000; 1,000 unless told otherwise. A small number shows how a server pages.
    #[must_use]
    pub fn with_shards_per_page(mut self, shards: i32) -> Self {
        self.shards_per_page = shards;
        self
    }
}

impl Source for KinesisSource {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        Box::pin(listing::shards(&self.client, &self.stream.arn, self.shards_per_page))
    }

    fn retention(&self) -> BoxFuture<'_, Result<Option<Duration>, SourceError>> {
        Box::pin(async {
            let call = self.client.describe_stream_summary().stream_arn(&self.stream.arn).send();
            match call.await {
                Ok(answer) => {
                    let hours = answer.stream_description_summary.map(|summary| summary.retention_period_hours);
                    Ok(hours.and_then(|hours| u64::try_from(hours).ok()).map(Duration::from_hours))
                }
                // Without it a record that fails for ever blocks its shard for ever, which is no reason not to read.
                Err(refused) => {
                    let error = cause(refused);
                    tracing::warn!(stream = self.stream.arn, %error, "the retention period is not known");
                    Ok(None)
                }
            }
        })
    }

    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver> {
        let (stream, clock, position) = (Arc::clone(&self.stream), self.clock.clone(), from.up_to.clone());
        let Some(fan_out) = self.fan_out.clone() else {
            let shard = KinesisShard::new(self.client.clone(), stream, shard.clone(), clock);
            return Box::new(PollingReceiver::new(shard, position, self.limits));
        };
        let renderer = Renderer::new(shard, &stream.invoke_identity_arn, &stream.region, &fan_out.consumer_arn);
        let shard = SubscribedShard { fan_out, id: shard.clone(), clock: clock.clone() };
        Box::new(PushReceiver::new(shard, renderer, clock, position))
    }

    fn poll_time(&self) -> Duration {
        if self.fan_out.is_some() { POLL_TIME } else { self.limits.poll_interval }
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        Box::pin(std::future::ready(vec![Settled::Confirmed; settlements.len()]))
    }
}
