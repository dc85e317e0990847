//! Document to mapping. Every limit of a single member stands once in [`MEMBERS`]; [`Check`] adds the rules between
//! members. No server is asked: whether source and function exist is not known here. What passes is honoured in full;
//! what this version does not do is refused by name, unless the value asks for nothing: Terraform sends every member at
//! AWS's default.

mod members;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::arn::{FunctionName, FunctionNameError, Service, SourceArn, SourceArnError, is_aws_region};
use super::document::{EsmdDocument, MappingDocument};
use super::on_failure::{DestinationArn, DestinationArnError, OnFailure, Undeliverable};
use super::{
    Batching, EsmdSettings, EventSourceMapping, QueueSettings, Retries, SourceSettings, StartingPosition, StreamKind,
    StreamSettings,
};
use members::{Kind, MEMBERS, Member, Support};

/// What a document is judged against, besides itself.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The configured region, `None` while it is unknown, as in an offline check.
    pub region: Option<String>,
    /// Whether the source's service has an endpoint set: then the region in the ARN is whatever that server says.
    pub custom_endpoint: bool,
    /// The time, past which no stream can start.
    pub now: Timestamp,
}

/// Everything that is wrong with a document, function and source first: at least one error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ValidationErrors(Vec<ValidationError>);

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule} (given: {value})")]
pub struct ValidationError {
    /// The member, with dots between an object and its own: `ScalingConfig.MaximumConcurrency`.
    pub field: String,
    /// The value as JSON, `null` if absent.
    pub value: String,
    /// The rule that it breaks, in AWS's words where they are known (`docs/semantics.md` 1.7).
    pub rule: String,
    /// Whose words these are.
    pub wording: Wording,
}

/// Whose words a rule is told in, since Lambda's API frames them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// A constraint of Lambda's API model on one member. AWS tells all of them at once, before anything else.
    Constraint,
    /// A whole sentence, AWS's where it has one.
    Sentence,
    /// Ours, to be told with member and value.
    Own,
}

impl ValidationErrors {
    /// The errors, at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[ValidationError] {
        &self.0
    }
}

impl EventSourceMapping {
    /// The only way to a mapping. The error names everything that is wrong, not just the first.
    pub fn from_document(document: &MappingDocument, scope: &Scope) -> Result<Self, ValidationErrors> {
        let mut check = Check::new(document);
        let function = check.function();
        let source = check.source(scope);
        let kind = source.as_ref().map(|(_, kind)| *kind);
        for member in MEMBERS {
            check.member(member, kind);
        }
        check.batching(kind);
        check.record_age();
        check.response_types();
        let starting_position = check.starting_position(kind, scope.now);
        check.invoke_identity(kind);
        let on_failure = check.on_failure();
        match (function, source) {
            (Some(function), Some(source)) if check.errors.is_empty() => {
                Ok(build(document, function, source, starting_position, on_failure))
            }
            _ => Err(ValidationErrors(check.errors)),
        }
    }
}

/// An update cannot change these (`docs/semantics.md` 1.3). AWS skips them; we refuse what would change something.
pub fn refuse_change_of_fixed_members(
    before: &MappingDocument,
    change: &MappingDocument,
) -> Result<(), ValidationErrors> {
    let mut check = Check::new(change);
    let before = Check::new(before);
    for member in FIXED_MEMBERS {
        let given = check.value(member);
        if !given.is_null() && given != before.value(member) {
            check.refuse(member, Wording::Own, "cannot be changed: delete the mapping and make another");
        }
    }
    if check.errors.is_empty() { Ok(()) } else { Err(ValidationErrors(check.errors)) }
}

/// A document being judged, and what was found so far.
struct Check<'document> {
    document: &'document MappingDocument,
    /// The same as JSON, in which members are found by path.
    json: Value,
    errors: Vec<ValidationError>,
}

impl<'document> Check<'document> {
    fn new(document: &'document MappingDocument) -> Self {
        let json = serde_json::to_value(document).expect("a document holds nothing that JSON lacks");
        Self { document, json, errors: Vec::new() }
    }

    fn function(&mut self) -> Option<FunctionName> {
        let Some(text) = &self.document.function_name else {
            self.refuse("FunctionName", Wording::Constraint, NOT_NULL);
            return None;
        };
        let refuse = |error: FunctionNameError| self.refuse("FunctionName", Wording::Constraint, error.to_string());
        text.parse().map_err(refuse).ok()
    }

