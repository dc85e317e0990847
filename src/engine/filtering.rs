//! Filters what a consumer receives, whatever its source: the one place where records meet their mapping's filter. Each
//! record is judged once, in the receive that brings it; what does not match loses its element and its place in batches.
//! What becomes of it decides the core.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tracing::debug;

use super::consumer_task::Surroundings;
use super::receiving::Open;
use crate::clock::Clock;
use crate::core::checkpoint::Checkpoint;
use crate::core::record::{Origin, Received, ShardId};
use crate::filter::RecordFilter;
use crate::log_limit::LogLimit;
use crate::source::{Receiver, SourceError};

impl Surroundings {
    /// Opens readers of one shard that begin after the checkpoint, filtered if the mapping has filters.
    pub(super) fn opener(&self, shard: &ShardId, from: &Checkpoint) -> Open {
        let (source, shard, from) = (Arc::clone(&self.source), shard.clone(), from.clone());
        let (filter, clock) = (self.filter.clone(), self.clock.clone());
        Box::new(move || {
            let receiver = source.open(&shard, &from);
            match &filter {
                Some(filter) => Box::new(FilteringReceiver::new(receiver, Arc::clone(filter), clock.clone())),
                None => receiver,
            }
        })
    }
}

struct FilteringReceiver {
    inner: Box<dyn Receiver>,
    filter: Arc<RecordFilter>,
    clock: Clock,
    log: LogLimit,
    /// What was received and is not judged to its end: the receive that brought it was dropped meanwhile.
    unjudged: Option<Judging>,
}

struct Judging {
    received: Received,
    /// The next record to judge.
    next: usize,
}

impl FilteringReceiver {
    fn new(inner: Box<dyn Receiver>, filter: Arc<RecordFilter>, clock: Clock) -> Self {
        Self { inner, filter, clock, log: LogLimit::default(), unjudged: None }
    }

    /// The reader's position has passed what it brought, so nothing is let go of before all of it is judged.
    async fn receive_and_judge(&mut self, max: usize) -> Result<Received, SourceError> {
        if self.unjudged.is_none() {
            let received = self.inner.receive(max).await?;
            self.unjudged = Some(Judging { received, next: 0 });
        }
        while self.unjudged.as_mut().is_some_and(|judging| judging.judge_some(&self.filter)) {
            tokio::task::yield_now().await;
        }
        let Judging { received, .. } = self.unjudged.take().expect("it was set above, and only here is it taken");
        self.tell(&received);
        Ok(received)
    }

    fn tell(&mut self, received: &Received) {
        let Some(first) = received.filtered.first() else { return };
        if let Some(suppressed) = self.log.permit(self.clock.now()) {
            let (filtered, records) = (received.filtered.len(), received.records.len());
            let first = match &received.records[*first].origin {
                Origin::Message { id, .. } => id.as_ref(),
                Origin::Position(position) => position.sequence_number.as_str(),
            };
            debug!(filtered, records, first, suppressed, "records match no filter; `esmd filter test` says why");
        }
    }
}

impl Judging {
    /// Judges records of about a millisecond's worth. Whether some are left.
    fn judge_some(&mut self, filter: &RecordFilter) -> bool {
        let mut bytes = 0;
        while let Some(record) = self.received.records.get_mut(self.next) {
            if bytes > YIELD_BYTES {
                return true;
            }
            bytes += record.element.len();
            if !filter.matches(&record.element) {
                record.element = Bytes::new();
                self.received.filtered.push(self.next);
            }
            self.next += 1;
        }
        false
    }
}

impl Receiver for FilteringReceiver {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.receive_and_judge(max))
    }
}

/// Judging lets other tasks run after so much of what it reads.
const YIELD_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::core::Timestamp;
    use crate::core::record::{Record, SequenceNumber};
    use crate::filter::SourceKind;

    /// `docs/semantics.md` 7.4 (invariant 114)
    #[tokio::test]
    async fn what_matches_is_unchanged_and_the_rest_loses_its_element() {
        let elements = [matching(1), "{}".to_owned(), matching(2), "{}".to_owned()];
        let received = receiver(&elements).receive(9).await.expect("it answers");

        assert_eq!(received.filtered, [1, 3]);
        let left: Vec<&[u8]> = received.records.iter().map(|record| &*record.element).collect();
        assert_eq!(left, [elements[0].as_bytes(), b"", elements[2].as_bytes(), b""]);
    }

    /// The reader has moved on: what it brought must not be forgotten.
    #[tokio::test]
    async fn a_receive_that_is_dropped_while_it_judges_loses_nothing() {
        let elements = vec![matching(YIELD_BYTES), matching(YIELD_BYTES), "{}".to_owned()];
        let mut receiver = receiver(&elements);

        assert!(receiver.receive(9).now_or_never().is_none(), "it lets others run");
        let received = receiver.receive(9).await.expect("it answers");

        assert_eq!(received.records.len(), 3);
        assert_eq!(received.filtered, [2]);
    }

    fn receiver(elements: &[String]) -> FilteringReceiver {
        let record = |(number, element): (usize, &String)| Record {
            origin: Origin::Position(SequenceNumber::new(number.to_string()).into()),
            key: None,
            arrived_at: Timestamp::default(),
            element: Bytes::from(element.clone()),
        };
        let page = Received { records: elements.iter().enumerate().map(record).collect(), ..Received::default() };
        let filter = RecordFilter::compile(SourceKind::Dynamodb, [r#"{"keep": [true]}"#]).expect("a pattern");
        let start = tokio::time::Instant::now();
        FilteringReceiver::new(Box::new(OnePage(Some(page))), Arc::new(filter), Clock::new(move || start.elapsed()))
    }

    fn matching(bytes: usize) -> String {
        format!(r#"{{"keep": true, "rest": "{}"}}"#, "x".repeat(bytes))
    }

    struct OnePage(Option<Received>);

    impl Receiver for OnePage {
        fn receive(&mut self, _: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
            Box::pin(std::future::ready(Ok(self.0.take().expect("it is read once"))))
        }
    }
}
