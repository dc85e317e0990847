//! [`Consumer`], the state machine of one leased shard or one queue: records in, actions out. The only file that knows
//! all parts; `attempt.rs` holds what follows from an invocation, `queue.rs` what only queues need.
//!
//! Each `handle_*` takes something that happened. After each, empty [`Consumer::poll_action`], then read
//! [`Consumer::poll_timeout`] and call [`Consumer::handle_timeout`] when it is due (a spurious call is harmless).
//! The other methods only look.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Timestamp;
use super::action::{Action, Wakeup};
use super::backlog::{Backlog, CutLimits};
use super::batch::{Batch, BatchId, Entry, Order};
use super::batching_window::BatchingWindow;
use super::checkpoint::Checkpoint;
use super::lane::{Lane, Next, Work};
use super::record::{Origin, Received, Record};
use super::scaling::Scaling;
use super::settings::{Kind, Settings};
use super::settlement::Settlement;
use super::visibility::Visibility;
use super::watermark::{Arrival, Watermark};
use super::window::{WindowBounds, WindowCall, Windows};

/// The state machine of one leased shard or one queue.
#[derive(Debug)]
pub struct Consumer {
    pub(super) settings: Settings,
    pub(super) backlog: Backlog,
    /// Those in use, and idle ones between them. Others are made when a batch is cut.
    pub(super) lanes: Vec<Lane>,
    /// How many lanes a queue has now; `None`: as many as its settings say.
    pub(super) scaling: Option<Scaling>,
    pub(super) progress: Progress,
    pub(super) actions: VecDeque<Action>,
    window: BatchingWindow,
    pub(super) windows: Windows,
    next_order: Order,
    next_batch: BatchId,
    pub(super) ended: bool,
    pub(super) draining: bool,
    /// The oldest of a stream's records that a drain gave back: they stay unsettled, though no longer held.
    pub(super) given_back: Option<Arc<Entry>>,
    /// Messages let go so far.
    pub(super) let_go: u64,
}

/// What is unsettled, and what settles it.
#[derive(Debug)]
pub(super) enum Progress {
    Queue(Visibility),
    Stream(Watermark),
}

/// What happened.
impl Consumer {
    /// Begins after the checkpoint; a queue has none to speak of.
    #[must_use]
    pub fn new(settings: Settings, mut checkpoint: Checkpoint) -> Self {
        assert!(settings.lanes > 0 && settings.batch_size > 0, "a consumer has a lane and its batches a record");
        let first = Order(0);
        let windows = Windows::new(settings.tumbling_window, checkpoint.window.take());
        Self {
            settings,
            backlog: Backlog::default(),
            lanes: Vec::new(),
            scaling: settings.queue.scaling.map(|scaling| Scaling::new(scaling, settings.lanes)),
            progress: match settings.kind {
                Kind::Queue => Progress::Queue(Visibility::new(settings.queue.extends_visibility)),
                Kind::Stream => Progress::Stream(Watermark::new(checkpoint, first)),
            },
            actions: VecDeque::new(),
            window: BatchingWindow::new(settings.window),
            windows,
            next_order: first,
            next_batch: BatchId(0),
            ended: false,
            draining: false,
            given_back: None,
            let_go: 0,
        }
    }

    /// Records came in, or none. While draining, a queue's go back at once and a stream's are read again later.
    pub fn handle_received(&mut self, now: Timestamp, received: Received) {
        if let Progress::Stream(watermark) = &mut self.progress {
            if self.draining {
                return;
            }
            if let (Some(_), Some(Origin::Position(oldest))) =
                (received.reset, received.records.first().map(|r| &r.origin))
            {
                watermark.restart(oldest);
            }
            if received.at_tip {
                self.windows.reach_tip(received.asked_at);
            }
        }
        if received.records.is_empty() {
            self.backlog.shrink(); // of thousands of shards most are idle
        }
        self.scale_by_receive(now, &received);
        let keys_matter = !self.draining && !self.goes_in_order_anyway();
        for (place, record) in received.records.into_iter().enumerate() {
            let is_filtered = received.filtered.binary_search(&place).is_ok();
            let has_key = keys_matter && !is_filtered;
            self.take_in(now, if has_key { record } else { record.without_key() }, is_filtered);
        }
        debug_assert!(
            self.unsettled() <= self.capacity_when_empty(),
            "more came than there was room for (invariant 4)"
        );
        self.ended |= received.ended;
        self.advance(now);
    }

