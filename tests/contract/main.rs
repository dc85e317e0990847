//! One suite per trait, run on every implementation: the fakes are honest because they pass what the real ones pass.

#![allow(clippy::unwrap_used)] // tests may

#[path = "../support/fakes/mod.rs"]
mod fakes;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/memory_store.rs"]
mod memory_store;
#[path = "../support/table.rs"]
mod table;

mod destination;
mod dynamodb;
mod fan_out;
mod kinesis;
mod lambda;
mod payloads;
mod sqs;
mod store;
mod stream;
