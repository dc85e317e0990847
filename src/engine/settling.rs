//! Tells a queue what became of its messages: calls of ten, a few at a time, each entry tried again while its lease
//! lives. What gathers while calls run goes out together, so a busy queue fills its tens without a linger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::clock::Clock;
use crate::core::settlement::{Settled, Settlement};
use crate::source::Source;

/// Settlements to be told and being told.
pub(super) struct Settling {
    source: Arc<dyn Source>,
    clock: Clock,
    waiting: VecDeque<Settlement>,
    running: FuturesUnordered<BoxFuture<'static, Round>>,
}

/// A settlement and its end.
pub(super) struct Told {
    pub(super) settlement: Settlement,
    /// False if the queue refused, or if the lease ended before it took it.
    pub(super) confirmed: bool,
}

/// One call's end.
struct Round {
    told: Vec<Told>,
    /// What is to be told again, after this wait.
    left: Vec<Settlement>,
    wait: Duration,
}

impl Settling {
    pub(super) fn new(source: Arc<dyn Source>, clock: Clock) -> Self {
        Self { source, clock, waiting: VecDeque::new(), running: FuturesUnordered::new() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    pub(super) fn push(&mut self, settlement: Settlement) {
        self.waiting.push_back(settlement);
    }

    /// Starts calls for what waits, as far as there is room.
    pub(super) fn start(&mut self) {
        while !self.waiting.is_empty() && self.running.len() < CALLS_MAX {
            let settlements = self.waiting.drain(..self.waiting.len().min(ENTRIES_MAX)).collect();
            self.tell(Duration::ZERO, settlements);
        }
    }

    /// What the next call to end has settled; the rest is told again. Pends while none runs.
    pub(super) async fn next(&mut self) -> Vec<Told> {
        let Some(round) = self.running.next().await else { return std::future::pending().await };
        if !round.left.is_empty() {
            self.tell(round.wait, round.left);
        }
        round.told
    }

    /// Tells the queue after a wait.
    fn tell(&self, wait: Duration, settlements: Vec<Settlement>) {
        let (source, clock) = (Arc::clone(&self.source), self.clock.clone());
        self.running.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            let answers = source.settle(settlements.clone()).await;
            let wait = (wait * 2).clamp(RETRY_FIRST, RETRY_LONGEST);
            let again = clock.now() + wait;
            let mut round = Round { told: Vec::with_capacity(answers.len()), left: Vec::new(), wait };
            for (settlement, answer) in settlements.into_iter().zip(answers) {
                match answer {
                    Settled::Failed if settlement.handle().ends_at > again => round.left.push(settlement),
                    answer => round.told.push(Told { settlement, confirmed: answer == Settled::Confirmed }),
                }
            }
            round
        }));
    }
}

/// Entries of one batch call (`docs/semantics.md` 4.3).
const ENTRIES_MAX: usize = 10;
/// Calls at a time.
const CALLS_MAX: usize = 8;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::Timestamp;
    use crate::core::checkpoint::Checkpoint;
    use crate::core::record::ShardId;
    use crate::core::settlement::Handle;
    use crate::core::shards::Shard;
    use crate::source::{Receiver, SourceError};

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_fails_holds_up_no_other_and_is_told_again() {
        let mut settling = Settling::new(Arc::new(Stubborn), clock());
        (0..10).for_each(|number| settling.push(delete(number, 900_000)));
        settling.start();

        let told: BTreeSet<_> = settling.next().await.iter().map(|told| told.settlement.handle().id.clone()).collect();
        assert_eq!(told, (1..10).map(|number| number.to_string().into()).collect());
        assert!(settling.next().await.is_empty(), "it failed again");
        assert!(!settling.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_fails_until_its_lease_ends_is_given_up() {
        let mut settling = Settling::new(Arc::new(Stubborn), clock());
        settling.push(delete(0, 3_000));
        settling.start();
        loop {
            if let [told] = settling.next().await.as_slice() {
                assert!(!told.confirmed);
                break;
            }
        }
        assert!(settling.is_idle());
    }

    /// A queue that never deletes message 0.
    struct Stubborn;

    impl Source for Stubborn {
        fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
            unreachable!("nobody lists")
        }

        fn open(&self, _: &ShardId, _: &Checkpoint) -> Box<dyn Receiver> {
            unreachable!("nobody reads")
        }

        fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
            let answer = |settlement: &Settlement| match &*settlement.handle().id {
                "0" => Settled::Failed,
                _ => Settled::Confirmed,
            };
            let answers = settlements.iter().map(answer).collect();
            Box::pin(std::future::ready(answers))
        }
    }

    fn delete(number: u32, ends_at: u64) -> Settlement {
        let id: Arc<str> = number.to_string().into();
        Settlement::Delete(Handle { receipt: Arc::clone(&id), id, ends_at: Timestamp::from_millis(ends_at) })
    }

    fn clock() -> Clock {
        let start = tokio::time::Instant::now();
        Clock::new(move || start.elapsed())
    }
}
