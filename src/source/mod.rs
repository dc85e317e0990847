//! Where records come from. A [`Source`] lists its shards and settles queue messages; a [`Receiver`] reads one shard.
//! Receivers render what they read, so nothing behind them knows a wire format.

#[cfg(feature = "daemon")]
pub mod dynamodb;
pub mod fan_out;
#[cfg(feature = "daemon")]
pub mod kinesis;
#[cfg(feature = "daemon")]
mod limits;
#[cfg(feature = "daemon")]
mod polling;
mod reset;
#[cfg(all(test, feature = "daemon"))]
mod script;
#[cfg(feature = "daemon")]
pub mod sqs;
pub mod stream_errors;
#[cfg(feature = "daemon")]
pub mod stream_facts;
mod tip;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::doubling;
use crate::core::checkpoint::Checkpoint;
use crate::core::record::{Received, ShardId};
use crate::core::settlement::{Extended, Extension, Settled, Settlement};
use crate::core::shards::Shard;

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

impl SourceError {
    /// The value of the label `reason` in metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Throttled(_) => "throttled",
            Self::Denied(_) => "denied",
            Self::Missing(_) => "missing",
            Self::Transient(_) => "transient",
        }
    }

    /// How long to wait before asking again, after this many failures in a row.
    #[must_use]
    pub fn retry_delay(&self, in_a_row: u32) -> Duration {
        let (first, longest) = match self {
            Self::Throttled(_) | Self::Transient(_) => (Duration::from_millis(200), Duration::from_secs(10)),
            Self::Denied(_) | Self::Missing(_) => (Duration::from_secs(1), Duration::from_secs(30)),
        };
        doubling(first, longest, in_a_row)
    }
}

/// An SDK's error with its type removed: only its text is of interest above this layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A queue or stream.
pub trait Source: Send + Sync {
    /// Lists every shard, open or closed, that the source still knows. All pages or an error, never a part.
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>>;

    /// How long the source keeps records; `None` if it does not say. A queue drops messages by itself, held or not.
    fn retention(&self) -> BoxFuture<'_, Result<Option<Duration>, SourceError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Opens a reader of one shard that begins after the checkpoint. Does no I/O; errors show in `receive`.
    fn open(&self, shard: &ShardId, from: &Checkpoint) -> Box<dyn Receiver>;

    /// Most records that one receive brings, where that is fewer than a caller may want.
    fn receive_max(&self) -> usize {
        usize::MAX
    }

    /// How long a receive may take that finds nothing.
    fn poll_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Tells a queue what became of messages: one answer per settlement, in the same order. Streams have nothing to
    /// tell and answer `Confirmed`.
    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>>;

    /// Asks a queue for longer leases, once: one answer per extension, in the same order. Streams have no leases.
    fn extend(&self, extensions: Vec<Extension>) -> BoxFuture<'_, Vec<Extended>> {
        Box::pin(std::future::ready(vec![Extended::Refused; extensions.len()]))
    }
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
