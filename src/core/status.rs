//! How a consumer stands: its room, whether it is done, and its numbers for metrics and whoever asks why it is idle.
//! Only looks.

use super::Timestamp;
use super::checkpoint::Checkpoint;
use super::consumer::{Consumer, Progress};
use super::lane::{Lane, Next};
use super::settings::{Kind, Settings};

/// How a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Records that wait for a lane.
    pub waiting: usize,
    /// Records taken and not yet settled, left or let go; the waiting ones included.
    pub unsettled: usize,
    /// Batches that may be in flight now.
    pub lanes: usize,
    /// The target is away, and a single message at a time is received to find out when it is back.
    pub probes: bool,
    /// Receives at a time that are worth their call.
    pub receives: usize,
    /// Batches at the target.
    pub invoking: usize,
    /// Batches that wait to be invoked or discarded again.
    pub backing_off: usize,
    /// Why a batch waits or is being discarded; of several reasons the last of [`BackOff`].
    pub backing_off_for: Option<BackOff>,
    /// An incomplete batch waits for more records.
    pub gathers: bool,
    /// Batches that are being discarded.
    pub discarding: usize,
    /// The most failed attempts of a batch that is held now.
    pub attempts: u32,
    /// When the oldest unsettled record arrived at the source.
    pub oldest_arrival: Option<Timestamp>,
    /// Settled ranges above the checkpoint.
    pub settled_ranges: usize,
    /// Messages let go so far, because their lease ended before they were invoked.
    pub let_go: u64,
}

/// Why a batch waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackOff {
    /// It failed, or a part of it did.
    Retry,
    /// The target had no room or was away.
    Target,
    /// Whoever is to know of its discard does not yet.
    Destination,
}

impl Consumer {
    /// How many records it will take; 0: receive nothing. A stream's is 0 until there is room for a page that is worth its
    /// call, or for a smaller one if a lane has nothing to do.
    #[must_use]
    pub fn capacity(&self) -> usize {
        if self.draining || self.ended {
            return 0;
        }
        let waiting = self.backlog.waiting();
        match &self.progress {
            Progress::Queue(visibility) => {
                let idle = self.idle_lanes();
                if waiting.bytes >= idle * BYTES_PER_LANE || visibility.bytes() >= QUEUE_BYTES_MAX {
                    return 0;
                }
                let batch = if self.probes() { 1 } else { self.settings.batch_size };
                (idle * batch).saturating_sub(waiting.records + visibility.settling())
            }
            Progress::Stream(watermark) => {
                let held_bytes: usize = self.lanes.iter().map(Lane::bytes).sum();
                let retrying = self.lanes.iter().any(Lane::is_retrying);
                if waiting.bytes + held_bytes >= self.settings.lanes * BYTES_PER_LANE
                    || (retrying && watermark.settled_runs() >= Checkpoint::RANGES_MAX)
                {
                    return 0;
                }
                let whole = self.capacity_when_empty();
                let room = whole.saturating_sub(watermark.open());
                let page = if self.idle_lanes() > 0 { whole / STARVING_PART } else { PAGE_RECORDS };
                if room < page { 0 } else { room }
            }
        }
    }

    /// Its capacity while it holds nothing.
    #[must_use]
    pub fn capacity_when_empty(&self) -> usize {
        let Settings { kind, lanes, batch_size, .. } = self.settings;
        match kind {
            Kind::Queue => lanes * batch_size,
            Kind::Stream => (lanes * (2 * batch_size).max(LANE_RECORDS)).max(SHARD_RECORDS),
        }
    }

    /// Whether it holds nothing and will not begin anything: its shard ended, or it was drained.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let idle = self.busy_lanes() == 0;
        match &self.progress {
            Progress::Queue(visibility) => self.draining && idle && visibility.held() == 0,
            Progress::Stream(watermark) => {
                let nothing_left = || self.ended && watermark.open() == 0 && self.windows.open().is_none();
                idle && (self.draining || nothing_left())
            }
        }
    }

    /// The checkpoint as it stands, moved or not.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        match &self.progress {
            Progress::Stream(watermark) => {
                Some(Checkpoint { window: self.windows.open().cloned(), ..watermark.checkpoint() })
            }
            Progress::Queue(_) => None,
        }
    }

    /// Numbers for metrics and the API.
    #[must_use]
    pub fn status(&self) -> Status {
        let (oldest_arrival, settled_ranges) = match &self.progress {
            Progress::Queue(visibility) => (visibility.oldest_arrival(), 0),
            Progress::Stream(watermark) => (self.oldest_open_arrival(), watermark.settled_runs()),
        };
        Status {
            waiting: self.backlog.waiting().records,
            unsettled: self.unsettled(),
            lanes: self.lanes_now(),
            probes: self.probes(),
            receives: self.receives(),
            invoking: self.lanes.iter().filter(|lane| matches!(lane, Lane::Invoking(_))).count(),
            discarding: self.lanes.iter().filter(|lane| matches!(lane, Lane::Discarding(..))).count(),
            backing_off: self.lanes.iter().filter(|lane| lane.due_at().is_some()).count(),
            backing_off_for: self.lanes.iter().filter_map(back_off).max(),
            gathers: self.gathers(),
            attempts: self.lanes.iter().map(Lane::attempts).max().unwrap_or(0),
            oldest_arrival,
            settled_ranges,
            let_go: self.let_go,
        }
    }

    /// When the oldest unsettled record of a stream arrived. It is in a lane or free, for whatever waits behind a busy key
    /// is younger than what keeps the key busy; or a drain gave it back.
    fn oldest_open_arrival(&self) -> Option<Timestamp> {
        let in_lanes = self.lanes.iter().filter_map(|lane| lane.work()?.entries().next());
        let others = self.backlog.oldest_free().into_iter().chain(&self.given_back);
        let oldest = in_lanes.chain(others).min_by_key(|entry| entry.order)?;
        Some(oldest.record.arrived_at)
    }

    /// Records taken and not yet settled, left or let go.
    pub(super) fn unsettled(&self) -> usize {
        match &self.progress {
            Progress::Queue(visibility) => visibility.held(),
            Progress::Stream(watermark) => watermark.open(),
        }
    }
}

fn back_off(lane: &Lane) -> Option<BackOff> {
    match lane {
        Lane::Idle | Lane::Invoking(_) => None,
        Lane::Discarding(..) | Lane::BackingOff { next: Next::Discard(_), .. } => Some(BackOff::Destination),
        Lane::BackingOff { work, .. } if work.current.waits > 0 => Some(BackOff::Target),
        Lane::BackingOff { .. } => Some(BackOff::Retry),
    }
}

/// A stream is read ahead by at least this many records for each lane: until the next read, 200 ms later, a lane of a
/// fast function takes some batches.
const LANE_RECORDS: usize = 1_000;

/// And by this many for all lanes together.
const SHARD_RECORDS: usize = 2 * PAGE_RECORDS;

/// In each of five reads a second it is five times what is written to a shard at most.
const PAGE_RECORDS: usize = 1_000;

/// Behind a key that blocks, and with a batch that gathers, the room goes down to this part of it. To the last record
/// would mean pages of a few, five times a second.
const STARVING_PART: usize = 16;

/// A queue's messages together, or 1,250 lanes would hold gigabytes.
const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Two payloads of 6 MiB: one in the lane, one for its next batch.
const BYTES_PER_LANE: usize = 12 * 1024 * 1024;
