//! Everything that esmd says about itself: the catalogue of metrics (no metric name or label stands anywhere else),
//! their recorder, and the set-up of logs. The core stays silent; the engine reports facts here where they cross.

mod logs;

use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use uuid::Uuid;

use crate::core::Timestamp;
use crate::core::action::DiscardReason;
use crate::core::batch::Batch;
use crate::core::outcome::Outcome;
use crate::core::record::{Origin, Received, ShardId};
use crate::core::status::Status;
use crate::mapping::{EventSourceMapping, SourceSettings, StreamKind};

pub use logs::{LogFormat, chain, install_logs};

/// Every metric: name, unit, help. Labels are `mapping` throughout, and what the table in `docs/metrics.md` adds.
const COUNTERS: &[(&str, &str)] = &[
    (RECORDS_POLLED, "Records read from the source"),
    (RECORDS_FILTERED, "Records read that match no filter of their mapping, so never invoked"),
    (RECORDS_INVOKED, "Records handed to the target, once per attempt"),
    (RECORDS_FAILED, "Records in attempts that did not succeed, by reason"),
    (RECORDS_DROPPED, "Records of a stream that were given up without a destination being told, by reason"),
    (RECORDS_DELIVERED_TO_DESTINATION, "Records of discarded batches that a destination was told of"),
    (DESTINATION_FAILURES, "Failure records that a destination did not take"),
    (RECORDS_DELETED, "Messages deleted from the queue after they were processed or filtered"),
    (RECORDS_RETURNED, "Messages given back to the queue without having been invoked"),
    (RECORDS_LET_GO, "Messages let go, because their lease ended before they were invoked"),
    (LEASES_EXTENDED, "Leases of messages that were extended"),
    (LEASE_EXTENSION_FAILURES, "Leases of messages that could not be extended, each try counted"),
    (SETTLEMENT_FAILURES, "Messages that were not settled: the queue refused, or the lease ended"),
    (MAPPING_WAITS, "Times that a mapping or a shard had to wait, by reason"),
    (INVOCATIONS, "Invocations, by outcome and reason"),
    (POLLS, "Receives from the source"),
    (POLLS_EMPTY, "Receives that brought nothing"),
    (PAYLOADS_NOT_FETCHED, "Messages left, because their bodies could not be fetched from their bucket"),
    (POLL_FAILURES, "Receives that failed, by reason"),
    (POSITIONS_RESET, "Shards read on at their oldest record, as what followed the last one read is gone, by reason"),
    (CHECKPOINT_FAILURES, "Checkpoints that could not be written"),
    (CONSUMER_RESTARTS, "Consumers started again, by reason"),
];
const GAUGES: &[(&str, Unit, &str)] = &[
    (BUILD_INFO, Unit::Count, "1, with the version"),
    (CONFIG_LAST_RELOAD_SUCCESS, Unit::Count, "1 if the configuration file was taken up when it was read last, else 0"),
    (STORE_AVAILABLE, Unit::Count, "1 if the last write to the state store succeeded, else 0"),
    (MAPPING_INFO, Unit::Count, "1, with what the mapping reads and invokes"),
    (MAPPING_ENABLED, Unit::Count, "1 if the mapping is enabled, else 0"),
    (STALLED, Unit::Count, "1 if a shard lags, settles nothing and has no reason to wait, else 0"),
    (SHARDS_HELD_BACK, Unit::Count, "Shards that are not read before others are settled to their end"),
    (CONCURRENCY_LIMIT, Unit::Count, "Batches that may be at the target at a time now"),
    (INVOCATIONS_IN_FLIGHT, Unit::Count, "Batches at the target now"),
    (ITERATOR_AGE, Unit::Seconds, "Age of the oldest unsettled record, or how far behind the tip reading is"),
    (LAST_PROGRESS, Unit::Seconds, "When an invocation last settled records of the shard, in seconds since the epoch"),
    (ATTEMPTS, Unit::Count, "Failed attempts of the batch that fails most now"),
    (SETTLED_RANGES, Unit::Count, "Settled ranges above the checkpoint: what a blocked key has cost"),
];
const HISTOGRAMS: &[(&str, Unit, &str, &[f64])] = &[
    (INVOCATION_DURATION, Unit::Seconds, "Time from the call to the target's answer", SECONDS),
    (LATENCY, Unit::Seconds, "Time from a record's arrival at the source to its successful invocation", SECONDS),
    (BATCH_RECORDS, Unit::Count, "Records of a batch when it is invoked", RECORDS),
    (BATCH_BYTES, Unit::Bytes, "Bytes of an event when it is invoked", BYTES),
];

