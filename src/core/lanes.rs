//! How many lanes a consumer has and uses: a stream all that its settings say, a queue as many as [`super::scaling`] says
//! of what was received. Lanes are made when they are needed, so that a thousand that could be cost nothing.
//!
//! Invariant 4: no lane takes a batch while as many hold one as there may be. Those that hold one keep it when the number
//! falls.

use super::Timestamp;
use super::consumer::Consumer;
use super::lane::Lane;
use super::outcome::Outcome;
use super::record::Received;
use super::scaling::Scaling;

impl Consumer {
    /// Receives at a time that are worth their call, at least 1.
    #[must_use]
    pub fn receives(&self) -> usize {
        self.scaling.as_ref().map_or(1, Scaling::receives)
    }

    /// Lanes that may hold a batch now.
    pub(super) fn lanes_now(&self) -> usize {
        self.scaling.as_ref().map_or(self.settings.lanes, Scaling::lanes)
    }

    pub(super) fn busy_lanes(&self) -> usize {
        self.lanes.iter().filter(|lane| !lane.is_idle()).count()
    }

    /// Whether what is received now only finds out whether the target is back.
    pub(super) fn probes(&self) -> bool {
        self.scaling.as_ref().is_some_and(Scaling::probes)
    }

    /// When another lane makes room, while all others are busy.
    pub(super) fn next_lane_at(&self) -> Option<Timestamp> {
        let scaling = self.scaling.as_ref().filter(|_| !self.draining && self.idle_lanes() == 0)?;
        scaling.next_lane_at()
    }

    /// One that may take a batch. There is one if [`Consumer::idle_lanes`] says so.
    pub(super) fn find_idle_lane(&mut self) -> usize {
        self.lanes.iter().position(Lane::is_idle).unwrap_or_else(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        })
    }

    pub(super) fn forget_idle_lanes(&mut self) {
        while self.lanes.pop_if(|lane| lane.is_idle()).is_some() {}
    }

    pub(super) fn scale_by_time(&mut self, now: Timestamp) {
        if let Some(scaling) = &mut self.scaling {
            scaling.pass_time(now);
        }
    }

    pub(super) fn scale_by_receive(&mut self, now: Timestamp, received: &Received) {
        self.scale_by_time(now);
        let busy = self.busy_lanes();
        if let Some(scaling) = &mut self.scaling {
            scaling.on_received(received.records.len(), received.is_full, busy);
        }
    }

    pub(super) fn scale_by_outcome(&mut self, now: Timestamp, outcome: &Outcome) {
        self.scale_by_time(now);
        let busy = self.busy_lanes();
        if let Some(scaling) = &mut self.scaling {
            scaling.on_outcome(now, outcome, busy);
        }
    }
}
