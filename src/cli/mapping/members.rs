//! The members of a mapping as options, in the words of the AWS CLI where it has a word. Judges nothing: what may be
//! said is for esmd to decide, and shapes that options lack stand in a file.

use clap::Args;
use jiff::Timestamp;

use crate::mapping::document::{
    Destination, DestinationConfig, Filter, FilterCriteria, MappingDocument, ProvisionedPollerConfig, ScalingConfig,
};

/// What a mapping has for good.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "the help shows the comments as they are")]
pub(super) struct FixedMembers {
    /// The queue or stream to read
    #[arg(long, value_name = "ARN")]
    event_source_arn: Option<String>,
    /// Where reading a stream begins: TRIM_HORIZON, LATEST or AT_TIMESTAMP
    #[arg(long, value_name = "POSITION")]
    starting_position: Option<String>,
    /// The moment of AT_TIMESTAMP, such as 2026-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    starting_position_timestamp: Option<Timestamp>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
}

/// What can be changed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Members {
    /// The function to invoke: a name, NAME:QUALIFIER, or an ARN
    #[arg(long, value_name = "NAME")]
    function_name: Option<String>,
    /// Whether the mapping runs
    #[arg(long, overrides_with = "no_enabled")]
    enabled: bool,
    /// See --enabled
    #[arg(long)]
    no_enabled: bool,
    /// Most records of a batch
    #[arg(long, value_name = "NUMBER")]
    batch_size: Option<i64>,
    /// How long an incomplete batch waits for more records
    #[arg(long, value_name = "SECONDS")]
    maximum_batching_window_in_seconds: Option<i64>,
    /// A pattern that records must match, as JSON; of several one is enough
    #[arg(long = "filter", value_name = "PATTERN")]
    filters: Vec<String>,
    /// Lets the function's answer name the records that failed
    #[arg(long, overrides_with = "no_report_batch_item_failures")]
    report_batch_item_failures: bool,
    /// See --report-batch-item-failures
    #[arg(long)]
    no_report_batch_item_failures: bool,
    /// A queue's most invocations at a time
    #[arg(long, value_name = "NUMBER")]
    maximum_concurrency: Option<i64>,
    /// A queue's fewest pollers in provisioned mode
    #[arg(long, value_name = "NUMBER")]
    minimum_pollers: Option<i64>,
    /// A queue's most pollers in provisioned mode
    #[arg(long, value_name = "NUMBER")]
    maximum_pollers: Option<i64>,
    /// Batches of a shard at a time
    #[arg(long, value_name = "NUMBER")]
    parallelization_factor: Option<i64>,
    /// Records of a stream older than this are discarded; -1: none is
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    maximum_record_age_in_seconds: Option<i64>,
    /// A stream's batch is discarded after so many retries; -1: never
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    maximum_retry_attempts: Option<i64>,
    /// Halves a stream's failed batch
    #[arg(long, overrides_with = "no_bisect_batch_on_function_error")]
    bisect_batch_on_function_error: bool,
    /// See --bisect-batch-on-function-error
    #[arg(long)]
    no_bisect_batch_on_function_error: bool,
    /// Length of a stream's tumbling windows; 0: none
    #[arg(long, value_name = "SECONDS")]
    tumbling_window_in_seconds: Option<i64>,
    /// Where a stream's discarded batches are reported: the ARN of a queue, topic or bucket; empty: nowhere
    #[arg(long, value_name = "ARN")]
    on_failure: Option<String>,
}

impl FixedMembers {
    pub(super) fn document(&self) -> MappingDocument {
        MappingDocument {
            event_source_arn: self.event_source_arn.clone(),
            starting_position: self.starting_position.clone(),
            starting_position_timestamp: self.starting_position_timestamp,
            tags: given(&self.tags).map(|tags| tags.iter().cloned().collect()),
            ..MappingDocument::default()
        }
    }
}

impl Members {
    pub(super) fn document(&self) -> MappingDocument {
        let (minimum_pollers, maximum_pollers) = (self.minimum_pollers, self.maximum_pollers);
        let pollers = ProvisionedPollerConfig { minimum_pollers, maximum_pollers, poller_group_name: None };
        let filter = |pattern: &String| Filter { pattern: Some(pattern.clone()) };
        let destination = |arn: &String| DestinationConfig {
            on_failure: Some(Destination { destination: Some(arn.clone()) }),
            on_success: None,
        };
        MappingDocument {
            function_name: self.function_name.clone(),
            enabled: switch(self.enabled, self.no_enabled),
            batch_size: self.batch_size,
            maximum_batching_window_in_seconds: self.maximum_batching_window_in_seconds,
            filter_criteria: given(&self.filters)
                .map(|patterns| FilterCriteria { filters: Some(patterns.iter().map(filter).collect()) }),
            function_response_types: switch(self.report_batch_item_failures, self.no_report_batch_item_failures)
                .map(|reports| if reports { vec!["ReportBatchItemFailures".to_owned()] } else { Vec::new() }),
            scaling_config: self.maximum_concurrency.map(|most| ScalingConfig { maximum_concurrency: Some(most) }),
            provisioned_poller_config: Some(pollers).filter(|pollers| *pollers != ProvisionedPollerConfig::default()),
            parallelization_factor: self.parallelization_factor,
            maximum_record_age_in_seconds: self.maximum_record_age_in_seconds,
            maximum_retry_attempts: self.maximum_retry_attempts,
            bisect_batch_on_function_error: switch(
                self.bisect_batch_on_function_error,
                self.no_bisect_batch_on_function_error,
            ),
            tumbling_window_in_seconds: self.tumbling_window_in_seconds,
            destination_config: self.on_failure.as_ref().map(destination),
            ..MappingDocument::default()
        }
    }
}

/// A pair of flags of which the last counts.
fn switch(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

fn given<T>(values: &[T]) -> Option<&[T]> {
    Some(values).filter(|values| !values.is_empty())
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
