//! The routes of mappings, in two dialects: Lambda's, where esmd's own members are refused, and esmd's, where they
//! stand beside AWS's. Both read and answer the same document (`docs/semantics.md` 1).

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tracing::warn;
use uuid::Uuid;

use super::body;
use super::error::ApiError;
use crate::control::{Control, MappingView};
use crate::core::record::ShardId;
use crate::mapping::arn::FunctionName;
use crate::mapping::configuration::{
    EventSourceMappingConfiguration, Facts, HeldBackShard, OwnFacts, WaitingShard, mapping_arn,
};
use crate::mapping::document::{FIELDS, Field, MappingDocument};
use crate::mapping::validate::refuse_broken_constraints;

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Mappings {
    pub(super) control: Control,
    pub(super) region: String,
    pub(super) dialect: Dialect,
}

/// Whose document is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// AWS's members alone.
    Lambda,
    /// AWS's members and ours.
    Esmd,
}

type Answer = Result<Response, ApiError>;

/// An error is a path that is no UTF-8.
type UuidInPath = Result<Path<String>, PathRejection>;

/// A page of `ListEventSourceMappings`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    event_source_mappings: Vec<EventSourceMappingConfiguration>,
    next_marker: Option<String>,
}

/// The routes under `path`, with and without a slash at the end: SDKs differ.
pub(super) fn router(path: &str, mappings: Mappings) -> Router {
    let all = get(list).post(create);
    let one = get(read).put(update).delete(delete);
    Router::new()
        .route(path, all.clone())
        .route(&format!("{path}/"), all)
        .route(&format!("{path}/{{uuid}}"), one.clone())
        .route(&format!("{path}/{{uuid}}/"), one)
        .with_state(mappings)
}

async fn create(State(mappings): State<Mappings>, body: Bytes) -> Answer {
    let document = mappings.document(&body)?;
    let made = mappings.control.create(document).await.map_err(|refused| ApiError::of(refused, "create"))?;
    Ok(mappings.answer(StatusCode::ACCEPTED, made))
}

async fn read(State(mappings): State<Mappings>, uuid: UuidInPath) -> Answer {
    let found = mappings.control.get(parse(uuid)?).ok_or_else(ApiError::missing)?;
    Ok(mappings.answer(StatusCode::OK, found))
}

async fn update(State(mappings): State<Mappings>, uuid: UuidInPath, body: Bytes) -> Answer {
    let change = mappings.document(&body)?;
    refuse_broken_constraints(&change).map_err(|broken| ApiError::invalid(&broken))?;
    let uuid = parse(uuid)?;
    let changed = mappings.control.update(uuid, change).await.map_err(|refused| ApiError::of(refused, "update"))?;
    Ok(mappings.answer(StatusCode::ACCEPTED, changed))
}

async fn delete(State(mappings): State<Mappings>, uuid: UuidInPath) -> Answer {
    let deleted = mappings.control.delete(parse(uuid)?).await.map_err(|refused| ApiError::of(refused, "delete"))?;
    Ok(mappings.answer(StatusCode::ACCEPTED, deleted))
}

/// `docs/semantics.md` 1.10
async fn list(State(mappings): State<Mappings>, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    let given = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let size = page_size(given("MaxItems").map(String::as_str))?;
    let function = given("FunctionName").map(|name| {
        name.parse::<FunctionName>().map_err(|error| ApiError::constraint(name, "functionName", &error.to_string()))
    });
    let function = function.transpose()?;
    let after = match given("Marker").map(|marker| marker.parse::<Uuid>()) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => return Ok(success(StatusCode::OK, &Page { event_source_mappings: vec![], next_marker: None })),
    };
    let mut matching = mappings.control.list().into_iter().filter(|view| {
        let is_after = after.is_none_or(|after| view.uuid > after);
        let has_source = given("EventSourceArn").is_none_or(|arn| view.mapping.source_arn().as_str() == arn);
        is_after && has_source && function.as_ref().is_none_or(|function| mappings.invokes(view, function))
    });
    let shown: Vec<MappingView> = matching.by_ref().take(size).collect();
    let next_marker = matching.next().and(shown.last()).map(|last| last.uuid.to_string());
    let event_source_mappings = shown.into_iter().map(|view| mappings.configuration(view).as_listed()).collect();
    Ok(success(StatusCode::OK, &Page { event_source_mappings, next_marker }))
}

impl Mappings {
    fn answer(&self, status: StatusCode, view: MappingView) -> Response {
        success(status, &self.configuration(view))
    }

