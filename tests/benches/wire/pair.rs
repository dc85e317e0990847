//! Both sides on the same load, in turns, and what is said of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::measure::Spread;
use crate::side::{Kind, Setup, Side, Snapshot};
use crate::wire::Latency;

/// What lies between two moments of a side.
pub struct Measured {
    pub records: u64,
    pub wall: Duration,
    pub cpu: Duration,
    pub server_cpu: Duration,
    pub calls: BTreeMap<String, u64>,
    pub latency: Latency,
    /// MiB, over the whole life of the process.
    pub peak_memory: f64,
}

impl Measured {
    pub fn between(before: &Snapshot, after: Snapshot, peak_memory: f64) -> Self {
        let mut calls = after.stats.calls;
        for (name, count) in &before.stats.calls {
            calls.entry(name.clone()).and_modify(|calls| *calls -= count);
        }
        let invocations = after.stats.invocations - before.stats.invocations;
        calls.insert("Invoke".to_owned(), invocations);
        calls.retain(|_, count| *count > 0);
        Self {
            records: after.stats.records - before.stats.records,
            wall: after.at - before.at,
            cpu: after.cpu.saturating_sub(before.cpu),
            server_cpu: after.server_cpu.saturating_sub(before.server_cpu),
            calls,
            latency: after.stats.latency,
            peak_memory,
        }
    }

    /// CPU milliseconds for a thousand records.
    fn cpu_per_thousand(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.records as f64
    }

    fn calls_per_thousand(&self) -> String {
        let each = self.calls.iter().map(|(name, count)| {
            let per_thousand = *count as f64 * 1e3 / self.records as f64;
            format!("{name} {per_thousand:.1}")
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Both sides' rounds.
pub struct Pair {
    esmd: Vec<Measured>,
    bare_loop: Vec<Measured>,
}

/// Runs both in turns. Counts the records from `warm` to `until`.
pub async fn beside(setup: &Setup, warm: u64, until: u64) -> Pair {
    let mut pair = Pair { esmd: Vec::new(), bare_loop: Vec::new() };
    for _ in 0..ROUNDS {
        pair.esmd.push(run(Kind::Esmd, setup, warm, until).await);
        pair.bare_loop.push(run(Kind::BareLoop, setup, warm, until).await);
    }
    pair
}

async fn run(kind: Kind, setup: &Setup, warm: u64, until: u64) -> Measured {
    let side = Side::start(kind, setup).await;
    let before = side.after(warm).await;
    let after = side.after(until).await;
    Measured::between(&before, after, side.peak_memory())
}

impl Pair {
    pub fn print(&self) {
        for (name, rounds) in [("esmd", &self.esmd), ("bare loop", &self.bare_loop)] {
            let of = |figure: fn(&Measured) -> f64| Spread::of(rounds.iter().map(figure));
            println!(
                "  {name:<9}  CPU ms/1,000 {:<22.2}  records/s {:<28.0}  server CPU ms/1,000 {:.2}",
                of(Measured::cpu_per_thousand),
                of(|round| round.records as f64 / round.wall.as_secs_f64()),
                of(|round| round.server_cpu.as_secs_f64() * 1e6 / round.records as f64).median,
            );
            let (memory, calls) = (of(|round| round.peak_memory).median, rounds[0].calls_per_thousand());
            println!("  {:<9}  peak MiB {memory:.0}  calls/1,000: {calls}", "");
        }
        let ratios = |figure: fn(&Measured) -> f64| {
            Spread::of(self.esmd.iter().zip(&self.bare_loop).map(|(esmd, bare)| figure(esmd) / figure(bare)))
        };
        println!(
            "  esmd / bare loop: CPU {}, time {}",
            ratios(Measured::cpu_per_thousand),
            ratios(|round| round.wall.as_secs_f64() / round.records as f64),
        );
    }

    /// Only of a load that comes at a rate both keep up with: else it says how long the queue in front of them is.
    pub fn print_latency(&self) {
        for (name, rounds) in [("esmd", &self.esmd), ("bare loop", &self.bare_loop)] {
            let of = |figure: fn(&Latency) -> u32| Spread::of(rounds.iter().map(|round| figure(&round.latency).into()));
            let (p50, p99, p999) = (of(|latency| latency.p50), of(|latency| latency.p99), of(|latency| latency.p999));
            println!("  {name:<9}  latency µs p50 {p50:.0}, p99 {p99:.0}, p99.9 {p999:.0}");
        }
        let added = |figure: fn(&Latency) -> u32| {
            let pairs = self.esmd.iter().zip(&self.bare_loop);
            Spread::of(pairs.map(|(esmd, bare)| f64::from(figure(&esmd.latency)) - f64::from(figure(&bare.latency))))
        };
        let (p50, p99, p999) =
            (added(|latency| latency.p50), added(|latency| latency.p99), added(|latency| latency.p999));
        println!("  added µs: p50 {p50:.0}, p99 {p99:.0}, p99.9 {p999:.0}");
    }
}

/// Pairs in turns.
const ROUNDS: usize = 5;