const RECORDS_POLLED: &str = "esmd_records_polled_total";
const RECORDS_FILTERED: &str = "esmd_records_filtered_total";
const RECORDS_INVOKED: &str = "esmd_records_invoked_total";
const RECORDS_FAILED: &str = "esmd_records_failed_total";
const RECORDS_DROPPED: &str = "esmd_records_dropped_total";
const RECORDS_DELIVERED_TO_DESTINATION: &str = "esmd_records_delivered_to_destination_total";
const DESTINATION_FAILURES: &str = "esmd_destination_failures_total";
const RECORDS_DELETED: &str = "esmd_records_deleted_total";
const RECORDS_RETURNED: &str = "esmd_records_returned_total";
const RECORDS_LET_GO: &str = "esmd_records_let_go_total";
const LEASES_EXTENDED: &str = "esmd_leases_extended_total";
const LEASE_EXTENSION_FAILURES: &str = "esmd_lease_extension_failures_total";
const MAPPING_WAITS: &str = "esmd_mapping_waits_total";
const SETTLEMENT_FAILURES: &str = "esmd_settlement_failures_total";
const INVOCATIONS: &str = "esmd_invocations_total";
const POLLS: &str = "esmd_poll_requests_total";
const POLLS_EMPTY: &str = "esmd_poll_empty_total";
const PAYLOADS_NOT_FETCHED: &str = "esmd_payloads_not_fetched_total";
const POLL_FAILURES: &str = "esmd_poll_failures_total";
const POSITIONS_RESET: &str = "esmd_positions_reset_total";
const CHECKPOINT_FAILURES: &str = "esmd_checkpoint_failures_total";
const CONSUMER_RESTARTS: &str = "esmd_consumer_restarts_total";
const BUILD_INFO: &str = "esmd_build_info";
const CONFIG_LAST_RELOAD_SUCCESS: &str = "esmd_config_last_reload_success";
const STORE_AVAILABLE: &str = "esmd_store_available";
const MAPPING_INFO: &str = "esmd_mapping_info";
const MAPPING_ENABLED: &str = "esmd_mapping_enabled";
const STALLED: &str = "esmd_stalled";
const SHARDS_HELD_BACK: &str = "esmd_shards_held_back";
const INVOCATIONS_IN_FLIGHT: &str = "esmd_inflight_invocations";
const CONCURRENCY_LIMIT: &str = "esmd_concurrency_limit";
const ITERATOR_AGE: &str = "esmd_shard_iterator_age_seconds";
const LAST_PROGRESS: &str = "esmd_shard_last_progress_timestamp_seconds";
const ATTEMPTS: &str = "esmd_shard_attempts";
const SETTLED_RANGES: &str = "esmd_shard_settled_ranges";
const INVOCATION_DURATION: &str = "esmd_invocation_duration_seconds";
const LATENCY: &str = "esmd_end_to_end_latency_seconds";
const BATCH_RECORDS: &str = "esmd_batch_records";
const BATCH_BYTES: &str = "esmd_batch_bytes";

const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
const RECORDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0];
const BYTES: &[f64] = &[1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 2e6, 4e6, 6_291_456.0];