    fn source(&mut self, scope: &Scope) -> Option<(SourceArn, Kind)> {
        let Some(text) = &self.document.event_source_arn else {
            self.refuse("EventSourceArn", Wording::Sentence, UNRECOGNIZED_SOURCE);
            return None;
        };
        let refuse = |error: SourceArnError| self.refuse("EventSourceArn", Wording::Constraint, error.to_string());
        let arn: SourceArn = text.parse().map_err(refuse).ok()?;
        self.region(&arn, scope);
        let (wording, rule) = match arn.service() {
            Service::Sqs if arn.name().strip_suffix(".fifo").is_some() => return Some((arn, Kind::Fifo)),
            Service::Sqs => return Some((arn, Kind::Standard)),
            Service::Kinesis => return Some((arn, Kind::Stream(StreamKind::Kinesis))),
            Service::DynamodbStreams => return Some((arn, Kind::Stream(StreamKind::Dynamodb))),
            Service::KinesisConsumer => (Wording::Own, format!("enhanced fan-out {NOT_YET}")),
            Service::Other => (Wording::Sentence, UNRECOGNIZED_SOURCE.to_owned()),
        };
        self.refuse("EventSourceArn", wording, rule);
        None
    }

    /// AWS maps sources of its own region only; other servers name regions as they like (`docs/semantics.md` 1.7).
    fn region(&mut self, arn: &SourceArn, scope: &Scope) {
        if scope.custom_endpoint {
            return;
        }
        match &scope.region {
            Some(region) if region != arn.region() => {
                let rule = format!("the source must be in the configured region, {region}");
                self.refuse("EventSourceArn", Wording::Own, rule);
            }
            _ if !is_aws_region(arn.region()) => {
                self.refuse(
                    "EventSourceArn",
                    Wording::Own,
                    "a region that is none of AWS's needs an endpoint for the source's service",
                );
            }
            _ => {}
        }
    }

    fn member(&mut self, member: &Member, kind: Option<Kind>) {
        let value = self.value(member.path);
        if asks_for_nothing(value, member.neutral) {
            return;
        }
        match (value.as_i64(), member.bounds) {
            (Some(number), Some((lowest, _))) if number < lowest => {
                let rule = format!("Member must have value greater than or equal to {lowest}");
                self.refuse(member.path, Wording::Constraint, rule);
            }
            (Some(number), Some((_, highest))) if number > highest => {
                let rule = format!("Member must have value less than or equal to {highest}");
                self.refuse(member.path, Wording::Constraint, rule);
            }
            _ => {}
        }
        let has_member = kind.map_or(!member.kinds.is_empty(), |kind| member.kinds.contains(&kind));
        match member.support {
            _ if !has_member => {
                let (name, _) = member.path.split_once('.').unwrap_or((member.path, ""));
                let rule = format!("Unsupported {name} parameter for given event source mapping type.");
                self.refuse(member.path, Wording::Sentence, rule);
            }
            Support::Full => {}
            Support::Later => self.refuse(member.path, Wording::Sentence, format!("{} {NOT_YET}", member.path)),
            Support::Never(rule) => self.refuse(member.path, Wording::Sentence, rule),
        }
    }

    /// Size and window together (`docs/semantics.md` 0 and 1.7).
    fn batching(&mut self, kind: Option<Kind>) {
        let size = self.document.batch_size.unwrap_or(0);
        let window = self.document.maximum_batching_window_in_seconds.unwrap_or(0);
        let is_queue = matches!(kind, Some(Kind::Standard | Kind::Fifo));
        if is_queue && size > QUEUE_BATCH_SIZE_WITHOUT_WINDOW && window == 0 {
            self.refuse(
                "BatchSize",
                Wording::Sentence,
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            );
        }
        if kind == Some(Kind::Fifo) && window > 0 {
            let rule = "Batching window is not supported for FIFO queues";
            self.refuse("MaximumBatchingWindowInSeconds", Wording::Sentence, rule);
        }
        if kind == Some(Kind::Fifo) && size > FIFO_BATCH_SIZE_MAX {
            let rule = format!("a FIFO queue's batch has at most {FIFO_BATCH_SIZE_MAX} records");
            self.refuse("BatchSize", Wording::Own, rule);
        }
    }

    fn record_age(&mut self) {
        if matches!(self.document.maximum_record_age_in_seconds, Some(0..60)) {
            self.refuse(
                "MaximumRecordAgeInSeconds",
                Wording::Sentence,
                "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)",
            );
        }
    }

