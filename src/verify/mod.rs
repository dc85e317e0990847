//! `esmd verify`: finds out what a real queue, stream or server does with a load of numbered records, and what esmd does
//! with it on top. Two things are judged apart: the server, by raw receivers, and the whole path, by what a recording
//! target sees.
//!
//! ```text
//!            ┌─▶ raw receivers ────────────────▶ judge::queue, judge::stream ─┐
//! load ─▶ source                                                             ├─▶ report
//!            └─▶ esmd run (killed) ─▶ target ──▶ judge::path ─────────────────┘
//! ```
//!
//! | file | part |
//! |---|---|
//! | `load`, `feed` | the records, by the seed; sending them, and resharding on the way |
//! | `stage`, `table` | what is made for a run and removed after it |
//! | `raw` | receivers and readers beside esmd |
//! | `daemon`, `target`, `carry`, `tally` | esmd as a process of its own, its function with trouble, and the wait for the end |
//! | `judge` | pure: histories in, violations out |
//! | `queue_run`, `stream_run` | the order of things for each kind of source |
//! | `report`, `progress` | what is said |
//!
//! Of a queue the server comes first and the path second, since receivers take messages from each other; a stream is read
//! by both at once. Histories are all that passes from the world to the judges.

mod carry;
mod daemon;
mod feed;
mod history;
pub mod judge;
mod load;
pub mod progress;
mod queue_run;
mod random;
mod raw;
pub mod report;
pub mod stage;
mod stream_run;
mod table;
mod tally;
pub mod target;

use std::time::Duration;

use aws_sdk_sqs::error::SdkError;
use serde::Serialize;

use self::judge::Violation;
use self::judge::path::PathFigures;
use self::judge::queue::QueueFigures;
use self::judge::stream::StreamFigures;
use self::progress::Progress;
use self::stage::Stage;
use self::target::Trouble;
use crate::aws::Aws;
use crate::mapping::arn::SourceArn;
use crate::mapping::document::MappingDocument;
use crate::telemetry::chain;

/// What is tested, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kind of source.
    pub source: SourceKind,
    /// Which one.
    pub place: Place,
    /// Where its server is; `None`: where the environment says.
    pub endpoint: Option<String>,
    /// Whether local credentials and a region stand in for those of the environment.
    pub local_credentials: bool,
    /// How many records are sent in each part of a run.
    pub records: usize,
    /// Over how many keys.
    pub keys: usize,
    /// How many raw receivers a queue has.
    pub receivers: usize,
    /// The visibility timeout of raw receives and of queues that are made; whole seconds.
    pub visibility: Duration,
    /// The settings under test. Source, function and starting position are of the run.
    pub mapping: MappingDocument,
    /// What goes wrong at the function.
    pub trouble: Trouble,
    /// How often the daemon is killed.
    pub kills: usize,
    /// How often shards are split or merged.
    pub reshards: usize,
    /// How long nothing new may come before a run ends.
    pub patience: Duration,
}

/// The kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A standard queue.
    Sqs,
    /// A FIFO queue.
    SqsFifo,
    /// A Kinesis stream.
    Kinesis,
    /// The stream of a DynamoDB table.
    Dynamodb,
}

/// Which source.
#[derive(Clone, Debug)]
pub enum Place {
    /// One that is made for each run and removed after it; a stream with so many shards.
    Made {
        /// Shards of a Kinesis stream at first.
        shards: usize,
    },
    /// The user's own.
    Named(SourceArn),
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The seed of its load.
    pub seed: u64,
    /// What the server does.
    pub server: Side<ServerFigures>,
    /// What esmd does on top of it.
    pub path: Side<PathFigures>,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// One of the two things that are judged.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side<F> {
    /// What was counted.
    pub figures: F,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

/// What raw receivers counted.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ServerFigures {
    /// Of a queue.
    Queue(QueueFigures),
    /// Of a stream.
    Stream(StreamFigures),
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// What was asked for cannot be done.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("the server cannot be reached: {call}: {reason}")]
    Unreachable {
        /// The call.
        call: &'static str,
        /// What happened instead.
        reason: String,
    },
    /// The server does not do what a test needs.
    #[error("the server does not take part: {0}")]
    Server(String),
    /// The daemon ended by itself.
    #[error("esmd run ended by itself ({status}); its last words:\n{printed}")]
    Daemon {
        /// How.
        status: String,
        /// The end of its log.
        printed: String,
    },
    /// A task of the test panicked: a mistake in it.
    #[error("the test broke off")]
    Broken(#[from] tokio::task::JoinError),
    /// A file, a port or a process of this machine.
    #[error("this machine")]
    Machine(#[source] std::io::Error),
}

impl Plan {
    /// Carries out one run. What it makes is noted on the stage, which the caller clears however this ends.
    pub async fn run(&self, aws: &Aws, stage: &Stage, seed: u64, progress: &Progress) -> Result<Outcome, VerifyError> {
        if self.source.is_queue() {
            Box::pin(queue_run::run(self, aws, stage, seed, progress)).await
        } else {
            Box::pin(stream_run::run(self, aws, stage, seed, progress)).await
        }
    }

    /// Whether the mapping reads partial responses.
    pub fn reports_failures(&self) -> bool {
        self.mapping.function_response_types.as_ref().is_some_and(|types| !types.is_empty())
    }

    /// What the daemon is told beyond this process's environment.
    fn environment(&self, region: &str) -> Vec<(&'static str, String)> {
        let mut environment = vec![("AWS_REGION", region.to_owned())];
        if let Some(endpoint) = &self.endpoint {
            let names = ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"];
            environment.extend(names.map(|name| (name, endpoint.clone())));
        }
        if self.local_credentials {
            let (id, secret) = LOCAL_CREDENTIALS;
            environment.extend([("AWS_ACCESS_KEY_ID", id.to_owned()), ("AWS_SECRET_ACCESS_KEY", secret.to_owned())]);
        }
        environment
    }

    /// A word that tells this run's records from all others.
    fn word(part: &str) -> String {
        format!("{part}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
    }

    /// What the keys of a run begin with: in the user's own source they must not meet others.
    fn key_prefix(&self, word: &str) -> String {
        match self.place {
            Place::Made { .. } => String::new(),
            Place::Named(_) => format!("esmd-{word}-"),
        }
    }
}

impl SourceKind {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::SqsFifo => "sqs-fifo",
            Self::Kinesis => "kinesis",
            Self::Dynamodb => "dynamodb",
        }
    }

    /// Whether it is a queue, and not a stream.
    #[must_use]
    pub const fn is_queue(self) -> bool {
        matches!(self, Self::Sqs | Self::SqsFifo)
    }

    /// Whether keys keep their order.
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        !matches!(self, Self::Sqs)
    }
}

impl Outcome {
    /// Whether anything is wrong.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        !self.server.violations.is_empty() || !self.path.violations.is_empty()
    }
}

/// A call that did not work.
fn unanswered<E>(call: &'static str, error: SdkError<E>) -> VerifyError
where
    E: std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            VerifyError::Unreachable { call, reason: chain(&error) }
        }
        error => VerifyError::Server(format!("{call}: {}", crate::aws::cause(error))),
    }
}

/// For servers on this machine, which take any.
pub const LOCAL_CREDENTIALS: (&str, &str) = ("test", "test");
