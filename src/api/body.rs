//! Reads the bodies of requests: whole, within bounds of size and time, and as JSON objects of the shape that a route
//! asks for.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;

/// Reads the body before a route is asked, so that none waits for a caller.
pub(super) async fn read_first(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match read(body).await {
        Ok(body) => next.run(Request::from_parts(parts, body.into())).await,
        Err(refused) => refused.into_response(),
    }
}

/// The whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(READ_TIMEOUT, to_bytes(body, BYTES_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            Err(ApiError::too_large(format!("the request body broke off, or is larger than {BYTES_MAX} bytes")))
        }
        Err(_) => Err(ApiError::invalid_content("the request body did not come in time")),
    }
}

/// The body as an object.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
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

const BYTES_MAX: usize = 2 * 1024 * 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(30);
