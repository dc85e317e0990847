//! Many seeds, over all cores if asked to: what `make sim` runs.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::run::{Report, Scenario};
use crate::scenarios;

/// What all runs had in sum.
#[derive(Default)]
struct Sum {
    seeds: u64,
    records: usize,
    invocations: u64,
    passed: Duration,
    met: BTreeMap<String, u64>,
    broken: Vec<String>,
}

/// Runs seeds until one breaks a rule.
pub fn run() {
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let from = number("SIM_FROM").unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000_000);
    let threads = number("SIM_THREADS").unwrap_or(1);
    println!("seeds {from} to {}", from + seeds - 1);
    let (next, sum) = (AtomicU64::new(from), Mutex::new(Sum::default()));
    let began = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds || !lock(&sum).broken.is_empty() {
                return;
            }
            let scenario = scenario_of(seed);
            let report = catch_unwind(|| scenario.run(seed));
            let mut sum = lock(&sum);
            sum.add(scenario, seed, report);
            if sum.seeds.is_multiple_of(PROGRESS_EVERY) {
                println!("{} seeds, {} records, {:.0} s", sum.seeds, sum.records, began.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (kind, count) in &sum.met {
        println!("{count:>10} {kind}");
    }
    println!(
        "{} seeds, {} records, {} invocations, {:.1} virtual hours, {:.0} s",
        sum.seeds,
        sum.records,
        sum.invocations,
        sum.passed.as_secs_f64() / 3_600.0,
        began.elapsed().as_secs_f64()
    );
    assert!(sum.broken.is_empty(), "\n{}", sum.broken.join("\n"));
}

/// Replays one seed and prints its trace.
pub fn replay() {
    let seed = number("SIM_SEED").expect("SIM_SEED names a seed");
    let scenario = scenario_of(seed);
    let report = scenario.replay(seed);
    println!("{}", report.trace);
    println!("{} of seed {seed}: {:?}", scenario.name, report.verdict);
    assert_eq!(report.verdict, Ok(()));
}

/// Every seed has its scenario, unless one is named.
fn scenario_of(seed: u64) -> &'static Scenario {
    match variable("SIM_SCENARIO") {
        Some(name) => scenarios::ALL.iter().find(|scenario| scenario.name == name).expect("a known scenario"),
        None => &scenarios::ALL[Random::new(seed).index(scenarios::ALL.len())],
    }
}

impl Sum {
    fn add(&mut self, scenario: &Scenario, seed: u64, report: std::thread::Result<Report>) {
        self.seeds += 1;
        let name = scenario.name;
        let replay = format!("replay: make sim SCENARIO={name} SEED={seed}");
        let Ok(report) = report else {
            return self.broken.push(format!("{name}, seed {seed}: the simulation panicked\n{replay}"));
        };
        self.records += report.records;
        self.invocations += report.invocations;
        self.passed += report.passed;
        for (kind, count) in report.met {
            *self.met.entry(kind).or_default() += count;
        }
        if let Err(what) = report.verdict {
            self.broken.push(format!("{name}, seed {seed}: {what}\n{replay}"));
        }
    }
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn lock(sum: &Mutex<Sum>) -> std::sync::MutexGuard<'_, Sum> {
    sum.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice that takes about a minute without optimisation.
const SEEDS: u64 = 80;
const PROGRESS_EVERY: u64 = 500;
