//! Tumbling windows (`docs/semantics.md` 6.9): which window a record belongs to, the state that goes from call to call
//! within it, and when it is over. Knows no lane and no wire format; a state is an opaque text.
//!
//! Invariant: the open window here is the one that the checkpoint stores with its position. It changes only when
//! something is settled, together with the position, so that a restart neither loses a record nor counts it twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::batch::Batch;

/// A stretch of arrival times: from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowBounds {
    /// The first moment of it, a multiple of its length since the Unix epoch.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl WindowBounds {
    /// The window of this length, at least a second, in which a record arrived.
    #[must_use]
    pub fn around(arrived_at: Timestamp, length: Duration) -> Self {
        let length_ms = u64::try_from(length.as_millis()).expect("at most 900 s");
        let start = Timestamp::from_millis(arrived_at.as_millis() / length_ms * length_ms);
        Self { start, end: start + length }
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// What the function returned as `state`, as JSON text, verbatim. Cloning shares it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowState(Arc<str>);

impl WindowState {
    /// Takes the text of a JSON object.
    pub fn new(json: impl Into<Arc<str>>) -> Self {
        Self(json.into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is so large that its window ends at once.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        self.0.len() > STATE_BYTES_MAX
    }
}

/// What a window's first call is handed: `{}`.
impl Default for WindowState {
    fn default() -> Self {
        Self::new("{}")
    }
}

/// Short, since a state may be a megabyte.
impl fmt::Debug for WindowState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(DEBUG_CHARACTERS).collect();
        write!(formatter, "{shown} ({} bytes)", self.0.len())
    }
}

/// A window of which something is settled, and that has not had its final call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Its bounds. They stay as they were when the mapping's length changes.
    #[serde(flatten)]
    pub bounds: WindowBounds,
    /// What the last successful call returned.
    pub state: WindowState,
}

/// What a call says of its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowCall {
    /// The window of every record in it.
    pub bounds: WindowBounds,
    /// What the function is handed.
    pub state: WindowState,
    /// It has no records, and its window is over when it is settled.
    pub is_final: bool,
}

impl WindowCall {
    /// Whether the window ends because its state is too large.
    #[must_use]
    pub fn is_terminated_early(&self) -> bool {
        self.is_final && self.state.is_oversized()
    }
}

/// The windows of one shard.
#[derive(Debug)]
pub(super) struct Windows {
    /// `None`: the mapping has none. One may still be open from before.
    length: Option<Duration>,
    open: Option<OpenWindow>,
    /// When the last read that found nothing more began.
    tip_read_at: Option<Timestamp>,
    newest_arrival: Timestamp,
    changed: bool,
}

impl Windows {
    pub(super) fn new(length: Option<Duration>, open: Option<OpenWindow>) -> Self {
        Self { length, open, tip_read_at: None, newest_arrival: Timestamp::default(), changed: false }
    }

    /// A record came in.
    pub(super) fn receive(&mut self, arrived_at: Timestamp) {
        self.newest_arrival = self.newest_arrival.max(arrived_at);
    }

    /// A read that was asked for at this moment found nothing more: whatever arrived before it was received.
    pub(super) fn reach_tip(&mut self, asked_at: Timestamp) {
        self.tip_read_at = self.tip_read_at.max(Some(asked_at));
    }

