//! Reads the bodies of requests: JSON objects, of the shape that a route asks for.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;

/// The body as an object.
pub(super) fn object(body: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, ApiError> {
    let body = body.map_err(|refused| ApiError::too_large(refused.body_text()))?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ApiError::invalid_content("the request body must be a JSON object")),
        Err(error) => Err(ApiError::invalid_content(format!("Could not parse request body into json: {error}"))),
    }
}

/// What an object says. The error names the member that does not fit.
pub(super) fn shaped<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(Value::Object(members))
        .map_err(|error| ApiError::invalid_content(format!("{}: {}", error.path(), error.inner())))
}
