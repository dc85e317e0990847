//! Lets those in who may call, before any route is asked. Knows which routes take what; `access` judges it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body;
use super::error::ApiError;
use super::is_lambda;
use crate::access::{Accepted, Access, Denied};

/// Answers a caller who may not call. The others' requests go on with their bodies read.
pub(super) async fn admit(State(access): State<Access>, request: Request, next: Next) -> Response {
    match judge(&access, request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

async fn judge(access: &Access, request: Request) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let accepted = if is_lambda(parts.uri.path()) { Accepted::Signature } else { Accepted::SignatureOrToken };
    let pending = access.begin(&parts, accepted)?;
    let body = body::read(body).await?;
    pending.finish(&parts, &body)?;
    Ok(Request::from_parts(parts, body.into()))
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::denied(&denied)
    }
}
