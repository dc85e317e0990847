//! What a process has cost, from `/proc`.

use std::time::Duration;

/// CPU time of all its threads, those that ended included, in steps of 10 ms.
pub fn cpu(pid: u32) -> Duration {
    let text = read(pid, "stat");
    // The name in parentheses may hold anything; after it comes the state as the third field.
    let fields = text.rsplit_once(')').expect("the second field stands in parentheses").1;
    let ticks = |field: &str| field.parse::<u64>().expect("times are whole ticks");
    let spent: u64 = fields.split_whitespace().skip(11).take(2).map(ticks).sum(); // user and system
    Duration::from_millis(spent * 1_000 / TICKS_PER_SECOND)
}

/// The most memory that it held at a time, in MiB.
pub fn peak_memory(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

/// The memory that it holds now, in MiB.
pub fn memory(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

fn status(pid: u32, name: &str) -> f64 {
    let text = read(pid, "status");
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes =
        value.and_then(|value| value.split_whitespace().next()).and_then(|number| number.parse::<f64>().ok());
    kibibytes.expect("a running process holds memory") / 1_024.0
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the process runs, on Linux")
}

/// What Linux shows to programs, whatever its own clock.
const TICKS_PER_SECOND: u64 = 100;
