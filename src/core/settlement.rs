//! What a queue is told about its messages, and what it answers. A stream's records are settled by its checkpoint.

use std::sync::Arc;
use std::time::Duration;

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

/// A lease that is to be longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The message. The lease ends at its `ends_at` unless the queue confirms.
    pub handle: Handle,
    /// How long the lease is to last from now on; a source may round it up to a second.
    pub by: Duration,
}

/// What became of one [`Extension`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The queue confirmed: the lease ends then, already shortened by the source's safety margin.
    Until(Timestamp),
    /// The queue refused it for good: the message is no longer ours, or has been for as long as it may be.
    Refused,
    /// It may succeed if tried again.
    Failed,
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
