//! A consumer's settings: what its mapping says, less what only adapters need.

use std::time::Duration;

use super::scaling::ScalingSettings;
use crate::mapping::{EventSourceMapping, Pollers, QueueSettings, Retries, SourceSettings};

/// How a consumer batches and how many batches it has in flight.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What settles a record.
    pub kind: Kind,
    /// Most batches in flight, at least 1.
    pub lanes: usize,
    /// Most records of a batch, at least 1.
    pub batch_size: usize,
    /// How long an incomplete batch waits for more; zero: not at all.
    pub window: Duration,
    /// Length of a stream's tumbling windows, whole seconds; `None`: it has none. Then there is one lane.
    pub tumbling_window: Option<Duration>,
    /// Most bytes of a batch's elements, each counted with a comma. A window's state counts too.
    pub batch_bytes: usize,
    /// When a stream's records are given up.
    pub retry: RetrySettings,
    /// Whether a queue's messages that no filter let through are left to others instead of deleted.
    pub keeps_filtered: bool,
    /// What only a queue has.
    pub queue: QueueRules,
    /// Seed of the back-off's jitter.
    pub seed: u64,
}

/// When a stream's records are given up, and how a failed batch is tried again (`docs/semantics.md` 6.6). The default
/// is AWS's: never, and unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetrySettings {
    /// Most attempts of the same records, the first one included; `None`: no limit.
    pub attempts_max: Option<u32>,
    /// Records this old are not invoked; `None`: no limit.
    pub age_max: Option<Duration>,
    /// How long the source keeps records; `None`: it does not say. Those that failed are given up after that.
    pub retention: Option<Duration>,
    /// Whether a failed batch of several records is halved.
    pub bisect: bool,
}

/// What holds for a queue's consumer alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueRules {
    /// How its lanes follow what is received; `None`: it has all of them at any time.
    pub scaling: Option<ScalingSettings>,
    /// Whether the leases of what is held are extended until it is settled.
    pub extends_visibility: bool,
}

/// The kind of source decides three things: a failed batch is retried or left, settling moves the watermark or
/// deletes, and only a stream is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Settled by deleting.
    Queue,
    /// Settled by a checkpoint.
    Stream,
}

impl Settings {
    /// The settings of a mapping's consumers. `batch_bytes`, `retention` and `seed` are the fields of these names.
    #[must_use]
    pub fn of(mapping: &EventSourceMapping, batch_bytes: usize, retention: Option<Duration>, seed: u64) -> Self {
        let (kind, lanes, retry, tumbling_window, queue) = match &mapping.source {
            SourceSettings::Queue(queue) => {
                let (lanes, scaling) = scaling(queue, !mapping.reports_failures);
                let extends_visibility = mapping.esmd.extend_visibility;
                let rules = QueueRules { scaling: Some(scaling), extends_visibility };
                (Kind::Queue, lanes, RetrySettings::default(), None, rules)
            }
            SourceSettings::Stream(stream) => {
                let Retries { maximum_attempts, maximum_record_age, bisect } = stream.retries;
                let attempts_max = maximum_attempts.map(|retries| retries + 1);
                let retry = RetrySettings { attempts_max, age_max: maximum_record_age, retention, bisect };
                let lanes = small(stream.parallelization_factor);
                (Kind::Stream, lanes, retry, stream.tumbling_window, QueueRules::default())
            }
        };
        let (batch_size, window) = (mapping.batching.size, mapping.batching.window);
        let keeps_filtered = mapping.esmd.keep_filtered;
        Self { kind, lanes, batch_size, window, tumbling_window, batch_bytes, retry, keeps_filtered, queue, seed }
    }
}

/// A queue's most lanes, and how many of them it has when (`docs/semantics.md` 4.1).
fn scaling(queue: &QueueSettings, falls_on_failure: bool) -> (usize, ScalingSettings) {
    if let Some(Pollers { minimum, maximum }) = queue.pollers {
        let scaling = ScalingSettings {
            idle: small(minimum) * LANES_PER_POLLER,
            per_minute: POLLERS_LANES_PER_MINUTE,
            receives_idle: small(minimum),
            lanes_per_receive: LANES_PER_POLLER,
            receive_interval: POLLER_INTERVAL,
            falls_on_failure,
        };
        return (small(maximum) * LANES_PER_POLLER, scaling);
    }
    let lanes = queue.maximum_concurrency.map_or(LANES_MAX, small);
    let scaling = ScalingSettings {
        idle: lanes.min(LANES_IDLE),
        per_minute: LANES_PER_MINUTE,
        receives_idle: RECEIVES_IDLE,
        lanes_per_receive: 1,
        receive_interval: Duration::ZERO,
        falls_on_failure,
    };
    (lanes, scaling)
}

