//! What a mapping names and others keep: its function and its source. A call that makes or changes a mapping is refused
//! if one of them is known to be missing or unfit; what cannot be found out is left to the engine, which waits and tells
//! (`docs/semantics.md` 1.7). Knows no server.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::mapping::EventSourceMapping;

/// Finds out about functions and sources.
pub trait Premises: Send + Sync {
    /// Whether all that the mapping needs is there, as far as the servers say. Takes some seconds at most.
    fn inspect<'a>(
        &'a self,
        mapping: &'a EventSourceMapping,
        scope: InspectionScope,
    ) -> BoxFuture<'a, Result<(), Unmet>>;
}

/// What is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectionScope {
    /// Function and source, and how they fit together: of a mapping that is to be made.
    All,
    /// The function, and how it fits a source that was found before: of one that is to have another function.
    Function,
}

/// Why a mapping cannot be, in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// There is no such function, or no such version or alias.
    #[error("Function does not exist")]
    NoFunction,
    /// There is no such queue.
    #[error(
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
         Message: The specified queue does not exist."
    )]
    NoQueue,
    /// There is no such stream.
    #[error("Stream not found: {arn}")]
    NoStream {
        /// The stream.
        arn: String,
    },
    /// The queue does not let us ask.
    #[error("The function execution role does not have permissions to call {action} on SQS")]
    QueueDenied {
        /// What was asked.
        action: &'static str,
    },
    /// The stream does not let us ask.
    #[error(
        "Cannot access stream {arn}. Please ensure the role can perform the {actions} Actions on your stream in IAM."
    )]
    StreamDenied {
        /// The stream.
        arn: String,
        /// What reading it takes.
        actions: &'static str,
    },
    /// Messages would come again while the function works on them.
    #[error(
        "Queue visibility timeout: {} seconds is less than Function timeout: {} seconds",
        visibility.as_secs(),
        timeout.as_secs()
    )]
    ShortVisibility {
        /// The queue's.
        visibility: Duration,
        /// The function's.
        timeout: Duration,
    },
}
