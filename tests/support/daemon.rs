//! The built binary as a process: started on a state directory that outlives it, killed, asked to stop, watched.
//!
//! Its environment holds what is given here and nothing of the caller's, so that a profile or a proxy of the machine
//! cannot change a test.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::function::Function;
use super::servers::Server;
use super::{http, ports};

/// What a daemon is started with, again and again: its directory, configuration and environment. Cloning shares the
/// directory.
#[derive(Clone)]
pub struct Installation {
    directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
}

impl Installation {
    /// An installation without mappings that knows no server.
    pub fn new() -> Self {
        let installation = Self { directory: Arc::new(tempfile::tempdir().unwrap()), environment: Vec::new() };
        installation.write_config(&[]);
        installation
    }

    /// Queues are on this server.
    #[must_use]
    pub fn with_sqs(self, server: &Server) -> Self {
        self.with_variable("AWS_ENDPOINT_URL_SQS", &server.url)
    }

    /// Streams are on this server.
    #[must_use]
    pub fn with_kinesis(self, server: &Server) -> Self {
        self.with_variable("AWS_ENDPOINT_URL_KINESIS", &server.url)
    }

    /// The streams of tables are on this server.
    #[must_use]
    pub fn with_dynamodb_streams(self, server: &Server) -> Self {
        self.with_variable("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &server.url)
    }

    /// Functions are here.
    #[must_use]
    pub fn with_function(self, function: &Function) -> Self {
        self.with_variable("AWS_ENDPOINT_URL_LAMBDA", &function.endpoint())
    }

    /// One more environment variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its mappings, as AWS documents.
    #[must_use]
    pub fn with_mappings(self, mappings: &[Value]) -> Self {
        self.write_config(mappings);
        self
    }

    /// Where it keeps its state.
    pub fn state_directory(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Panics
    /// When it ends before, or is not ready in time; with the end of what it printed.
    pub async fn start(&self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_until_ready().await;
        daemon
    }

    /// Starts the daemon and does not wait.
    pub fn spawn(&self) -> Daemon {
        let listen = ports::free();
        let log = self.directory.path().join(format!("{}.log", listen.port()));
        let output = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_esmd"))
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .arg("--listen")
            .arg(listen.to_string())
            .arg("--state-dir")
            .arg(self.state_directory())
            .env_clear()
            .envs(ENVIRONMENT)
            .env("HOME", self.directory.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .expect("the built binary starts");
        Daemon { child, listen, log, _directory: Arc::clone(&self.directory) }
    }

    /// Puts another configuration file in place of the one there is.
    pub fn rewrite(&self, text: &str) {
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("esmd.yaml")
    }

    fn write_config(&self, mappings: &[Value]) {
        let config = serde_json::json!({ "mappings": mappings }); // JSON is a subset of YAML
        self.rewrite(&serde_json::to_string_pretty(&config).unwrap());
    }
}

/// One running process. Dropping it kills it, and prints the end of its log if the test is failing.
pub struct Daemon {
    child: Child,
    listen: SocketAddr,
    log: PathBuf,
    /// Its state must not go while it runs, though nobody may hold the installation any more.
    _directory: Arc<TempDir>,
}

/// How it ended.
#[derive(Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// How long it took to end since it was asked, or since the wait began.
    pub took: Duration,
}

impl Daemon {
    /// Where its own pages are.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Waits until one of its pages is as it should be.
    pub async fn until(&self, path: &str, is_so: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let page = http::get(self.listen, path).await.expect("the daemon answers").body;
            if is_so(&page) {
                return;
            }
            assert!(began.elapsed() < PAGE_LIMIT, "{path} still says\n{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the first series of a metric has the value that it should have then.
    pub async fn until_counted(&self, metric: &str, value: impl Fn() -> usize) {
        let series = format!("{metric}{{");
        let is_so = |page: &str| {
            let line = page.lines().find(|line| line.starts_with(&series));
            line.is_some_and(|line| line.ends_with(&format!("}} {}", value())))
        };
        self.until("/metrics", is_so).await;
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the daemon runs")
    }

    /// All that it printed so far.
    pub fn printed(&self) -> String {
        read(&self.log)
    }

    /// Kills it without a warning, as `kill -9` does.
    pub async fn kill9(mut self) {
        self.child.kill().await.expect("the daemon was running until now");
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Panics
    /// When it has not ended within a minute, twice the default drain timeout.
    pub async fn terminate(&mut self) -> Exit {
        self.request_stop().await;
        self.wait().await
    }

    /// Sends SIGTERM.
    pub async fn request_stop(&self) {
        self.signal("TERM").await;
    }

    /// Waits until it printed this.
    ///
    /// # Panics
    /// When it has not within half a minute.
    pub async fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + READY_LIMIT;
        while !self.printed().contains(text) {
            assert!(Instant::now() < deadline, "the daemon never printed {text:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        // The shell's own `kill` is everywhere; a signal from Rust would need unsafe code or one more dependency.
        let kill = format!("kill -{name} {}", self.pid());
        let status = Command::new("/bin/sh").args(["-c", &kill]).status().await.unwrap();
        assert!(status.success(), "`{kill}` failed: {status}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended within a minute.
    pub async fn wait(&mut self) -> Exit {
        let began = Instant::now();
        let ended = tokio::time::timeout(STOP_LIMIT, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("the daemon did not end within {STOP_LIMIT:?}")).unwrap();
        Exit { status, took: began.elapsed() }
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended before it was ready: {status}");
            }
            if http::get(self.listen, "/readyz").await.is_ok_and(|page| page.status == 200) {
                return;
            }
            assert!(Instant::now() < deadline, "the daemon was not ready within {READY_LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let printed = read(&self.log);
            let lines: Vec<&str> = printed.lines().collect();
            eprintln!("the daemon's last lines:\n{}", lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"));
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Credentials that test servers take, no file or metadata service of the machine, and short waits, so that a stop is
/// quick.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("ESMD_QUEUE_WAIT_TIME", "1s"),
    ("ESMD_SHARD_POLL_INTERVAL", "200ms"),
    ("ESMD_LOG_FORMAT", "human"),
];
const READY_LIMIT: Duration = Duration::from_secs(30);
const PAGE_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const TAIL_LINES: usize = 40;
