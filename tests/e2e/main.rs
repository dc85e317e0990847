//! The built binary, end to end, on the servers that `make test` starts: records reach the function completely and in
//! order, through failures, kills and stops.
//!
//! Tests whose name begins with `load_` are long, and run one at a time (`.config/nextest.toml`).

#![allow(clippy::unwrap_used)] // tests

#[path = "../support/mod.rs"]
mod support;

mod control_api;
mod drain;
mod dynamodb;
mod fan_out;
mod fifo;
mod filters;
mod kinesis;
mod load;
mod mapping_api;
mod outage;
mod partial;
mod poison;
mod reload;
mod reshard;
mod restart;
mod stall;
mod standard;
mod threads;
mod verify;
mod windows;

use std::time::Duration;

use serde_json::{Value, json};

use support::aws::Queue;
use support::daemon::Installation;
use support::function::Function;
use support::servers::Server;

/// A daemon's installation with one mapping from `queue` to `function`; `settings` are further members of the mapping.
fn queue_installation(server: &Server, queue: &Queue, function: &Function, settings: Value) -> Installation {
    let mut mapping = json!({"EventSourceArn": queue.arn, "FunctionName": "worker"});
    if let (Some(mapping), Value::Object(settings)) = (mapping.as_object_mut(), settings) {
        mapping.extend(settings);
    }
    Installation::new().with_sqs(server).with_function(function).with_mappings(&[mapping])
}

/// How long a message that failed stays hidden: short, or a load would mostly wait.
const VISIBILITY: Duration = Duration::from_secs(5);
