//! A document without mistakes to a mapping: fills in AWS's defaults. Judges nothing.

use std::sync::Arc;
use std::time::Duration;

use super::members::Kind;
use crate::filter::RecordFilter;
use crate::mapping::arn::{FunctionName, SourceArn};
use crate::mapping::document::{EsmdDocument, MappingDocument, ProvisionedPollerConfig};
use crate::mapping::on_failure::OnFailure;
use crate::mapping::{
    Batching, EsmdSettings, EventSourceMapping, Pollers, QueueSettings, Retries, SourceSettings, StartingPosition,
    StreamSettings,
};

/// Makes the mapping of a document in which nothing was found wrong.
pub(super) fn build(
    document: &MappingDocument,
    function: FunctionName,
    (arn, kind): (SourceArn, Kind),
    starting_position: Option<StartingPosition>,
    on_failure: Option<OnFailure>,
    filter: Option<RecordFilter>,
) -> EventSourceMapping {
    let scaling = document.scaling_config.as_ref();
    let source = match kind {
        Kind::Standard | Kind::Fifo => SourceSettings::Queue(QueueSettings {
            arn,
            fifo: kind == Kind::Fifo,
            maximum_concurrency: scaling.and_then(|scaling| scaling.maximum_concurrency).map(within_bounds),
            pollers: document.provisioned_poller_config.as_ref().and_then(build_pollers),
        }),
        Kind::Stream(kind) => SourceSettings::Stream(StreamSettings {
            arn,
            kind,
            starting_position: starting_position.expect("a stream in which nothing is wrong has a starting position"),
            parallelization_factor: document.parallelization_factor.map_or(1, within_bounds),
            tumbling_window: document
                .tumbling_window_in_seconds
                .filter(|length| *length > 0)
                .map(|length| Duration::from_secs(within_bounds(length))),
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
        filter: filter.map(Arc::new),
        enabled: document.enabled.unwrap_or(true),
        esmd: document.esmd.as_ref().map(build_esmd).unwrap_or_default(),
    }
}

fn build_esmd(document: &EsmdDocument) -> EsmdSettings {
    let duration = |seconds| Duration::from_secs(within_bounds(seconds));
    EsmdSettings {
        function_timeout: document.function_timeout.map(duration),
        invoke_identity_arn: document.invoke_identity_arn.clone().filter(|arn| !arn.is_empty()),
        extend_visibility: document.extend_visibility.unwrap_or(false),
        resolve_large_payloads: document.resolve_large_payloads.unwrap_or(false),
        stall_after: document.stall_after_seconds.map_or(EsmdSettings::default().stall_after, duration),
        keep_filtered: document.keep_filtered.unwrap_or(false),
    }
}

/// A config without numbers asks for no pollers (`docs/semantics.md` 1.9).
fn build_pollers(config: &ProvisionedPollerConfig) -> Option<Pollers> {
    let ProvisionedPollerConfig { minimum_pollers, maximum_pollers, .. } = *config;
    if minimum_pollers.is_none() && maximum_pollers.is_none() {
        return None;
    }
    let minimum = minimum_pollers.map_or(POLLERS_MIN_DEFAULT, within_bounds);
    Some(Pollers { minimum, maximum: maximum_pollers.map_or(POLLERS_MAX_DEFAULT, within_bounds) })
}

fn within_bounds<N: TryFrom<i64>>(number: i64) -> N {
    N::try_from(number).ok().expect("the bounds of the member fit its type")
}

const POLLERS_MIN_DEFAULT: u32 = 2;
const POLLERS_MAX_DEFAULT: u32 = 200;
const QUEUE_BATCH_SIZE_DEFAULT: usize = 10;
const STREAM_BATCH_SIZE_DEFAULT: usize = 100;
