//! The flags of `esmd verify`, and the way from them to a plan. What does not fit together is refused here, with a reason,
//! before any server is asked: no flag is accepted and ignored.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::variable;
use crate::cli::environment;
use crate::config::LoadedFile;
use crate::mapping::arn::SourceArn;
use crate::mapping::document::{FilterCriteria, MappingDocument, ScalingConfig};
use crate::mapping::validate::Scope;
use crate::mapping::{EventSourceMapping, SourceSettings, StreamKind};
use crate::telemetry::chain;
use crate::verify::target::Trouble;
use crate::verify::{Place, Plan, SourceKind};

/// The arguments of `esmd verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    /// What is tested
    #[arg(long, value_enum, value_name = "KIND")]
    source: SourceKind,
    /// Makes queues, a stream or a table for the test, and removes them after it
    #[arg(long, required_unless_present = "arn", conflicts_with = "arn")]
    create: bool,
    /// Tests the queue or stream of this ARN, of a table that of its stream. A queue must be empty
    #[arg(long, value_name = "ARN")]
    arn: Option<String>,
    /// The server [default: what AWS's environment says]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Shards of a Kinesis stream that is made [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    shards: Option<u16>,

    /// Records in each part of a run
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = LOAD)]
    records: u32,
    /// Keys (message groups, partition keys, items) they are spread over
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = LOAD)]
    keys: u32,
    /// Draws the load and the trouble; the same seed gives the same [default: a new one]
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub(super) seed: Option<u64>,
    /// Runs at most, each with the next seed; the first violation ends them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = LOAD)]
    pub(super) runs: u32,
    /// A run ends when nothing new came for so long [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = patience, help_heading = LOAD)]
    within: Option<Duration>,
    /// Raw receivers of a queue at a time [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100), help_heading = LOAD)]
    receivers: Option<u16>,
    /// Visibility timeout of raw receives and of queues that are made, in seconds [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(3..=600), help_heading = LOAD)]
    visibility_timeout: Option<u16>,

    /// The settings under test and its function's trouble.
    #[command(flatten)]
    mapping: MappingArguments,
    /// What goes wrong.
    #[command(flatten)]
    trouble: TroubleArguments,

    /// How the verdict is told on standard output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub(super) output: Output,
    /// What the row of -o markdown calls the server [default: its URL]
    #[arg(long, value_name = "TEXT")]
    pub(super) label: Option<String>,
}

/// The mapping: a file, or its members by AWS's names.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the help shows the comments as they are")]
#[command(next_help_heading = "The mapping under test")]
struct MappingArguments {
    /// A configuration file with one mapping; source, function, start and Enabled in it are replaced
    #[arg(long, value_name = "FILE", conflicts_with_all = ["batch_size", "maximum_batching_window_in_seconds",
        "parallelization_factor", "maximum_concurrency", "maximum_retry_attempts", "maximum_record_age_in_seconds",
        "bisect_batch_on_function_error", "function_response_types"])]
    mapping: Option<PathBuf>,
    /// BatchSize
    #[arg(long, value_name = "N")]
    batch_size: Option<i64>,
    /// MaximumBatchingWindowInSeconds
    #[arg(long, value_name = "SECONDS")]
    maximum_batching_window_in_seconds: Option<i64>,
    /// ParallelizationFactor
    #[arg(long, value_name = "N")]
    parallelization_factor: Option<i64>,
    /// ScalingConfig.MaximumConcurrency
    #[arg(long, value_name = "N")]
    maximum_concurrency: Option<i64>,
    /// MaximumRetryAttempts
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    maximum_retry_attempts: Option<i64>,
    /// MaximumRecordAgeInSeconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    maximum_record_age_in_seconds: Option<i64>,
    /// BisectBatchOnFunctionError
    #[arg(long)]
    bisect_batch_on_function_error: bool,
    /// FunctionResponseTypes: ReportBatchItemFailures. --partial sets it as well
    #[arg(long, value_name = "TYPE")]
    function_response_types: Option<String>,
}

