//! What passed: calls by name, records that were invoked, and how long each took to get to the function. Times are in
//! nanoseconds since the server's start. A record is its number; its times are kept in a ring, so a record that is under
//! way while millions pass would be taken for another one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub(super) struct Traffic {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    since: Vec<u64>,
    latencies: Vec<u32>,
    stats: Stats,
    invoking: u64,
    first_read: Option<u64>,
    first_arrival: Option<u64>,
}

/// What passed so far. Latencies are those since the last question.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Records whose invocation was answered.
    pub records: u64,
    /// Invocations that arrived.
    pub invocations: u64,
    /// Most invocations at a time.
    pub invoking_max: u64,
    /// When the first invocation arrived, in nanoseconds since the epoch; 0: none did.
    pub first_arrival: u64,
    /// From the first invocation's arrival to the last answer, in nanoseconds.
    pub span: u64,
    /// From the first read of a stream or receive of a queue to the last answer, in nanoseconds.
    pub span_of_reads: u64,
    /// Records that came to the function too early, again, or beside another one of their key. Only where the function
    /// works on its records.
    pub out_of_order: u64,
    /// Calls by name.
    pub calls: BTreeMap<String, u64>,
    /// From when a message was put (or, if all were there from the beginning, received) or a stream's record read until
    /// it arrived at the function.
    pub latency: Latency,
}

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: u32,
    pub p99: u32,
    pub p999: u32,
}

impl Traffic {
    pub(super) fn start() -> Self {
        let state = State {
            since: vec![0; RING],
            latencies: Vec::new(),
            stats: Stats::default(),
            invoking: 0,
            first_read: None,
            first_arrival: None,
        };
        Self { began: Instant::now(), state: Mutex::new(state) }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn invoked(&self) -> u64 {
        self.state().stats.records
    }

    pub(super) fn called(&self, name: &str) {
        let calls = &mut self.state().stats.calls;
        match calls.get_mut(name) {
            Some(count) => *count += 1,
            None => _ = calls.insert(name.to_owned(), 1),
        }
    }

    /// The same for a call that asks for records.
    pub(super) fn read(&self, name: &str) {
        self.called(name);
        let now = self.nanoseconds();
        self.state().first_read.get_or_insert(now);
    }

    /// From now on these records are there to be had.
    pub(super) fn there(&self, numbers: impl Iterator<Item = u64>) {
        let now = self.nanoseconds();
        let mut state = self.state();
        for number in numbers {
            state.since[place(number)] = now;
        }
    }

    /// An invocation with these records has arrived.
    pub(super) fn arrived(&self, numbers: impl Iterator<Item = u64>) -> u64 {
        let now = self.nanoseconds();
        let mut state = self.state();
        let state = &mut *state;
        let before = state.latencies.len();
        for number in numbers {
            let microseconds = now.saturating_sub(state.since[place(number)]) / 1_000;
            state.latencies.push(u32::try_from(microseconds).unwrap_or(u32::MAX));
        }
        if state.first_arrival.replace(state.first_arrival.unwrap_or(now)).is_none() {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            state.stats.first_arrival = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        }
        state.stats.invocations += 1;
        state.invoking += 1;
        state.stats.invoking_max = state.stats.invoking_max.max(state.invoking);
        (state.latencies.len() - before) as u64
    }

    /// An invocation with so many records is answered.
    pub(super) fn answered(&self, records: u64) {
        let now = self.nanoseconds();
        let mut state = self.state();
        state.invoking -= 1;
        state.stats.records += records;
        state.stats.span = now - state.first_arrival.expect("what is answered has arrived");
        state.stats.span_of_reads = now - state.first_read.expect("what is answered was read");
    }

    pub(super) fn stats(&self) -> Stats {
        let mut state = self.state();
        let mut latencies = std::mem::take(&mut state.latencies);
        latencies.sort_unstable();
        let quantile = |parts: usize| latencies.get(latencies.len() * parts / 1_000).copied().unwrap_or(0);
        Stats {
            latency: Latency { p50: quantile(500), p99: quantile(990), p999: quantile(999) },
            ..state.stats.clone()
        }
    }

    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run takes less than 500 years")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("numbers fit into memory's addresses") % RING
}

const RING: usize = 1 << 22;
