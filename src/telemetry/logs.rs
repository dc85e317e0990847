//! Logs: where they go, how they look, and how an error reads in them.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Sends logs to standard error: text for people, or one JSON object a line. `level` is esmd's own; of the libraries
/// only warnings are of interest.
pub fn install_logs(format: LogFormat, level: Level) {
    let terminal = std::io::stderr().is_terminal();
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("esmd", level);
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Human => registry.with(logs.with_ansi(terminal)).init(),
        LogFormat::Auto if terminal => registry.with(logs.with_ansi(true)).init(),
        LogFormat::Json | LogFormat::Auto => {
            registry.with(logs.json().flatten_event(true).with_current_span(false)).init();
        }
    }
}

/// An error with its causes, on one line: what an SDK error has to say stands in its causes.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