fn small(number: u32) -> usize {
    usize::try_from(number).expect("a number of lanes is small")
}

/// A queue's lanes without `MaximumConcurrency`.
const LANES_MAX: usize = 1_250;
const LANES_IDLE: usize = 5;
const LANES_PER_MINUTE: u32 = 300;
/// An idle queue costs this many long polls at a time.
const RECEIVES_IDLE: usize = 2;

/// Of provisioned mode.
const LANES_PER_POLLER: usize = 10;
const POLLERS_LANES_PER_MINUTE: u32 = 1_000;
/// A poller asks ten times a second at most.
const POLLER_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::Timestamp;
    use crate::mapping::validate::Scope;

    /// `docs/semantics.md` 4.1
    #[test]
    fn a_queue_has_the_lanes_of_its_mapping_and_begins_with_a_few() {
        for (members, lanes, expected) in [
            (json!({}), 1_250, ramp(5, 2)),
            (json!({"ScalingConfig": {"MaximumConcurrency": 1_000}}), 1_000, ramp(5, 2)),
            (json!({"ScalingConfig": {"MaximumConcurrency": 3}}), 3, ramp(3, 2)),
            (json!({"FunctionResponseTypes": ["ReportBatchItemFailures"]}), 1_250, {
                ScalingSettings { falls_on_failure: false, ..ramp(5, 2) }
            }),
            (json!({"ProvisionedPollerConfig": {"MinimumPollers": 3, "MaximumPollers": 7}}), 70, {
                let receive_interval = Duration::from_millis(100);
                ScalingSettings { per_minute: 1_000, lanes_per_receive: 10, receive_interval, ..ramp(30, 3) }
            }),
        ] {
            let settings = settings("arn:aws:sqs:eu-west-1:123456789012:orders", &members);
            assert_eq!((settings.kind, settings.lanes, settings.queue.scaling), (Kind::Queue, lanes, Some(expected)));
            assert_eq!((settings.retry, settings.tumbling_window), (RetrySettings::default(), None));
        }
    }

    #[test]
    fn what_a_queues_mapping_says_of_esmd_reaches_its_consumer() {
        let members = json!({"BatchSize": 7, "MaximumBatchingWindowInSeconds": 3, "Esmd": {"ExtendVisibility": true,
            "KeepFiltered": true}, "FilterCriteria": {"Filters": [{"Pattern": "{\"a\": [1]}"}]}});
        let settings = settings("arn:aws:sqs:eu-west-1:123456789012:orders", &members);
        assert!(settings.keeps_filtered && settings.queue.extends_visibility);
        assert_eq!((settings.batch_size, settings.window), (7, Duration::from_secs(3)));
        assert_eq!((settings.batch_bytes, settings.seed), (1_000, 7));
    }

    /// `docs/semantics.md` 6.4, 6.6 and 6.9
    #[test]
    fn a_streams_retries_are_attempts_after_the_first() {
        let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
        let settings = |members: Value| settings(stream, &members);
        let most = json!({"MaximumRetryAttempts": 2, "MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": true,
            "ParallelizationFactor": 4, "StartingPosition": "LATEST"});
        let settings_most = settings(most);
        assert_eq!((settings_most.kind, settings_most.lanes), (Kind::Stream, 4));
        let age_max = Some(Duration::from_mins(1));
        let retry = RetrySettings { attempts_max: Some(3), age_max, retention: RETENTION, bisect: true };
        assert_eq!((settings_most.retry, settings_most.queue.scaling), (retry, None));
        let windows = settings(json!({"TumblingWindowInSeconds": 30, "StartingPosition": "LATEST"}));
        assert_eq!(windows.tumbling_window, Some(Duration::from_secs(30)));
        assert_eq!(windows.retry, RetrySettings { retention: RETENTION, ..RetrySettings::default() });
    }

    /// Lanes at the start, and receives of an idle queue.
    fn ramp(idle: usize, receives_idle: usize) -> ScalingSettings {
        ScalingSettings {
            idle,
            per_minute: 300,
            receives_idle,
            lanes_per_receive: 1,
            receive_interval: Duration::ZERO,
            falls_on_failure: true,
        }
    }

    fn settings(source: &str, members: &Value) -> Settings {
        let mut document = json!({"FunctionName": "fn", "EventSourceArn": source});
        for (name, value) in members.as_object().expect("members") {
            document[name] = value.clone();
        }
        let document = serde_json::from_value(document).expect("a document");
        let now = Timestamp::default().to_utc().expect("1970");
        let scope = Scope { region: None, custom_endpoint: true, now };
        let mapping = EventSourceMapping::from_document(&document, &scope).expect("a valid one");
        Settings::of(&mapping, 1_000, RETENTION, 7)
    }

    const RETENTION: Option<Duration> = Some(Duration::from_hours(24));
}
