//! The table that Confluent's parallel-consumer publishes, a consumer of Kafka that works in order by key: what esmd takes
//! for the same load. Theirs is of another machine and another source, so it stands beside and judges nothing.

use std::time::Duration;

use crate::QUEUE_ARN;
use crate::cases::{idle_queue, polled_mapping, stream_mapping};
use crate::measure::Spread;
use crate::side::{Kind, Setup, Side};
use crate::wire::{Load, Stats};

pub async fn table() {
    println!(
        "{RECORDS} records with 0 to 5 ms of work each, BatchSize 10; seconds from the first read to the last answer"
    );
    println!(
        "  {:<24} {:>5}  {:<21} {:>6}  {:>9}  parallel-consumer",
        "source", "keys", "seconds", "ideal", "in flight"
    );
    for keys in [1, 5, 20, 1_000] {
        let shards = SHARDS.min(keys);
        let setup = setup(keys / shards, shards, stream_mapping(10, 10));
        measure(&format!("Kinesis, {shards} × 10 lanes"), keys, &setup).await;
    }
    for (pollers, groups) in [(100, 1), (100, 5), (100, 20), (100, 1_000), (10, 20), (10, 1_000)] {
        let setup = setup(groups, 1, polled_mapping(&format!("{QUEUE_ARN}.fifo"), pollers));
        measure(&format!("FIFO, {pollers} pollers"), groups, &setup).await;
    }
}

/// Where there are fewer keys than shards, the others would be empty: they are left out.
fn setup(keys: u64, shards: u64, mapping: serde_json::Value) -> Setup {
    let load = Load { keys, shards, work_max: WORK_MAX, ..Load::backlog(RECORDS, 100) };
    Setup { load, mappings: vec![mapping], work: idle_queue() }
}

/// The ideal is all the work, shared evenly by as many lanes as there are keys for, but a hundred.
async fn measure(source: &str, keys: u64, setup: &Setup) {
    let mut runs = Vec::new();
    for _ in 0..if keys > 1 { RUNS } else { 1 } {
        runs.push(run(setup).await);
    }
    let seconds = Spread::of(runs.iter().map(|stats| Duration::from_nanos(stats.span_of_reads).as_secs_f64()));
    let in_flight = runs.iter().map(|stats| stats.invoking_max).max().expect("there was a run");
    let work: Duration = (0..RECORDS).map(|number| setup.load.work(number)).sum();
    let ideal = work.as_secs_f64() / keys.min(IN_FLIGHT) as f64;
    let published = PUBLISHED.iter().find(|(published, _)| *published == keys).expect("it has a row for these keys").1;
    println!("  {source:<24} {keys:>5}  {:<21} {ideal:>6.2}  {in_flight:>9}  {published:.2}", seconds.to_string());
}

async fn run(setup: &Setup) -> Stats {
    let side = Side::start(Kind::Esmd, setup).await;
    let stats = side.after(RECORDS).await.stats;
    assert_eq!((stats.records, stats.out_of_order), (RECORDS, 0), "each comes once, in the order of its key");
    stats
}

const RECORDS: u64 = 10_000;
const WORK_MAX: Duration = Duration::from_millis(5);
const IN_FLIGHT: u64 = 100;
const SHARDS: u64 = 10;

/// One key takes so long and varies so little that it runs once.
const RUNS: usize = 5;

/// Seconds by the number of keys, ordered by key: from the project's README, for 10,000 messages of 0 to 5 ms, 100 at a
/// time.
const PUBLISHED: [(u64, f64); 4] = [(1, 26.7), (5, 5.9), (20, 2.24), (1_000, 2.06)];
