//! What the world tells the oracle: what was sent, and what happened to it outside the daemon.

use std::sync::Arc;

use esmd::core::Timestamp;
use esmd::core::record::{SequenceNumber, ShardId};

use super::{Oracle, names};

impl Oracle {
    pub fn message_sent(&self, group: Option<&str>, id: &Arc<str>) {
        let state = &mut *self.state();
        self.trace.say(|| format!("sent {} {}", state.sent, group.unwrap_or_default()));
        state.sent += 1;
        state.queue().sent(group, id);
    }

    pub fn record_put(&self, key: &str, shard: &ShardId, place: &SequenceNumber, now: Timestamp) {
        let state = &mut *self.state();
        self.trace.say(|| format!("put {} {key} in {shard} at {}", state.sent, place.as_str()));
        state.sent += 1;
        state.stream().put(key, shard, place, now);
    }

    pub fn shards_made(&self, made: &[ShardId], parents: &[ShardId]) {
        self.trace.say(|| format!("shards {} from {}", names(made), names(parents)));
        self.state().stream().made(made, parents);
    }

    /// Their retention is over.
    pub fn trimmed(&self, numbers: &[usize]) {
        self.trace.say(|| format!("trimmed {numbers:?}"));
        self.state().stream().trimmed(numbers);
    }

    /// The source no longer answers for this shard, or does again.
    pub fn silenced(&self, shard: &ShardId, is_silent: bool) {
        self.trace.say(|| format!("{shard} is silent: {is_silent}"));
        self.state().stream().silenced(shard, is_silent);
    }

    /// The clock of the daemon's machine leaps from now on.
    pub fn clock_leaps(&self) {
        if let Some(stream) = self.state().stream_if_any() {
            stream.clock_leaps();
        }
    }

    /// A standard queue hands this one out again while somebody holds it.
    pub fn repeated(&self, number: usize) {
        self.trace.say(|| format!("repeated {number}"));
        self.state().queue().repeated(number);
    }

    /// This life is over: whatever of it still runs is nobody's.
    pub fn life_over(&self, life: u32) {
        self.state().flights.retain(|_, flight| flight.connection.0 != life);
    }
}
