//! What an SQS error means: one place that knows the codes.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::aws::cause;
use crate::source::SourceError;

/// Whether the server is known to have brought messages or refused. An answer that makes no sense is a lost one, and
/// so is a 5xx: what failed may stand between us and a server that took messages.
pub(super) fn is_answered<T, E>(answer: &Result<T, SdkError<E>>) -> bool {
    match answer {
        Ok(_) => true,
        Err(SdkError::ServiceError(refused)) => refused.raw().status().is_client_error(),
        Err(_) => false,
    }
}

pub(super) fn source_error<E>(error: SdkError<E>) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    match code.trim_start_matches(QUERY_CODE_PREFIX) {
        "QueueDoesNotExist" | "NonExistentQueue" => SourceError::Missing(cause(error)),
        code if is_throttle(code) || status == 429 => SourceError::Throttled(cause(error)),
        "AccessDenied"
        | "AccessDeniedException"
        | "KmsAccessDenied"
        | "KMS.AccessDeniedException"
        | "InvalidSecurity" => SourceError::Denied(cause(error)),
        _ if matches!(status, 401 | 403) => SourceError::Denied(cause(error)),
        _ => SourceError::Transient(cause(error)),
    }
}

pub(super) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "RequestThrottled"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "OverLimit"
            | "KmsThrottled"
            | "KMS.ThrottlingException"
    )
}

/// Stands before a code where the server speaks the older protocol's names.
pub(super) const QUERY_CODE_PREFIX: &str = "AWS.SimpleQueueService.";
