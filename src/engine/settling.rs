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

/// Settlements to be told, being told, and waiting to be told again.
pub(super) struct Settling {
    source: Arc<dyn Source>,
    clock: Clock,
    waiting: VecDeque<Group>,
    running: FuturesUnordered<BoxFuture<'static, Round>>,
    /// Failed entries until their next turn. They take no call's place.
    resting: FuturesUnordered<BoxFuture<'static, Group>>,
}

/// A settlement and its end.
pub(super) struct Told {
    pub(super) settlement: Settlement,
    /// False if the queue refused, or if the lease ended before it took it.
    pub(super) confirmed: bool,
}

/// Settlements that are told in one call.
struct Group {
    settlements: Vec<Settlement>,
    /// How long they rest if they fail.
    wait: Duration,
}

/// One call's end.
struct Round {
    told: Vec<Told>,
    left: Group,
}

impl Settling {
    pub(super) fn new(source: Arc<dyn Source>, clock: Clock) -> Self {
        let (running, resting) = (FuturesUnordered::new(), FuturesUnordered::new());
        Self { source, clock, waiting: VecDeque::new(), running, resting }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.resting.is_empty()
    }

    /// Takes one more; it joins the last group that was not told yet and has room.
    pub(super) fn push(&mut self, settlement: Settlement) {
        match self.waiting.back_mut() {
            Some(group) if group.wait == RETRY_FIRST && group.settlements.len() < ENTRIES_MAX => {
                group.settlements.push(settlement);
            }
            _ => self.waiting.push_back(Group { settlements: vec![settlement], wait: RETRY_FIRST }),
        }
    }

    /// Starts calls for what waits, as far as there is room.
    pub(super) fn start(&mut self) {
        while self.running.len() < CALLS_MAX
            && let Some(group) = self.waiting.pop_front()
        {
            let (source, clock) = (Arc::clone(&self.source), self.clock.clone());
            self.running.push(Box::pin(tell(source, clock, group)));
        }
    }

    /// What was settled by the next call to end; nothing if all of it failed, or if a rest is over. Pends while nothing
    /// is under way. Call [`Settling::start`] after it.
    pub(super) async fn next(&mut self) -> Vec<Told> {
        tokio::select! { biased;
            Some(round) = self.running.next() => {
                if !round.left.settlements.is_empty() {
                    self.resting.push(Box::pin(rest(round.left)));
                }
                round.told
            }
            Some(group) = self.resting.next() => {
                self.waiting.push_front(group);
                Vec::new()
            }
            else => std::future::pending().await,
        }
    }
}

/// Tells the queue once.
async fn tell(source: Arc<dyn Source>, clock: Clock, group: Group) -> Round {
    let answers = source.settle(group.settlements.clone()).await;
    let again = clock.now() + group.wait;
    let mut told = Vec::with_capacity(answers.len());
    let mut left = Vec::new();
    for (settlement, answer) in group.settlements.into_iter().zip(answers) {
        match answer {
            Settled::Failed if settlement.handle().ends_at > again => left.push(settlement),
            answer => told.push(Told { settlement, confirmed: answer == Settled::Confirmed }),
        }
    }
    Round { told, left: Group { settlements: left, wait: group.wait } }
}

async fn rest(group: Group) -> Group {
    tokio::time::sleep(group.wait).await;
    Group { wait: (group.wait * 2).min(RETRY_LONGEST), ..group }
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
        assert!(settling.next().await.is_empty(), "its rest is over");
        settling.start();
        assert!(settling.next().await.is_empty(), "it failed again");
        assert!(!settling.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn entries_that_fail_again_and_again_leave_room_for_others() {
        let mut settling = Settling::new(Arc::new(Stubborn), clock());
        for _ in 0..2 * CALLS_MAX {
            settling.push(delete(0, 900_000));
            settling.start();
            while !settling.running.is_empty() {
                settling.next().await;
            }
        }
        settling.push(delete(1, 900_000));
        settling.start();
        assert!(settling.next().await.iter().any(|told| told.confirmed), "told at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_fails_until_its_lease_ends_is_given_up() {
        let mut settling = Settling::new(Arc::new(Stubborn), clock());
        settling.push(delete(0, 3_000));
        settling.start();
        let told = loop {
            let told = settling.next().await;
            settling.start();
            if !told.is_empty() {
                break told;
            }
        };
        assert!(!told[0].confirmed);
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
