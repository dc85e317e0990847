//! Errors as Lambda's API tells them: a status, the name in the header `x-amzn-errortype`, and a body whose member for
//! the message depends on the error (`docs/semantics.md` 1.2).

use axum::Json;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::access::Denied;
use crate::control::{ControlError, MappingView};
use crate::mapping::SourceSettings;
use crate::mapping::validate::{ValidationError, ValidationErrors, Wording};
use crate::telemetry::chain;

/// An error's answer.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    InvalidParameterValue,
    Validation,
    InvalidRequestContent,
    RequestTooLarge,
    AccessDenied,
    MissingAuthenticationToken,
    IncompleteSignature,
    InvalidSignature,
    UnrecognizedClient,
    ResourceInUse,
    ResourceNotFound,
    ResourceConflict,
    NotImplemented,
    Service,
    Unavailable,
}

/// The name of a body's member that holds the message.
#[derive(Clone, Copy)]
enum Member {
    Lower,
    Upper,
}

impl ApiError {
    pub(super) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameterValue, message)
    }

    /// A body that is no JSON, or whose members have other shapes.
    pub(super) fn invalid_content(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidRequestContent, message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(Kind::RequestTooLarge, message)
    }

    pub(super) fn access_denied(message: impl Into<String>) -> Self {
        Self::new(Kind::AccessDenied, message)
    }

    /// A caller who did not show who it is.
    pub(super) fn denied(denied: &Denied) -> Self {
        let kind = match denied {
            Denied::Missing => Kind::MissingAuthenticationToken,
            Denied::Incomplete(_) | Denied::Presigned => Kind::IncompleteSignature,
            Denied::Unknown | Denied::UnexpectedSession | Denied::MissingSession => Kind::UnrecognizedClient,
            Denied::Signature(_) => Kind::InvalidSignature,
            Denied::Token => Kind::AccessDenied,
        };
        Self::new(kind, denied.to_string())
    }

    pub(super) fn missing() -> Self {
        Self::not_found("The resource you requested does not exist.")
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::ResourceNotFound, message)
    }

    pub(super) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(Kind::NotImplemented, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the controller refused. `verb` is what was to be done: `update` or `delete`.
    pub(super) fn of(refused: ControlError, verb: &str) -> Self {
        match refused {
            ControlError::Missing { .. } => Self::missing(),
            ControlError::Occupied { other } => Self::new(Kind::ResourceConflict, occupied(&other)),
            ControlError::InUse { .. } => {
                let message = format!("Cannot {verb} the event source mapping because it is in use.");
                Self::new(Kind::ResourceInUse, message)
            }
            ControlError::Invalid(errors) => Self::invalid(&errors),
            ControlError::Unmet(unmet) => Self::invalid_parameter(unmet.to_string()),
            declared @ ControlError::Declared { .. } => Self::new(Kind::ResourceConflict, declared.to_string()),
            ControlError::Store(_) => Self::new(Kind::Service, chain(&refused)),
            ControlError::Stopping => Self::new(Kind::Unavailable, refused.to_string()),
        }
    }

    /// Constraints of the API's model come first and all at once; of the rest AWS tells the first.
    pub(super) fn invalid(errors: &ValidationErrors) -> Self {
        let is_constraint = |error: &&ValidationError| error.wording == Wording::Constraint;
        let constraints: Vec<String> = errors.as_slice().iter().filter(is_constraint).map(constraint).collect();
        if let Some(message) = constraint_message(&constraints) {
            return Self::new(Kind::Validation, message);
        }
        let first = errors.as_slice().first().expect("at least one error was found");
        Self::invalid_parameter(match first.wording {
            Wording::Own => first.to_string(),
            Wording::LoneConstraint => format!("1 validation error detected: {}.", constraint(first)),
            Wording::Constraint | Wording::Sentence => first.rule.clone(),
        })
    }

    /// A parameter outside the document that must be given.
    pub(super) fn null(member: &str) -> Self {
        let told = [format!("Value null at '{member}' failed to satisfy constraint: Member must not be null")];
        Self::new(Kind::Validation, constraint_message(&told).unwrap_or_default())
    }

    /// One parameter outside the document that breaks a constraint of the API's model.
    pub(super) fn constraint(value: &str, member: &str, rule: &str) -> Self {
        let told = [format!("Value '{value}' at '{member}' failed to satisfy constraint: {rule}")];
        Self::new(Kind::Validation, constraint_message(&told).unwrap_or_default())
    }
}