    /// The queue was told. `confirmed` is false if it refused, or if the lease ended before it took it.
    pub fn handle_settled(&mut self, now: Timestamp, settlement: &Settlement, confirmed: bool) {
        self.on_settled(settlement, confirmed);
        self.advance(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// Start nothing more. Hands back all that is not running: unstarted messages to their queue; a stream's records
    /// are read again after the checkpoint. Running invocations still settle.
    pub fn drain(&mut self, now: Timestamp) {
        self.let_go_expired(now);
        self.draining = true;
        let mut unstarted = self.backlog.remove_all();
        for lane in &mut self.lanes {
            if lane.due_at().is_some() {
                unstarted.extend(lane.take().iter().flat_map(Work::entries).cloned());
            }
        }
        self.hand_back(now, &unstarted);
        self.advance(now);
    }
}

/// What to do next.
impl Consumer {
    /// The next action, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The checkpoint, if it moved since it was asked for last. Ask only when a write can start: it coalesces.
    pub fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        let Progress::Stream(watermark) = &mut self.progress else { return None };
        let moved = watermark.take_changed() | self.windows.take_changed();
        if moved { self.checkpoint() } else { None }
    }

    /// Whether [`Consumer::poll_checkpoint`] would give one.
    #[must_use]
    pub fn checkpoint_moved(&self) -> bool {
        match &self.progress {
            Progress::Stream(watermark) => watermark.is_changed() || self.windows.is_changed(),
            Progress::Queue(_) => false,
        }
    }

    /// When to call [`Consumer::handle_timeout`], and why. Always later than the last `now` (invariant 6).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, Wakeup)> {
        let backoff = self.lanes.iter().filter_map(Lane::due_at).min();
        let window = self.window.ends_at().filter(|_| self.gathers());
        let (lease_end, heartbeat) = match &self.progress {
            Progress::Queue(visibility) => (visibility.next_end(), visibility.next_extension()),
            Progress::Stream(_) => (None, None),
        };
        let lane = self.next_lane_at();
        [
            (backoff, Wakeup::Backoff),
            (window, Wakeup::Window),
            (lease_end, Wakeup::LeaseEnd),
            (heartbeat, Wakeup::Heartbeat),
            (lane, Wakeup::Scaling),
        ]
        .into_iter()
        .filter_map(|(at, wakeup)| Some((at?, wakeup)))
        .min()
    }
}

impl Consumer {
    fn take_in(&mut self, now: Timestamp, record: Record, is_filtered: bool) {
        let order = self.next_order;
        match (&mut self.progress, &record.origin) {
            (Progress::Stream(watermark), Origin::Position(position)) => {
                let arrival = watermark.judge(position);
                if arrival == Arrival::Repeated {
                    return;
                }
                self.next_order = order.next();
                watermark.receive(order, position);
                self.windows.receive(record.arrived_at);
                if arrival == Arrival::Settled || is_filtered {
                    return watermark.settle(order, position);
                }
                let entry = self.backlog.enter(order, record);
                self.backlog.push(entry);
            }
            (Progress::Queue(visibility), Origin::Message { id, receipt }) => {
                if visibility.renew(now, id, receipt) {
                    return;
                }
                self.next_order = order.next();
                let entry = self.backlog.enter(order, record);
                visibility.hold(now, &entry);
                if self.draining {
                    return self.hand_back(now, &[entry]);
                }
                if is_filtered {
                    return self.settle_filtered(&entry);
                }
                self.backlog.push(entry);
            }
            _ => unreachable!("a queue gives messages, a stream positions"),
        }
    }

    /// A stream's only lane takes its records one after the other, whatever their keys.
    fn goes_in_order_anyway(&self) -> bool {
        self.settings.kind == Kind::Stream && self.settings.lanes == 1
    }

