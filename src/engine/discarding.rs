//! Gives up records of a stream: says so in log and metrics, and to the mapping's destination if it has one. Owns the
//! running deliveries. A failure record is made once and kept until it was taken, so that a repeated delivery is
//! recognisable as such.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{error, warn};
use uuid::{Builder, Uuid};

use super::board::Board;
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::action::DiscardReason;
use crate::core::batch::{Batch, BatchId};
use crate::core::outcome::{Answer, FunctionResponse};
use crate::core::record::{Origin, Record, SequenceNumber};
use crate::destination::{DeliveryError, Destination};
use crate::event::failure::{BatchInfo, Condition, FailureRecord, RecordsInfo, ResponseContext};
use crate::event::window::Events;
use crate::log_limit::LogLimit;
use crate::mapping::StreamKind;
use crate::mapping::on_failure::Undeliverable;
use crate::store::Lease;
use crate::telemetry::{MappingMetrics, chain};

/// Where a mapping's failure records go, and what they tell of the mapping.
#[derive(Clone)]
pub(super) struct Reporting {
    pub(super) destination: Arc<dyn Destination>,
    pub(super) undeliverable: Undeliverable,
    pub(super) destination_type: &'static str,
    pub(super) stream_kind: StreamKind,
    pub(super) stream_arn: String,
    pub(super) function_arn: String,
}

/// What one consumer gives up.
pub(super) struct Discarding {
    lease: Lease,
    reporting: Option<Reporting>,
    clock: Clock,
    board: Board,
    metrics: MappingMetrics,
    /// Makes this process's ids differ from every other's.
    seed: u64,
    events: Events,
    /// Discards that are not confirmed yet.
    pending: BTreeMap<BatchId, Pending>,
    running: JoinSet<(BatchId, Result<(), DeliveryError>)>,
    discard_log: LogLimit,
    delivery_log: LogLimit,
}

struct Pending {
    record: Arc<FailureRecord>,
    reason: DiscardReason,
}

impl Discarding {
    pub(super) fn new(
        lease: Lease,
        reporting: Option<Reporting>,
        clock: Clock,
        board: Board,
        metrics: MappingMetrics,
        seed: u64,
        events: Events,
    ) -> Self {
        Self {
            lease,
            reporting,
            clock,
            board,
            metrics,
            seed,
            events,
            pending: BTreeMap::new(),
            running: JoinSet::new(),
            discard_log: LogLimit::default(),
            delivery_log: LogLimit::default(),
        }
    }

    /// Begins to give up a batch, or tries again. True if that is all: nobody is to be told.
    pub(super) fn start(&mut self, batch: &Batch, reason: DiscardReason) -> bool {
        if !self.pending.contains_key(&batch.id) {
            self.say(batch, reason);
        }
        let Some((reporting, condition)) = self.reporting.as_ref().zip(condition(reason)) else {
            self.metrics.dropped(batch.len() as u64, reason);
            return true;
        };
        let destination = Arc::clone(&reporting.destination);
        let known = self.pending.get(&batch.id).map(|pending| Arc::clone(&pending.record));
        let record = known.unwrap_or_else(|| Arc::new(self.record(reporting, batch, condition)));
        self.pending.insert(batch.id, Pending { record: Arc::clone(&record), reason });
        let id = batch.id;
        self.running.spawn(async move { (id, destination.deliver(&record).await) });
        false
    }

    /// The next batch whose delivery ended, and whether its records may be passed. Pends while none runs.
    pub(super) async fn next(&mut self) -> (BatchId, bool) {
        match self.running.join_next().await {
            Some(Ok((id, delivered))) => (id, self.on_delivered(id, &delivered)),
            Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            None => std::future::pending().await,
        }
    }

    fn on_delivered(&mut self, id: BatchId, delivered: &Result<(), DeliveryError>) -> bool {
        let reporting = self.reporting.as_ref().expect("only with a destination something is delivered");
        let Pending { record, reason } = &self.pending[&id];
        let records = record.batch.records.as_ref().map_or(0, |records| records.size as u64);
        let reason = *reason;
        let Err(failed) = delivered else {
            self.metrics.delivered_to_destination(records, reporting.destination_type);
            self.set_undelivered(None);
            self.pending.remove(&id);
            return true;
        };
        self.metrics.destination_failed(reporting.destination_type);
        let is_dropped = reporting.undeliverable == Undeliverable::Drop;
        if let Some(suppressed) = self.delivery_log.permit(self.clock.now()) {
            let then = if is_dropped { "the records are dropped" } else { "the lane waits and tries again" };
            error!(error = %chain(failed), reason = failed.reason(), records, suppressed, then, "failure record not delivered");
        }
        if is_dropped {
            self.metrics.dropped(records, reason);
            self.pending.remove(&id);
        } else {
            self.set_undelivered(Some(chain(failed)));
        }
        is_dropped
    }

