//! What happened in a run, for people: the world's events and the daemon's own log in one order. Errors are always kept,
//! everything else only if the run is to be read: the same seed tells it again.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::time::Time;

#[derive(Clone)]
pub struct Trace {
    time: Time,
    is_kept: bool,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    text: String,
    errors: Vec<String>,
}

impl Trace {
    pub fn new(time: Time, is_kept: bool) -> Self {
        Self { time, is_kept, told: Arc::default() }
    }

    pub fn say(&self, line: impl FnOnce() -> String) {
        if self.is_kept {
            let passed = self.time.passed().as_millis();
            let (hours, minutes) = (passed / 3_600_000, passed / 60_000 % 60);
            let (seconds, millis) = (passed / 1_000 % 60, passed % 1_000);
            let line = line();
            writeln!(self.told().text, "{hours:02}:{minutes:02}:{seconds:02}.{millis:03}  {line}").unwrap();
        }
    }

    /// Everything that was said.
    pub fn text(&self) -> String {
        self.told().text.clone()
    }

    /// What the daemon logged as errors.
    pub fn errors(&self) -> Vec<String> {
        self.told().errors.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the daemon's log into the trace.
impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Trace {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let least = if self.is_kept { Level::DEBUG } else { Level::ERROR };
        *metadata.level() <= least && metadata.target().starts_with("esmd")
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        if level == Level::ERROR {
            self.told().errors.push(fields.0.clone());
        }
        self.say(|| {
            let mut line = format!("  esmd {level}");
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(of_span) = span.extensions().get::<Fields>().filter(|_| span.name() == "consumer") {
                    line.push_str(&of_span.0);
                }
            }
            line + &fields.0
        });
    }
}

/// Fields as text, each with a space before it.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            // A task's number counts all tasks of the process, those of other runs too.
            "error" if format!("{value:?}").starts_with("task ") => write!(self.0, " error=a task panicked"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.unwrap();
    }
}