    /// Does everything that is possible or due now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.scale_by_time(now);
        self.let_go_expired(now);
        self.extend_due(now);
        if !self.draining {
            self.retry_due(now);
            self.cut_due(now);
        }
        self.forget_idle_lanes();
        let idle = self.lanes.is_empty();
        if let Progress::Stream(watermark) = &mut self.progress
            && self.ended
            && idle
            && watermark.open() == 0
            && self.windows.open().is_none()
        {
            watermark.end();
        }
        assert!(
            self.poll_timeout().is_none_or(|(at, _)| at > now),
            "the next timeout lies in the future or there is none (invariant 6)"
        );
    }

    fn retry_due(&mut self, now: Timestamp) {
        for index in 0..self.lanes.len() {
            if self.lanes[index].due_at().is_some_and(|due_at| due_at <= now) {
                let Lane::BackingOff { work, next, .. } = std::mem::take(&mut self.lanes[index]) else {
                    unreachable!("only a lane that backs off is due")
                };
                match next {
                    Next::Invoke => self.go_on(now, index, work),
                    Next::Discard(reason) => self.discard(index, work, reason),
                }
            }
        }
    }

    fn cut_due(&mut self, now: Timestamp) {
        self.update_window(now);
        while self.idle_lanes() > 0 {
            if let Some(call) = self.due_final_call() {
                if self.busy_lanes() == 0 {
                    let (lane, batch) = (self.find_idle_lane(), Batch::final_call(self.name_batch(), call));
                    self.go_on(now, lane, Work::new(batch));
                }
                break;
            }
            let window = self.next_window();
            let limits = self.cut_limits(window);
            if !self.is_cut_due(limits, window) {
                break;
            }
            let index = self.find_idle_lane();
            let entries = self.backlog.cut(limits);
            let mut batch = Batch::new(self.name_batch(), entries);
            batch.window = window.map(|bounds| self.windows.call(bounds));
            self.go_on(now, index, Work::new(batch));
            self.window.on_cut();
            self.update_window(now);
        }
    }

    /// With one lane the window begins when its invocation is over; with several, others may still run
    /// (`docs/semantics.md` 6.5).
    fn update_window(&mut self, now: Timestamp) {
        if self.settings.lanes > 1 || self.idle_lanes() > 0 {
            self.window.update(now, self.backlog.free_keys() > 0, self.next_order);
        }
    }

    /// A stream that cannot be read further has to invoke what it has.
    fn is_full(&self) -> bool {
        self.settings.kind == Kind::Stream && self.capacity() == 0
    }

    /// Waiting keys are spread over a stream's idle lanes; one lane with all of them would leave the others idle
    /// (`docs/semantics.md` 6.4). A queue's lanes fill one after the other.
    fn cut_limits(&self, window: Option<WindowBounds>) -> CutLimits {
        let keys = match self.settings.kind {
            Kind::Queue => usize::MAX,
            Kind::Stream => self.backlog.free_keys().div_ceil(self.idle_lanes()),
        };
        let bytes = self.windows.room(self.settings.batch_bytes);
        CutLimits { records: self.settings.batch_size, bytes, keys, before: window.map(|bounds| bounds.end) }
    }

    /// The tumbling window of the oldest record that a lane could take.
    fn next_window(&self) -> Option<WindowBounds> {
        self.windows.of_next(self.backlog.oldest_free()?.record.arrived_at)
    }

    /// The final call that has to be settled before a lane takes more records.
    fn due_final_call(&self) -> Option<WindowCall> {
        let next = self.backlog.oldest_free().map(|entry| entry.record.arrived_at);
        self.windows.due_final_call(next, self.ended)
    }

    fn is_cut_due(&self, limits: CutLimits, window: Option<WindowBounds>) -> bool {
        self.backlog.free_keys() > 0
            && (self.window.is_zero()
                || self.ended
                || window.is_some_and(|bounds| self.windows.is_over(bounds))
                || self.window.is_due(self.backlog.oldest_free().map(|entry| entry.order))
                || self.backlog.would_fill(limits)
                || self.is_full())
    }

    pub(super) fn name_batch(&mut self) -> BatchId {
        let id = self.next_batch;
        self.next_batch = BatchId(id.0 + 1);
        id
    }

    /// One record of this key is no longer held by a lane.
    pub(super) fn release(&mut self, entry: &Entry) {
        self.backlog.release(entry);
    }

    /// Whether only its batching window keeps a batch from being cut.
    pub(super) fn gathers(&self) -> bool {
        self.window.ends_at().is_some() && !self.draining && self.idle_lanes() > 0 && self.due_final_call().is_none()
    }

    /// Lanes that may take a batch now.
    pub(super) fn idle_lanes(&self) -> usize {
        self.lanes_now().saturating_sub(self.busy_lanes())
    }
}