    /// At most one, and only one is known (`docs/semantics.md` 1.3, 1.7).
    fn response_types(&mut self) {
        let types = self.document.function_response_types.as_deref().unwrap_or_default();
        if types.iter().any(|name| name != REPORT_BATCH_ITEM_FAILURES) {
            let rule = "Member must satisfy constraint: [Member must satisfy enum value set: \
                        [ReportBatchItemFailures], Member must not be null]";
            self.refuse("FunctionResponseTypes", Wording::Constraint, rule);
        } else if types.len() > 1 {
            let rule = "Member must have length less than or equal to 1";
            self.refuse("FunctionResponseTypes", Wording::Constraint, rule);
        }
    }

    /// The starting position, unless it is refused or the source has none.
    fn starting_position(&mut self, kind: Option<Kind>, now: Timestamp) -> Option<StartingPosition> {
        let position = self.document.starting_position.as_deref().filter(|text| !text.is_empty());
        let has_position = kind.map_or(position.is_some(), |kind| matches!(kind, Kind::Stream(_)));
        if !has_position {
            return None;
        }
        if position == Some("AT_TIMESTAMP") && kind == Some(Kind::Stream(StreamKind::Dynamodb)) {
            let arn = self.document.event_source_arn.as_deref().unwrap_or_default();
            let rule = format!("Unsupported starting position for arn type: {arn}");
            self.refuse("StartingPosition", Wording::Sentence, rule);
            return None;
        }
        let timestamp = self.document.starting_position_timestamp;
        let judged = match (position, timestamp) {
            (Some("TRIM_HORIZON"), None) => Ok(StartingPosition::TrimHorizon),
            (Some("LATEST"), None) => Ok(StartingPosition::Latest),
            (Some("TRIM_HORIZON" | "LATEST"), Some(_)) => Err((
                "StartingPositionTimestamp",
                Wording::Sentence,
                "Timestamp only valid with StartingPosition AT_TIMESTAMP",
            )),
            (Some("AT_TIMESTAMP"), None) => Err((
                "StartingPositionTimestamp",
                Wording::Sentence,
                "Timestamp must be provided with StartingPosition AT_TIMESTAMP",
            )),
            (Some("AT_TIMESTAMP"), Some(timestamp)) if timestamp > now => {
                Err(("StartingPositionTimestamp", Wording::Sentence, "Timestamp must not be in the future"))
            }
            (Some("AT_TIMESTAMP"), Some(timestamp)) if timestamp < Timestamp::UNIX_EPOCH => {
                Err(("StartingPositionTimestamp", Wording::Sentence, "Timestamp must not be before 1970"))
            }
            (Some("AT_TIMESTAMP"), Some(timestamp)) => Ok(StartingPosition::AtTimestamp(timestamp)),
            (Some(_), _) => Err(("StartingPosition", Wording::Constraint, STARTING_POSITIONS)),
            (None, _) => Err(("StartingPosition", Wording::Constraint, NOT_NULL)),
        };
        judged.map_err(|(field, wording, rule)| self.refuse(field, wording, rule)).ok()
    }

    fn invoke_identity(&mut self, kind: Option<Kind>) {
        let given =
            self.document.esmd.as_ref().and_then(|esmd| esmd.invoke_identity_arn.as_deref()).unwrap_or_default();
        if !given.is_empty() && !given.starts_with("arn:") {
            self.refuse("Esmd.InvokeIdentityArn", Wording::Own, "must be the ARN of the function's role");
        } else if !given.is_empty() && kind.is_some_and(|kind| kind != Kind::Stream(StreamKind::Kinesis)) {
            self.refuse("Esmd.InvokeIdentityArn", Wording::Own, "is shown in the events of Kinesis streams only");
        }
    }

    /// The destination, unless there is none or it is refused (`docs/semantics.md` 6.7).
    fn on_failure(&mut self) -> Option<OnFailure> {
        let config = self.document.destination_config.as_ref().and_then(|config| config.on_failure.as_ref());
        let given = config.and_then(|on_failure| on_failure.destination.as_deref()).unwrap_or_default();
        let undeliverable = self.undeliverable(given);
        if given.is_empty() {
            return None;
        }
        let refuse = |error: DestinationArnError| {
            let wording = match error {
                DestinationArnError::TooLong => Wording::Constraint,
                DestinationArnError::Malformed | DestinationArnError::Fifo => Wording::Own,
            };
            self.refuse("DestinationConfig.OnFailure.Destination", wording, error.to_string());
        };
        let destination: DestinationArn = given.parse().map_err(refuse).ok()?;
        Some(OnFailure { destination, undeliverable: undeliverable? })
    }

