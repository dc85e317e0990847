//! Document to mapping. Every limit of a single member stands once in [`MEMBERS`], every text once in [`Rule`]; the
//! rules between members are those of `between`. No server is asked: whether source and function exist is not known
//! here. What passes is honoured in full; what this version does not do is refused by name, unless the value asks for
//! nothing: Terraform sends every member at AWS's default.

mod between;
mod build;
mod filters;
mod members;
mod rule;

use jiff::Timestamp;
use serde_json::Value;

use super::arn::{FunctionName, FunctionNameError, Service, SourceArn, SourceArnError, is_aws_region};
use super::document::{MappingDocument, ProvisionedPollerConfig};
use super::{EventSourceMapping, SourceSettings, StreamKind};
use build::build;
use members::{Kind, MEMBERS, Member, Support};
use rule::Rule;

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

/// Everything that is wrong with a document, at least one error, in the order in which AWS looks (`docs/semantics.md`
/// 1.7).
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
    /// What the rule does not say, in our words.
    pub detail: Option<String>,
}

/// Whose words a rule is told in, since Lambda's API frames them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// A constraint of Lambda's API model on one member. AWS tells all of them at once, before anything else.
    Constraint,
    /// A rule that AWS words as a constraint and tells by itself, as an invalid parameter.
    LoneConstraint,
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
        let arn = check.source_arn();
        check.constraints();
        let kind = check.kind(arn.as_ref(), scope);
        check.members_of_other_kinds(kind);
        let starting_position = check.starting_position(kind, scope.now);
        check.batching(kind);
        check.record_age();
        check.tumbling_window(kind);
        let filter = check.filters(kind);
        check.pollers(kind);
        let on_failure = check.on_failure();
        check.tags();
        check.invoke_identity(kind);
        check.members_of_later_versions(kind);
        match (function, arn.zip(kind)) {
            (Some(function), Some(source)) if check.errors.is_empty() => {
                Ok(build(document, function, source, starting_position, on_failure, filter))
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
    for (member, rule) in FIXED_MEMBERS {
        let given = check.value(member);
        let asks = !given.is_null() && given.as_object().is_none_or(|members| !members.is_empty());
        if asks && given != before.value(member) {
            check.refuse(member, rule);
        }
    }
    check.done()
}

/// Judges the members of a change by the constraints of the API's model alone, which AWS does before it looks for the
/// mapping (`docs/semantics.md` 1.7).
pub fn refuse_broken_constraints(change: &MappingDocument) -> Result<(), ValidationErrors> {
    let mut check = Check::new(change);
    if change.function_name.is_some() {
        check.function();
    }
    check.source_arn();
    check.constraints();
    check.on_failure();
    check.errors.retain(|error| error.wording == Wording::Constraint);
    check.done()
}

/// A queue's new mapping cannot ask for pollers without saying how many (`docs/semantics.md` 1.7). Not a part of
/// [`EventSourceMapping::from_document`], since in an update the same asks for none (1.9), and stays in the document.
pub fn refuse_empty_pollers(document: &MappingDocument, mapping: &EventSourceMapping) -> Result<(), ValidationErrors> {
    let mut check = Check::new(document);
    let is_queue = matches!(mapping.source, SourceSettings::Queue(_));
    if is_queue && document.provisioned_poller_config == Some(ProvisionedPollerConfig::default()) {
        check.refuse("ProvisionedPollerConfig", Rule::POLLERS_EMPTY);
    }
    check.done()
}

/// Judges a document's tags alone (`docs/semantics.md` 1.11).
pub fn refuse_invalid_tags(document: &MappingDocument) -> Result<(), ValidationErrors> {
    let mut check = Check::new(document);
    check.tags();
    check.done()
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

    fn done(self) -> Result<(), ValidationErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(ValidationErrors(self.errors)) }
    }

    fn function(&mut self) -> Option<FunctionName> {
        let Some(text) = &self.document.function_name else {
            self.refuse("FunctionName", Rule::NOT_NULL);
            return None;
        };
        let refuse = |error: FunctionNameError| self.refuse("FunctionName", Rule::constraint(error));
        text.parse().map_err(refuse).ok()
    }

    fn source_arn(&mut self) -> Option<SourceArn> {
        let text = self.document.event_source_arn.as_ref()?;
        let refuse = |error: SourceArnError| self.refuse("EventSourceArn", Rule::constraint(error));
        text.parse().map_err(refuse).ok()
    }

    fn constraints(&mut self) {
        for member in MEMBERS {
            let value = self.value(member.path);
            let broken = if member.asks_for_nothing(value) { None } else { member.broken_constraint(value) };
            if let Some(rule) = broken {
                self.refuse(member.path, rule);
            }
        }
    }

    /// The kind of the source, unless it is refused. `arn` is absent as well if its text was refused before.
    fn kind(&mut self, arn: Option<&SourceArn>, scope: &Scope) -> Option<Kind> {
        let Some(arn) = arn else {
            if self.document.event_source_arn.is_none() {
                self.refuse("EventSourceArn", Rule::UNRECOGNIZED_SOURCE);
            }
            return None;
        };
        let kind = match arn.service() {
            Service::Sqs if arn.name().strip_suffix(".fifo").is_some() => Ok(Kind::Fifo),
            Service::Sqs => Ok(Kind::Standard),
            Service::Kinesis | Service::KinesisConsumer => Ok(Kind::Stream(StreamKind::Kinesis)),
            Service::DynamodbStreams => Ok(Kind::Stream(StreamKind::Dynamodb)),
            Service::Other => Err(Rule::UNRECOGNIZED_SOURCE),
        };
        let kind = kind.map_err(|rule| self.refuse("EventSourceArn", rule)).ok();
        self.region(arn, scope);
        kind
    }

    /// AWS maps sources of its own region only; other servers name regions as they like (`docs/semantics.md` 1.7).
    fn region(&mut self, arn: &SourceArn, scope: &Scope) {
        match &scope.region {
            _ if scope.custom_endpoint => {}
            Some(region) if region != arn.region() => self.refuse("EventSourceArn", Rule::foreign_region(region)),
            _ if !is_aws_region(arn.region()) => self.refuse("EventSourceArn", Rule::REGION_WITHOUT_ENDPOINT),
            _ => {}
        }
    }

    fn members_of_other_kinds(&mut self, kind: Option<Kind>) {
        for member in self.asked_for() {
            match member.support {
                _ if !member.is_of(kind) => self.refuse(member.path, Rule::unsupported(member.path)),
                Support::NeverOnSuccess => self.refuse(member.path, Rule::NO_SUCCESS_DESTINATION),
                Support::Full | Support::Later => {}
            }
        }
    }

    /// After all of AWS's rules, so that the first error is the one that AWS would tell.
    fn members_of_later_versions(&mut self, kind: Option<Kind>) {
        for member in self.asked_for() {
            if matches!(member.support, Support::Later) && member.is_of(kind) {
                self.refuse(member.path, Rule::not_yet(member.path));
            }
        }
    }

    fn asked_for(&self) -> Vec<&'static Member> {
        MEMBERS.iter().filter(|member| !member.asks_for_nothing(self.value(member.path))).collect()
    }

    fn value(&self, path: &str) -> &Value {
        path.split('.').fold(&self.json, |value, name| value.get(name).unwrap_or(&Value::Null))
    }

    fn refuse(&mut self, field: &str, rule: Rule) {
        let value = self.value(field).to_string();
        self.refuse_value(field, value, rule, None);
    }

    fn refuse_value(&mut self, field: &str, value: String, rule: Rule, detail: Option<String>) {
        let Rule { wording, words } = rule;
        let (field, rule) = (field.to_owned(), words.into_owned());
        self.errors.push(ValidationError { field, value, rule, wording, detail });
    }
}

const FIXED_MEMBERS: [(&str, Rule); 4] = [
    ("EventSourceArn", Rule::FIXED),
    ("StartingPosition", Rule::FIXED),
    ("StartingPositionTimestamp", Rule::FIXED),
    ("Tags", Rule::TAGS_IN_UPDATE),
];

#[cfg(test)]
mod tests;
