//! Reads one shard of the fake as the real adapters do: by an iterator that is made anew at the position when it expired,
//! and at the oldest record where the position is refused.

use std::time::Duration;

use esmd::core::checkpoint::UpTo;
use esmd::core::record::{OrderingKey, Origin, PositionReset, Received, Record, ShardId};
use esmd::event::kinesis::{Renderer, StreamRecord};
use esmd::source::{Receiver, SourceError};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::super::lock;
use super::FakeStream;
use super::log::{Kept, Page};

pub(super) struct ShardReceiver {
    stream: FakeStream,
    shard: ShardId,
    renderer: Renderer,
    position: UpTo,
    /// When the iterator was made that stands at the position; `None`: it has to be made.
    iterator_since: Option<Instant>,
    /// The next page with records, or the end, follows a gap.
    reset: Option<PositionReset>,
    /// Set after a read that found nothing more.
    next_read_at: Option<Instant>,
}

impl ShardReceiver {
    pub(super) fn new(stream: FakeStream, shard: ShardId, position: UpTo) -> Self {
        let renderer = Renderer::new(&shard, "arn:aws:iam::111111111111:role/worker", "eu-west-1", &stream.arn);
        let (iterator_since, reset, next_read_at) = (None, None, None);
        Self { stream, shard, renderer, position, iterator_since, reset, next_read_at }
    }

    async fn read(&mut self, max: usize) -> Result<Received, SourceError> {
        if self.position == UpTo::Ended {
            return Ok(Received { ended: true, ..Received::default() });
        }
        if let Some(next_read_at) = self.next_read_at {
            tokio::time::sleep_until(next_read_at).await;
        }
        if lock(&self.stream.state).silent.contains(&self.shard) {
            return std::future::pending().await;
        }
        self.look_at_position();
        let Page { records, ended, behind_millis } = self.stream.page(&self.shard, &self.position, max)?;
        self.iterator_since = Some(Instant::now());
        self.next_read_at = (records.len() < max).then(|| Instant::now() + self.stream.poll_interval);
        if let Some(last) = records.last() {
            self.position = UpTo::After(last.sequence_number.clone().into());
        }
        if ended {
            self.position = UpTo::Ended;
        }
        let reset = if records.is_empty() && !ended { None } else { self.reset.take() };
        let records: Vec<_> = records.into_iter().map(|record| self.render(record)).collect();
        let at_tip = records.is_empty();
        Ok(Received { records, behind_millis: Some(behind_millis), at_tip, ended, reset, ..Received::default() })
    }

    /// Goes on at the oldest record if the stream no longer knows the position, or what followed it.
    fn look_at_position(&mut self) {
        let is_new = self.iterator_since.is_none_or(|since| since.elapsed() >= ITERATOR_LIFE);
        let state = lock(&self.stream.state);
        let refusal = state.shards.get(&self.shard).and_then(|log| log.refusal(&self.position, is_new));
        if let Some(reset) = refusal {
            self.position = UpTo::TrimHorizon;
            self.reset = Some(reset);
        }
    }

    fn render(&self, record: Kept) -> Record {
        let rendered = StreamRecord {
            partition_key: Some(&record.key),
            sequence_number: record.sequence_number.as_str(),
            data: record.data.as_bytes(),
            arrived_at: record.arrived_at,
        };
        let element = self.renderer.render(rendered, &mut Vec::new());
        Record {
            origin: Origin::Position(record.sequence_number.into()),
            key: Some(OrderingKey::new(&*record.key)),
            arrived_at: record.arrived_at,
            element,
        }
    }
}

impl Receiver for ShardReceiver {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.read(max))
    }
}

/// An iterator that is older is refused, and its reader makes a new one at its position.
const ITERATOR_LIFE: Duration = Duration::from_mins(5);
