//! When an incomplete batch has waited long enough (`docs/semantics.md` 6.5): the window begins with the last cut, or
//! with the first free record after it, and what waits when it is over is due.

use std::time::Duration;

use super::Timestamp;
use super::batch::Order;

#[derive(Debug)]
pub(super) struct BatchingWindow {
    length: Duration,
    opened_at: Option<Timestamp>,
    /// Records below this have waited a whole window.
    due_before: Order,
}

impl BatchingWindow {
    pub(super) const fn new(length: Duration) -> Self {
        Self { length, opened_at: None, due_before: Order(0) }
    }

    /// Without a length nothing ever waits.
    pub(super) const fn is_zero(&self) -> bool {
        self.length.is_zero()
    }

    /// A batch was cut: what is left waits anew.
    pub(super) fn on_cut(&mut self) {
        self.opened_at = None;
    }

    /// Opens, closes or ends the window by whether any free record waits. `next` is the order of the record to come.
    pub(super) fn update(&mut self, now: Timestamp, any_free: bool, next: Order) {
        match (self.opened_at, any_free) {
            (_, false) => self.opened_at = None,
            (None, true) => self.opened_at = Some(now),
            (Some(opened_at), true) if opened_at + self.length <= now => self.due_before = next,
            (Some(_), true) => {}
        }
    }

    /// Whether this record has waited a whole window.
    pub(super) fn is_due(&self, oldest_free: Option<Order>) -> bool {
        oldest_free.is_some_and(|order| order < self.due_before)
    }

    /// When the open window is over.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        if self.is_zero() { None } else { self.opened_at.map(|opened_at| opened_at + self.length) }
    }
}
