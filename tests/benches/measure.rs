//! How benches measure: a piece of work beside its baseline, in turns in one run, so that a machine whose speed drifts
//! slows both. The figure to trust is the ratio of a pair; single times are those of this machine on this day.

use std::fmt;
use std::time::Duration;

/// Pairs that are counted, after one that is not.
pub const ROUNDS: usize = 11;

/// Median and spread of one figure.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub lowest: f64,
    pub median: f64,
    pub highest: f64,
}

/// What a pair of pieces of work took, in CPU seconds of the measuring thread.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    pub cpu: Spread,
    pub baseline_cpu: Spread,
    /// CPU seconds over the baseline's, pair by pair.
    pub ratio: Spread,
}

/// Runs both in turns, each on an input of its own that is made and dropped off the clock.
pub fn beside<Input, Output>(
    mut prepare: impl FnMut() -> Input,
    mut work: impl FnMut(Input) -> Output,
    mut baseline: impl FnMut(Input) -> Output,
) -> Comparison {
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        rounds.push((timed(prepare(), &mut work), timed(prepare(), &mut baseline)));
    }
    rounds.remove(0); // the first one warms the caches
    Comparison {
        cpu: Spread::of(rounds.iter().map(|(work, _)| work.as_secs_f64())),
        baseline_cpu: Spread::of(rounds.iter().map(|(_, baseline)| baseline.as_secs_f64())),
        ratio: Spread::of(rounds.iter().map(|(work, baseline)| work.as_secs_f64() / baseline.as_secs_f64())),
    }
}

fn timed<Input, Output>(input: Input, work: &mut impl FnMut(Input) -> Output) -> Duration {
    let began = thread_cpu();
    let output = work(input);
    let took = thread_cpu().saturating_sub(began);
    drop(std::hint::black_box(output));
    took
}

/// CPU time of this thread, which a busy neighbour does not lengthen. The kernel brings it up to date when the thread
/// gives way; else it would be that of the last tick.
fn thread_cpu() -> Duration {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("benches run on Linux");
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first field is the time on the processor, in nanoseconds"))
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self { lowest: values[0], median: values[values.len() / 2], highest: values[values.len() - 1] }
    }

    /// The spread of a rate: this much done in each of these times.
    pub fn rate(self, amount: f64) -> Self {
        Self { lowest: amount / self.highest, median: amount / self.median, highest: amount / self.lowest }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = formatter.precision().unwrap_or(2);
        write!(
            formatter,
            "{:.*} ({:.*} to {:.*})",
            precision, self.median, precision, self.lowest, precision, self.highest
        )
    }
}
