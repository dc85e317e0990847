//! Reads one shard of a table's stream with `GetRecords`. Knows nothing of batches or settling. Invariant: the position
//! moves only when a page is handed out, and every new iterator begins at the position, so no record is passed over,
//! however a read ends.

use std::sync::Arc;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use futures_util::future::BoxFuture;

use super::convert::{self, Unreadable};
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{Origin, Received, Record, SequenceNumber, ShardId};
use crate::source::limits::{Pace, ReadLimits};
use crate::source::stream_errors::source_error;
use crate::source::{Receiver, SourceError};

/// The reader of one shard. Its iterator is requested when it is needed.
pub(super) struct ShardReceiver {
    client: Client,
    stream_arn: Arc<str>,
    shard: ShardId,
    pace: Pace,
    /// Everything up to here was handed out or skipped, or lies before the beginning.
    position: UpTo,
    /// Records created before this are skipped, until one is not.
    since: Option<Timestamp>,
    /// Whether the stream tells times to the second, as far as was seen.
    tells_seconds: bool,
    /// Where the source stands for us. If there is one, it stands at the position.
    iterator: Option<String>,
    /// Unexplained errors in a row on this iterator.
    failures: u32,
    /// The next page with records begins at the oldest one, as the source no longer had the last one.
    restarted: bool,
}

impl ShardReceiver {
    pub fn new(client: Client, stream_arn: Arc<str>, shard: ShardId, position: UpTo, limits: ReadLimits) -> Self {
        let since = match &position {
            UpTo::Latest(moment) | UpTo::AtTimestamp(moment) => Some(*moment),
            UpTo::TrimHorizon | UpTo::After(_) | UpTo::Ended => None,
        };
        let pace = Pace::new(limits);
        Self {
            client,
            stream_arn,
            shard,
            pace,
            position,
            since,
            tells_seconds: false,
            iterator: None,
            failures: 0,
            restarted: false,
        }
    }

    async fn read(&mut self, max: usize) -> Result<Received, SourceError> {
        if self.position == UpTo::Ended {
            return Ok(Received { ended: true, ..Received::default() });
        }
        loop {
            self.pace.turn().await;
            let (iterator, is_new) = match self.iterator.clone() {
                Some(iterator) => (iterator, false),
                None => (self.request_iterator().await?, true),
            };
            match self.get_records(iterator, max.min(RECORDS_MAX)).await {
                Ok(page) => return self.hand_out(page).await,
                Err(error) if is_stale_iterator(&error) && !is_new => self.iterator = None,
                Err(error) if error.code() == Some(TRIMMED) && self.last_read().is_some() => self.begin_at_oldest(),
                Err(error) => return Err(self.note_failure(error)),
            }
        }
    }

    /// Makes an iterator at the position, or at the oldest record if the one at the position is gone from the stream.
    async fn request_iterator(&mut self) -> Result<String, SourceError> {
        let mut made = self.get_shard_iterator(self.last_read()).await;
        if self.last_read().is_some() && made.as_ref().is_err_and(|error| error.code() == Some(TRIMMED)) {
            self.begin_at_oldest();
            made = self.get_shard_iterator(None).await;
        }
        let iterator = made.map_err(source_error)?;
        self.iterator = Some(iterator.clone());
        self.failures = 0;
        Ok(iterator)
    }

    /// What followed the last record read was trimmed (`docs/semantics.md` 6.2).
    fn begin_at_oldest(&mut self) {
        tracing::warn!(
            stream = &*self.stream_arn,
            shard = %self.shard,
            "the stream no longer has what followed the last record read: reading on at the oldest record it has"
        );
        self.position = UpTo::TrimHorizon;
        self.iterator = None;
        self.restarted = true;
    }

    /// The record after which an iterator begins. There is none for `LATEST`, not even at first: the tip would pass over
    /// what arrived between the instant that was noted and the first iterator (`docs/semantics.md` 6.1).
    fn last_read(&self) -> Option<&SequenceNumber> {
        match &self.position {
            UpTo::After(position) => Some(&position.sequence_number),
            UpTo::TrimHorizon | UpTo::Latest(_) | UpTo::AtTimestamp(_) => None,
            UpTo::Ended => unreachable!("a shard that ended is answered for without an iterator"),
        }
    }

    async fn get_shard_iterator(
        &self,
        after: Option<&SequenceNumber>,
    ) -> Result<String, SdkError<GetShardIteratorError>> {
        let call = self.client.get_shard_iterator().stream_arn(&*self.stream_arn).shard_id(self.shard.as_str());
        let call = match after {
            None => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Some(number) => {
                call.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(number.as_str())
            }
        };
        // An answer without one is treated like a stale one: the read that tries it is refused.
        call.send().await.map(|answer| answer.shard_iterator.unwrap_or_default())
    }

    async fn get_records(&self, iterator: String, limit: usize) -> Result<GetRecordsOutput, SdkError<GetRecordsError>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        self.client.get_records().shard_iterator(iterator).limit(limit).send().await
    }

    /// Renders a page, then moves to its end. Nothing that shows the move happens before the last await.
    async fn hand_out(&mut self, page: GetRecordsOutput) -> Result<Received, SourceError> {
        let all = page.records.unwrap_or_default();
        self.pace.page_read(0, all.is_empty());

        let mut records = Vec::with_capacity(all.len());
        let mut scratch = Vec::new();
        let mut bytes_rendered = 0;
        for record in all {
            let rendered = convert::record(record, &self.stream_arn, &mut scratch);
            let record = rendered.map_err(|error: Unreadable| SourceError::Transient(error.into()))?;
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
        self.skip_those_before_the_beginning(&mut records);
        self.iterator = page.next_shard_iterator;
        let ended = self.iterator.is_none();
        if ended {
            self.position = UpTo::Ended;
        }
        let restarted = !records.is_empty() && std::mem::take(&mut self.restarted);
        Ok(Received { records, behind_millis: None, ended, restarted })
    }

    /// What was created in the second of the instant counts as created after it, or in its minute: there are servers that
    /// tell no more. A shard keeps its order and its times are approximate, so all that follows the first record of the
    /// mapping belongs to it.
    fn skip_those_before_the_beginning(&mut self, records: &mut Vec<Record>) {
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

    /// Gives up the iterator if it is refused, or after [`FAILURES_MAX`] errors without a better explanation: some
    /// servers answer a stale one with an error of their own (`docs/semantics.md` 6.2).
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

/// Whether the source says that it is the iterator that it refuses. One whose next record was trimmed is answered by
/// another at the same position, which then tells whether that is gone as well.
fn is_stale_iterator(error: &SdkError<GetRecordsError>) -> bool {
    matches!(error.code(), Some("ExpiredIteratorException" | "ValidationException" | TRIMMED))
}

/// The start of the second, or of the minute, that a moment lies in.
fn start_of(unit_millis: u64, moment: Timestamp) -> Timestamp {
    Timestamp::from_millis(moment.as_millis() / unit_millis * unit_millis)
}

const SECOND_MILLIS: u64 = 1_000;
const MINUTE_MILLIS: u64 = 60_000;

/// The most records that a call returns.
const RECORDS_MAX: usize = 1_000;

/// At this many unexplained errors in a row an iterator is given up.
const FAILURES_MAX: u32 = 3;

/// Rendering lets other tasks run after this much of it, well under a millisecond's worth.
const YIELD_BYTES: usize = 512 * 1024;

const TRIMMED: &str = "TrimmedDataAccessException";
