//! A queue in memory: visibility timeouts, receive counts, receipts that go stale, long polls, and in a FIFO queue
//! groups that are locked while one of their messages is in flight (`docs/semantics.md` 5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esmd::clock::Clock;
use esmd::core::Timestamp;
use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::{OrderingKey, Origin, Receipt, Received, Record, ShardId};
use esmd::core::settlement::{Extended, Extension, Settled, Settlement};
use esmd::core::shards::Shard;
use esmd::event::sqs as event;
use esmd::source::{Receiver, Source, SourceError};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Fault, Faults, lock};

/// The fake.
#[derive(Clone)]
pub struct FakeQueue {
    clock: Clock,
    settings: QueueSettings,
    event: Arc<event::Queue>,
    state: Arc<Mutex<State>>,
    /// Something may be visible that was not.
    changed: Arc<Notify>,
}

/// How a queue is set up, and how its receivers ask.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    pub fifo: bool,
    pub visibility: Duration,
    /// How long a receive waits for the first message.
    pub wait: Duration,
}

/// A message as its queue has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Somebody's lease on it runs.
    pub leased: bool,
    pub receives: u32,
}

#[derive(Default)]
struct State {
    /// By the order of sending.
    messages: BTreeMap<u64, Message>,
    sent: u64,
    ids: BTreeMap<Arc<str>, u64>,
    /// A message received more often than this goes to the dead ones instead.
    receives_max: Option<u32>,
    /// The bodies that went to the dead-letter queue.
    dead: Vec<String>,
    /// Receives that began.
    asked: usize,
    /// Every receipt handle that was ever given, with its message.
    receipts: BTreeMap<Arc<str>, u64>,
    receive_faults: Faults,
    /// Receives get no answer.
    silent: bool,
    /// So many settlements from now on fail and do nothing.
    settle_failures: usize,
    /// So many extensions from now on fail and do nothing.
    extend_failures: usize,
    /// Extensions that were confirmed.
    extensions: usize,
    /// How long the answer to a settlement takes after it was carried out.
    settle_delay: Duration,
}

struct Message {
    id: Arc<str>,
    group: Option<Arc<str>>,
    body: String,
    sent_at: Timestamp,
    receives: u32,
    /// Of the latest receive.
    receipt: Option<Arc<str>>,
    visible_at: Timestamp,
}

impl FakeQueue {
    pub fn new(clock: Clock, arn: &str, settings: QueueSettings) -> Self {
        let region = arn.split(':').nth(3).unwrap_or_default().to_owned();
        let event = Arc::new(event::Queue { arn: arn.to_owned(), region, has_window: false });
        Self { clock, settings, event, state: Arc::default(), changed: Arc::default() }
    }

    /// The same queue for receivers that wait as long as this.
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    pub fn is_fifo(&self) -> bool {
        self.settings.fifo
    }

    /// From now on a message that was received this often goes to the dead-letter queue instead of being received again.
    pub fn set_redrive(&self, receives_max: u32) {
        lock(&self.state).receives_max = Some(receives_max);
    }

    /// The bodies in the dead-letter queue, in the order in which they came there.
    pub fn dead(&self) -> Vec<String> {
        lock(&self.state).dead.clone()
    }

    pub fn send(&self, body: &str, group: Option<&str>) {
        self.send_message(body, group);
    }

    /// Sends a message and answers its id.
    pub fn send_message(&self, body: &str, group: Option<&str>) -> Arc<str> {
        let mut state = lock(&self.state);
        let number = state.sent;
        state.sent += 1;
        let now = self.clock.now();
        let id: Arc<str> = format!("message-{number:06}").into();
        state.ids.insert(Arc::clone(&id), number);
        let message = Message {
            id: Arc::clone(&id),
            group: group.map(Into::into),
            body: body.to_owned(),
            sent_at: now,
            receives: 0,
            receipt: None,
            visible_at: now,
        };
        state.messages.insert(number, message);
        drop(state);
        self.changed.notify_waiters();
        id
    }

    /// A message that was neither deleted nor redriven.
    pub fn look(&self, id: &str) -> Option<Look> {
        let state = lock(&self.state);
        let message = state.messages.get(state.ids.get(id)?)?;
        Some(Look { leased: message.visible_at > self.clock.now(), receives: message.receives })
    }

