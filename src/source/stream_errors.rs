//! What the errors of streams mean, Kinesis and `DynamoDB` alike (`docs/semantics.md` 6.2). Invariant: a code that is not
//! known here is [`SourceError::Transient`], so nothing is given up over it.

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use super::{BoxError, SourceError};
use crate::aws::cause;

/// A failed call, and what a reader of iterators must know of it beyond the error.
#[derive(Debug)]
pub(super) struct Failure {
    code: Option<String>,
    pub error: SourceError,
}

impl Failure {
    /// Whether the source refuses the iterator that was read. One whose next record was trimmed counts: another at the
    /// same position tells whether that is gone as well.
    pub fn refuses_iterator(&self) -> bool {
        matches!(self.code(), EXPIRED | INVALID_ARGUMENT | VALIDATION | TRIMMED)
    }

    /// Whether what the source says of a new iterator can mean that it does not know the record that was named. There
    /// are servers that call such a record a missing resource.
    pub fn may_refuse_position(&self) -> bool {
        matches!(self.code(), INVALID_ARGUMENT | VALIDATION | TRIMMED | NOT_FOUND)
    }

    /// Whether the next record is past its retention.
    pub fn is_trimmed(&self) -> bool {
        self.code() == TRIMMED
    }

    fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }
}

impl<E> From<SdkError<E>> for Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        Self { code: error.code().map(str::to_owned), error: source_error(error) }
    }
}

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
        NOT_FOUND => SourceError::Missing,
        _ => SourceError::Transient,
    };
    variant(cause(error))
}

/// How Kinesis refuses an argument whose form is right: an iterator, a record's number, a moment.
pub(super) const INVALID_ARGUMENT: &str = "InvalidArgumentException";

const EXPIRED: &str = "ExpiredIteratorException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const TRIMMED: &str = "TrimmedDataAccessException";
const VALIDATION: &str = "ValidationException";