/// What goes wrong on the whole path.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Trouble on the whole path")]
struct TroubleArguments {
    /// The fraction of invocations that fail, 0 to 0.9
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, value_parser = fraction)]
    fail: f64,
    /// The fraction that is throttled, 0 to 0.9
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, value_parser = fraction)]
    throttle: f64,
    /// The fraction that names records of its batch as failed, 0 to 0.9
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, value_parser = fraction)]
    partial: f64,
    /// The longest time of an invocation; each draws its own up to this, 0s to 60s
    #[arg(long, value_name = "DURATION", value_parser = slowness)]
    slow: Option<Duration>,
    /// Records that never succeed. A stream needs --maximum-retry-attempts, a queue --create
    #[arg(long, value_name = "N", default_value_t = 0)]
    poison: u32,
    /// How often esmd is killed and started again
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    kill: u32,
    /// How often shards of a Kinesis stream are split or merged, in turn
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20))]
    reshard: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// In words.
    Text,
    /// As JSON, with all events.
    Json,
    /// As a table's head and row: how often each check was violated.
    Markdown,
}

impl VerifyArguments {
    /// The plan, or what is wrong with the arguments in a sentence.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        self.refuse_what_does_not_fit()?;
        let mapping = self.document()?;
        let place = match &self.arn {
            Some(arn) => Place::Named(arn.parse::<SourceArn>().map_err(|error| format!("--arn {arn}: {error}"))?),
            None => Place::Made { shards: self.shards.unwrap_or(2).into() },
        };
        let endpoint = self.endpoint_url.clone().or_else(|| variable("AWS_ENDPOINT_URL"));
        let is_local = endpoint.as_deref().is_some_and(is_loopback);
        let has_credentials = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE"].into_iter().any(|name| variable(name).is_some());
        let TroubleArguments { fail, throttle, partial, slow, poison, kill, reshard } = self.trouble;
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let slow = slow.unwrap_or_default();
        let plan = Plan {
            source: self.source,
            place,
            endpoint: self.endpoint_url.clone(),
            local_credentials: is_local && !has_credentials,
            records: count(self.records),
            keys: count(self.keys),
            receivers: self.receivers.unwrap_or(4).into(),
            visibility: Duration::from_secs(self.visibility_timeout.unwrap_or(5).into()),
            mapping,
            trouble: Trouble { fail, throttle, partial, slow, poison: count(poison) },
            kills: count(kill),
            reshards: count(reshard),
            patience: self.within.unwrap_or(Duration::from_mins(1)),
        };
        self.judge_mapping(&plan)?;
        Ok(plan)
    }

    /// What belongs to other sources, or cannot end.
    fn refuse_what_does_not_fit(&self) -> Result<(), String> {
        let (trouble, is_queue) = (&self.trouble, self.source.is_queue());
        let name = self.source.name();
        let wrong = [
            (!is_queue && self.receivers.is_some(), "--receivers is for queues: a shard has one raw reader"),
            (!is_queue && self.visibility_timeout.is_some(), "--visibility-timeout is for queues"),
            (self.source != SourceKind::Kinesis && trouble.reshard > 0, "--reshard is for --source kinesis"),
            (self.source != SourceKind::Kinesis && self.shards.is_some(), "--shards is for --source kinesis"),
            (self.arn.is_some() && self.shards.is_some(), "--shards is for a stream that is made: --create"),
            (trouble.poison > self.records, "--poison is more than --records"),
            (is_queue && trouble.poison > 0 && self.arn.is_some(), "--poison needs a dead-letter queue: use --create"),
            (self.label.is_some() && self.output != Output::Markdown, "--label is for -o markdown"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, reason)) => Err(format!("{reason} (--source {name})")),
            None => Ok(()),
        }
    }

    /// The members under test, from the file or the flags.
    fn document(&self) -> Result<MappingDocument, String> {
        let flags = &self.mapping;
        let mut document = match &flags.mapping {
            Some(file) => {
                let loaded = LoadedFile::load(file, &environment().without_aws(), jiff::Timestamp::now());
                let mut mappings = loaded.map_err(|error| chain(&error))?.contents.mappings;
                match (mappings.pop(), mappings.pop()) {
                    (Some(mapping), None) => mapping.document,
                    _ => return Err(format!("--mapping {}: it must have one mapping", file.display())),
                }
            }
            None => MappingDocument {
                batch_size: flags.batch_size,
                maximum_batching_window_in_seconds: flags.maximum_batching_window_in_seconds,
                parallelization_factor: flags.parallelization_factor,
                scaling_config: flags.maximum_concurrency.map(|most| ScalingConfig { maximum_concurrency: Some(most) }),
                maximum_retry_attempts: flags.maximum_retry_attempts,
                maximum_record_age_in_seconds: flags.maximum_record_age_in_seconds,
                bisect_batch_on_function_error: flags.bisect_batch_on_function_error.then_some(true),
                function_response_types: flags.function_response_types.clone().map(|kind| vec![kind]),
                ..MappingDocument::default()
            },
        };
        let reports = document.function_response_types.as_ref().is_some_and(|types| !types.is_empty());
        if self.trouble.partial > 0.0 && !reports {
            if flags.mapping.is_some() {
                return Err("--partial needs FunctionResponseTypes: [ReportBatchItemFailures] in --mapping".to_owned());
            }
            document.function_response_types = Some(vec!["ReportBatchItemFailures".to_owned()]);
        }
        if document.filter_criteria.as_ref().is_some_and(FilterCriteria::has_filters) {
            return Err("--mapping has FilterCriteria: what they leave out would count as not delivered".to_owned());
        }
        if document.tumbling_window_in_seconds.is_some_and(|seconds| seconds > 0) {
            return Err(
                "--mapping has TumblingWindowInSeconds, which the recording target does not answer to".to_owned()
            );
        }
        let is_endless = document.maximum_retry_attempts.is_none_or(|attempts| attempts < 0);
        if self.trouble.poison > 0 && !self.source.is_queue() && is_endless {
            return Err("--poison would hold its shard for ever: give --maximum-retry-attempts".to_owned());
        }
        Ok(document)
    }

    /// The mapping as esmd will judge it, with a source of the kind.
    fn judge_mapping(&self, plan: &Plan) -> Result<(), String> {
        let arn = match &plan.place {
            Place::Named(arn) => arn.as_str().to_owned(),
            Place::Made { .. } => example_arn(self.source).to_owned(),
        };
        let starting_position = (!self.source.is_queue()).then(|| "TRIM_HORIZON".to_owned());
        let document = MappingDocument {
            event_source_arn: Some(arn),
            function_name: Some("esmd-verify".to_owned()),
            starting_position,
            starting_position_timestamp: None,
            ..plan.mapping.clone()
        };
        let scope = Scope { region: None, custom_endpoint: true, now: jiff::Timestamp::now() };
        let mapping = EventSourceMapping::from_document(&document, &scope).map_err(|errors| errors.to_string())?;
        if let Place::Named(arn) = &plan.place
            && kind_of(&mapping) != self.source
        {
            return Err(format!("--arn {} is no --source {}", arn.as_str(), self.source.name()));
        }
        Ok(())
    }
}

