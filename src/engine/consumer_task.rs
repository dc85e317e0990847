//! Drives one [`Consumer`]: performs its actions, feeds it what happened, and reports the facts that cross the line
//! (received, invoked, settled, returned, refused, discarded) to metrics and logs. Owns the lease until it is released.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::board::Board;
use super::discarding::{Discarding, Reporting};
use super::extending::Extending;
use super::invoking::{self, Invoked};
use super::pulse::{Pulse, Wait};
use super::receiving::Receiving;
use super::saving::Saving;
use super::settling::{Settling, Told};
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::action::Action;
use crate::core::batch::{Batch, BatchId};
use crate::core::checkpoint::Checkpoint;
use crate::core::consumer::Consumer;
use crate::core::outcome::Outcome;
use crate::core::record::Received;
use crate::core::settings::{Kind, Settings};
use crate::core::settlement::{Extended, Extension, Settlement};
use crate::event::response::Reply;
use crate::event::window::Events;
use crate::filter::RecordFilter;
use crate::log_limit::LogLimit;
use crate::source::{Source, SourceError};
use crate::store::{Lease, StateStore, StoreError};
use crate::target::Target;
use crate::telemetry::chain;
use crate::telemetry::{MappingMetrics, ShardMetrics};

/// What the consumers of one mapping share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) clock: Clock,
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) metrics: MappingMetrics,
    pub(super) board: Board,
    /// Who is told of discarded batches.
    pub(super) reporting: Option<Reporting>,
    /// Whether the function's answer may name the records that failed.
    pub(super) reports_failures: bool,
    pub(super) filter: Option<Arc<RecordFilter>>,
    pub(super) settings: Settings,
    /// `EventSourceArn`, as the mapping gives it.
    pub(super) source_arn: String,
}

/// Why a consumer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// It was asked to. What it had not settled is read again.
    Drained,
    /// Its shard is closed and settled to the end.
    Ended,
    /// Another epoch holds the lease. Nothing was settled since.
    LeaseLost,
}

pub(super) struct ConsumerTask {
    surroundings: Surroundings,
    lease: Lease,
    consumer: Consumer,
    receiving: Receiving,
    settling: Settling,
    extending: Extending,
    saving: Saving,
    discarding: Discarding,
    events: Events,
    running: JoinSet<Invoked>,
    stop: CancellationToken,
    draining: bool,
    /// Reading waits for checkpoints to be written.
    stuck: bool,
    last_progress: Option<Timestamp>,
    let_go: u64,
    reported_at: Option<Timestamp>,
    pulse: Pulse,
    metrics: ShardMetrics,
    receive_log: LogLimit,
    invoke_log: LogLimit,
    settle_log: LogLimit,
    save_log: LogLimit,
}

impl ConsumerTask {
    pub(super) fn new(
        surroundings: Surroundings,
        lease: Lease,
        checkpoint: &Checkpoint,
        stop: CancellationToken,
        pulse: Pulse,
    ) -> Self {
        let Surroundings { clock, source, store, metrics, board, reporting, settings, .. } = &surroundings;
        let events = Events::new(&lease.shard, &surroundings.source_arn);
        let mut settings = Settings { seed: seed_of(settings.seed, &lease), ..*settings };
        if settings.tumbling_window.is_some() {
            settings.batch_bytes -= events.window_bytes();
        }
        Self {
            consumer: Consumer::new(settings, checkpoint.clone()),
            receiving: Receiving::new(
                Arc::clone(source),
                lease.shard.clone(),
                surroundings.opener(&lease.shard, checkpoint),
                &settings,
                settings.seed,
                stop.clone(),
            ),
            settling: Settling::new(Arc::clone(source), clock.clone()),
            extending: Extending::new(Arc::clone(source)),
            saving: Saving::new(Arc::clone(store), lease.clone(), clock.clone()),
            discarding: Discarding::new(
                lease.clone(),
                reporting.clone(),
                clock.clone(),
                board.clone(),
                metrics.clone(),
                settings.seed,
                events.clone(),
            ),
            events,
            running: JoinSet::new(),
            stop,
            draining: false,
            stuck: false,
            last_progress: None,
            let_go: 0,
            reported_at: None,
            pulse,
            metrics: metrics.shard(&lease.shard),
            receive_log: LogLimit::default(),
            invoke_log: LogLimit::default(),
            settle_log: LogLimit::default(),
            save_log: LogLimit::default(),
            surroundings,
            lease,
        }
    }

