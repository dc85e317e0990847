//! What tests share: the servers' addresses, clients for them, a function that can be told how to answer, the daemon as
//! a process, and a ledger of what was sent and what arrived.
//!
//! A test target includes it with `#[path = "../support/mod.rs"] mod support;`. It knows nothing of the crate's own
//! types, so that a test sees the daemon as its users do.

// Every target compiles this module anew and uses a part of it; and a failure here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

pub mod aws;
pub mod daemon;
pub mod function;
pub mod http;
pub mod ledger;
pub mod lineage;
pub mod ports;
pub mod servers;
pub mod table;