    /// The open window, as the checkpoint stores it.
    pub(super) fn open(&self) -> Option<&OpenWindow> {
        self.open.as_ref()
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether the open window is another one than when this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The window of the next batch, whose first record arrived then: the open one, late records included.
    pub(super) fn of_next(&self, arrived_at: Timestamp) -> Option<WindowBounds> {
        let length = self.length?;
        Some(self.open.as_ref().map_or_else(|| WindowBounds::around(arrived_at, length), |open| open.bounds))
    }

    /// Whether no more records of this window are to be expected.
    pub(super) fn is_over(&self, bounds: WindowBounds) -> bool {
        self.newest_arrival >= bounds.end || self.has_passed(bounds)
    }

    /// What the next call with records of this window says of it.
    pub(super) fn call(&self, bounds: WindowBounds) -> WindowCall {
        if let Some(open) = &self.open {
            assert_eq!(open.bounds, bounds, "one window is open at a time (invariant 101)");
        }
        WindowCall { bounds, state: self.state(), is_final: false }
    }

    /// What the state leaves of the bytes of a batch.
    pub(super) fn room(&self, batch_bytes: usize) -> usize {
        self.length.map_or(batch_bytes, |_| batch_bytes.saturating_sub(self.state().0.len()))
    }

    fn state(&self) -> WindowState {
        self.open.as_ref().map(|open| open.state.clone()).unwrap_or_default()
    }

    /// The final call that has to come before anything else, if the window is to end early.
    pub(super) fn early_final_call(&self) -> Option<WindowCall> {
        self.final_call().filter(|call| call.state.is_oversized())
    }

    /// The final call that is due before a batch is cut: `next` is the arrival of the oldest record that waits, and
    /// `ended` whether no more will come.
    pub(super) fn due_final_call(&self, next: Option<Timestamp>, ended: bool) -> Option<WindowCall> {
        let call = self.final_call()?;
        let is_due = match next {
            _ if call.state.is_oversized() || self.length != Some(call.bounds.length()) => true,
            Some(arrived_at) => arrived_at >= call.bounds.end,
            None => ended || self.has_passed(call.bounds),
        };
        is_due.then_some(call)
    }

    /// A call is settled: with the state that the function returned, or by a discard, which leaves the state.
    pub(super) fn settle(&mut self, batch: &Batch, returned: Option<WindowState>) {
        let Some(call) = &batch.window else { return };
        let state = returned.unwrap_or_else(|| call.state.clone());
        self.open = (!call.is_final).then_some(OpenWindow { bounds: call.bounds, state });
        self.changed = true;
    }

    fn final_call(&self) -> Option<WindowCall> {
        let OpenWindow { bounds, state } = self.open.clone()?;
        Some(WindowCall { bounds, state, is_final: true })
    }

    /// A shard without newer records was read to its tip after the window's end; the grace is for records on their
    /// way, and for clocks that differ.
    fn has_passed(&self, bounds: WindowBounds) -> bool {
        self.tip_read_at.is_some_and(|read_at| read_at >= bounds.end + GRACE)
    }
}

/// A larger state ends its window: 1 MiB.
const STATE_BYTES_MAX: usize = 1_048_576;

/// How long after its end an idle window is closed at the earliest (`docs/semantics.md` 6.9).
const GRACE: Duration = Duration::from_secs(10);

const DEBUG_CHARACTERS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 98
    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        let cases = [(0, 0), (9_999, 0), (10_000, 10_000), (1_767_225_612_345, 1_767_225_610_000)];
        for (arrived_at, start) in cases {
            let bounds = WindowBounds::around(Timestamp::from_millis(arrived_at), TEN_SECONDS);
            assert_eq!((bounds.start, bounds.length()), (Timestamp::from_millis(start), TEN_SECONDS));
        }
    }

    /// `docs/semantics.md` 6.9: exactly 1 MiB still fits.
    #[test]
    fn a_state_beyond_one_mebibyte_is_oversized() {
        let state = |bytes: usize| WindowState::new(format!("{{{}}}", " ".repeat(bytes - 2)));
        assert!(!state(1_048_576).is_oversized());
        assert!(state(1_048_577).is_oversized());
    }

    #[test]
    fn a_state_is_shown_by_its_beginning_and_its_length() {
        let state = WindowState::new(format!(r#"{{"sum":"{}"}}"#, "1".repeat(1_000)));
        let shown = format!("{state:?}");
        assert!(shown.starts_with(r#"{"sum":"111"#) && shown.ends_with("(1010 bytes)") && shown.len() < 200, "{shown}");
    }

    /// `docs/semantics.md` 6.9: when the final call is due.
    #[test]
    fn a_window_is_closed_by_a_later_record_the_shards_end_or_an_idle_tip() {
        let at = Timestamp::from_millis;
        let is_due = |next: Option<u64>, ended, tip_read_at: Option<u64>| {
            let mut windows = Windows::new(Some(TEN_SECONDS), Some(open()));
            if let Some(read_at) = tip_read_at {
                windows.reach_tip(at(read_at));
            }
            windows.due_final_call(next.map(at), ended).is_some()
        };
        assert!(is_due(Some(20_000), false, None));
        assert!(!is_due(Some(19_999), false, None));
        assert!(!is_due(Some(5_000), false, None), "a late record belongs to the open window");
        assert!(is_due(None, true, None));
        assert!(!is_due(Some(19_999), true, None), "what waits comes first");
        assert!(is_due(None, false, Some(30_000)));
        assert!(!is_due(None, false, Some(29_999)), "the grace is not over");
        assert!(!is_due(Some(19_999), false, Some(30_000)));
        assert!(!is_due(None, false, None));
    }

    /// `docs/semantics.md` 6.9: under its old bounds.
    #[test]
    fn a_window_of_another_length_is_closed_first() {
        for length in [None, Some(Duration::from_secs(20))] {
            let call = Windows::new(length, Some(open())).due_final_call(Some(Timestamp::from_millis(12_000)), false);
            assert_eq!(call.map(|call| call.bounds), Some(open().bounds), "{length:?}");
        }
    }

    fn open() -> OpenWindow {
        let bounds = WindowBounds::around(Timestamp::from_millis(12_000), TEN_SECONDS);
        OpenWindow { bounds, state: WindowState::new(r#"{"count":2}"#) }
    }

    const TEN_SECONDS: Duration = Duration::from_secs(10);
}
