//! Where records come from. A [`Source`] lists its shards and settles queue messages; a [`Receiver`] reads one shard.
//! Receivers render what they read, so nothing behind them knows a wire format.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::checkpoint::Checkpoint;
use crate::core::record::{Received, ShardId};

/// A shard as its source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// The shards it came from: none, one (split) or two (merge). They may no longer be listed.
    pub parents: Vec<ShardId>,
    /// Whether it still takes records.
    pub open: bool,
}

/// What a queue is to be told about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Delete it: it is done.
    Delete {
        /// Its `MessageId`.
        id: Arc<str>,
        /// The receipt handle of its latest receive.
        handle: Arc<str>,
    },
    /// Make it visible to others at once: it was never invoked.
    Return {
        /// Its `MessageId`.
        id: Arc<str>,
        /// The receipt handle of its latest receive.
        handle: Arc<str>,
    },
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

/// Why a source did not do what it was asked. Each variant is something else to do for the caller.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Too many calls: wait and ask again.
    #[error("throttled by the source")]
    Throttled(#[source] BoxError),
    /// The caller may not do this: wait long, say so, ask again.
    #[error("access to the source denied")]
    Denied(#[source] BoxError),
    /// The queue, stream or shard is not there: look at the listing, wait, ask again.
    #[error("the source does not exist")]
    Missing(#[source] BoxError),
    /// Anything that may pass by itself: wait and ask again.
    #[error("the source failed")]
    Transient(#[source] BoxError),
}

/// An SDK's error with its type removed: only its text is of interest above this layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A queue or stream.
pub trait Source: Send + Sync {
    /// Lists every shard, open or closed, that the source still knows. All pages or an error, never a part.
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>>;

    /// Opens a reader of one shard that begins after the checkpoint. Does no I/O; errors show in `receive`.
    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver>;

    /// Tells a queue what became of messages: one answer per settlement, in the same order. Streams have nothing to
    /// tell and answer `Confirmed`.
    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>>;
}

/// Reads one shard in order.
pub trait Receiver: Send {
    /// Reads the next records, at most `max` (never 0) of them.
    ///
    /// Returns at once when records are there, else within the source's own poll time, which keeps the source's read
    /// limits. After an error the position is unchanged, so calling again is always safe; an iterator that expired is
    /// replaced here and shows as nothing but an empty answer or a `Transient` error. Dropping the future of a
    /// stream's receive loses nothing; that of a queue leaves what it received to its visibility timeout.
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>>;
}

/// How long a caller waits before it asks a source again.
#[must_use]
pub fn retry_delay(error: &SourceError, failures_in_a_row: u32) -> Duration {
    let (first, longest) = match error {
        SourceError::Throttled(_) | SourceError::Transient(_) => (200, 10_000),
        SourceError::Denied(_) | SourceError::Missing(_) => (1_000, 30_000),
    };
    let doubled = 1_u64.checked_shl(failures_in_a_row.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_millis(doubled.saturating_mul(first).min(longest))
}
