//! A source in the weather. A receive whose answer is lost, late or dropped leaves the reader where it was, as the trait
//! demands: the next one opens the shard anew, as an adapter does with an expired iterator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Origin, Received, ShardId};
use esmd::core::settlement::{Extended, Extension, Settled, Settlement};
use esmd::core::shards::Shard;
use esmd::mapping::{EventSourceMapping, SourceSettings};
use esmd::source::{Receiver, Source, SourceError};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::Link;
use crate::oracle::Terms;
use crate::weather::{DENIED, Fate, Part};
use crate::world::MAPPING;

pub struct SourceLink {
    inner: Arc<dyn Source>,
    link: Arc<Link>,
    mapping: EventSourceMapping,
    /// What the daemon was told of the source's retention.
    retention: Mutex<Option<Duration>>,
    receive_max: usize,
}

impl SourceLink {
    pub fn new(inner: Arc<dyn Source>, link: Arc<Link>, mapping: &EventSourceMapping) -> Self {
        let is_fifo = matches!(&mapping.source, SourceSettings::Queue(queue) if queue.fifo);
        let receive_max = if is_fifo { mapping.batching.size } else { usize::MAX }; // a receive is one batch, as with SQS
        let receive_max = receive_max.min(inner.receive_max());
        Self { inner, link, mapping: mapping.clone(), retention: Mutex::default(), receive_max }
    }

    async fn settle_each(&self, settlements: Vec<Settlement>) -> Vec<Settled> {
        self.link.oracle.settling(self.link.life, &settlements);
        let mut answers = Vec::with_capacity(settlements.len());
        for settlement in &settlements {
            let is_refused = self.link.weather.refuses();
            let answer =
                if is_refused { vec![Settled::Refused] } else { self.inner.settle(vec![settlement.clone()]).await };
            answers.extend(answer);
        }
        for answer in &mut answers {
            if self.link.weather.chance(10, "settlement refused for a while") {
                *answer = Settled::Failed;
            }
        }
        self.link.oracle.settled(&settlements, &answers);
        answers
    }

    /// Leases are counted from before the call, by the daemon's clock.
    async fn extend_each(&self, extensions: Vec<Extension>, asked_at: Timestamp) -> Vec<Extended> {
        let world_now = self.link.world_clock.now();
        let mut answers = self.inner.extend(extensions.clone()).await;
        for answer in &mut answers {
            if let Extended::Until(ends_at) = answer {
                *ends_at = asked_at + ends_at.since(world_now);
            }
            if self.link.weather.chance(10, "extension refused for a while") {
                *answer = Extended::Failed;
            }
        }
        answers
    }
}

impl Source for SourceLink {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        Box::pin(self.link.call(Part::Source, "list", self.inner.shards(), |number| Err(error(number))))
    }

    fn retention(&self) -> BoxFuture<'_, Result<Option<Duration>, SourceError>> {
        let ask = self.link.call(Part::Source, "retention", self.inner.retention(), |number| Err(error(number)));
        Box::pin(async {
            let retention = ask.await?;
            *lock(&self.retention) = retention;
            Ok(retention)
        })
    }

    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver> {
        Box::new(ReceiverLink {
            inner: self.inner.open(shard, from),
            source: Arc::clone(&self.inner),
            link: Arc::clone(&self.link),
            terms: Terms::of(&self.mapping, *lock(&self.retention)),
            patience: self.mapping.esmd.stall_after + self.inner.poll_time(),
            shard: shard.clone(),
            position: from.up_to.clone(),
            is_stale: false,
            repeats_from: None,
            tells_reset: false,
        })
    }

    fn receive_max(&self) -> usize {
        self.receive_max
    }

    fn poll_time(&self) -> Duration {
        self.inner.poll_time()
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        let count = settlements.len();
        let settle = self.settle_each(settlements);
        Box::pin(self.link.call(Part::Source, "settle", settle, move |_| vec![Settled::Failed; count]))
    }

    fn extend(&self, extensions: Vec<Extension>) -> BoxFuture<'_, Vec<Extended>> {
        Box::pin(async move {
            self.link.oracle.extending(&extensions);
            let count = extensions.len();
            let extend = self.extend_each(extensions.clone(), self.link.clock.now());
            let heard = self.link.call(Part::Source, "extend", extend, move |_| vec![Extended::Failed; count]).await;
            self.link.oracle.extended(&extensions, &heard, self.link.clock.now());
            heard
        })
    }
}

struct ReceiverLink {
    inner: Box<dyn Receiver>,
    source: Arc<dyn Source>,
    link: Arc<Link>,
    terms: Terms,
    /// How long the daemon waits for an answer.
    patience: Duration,
    shard: ShardId,
    /// After the last answer that the daemon has.
    position: UpTo,
    /// The inner reader may stand elsewhere.
    is_stale: bool,
    /// The next answer begins anew at this position, which lies before the reader's.
    repeats_from: Option<UpTo>,
    /// The last answer that the daemon got told it of a gap.
    tells_reset: bool,
}