/// `1 validation error detected: …` (`docs/semantics.md` 1.7).
fn constraint_message(constraints: &[String]) -> Option<String> {
    match constraints {
        [] => None,
        [one] => Some(format!("1 validation error detected: {one}")),
        several => Some(format!("{} validation errors detected: {}", several.len(), several.join("; "))),
    }
}

fn constraint(error: &ValidationError) -> String {
    let ValidationError { field, value, rule, .. } = error;
    let member: Vec<String> = field.split('.').map(lower_camel).collect();
    let member = member.join(".");
    match serde_json::from_str(value).unwrap_or(Value::Null) {
        Value::Null => format!("Value null at '{member}' failed to satisfy constraint: {rule}"),
        value => format!("Value '{}' at '{member}' failed to satisfy constraint: {rule}", shown(&value)),
    }
}

/// A value without quotes, as AWS shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// AWS's sentences, spaces and quotes included (`docs/semantics.md` 1.6).
fn occupied(other: &MappingView) -> String {
    let (source, function, uuid) = (other.mapping.source_arn(), other.mapping.function.name(), other.uuid);
    match other.mapping.source {
        SourceSettings::Queue(_) => format!(
            "An event source mapping with SQS arn (\" {source} \") and function (\" {function} \") already exists. \
             Please update or delete the existing mapping with UUID {uuid}"
        ),
        SourceSettings::Stream(_) => format!(
            "The event source arn (\" {source} \") and function (\" {function} \") provided mapping already exists. \
             Please update or delete the existing mapping with UUID {uuid}"
        ),
    }
}

impl Kind {
    fn describe(self) -> (StatusCode, &'static str, Option<&'static str>, Member) {
        use Member::{Lower, Upper};
        let user = Some("User");
        match self {
            Self::InvalidParameterValue => (StatusCode::BAD_REQUEST, "InvalidParameterValueException", user, Lower),
            Self::Validation => (StatusCode::BAD_REQUEST, "ValidationException", None, Lower),
            Self::InvalidRequestContent => (StatusCode::BAD_REQUEST, "InvalidRequestContentException", user, Lower),
            Self::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", user, Lower),
            Self::AccessDenied => (StatusCode::FORBIDDEN, "AccessDeniedException", None, Upper),
            Self::MissingAuthenticationToken => {
                (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException", None, Lower)
            }
            Self::IncompleteSignature => (StatusCode::FORBIDDEN, "IncompleteSignatureException", None, Lower),
            Self::InvalidSignature => (StatusCode::FORBIDDEN, "InvalidSignatureException", None, Lower),
            Self::UnrecognizedClient => (StatusCode::FORBIDDEN, "UnrecognizedClientException", None, Lower),
            Self::ResourceInUse => (StatusCode::BAD_REQUEST, "ResourceInUseException", user, Upper),
            Self::ResourceNotFound => (StatusCode::NOT_FOUND, "ResourceNotFoundException", user, Upper),
            Self::ResourceConflict => (StatusCode::CONFLICT, "ResourceConflictException", user, Lower),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, "NotImplementedException", user, Upper),
            Self::Service => (StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", Some("Service"), Upper),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceException", Some("Service"), Upper),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, name, origin, member) = self.kind.describe();
        let member = match member {
            Member::Lower => "message",
            Member::Upper => "Message",
        };
        let mut body = json!({ member: self.message });
        if let Some(origin) = origin {
            body["Type"] = origin.into();
        }
        (status, [(ERROR_TYPE, name)], Json(body)).into_response()
    }
}

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