/// How long a gauge that nobody reports stays on the page, such as those of a shard that ended.
const GAUGES_STAY: Duration = Duration::from_mins(5);

/// Installs the recorder and describes every metric.
///
/// # Panics
/// If a recorder is installed already; the process has one.
#[must_use]
pub fn install_metrics() -> PrometheusHandle {
    let mut builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(GAUGES_STAY));
    for (name, _, _, buckets) in HISTOGRAMS {
        builder = builder
            .set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
            .expect("every histogram has buckets");
    }
    let handle = builder.install_recorder().expect("the process installs one recorder");
    for (name, help) in COUNTERS {
        metrics::describe_counter!(*name, *help);
    }
    for (name, unit, help) in GAUGES {
        metrics::describe_gauge!(*name, *unit, *help);
    }
    for (name, unit, help, _) in HISTOGRAMS {
        metrics::describe_histogram!(*name, *unit, *help);
    }
    handle
}

/// Says what runs. Said again and again, as gauges that nobody reports leave the page.
pub fn build_info() {
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// What a mapping reads and invokes, and whether it runs.
pub fn describe_mapping(uuid: Uuid, mapping: &EventSourceMapping) {
    let source_type = match &mapping.source {
        SourceSettings::Queue(_) => "sqs",
        SourceSettings::Stream(stream) => match stream.kind {
            StreamKind::Kinesis => "kinesis",
            StreamKind::Dynamodb => "dynamodb",
        },
    };
    let labels = [
        ("mapping", uuid.to_string()),
        ("source_type", source_type.to_owned()),
        ("source", mapping.source_arn().as_str().to_owned()),
        ("target", mapping.function.as_given().to_owned()),
    ];
    gauge!(MAPPING_INFO, &labels).set(1.0);
    gauge!(MAPPING_ENABLED, "mapping" => uuid.to_string()).set(if mapping.enabled { 1.0 } else { 0.0 });
}

/// Whether a shard of the mapping stalls.
pub fn stalled(mapping: Uuid, stalls: bool) {
    gauge!(STALLED, "mapping" => mapping.to_string()).set(if stalls { 1.0 } else { 0.0 });
}

/// How many shards of the mapping are not read before others are settled to their end.
pub fn held_back(mapping: Uuid, shards: usize) {
    gauge!(SHARDS_HELD_BACK, "mapping" => mapping.to_string()).set(shards as f64);
}

/// Whether the last write to the state store succeeded.
pub fn store_available(available: bool) {
    gauge!(STORE_AVAILABLE).set(if available { 1.0 } else { 0.0 });
}

/// Whether the configuration file was taken up when it was read last.
pub fn config_last_reload(succeeded: bool) {
    gauge!(CONFIG_LAST_RELOAD_SUCCESS).set(if succeeded { 1.0 } else { 0.0 });
}

/// Why a consumer is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartReason {
    /// A fault of esmd itself.
    Panicked,
    /// It lagged, settled nothing, and had no reason to wait.
    Stalled,
}

/// One mapping's metrics. Cloning shares them.
#[derive(Clone)]
pub struct MappingMetrics {
    mapping: String,
    records_polled: Counter,
    records_filtered: Counter,
    records_invoked: Counter,
    /// Found once: of all invocations most succeed.
    invocations_succeeded: Counter,
    records_deleted: Counter,
    records_returned: Counter,
    records_let_go: Counter,
    settlement_failures: Counter,
    polls: Counter,
    polls_empty: Counter,
    checkpoint_failures: Counter,
    invocation_duration: Histogram,
    latency: Histogram,
    batch_records: Histogram,
    batch_bytes: Histogram,
}

