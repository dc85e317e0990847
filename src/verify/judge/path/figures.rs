//! What is counted on the whole path. Plain data, as it stands in reports.

use serde::Serialize;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PathFigures {
    /// Records that the source took.
    pub sent: usize,
    /// Records that the function processed with success.
    pub delivered: usize,
    /// Records that were given up by the rules: attempts, age, redrive.
    pub given_up: usize,
    /// Records that were neither.
    pub lost: usize,
    /// Of those, records that the raw readers did not get either, or whose shard vanished.
    pub gone_from_server: usize,
    /// How often records reached the function.
    pub deliveries: usize,
    /// Deliveries of records that the function had seen, by reason.
    pub repeats: Repeats,
    /// How often the daemon was killed.
    pub kills: usize,
    /// Invocations by what came of them.
    pub invocations: Invocations,
    /// Records in a batch.
    pub batch_size: Option<Spread>,
    /// Deliveries of one record.
    pub attempts: Option<Spread>,
    /// From the put to the first invocation, milliseconds.
    pub latency_ms: Option<Percentiles>,
}

/// Why records came again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// The function had failed or named it, or its batch.
    pub after_failure: usize,
    /// The daemon was killed in between.
    pub after_crash: usize,
    /// The queue handed it out again though it had succeeded.
    pub by_server: usize,
    /// None of these.
    pub unexplained: usize,
}

/// Invocations by what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Invocations {
    /// Success.
    pub succeeded: usize,
    /// A function error.
    pub failed: usize,
    /// A partial response.
    pub partial: usize,
    /// Refused.
    pub throttled: usize,
    /// The caller went away.
    pub cut: usize,
}

/// Least, mean and greatest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: usize,
    /// The mean.
    pub mean: f64,
    /// The greatest.
    pub greatest: usize,
}

/// Percentiles, by nearest rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50: u64,
    /// Nine in ten.
    pub p90: u64,
    /// 99 in a hundred.
    pub p99: u64,
    /// All.
    pub max: u64,
}

impl Spread {
    /// Of nothing there is none.
    pub(super) fn of(values: &[usize]) -> Option<Self> {
        let (least, greatest) = (*values.iter().min()?, *values.iter().max()?);
        Some(Self { least, mean: values.iter().sum::<usize>() as f64 / values.len() as f64, greatest })
    }
}

impl Percentiles {
    /// Of nothing there is none.
    pub(super) fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50: at(50)?, p90: at(90)?, p99: at(99)?, max: at(100)? })
    }
}
