//! What becomes of records that no filter let through (`docs/semantics.md` 7.4). They never wait, are in no batch and have
//! no ordering key: nobody waits for them and they wait for nobody, whatever of their group or partition is under way. A
//! stream's are settled as they come in; of a queue's messages the queue is told.

use super::batch::Entry;
use super::consumer::{Consumer, Progress};
use super::record::Record;

impl Record {
    /// The same record in nobody's order.
    pub(super) fn without_key(self) -> Self {
        Self { key: None, ..self }
    }
}

impl Consumer {
    /// A message that was just taken: deleted like one that succeeded, or left to others, who see it when its visibility
    /// timeout ends.
    pub(super) fn settle_filtered(&mut self, entry: &Entry) {
        match &mut self.progress {
            Progress::Queue(visibility) if self.settings.keeps_filtered => visibility.forget(entry.order),
            Progress::Queue(_) => self.delete(entry.order),
            Progress::Stream(_) => unreachable!("a stream's records are settled by the watermark"),
        }
    }
}