fn kind_of(mapping: &EventSourceMapping) -> SourceKind {
    match &mapping.source {
        SourceSettings::Queue(queue) if queue.fifo => SourceKind::SqsFifo,
        SourceSettings::Queue(_) => SourceKind::Sqs,
        SourceSettings::Stream(stream) => match stream.kind {
            StreamKind::Kinesis => SourceKind::Kinesis,
            StreamKind::Dynamodb => SourceKind::Dynamodb,
        },
    }
}

const fn example_arn(source: SourceKind) -> &'static str {
    match source {
        SourceKind::Sqs => "arn:aws:sqs:us-east-1:000000000000:esmd-verify",
        SourceKind::SqsFifo => "arn:aws:sqs:us-east-1:000000000000:esmd-verify.fifo",
        SourceKind::Kinesis => "arn:aws:kinesis:us-east-1:000000000000:stream/esmd-verify",
        SourceKind::Dynamodb => {
            "arn:aws:dynamodb:us-east-1:000000000000:table/esmd-verify/stream/2026-01-31T00:00:00.000"
        }
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let authority = endpoint.split("://").nth(1).unwrap_or(endpoint).split('/').next().unwrap_or_default();
    ["127.", "localhost", "[::1]"].into_iter().any(|host| authority.starts_with(host))
}

fn fraction(text: &str) -> Result<f64, String> {
    let expected = "expected a fraction from 0 to 0.9, such as 0.1";
    text.parse().ok().filter(|fraction| (0.0..=0.9).contains(fraction)).ok_or_else(|| expected.to_owned())
}

fn slowness(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration from 0s to 60s, such as 200ms";
    duration(text).filter(|duration| *duration <= Duration::from_mins(1)).ok_or_else(|| expected.to_owned())
}

fn patience(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration from 5s to 1h, such as 60s";
    let range = Duration::from_secs(5)..=Duration::from_hours(1);
    duration(text).filter(|duration| range.contains(duration)).ok_or_else(|| expected.to_owned())
}

fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok())
}

const LOAD: &str = "The load";
