//! Carries a load through a daemon that is killed twice on the way and whose function fails at every fifth invocation.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::support::daemon::{Daemon, Installation};
use crate::support::function::{Behaviour, Function, every_nth};
use crate::support::ledger::Ledger;

/// How much is carried.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many records in all.
    pub records: u64,
    /// How many of them may be sent and not settled at a time, but for the last portion.
    pub queued_max: u64,
}

/// A function that takes a little time, so that kills find invocations running, and fails at every fifth invocation.
pub fn failing_function() -> Function {
    let function = Function::start();
    let failure = Behaviour::FunctionError { handled: false };
    function.answer_with(every_nth(5, failure.after(WORK), Behaviour::succeed().after(WORK)));
    function
}

/// A function that takes a little time, fails at every tenth invocation and has no room for every eighth, in no order
/// that a batch could fall in step with.
pub fn troubled_function() -> Function {
    let function = Function::start();
    let mut state = 1_u32;
    function.answer_with(move |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match (state >> 16) % 1_000 {
            0..100 => Behaviour::FunctionError { handled: false }.after(WORK),
            100..225 => Behaviour::Throttle,
            _ => Behaviour::succeed().after(WORK),
        }
    });
    function
}

/// Feeds and runs until all records are settled, with two kills evenly spread over them. `feed` sends one portion.
/// Returns the account and the daemon, which still runs.
///
/// # Panics
/// When nothing is settled for `STALL_LIMIT`.
pub async fn carry(
    installation: &Installation,
    function: &Function,
    load: Load,
    mut feed: impl AsyncFnMut(&mut Ledger),
) -> (Ledger, Daemon) {
    let mut ledger = Ledger::default();
    let mut daemon = installation.start().await;
    let mut kills = VecDeque::from([load.records / 3, load.records * 2 / 3]);
    let mut progress = Progress::new();
    while ledger.settled() < load.records {
        if ledger.sent() < load.records && ledger.sent() - ledger.settled() < load.queued_max {
            feed(&mut ledger).await;
        }
        ledger.read(function);
        progress.check(&ledger);
        if kills.pop_front_if(|at| ledger.settled() >= *at).is_some() {
            daemon.kill9().await;
            daemon = installation.start().await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(kills.is_empty(), "the load was over before both kills");
    (ledger, daemon)
}

/// Waits until all that was sent is settled.
///
/// # Panics
/// When nothing is settled for `STALL_LIMIT`.
pub async fn settle(ledger: &mut Ledger, function: &Function) {
    settle_all_but(0, ledger, function).await;
}

/// Waits until so many of the records sent, or fewer, are not settled.
///
/// # Panics
/// When nothing is settled for `STALL_LIMIT`.
pub async fn settle_all_but(rest: u64, ledger: &mut Ledger, function: &Function) {
    let mut progress = Progress::new();
    while ledger.settled() + rest < ledger.sent() {
        ledger.read(function);
        progress.check(ledger);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Progress {
    settled: u64,
    since: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { settled: 0, since: Instant::now() }
    }

    fn check(&mut self, ledger: &Ledger) {
        if ledger.settled() > self.settled {
            *self = Self { settled: ledger.settled(), since: Instant::now() };
        }
        let stalled = self.since.elapsed();
        assert!(stalled < STALL_LIMIT, "stalled at {} of {} records for {stalled:?}", self.settled, ledger.sent());
    }
}

/// How long the function takes.
const WORK: Duration = Duration::from_millis(5);
/// Longer than any visibility timeout here, a restart and a back-off together.
const STALL_LIMIT: Duration = Duration::from_mins(1);
