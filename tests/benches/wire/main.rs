//! `make bench-wire`: the built binary over loopback, beside a bare loop that does the least that a worker can do, both
//! against the server of `tests/support/wire`. In turns in one run; each run has a server, a state directory and a
//! process of its own. `make bench-wire ONLY="queue idle"` runs cases whose names begin so.
//!
//! This program is all three: called without a role it starts itself again as the server and as the bare loop, so that
//! each one's CPU time is that of a process. `docs/performance.md` says what the figures mean.

mod bare_loop;
mod cases;
#[path = "../measure.rs"]
#[allow(dead_code)] // this bench times processes, not closures
mod measure;
mod pair;
mod process;
mod side;
#[path = "../../support/mod.rs"]
mod support;
mod table;
#[path = "../../support/wire/mod.rs"]
mod wire;

use serde::de::DeserializeOwned;
use tokio::runtime::Builder;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    match arguments.peek().map(String::as_str) {
        Some(SERVE) => {
            let mut values = arguments.skip(1);
            let (address, load) = (read(values.next()), read(values.next()));
            let runtime = Builder::new_current_thread().enable_all().build().expect("the runtime starts");
            runtime.block_on(wire::serve(load, address)).expect("the port is free");
        }
        Some(BARE_LOOP) => {
            let mut values = arguments.skip(1);
            let (work, threads) = (read(values.next()), read(values.next()));
            let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
            let runtime = runtime.expect("the runtime starts");
            runtime.block_on(bare_loop::run(work));
        }
        _ => {
            let names: Vec<String> = arguments.collect();
            let runtime = Builder::new_current_thread().enable_all().build().expect("the runtime starts");
            runtime.block_on(cases::run(&names));
        }
    }
}

fn read<T: DeserializeOwned>(argument: Option<String>) -> T {
    serde_json::from_str(&argument.expect("a role has its arguments")).expect("this program wrote it")
}

/// Roles.
const SERVE: &str = "serve";
const BARE_LOOP: &str = "bare-loop";

const REGION: &str = "us-east-1";
const QUEUE_ARN: &str = "arn:aws:sqs:us-east-1:000000000000:load";
const STREAM_ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/load";
