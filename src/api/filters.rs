//! `POST /esmd/v1/filters/test`: whether an event's records match filter patterns, and if not, why. The verdict is
//! `crate::filter`'s, which reads the event's text itself, as numbers would lose digits on the way.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::filter::{SourceKind, TestedRecord, test};
use crate::mapping::document::Filter;
use crate::telemetry::chain;

pub(super) fn router() -> Router {
    Router::new().route("/esmd/v1/filters/test", post(answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Question {
    filters: Vec<Filter>,
    event: Box<RawValue>,
    #[serde(default)]
    source: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Sqs,
    Kinesis,
    Dynamodb,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    /// Whether every record does.
    matched: bool,
    records: Vec<AnsweredRecord>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AnsweredRecord {
    matched: bool,
    misses: Vec<Miss>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Miss {
    /// From 1.
    filter: usize,
    why: String,
}

async fn answer(body: Result<Bytes, BytesRejection>) -> Result<Json<Answer>, ApiError> {
    let body = body.map_err(|refused| ApiError::too_large(refused.body_text()))?;
    let Question { filters, event, source } = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid_content(format!("Could not parse request body into json: {error}")))?;
    let patterns: Vec<_> = filters.into_iter().map(|filter| filter.pattern.unwrap_or_default()).collect();
    let tested = test(&patterns, event.get(), source.map(SourceKind::from))
        .map_err(|error| ApiError::invalid_parameter(chain(&error)))?;
    let matched = tested.iter().all(|record| record.matched);
    Ok(Json(Answer { matched, records: tested.into_iter().map(AnsweredRecord::from).collect() }))
}

impl From<Source> for SourceKind {
    fn from(source: Source) -> Self {
        match source {
            Source::Sqs => Self::Sqs,
            Source::Kinesis => Self::Kinesis,
            Source::Dynamodb => Self::Dynamodb,
        }
    }
}

impl From<TestedRecord> for AnsweredRecord {
    fn from(record: TestedRecord) -> Self {
        let misses = record.misses.into_iter().map(|miss| Miss { filter: miss.filter + 1, why: miss.why });
        Self { matched: record.matched, misses: misses.collect() }
    }
}
