//! Reads one shard of a stream that pushes its records to a subscriber: enhanced fan-out (`docs/semantics.md` 6.8). Knows
//! nothing of a service's types, of batches or of settling.
//!
//! Invariants: an event is read only when what was pushed before has been handed out, so whoever receives sets the pace.
//! The position moves only with an event that is kept, and every subscription begins at the position, so no record is
//! passed over, however a subscription ends.

mod held;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use self::held::Held;
use super::reset::Reset;
pub use super::stream_errors::Failure;
use super::tip::is_at_tip;
use super::{Receiver, SourceError};
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{Position, Received, SequenceNumber};
use crate::event::kinesis::Renderer;

/// A shard at the service that pushes its records.
pub trait PushedShard: Send + Sync + 'static {
    /// What a call opens.
    type Subscription: Subscription;

    /// Subscribes from the position on, which is not `Ended`. [`at_or_after`] says what a position in the middle of an
    /// aggregate means.
    fn subscribe(&self, position: &UpTo) -> impl Future<Output = Result<Self::Subscription, Failure>> + Send;
}

/// A running subscription. Dropping it ends it.
pub trait Subscription: Send + 'static {
    /// Waits for the next event; `None` when the service has ended the subscription. Dropping the future loses nothing.
    /// After an error it is not called again.
    fn next(&mut self) -> impl Future<Output = Result<Option<Pushed>, Failure>> + Send;
}

/// One event.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// In the order of the shard; none in a sign of life.
    pub records: Vec<PushedRecord>,
    /// How far behind the tip the source says it is, in milliseconds.
    pub behind_millis: Option<u64>,
    /// Where to go on.
    pub next: Next,
}

/// Where a shard goes on after an event.
#[derive(Clone, Debug)]
pub enum Next {
    /// After this number, which need not be a record's.
    After(SequenceNumber),
    /// Nowhere: the shard is closed and these were its last records.
    End,
    /// The event names neither a number nor children.
    Unsaid,
}

/// A record as it was pushed.
#[derive(Clone, Debug)]
pub struct PushedRecord {
    /// Its number in the shard.
    pub sequence_number: SequenceNumber,
    /// The key that its producer gave it, if any.
    pub partition_key: Option<String>,
    /// What the producer put: data, or an aggregate of several records.
    pub data: Bytes,
    /// When the stream took it in.
    pub arrived_at: Timestamp,
}

/// Where to subscribe for what follows on a record: at its number if the position lies inside an aggregate, whose rest is
/// still to come, else after it. The flag is true for *at*.
#[must_use]
pub fn at_or_after(position: &Position) -> (bool, &str) {
    (position.index > 0, position.sequence_number.as_str())
}

/// Whether the position lies inside the aggregate that has this number.
fn is_inside(position: &UpTo, number: &SequenceNumber) -> bool {
    matches!(position, UpTo::After(position) if position.index > 0 && position.sequence_number == *number)
}

/// The reader of one shard. It subscribes when it is asked for records.
pub struct PushReceiver<S: PushedShard> {
    shard: S,
    clock: Clock,
    /// What was pushed and not yet handed out.
    held: Held,
    /// How far behind the tip the last event was.
    behind_millis: Option<u64>,
    /// Where the next subscription begins. Everything up to here was handed out or is held.
    position: UpTo,
    subscription: Option<Listening<S::Subscription>>,
    /// The service refuses a subscription before this.
    next_subscription: Instant,
    /// The last subscription was refused because another one is too young.
    is_in_use: bool,
    /// The source refused the position: the next subscription begins at the oldest record instead.
    refusal: Option<Failure>,
    reset: Reset,
}

struct Listening<T> {
    subscription: T,
    /// Whether there was an event. Some servers refuse a subscription in its stream.
    is_heard: bool,
}

impl<S: PushedShard> PushReceiver<S> {
    /// Begins after the position.
    pub fn new(shard: S, renderer: Renderer, clock: Clock, position: UpTo) -> Self {
        Self {
            shard,
            clock,
            held: Held::new(renderer, &position),
            behind_millis: None,
            position,
            subscription: None,
            next_subscription: Instant::now(),
            is_in_use: false,
            refusal: None,
            reset: Reset::default(),
        }
    }

    async fn read(&mut self, max: usize) -> Result<Received, SourceError> {
        loop {
            self.held.make_ready(max).await;
            if self.held.has_ready() || self.position == UpTo::Ended {
                return Ok(self.hand_out(max));
            }
            if self.listen().await? {
                let behind_millis = self.behind_millis;
                let at_tip = is_at_tip(0, max, behind_millis);
                return Ok(Received { behind_millis, at_tip, ..Received::default() });
            }
        }
    }

