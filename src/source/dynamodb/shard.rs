//! One shard of a table's stream: `GetShardIterator`, `GetRecords`, and where a mapping begins in it. The service has no
//! iterator at an instant, so a beginning of that kind is found among the records.

use std::sync::Arc;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{self, ShardIteratorType};

use super::convert;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{Record, ShardId};
use crate::source::SourceError;
use crate::source::polling::{Page, PolledShard};
use crate::source::stream_errors::Failure;

pub(super) struct DynamodbShard {
    client: Client,
    stream_arn: Arc<str>,
    id: ShardId,
    /// Records created before this are skipped, until one is not.
    since: Option<Timestamp>,
    /// Whether the stream tells times to the second, as far as was seen.
    tells_seconds: bool,
}

impl DynamodbShard {
    pub fn new(client: Client, stream_arn: Arc<str>, id: ShardId, from: &UpTo) -> Self {
        let since = match from {
            UpTo::Latest(moment) | UpTo::AtTimestamp(moment) => Some(*moment),
            UpTo::TrimHorizon | UpTo::After(_) | UpTo::Ended => None,
        };
        Self { client, stream_arn, id, since, tells_seconds: false }
    }
}

impl PolledShard for DynamodbShard {
    type Record = types::Record;

    const RECORDS_MAX: usize = 1_000;

    /// Not at the tip, not even for `LATEST`: it would pass over what arrived between the instant that was noted and the
    /// first iterator (`docs/semantics.md` 6.1).
    async fn iterator(&self, position: &UpTo) -> Result<String, Failure> {
        let call = self.client.get_shard_iterator().stream_arn(&*self.stream_arn).shard_id(self.id.as_str());
        let call = match position {
            UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => {
                call.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            UpTo::After(position) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(position.sequence_number.as_str()),
            UpTo::Ended => unreachable!("a shard that ended is answered for without an iterator"),
        };
        // An answer without one is treated like a stale one: the read that tries it is refused.
        Ok(call.send().await?.shard_iterator.unwrap_or_default())
    }

    async fn page(&self, iterator: String, limit: usize) -> Result<Page<types::Record>, Failure> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let answer = self.client.get_records().shard_iterator(iterator).limit(limit).send().await?;
        let records = answer.records.unwrap_or_default();
        Ok(Page { records, bytes: 0, behind_millis: None, next: answer.next_shard_iterator })
    }

    fn render(&self, record: types::Record, scratch: &mut Vec<u8>) -> Result<Record, SourceError> {
        convert::record(record, &self.stream_arn, scratch).map_err(|error| SourceError::Transient(error.into()))
    }

    /// What was created in the second of the instant counts as created after it, or in its minute: there are servers that
    /// tell no more. A shard keeps its order and its times are approximate, so all that follows the first record of the
    /// mapping belongs to it.
    fn skip_before_beginning(&mut self, records: &mut Vec<Record>) {
        let Some(since) = self.since else { return };
        self.tells_seconds |=
            records.iter().any(|record| start_of(MINUTE_MILLIS, record.arrived_at) != record.arrived_at);
        let since = start_of(if self.tells_seconds { SECOND_MILLIS } else { MINUTE_MILLIS }, since);
        let first = records.iter().position(|record| record.arrived_at >= since);
        records.drain(..first.unwrap_or(records.len()));
        if first.is_some() {
            self.since = None;
        }
    }
}

/// The start of the second, or of the minute, that a moment lies in.
fn start_of(unit_millis: u64, moment: Timestamp) -> Timestamp {
    Timestamp::from_millis(moment.as_millis() / unit_millis * unit_millis)
}

const SECOND_MILLIS: u64 = 1_000;
const MINUTE_MILLIS: u64 = 60_000;
