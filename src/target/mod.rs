//! Where batches go. A [`Target`] answers synchronously; `event::response` says what its reply means.

#[cfg(feature = "daemon")]
pub mod lambda;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::core::Timestamp;
use crate::event::response::Reply;

/// What a mapping needs to know of its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The full ARN, with exactly the qualifier that the mapping gives (`docs/semantics.md` 1.4).
    pub arn: String,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// The function's execution role: `invokeIdentityArn` in stream events.
    pub role_arn: String,
}

/// Why a function's configuration is not known.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The function or its qualifier does not exist.
    #[error("the function does not exist")]
    Missing,
    /// Anything that may pass by itself.
    #[error("the function's configuration could not be read")]
    Transient(#[source] crate::source::BoxError),
}

/// Takes payloads and answers.
pub trait Target: Send + Sync {
    /// The function's configuration, at most 60 s old.
    fn describe(&self) -> BoxFuture<'_, Result<Function, DescribeError>>;

    /// Invokes with one payload and waits for the answer. Never fails: whatever happened is the reply. If it cannot
    /// begin before `start_before`, it does not begin.
    fn invoke(&self, payload: Bytes, start_before: Option<Timestamp>) -> BoxFuture<'_, Reply>;
}
