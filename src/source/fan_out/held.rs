//! What was pushed and not yet handed out: aggregates are taken apart and records rendered only as far as they are asked
//! for, so a page of many small records never stands in memory rendered. Knows no subscription. Invariant: records leave
//! in the order of their positions, each once.

use std::collections::VecDeque;
use std::vec;

use super::PushedRecord;
use crate::core::Timestamp;
use crate::core::checkpoint::UpTo;
use crate::core::record::{OrderingKey, Origin, Position, Record, SequenceNumber};
use crate::event::aggregated::{self, InnerRecord};
use crate::event::kinesis::{Renderer, StreamRecord};

pub(super) struct Held {
    renderer: Renderer,
    /// As they were pushed.
    pushed: VecDeque<PushedRecord>,
    /// The rest of the aggregate before them.
    opened: Option<Opened>,
    /// The oldest, rendered.
    ready: VecDeque<Record>,
    /// The beginning lies inside an aggregate: what comes up to here is settled.
    settled_up_to: Option<Position>,
    scratch: Vec<u8>,
}

/// An aggregate, of which some records may be gone already.
struct Opened {
    sequence_number: SequenceNumber,
    arrived_at: Timestamp,
    inner: vec::IntoIter<InnerRecord>,
    /// The place of the next one: the first has 1, since 0 is the place of a record that is no aggregate.
    index: u32,
}

impl Held {
    /// For a reader that begins after the position.
    pub fn new(renderer: Renderer, position: &UpTo) -> Self {
        let settled_up_to = match position {
            UpTo::After(position) if position.index > 0 => Some(position.clone()),
            _ => None,
        };
        let (pushed, ready) = (VecDeque::new(), VecDeque::new());
        Self { renderer, pushed, opened: None, ready, settled_up_to, scratch: Vec::new() }
    }

    /// Reading begins anew somewhere else.
    pub fn forget_beginning(&mut self) {
        self.settled_up_to = None;
    }

    pub fn push(&mut self, records: Vec<PushedRecord>) {
        self.pushed.extend(records);
    }

    /// Renders until `max` records are ready, if there are so many. Whatever is ready stays so when the future is dropped.
    pub async fn make_ready(&mut self, max: usize) {
        let mut bytes_rendered = 0;
        while self.ready.len() < max {
            let Some(record) = self.next() else { break };
            bytes_rendered += record.element.len();
            self.ready.push_back(record);
            if bytes_rendered > YIELD_BYTES {
                bytes_rendered = 0;
                tokio::task::yield_now().await;
            }
        }
        if self.is_empty() {
            self.scratch = Vec::new();
        }
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.opened.is_none() && self.pushed.is_empty()
    }

    /// Hands out at most `max` of what is ready.
    pub fn take(&mut self, max: usize) -> Vec<Record> {
        let count = max.min(self.ready.len());
        self.ready.drain(..count).collect()
    }

    /// When the oldest record arrived that is still here.
    pub fn next_arrival(&self) -> Option<Timestamp> {
        let ready = self.ready.front().map(|record| record.arrived_at);
        let opened = self.opened.as_ref().map(|opened| opened.arrived_at);
        ready.or(opened).or_else(|| self.pushed.front().map(|record| record.arrived_at))
    }

    fn next(&mut self) -> Option<Record> {
        loop {
            if let Some((position, inner, arrived_at)) = self.next_inner() {
                if self.settled_up_to.as_ref().is_some_and(|settled| position <= *settled) {
                    continue;
                }
                let key = OrderingKey::new(&*inner.partition_key);
                return Some(self.render(position, Some(key), &inner.data, arrived_at));
            }
            let PushedRecord { sequence_number, partition_key, data, arrived_at } = self.pushed.pop_front()?;
            let Some(inner) = aggregated::open(&data) else {
                let key = partition_key.map(OrderingKey::new);
                return Some(self.render(sequence_number.into(), key, &data, arrived_at));
            };
            self.opened = Some(Opened { sequence_number, arrived_at, inner: inner.into_iter(), index: 1 });
        }
    }

    /// The next record of the open aggregate, which its last one closes.
    fn next_inner(&mut self) -> Option<(Position, InnerRecord, Timestamp)> {
        let opened = self.opened.as_mut()?;
        let inner = opened.inner.next().expect("an aggregate is open only while it holds records");
        let position = Position { sequence_number: opened.sequence_number.clone(), index: opened.index };
        let arrived_at = opened.arrived_at;
        opened.index += 1;
        if opened.inner.len() == 0 {
            self.opened = None;
        }
        Some((position, inner, arrived_at))
    }

    fn render(&mut self, position: Position, key: Option<OrderingKey>, data: &[u8], arrived_at: Timestamp) -> Record {
        let record = StreamRecord {
            partition_key: key.as_ref().map(OrderingKey::as_str),
            sequence_number: position.sequence_number.as_str(),
            data,
            arrived_at,
        };
        let element = self.renderer.render(record, &mut self.scratch);
        Record { origin: Origin::Position(position), key, arrived_at, element }
    }
}

/// Rendering lets other tasks run after this much of it, well under a millisecond's worth.
const YIELD_BYTES: usize = 512 * 1024;
