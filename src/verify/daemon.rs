//! The daemon under test: this very program as `esmd run` in a process of its own, with a configuration and a state
//! directory that last as long as the run, so that it can be killed and come back. Dropping it kills it and removes the
//! directory. Knows nothing of what it carries.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::mapping::document::MappingDocument;

/// What a daemon is started with, and the process while it runs.
pub struct Daemon {
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon with one mapping that is not started yet. `environment` is added to the caller's own.
    pub fn new(mapping: &MappingDocument, environment: Vec<(&'static str, String)>) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("esmd-verify-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&directory)?;
        let daemon = Self { directory, environment, child: None };
        let config = json!({ "mappings": [mapping] }); // JSON is a part of YAML
        std::fs::write(daemon.config(), config.to_string())?;
        Ok(daemon)
    }

    /// Starts it, for the first time or again.
    pub fn start(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--config").arg(self.config()).arg("--state-dir").arg(self.directory.join("state"));
        // Any port: nobody asks it for anything. Short waits, so that little of a run is waiting.
        command.args(["--listen", "127.0.0.1:0", "--queue-wait-time", "1s", "--shard-poll-interval", "200ms"]);
        command.args(["--shard-refresh-interval", "1s", "--log-format", "human", "--log-level", "info"]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ESMD_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // A group of its own: a Ctrl-C is for us, who then kill it.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Kills it without a warning, as a crash does.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// How it ended, if it did so by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// The last lines that it printed.
    pub fn last_words(&self) -> String {
        let printed = std::fs::read(self.log()).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<&str> = printed.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    fn config(&self) -> PathBuf {
        self.directory.join("esmd.yaml")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Dead before its directory goes, or it would write there again. A killed process ends within milliseconds.
        if let Some(child) = &mut self.child {
            child.start_kill().ok();
            for _ in 0..END_CHECKS {
                match child.try_wait() {
                    Ok(None) => std::thread::sleep(END_CHECK_INTERVAL),
                    _ => break,
                }
            }
        }
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

const END_CHECKS: usize = 200;
const END_CHECK_INTERVAL: Duration = Duration::from_millis(5);
const LAST_LINES: usize = 20;
