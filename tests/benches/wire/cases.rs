//! What is measured, one function a case.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bare_loop::Work;
use crate::measure::Spread;
use crate::pair::{Measured, beside};
use crate::side::{Kind, Setup, Side};
use crate::table::table;
use crate::wire::Load;
use crate::{QUEUE_ARN, STREAM_ARN};

/// Runs the cases whose names begin with one of these, or all.
pub async fn run(names: &[String]) {
    let wanted = |case: &str| names.is_empty() || names.iter().any(|name| case.starts_with(name.as_str()));
    macro_rules! cases {
        ($($case:ident)*) => { $(if wanted(stringify!($case)) {
            print!("{}: ", stringify!($case));
            $case().await;
            println!();
        })* };
    }
    cases!(size start queue_10 stream_100 stream_10000 latency_queue latency_stream parallel table lanes backlog idle mappings);
}

async fn size() {
    let bytes = |path: &Path| std::fs::metadata(path).expect("it was built").len() as f64 / 1e6;
    let built = Path::new(env!("CARGO_BIN_EXE_esmd"));
    let stripped = std::env::temp_dir().join(format!("esmd-stripped-{}", std::process::id()));
    let strip = tokio::process::Command::new("strip").arg("-o").arg(&stripped).arg(built).status().await;
    assert!(strip.is_ok_and(|status| status.success()), "strip is on the machine");
    println!("{:.1} MB with line tables, {:.1} MB stripped", bytes(built), bytes(&stripped));
    std::fs::remove_file(stripped).expect("it was just written");
}

/// One message is there before the process starts.
async fn start() {
    println!("process start to the first invocation, ms");
    for (name, mapping, shards) in [("queue", queue_mapping(1), 1), ("stream", stream_mapping(10, 1), 1)] {
        let setup =
            Setup { load: Load { shards, ..Load::backlog(1, 100) }, mappings: vec![mapping], work: idle_queue() };
        let mut times = Vec::new();
        for _ in 0..11 {
            let side = Side::start(Kind::Esmd, &setup).await;
            times.push(side.start_to_first_arrival().await.as_secs_f64() * 1e3);
        }
        println!("  {name}: {:.0}", Spread::of(times.into_iter()));
    }
}

async fn queue_10() {
    println!("SQS, messages of 200 bytes, BatchSize 10, 10 at a time");
    let setup =
        Setup { load: Load::backlog(ENDLESS, 200), mappings: vec![queue_mapping(10)], work: Work::Queue { loops: 10 } };
    beside(&setup, 20_000, 80_000).await.print();
}

async fn stream_100() {
    println!("Kinesis, records of 60 bytes, BatchSize 100, 64 shards");
    stream(64, 100, 1_000).await;
}

async fn stream_10000() {
    println!("Kinesis, records of 60 bytes, BatchSize 10,000, 16 shards");
    stream(16, 10_000, 10_000).await;
}

/// Enough shards that their pace (`docs/semantics.md` 6.2) is no limit.
async fn stream(shards: u64, batch: usize, page: i32) {
    let setup = Setup {
        load: Load { shards, ..Load::backlog(ENDLESS, 60) },
        mappings: vec![stream_mapping(batch, 1)],
        work: Work::Stream { page, batch, poll: POLL },
    };
    beside(&setup, 200_000, 800_000).await.print();
}

async fn latency_queue() {
    println!("SQS, 500 messages a second, 5 at a time; latency from the put");
    let setup = Setup {
        load: Load { puts_per_second: Some(500), ..Load::backlog(ENDLESS, 200) },
        mappings: vec![queue_mapping(5)],
        work: Work::Queue { loops: 5 },
    };
    let pair = beside(&setup, 1_000, 6_000).await;
    pair.print();
    pair.print_latency();
}

async fn latency_stream() {
    println!("Kinesis, 1,000 records a second over 10 shards, BatchSize 100; latency from the read");
    let setup = Setup {
        load: Load { puts_per_second: Some(1_000), shards: 10, ..Load::backlog(ENDLESS, 200) },
        mappings: vec![stream_mapping(100, 1)],
        work: Work::Stream { page: 10_000, batch: 100, poll: POLL },
    };
    let pair = beside(&setup, 2_000, 12_000).await;
    pair.print();
    pair.print_latency();
}

/// How many times as fast ten lanes of a shard are as one.
async fn parallel() {
    println!("one Kinesis shard, function of 50 ms, BatchSize 100: records/s by ParallelizationFactor");
    for keys in [1_000, 20] {
        let mut rates = Vec::new();
        for (factor, records) in [(1, 20_000), (10, 100_000)] {
            let load = Load { keys, function_takes: Duration::from_millis(50), ..Load::backlog(records, 20) };
            let setup = Setup { load, mappings: vec![stream_mapping(100, factor)], work: idle_queue() };
            let side = Side::start(Kind::Esmd, &setup).await;
            let stats = side.after(records).await.stats;
            let rate = records as f64 / Duration::from_nanos(stats.span).as_secs_f64();
            println!(
                "  {keys:>5} keys, factor {factor:>2}: {rate:>6.0}  in flight at most {}, records an invocation {:.0}",
                stats.invoking_max,
                records as f64 / stats.invocations as f64
            );
            rates.push(rate);
        }
        println!("  {keys:>5} keys: {:.2} times as fast", rates[1] / rates[0]);
    }
}

