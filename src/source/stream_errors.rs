//! What the errors of streams mean, Kinesis and `DynamoDB` alike (`docs/semantics.md` 6.2). Invariant: a code that is not
//! known here is [`SourceError::Transient`], so nothing is given up over it.

#[cfg(feature = "daemon")]
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use super::{BoxError, SourceError};
#[cfg(feature = "daemon")]
use crate::aws::cause;
use crate::core::record::PositionReset;

/// A failed call, and what a reader of one shard must know of it beyond the error.
#[derive(Debug)]
pub struct Failure {
    code: Option<String>,
    /// What it means to whoever waits for records.
    pub error: SourceError,
}

impl From<SourceError> for Failure {
    /// Nothing but what it means is known.
    fn from(error: SourceError) -> Self {
        Self { code: None, error }
    }
}

impl Failure {
    /// By the code that the source gave, if it gave any.
    pub fn new(code: Option<&str>, cause: impl Into<BoxError>) -> Self {
        Self { code: code.map(str::to_owned), error: meaning(code.unwrap_or_default())(cause.into()) }
    }

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

    /// Why a reader begins anew after such a refusal of its position.
    pub fn reset(&self) -> PositionReset {
        if self.is_trimmed() { PositionReset::Trimmed } else { PositionReset::Unknown }
    }

    /// Whether another subscription to the shard is too young to be replaced.
    pub fn is_in_use(&self) -> bool {
        self.code() == IN_USE
    }

    fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }
}

#[cfg(feature = "daemon")]
impl<E> From<SdkError<E>> for Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        Self { code: error.code().map(str::to_owned), error: source_error(error) }
    }
}

/// What a failed call means.
#[cfg(feature = "daemon")]
pub(super) fn source_error<E>(error: SdkError<E>) -> SourceError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    meaning(error.code().unwrap_or_default())(cause(error))
}

/// Streams answer 400 to nearly everything, so the code counts.
fn meaning(code: &str) -> fn(BoxError) -> SourceError {
    match code {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "KMSThrottlingException"
        | IN_USE => SourceError::Throttled,
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
    }
}

/// How Kinesis refuses an argument whose form is right: an iterator, a record's number, a moment.
pub(super) const INVALID_ARGUMENT: &str = "InvalidArgumentException";

/// How fan-out refuses a second reader of a shard, also one that is not yet ready.
const IN_USE: &str = "ResourceInUseException";
const EXPIRED: &str = "ExpiredIteratorException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const TRIMMED: &str = "TrimmedDataAccessException";
const VALIDATION: &str = "ValidationException";
