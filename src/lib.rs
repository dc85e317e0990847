//! esmd reads records from queues and streams, hands them in batches to a function that answers synchronously, and
//! settles each record by the answer: AWS Lambda's event source mapping as a daemon that people own. One sentence
//! decides everything else:
//!
//! > **A lane takes the oldest records whose keys no other lane holds, and keeps them until each one is settled.**
//!
//! | source | key | lanes | settled by |
//! |---|---|---|---|
//! | SQS standard | none | `MaximumConcurrency` | delete, or left to its visibility timeout |
//! | SQS FIFO | message group | `MaximumConcurrency` | delete, or left to its visibility timeout |
//! | Kinesis | partition key | `ParallelizationFactor` (per shard) | checkpoint |
//! | `DynamoDB` Streams | an item's keys | `ParallelizationFactor` (per shard) | checkpoint |
//!
//! ```text
//! receive → render → Backlog → Lane → target.invoke → Outcome → decide → Settlement, Checkpoint
//!                                ↑                                │
//!                                └────────── retry, same lane ────┘
//! ```
//!
//! Data moves left to right; the only way back is a batch to its own lane. [`mod@core`] is a pure machine (no I/O, no
//! clock, no randomness); [`engine`] is the thin shell of tokio tasks around it; everything else is an adapter.
//! Start reading at [`core::consumer`], then `engine/consumer_task.rs`, which drives it. `docs/architecture.md`
//! numbers the invariants, `docs/semantics.md` the rules of AWS that they serve.

pub mod core;
pub mod event;
pub mod filter;
pub mod mapping;

#[cfg(feature = "daemon")]
pub mod access;
#[cfg(feature = "daemon")]
pub mod api;
#[cfg(feature = "daemon")]
pub mod aws;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "engine")]
pub mod connect;
#[cfg(feature = "daemon")]
pub mod control;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "engine")]
pub mod destination;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "daemon")]
pub mod followed;
#[cfg(feature = "daemon")]
pub mod listener;
#[cfg(feature = "engine")]
mod log_limit;
#[cfg(feature = "daemon")]
pub mod online;
#[cfg(feature = "engine")]
pub mod source;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "engine")]
pub mod target;
#[cfg(feature = "engine")]
pub mod telemetry;
#[cfg(feature = "daemon")]
pub mod verify;