impl ReceiverLink {
    async fn read(&mut self, max: usize) -> Result<Received, SourceError> {
        if std::mem::take(&mut self.tells_reset) {
            self.link.oracle.reset_was_heard();
        }
        let repeats_from = self.repeats_from.take();
        if std::mem::replace(&mut self.is_stale, true) || repeats_from.is_some() {
            let position = repeats_from.clone().unwrap_or_else(|| self.position.clone());
            self.inner = self.source.open(&self.shard, &Checkpoint::at(position));
        }
        let link = Arc::clone(&self.link);
        let strike = link.weather.strike(Part::Source, "receive");
        sleep(strike.before).await;
        match strike.fate {
            Fate::Fails(number) => return Err(error(Some(number))),
            Fate::Panics => link.panic(),
            Fate::Works | Fate::Unanswered => {}
        }
        if link.weather.chance(10, "iterator expired") {
            return Ok(Received::default());
        }
        let fewer = link.weather.chance(200, "receive brings fewer");
        let asked = if fewer { 1 + usize::try_from(link.weather.below(max as u64)).unwrap() } else { max };
        let mut received = self.inner.receive(asked).await;
        if repeats_from.is_some() && received.as_ref().is_ok_and(|received| received.reset.is_some()) {
            // A reader goes on where it stands. Only what repeats itself here asks for records that are gone.
            self.inner = self.source.open(&self.shard, &Checkpoint::at(self.position.clone()));
            received = self.inner.receive(asked).await;
        }
        let received = match received {
            Ok(received) => received,
            Err(failed) => {
                self.is_stale = repeats_from.is_some(); // else the reader stands where it stood
                return Err(failed);
            }
        };
        if strike.fate == Fate::Unanswered {
            return Err(error(None));
        }
        let received = self.answer(received, strike.after).await;
        self.tells_reset = received.reset.is_some();
        link.oracle.received(&self.shard, &received, max, self.terms, link.clock.now());
        Ok(received)
    }

    async fn answer(&mut self, mut received: Received, late: Duration) -> Received {
        let link = Arc::clone(&self.link);
        let taken_at = link.world_clock.now();
        let leases = received.records.iter().filter_map(|record| match &record.origin {
            Origin::Message { receipt, .. } => Some(receipt.ends_at.since(taken_at) / LEASE_PARTS_LATE),
            Origin::Position(_) => None,
        });
        let began = Instant::now();
        sleep(leases.fold(late, Duration::min)).await;
        let suspended = link.world_clock.now().since(taken_at).saturating_sub(began.elapsed());
        let now = link.clock.now();
        for record in &mut received.records {
            if let Origin::Message { receipt, .. } = &mut record.origin {
                // Counted from the answer, by the daemon's clock, less what the machine slept before it read the answer.
                receipt.ends_at = now + receipt.ends_at.since(taken_at).saturating_sub(suspended);
            }
        }
        self.is_stale = false;
        if received.reset.is_none() && link.weather.chance(20, "page repeated") {
            self.repeats_from = Some(self.position.clone());
        }
        if let Some(Origin::Position(last)) = received.records.last().map(|record| &record.origin) {
            self.position = UpTo::After(last.clone());
        }
        if received.ended {
            self.position = UpTo::Ended;
        }
        if link.weather.chance(20, "odd lag") {
            received.behind_millis = link.weather.chance(500, "unknown lag").then_some(u64::MAX);
        }
        received
    }
}

impl Receiver for ReceiverLink {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        let asked = Asked::new(self);
        Box::pin(async move {
            let received = self.read(max).await;
            asked.answered();
            received
        })
    }
}

/// A receive that owes its answer. One that is silent for too long is given up, and its shard shown as stalled
/// (`docs/architecture.md` 6).
struct Asked {
    link: Arc<Link>,
    shard: ShardId,
    since: Instant,
    patience: Duration,
    is_answered: bool,
}

impl Asked {
    fn new(receiver: &ReceiverLink) -> Self {
        let (link, shard, patience) = (Arc::clone(&receiver.link), receiver.shard.clone(), receiver.patience);
        Self { link, shard, since: Instant::now(), patience, is_answered: false }
    }

    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let (link, shard, waited) = (&self.link, &self.shard, self.since.elapsed());
        if waited < self.patience {
            return;
        }
        // Of a queue's receives one may be silent for longer, as long as another is answered.
        if waited > self.patience + ENDS_WITHIN && !link.oracle.is_of_queue() {
            link.oracle.object(format!("{shard}: a receive waited for {waited:?}, and its consumer went on with it"));
        }
        let is_shown = link.board.stalled_shards(MAPPING).contains(shard);
        if !self.is_answered && !is_shown && !link.is_ending() && link.oracle.is_steady() {
            link.oracle.object(format!("{shard}: a receive was given up after {waited:?}, and no stall is shown"));
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of any class; one whose answer was lost is transient.
pub fn error(number: Option<u64>) -> SourceError {
    let cause = "the weather".into();
    match number.map(|number| number % 4) {
        Some(0) => SourceError::Throttled(cause),
        Some(DENIED) => SourceError::Denied(cause),
        Some(2) => SourceError::Missing(cause),
        Some(_) | None => SourceError::Transient(cause),
    }
}

/// The daemon looks once a second, and gives up a stream's receive at once.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The adapter's margin is a tenth of a lease; an answer that is late by one of so many parts is covered by it.
const LEASE_PARTS_LATE: u32 = 20;
