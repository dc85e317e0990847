//! What a queue is told about its messages, and what it answers. A stream's records are settled by its checkpoint.

use std::sync::Arc;

use super::Timestamp;

/// One thing to tell a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Delete the message: it is done.
    Delete(Handle),
    /// Make it visible to others at once: it was never invoked.
    Return(Handle),
}

impl Settlement {
    /// The message that it is about.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        match self {
            Self::Delete(handle) | Self::Return(handle) => handle,
        }
    }
}

/// A message under its latest receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The `MessageId`.
    pub id: Arc<str>,
    /// The receipt handle of its latest receive.
    pub receipt: Arc<str>,
    /// When the lease ends. After that, telling the queue anything is no use.
    pub ends_at: Timestamp,
}

/// What became of one [`Settlement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The queue confirmed it.
    Confirmed,
    /// The queue refused it for good, such as a receipt that no longer counts. Trying again does not help.
    Refused,
    /// It may succeed if tried again.
    Failed,
}
