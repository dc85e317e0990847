//! What a consumer wants from the shell.

use super::Timestamp;
use super::batch::Batch;
use super::settlement::Settlement;

/// What the shell has to do. The order of actions is the order in which they are to be started.
#[derive(Debug)]
pub enum Action {
    /// Invoke the target with this batch and report by [`super::consumer::Consumer::handle_outcome`]. If that cannot begin before
    /// `start_before`, report `Throttled`.
    Invoke {
        /// The records, shared with the lane that holds them.
        batch: Batch,
        /// The end of the first lease among a queue's messages.
        start_before: Option<Timestamp>,
    },
    /// Tell the queue, try again while the lease lives, and report by [`super::consumer::Consumer::handle_settled`].
    Settle(Settlement),
}

/// Why a consumer wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wakeup {
    /// A batch is invoked again.
    Backoff,
    /// A batching window ends.
    Window,
    /// The lease of an unstarted message ends.
    LeaseEnd,
}
