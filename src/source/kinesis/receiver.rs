//! Reads one shard with `GetRecords`. Knows nothing of batches or settling. Invariant: the position moves only when a
//! page is handed out, and every new iterator begins at the position, so no record is passed over, however a read ends.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType};
use futures_util::future::BoxFuture;

use super::Stream;
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{OrderingKey, Origin, Position, Received, Record, SequenceNumber, ShardId};
use crate::event::kinesis::{Renderer, StreamRecord};
use crate::source::limits::{Pace, ReadLimits, is_at_tip};
use crate::source::stream_errors::source_error;
use crate::source::{Receiver, SourceError};

/// The reader of one shard. Its iterator is requested when it is needed.
pub(super) struct ShardReceiver {
    client: Client,
    stream: Arc<Stream>,
    shard: ShardId,
    renderer: Renderer,
    clock: Clock,
    pace: Pace,
    /// Everything up to here was handed out, or lies before the beginning.
    position: UpTo,
    /// Where the source stands for us. If there is one, it stands at the position.
    iterator: Option<String>,
    /// Unexplained errors in a row on this iterator.
    failures: u32,
    /// The next page with records begins at the oldest one, as the source no longer knew the last one.
    restarted: bool,
}

impl ShardReceiver {
    pub fn new(
        client: Client,
        stream: Arc<Stream>,
        shard: ShardId,
        position: UpTo,
        limits: ReadLimits,
        clock: Clock,
    ) -> Self {
        let renderer = Renderer::new(&shard, &stream.invoke_identity_arn, &stream.region, &stream.arn);
        let pace = Pace::new(limits);
        Self { client, stream, shard, renderer, clock, pace, position, iterator: None, failures: 0, restarted: false }
    }

    async fn read(&mut self, max: usize) -> Result<Received, SourceError> {
        if self.position == UpTo::Ended {
            return Ok(Received { ended: true, ..Received::default() });
        }
        let limit = max.min(RECORDS_MAX);
        loop {
            self.pace.turn().await;
            let (iterator, is_new) = match self.iterator.clone() {
                Some(iterator) => (iterator, false),
                None => (self.request_iterator().await?, true),
            };
            match self.get_records(iterator, limit).await {
                Ok(page) => return Ok(self.hand_out(page, limit).await),
                Err(error) if is_stale_iterator(&error) && !is_new => self.iterator = None,
                Err(error) => return Err(self.note_failure(error)),
            }
        }
    }

    /// Makes an iterator at the position. Two refusals are answered by another beginning, and neither skips a record.
    async fn request_iterator(&mut self) -> Result<String, SourceError> {
        let mut made = self.get_shard_iterator(Beginning::of(&self.position)).await;
        if made.as_ref().is_err_and(|error| error.code() == Some(INVALID_ARGUMENT)) {
            match self.position {
                // The record is gone from the stream, or the stream is another one of the same name
                // (`docs/semantics.md` 6.2).
                UpTo::After(_) => {
                    tracing::warn!(
                        stream = self.stream.arn,
                        shard = %self.shard,
                        "the stream no longer knows the last record read: reading on at the oldest one it has"
                    );
                    self.position = UpTo::TrimHorizon;
                    self.restarted = true;
                    made = self.get_shard_iterator(Beginning::TrimHorizon).await;
                }
                // By the server's clock the instant is yet to come, so its tip as of now lies before it.
                UpTo::Latest(since) if self.clock.now().since(since) < CLOCK_DIFFERENCE_MAX => {
                    made = self.get_shard_iterator(Beginning::Tip).await;
                }
                _ => {}
            }
        }
        let iterator = made.map_err(source_error)?;
        self.iterator = Some(iterator.clone());
        self.failures = 0;
        Ok(iterator)
    }

