//! One shard of a Kinesis stream: `GetShardIterator`, `GetRecords`, and how its records are rendered.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType};

use super::Stream;
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{OrderingKey, Origin, Position, Record, SequenceNumber, ShardId};
use crate::event::kinesis::{Renderer, StreamRecord};
use crate::source::SourceError;
use crate::source::polling::{Page, PolledShard};
use crate::source::stream_errors::{Failure, INVALID_ARGUMENT};

pub(super) struct KinesisShard {
    client: Client,
    stream: Arc<Stream>,
    id: ShardId,
    renderer: Renderer,
    clock: Clock,
}

impl KinesisShard {
    pub fn new(client: Client, stream: Arc<Stream>, id: ShardId, clock: Clock) -> Self {
        let renderer = Renderer::new(&id, &stream.invoke_identity_arn, &stream.region, &stream.arn);
        Self { client, stream, id, renderer, clock }
    }
}

impl PolledShard for KinesisShard {
    type Record = types::Record;

    const RECORDS_MAX: usize = 10_000;

    /// Not at the tip, not even for `LATEST`: what arrived between the instant that was noted and the first iterator
    /// belongs to the mapping, and a reader that opens again must find the same beginning (`docs/semantics.md` 6.1).
    async fn iterator(&self, position: &UpTo) -> Result<String, Failure> {
        let call = self.client.get_shard_iterator().stream_arn(&self.stream.arn).shard_id(self.id.as_str());
        let at_position = match position {
            UpTo::TrimHorizon => call.clone().shard_iterator_type(ShardIteratorType::TrimHorizon),
            UpTo::Latest(moment) | UpTo::AtTimestamp(moment) => {
                let milliseconds = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
                let call = call.clone().shard_iterator_type(ShardIteratorType::AtTimestamp);
                call.timestamp(DateTime::from_millis(milliseconds))
            }
            UpTo::After(position) => call
                .clone()
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(position.sequence_number.as_str()),
            UpTo::Ended => unreachable!("a shard that ended is answered for without an iterator"),
        };
        let mut made = at_position.send().await;
        if made.as_ref().is_err_and(|error| error.code() == Some(INVALID_ARGUMENT))
            && may_be_yet_to_come(&self.clock, position)
        {
            // By the server's clock its tip as of now lies before the instant.
            made = call.shard_iterator_type(ShardIteratorType::Latest).send().await;
        }
        // An answer without one is treated like a stale one: the read that tries it is refused.
        Ok(made?.shard_iterator.unwrap_or_default())
    }

    async fn page(&self, iterator: String, limit: usize) -> Result<Page<types::Record>, Failure> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let call = self.client.get_records().stream_arn(&self.stream.arn).shard_iterator(iterator).limit(limit);
        let answer = call.send().await?;
        Ok(Page {
            bytes: bytes_of(&answer.records),
            behind_millis: answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok()),
            next: answer.next_shard_iterator,
            records: answer.records,
        })
    }

    fn render(&self, record: types::Record, scratch: &mut Vec<u8>) -> Result<Record, SourceError> {
        let arrived_at =
            record.approximate_arrival_timestamp.map_or_else(|| self.clock.now(), |time| milliseconds(&time));
        let element = self.renderer.render(
            StreamRecord {
                partition_key: record.partition_key.as_deref(),
                sequence_number: &record.sequence_number,
                data: record.data.as_ref(),
                arrived_at,
            },
            scratch,
        );
        Ok(Record {
            origin: Origin::Position(Position::from(SequenceNumber::new(record.sequence_number))),
            key: record.partition_key.map(OrderingKey::new),
            arrived_at,
            element,
        })
    }
}

/// Whether a mapping's beginning may lie ahead of the source's clock, which refuses it then.
pub(super) fn may_be_yet_to_come(clock: &Clock, position: &UpTo) -> bool {
    matches!(position, UpTo::Latest(since) if clock.now().since(*since) < CLOCK_DIFFERENCE_MAX)
}

/// What a page counts against the shard's limit.
fn bytes_of(records: &[types::Record]) -> u64 {
    records
        .iter()
        .map(|record| (record.data.as_ref().len() + record.partition_key.as_ref().map_or(0, String::len)) as u64)
        .sum()
}

/// Rounds to milliseconds. The wire has a float, so cutting off what is below them would often lose one.
pub(super) fn milliseconds(time: &DateTime) -> Timestamp {
    let rounded = (time.as_nanos() + 500_000) / 1_000_000;
    Timestamp::from_millis(u64::try_from(rounded).unwrap_or(0))
}

/// How far our clock may be ahead of the source's: it takes no signature that is older or newer than this.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_time_survives_its_float() {
        for (seconds, expected) in [(1_760_700_000.507, 1_760_700_000_507), (0.001, 1), (1.999_999_9, 2_000), (-1.0, 0)]
        {
            assert_eq!(milliseconds(&DateTime::from_secs_f64(seconds)).as_millis(), expected);
        }
    }
}
