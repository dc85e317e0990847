//! The rules between members, and those of members with a form of their own (`docs/semantics.md` 1.7, 1.11). A number out
//! of bounds, or a text that is not in its list, was told before and may be met here.

use jiff::Timestamp;

use super::Check;
use super::members::Kind;
use super::rule::Rule;
use crate::mapping::document::{FilterCriteria, ProvisionedPollerConfig};
use crate::mapping::on_failure::{DestinationArn, DestinationArnError, OnFailure, Undeliverable};
use crate::mapping::{StartingPosition, StreamKind};

impl Check<'_> {
    /// The starting position, unless it is refused or the source has none.
    pub(super) fn starting_position(&mut self, kind: Option<Kind>, now: Timestamp) -> Option<StartingPosition> {
        let position = self.document.starting_position.as_deref().filter(|text| !text.is_empty());
        let has_position = kind.map_or(position.is_some(), |kind| matches!(kind, Kind::Stream(_)));
        if !has_position {
            return None;
        }
        if position == Some("AT_TIMESTAMP") && kind == Some(Kind::Stream(StreamKind::Dynamodb)) {
            let arn = self.document.event_source_arn.as_deref().unwrap_or_default();
            self.refuse("StartingPosition", Rule::no_position_by_time(arn));
            return None;
        }
        let timestamp = self.document.starting_position_timestamp;
        let judged = match (position, timestamp) {
            (Some("TRIM_HORIZON"), None) => Ok(StartingPosition::TrimHorizon),
            (Some("LATEST"), None) => Ok(StartingPosition::Latest),
            (Some("TRIM_HORIZON" | "LATEST"), Some(_)) => Err((TIMESTAMP, Rule::TIMESTAMP_UNASKED)),
            (Some("AT_TIMESTAMP"), None) => Err((TIMESTAMP, Rule::TIMESTAMP_MISSING)),
            (Some("AT_TIMESTAMP"), Some(moment)) if moment > now => Err((TIMESTAMP, Rule::TIMESTAMP_IN_THE_FUTURE)),
            (Some("AT_TIMESTAMP"), Some(moment)) if moment < Timestamp::UNIX_EPOCH => {
                Err((TIMESTAMP, Rule::TIMESTAMP_BEFORE_1970))
            }
            (Some("AT_TIMESTAMP"), Some(moment)) => Ok(StartingPosition::AtTimestamp(moment)),
            (Some(_), _) => return None, // no such position, which is a broken constraint
            (None, _) => Err(("StartingPosition", Rule::POSITION_MISSING)),
        };
        judged.map_err(|(field, rule)| self.refuse(field, rule)).ok()
    }

    /// Size and window together (`docs/semantics.md` 0 and 1.7).
    pub(super) fn batching(&mut self, kind: Option<Kind>) {
        let size = self.document.batch_size.unwrap_or(0);
        let window = self.document.maximum_batching_window_in_seconds.unwrap_or(0);
        let is_queue = matches!(kind, Some(Kind::Standard | Kind::Fifo));
        if is_queue && size > QUEUE_BATCH_SIZE_WITHOUT_WINDOW && window == 0 {
            self.refuse("BatchSize", Rule::LARGE_BATCH_WITHOUT_WINDOW);
        }
        if kind == Some(Kind::Fifo) && window > 0 {
            self.refuse("MaximumBatchingWindowInSeconds", Rule::FIFO_WITH_WINDOW);
        }
        if kind == Some(Kind::Fifo) && size > FIFO_BATCH_SIZE_MAX {
            self.refuse("BatchSize", Rule::LARGE_FIFO_BATCH);
        }
    }

    pub(super) fn record_age(&mut self) {
        if matches!(self.document.maximum_record_age_in_seconds, Some(0..60)) {
            self.refuse("MaximumRecordAgeInSeconds", Rule::AGE_BELOW_A_MINUTE);
        }
    }

    pub(super) fn tumbling_window(&mut self, kind: Option<Kind>) {
        let is_stream = matches!(kind, None | Some(Kind::Stream(_)));
        if !is_stream || self.document.tumbling_window_in_seconds.unwrap_or(0) <= 0 {
            return;
        }
        if self.document.parallelization_factor.unwrap_or(1) > 1 {
            self.refuse("ParallelizationFactor", Rule::TUMBLING_WITH_FACTOR);
        }
        if self.document.filter_criteria.as_ref().is_some_and(FilterCriteria::has_filters) {
            self.refuse("FilterCriteria.Filters", Rule::TUMBLING_WITH_FILTERS);
        }
    }

    /// What a queue's provisioned mode excludes, and how its bounds depend on each other.
    pub(super) fn pollers(&mut self, kind: Option<Kind>) {
        let asked_for = |given: &&ProvisionedPollerConfig| **given != ProvisionedPollerConfig::default();
        let Some(pollers) = self.document.provisioned_poller_config.as_ref().filter(asked_for) else { return };
        if matches!(kind, Some(Kind::Stream(_))) {
            return;
        }
        if self.document.scaling_config.as_ref().is_some_and(|scaling| scaling.maximum_concurrency.is_some()) {
            self.refuse("ScalingConfig.MaximumConcurrency", Rule::POLLERS_WITH_CONCURRENCY);
        }
        let fewest = pollers.minimum_pollers.unwrap_or(POLLERS_MIN);
        if fewest < POLLERS_MIN || pollers.maximum_pollers.is_some_and(|most| most < fewest) {
            self.refuse("ProvisionedPollerConfig", Rule::POLLERS_OUT_OF_RANGE);
        }
    }

    pub(super) fn tags(&mut self) {
        let Some(tags) = &self.document.tags else { return };
        if tags.len() > TAGS_MAX {
            self.refuse("Tags", Rule::TOO_MANY_TAGS);
        }
        for (key, value) in tags {
            let field = format!("Tags.{key}");
            if key.is_empty() || key.chars().count() > TAG_KEY_LENGTH_MAX {
                self.refuse(&field, Rule::TAG_KEY_LENGTH);
            }
            if key.starts_with("aws:") {
                self.refuse(&field, Rule::TAG_RESERVED);
            }
            if value.chars().count() > TAG_VALUE_LENGTH_MAX {
                self.refuse(&field, Rule::TAG_VALUE_LENGTH);
            }
        }
    }

    pub(super) fn invoke_identity(&mut self, kind: Option<Kind>) {
        let given =
            self.document.esmd.as_ref().and_then(|esmd| esmd.invoke_identity_arn.as_deref()).unwrap_or_default();
        if !given.is_empty() && !given.starts_with("arn:") {
            self.refuse("Esmd.InvokeIdentityArn", Rule::NO_ROLE);
        } else if !given.is_empty() && kind.is_some_and(|kind| kind != Kind::Stream(StreamKind::Kinesis)) {
            self.refuse("Esmd.InvokeIdentityArn", Rule::ROLE_UNSEEN);
        }
    }

    /// The destination, unless there is none or it is refused (`docs/semantics.md` 6.7).
    pub(super) fn on_failure(&mut self) -> Option<OnFailure> {
        let config = self.document.destination_config.as_ref().and_then(|config| config.on_failure.as_ref());
        let given = config.and_then(|on_failure| on_failure.destination.as_deref()).unwrap_or_default();
        let undeliverable = self.undeliverable(given);
        if given.is_empty() {
            return None;
        }
        let refuse = |error: DestinationArnError| {
            let rule = match error {
                DestinationArnError::TooLong => Rule::constraint(error),
                DestinationArnError::Malformed | DestinationArnError::Fifo => Rule::no_destination(error),
            };
            self.refuse("DestinationConfig.OnFailure.Destination", rule);
        };
        let destination: DestinationArn = given.parse().map_err(refuse).ok()?;
        Some(OnFailure { destination, undeliverable: undeliverable? })
    }

    /// What becomes of a batch that `destination`, which may be empty, does not take.
    fn undeliverable(&mut self, destination: &str) -> Option<Undeliverable> {
        let given = self.document.esmd.as_ref().and_then(|esmd| esmd.on_destination_failure.as_deref());
        let rule = match given.unwrap_or_default() {
            "" => return Some(Undeliverable::default()),
            _ if destination.is_empty() => Rule::NEEDS_DESTINATION,
            "Keep" => return Some(Undeliverable::Keep),
            "Drop" => return Some(Undeliverable::Drop),
            _ => Rule::KEEP_OR_DROP,
        };
        self.refuse("Esmd.OnDestinationFailure", rule);
        None
    }
}

const TIMESTAMP: &str = "StartingPositionTimestamp";
/// A queue's batch beyond this needs a batching window.
const QUEUE_BATCH_SIZE_WITHOUT_WINDOW: i64 = 10;
const FIFO_BATCH_SIZE_MAX: i64 = 10;
/// Fewest pollers of provisioned mode, and their number if none is given.
const POLLERS_MIN: i64 = 2;
const TAGS_MAX: usize = 50;
const TAG_KEY_LENGTH_MAX: usize = 128;
const TAG_VALUE_LENGTH_MAX: usize = 256;
