//! What the errors of streams mean, Kinesis and `DynamoDB` alike (`docs/semantics.md` 6.2). Invariant: a code that is not
//! known here is [`SourceError::Transient`], so nothing is given up over it.

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use super::{BoxError, SourceError};
use crate::aws::cause;

/// What a failed call means. Streams answer 400 to nearly everything, so the code counts.
pub(super) fn source_error<E>(error: SdkError<E>) -> SourceError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let variant: fn(BoxError) -> SourceError = match error.code().unwrap_or_default() {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "KMSThrottlingException" => SourceError::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "OptInRequired"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "KMSOptInRequired" => SourceError::Denied,
        "ResourceNotFoundException" => SourceError::Missing,
        _ => SourceError::Transient,
    };
    variant(cause(error))
}
