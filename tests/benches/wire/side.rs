//! One side at work: a server, and esmd or the bare loop as its only client. Dropping it ends both processes.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::bare_loop::Work;
use crate::support::daemon::{Daemon, Installation};
use crate::support::{http, ports};
use crate::wire::{Load, Stats};
use crate::{BARE_LOOP, SERVE, process};

/// What both sides are given to do.
#[derive(Clone)]
pub struct Setup {
    pub load: Load,
    /// For esmd.
    pub mappings: Vec<Value>,
    /// For the bare loop.
    pub work: Work,
}

impl Setup {
    /// The worker threads of both: esmd's default, but where one thread cannot make as many reads a second as there are
    /// shards.
    fn threads(&self) -> usize {
        if self.load.shards > 5_000 { 2 } else { 1 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Esmd,
    BareLoop,
}

pub struct Side {
    client: Client, // ends first, or it would complain of the server's end
    server: Child,
    address: SocketAddr,
    /// When the client's process was started, since the epoch.
    started_at: Duration,
}

enum Client {
    Esmd(Daemon),
    BareLoop(Child),
}

/// How a side stood at a moment.
pub struct Snapshot {
    pub at: Instant,
    pub cpu: Duration,
    pub server_cpu: Duration,
    pub stats: Stats,
}

impl Side {
    pub async fn start(kind: Kind, setup: &Setup) -> Self {
        let address = ports::free();
        let server = this_program().arg(SERVE).arg(json(&address)).arg(json(&setup.load)).spawn();
        let server = server.expect("this program starts again");
        while http::get(address, "/wait?0").await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let endpoint = format!("http://{address}");
        let installation = Installation::new().with_variable("AWS_ENDPOINT_URL", &endpoint);
        let installation = installation.with_mappings(&setup.mappings);
        let installation = installation.with_variable("ESMD_WORKER_THREADS", &setup.threads().to_string());
        let installation = PATIENCE.iter().fold(installation, |made, (name, value)| made.with_variable(name, value));
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        let client = match kind {
            Kind::Esmd => Client::Esmd(installation.spawn()),
            Kind::BareLoop => {
                let mut program = this_program();
                let program = program.arg(BARE_LOOP).arg(json(&setup.work)).arg(json(&setup.threads()));
                let program = program.env_clear().envs(CREDENTIALS);
                Client::BareLoop(program.env("AWS_ENDPOINT_URL", endpoint).spawn().expect("this program starts again"))
            }
        };
        Self { client, server, address, started_at }
    }

    /// How it stands once so many records were invoked and answered.
    pub async fn after(&self, records: u64) -> Snapshot {
        let path = format!("/wait?{records}");
        let answer = tokio::time::timeout(LONGEST, http::get(self.address, &path)).await;
        let Ok(Ok(page)) = answer else {
            let printed = if let Client::Esmd(daemon) = &self.client { daemon.printed() } else { String::new() };
            panic!("{records} records were not invoked within {LONGEST:?}: {answer:?}\n{printed}");
        };
        let stats = serde_json::from_str(&page.body).expect("the server tells its numbers");
        Snapshot { at: Instant::now(), cpu: process::cpu(self.pid()), server_cpu: self.server_cpu(), stats }
    }

    /// How it stands now.
    pub async fn now(&self) -> Snapshot {
        self.after(0).await
    }

    /// Waits until a call was made so often.
    pub async fn calls(&self, name: &str, count: u64) {
        while self.now().await.stats.calls.get(name).is_none_or(|calls| *calls < count) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// From the start of the client's process to its first invocation's arrival.
    pub async fn start_to_first_arrival(&self) -> Duration {
        let first = self.after(1).await.stats.first_arrival;
        Duration::from_nanos(first).saturating_sub(self.started_at)
    }

    pub fn peak_memory(&self) -> f64 {
        process::peak_memory(self.pid())
    }

    pub fn memory(&self) -> f64 {
        process::memory(self.pid())
    }

    fn pid(&self) -> u32 {
        match &self.client {
            Client::Esmd(daemon) => daemon.pid(),
            Client::BareLoop(child) => child.id().expect("it runs until this is dropped"),
        }
    }

    fn server_cpu(&self) -> Duration {
        process::cpu(self.server.id().expect("it runs until this is dropped"))
    }
}

fn this_program() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data")
}

/// esmd's defaults, which the tests' installation shortens.
const PATIENCE: [(&str, &str); 2] = [("ESMD_QUEUE_WAIT_TIME", "20s"), ("ESMD_SHARD_POLL_INTERVAL", "1s")];

const CREDENTIALS: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", crate::REGION),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

const LONGEST: Duration = Duration::from_mins(2);