    /// A standard queue hands out a message once more although somebody holds it.
    pub fn repeat(&self, id: &str) {
        assert!(!self.settings.fifo, "a FIFO queue keeps its leases");
        let state = &mut *lock(&self.state);
        if let Some(message) = state.ids.get(id).and_then(|number| state.messages.get_mut(number)) {
            message.visible_at = self.clock.now();
        }
        self.changed.notify_waiters();
    }

    /// The clock leapt: leases may have ended that no receiver waits for.
    pub fn clock_leapt(&self) {
        self.changed.notify_waiters();
    }

    /// The next receives do this instead.
    pub fn fail_receives(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state).receive_faults.add(faults);
    }

    /// The next so many settlements fail and do nothing.
    pub fn fail_settlements(&self, count: usize) {
        lock(&self.state).settle_failures = count;
    }

    /// The next so many extensions fail and do nothing.
    pub fn fail_extensions(&self, count: usize) {
        lock(&self.state).extend_failures = count;
    }

    /// How many extensions were confirmed so far.
    pub fn extensions(&self) -> usize {
        lock(&self.state).extensions
    }

    /// From now on a settlement is carried out at once and answered after this long.
    pub fn set_settle_delay(&self, delay: Duration) {
        lock(&self.state).settle_delay = delay;
    }

    /// The bodies that are left, in the order of sending.
    pub fn left(&self) -> Vec<String> {
        lock(&self.state).messages.values().map(|message| message.body.clone()).collect()
    }

    /// The bodies that anyone could receive now, groups' locks aside.
    pub fn visible(&self) -> Vec<String> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let visible = state.messages.values().filter(|message| message.visible_at <= now);
        visible.map(|message| message.body.clone()).collect()
    }

    /// Whether receives that begin from now on are never answered.
    pub fn set_silent(&self, silent: bool) {
        lock(&self.state).silent = silent;
    }

    /// How many receives began so far.
    pub fn asked(&self) -> usize {
        lock(&self.state).asked
    }

    async fn receive(&self, max: usize) -> Result<Received, SourceError> {
        lock(&self.state).asked += 1;
        if lock(&self.state).silent {
            return std::future::pending().await;
        }
        let until = Instant::now() + self.settings.wait;
        lock(&self.state).receive_faults.strike()?;
        loop {
            let changed = self.changed.notified();
            let records = self.take(max.min(RECEIVE_MAX));
            if !records.is_empty() || Instant::now() >= until {
                return Ok(Received { records, ..Received::default() });
            }
            let wake = self.next_visible().map_or(until, |visible| until.min(visible));
            tokio::select! { biased;
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn take(&self, max: usize) -> Vec<Record> {
        let now = self.clock.now();
        let state = &mut *lock(&self.state);
        let in_flight = state.messages.values().filter(|message| message.visible_at > now);
        let locked: BTreeSet<_> = in_flight.filter_map(|message| message.group.clone()).collect();
        let is_free = |message: &Message| {
            message.visible_at <= now && message.group.as_ref().is_none_or(|group| !locked.contains(group))
        };
        if let Some(receives_max) = state.receives_max {
            let is_dead = |message: &Message| is_free(message) && message.receives >= receives_max;
            let dead = state.messages.extract_if(.., |_, message| is_dead(message));
            state.dead.extend(dead.map(|(_, message)| message.body));
        }
        let mut records = Vec::new();
        for (number, message) in state.messages.iter_mut().filter(|(_, message)| is_free(message)).take(max) {
            message.receives += 1;
            message.visible_at = now + self.settings.visibility;
            let receipt: Arc<str> = format!("{}/{}", message.id, message.receives).into();
            state.receipts.insert(Arc::clone(&receipt), *number);
            message.receipt = Some(Arc::clone(&receipt));
            let ends_at = now + lease(self.settings.visibility);
            records.push(self.record(message, Receipt { handle: receipt, ends_at }));
        }
        records
    }

    fn record(&self, message: &Message, receipt: Receipt) -> Record {
        let (receives, sent_at) = (message.receives.to_string(), message.sent_at.as_millis().to_string());
        let mut attributes = vec![("ApproximateReceiveCount", &*receives), ("SentTimestamp", &*sent_at)];
        attributes.extend(message.group.as_deref().map(|group| ("MessageGroupId", group)));
        let rendered = event::Message {
            message_id: &message.id,
            receipt_handle: &receipt.handle,
            body: &message.body,
            attributes,
            message_attributes: Vec::new(),
            md5_of_message_attributes: None,
            md5_of_body: None,
        };
        let element = event::render(&rendered, &self.event);
        Record {
            origin: Origin::Message { id: Arc::clone(&message.id), receipt },
            key: message.group.as_deref().map(OrderingKey::new),
            arrived_at: message.sent_at,
            element,
        }
    }

    fn next_visible(&self) -> Option<Instant> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let hidden = state.messages.values().map(|message| message.visible_at).filter(|visible_at| *visible_at > now);
        hidden.min().map(|visible_at| Instant::now() + visible_at.since(now))
    }

    /// A handle that was never given is refused. Deleting what is gone is confirmed. A handle of an earlier receive
    /// deletes nothing: a FIFO queue says so, a standard one confirms all the same. Once visible again, a FIFO queue's
    /// message has no handle that counts.
    fn settle_one(&self, settlement: &Settlement) -> Settled {
        let now = self.clock.now();
        let state = &mut *lock(&self.state);
        if let Some(left) = state.settle_failures.checked_sub(1) {
            state.settle_failures = left;
            return Settled::Failed;
        }
        let Some(number) = state.receipts.get(&settlement.handle().receipt).copied() else { return Settled::Refused };
        let is_delete = matches!(settlement, Settlement::Delete(_));
        let confirmed = |confirmed: bool| if confirmed { Settled::Confirmed } else { Settled::Refused };
        let Some(message) = state.messages.get_mut(&number) else { return confirmed(is_delete) };
        let is_latest = message.receipt.as_ref() == Some(&settlement.handle().receipt);
        let in_flight = message.visible_at > now;
        match settlement {
            Settlement::Delete(_) if is_latest && (in_flight || !self.settings.fifo) => {
                state.messages.remove(&number);
                Settled::Confirmed
            }
            Settlement::Delete(_) => confirmed(!self.settings.fifo),
            Settlement::Return(_) if is_latest && in_flight => {
                message.visible_at = now;
                Settled::Confirmed
            }
            Settlement::Return(_) => Settled::Refused,
        }
    }
}

impl FakeQueue {
    /// Only the latest receipt of a message in flight has a lease.
    fn extend_one(&self, extension: &Extension) -> Extended {
        let now = self.clock.now();
        let state = &mut *lock(&self.state);
        if let Some(left) = state.extend_failures.checked_sub(1) {
            state.extend_failures = left;
            return Extended::Failed;
        }
        let Extension { handle, by } = extension;
        let Some(number) = state.receipts.get(&handle.receipt).copied() else { return Extended::Refused };
        let Some(message) = state.messages.get_mut(&number) else { return Extended::Refused };
        if message.receipt.as_ref() != Some(&handle.receipt) || message.visible_at <= now {
            return Extended::Refused;
        }
        let by = Duration::from_secs(by.as_millis().div_ceil(1_000).try_into().unwrap());
        message.visible_at = now + by;
        state.extensions += 1;
        Extended::Until(now + lease(by))
    }
}

impl Source for FakeQueue {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        let queue = Shard { id: ShardId::new("queue"), parents: Vec::new(), open: true };
        Box::pin(std::future::ready(Ok(vec![queue])))
    }

    fn open(&self, _: &ShardId, _: &Checkpoint) -> Box<dyn Receiver> {
        Box::new(QueueReceiver { queue: self.clone() })
    }

    fn receive_max(&self) -> usize {
        RECEIVE_MAX
    }

    fn poll_time(&self) -> Duration {
        self.settings.wait
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        Box::pin(async move {
            let settled = settlements.iter().map(|settlement| self.settle_one(settlement)).collect();
            self.changed.notify_waiters();
            let delay = lock(&self.state).settle_delay;
            tokio::time::sleep(delay).await;
            settled
        })
    }

    fn extend(&self, extensions: Vec<Extension>) -> BoxFuture<'_, Vec<Extended>> {
        let extended = extensions.iter().map(|extension| self.extend_one(extension)).collect();
        Box::pin(std::future::ready(extended))
    }
}

struct QueueReceiver {
    queue: FakeQueue,
}

impl Receiver for QueueReceiver {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        Box::pin(self.queue.receive(max))
    }
}

/// The real adapter's margin.
fn lease(visibility: Duration) -> Duration {
    visibility.saturating_sub((visibility / 10).min(Duration::from_secs(2)))
}

const RECEIVE_MAX: usize = 10;
