//! Where discarded batches are reported. A [`Destination`] takes failure records one at a time and says whether it has
//! them; what a batch waits for, and how long, is its caller's to decide. Invariant: `Ok` means that the service has
//! confirmed the record. A destination repeats nothing by itself.

#[cfg(feature = "daemon")]
mod errors;
#[cfg(feature = "daemon")]
pub mod s3;
#[cfg(feature = "daemon")]
pub mod sns;
#[cfg(feature = "daemon")]
pub mod sqs;

use futures_util::future::BoxFuture;

use crate::event::failure::FailureRecord;
use crate::source::BoxError;

/// Takes failure records.
pub trait Destination: Send + Sync {
    /// Hands over one record and waits for the confirmation, 30 s at most per call to the service.
    ///
    /// After an error the same record may be delivered again, as often as wanted: a bucket then still holds one object
    /// for it, a queue or topic may get its message twice. Dropping the future leaves open whether it was delivered.
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>>;
}

/// Why a record was not taken. Either way nothing is lost yet: the caller still has it.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Throttled, failed or out of reach: it may pass by itself. The record may have been taken all the same.
    #[error("the destination could not take the record")]
    Transient(#[source] BoxError),
    /// Denied, missing, or not a destination that can take it: somebody has to change something.
    #[error("the destination refused the record")]
    Refused(#[source] BoxError),
}

impl DeliveryError {
    /// The value of the label `reason` in metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Transient(_) => "transient",
            Self::Refused(_) => "refused",
        }
    }
}
