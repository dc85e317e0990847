//! What a consumer tells of itself to whoever watches it: when it last got on, what it waits for, and why. Facts only:
//! [`super::watchdog`] judges them. Times are the machine's running time, which a set or suspended clock does not move.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::outcome::Outcome;
use crate::core::record::Received;
use crate::core::settings::Kind;
use crate::core::status::{BackOff, Status};
use crate::source::SourceError;

/// A reason for settling nothing. The text is for people, the name for labels and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The state store takes no checkpoints.
    Store,
    /// The source is throttled, denied or missing, or does not take settlements.
    Source,
    /// A failure record is not taken.
    Destination,
    /// The function is throttled or out of reach.
    Target,
    /// A batch failed and is tried again.
    Retry,
    /// An incomplete batch waits for more records.
    Window,
    /// An invocation runs, within its time.
    Invocation,
}

/// How a consumer stood when it was seen last.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// When its task looked at itself.
    pub(super) seen_at: Instant,
    /// When it last settled something, came closer to the tip, or knew that nothing was to be settled.
    pub(super) moved_at: Instant,
    /// Whether that was ever so.
    pub(super) has_moved: bool,
    /// Since when the source has owed it an answer. Errors that may pass by themselves are none.
    pub(super) unanswered_since: Option<Instant>,
    /// When the youngest of its running invocations began, or a later one that is over.
    pub(super) invoking_since: Option<Instant>,
    /// Why it settles nothing, if it does not.
    pub(super) wait: Option<Wait>,
    /// When it last had such a reason: what follows on it takes its time too.
    pub(super) excused_at: Option<Instant>,
}

/// The consumer's end.
pub(super) struct Pulse {
    standing: watch::Sender<Standing>,
    invoked_at: Instant,
    /// When the source last answered with a page, even an empty one.
    heard_at: Option<Instant>,
    /// The last receive failed.
    is_failing: bool,
    /// Its error is a reason to wait.
    is_refused: bool,
    /// How far behind the tip the last page was, and the least of that since it was at the tip.
    behind: Duration,
    least_behind: Option<Duration>,
    moved_at: Option<Instant>,
    excused_at: Option<Instant>,
    unanswered_since: Option<Instant>,
    began_at: Instant,
}

impl Pulse {
    /// For a consumer that begins now. The other end shows how it stands.
    pub(super) fn new() -> (Self, watch::Receiver<Standing>) {
        let now = Instant::now();
        let standing = Standing {
            seen_at: now,
            moved_at: now,
            has_moved: false,
            unanswered_since: None,
            invoking_since: None,
            wait: None,
            excused_at: None,
        };
        let (standing, seen) = watch::channel(standing);
        let pulse = Self {
            standing,
            invoked_at: now,
            heard_at: None,
            is_failing: false,
            is_refused: false,
            behind: Duration::ZERO,
            least_behind: None,
            moved_at: None,
            excused_at: None,
            unanswered_since: None,
            began_at: now,
        };
        (pulse, seen)
    }

    /// The source will be asked after this wait.
    pub(super) fn asking(&mut self, wait: Duration) {
        self.unanswered_since.get_or_insert_with(|| Instant::now() + wait);
    }

    /// A receive ended. Whether the one before it had failed.
    pub(super) fn answered(&mut self, answer: &Result<Received, SourceError>) -> bool {
        let now = Instant::now();
        self.is_refused = false;
        match answer {
            Ok(received) => {
                (self.unanswered_since, self.heard_at) = (None, Some(now));
                if !received.filtered.is_empty() {
                    self.moved_at = Some(now);
                }
                self.behind = Duration::from_millis(received.behind_millis.unwrap_or(0));
                if self.least_behind.is_some_and(|least| self.behind < least) {
                    self.moved_at = Some(now);
                }
                let least = self.least_behind.map_or(self.behind, |least| least.min(self.behind));
                self.least_behind = (self.behind > TIP).then_some(least);
            }
            Err(SourceError::Throttled(_) | SourceError::Denied(_) | SourceError::Missing(_)) => {
                (self.unanswered_since, self.is_refused) = (None, true);
            }
            Err(SourceError::Transient(_)) => {}
        }
        std::mem::replace(&mut self.is_failing, answer.is_err())
    }

    /// An invocation begins.
    pub(super) fn invoking(&mut self) {
        self.invoked_at = Instant::now();
    }

    /// An invocation ended. Of a partial success the records before the first that failed are settled, of a queue's
    /// failed batch all are left to the queue. Whether it settled anything.
    pub(super) fn invoked(&mut self, kind: Kind, outcome: &Outcome) -> bool {
        let settles = match outcome {
            Outcome::Succeeded => true,
            Outcome::Partial(failed) => kind == Kind::Queue || failed.first().is_some_and(|first| *first > 0),
            Outcome::Failed(_) => kind == Kind::Queue,
            Outcome::Throttled | Outcome::Unavailable(_) => false,
        };
        if settles {
            self.settled();
        }
        settles
    }

    /// Something was settled.
    pub(super) fn settled(&mut self) {
        let now = Instant::now();
        self.moved_at = Some(now);
        // Shown at once: a consumer that panics before it reports has got on all the same.
        self.standing.send_modify(|standing| (standing.moved_at, standing.has_moved) = (now, true));
    }

    /// How far behind the tip reading is, by the source's last word and the time since it while receives fail.
    pub(super) fn lag(&self) -> Duration {
        let unread = self.heard_at.unwrap_or(self.began_at).elapsed();
        self.behind + if self.is_failing { unread } else { Duration::ZERO }
    }

    /// Shows how the consumer stands. `obstacle` is a reason of its shell, `reads` whether a receive runs.
    pub(super) fn show(&mut self, status: &Status, obstacle: Option<Wait>, reads: bool) {
        if status.unsettled == 0 && self.behind <= TIP {
            self.moved_at = self.moved_at.max(self.heard_at);
        }
        if !reads {
            self.unanswered_since = None; // nobody asks it
        }
        let lanes = status.backing_off_for.map(|back_off| match back_off {
            BackOff::Retry => Wait::Retry,
            BackOff::Target => Wait::Target,
            BackOff::Destination => Wait::Destination,
        });
        let now = Instant::now();
        let wait =
            obstacle.or(self.is_refused.then_some(Wait::Source)).or(lanes).or(status.gathers.then_some(Wait::Window));
        self.excused_at = wait.map(|_| now).or(self.excused_at);
        self.standing.send_replace(Standing {
            seen_at: now,
            moved_at: self.moved_at.unwrap_or(self.began_at),
            has_moved: self.moved_at.is_some(),
            unanswered_since: self.unanswered_since,
            invoking_since: (status.invoking > 0).then_some(self.invoked_at),
            wait,
            excused_at: self.excused_at,
        });
    }
}

impl Wait {
    /// The value of the label `reason`, and of the API's `Reason`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Target => "target",
            Self::Retry => "retry",
            Self::Window => "window",
            Self::Invocation => "invocation",
        }
    }
}

/// A page that is no further behind than this is at the tip (`docs/semantics.md` 6.2).
const TIP: Duration = Duration::from_secs(1);
