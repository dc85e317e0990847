//! Health, readiness and metrics.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::core::record::ShardId;
use crate::engine::Board;
use crate::store::observed::ObservedStore;

/// What the answers are made from. Cloning shares it.
#[derive(Clone)]
pub struct Vitals {
    /// The metrics' recorder.
    pub metrics: PrometheusHandle,
    /// The state store.
    pub store: ObservedStore,
    /// What runs, and what stalls.
    pub board: Board,
    /// Cancelled when the process is asked to stop.
    pub shutdown: CancellationToken,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn vitals_router(vitals: Vitals) -> Router {
    health_router(vitals.clone()).merge(metrics_router(vitals))
}

/// `/healthz`, `/livez` and `/readyz`: what an orchestrator asks, who knows no secret.
pub(super) fn health_router(vitals: Vitals) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Arc::new(vitals))
}

/// `/metrics`.
pub(super) fn metrics_router(vitals: Vitals) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(vitals))
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 if every check holds, else 503. `?verbose` names them all; a failing check is always named.
async fn readyz(State(vitals): State<Arc<Vitals>>, RawQuery(query): RawQuery) -> Response {
    let stalled = vitals.board.stalled();
    let checks = [
        ("state-store", vitals.store.is_available(), "takes no writes".to_owned()),
        ("stalled", stalled.is_empty(), names(&stalled)),
        ("running", !vitals.shutdown.is_cancelled(), "draining".to_owned()),
    ];
    let ready = checks.iter().all(|(_, holds, _)| *holds);
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part == "verbose=true"));
    let mut text = String::new();
    for (name, holds, failure) in checks {
        match holds {
            true if verbose => _ = writeln!(text, "[+]{name} ok"),
            true => {}
            false => _ = writeln!(text, "[-]{name} failed: {failure}"),
        }
    }
    text.push_str(if ready { "ok\n" } else { "not ready\n" });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

/// The mapping and the shard of each, as far as a line has room.
fn names(stalled: &[(Uuid, ShardId)]) -> String {
    let named = stalled.iter().take(NAMES_MAX).map(|(mapping, shard)| format!("{mapping} {shard}"));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if stalled.len() > NAMES_MAX {
        _ = write!(text, " and {} more", stalled.len() - NAMES_MAX);
    }
    text
}

/// Prometheus text.
async fn metrics(State(vitals): State<Arc<Vitals>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, vitals.metrics.render()).into_response()
}

/// Shards that a failing check names.
const NAMES_MAX: usize = 10;