    /// Runs until its shard ends, it is drained, or its lease is lost.
    pub(super) async fn run(mut self) -> Finish {
        loop {
            self.consumer.handle_timeout(self.now()); // due or not: a busy loop must not starve timers
            self.perform_actions();
            self.saving.start(&mut self.consumer, self.draining);
            self.start_receives();
            self.report();
            if self.consumer.is_drained() && self.receiving.is_idle() && self.settling.is_idle() {
                return self.finish().await;
            }
            let timeout = self.consumer.poll_timeout().map(|(at, _)| at);
            let report = self.now() + REPORT_EVERY;
            let wake = timeout.map_or(report, |at| at.min(report));
            tokio::select! { biased; // local work first, new work last
                () = self.stop.cancelled(), if !self.draining => self.begin_drain(),
                extended = self.extending.next() => self.on_extended(&extended), // asked before anything is told later
                Some(invoked) = self.running.join_next() => self.on_invoked(unwind(invoked)),
                told = self.settling.next() => self.on_told(told),
                (batch, delivered) = self.discarding.next() => {
                    self.on_discarded(batch, delivered);
                }
                saved = self.saving.next() => if self.on_saved(saved).is_break() { return Finish::LeaseLost },
                received = self.receiving.next() => self.on_received(received),
                () = self.surroundings.clock.sleep_until(Some(wake)) => {} // the loop's first lines act
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.surroundings.clock.now()
    }

    fn perform_actions(&mut self) {
        while let Some(action) = self.consumer.poll_action() {
            match action {
                Action::Invoke { batch, start_before } => self.invoke(batch, start_before),
                Action::Settle(settlement) => self.settling.push(settlement),
                Action::Extend(extensions) => self.extending.start(&extensions),
                Action::Discard { batch, reason } => {
                    if self.discarding.start(&batch, reason) {
                        self.on_discarded(batch.id, true);
                    }
                }
            }
        }
        self.settling.start();
    }

    fn invoke(&mut self, batch: Batch, start_before: Option<Timestamp>) {
        debug!(batch = batch.id.number(), records = batch.len(), attempts = batch.attempts, "invoking");
        self.pulse.invoking();
        let Surroundings { target, reports_failures, .. } = &self.surroundings;
        let (target, events) = (Arc::clone(target), self.events.clone());
        self.running.spawn(invoking::invoke(target, events, *reports_failures, batch, start_before));
    }

    /// Starts receives as far as the consumer has room.
    fn start_receives(&mut self) {
        let stuck = self.saving.is_stuck();
        if stuck != std::mem::replace(&mut self.stuck, stuck) {
            if stuck {
                warn!("reading stops: no checkpoint could be written for a minute");
            } else {
                info!("reading goes on: checkpoints are written again");
            }
        }
        if self.draining || stuck {
            return;
        }
        let receive_max = self.surroundings.source.receive_max();
        while self.receiving.running() < self.consumer.receives() {
            let room = self.consumer.capacity().saturating_sub(self.receiving.asked());
            if room == 0 {
                return;
            }
            self.pulse.asking(self.receiving.wait());
            self.receiving.start(self.now(), room.min(receive_max));
        }
    }

    fn begin_drain(&mut self) {
        self.draining = true;
        if self.surroundings.settings.kind == Kind::Stream {
            self.receiving.abandon();
        }
        self.consumer.drain(self.now());
    }

    fn on_invoked(&mut self, invoked: Invoked) {
        let Invoked { batch, payload_bytes, reply, outcome, answer, took } = invoked;
        let now = self.now();
        if reply != Reply::NotStarted {
            self.surroundings.metrics.invoked(&batch, payload_bytes, &outcome, took, now);
            self.surroundings.board.invoked(self.lease.mapping, &outcome);
        }
        let settles = self.pulse.invoked(self.surroundings.settings.kind, &outcome);
        if matches!(outcome, Outcome::Succeeded | Outcome::Partial(_)) {
            self.last_progress = self.last_progress.max(settles.then_some(now));
        } else if let Some(suppressed) = self.invoke_log.permit(now) {
            warn!(
                outcome = outcome.name(),
                reason = outcome.reason(),
                records = batch.len(),
                attempts = batch.attempts + 1,
                answer = %reply.summary(),
                suppressed,
                "invocation did not succeed"
            );
        }
        self.consumer.handle_outcome(now, batch.id, &outcome, answer.map(Arc::new));
    }

    fn on_discarded(&mut self, batch: BatchId, delivered: bool) {
        if delivered {
            self.pulse.settled();
        }
        self.consumer.handle_discarded(self.now(), batch, delivered);
    }

    fn on_told(&mut self, told: Vec<Told>) {
        for Told { settlement, confirmed } in told {
            let metrics = &self.surroundings.metrics;
            match (&settlement, confirmed) {
                (Settlement::Delete(_), true) => metrics.deleted(),
                (Settlement::Return(_), true) => metrics.returned(),
                (_, false) => {
                    metrics.settlement_failed();
                    if let Some(suppressed) = self.settle_log.permit(self.now()) {
                        warn!(
                            suppressed,
                            "a message was not settled, as the queue refused or the lease ended: it will be received again"
                        );
                    }
                }
            }
            self.consumer.handle_settled(self.now(), &settlement, confirmed);
        }
    }

    fn on_extended(&mut self, extended: &[(Extension, Extended)]) {
        for (extension, extended) in extended {
            self.surroundings.metrics.extended(matches!(extended, Extended::Until(_)));
            self.consumer.handle_extended(self.now(), extension, *extended);
        }
    }

    /// Breaks if the lease is lost.
    fn on_saved(&mut self, saved: Option<Result<(), StoreError>>) -> ControlFlow<()> {
        match saved {
            None | Some(Ok(())) => ControlFlow::Continue(()),
            Some(Err(lost @ StoreError::LeaseLost { .. })) => {
                warn!(error = %lost, "stopping: nothing more is settled");
                ControlFlow::Break(())
            }
            Some(Err(failed)) => {
                self.surroundings.metrics.checkpoint_failed();
                if let Some(suppressed) = self.save_log.permit(self.now()) {
                    error!(error = %chain(&failed), suppressed, "checkpoint not written; trying again");
                }
                ControlFlow::Continue(())
            }
        }
    }

    fn on_received(&mut self, received: Option<Result<Received, SourceError>>) {
        let Some(answer) = received else { return };
        let now = self.now();
        let was_failing = self.pulse.answered(&answer);
        match answer {
            Ok(received) => {
                self.surroundings.metrics.received(&received);
                if was_failing {
                    info!("the source answers again");
                    self.set_obstacle(None);
                }
                self.consumer.handle_received(now, received);
            }
            Err(failed) => {
                self.surroundings.metrics.receive_failed(failed.reason());
                self.set_obstacle(Some(chain(&failed)));
                if let Some(suppressed) = self.receive_log.permit(now) {
                    warn!(error = %chain(&failed), suppressed, "receive failed; trying again");
                }
            }
        }
    }

    fn set_obstacle(&self, obstacle: Option<String>) {
        self.surroundings.board.set_shard_obstacle(self.lease.mapping, &self.lease.shard, obstacle);
    }

    fn report(&mut self) {
        let now = self.now();
        if self.reported_at.is_none_or(|reported_at| now.since(reported_at) >= REPORT_EVERY) {
            self.reported_at = Some(now);
            let status = self.consumer.status();
            self.surroundings.metrics.let_go(status.let_go - std::mem::replace(&mut self.let_go, status.let_go));
            let untold = (!self.settling.is_idle()).then_some(Wait::Source);
            let obstacle = self.saving.is_failing().then_some(Wait::Store).or(untold);
            self.pulse.show(&status, obstacle, !self.receiving.is_idle());
            self.metrics.report(now, status, self.pulse.lag(), self.last_progress);
        }
    }

    /// Writes the last checkpoint, then gives the lease back, so that a successor starts at once.
    async fn finish(mut self) -> Finish {
        loop {
            self.report();
            self.saving.start(&mut self.consumer, true);
            if self.saving.is_idle() {
                break;
            }
            let saved = self.saving.next().await;
            if self.on_saved(saved).is_break() {
                return Finish::LeaseLost;
            }
        }
        self.reported_at = None;
        self.report();
        if let Err(failed) = self.surroundings.store.release(self.lease.clone()).await {
            warn!(error = %chain(&failed), "lease not released; it is taken over at the next start");
        }
        if self.draining { Finish::Drained } else { Finish::Ended }
    }
}

/// Consumers that fail together must not try again together.
fn seed_of(seed: u64, lease: &Lease) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, lease.mapping, &lease.shard).hash(&mut hasher);
    hasher.finish()
}

/// A panic in an invocation is the consumer's: both restart together.
fn unwind(joined: Result<Invoked, tokio::task::JoinError>) -> Invoked {
    match joined {
        Ok(invoked) => invoked,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(1);