    async fn get_shard_iterator(&self, beginning: Beginning) -> Result<String, SdkError<GetShardIteratorError>> {
        let call = self.client.get_shard_iterator().stream_arn(&self.stream.arn).shard_id(self.shard.as_str());
        let call = match beginning {
            Beginning::TrimHorizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Beginning::Tip => call.shard_iterator_type(ShardIteratorType::Latest),
            Beginning::At(moment) => {
                let milliseconds = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
                call.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(milliseconds))
            }
            Beginning::After(sequence_number) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence_number.as_str()),
        };
        // An answer without one is treated like a stale one: the read that tries it is refused.
        call.send().await.map(|answer| answer.shard_iterator.unwrap_or_default())
    }

    async fn get_records(&self, iterator: String, limit: usize) -> Result<GetRecordsOutput, SdkError<GetRecordsError>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        self.client.get_records().stream_arn(&self.stream.arn).shard_iterator(iterator).limit(limit).send().await
    }

    /// Renders a page, then moves to its end. Nothing that shows the move happens before the last await.
    async fn hand_out(&mut self, page: GetRecordsOutput, limit: usize) -> Received {
        let behind_millis = page.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        self.pace.page_read(bytes_of(&page.records), is_at_tip(page.records.len(), limit, behind_millis));

        let mut records = Vec::with_capacity(page.records.len());
        let mut scratch = Vec::new();
        let mut bytes_rendered = 0;
        for record in page.records {
            let record = self.render(record, &mut scratch);
            bytes_rendered += record.element.len();
            if bytes_rendered > YIELD_BYTES {
                bytes_rendered = 0;
                tokio::task::yield_now().await;
            }
            records.push(record);
        }

        self.failures = 0;
        if let Some(Origin::Position(last)) = records.last().map(|record| &record.origin) {
            self.position = UpTo::After(last.clone());
        }
        self.iterator = page.next_shard_iterator;
        let ended = self.iterator.is_none();
        if ended {
            self.position = UpTo::Ended;
        }
        let restarted = !records.is_empty() && std::mem::take(&mut self.restarted);
        Received { records, behind_millis, ended, restarted }
    }

    fn render(&self, record: types::Record, scratch: &mut Vec<u8>) -> Record {
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
        Record {
            origin: Origin::Position(Position::from(SequenceNumber::new(record.sequence_number))),
            key: record.partition_key.map(OrderingKey::new),
            arrived_at,
            element,
        }
    }

    /// Gives up the iterator if it is refused, or after [`FAILURES_MAX`] errors without a better explanation: some
    /// servers answer a stale one with a page of HTML (`docs/semantics.md` 6.2).
    fn note_failure(&mut self, error: SdkError<GetRecordsError>) -> SourceError {
        let refused = is_stale_iterator(&error);
        let error = source_error(error);
        if matches!(error, SourceError::Transient(_)) {
            self.failures += 1;
            if refused || self.failures >= FAILURES_MAX {
                self.iterator = None;
            }
        }
        error
    }
}

impl Receiver for ShardReceiver {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.read(max))
    }
}

/// Where an iterator begins.
enum Beginning {
    TrimHorizon,
    Tip,
    At(Timestamp),
    After(SequenceNumber),
}

impl Beginning {
    /// Never the tip, not even for `LATEST`: what arrived between the instant that was noted and the first iterator
    /// belongs to the mapping, and a reader that opens again must find the same beginning (`docs/semantics.md` 6.1).
    fn of(position: &UpTo) -> Self {
        match position {
            UpTo::TrimHorizon => Self::TrimHorizon,
            UpTo::Latest(moment) | UpTo::AtTimestamp(moment) => Self::At(*moment),
            UpTo::After(position) => Self::After(position.sequence_number.clone()),
            UpTo::Ended => unreachable!("a shard that ended is answered for without an iterator"),
        }
    }
}

/// Whether the source says that it is the iterator that it refuses.
fn is_stale_iterator(error: &SdkError<GetRecordsError>) -> bool {
    matches!(error.code(), Some("ExpiredIteratorException" | INVALID_ARGUMENT))
}

/// What a page counts against the shard's limit.
fn bytes_of(records: &[types::Record]) -> u64 {
    records
        .iter()
        .map(|record| (record.data.as_ref().len() + record.partition_key.as_ref().map_or(0, String::len)) as u64)
        .sum()
}

/// Rounds to milliseconds. The wire has a float, so cutting off what is below them would often lose one.
fn milliseconds(time: &DateTime) -> Timestamp {
    let rounded = (time.as_nanos() + 500_000) / 1_000_000;
    Timestamp::from_millis(u64::try_from(rounded).unwrap_or(0))
}

/// The most records that a call returns.
const RECORDS_MAX: usize = 10_000;

/// At this many unexplained errors in a row an iterator is given up.
const FAILURES_MAX: u32 = 3;

/// Rendering lets other tasks run after this much of it, well under a millisecond's worth.
const YIELD_BYTES: usize = 512 * 1024;

/// How far our clock may be ahead of the source's: it takes no signature that is older or newer than this.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_mins(5);

const INVALID_ARGUMENT: &str = "InvalidArgumentException";

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
