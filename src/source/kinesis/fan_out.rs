//! One shard of a Kinesis stream as a registered consumer reads it: `SubscribeToShard` and the events of its stream.
//!
//! Each subscription has connections of its own. Over HTTP/2 all streams of a connection share its flow control, so a
//! shard that nobody reads for a while would hold up the others; and a connection that is dead at the other end only
//! would be used again by the renewal.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::builders::StartingPositionBuilder;
use aws_sdk_kinesis::types::{
    self, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use aws_smithy_types::event_stream::RawMessage;
use bytes::Bytes;

use super::shard::{may_be_yet_to_come, milliseconds};
use crate::clock::Clock;
use crate::core::checkpoint::UpTo;
use crate::core::record::{SequenceNumber, ShardId};
use crate::source::fan_out::{Failure, Next, Pushed, PushedRecord, PushedShard, Subscription, at_or_after};
use crate::source::stream_errors::INVALID_ARGUMENT;

/// A registered consumer of a stream, and how to reach it.
#[derive(Clone)]
pub struct FanOut {
    /// The consumer's ARN, verbatim.
    pub consumer_arn: String,
    /// Makes a client with connections of its own.
    pub connect: Arc<dyn Fn() -> Client + Send + Sync>,
}

pub(super) struct SubscribedShard {
    pub fan_out: FanOut,
    pub id: ShardId,
    pub clock: Clock,
}

pub(super) struct KinesisSubscription {
    answer: SubscribeToShardOutput,
    clock: Clock,
    /// Its connections live as long as it does.
    _client: Client,
}

impl PushedShard for SubscribedShard {
    type Subscription = KinesisSubscription;

    async fn subscribe(&self, position: &UpTo) -> Result<KinesisSubscription, Failure> {
        let client = (self.fan_out.connect)();
        let call = client.subscribe_to_shard().consumer_arn(&self.fan_out.consumer_arn).shard_id(self.id.as_str());
        let mut answer = call.clone().starting_position(starting_position(position)).send().await;
        if answer.as_ref().is_err_and(|error| error.code() == Some(INVALID_ARGUMENT))
            && may_be_yet_to_come(&self.clock, position)
        {
            // By the server's clock its tip as of now lies before the instant.
            let tip = complete(StartingPosition::builder().r#type(ShardIteratorType::Latest));
            answer = call.starting_position(tip).send().await;
        }
        Ok(KinesisSubscription { answer: answer?, clock: self.clock.clone(), _client: client })
    }
}

impl Subscription for KinesisSubscription {
    async fn next(&mut self) -> Result<Option<Pushed>, Failure> {
        loop {
            match self.answer.event_stream.recv().await {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    return Ok(Some(pushed(event, &self.clock)));
                }
                Ok(Some(_)) => {} // a kind of event that does not exist yet
                Ok(None) => return Ok(None),
                Err(error) => return Err(failure(error)),
            }
        }
    }
}

/// Not at the tip, not even for `LATEST`: what arrived between the instant that was noted and the first subscription
/// belongs to the mapping (`docs/semantics.md` 6.1).
fn starting_position(position: &UpTo) -> StartingPosition {
    let start = StartingPosition::builder();
    let start = match position {
        UpTo::TrimHorizon => start.r#type(ShardIteratorType::TrimHorizon),
        UpTo::Latest(moment) | UpTo::AtTimestamp(moment) => {
            let milliseconds = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
            start.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(milliseconds))
        }
        UpTo::After(position) => {
            let (is_at, number) = at_or_after(position);
            let kind = if is_at { ShardIteratorType::AtSequenceNumber } else { ShardIteratorType::AfterSequenceNumber };
            start.r#type(kind).sequence_number(number)
        }
        UpTo::Ended => unreachable!("a shard that ended is answered for without a subscription"),
    };
    complete(start)
}

fn complete(start: StartingPositionBuilder) -> StartingPosition {
    start.build().expect("only its type is required")
}

fn pushed(event: SubscribeToShardEvent, clock: &Clock) -> Pushed {
    // The SDK reads a missing number as an empty one. Children alone are proof as well: only the end names them.
    let next = if event.child_shards.is_some_and(|children| !children.is_empty()) {
        Next::End
    } else if event.continuation_sequence_number.is_empty() {
        Next::Unsaid
    } else {
        Next::After(SequenceNumber::new(event.continuation_sequence_number))
    };
    Pushed {
        records: event.records.into_iter().map(|record| pushed_record(record, clock)).collect(),
        behind_millis: u64::try_from(event.millis_behind_latest).ok(),
        next,
    }
}

fn pushed_record(record: types::Record, clock: &Clock) -> PushedRecord {
    PushedRecord {
        arrived_at: record.approximate_arrival_timestamp.map_or_else(|| clock.now(), |time| milliseconds(&time)),
        sequence_number: SequenceNumber::new(record.sequence_number),
        partition_key: record.partition_key,
        data: Bytes::from(record.data.into_inner()),
    }
}

/// What an error inside the stream of events means. Its code is in the message's header: the SDK knows a type for some of
/// them, and a code for none.
fn failure<E>(error: SdkError<E, RawMessage>) -> Failure
where
    E: std::error::Error + Send + Sync + 'static,
{
    let code = match &error {
        SdkError::ServiceError(refused) => exception(refused.raw()),
        SdkError::ResponseError(unknown) => exception(unknown.raw()),
        _ => None,
    };
    Failure::new(code.as_deref(), error)
}

fn exception(message: &RawMessage) -> Option<String> {
    let RawMessage::Decoded(message) = message else { return None };
    let header = message.headers().iter().find(|header| header.name().as_str() == ":exception-type")?;
    header.value().as_string().ok().map(|code| code.as_str().to_owned())
}