    fn set_undelivered(&self, obstacle: Option<String>) {
        self.board.set_undelivered(self.lease.mapping, &self.lease.shard, obstacle);
    }

    fn say(&mut self, batch: &Batch, reason: DiscardReason) {
        if let Some(suppressed) = self.discard_log.permit(self.clock.now()) {
            let (reason, records, attempts) = (reason.name(), batch.len(), batch.attempts);
            if let Some((first, last)) = ends(batch) {
                let [first, last] = [first, last].map(|record| number(record).as_str());
                warn!(reason, records, attempts, first, last, suppressed, "records given up: nobody processes them");
            } else {
                warn!(reason, attempts, suppressed, "final call of a window given up: nobody processes its state");
            }
        }
    }

    fn record(&self, reporting: &Reporting, batch: &Batch, condition: Condition) -> FailureRecord {
        let now = self.clock.now();
        let answer = batch.last_answer.as_deref();
        let request_id = answer.and_then(|answer| answer.request_id.clone());
        FailureRecord {
            id: self.new_id(batch.id, now, "id"),
            mapping: self.lease.mapping.to_string().into(),
            request_id: request_id.unwrap_or_else(|| self.new_id(batch.id, now, "request")),
            function_arn: reporting.function_arn.clone(),
            condition,
            invoke_count: batch.attempts,
            response: answer.filter(|_| condition == Condition::RetryAttemptsExhausted).and_then(response),
            discarded_at: now,
            batch: BatchInfo {
                kind: reporting.stream_kind,
                shard: self.lease.shard.clone(),
                stream_arn: reporting.stream_arn.clone(),
                records: ends(batch).map(|(first, last)| RecordsInfo {
                    first_sequence_number: number(first).clone(),
                    last_sequence_number: number(last).clone(),
                    first_arrived_at: first.arrived_at,
                    last_arrived_at: last.arrived_at,
                    size: batch.len(),
                }),
            },
            window: batch.window.clone(),
            payload: self.events.payload(batch),
        }
    }

    /// A UUID that no other discard has, and that the same seed gives again.
    fn new_id(&self, batch: BatchId, now: Timestamp, purpose: &str) -> String {
        let part = |half: u8| {
            let mut hasher = DefaultHasher::new();
            (self.seed, self.lease.epoch, batch.number(), now.as_millis(), purpose, half).hash(&mut hasher);
            hasher.finish()
        };
        let random = Uuid::from_u64_pair(part(0), part(1)).into_bytes();
        Builder::from_random_bytes(random).into_uuid().to_string()
    }
}

/// What is told of a discard; `None` if nobody is told.
fn condition(reason: DiscardReason) -> Option<Condition> {
    match reason {
        DiscardReason::RetryAttemptsExhausted => Some(Condition::RetryAttemptsExhausted),
        DiscardReason::RecordAgeExceeded => Some(Condition::RecordAgeExceeded),
        DiscardReason::Expired => None,
    }
}

fn response(answer: &Answer) -> Option<ResponseContext> {
    let FunctionResponse { executed_version, function_error } = answer.response.clone()?;
    let executed_version = executed_version.unwrap_or_else(|| UNNAMED_VERSION.to_owned());
    Some(ResponseContext { executed_version, function_error })
}

/// The first and the last record, if it has any.
fn ends(batch: &Batch) -> Option<(&Record, &Record)> {
    batch.records().next().zip(batch.records().last())
}

fn number(record: &Record) -> &SequenceNumber {
    match &record.origin {
        Origin::Position(position) => &position.sequence_number,
        Origin::Message { .. } => unreachable!("only a stream's records are given up"),
    }
}

/// What a host that does not say which version it ran has run.
const UNNAMED_VERSION: &str = "$LATEST";
