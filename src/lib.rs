//! AWS Lambda's event source mapping as a daemon.

pub mod core;
pub mod event;
pub mod mapping;

#[cfg(feature = "daemon")]
pub mod source;
#[cfg(feature = "daemon")]
pub mod store;
#[cfg(feature = "daemon")]
pub mod target;
