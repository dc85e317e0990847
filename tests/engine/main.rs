//! The real engine and core on fakes and tokio's paused clock: minutes of a daemon's life in milliseconds, the same
//! every time.

#![allow(clippy::unwrap_used)] // tests

#[path = "../support/controlled.rs"]
mod controlled;
#[path = "../support/fakes/mod.rs"]
mod fakes;
#[path = "../support/memory_store.rs"]
mod memory_store;

mod control;
mod control_faults;
mod crash;
mod determinism;
mod drain;
mod fan_out;
mod heartbeat;
mod mappings;
mod queues;
mod reload;
mod reshard;
mod retries;
mod scaling;
mod streams;
mod trouble;
mod watchdog;
mod windows;
mod world;
