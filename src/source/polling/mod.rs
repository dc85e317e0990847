//! Reads one shard of a stream by iterators, whichever service keeps it. Knows nothing of a service's types, of batches
//! or of settling. Invariant: the position moves only when a page is handed out, and every new iterator begins at the
//! position, so no record is passed over, however a read ends.

#[cfg(test)]
pub(super) mod tests;

use futures_util::future::BoxFuture;

use super::limits::{Pace, ReadLimits};
use super::reset::Reset;
use super::stream_errors::Failure;
use super::tip::is_at_tip;
use super::{Receiver, SourceError};
use crate::core::checkpoint::UpTo;
use crate::core::record::{Origin, Received, Record};

/// A shard at the service that keeps it: the two calls that read it, and what becomes of a record.
pub(super) trait PolledShard: Send + Sync + 'static {
    /// A record as the service gives it.
    type Record: Send;

    /// The most records that a call returns.
    const RECORDS_MAX: usize;

    /// Asks for an iterator that begins at the position, which is not `Ended`.
    fn iterator(&self, position: &UpTo) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Reads at most `limit` records, which is at most `RECORDS_MAX`.
    fn page(&self, iterator: String, limit: usize) -> impl Future<Output = Result<Page<Self::Record>, Failure>> + Send;

    /// Renders a record. `scratch` is overwritten.
    fn render(&self, record: Self::Record, scratch: &mut Vec<u8>) -> Result<Record, SourceError>;

    /// Removes what lies before the mapping's beginning, where no iterator can begin there. Sees each page once, in
    /// order.
    fn skip_before_beginning(&mut self, _records: &mut Vec<Record>) {}
}

/// What a read brought.
pub(super) struct Page<R> {
    pub records: Vec<R>,
    /// What the records count against the shard's limit.
    pub bytes: u64,
    /// How far behind the tip the source says the page is, in milliseconds.
    pub behind_millis: Option<u64>,
    /// What to read next. `None`: the shard is closed and this was its last page.
    pub next: Option<String>,
}

/// The reader of one shard. Its iterator is requested when it is needed.
pub(super) struct PollingReceiver<S> {
    shard: S,
    pace: Pace,
    /// Everything up to here was handed out or skipped, or lies before the beginning.
    position: UpTo,
    /// Where the source stands for us. If there is one, it stands at the position.
    iterator: Option<String>,
    /// Unexplained errors in a row on this iterator.
    failures: u32,
    /// What is to be told of a new beginning.
    reset: Reset,
}

impl<S: PolledShard> PollingReceiver<S> {
    pub fn new(shard: S, position: UpTo, limits: ReadLimits) -> Self {
        let pace = Pace::new(limits);
        Self { shard, pace, position, iterator: None, failures: 0, reset: Reset::default() }
    }

    async fn read(&mut self, max: usize) -> Result<Received, SourceError> {
        if self.position == UpTo::Ended {
            return Ok(Received { ended: true, ..Received::default() });
        }
        let limit = max.min(S::RECORDS_MAX);
        loop {
            self.pace.turn().await;
            let (iterator, is_new) = match self.iterator.clone() {
                Some(iterator) => (iterator, false),
                None => (self.request_iterator().await?, true),
            };
            match self.shard.page(iterator, limit).await {
                Ok(page) => return self.hand_out(page, limit).await,
                Err(failure) if failure.refuses_iterator() && !is_new => self.iterator = None,
                Err(failure) if failure.is_trimmed() && self.follows_a_record() => {
                    self.begin_at_oldest(&failure).await?;
                }
                Err(failure) => return Err(self.note_failure(failure)),
            }
        }
    }

    /// Makes an iterator at the position, or at the oldest record if the source does not know the position.
    async fn request_iterator(&mut self) -> Result<String, SourceError> {
        match self.shard.iterator(&self.position).await {
            Ok(iterator) => Ok(self.keep(iterator)),
            Err(failure) if failure.may_refuse_position() && self.follows_a_record() => {
                self.begin_at_oldest(&failure).await
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// The source does not know the last record read, or not what followed it: that was trimmed, or the stream is
    /// another one of the same name (`docs/semantics.md` 6.2). Only an iterator at the oldest record proves it. As long as
    /// that is refused too, the trouble lies elsewhere, and the position stays.
    async fn begin_at_oldest(&mut self, refusal: &Failure) -> Result<String, SourceError> {
        let iterator = self.shard.iterator(&UpTo::TrimHorizon).await.map_err(|failure| failure.error)?;
        self.reset.begin(&self.position, &refusal.error, refusal.reset());
        self.position = UpTo::TrimHorizon;
        Ok(self.keep(iterator))
    }

    fn keep(&mut self, iterator: String) -> String {
        self.failures = 0;
        self.iterator.insert(iterator).clone()
    }

    fn follows_a_record(&self) -> bool {
        matches!(self.position, UpTo::After(_))
    }

    /// Renders a page, then moves to its end. Nothing that shows the move happens before the last await.
    async fn hand_out(&mut self, page: Page<S::Record>, limit: usize) -> Result<Received, SourceError> {
        let Page { records: read, bytes, behind_millis, mut next } = page;
        let at_tip = is_at_tip(read.len(), limit, behind_millis);
        self.pace.page_read(bytes, at_tip);
        let at_tip = at_tip && read.is_empty(); // some servers call every page the last one

        let mut ended = next.is_none();
        let mut records = Vec::with_capacity(read.len());
        let mut scratch = Vec::new();
        let mut bytes_rendered = 0;
        for record in read {
            let record = match self.shard.render(record, &mut scratch) {
                Ok(record) => record,
                Err(error) if records.is_empty() => return Err(error),
                // Those before it need not wait for it: a new iterator begins at it and then says what is wrong.
                Err(_) => {
                    (next, ended) = (None, false);
                    break;
                }
            };
            bytes_rendered += record.element.len();
            if bytes_rendered > YIELD_BYTES {
                bytes_rendered = 0;
                tokio::task::yield_now().await;
            }
            records.push(record);
        }

        self.failures = 0;
        self.iterator = next;
        if ended {
            self.position = UpTo::Ended;
        } else if let Some(Origin::Position(last)) = records.last().map(|record| &record.origin) {
            self.position = UpTo::After(last.clone());
        }
        self.shard.skip_before_beginning(&mut records);
        let reset = self.reset.hand_out(&records, ended);
        Ok(Received { records, behind_millis, at_tip, ended, reset, ..Received::default() })
    }

    /// Gives up the iterator if it is refused, if it may be one of a stream that is gone, or after [`FAILURES_MAX`]
    /// errors without a better explanation: some servers answer a stale one with a page of HTML (`docs/semantics.md` 6.2).
    fn note_failure(&mut self, failure: Failure) -> SourceError {
        if matches!(failure.error, SourceError::Transient(_)) {
            self.failures += 1;
        }
        let missing = matches!(failure.error, SourceError::Missing(_));
        if missing || failure.refuses_iterator() || self.failures >= FAILURES_MAX {
            self.iterator = None;
        }
        failure.error
    }
}

impl<S: PolledShard> Receiver for PollingReceiver<S> {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.read(max))
    }
}

/// At this many unexplained errors in a row an iterator is given up.
const FAILURES_MAX: u32 = 3;

/// Rendering lets other tasks run after this much of it, well under a millisecond's worth.
const YIELD_BYTES: usize = 512 * 1024;