    /// What becomes of a batch that `destination`, which may be empty, does not take.
    fn undeliverable(&mut self, destination: &str) -> Option<Undeliverable> {
        let given = self.document.esmd.as_ref().and_then(|esmd| esmd.on_destination_failure.as_deref());
        let rule = match given.unwrap_or_default() {
            "" => return Some(Undeliverable::default()),
            _ if destination.is_empty() => "needs DestinationConfig.OnFailure.Destination",
            "Keep" => return Some(Undeliverable::Keep),
            "Drop" => return Some(Undeliverable::Drop),
            _ => "must be Keep or Drop",
        };
        self.refuse("Esmd.OnDestinationFailure", Wording::Own, rule);
        None
    }

    fn value(&self, path: &str) -> &Value {
        path.split('.').fold(&self.json, |value, name| value.get(name).unwrap_or(&Value::Null))
    }

    fn refuse(&mut self, field: &str, wording: Wording, rule: impl Into<String>) {
        let value = self.value(field).to_string();
        self.errors.push(ValidationError { field: field.to_owned(), value, rule: rule.into(), wording });
    }
}

/// Whether the value is absent, empty or AWS's default.
fn asks_for_nothing(value: &Value, neutral: Option<i64>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(asked) => !asked,
        Value::Number(number) => neutral.is_some() && number.as_i64() == neutral,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// Makes the mapping of a document in which nothing was found wrong.
fn build(
    document: &MappingDocument,
    function: FunctionName,
    (arn, kind): (SourceArn, Kind),
    starting_position: Option<StartingPosition>,
    on_failure: Option<OnFailure>,
) -> EventSourceMapping {
    let scaling = document.scaling_config.as_ref();
    let source = match kind {
        Kind::Standard | Kind::Fifo => SourceSettings::Queue(QueueSettings {
            arn,
            fifo: kind == Kind::Fifo,
            maximum_concurrency: scaling.and_then(|scaling| scaling.maximum_concurrency).map(within_bounds),
        }),
        Kind::Stream(kind) => SourceSettings::Stream(StreamSettings {
            arn,
            kind,
            starting_position: starting_position.expect("a stream in which nothing is wrong has a starting position"),
            parallelization_factor: document.parallelization_factor.map_or(1, within_bounds),
            retries: Retries {
                maximum_attempts: document.maximum_retry_attempts.filter(|most| *most >= 0).map(within_bounds),
                maximum_record_age: document
                    .maximum_record_age_in_seconds
                    .filter(|age| *age >= 0)
                    .map(|age| Duration::from_secs(within_bounds(age))),
                bisect: document.bisect_batch_on_function_error.unwrap_or(false),
            },
            on_failure,
        }),
    };
    let size_default = match kind {
        Kind::Standard | Kind::Fifo => QUEUE_BATCH_SIZE_DEFAULT,
        Kind::Stream(_) => STREAM_BATCH_SIZE_DEFAULT,
    };
    EventSourceMapping {
        source,
        function,
        batching: Batching {
            size: document.batch_size.map_or(size_default, within_bounds),
            window: Duration::from_secs(document.maximum_batching_window_in_seconds.map_or(0, within_bounds)),
        },
        reports_failures: document.function_response_types.as_ref().is_some_and(|types| !types.is_empty()),
        enabled: document.enabled.unwrap_or(true),
        esmd: document.esmd.as_ref().map(build_esmd).unwrap_or_default(),
    }
}

fn build_esmd(document: &EsmdDocument) -> EsmdSettings {
    let duration = |seconds| Duration::from_secs(within_bounds(seconds));
    EsmdSettings {
        function_timeout: document.function_timeout.map(duration),
        invoke_identity_arn: document.invoke_identity_arn.clone().filter(|arn| !arn.is_empty()),
        stall_after: document.stall_after_seconds.map_or(EsmdSettings::default().stall_after, duration),
    }
}

fn within_bounds<N: TryFrom<i64>>(number: i64) -> N {
    N::try_from(number).ok().expect("the bounds of the member fit its type")
}

const FIXED_MEMBERS: [&str; 4] = ["EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "Tags"];
const QUEUE_BATCH_SIZE_DEFAULT: usize = 10;
const STREAM_BATCH_SIZE_DEFAULT: usize = 100;
/// A queue's batch beyond this needs a batching window.
const QUEUE_BATCH_SIZE_WITHOUT_WINDOW: i64 = 10;
const FIFO_BATCH_SIZE_MAX: i64 = 10;

const REPORT_BATCH_ITEM_FAILURES: &str = "ReportBatchItemFailures";
const STARTING_POSITIONS: &str = "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]";
const NOT_NULL: &str = "Member must not be null";
const NOT_YET: &str = "is not supported yet by this version of esmd";
const UNRECOGNIZED_SOURCE: &str = "Unrecognized event source.";

#[cfg(test)]
mod tests;
