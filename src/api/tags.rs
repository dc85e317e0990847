//! The routes of tags (`docs/semantics.md` 1.11). esmd keeps the tags of mappings alone: a mapping is addressed by its
//! own ARN, and the ARNs of Lambda's other resources are told apart from mistakes.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::body;
use super::error::ApiError;
use super::mappings::Mappings;
use crate::control::{ControlError, MappingView, TagChange};
use crate::mapping::arn::{consists_of, is_account, is_aws_region};

type Answer = Result<Response, ApiError>;

/// An error is a path that is no UTF-8.
type ArnInPath = Result<Path<String>, PathRejection>;

type Keys = Result<Query<Vec<(String, String)>>, QueryRejection>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagResource {
    tags: Option<BTreeMap<String, String>>,
}

/// The route under `path`, with and without a slash at its end.
pub(super) fn router(path: &str, mappings: Mappings) -> Router {
    let tags = get(list).post(tag).delete(untag);
    Router::new()
        .route(&format!("{path}/{{resource}}"), tags.clone())
        .route(&format!("{path}/{{resource}}/"), tags)
        .with_state(mappings)
}

async fn list(State(mappings): State<Mappings>, arn: ArnInPath) -> Answer {
    let found = find(&mappings, &text(arn)?)?;
    Ok(Json(json!({"Tags": found.document.tags.unwrap_or_default()})).into_response())
}

async fn tag(State(mappings): State<Mappings>, arn: ArnInPath, body: Bytes) -> Answer {
    let arn = text(arn)?;
    let TagResource { tags } = body::shaped(body::object(&body)?)?;
    let tags = tags.ok_or_else(|| ApiError::null("tags"))?;
    let found = find(&mappings, &arn)?;
    if tags.is_empty() {
        return Err(ApiError::invalid_parameter("An error occurred and the request cannot be processed."));
    }
    change(&mappings, &arn, found.uuid, TagChange::Set(tags)).await
}

async fn untag(State(mappings): State<Mappings>, arn: ArnInPath, keys: Keys) -> Answer {
    let arn = text(arn)?;
    let Query(query) = keys.map_err(|refused| ApiError::invalid_content(refused.body_text()))?;
    let keys: BTreeSet<String> =
        query.into_iter().filter(|(name, _)| name == "tagKeys").map(|(_, value)| value).collect();
    if keys.is_empty() {
        return Err(ApiError::null("tagKeys"));
    }
    let found = find(&mappings, &arn)?;
    change(&mappings, &arn, found.uuid, TagChange::Remove(keys)).await
}

async fn change(mappings: &Mappings, arn: &str, uuid: Uuid, change: TagChange) -> Answer {
    match mappings.control.change_tags(uuid, change).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(ControlError::Missing { .. }) => Err(missing(arn)),
        Err(refused) => Err(ApiError::of(refused, "tag")),
    }
}

/// The mapping of an ARN. One that esmd gave out finds it also where the region is none of AWS's, which AWS's pattern
/// would not take.
fn find(mappings: &Mappings, arn: &str) -> Result<MappingView, ApiError> {
    let uuid = arn.rsplit(':').next().and_then(|uuid| uuid.parse().ok());
    let found = uuid.and_then(|uuid| mappings.control.get(uuid));
    if let Some(found) = found.filter(|found| mappings.arn(found).eq_ignore_ascii_case(arn)) {
        return Ok(found);
    }
    Err(match Resource::of(arn) {
        Some(Resource::EventSourceMapping) => missing(arn),
        Some(Resource::Other) => {
            ApiError::not_implemented(format!("esmd keeps the tags of event source mappings alone, not of {arn}"))
        }
        None => ApiError::constraint(arn, "resource", RESOURCE_RULE),
    })
}

fn missing(arn: &str) -> ApiError {
    ApiError::not_found(format!("Event source mapping not found: {arn}"))
}

fn text(arn: ArnInPath) -> Result<String, ApiError> {
    let Path(text) = arn.map_err(|_| ApiError::constraint("", "resource", RESOURCE_RULE))?;
    Ok(text)
}

/// What Lambda keeps tags of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    EventSourceMapping,
    Other,
}

impl Resource {
    /// What an ARN points at; none if it breaks [`RESOURCE_RULE`].
    fn of(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        let ["arn", partition, "lambda", region, account, kind, name] = parts.as_slice() else { return None };
        let is_partition =
            partition.strip_prefix("aws").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphabetic() || c == '-'));
        let is_named = match *kind {
            "event-source-mapping" => is_uuid(name),
            "code-signing-config" => name
                .strip_prefix("csc-")
                .is_some_and(|id| id.len() == 17 && consists_of(id, |c| c.is_ascii_lowercase() || c.is_ascii_digit())),
            "function" => match name.split_once(':') {
                Some((name, qualifier)) => is_name(name) && (qualifier == "$LATEST" || is_name(qualifier)),
                None => is_name(name),
            },
            "layer" | "capacity-provider" => is_name(name),
            _ => false,
        };
        let is_resource = is_partition && is_aws_region(region) && is_account(account) && is_named;
        is_resource.then_some(if *kind == "event-source-mapping" { Self::EventSourceMapping } else { Self::Other })
    }
}

fn is_name(text: &str) -> bool {
    consists_of(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

const RESOURCE_RULE: &str = r"Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)";

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 1.11
    #[test]
    fn resources_of_lambda_are_told_apart_and_from_mistakes() {
        let uuid = "6f1c2d34-5e6f-4a7b-8c9d-0E1F2A3B4C5D";
        let code = "code-signing-config:csc-0123456789abcdefg";
        for (arn, expected) in [
            (
                format!("arn:aws:lambda:eu-west-1:111111111111:event-source-mapping:{uuid}"),
                Some(Resource::EventSourceMapping),
            ),
            (format!("arn:aws-us-gov:lambda:us-gov-east-1:111111111111:{code}"), Some(Resource::Other)),
            ("arn:aws:lambda:eu-west-1:111111111111:function:worker:$LATEST".to_owned(), Some(Resource::Other)),
            ("arn:aws:lambda:eu-west-1:111111111111:layer:shared".to_owned(), Some(Resource::Other)),
            (format!("arn:aws:lambda:eu-west-1:111111111111:event-source-mapping:{uuid}:1"), None),
            (format!("arn:aws:lambda:eu-west-1:111:event-source-mapping:{uuid}"), None),
            (format!("arn:aws:lambda:local:111111111111:event-source-mapping:{uuid}"), None),
            (format!("arn:aws:lambda:eu-west-1:111111111111:event-source-mapping:{}", uuid.replace('-', "")), None),
            ("arn:aws:lambda:eu-west-1:111111111111:layer:shared:1".to_owned(), None),
            ("arn:aws:sqs:eu-west-1:111111111111:orders".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(Resource::of(&arn), expected, "{arn}");
        }
    }
}
