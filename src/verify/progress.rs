//! What a run says while it goes on, on standard error: one line that changes on a terminal, a line for each step
//! elsewhere. Never on standard output, which holds the verdict alone.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// Where progress is told.
pub struct Progress {
    is_terminal: bool,
    /// What the changing line begins with.
    step: Mutex<String>,
}

impl Progress {
    /// Looks at what standard error is.
    #[must_use]
    pub fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), step: Mutex::default() }
    }

    /// Something that stays to be read.
    pub fn say(&self, text: &str) {
        self.clear();
        write(&format!("{text}\n"));
    }

    /// A new step begins.
    pub fn step(&self, text: &str) {
        self.clear();
        if !self.is_terminal {
            write(&format!("{text}\n"));
        }
        text.clone_into(&mut self.step.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How far the step is; on a terminal alone.
    pub fn show(&self, figures: &str) {
        if self.is_terminal {
            let step = self.step.lock().unwrap_or_else(PoisonError::into_inner).clone();
            write(&format!("\r\x1b[K{step}: {figures}"));
        }
    }

    /// Takes the changing line away.
    pub fn clear(&self) {
        if self.is_terminal {
            write("\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // A run goes on without anybody to tell.
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}