async fn lanes() {
    println!("SQS, function of 1 s, BatchSize 10, 1,000 at a time");
    let setup = Setup {
        load: Load { function_takes: Duration::from_secs(1), ..Load::backlog(ENDLESS, 200) },
        mappings: vec![polled_mapping(QUEUE_ARN, 100)],
        work: Work::Queue { loops: 1_000 },
    };
    beside(&setup, 30_000, 100_000).await.print();
}

/// What is held while the function never answers: the budget is all that may be read ahead.
async fn backlog() {
    println!("a backlog without end and a function that does not answer: MiB");
    let function_takes = Duration::from_hours(1);
    let kilobyte = |shards| Load { shards, function_takes, ..Load::backlog(ENDLESS, 1_000) };
    let large = Load { function_takes, ..Load::backlog(ENDLESS, 200_000) };
    for (name, load, mapping) in [
        ("Kinesis, 10 shards, records of 1 kB, BatchSize 10,000", kilobyte(10), stream_mapping(10_000, 1)),
        ("Kinesis, 1 shard, records of 1 kB, ParallelizationFactor 10", kilobyte(1), stream_mapping(10_000, 10)),
        ("SQS, messages of 200 kB, 100 at a time", large, queue_mapping(100)),
    ] {
        let setup = Setup { load, mappings: vec![mapping], work: idle_queue() };
        let side = Side::start(Kind::Esmd, &setup).await;
        let mut seen = Vec::new();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            seen.push(format!("{:.0}", side.memory()));
        }
        println!("  {name}: every 8 s {}; peak {:.0}", seen.join(", "), side.peak_memory());
    }
}

async fn idle() {
    println!("idle Kinesis shards, each read once a second");
    for shards in [100, 1_000, 10_000] {
        let setup = Setup {
            load: Load { shards, ..Load::backlog(0, 60) },
            mappings: vec![stream_mapping(100, 1)],
            work: Work::Stream { page: 10_000, batch: 100, poll: POLL },
        };
        let mut pairs = Vec::new();
        for _ in 0..3 {
            let mut pair = [0.0; 2];
            for (index, (name, kind)) in [("esmd", Kind::Esmd), ("bare loop", Kind::BareLoop)].into_iter().enumerate() {
                let side = Side::start(kind, &setup).await;
                side.calls("GetRecords", shards * 2).await;
                pair[index] = at_rest(&format!("{shards} shards, {name}"), &side, "GetRecords").await;
            }
            pairs.push(pair);
        }
        let of = |figure: fn(&[f64; 2]) -> f64| Spread::of(pairs.iter().map(figure));
        println!(
            "  {shards} shards, CPU µs a read: esmd {:.0}, bare loop {:.0}, ratio {}",
            of(|pair| pair[0]),
            of(|pair| pair[1]),
            of(|pair| pair[0] / pair[1])
        );
    }
}

async fn mappings() {
    println!("idle SQS mappings, 2 long polls of 20 s each");
    for count in [10, 100, 1_000] {
        let mapping = |number: u64| {
            let mut mapping = queue_mapping(10);
            mapping["EventSourceArn"] = format!("{QUEUE_ARN}-{number}").into();
            mapping
        };
        let setup =
            Setup { load: Load::backlog(0, 200), mappings: (0..count).map(mapping).collect(), work: idle_queue() };
        let side = Side::start(Kind::Esmd, &setup).await;
        side.calls("ReceiveMessage", count * 2).await;
        at_rest(&format!("{count} mappings"), &side, "ReceiveMessage").await;
    }
}

/// What a side costs while nothing is there, over ten seconds. CPU microseconds for each call; infinite without calls.
async fn at_rest(name: &str, side: &Side, call: &str) -> f64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = side.now().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let rest = Measured::between(&before, side.now().await, side.peak_memory());
    let calls = rest.calls.get(call).copied().unwrap_or(0) as f64;
    let (seconds, cpu) = (rest.wall.as_secs_f64(), rest.cpu.as_secs_f64());
    println!(
        "  {name}: {:.0} MiB (peak {:.0}), CPU {:.1} % of a core, {:.0} calls/s; server {:.1} %",
        side.memory(),
        rest.peak_memory,
        cpu / seconds * 100.0,
        calls / seconds,
        rest.server_cpu.as_secs_f64() / seconds * 100.0
    );
    cpu / calls * 1e6
}

fn queue_mapping(concurrency: u64) -> Value {
    json!({
        "EventSourceArn": QUEUE_ARN,
        "FunctionName": "worker",
        "BatchSize": 10,
        "ScalingConfig": { "MaximumConcurrency": concurrency.max(2) },
    })
}

/// With so many provisioned pollers, each of which has ten lanes.
pub fn polled_mapping(queue_arn: &str, pollers: u64) -> Value {
    json!({
        "EventSourceArn": queue_arn,
        "FunctionName": "worker",
        "BatchSize": 10,
        "ProvisionedPollerConfig": { "MinimumPollers": pollers, "MaximumPollers": pollers },
    })
}

pub fn stream_mapping(batch_size: usize, parallelization_factor: u64) -> Value {
    json!({
        "EventSourceArn": STREAM_ARN,
        "FunctionName": "worker",
        "BatchSize": batch_size,
        "ParallelizationFactor": parallelization_factor,
        "StartingPosition": "TRIM_HORIZON",
    })
}

/// For cases that only esmd runs.
pub fn idle_queue() -> Work {
    Work::Queue { loops: 0 }
}

/// More than any run needs.
const ENDLESS: u64 = 100_000_000_000;

const POLL: Duration = Duration::from_secs(1);