    fn configuration(&self, view: MappingView) -> EventSourceMappingConfiguration {
        let facts = Facts {
            uuid: view.uuid.to_string(),
            region: self.region.clone(),
            state: view.state,
            last_modified: view.last_modified.to_utc().unwrap_or(jiff::Timestamp::MAX),
            last_processing_result: self.control.last_processing_result(view.uuid),
        };
        let answer = EventSourceMappingConfiguration::new(&view.document, &view.mapping, facts);
        match self.dialect {
            Dialect::Lambda => answer,
            Dialect::Esmd => {
                let name = |shard: &ShardId| shard.as_str().to_owned();
                let names = |shards: &BTreeSet<ShardId>| shards.iter().map(name).collect();
                let waits = self.control.waits(view.uuid);
                let held_back = self.control.held_back(view.uuid);
                let facts = OwnFacts {
                    declared_in: view.declared_in.map(|file| file.display().to_string()),
                    waits: waits.iter().map(|(shard, reason)| WaitingShard { shard: name(shard), reason }).collect(),
                    stalled: self.control.stalled_shards(view.uuid).iter().map(name).collect(),
                    held_back: held_back
                        .iter()
                        .map(|(shard, others)| HeldBackShard { shard: name(shard), waits_for: names(others) })
                        .collect(),
                };
                answer.with_own_members(&view.document, facts)
            }
        }
    }

    /// The mapping's own ARN.
    pub(super) fn arn(&self, view: &MappingView) -> String {
        mapping_arn(&self.function_arn(view, &view.mapping.function), &view.uuid.to_string())
    }

    /// Whether the mapping invokes this function, with just this qualifier or none.
    fn invokes(&self, view: &MappingView, function: &FunctionName) -> bool {
        self.function_arn(view, &view.mapping.function) == self.function_arn(view, function)
    }

    /// The full ARN of a function, completed from a mapping's source.
    fn function_arn(&self, view: &MappingView, function: &FunctionName) -> String {
        let source = view.mapping.source_arn();
        function.arn(source.partition(), &self.region, source.account())
    }

    /// Reads a body. Members that nobody knows are skipped, as AWS skips them, but not in silence.
    fn document(&self, body: &Bytes) -> Result<MappingDocument, ApiError> {
        let members = body::object(body)?;
        let is_known = |name: &str| FIELDS.iter().any(|field| field.name == name);
        let unknown: Vec<_> = members.keys().filter(|name| !is_known(name) && name.as_str() != "UUID").collect();
        if !unknown.is_empty() {
            warn!(members = ?unknown, "a request has members that esmd does not know: they are skipped");
        }
        let is_misshapen =
            |field: &&Field| members.get(field.name).is_some_and(|value| field.shape.has_list_for_object(value));
        if let Some(Field { name, .. }) = FIELDS.iter().find(is_misshapen) {
            return Err(ApiError::invalid_content(format!("{name}: a list stands where an object belongs")));
        }
        let document: MappingDocument = body::shaped(members)?;
        if self.dialect == Dialect::Lambda && document.esmd.is_some() {
            return Err(ApiError::invalid_parameter(
                "Esmd is no member of Lambda's API: send the document to /esmd/v1/mappings",
            ));
        }
        Ok(document)
    }
}

/// A UUID that is none names nothing.
fn parse(uuid: UuidInPath) -> Result<Uuid, ApiError> {
    let Ok(Path(text)) = uuid else { return Err(ApiError::missing()) };
    let found = text.parse().ok().filter(|found: &Uuid| found.to_string().eq_ignore_ascii_case(&text));
    found.ok_or_else(ApiError::missing) // forms that AWS does not know, such as one in braces, are none
}

/// AWS's pages hold at most 100, whatever is asked.
fn page_size(given: Option<&str>) -> Result<usize, ApiError> {
    let Some(text) = given else { return Ok(PAGE_MAX) };
    let refused = |rule| Err(ApiError::constraint(text, "maxItems", rule));
    match text.parse::<i64>() {
        Ok(number) if number > 10_000 => refused("Member must have value less than or equal to 10000"),
        Ok(number) => match usize::try_from(number) {
            Ok(number) if number > 0 => Ok(number.min(PAGE_MAX)),
            _ => refused("Member must have value greater than or equal to 1"),
        },
        Err(_) => refused("Member must be an integer"),
    }
}

fn success(status: StatusCode, body: &impl Serialize) -> Response {
    (status, Json(body)).into_response()
}

const PAGE_MAX: usize = 100;
