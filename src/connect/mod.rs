//! From a mapping to its source, target and destination. Knows which adapters exist only in `aws`.

#[cfg(feature = "daemon")]
mod aws;
#[cfg(feature = "daemon")]
mod premises;

use std::sync::Arc;

use futures_util::future::BoxFuture;

#[cfg(feature = "daemon")]
pub use self::aws::AwsConnector;
use crate::destination::Destination;
use crate::mapping::EventSourceMapping;
use crate::source::{Source, SourceError};
use crate::target::{Function, Target};

/// Makes sources, targets and destinations.
pub trait Connector: Send + Sync {
    /// The target of a mapping. Does no I/O.
    fn target(&self, mapping: &EventSourceMapping) -> Arc<dyn Target>;

    /// The source of a mapping, once its function is known.
    fn source<'a>(
        &'a self,
        mapping: &'a EventSourceMapping,
        function: &'a Function,
    ) -> BoxFuture<'a, Result<Arc<dyn Source>, SourceError>>;

    /// The destination of a mapping's discarded batches, if it has one. Does no I/O.
    fn destination(&self, mapping: &EventSourceMapping) -> Option<Arc<dyn Destination>>;
}

/// The full ARN of a mapping's function. What its name leaves out is the source's account and the configured region
/// (`docs/semantics.md` 1.4).
#[must_use]
pub fn function_arn(mapping: &EventSourceMapping, region: &str) -> String {
    let source = mapping.source_arn();
    mapping.function.arn(source.partition(), region, source.account())
}
