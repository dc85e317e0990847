//! The receives of one consumer. A running receive is kept across turns of the consumer's loop and always polled, so
//! that none is cut in half and the leases of what it brings do not run unseen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::spread;
use crate::core::Timestamp;
use crate::core::record::{Received, ShardId};
use crate::core::settings::{Kind, Settings};
use crate::source::{Receiver, Source, SourceError};

/// Receivers at rest and at work.
pub(super) struct Receiving {
    source: Arc<dyn Source>,
    shard: ShardId,
    open: Open,
    resting: Vec<Resting>,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// Records that running receives may bring.
    asked: usize,
    /// A receive that brought nothing is over no sooner than this: servers exist that never wait.
    empty_receive: Duration,
    /// What lies between the beginnings of one receiver's receives, at least.
    interval: Duration,
    failures_in_a_row: u32,
    wait: Duration,
    /// Receivers that fail together must not ask again together.
    seed: u64,
    /// Ends the waits around receives.
    stop: CancellationToken,
}

/// Opens one more receiver of the shard.
pub(super) type Open = Box<dyn Fn() -> Box<dyn Receiver> + Send>;

/// A receiver that asks no earlier than this.
struct Resting {
    receiver: Box<dyn Receiver>,
    until: Instant,
}

struct Finished {
    rest: Resting,
    asked: usize,
    /// `None`: stopped before the source was asked.
    result: Option<Result<Received, SourceError>>,
}

impl Receiving {
    /// `stop` ends the waits before and after a receive; the receive itself is not cut.
    pub(super) fn new(
        source: Arc<dyn Source>,
        shard: ShardId,
        open: Open,
        settings: &Settings,
        seed: u64,
        stop: CancellationToken,
    ) -> Self {
        let empty_receive = match settings.kind {
            Kind::Queue => QUEUE_EMPTY_RECEIVE,
            Kind::Stream => Duration::ZERO, // its receiver keeps the source's pace
        };
        let interval = settings.queue.scaling.map_or(Duration::ZERO, |scaling| scaling.receive_interval);
        Self {
            source,
            shard,
            open,
            resting: Vec::new(),
            running: FuturesUnordered::new(),
            asked: 0,
            empty_receive,
            interval,
            failures_in_a_row: 0,
            wait: Duration::ZERO,
            seed,
            stop,
        }
    }

    /// Records that running receives may bring.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// How many receives run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How long the next receive waits first.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// Starts one more receive of at most `max` records, after a wait if the last one failed.
    pub(super) fn start(&mut self, now: Timestamp, max: usize) {
        let open = || Resting { receiver: (self.open)(), until: Instant::now() };
        let mut rest = self.resting.pop().unwrap_or_else(open);
        let wait = self.wait.max(rest.until.saturating_duration_since(Instant::now()));
        let (empty_receive, interval, stop) = (self.empty_receive, self.interval, self.stop.clone());
        let (source, shard) = (Arc::clone(&self.source), self.shard.clone());
        self.asked += max;
        self.running.push(Box::pin(async move {
            if !wait.is_zero() && stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Finished { rest, asked: max, result: None };
            }
            let began = Instant::now();
            rest.until = began + interval;
            let mut result = rest.receiver.receive(max).await;
            if let Ok(received) = &mut result {
                received.is_full = received.records.len() * FULL_PARTS >= max;
            }
            match &result {
                Ok(received) if received.records.is_empty() && !received.ended => {
                    stop.run_until_cancelled(tokio::time::sleep_until(began + empty_receive)).await;
                }
                Err(SourceError::Missing(_)) if is_gone(&*source, &shard).await => {
                    warn!("the shard is no longer listed: what it still held is gone at the source");
                    result = Ok(Received { ended: true, ..Received::default() });
                }
                _ => {}
            }
            let result = result.map(|received| Received { asked_at: now, ..received });
            Finished { rest, asked: max, result: Some(result) }
        }));
    }

    /// What the next receive to end brought; `None` if it was stopped before the source was asked. Pends while none
    /// runs.
    pub(super) async fn next(&mut self) -> Option<Result<Received, SourceError>> {
        let Some(finished) = self.running.next().await else { return std::future::pending().await };
        self.resting.push(finished.rest);
        self.asked -= finished.asked;
        match &finished.result {
            Some(Err(error)) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.wait = spread(error.retry_delay(self.failures_in_a_row), self.seed, self.failures_in_a_row);
            }
            Some(Ok(_)) => {
                self.failures_in_a_row = 0;
                self.wait = Duration::ZERO;
            }
            None => {}
        }
        finished.result
    }

    /// Drops the running receives. Only a stream's: what a queue's receive brings would stay hidden.
    pub(super) fn abandon(&mut self) {
        self.running.clear();
        self.asked = 0;
    }
}

/// A shard that is missing while its stream still lists others has expired: its end, not a fault.
async fn is_gone(source: &dyn Source, shard: &ShardId) -> bool {
    source.shards().await.is_ok_and(|listed| !listed.is_empty() && listed.iter().all(|other| other.id != *shard))
}

/// What an empty long poll of a queue takes at least.
const QUEUE_EMPTY_RECEIVE: Duration = Duration::from_secs(1);
/// A receive is full if it brings one of so many parts of what was asked for: a standard queue often brings less than
/// it has.
const FULL_PARTS: usize = 2;
