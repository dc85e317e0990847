//! Watches the consumers of one mapping. One that settles nothing although it should, and has no reason, stalls: that is
//! shown and the consumer begins again, the others untouched. One that has a reason is named and left alone.
//! [`judge`] tells the two apart. Invariant: a consumer is cut off only after it had time to drain.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::board::Board;
use super::pulse::{Standing, Wait};
use crate::clock::Clock;
use crate::core::record::ShardId;
use crate::log_limit::LogLimit;
use crate::telemetry::{MappingMetrics, RestartReason};

pub(super) struct Watchdog {
    mapping: Uuid,
    clock: Clock,
    board: Board,
    metrics: MappingMetrics,
    /// How long a consumer may lag without getting on.
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    /// How long an invocation may run.
    invocation_max: Duration,
    watched: BTreeMap<ShardId, Watched>,
    /// Shards whose last consumer failed, by the time since when none got on.
    failing_since: BTreeMap<ShardId, Instant>,
}

/// A consumer that runs.
struct Watched {
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
    task: AbortHandle,
    /// Since when it stalls, and has been asked to end.
    ending_since: Option<Instant>,
    wait: Option<Wait>,
    log: LogLimit,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    patience: Duration,
    invocation: Duration,
}

/// What a consumer's standing comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It gets on, or has nothing to do.
    Moves,
    /// It settles nothing, and why.
    Waits(Wait),
    /// It should get on and does not: what it fails to do.
    Stalls(&'static str),
}

/// Tells a stall from a wait. A source that owes an answer is judged first: the reason of a lane says nothing about
/// reading.
fn judge(standing: &Standing, limits: Limits, now: Instant) -> Verdict {
    let is_over = |since: Instant| now.saturating_duration_since(since) >= limits.patience;
    let invokes = |since: Instant| now.saturating_duration_since(since) < limits.invocation;
    if is_over(standing.seen_at) {
        Verdict::Stalls("its task does nothing")
    } else if standing.unanswered_since.is_some_and(is_over) {
        Verdict::Stalls("its source does not answer")
    } else if !is_over(standing.moved_at) {
        Verdict::Moves
    } else if let Some(wait) = standing.wait {
        Verdict::Waits(wait)
    } else if standing.invoking_since.is_some_and(invokes) {
        Verdict::Waits(Wait::Invocation)
    } else if standing.excused_at.is_some_and(|at| !is_over(at)) {
        Verdict::Moves
    } else {
        Verdict::Stalls("it lags and settles nothing")
    }
}

impl Watchdog {
    /// `patience` is `StallAfterSeconds` and what one poll of the source takes.
    pub(super) fn new(
        mapping: Uuid,
        clock: Clock,
        board: Board,
        metrics: MappingMetrics,
        patience: Duration,
        function_timeout: Duration,
    ) -> Self {
        let invocation_max = function_timeout + INVOCATION_MARGIN;
        let state = State { invocation_max, watched: BTreeMap::new(), failing_since: BTreeMap::new() };
        Self { mapping, clock, board, metrics, patience, state: Mutex::new(state) }
    }

