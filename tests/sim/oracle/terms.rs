//! What a mapping says of its records, as one connection of the daemon knows it.

use std::time::Duration;

use esmd::core::settings::{RetrySettings, Settings};
use esmd::mapping::on_failure::Undeliverable;
use esmd::mapping::{EventSourceMapping, SourceSettings};

#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub lanes: usize,
    pub batch_size: usize,
    pub retry: RetrySettings,
    pub tumbling_window: Option<Duration>,
    /// Whether the function's answer may name the records that failed.
    pub reports_failures: bool,
    /// What becomes of records whose failure record is not taken; `None` without a destination.
    pub undeliverable: Option<Undeliverable>,
}

impl Terms {
    pub fn of(mapping: &EventSourceMapping, retention: Option<Duration>) -> Self {
        let Settings { lanes, batch_size, retry, tumbling_window, .. } = Settings::of(mapping, 0, retention, 0);
        let undeliverable = match &mapping.source {
            SourceSettings::Queue(_) => None,
            SourceSettings::Stream(stream) => stream.on_failure.as_ref().map(|on_failure| on_failure.undeliverable),
        };
        Self { lanes, batch_size, retry, tumbling_window, reports_failures: mapping.reports_failures, undeliverable }
    }
}