impl MappingMetrics {
    /// Registers the mapping's series.
    #[must_use]
    pub fn new(mapping: Uuid) -> Self {
        let mapping = mapping.to_string();
        let counter = |name: &'static str| counter!(name, "mapping" => mapping.clone());
        let histogram = |name: &'static str| histogram!(name, "mapping" => mapping.clone());
        Self {
            records_polled: counter(RECORDS_POLLED),
            records_filtered: counter(RECORDS_FILTERED),
            records_invoked: counter(RECORDS_INVOKED),
            invocations_succeeded: invocations(&mapping, &Outcome::Succeeded),
            records_deleted: counter(RECORDS_DELETED),
            records_returned: counter(RECORDS_RETURNED),
            records_let_go: counter(RECORDS_LET_GO),
            settlement_failures: counter(SETTLEMENT_FAILURES),
            polls: counter(POLLS),
            polls_empty: counter(POLLS_EMPTY),
            checkpoint_failures: counter(CHECKPOINT_FAILURES),
            invocation_duration: histogram(INVOCATION_DURATION),
            latency: histogram(LATENCY),
            batch_records: histogram(BATCH_RECORDS),
            batch_bytes: histogram(BATCH_BYTES),
            mapping,
        }
    }

    /// A receive answered.
    pub fn received(&self, received: &Received) {
        self.polls.increment(1);
        self.records_polled.increment((received.records.len() + received.unresolved) as u64);
        self.records_filtered.increment(received.filtered.len() as u64);
        if received.unresolved > 0 {
            counter!(PAYLOADS_NOT_FETCHED, "mapping" => self.mapping.clone()).increment(received.unresolved as u64);
        }
        if received.records.is_empty() {
            self.polls_empty.increment(1);
        }
        if let Some(reset) = received.reset {
            counter!(POSITIONS_RESET, "mapping" => self.mapping.clone(), "reason" => reset.name()).increment(1);
        }
    }

    /// A receive failed.
    pub fn receive_failed(&self, reason: &'static str) {
        self.polls.increment(1);
        counter!(POLL_FAILURES, "mapping" => self.mapping.clone(), "reason" => reason).increment(1);
    }

    /// An invocation ended.
    pub fn invoked(&self, batch: &Batch, payload_bytes: usize, outcome: &Outcome, took: Duration, now: Timestamp) {
        self.records_invoked.increment(batch.len() as u64);
        self.batch_records.record(batch.len() as f64);
        self.batch_bytes.record(payload_bytes as f64);
        self.invocation_duration.record(took);
        if *outcome == Outcome::Succeeded {
            self.invocations_succeeded.increment(1);
        } else {
            invocations(&self.mapping, outcome).increment(1);
        }
        let failed = match outcome {
            Outcome::Succeeded => &[],
            Outcome::Partial(failed) => failed.as_slice(),
            Outcome::Failed(_) | Outcome::Throttled | Outcome::Unavailable(_) => {
                return self.failed(batch.len(), outcome);
            }
        };
        self.failed(failed.len(), outcome);
        for (place, record) in batch.records().enumerate() {
            match record.origin {
                Origin::Message { .. } if failed.binary_search(&place).is_ok() => {}
                // A stream's records are invoked again from the first that failed.
                Origin::Position(_) if failed.first() == Some(&place) => break,
                _ => self.latency.record(now.since(record.arrived_at)),
            }
        }
    }

    fn failed(&self, records: usize, outcome: &Outcome) {
        if records > 0 {
            let reason = if outcome.reason().is_empty() { outcome.name() } else { outcome.reason() };
            let failed = counter!(RECORDS_FAILED, "mapping" => self.mapping.clone(), "reason" => reason);
            failed.increment(records as u64);
        }
    }

    /// Records were given up, and no destination was told.
    pub fn dropped(&self, records: u64, reason: DiscardReason) {
        let labels = [("mapping", self.mapping.clone()), ("reason", reason.name().to_owned())];
        counter!(RECORDS_DROPPED, &labels).increment(records);
    }