    /// Looks again and again.
    pub(super) async fn run(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(Instant::now());
        }
    }

    /// A consumer began. `stop` asks it, and no other, to drain.
    pub(super) fn watch(
        &self,
        shard: ShardId,
        standing: watch::Receiver<Standing>,
        stop: CancellationToken,
        task: AbortHandle,
    ) {
        let watched = Watched { standing, stop, task, ending_since: None, wait: None, log: LogLimit::default() };
        self.state().watched.insert(shard, watched);
    }

    /// A consumer ended.
    pub(super) fn forget(&self, shard: &ShardId) {
        self.state().watched.remove(shard);
    }

    /// A consumer panicked or was cut off. The next one may live too short to be judged by itself.
    pub(super) fn failed(&self, shard: &ShardId) {
        let state = &mut *self.state();
        let Some(watched) = state.watched.remove(shard) else { return };
        let Standing { has_moved, moved_at, .. } = *watched.standing.borrow();
        let since = state.failing_since.entry(shard.clone()).or_insert(moved_at);
        if has_moved {
            *since = moved_at;
        }
    }

    /// No other shard than these is to be read.
    pub(super) fn retain(&self, readable: &BTreeSet<ShardId>) {
        self.state().failing_since.retain(|shard, _| readable.contains(shard));
        self.board.retain_stalled(self.mapping, readable);
    }

    /// The function's timeout as it was seen last.
    pub(super) fn set_function_timeout(&self, timeout: Duration) {
        self.state().invocation_max = timeout + INVOCATION_MARGIN;
    }

    fn look(&self, now: Instant) {
        let state = &mut *self.state();
        let limits = Limits { patience: self.patience, invocation: state.invocation_max };
        self.look_at_failing(state, now);
        for (shard, watched) in &mut state.watched {
            let standing = watched.standing.borrow().clone();
            if let Some(ending_since) = watched.ending_since {
                let invokes = standing.invoking_since.is_some_and(|since| now < since + limits.invocation);
                if !invokes && now >= ending_since + ENDING_MAX {
                    watched.task.abort();
                }
                continue;
            }
            match (judge(&standing, limits, now), watched.stop.is_cancelled()) {
                (Verdict::Stalls(how), true) => {
                    watched.ending_since = Some(now);
                    warn!(%shard, how, "asked to end, and does not");
                }
                (Verdict::Moves | Verdict::Waits(_), true) => {}
                (Verdict::Moves, false) => self.on_moving(shard, watched, standing.has_moved),
                (Verdict::Waits(wait), false) => self.on_waiting(shard, watched, wait),
                (Verdict::Stalls(how), false) => self.on_stalled(shard, watched, now, how),
            }
        }
    }

    /// A shard whose consumers fail one after the other stalls too, until one of them gets on or can be judged.
    fn look_at_failing(&self, state: &mut State, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= self.patience;
        let State { watched, failing_since, .. } = state;
        failing_since.retain(|shard, since| {
            let standing = watched.get(shard).map(|watched| watched.standing.borrow().clone());
            if standing.is_some_and(|standing| standing.has_moved || is_over(standing.moved_at)) {
                return false;
            }
            if is_over(*since) && self.board.set_stalled(self.mapping, shard, true) {
                warn!(%shard, seconds = self.patience.as_secs(), "stalled: its consumers fail one after the other");
            }
            true
        });
    }

    fn on_moving(&self, shard: &ShardId, watched: &mut Watched, has_moved: bool) {
        if watched.wait.take().is_some() {
            self.board.set_wait(self.mapping, shard, None);
        }
        if has_moved && self.board.set_stalled(self.mapping, shard, false) {
            info!(%shard, "no longer stalled");
        }
    }

    fn on_waiting(&self, shard: &ShardId, watched: &mut Watched, wait: Wait) {
        self.board.set_stalled(self.mapping, shard, false);
        // A retry alternates with its invocation: that is the same wait.
        let alternates = wait == Wait::Invocation && matches!(watched.wait, Some(Wait::Retry | Wait::Target));
        if watched.wait == Some(wait) || alternates {
            return;
        }
        watched.wait = Some(wait);
        self.metrics.waited(wait.name());
        self.board.set_wait(self.mapping, shard, Some(wait.name()));
        if let Some(suppressed) = watched.log.permit(self.clock.now()) {
            warn!(%shard, reason = wait.name(), seconds = self.patience.as_secs(), suppressed, "waits: nothing is settled");
        }
    }

    fn on_stalled(&self, shard: &ShardId, watched: &mut Watched, now: Instant, how: &'static str) {
        watched.ending_since = Some(now);
        watched.stop.cancel();
        self.metrics.consumer_restarted(RestartReason::Stalled);
        self.board.set_wait(self.mapping, shard, None);
        self.board.set_stalled(self.mapping, shard, true);
        warn!(%shard, how, seconds = self.patience.as_secs(), "stalled: its consumer begins again at the checkpoint");
    }

    /// Every change is whole, so a panic elsewhere leaves none half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A call gets 10 s more than its function, and a longer timeout is known a minute late.
const INVOCATION_MARGIN: Duration = Duration::from_mins(2);

/// How long a stalled consumer may drain, once none of its invocations is within its time.
const ENDING_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_what_has_no_reason() {
        let stalls = Verdict::Stalls;
        let (task, unanswered, lags) = (
            stalls("its task does nothing"),
            stalls("its source does not answer"),
            stalls("it lags and settles nothing"),
        );
        let retry = Verdict::Waits(Wait::Retry);
        // seconds since: it was seen, it moved, the source owes an answer, its invocation began; its reason, and since
        // it had one
        for (what, seen, moved, unanswered_since, invoking_since, wait, excused, verdict) in [
            ("it gets on", 1, 9, Some(1), Some(1), None, None, Verdict::Moves),
            ("it gets on beside a batch that fails", 1, 9, None, None, Some(Wait::Retry), Some(1), Verdict::Moves),
            ("nothing under way", 1, 10, None, None, None, None, lags),
            ("it reads and settles nothing", 1, 10, Some(1), None, None, None, lags),
            ("the source owes an answer", 1, 10, Some(10), None, None, None, unanswered),
            ("the same, and others are settled", 1, 1, Some(10), None, None, None, unanswered),
            ("the same, and a batch fails", 1, 3_600, Some(10), None, Some(Wait::Retry), Some(1), unanswered),
            ("a batch fails", 1, 3_600, Some(9), None, Some(Wait::Retry), Some(1), retry),
            ("its retry runs", 1, 3_600, None, Some(1), Some(Wait::Retry), Some(1), retry),
            ("the source refuses", 1, 3_600, None, None, Some(Wait::Source), Some(1), Verdict::Waits(Wait::Source)),
            ("a function runs", 1, 59, None, Some(59), None, None, Verdict::Waits(Wait::Invocation)),
            ("a function runs for longer than it can", 1, 60, None, Some(60), None, None, lags),
            ("the loop hangs", 10, 10, None, None, Some(Wait::Retry), Some(1), task),
            ("the loop hangs, an invocation runs", 10, 10, None, Some(10), None, None, task),
            ("its reason is over since a moment", 1, 3_600, Some(1), None, None, Some(9), Verdict::Moves),
            ("its reason is over since long", 1, 3_600, Some(1), None, None, Some(10), lags),
        ] {
            let now = Instant::now() + Duration::from_hours(2);
            let ago = |seconds: u64| now - Duration::from_secs(seconds);
            let standing = Standing {
                seen_at: ago(seen),
                moved_at: ago(moved),
                has_moved: true,
                unanswered_since: unanswered_since.map(ago),
                invoking_since: invoking_since.map(ago),
                wait,
                excused_at: excused.map(ago),
            };
            let limits = Limits { patience: Duration::from_secs(10), invocation: Duration::from_mins(1) };
            assert_eq!(judge(&standing, limits, now), verdict, "{what}");
        }
    }
}