    /// Waits for an event and keeps what it brings. Answers whether it told that there is nothing to read.
    ///
    /// A subscription that was heard and then ends or falls silent is renewed without a word, once in a receive at most,
    /// since the next one has to be heard first.
    async fn listen(&mut self) -> Result<bool, SourceError> {
        let Some(listening) = &mut self.subscription else {
            self.subscribe().await?;
            return Ok(false);
        };
        let asked_at = Instant::now();
        let was_heard = listening.is_heard;
        let answer = timeout(SILENCE_MAX, listening.subscription.next()).await;
        if let Ok(Ok(Some(event))) = answer {
            listening.is_heard = true;
            // Signs of life gather while nobody listens. One that lay there speaks of an earlier tip.
            let is_old = was_heard && asked_at.elapsed() < EVENT_OLD_WITHIN;
            let is_empty = event.records.is_empty();
            self.keep(event)?;
            return Ok(is_empty && !is_old);
        }
        self.subscription = None;
        match answer {
            Ok(Err(failure)) if was_heard => {
                if failure.is_in_use() {
                    self.next_subscription = Instant::now() + SUBSCRIBE_INTERVAL;
                }
                Err(failure.error)
            }
            Ok(Err(failure)) => {
                self.next_subscription = asked_at; // it was refused, so it makes no other one wait
                self.on_refused(failure)?;
                Ok(false)
            }
            Ok(Ok(_)) | Err(_) if !was_heard => Err(SourceError::Transient("a subscription brought no event".into())),
            Ok(Ok(_)) => Ok(false),
            Err(_) => {
                let seconds = SILENCE_MAX.as_secs();
                warn!(position = %self.position, seconds, "a subscription fell silent: renewing it");
                Ok(false)
            }
        }
    }

    /// Opens a subscription, or notes why another try is worth it.
    async fn subscribe(&mut self) -> Result<(), SourceError> {
        sleep_until(self.next_subscription).await;
        let position = if self.refusal.is_some() { &UpTo::TrimHorizon } else { &self.position };
        debug!(%position, "subscribing");
        match timeout(SILENCE_MAX, self.shard.subscribe(position)).await {
            Ok(Ok(subscription)) => {
                self.next_subscription = Instant::now() + SUBSCRIBE_INTERVAL;
                self.subscription = Some(Listening { subscription, is_heard: false });
                Ok(())
            }
            Ok(Err(failure)) => self.on_refused(failure),
            Err(_) => Err(SourceError::Transient("a call to subscribe was not answered".into())),
        }
    }

    /// A subscription was refused. An error, unless there is a better one to try.
    fn on_refused(&mut self, failure: Failure) -> Result<(), SourceError> {
        if failure.is_in_use() {
            self.next_subscription = Instant::now() + SUBSCRIBE_INTERVAL;
            // That of a reader that just ended, most likely; a second time somebody else uses the consumer.
            return if std::mem::replace(&mut self.is_in_use, true) { Err(failure.error) } else { Ok(()) };
        }
        let tried_oldest = self.refusal.take().is_some();
        if !tried_oldest && failure.may_refuse_position() && matches!(self.position, UpTo::After(_)) {
            self.refusal = Some(failure);
            return Ok(());
        }
        Err(failure.error)
    }

    fn keep(&mut self, event: Pushed) -> Result<(), SourceError> {
        self.is_in_use = false;
        if let Some(refusal) = self.refusal.take() {
            self.reset.begin(&self.position, &refusal.error, refusal.reset());
            self.position = UpTo::TrimHorizon;
            self.held.forget_beginning();
        }
        self.behind_millis = event.behind_millis;
        let last = event.records.last().map(|record| record.sequence_number.clone());
        let is_empty = event.records.is_empty();
        self.held.push(event.records);
        match event.next {
            // The aggregate there has not come yet: after its number its rest would be passed over.
            Next::After(number) if is_empty && is_inside(&self.position, &number) => {}
            Next::After(number) => self.position = UpTo::After(number.into()),
            Next::End => self.position = UpTo::Ended,
            Next::Unsaid => {
                self.subscription = None;
                if let Some(last) = last {
                    self.position = UpTo::After(last.into());
                }
                if is_empty {
                    return Err(SourceError::Transient("an event does not say where the shard goes on".into()));
                }
            }
        }
        if self.position == UpTo::Ended {
            self.subscription = None;
        }
        Ok(())
    }

    /// What is ready, without an await: a receive that is dropped has taken nothing.
    fn hand_out(&mut self, max: usize) -> Received {
        let records = self.held.take(max);
        let ended = self.position == UpTo::Ended && self.held.is_empty();
        let reset = self.reset.hand_out(&records, ended);
        // What the source says of a whole event is not true of its first records.
        let waits_since = self.held.next_arrival().map(|arrived_at| self.clock.now().since(arrived_at));
        let waited = waits_since.map(|waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        Received { behind_millis: self.behind_millis.max(waited), ended, records, reset, ..Received::default() }
    }
}

impl<S: PushedShard> Receiver for PushReceiver<S> {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.read(max))
    }
}

/// How long a receive may take that finds nothing: a subscription falls silent, the call for the next one is not answered
/// in time, or the next one is silent too.
pub const POLL_TIME: Duration = Duration::from_secs(3 * SILENCE_MAX.as_secs());

/// How long a live subscription says nothing at most: three of the signs of life that AWS sends every 5 s.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The service refuses to replace a subscription that is younger than this.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(5);

/// An event that comes this soon after it was asked for was there before.
const EVENT_OLD_WITHIN: Duration = Duration::from_millis(100);