    /// A destination was told of discarded records.
    pub fn delivered_to_destination(&self, records: u64, destination_type: &'static str) {
        let labels = [("mapping", self.mapping.clone()), ("destination_type", destination_type.to_owned())];
        counter!(RECORDS_DELIVERED_TO_DESTINATION, &labels).increment(records);
    }

    /// A destination did not take a failure record.
    pub fn destination_failed(&self, destination_type: &'static str) {
        let labels = [("mapping", self.mapping.clone()), ("destination_type", destination_type.to_owned())];
        counter!(DESTINATION_FAILURES, &labels).increment(1);
    }

    /// The queue deleted a message.
    pub fn deleted(&self) {
        self.records_deleted.increment(1);
    }

    /// The queue took a message back.
    pub fn returned(&self) {
        self.records_returned.increment(1);
    }

    /// A message was not deleted or taken back: the queue refused, or the lease ended.
    pub fn settlement_failed(&self) {
        self.settlement_failures.increment(1);
    }

    /// A queue answered whether a message's lease is longer now.
    pub fn extended(&self, confirmed: bool) {
        let name = if confirmed { LEASES_EXTENDED } else { LEASE_EXTENSION_FAILURES };
        counter!(name, "mapping" => self.mapping.clone()).increment(1);
    }

    /// The leases of messages ended before they were invoked.
    pub fn let_go(&self, messages: u64) {
        self.records_let_go.increment(messages);
    }

    /// The mapping could not run or not look at its shards, or a shard waits.
    pub fn waited(&self, reason: &'static str) {
        counter!(MAPPING_WAITS, "mapping" => self.mapping.clone(), "reason" => reason).increment(1);
    }

    /// A checkpoint could not be written.
    pub fn checkpoint_failed(&self) {
        self.checkpoint_failures.increment(1);
    }

    /// A consumer is started again.
    pub fn consumer_restarted(&self, reason: RestartReason) {
        let reason = match reason {
            RestartReason::Panicked => "panic",
            RestartReason::Stalled => "stalled",
        };
        counter!(CONSUMER_RESTARTS, "mapping" => self.mapping.clone(), "reason" => reason).increment(1);
    }

    /// The series of one shard.
    #[must_use]
    pub fn shard(&self, shard: &ShardId) -> ShardMetrics {
        ShardMetrics { labels: [("mapping", self.mapping.clone()), ("shard", shard.as_str().to_owned())] }
    }
}

fn invocations(mapping: &str, outcome: &Outcome) -> Counter {
    let labels = [
        ("mapping", mapping.to_owned()),
        ("outcome", outcome.name().to_owned()),
        ("reason", outcome.reason().to_owned()),
    ];
    counter!(INVOCATIONS, &labels)
}

/// One shard's gauges. They are looked up at each report: a gauge that nobody reports leaves the page, and a handle
/// kept longer than that would write to nothing.
pub struct ShardMetrics {
    labels: [(&'static str, String); 2],
}

impl ShardMetrics {
    /// How the shard stands now. `behind` is what the source said of its last read.
    pub fn report(&self, now: Timestamp, status: Status, behind: Duration, last_progress: Option<Timestamp>) {
        let age = status.oldest_arrival.map_or(behind, |oldest| now.since(oldest).max(behind));
        gauge!(ITERATOR_AGE, &self.labels).set(age.as_secs_f64());
        gauge!(ATTEMPTS, &self.labels).set(f64::from(status.attempts));
        gauge!(SETTLED_RANGES, &self.labels).set(status.settled_ranges as f64);
        gauge!(CONCURRENCY_LIMIT, &self.labels).set(status.lanes as f64);
        gauge!(INVOCATIONS_IN_FLIGHT, &self.labels).set(status.invoking as f64);
        if let Some(last_progress) = last_progress {
            gauge!(LAST_PROGRESS, &self.labels).set(last_progress.as_millis() as f64 / 1e3);
        }
    }
}

#[cfg(test)]
mod tests;
