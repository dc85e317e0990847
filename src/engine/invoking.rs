//! One invocation from batch to outcome: joins the payload, calls the target, and reads its reply as the batch demands.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::Timestamp;
use crate::core::batch::Batch;
use crate::core::outcome::{Answer, Outcome};
use crate::event::response::Reply;
use crate::event::window::{self, Events};
use crate::target::Target;

/// An invocation's end.
pub(super) struct Invoked {
    pub(super) batch: Batch,
    pub(super) payload_bytes: usize,
    pub(super) reply: Reply,
    pub(super) outcome: Outcome,
    /// What came with the outcome, if it counted as an attempt.
    pub(super) answer: Option<Answer>,
    pub(super) took: Duration,
}

/// Invokes the target once. `reports_failures`: the function's answer may name the records that failed.
pub(super) async fn invoke(
    target: Arc<dyn Target>,
    events: Events,
    reports_failures: bool,
    batch: Batch,
    start_before: Option<Timestamp>,
) -> Invoked {
    let payload = events.payload(&batch);
    let payload_bytes = payload.len();
    let began = Instant::now();
    let reply = target.invoke(payload, start_before).await;
    let took = began.elapsed();
    let records = reports_failures.then(|| batch.records());
    let (outcome, answer) =
        if batch.window.is_some() { window::judge(&reply, records) } else { (reply.outcome(records), reply.answer()) };
    Invoked { batch, payload_bytes, reply, outcome, answer, took }
}
