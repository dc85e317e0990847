//! The daemon's way to the outside, one per life: a wire that a crash cuts, then the weather, then the oracle, who sees
//! what really passes. What stands behind them are the honest fakes.

mod destination;
mod source;
mod store;
mod target;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use esmd::clock::Clock;
use esmd::connect::Connector;
use esmd::destination::Destination;
use esmd::engine::Board;
use esmd::mapping::{EventSourceMapping, SourceSettings};
use esmd::source::{Source, SourceError};
use esmd::store::StateStore;
use esmd::target::{Function, Target};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use self::destination::DestinationLink;
use self::source::SourceLink;
use self::store::StoreLink;
use self::target::TargetLink;
use crate::fakes::destination::FakeDestination;
use crate::fakes::target::FakeTarget;
use crate::fakes::wire::{Wire, Wired};
use crate::memory_store::MemoryStore;
use crate::oracle::Oracle;
use crate::weather::{Fate, Part, Weather};

/// One life of the daemon, as the outside knows it.
pub struct Link {
    pub life: u32,
    /// The daemon's own clock.
    pub clock: Clock,
    pub wire: Wire,
    pub weather: Weather,
    pub oracle: Oracle,
    /// What this life shows.
    pub board: Board,
    world_clock: Clock,
    drain_ends_at: Mutex<Option<Instant>>,
    connections: AtomicU64,
}

impl Link {
    pub fn new(life: u32, clocks: (Clock, Clock), wire: Wire, weather: Weather, oracle: Oracle, board: Board) -> Self {
        let (clock, world_clock) = clocks;
        let (drain_ends_at, connections) = (Mutex::default(), AtomicU64::new(0));
        Self { life, clock, wire, weather, oracle, board, world_clock, drain_ends_at, connections }
    }

    /// From then on a running invocation may be given up.
    pub fn drain_ends_at(&self, at: Instant) {
        *self.drain_ends_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Whether this life is over or about to end.
    fn is_ending(&self) -> bool {
        self.wire.has_been_cut() || self.drain_ends_at.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the daemon may let go of an invocation that runs.
    fn may_give_up(&self) -> bool {
        let drain_ends_at = *self.drain_ends_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.wire.has_been_cut() || drain_ends_at.is_some_and(|at| at <= Instant::now())
    }

    /// A call that meets the weather. `broken` makes its error: from a number if it was not done, from none if its answer
    /// was lost.
    async fn call<T>(
        &self,
        part: Part,
        name: &str,
        work: impl Future<Output = T>,
        broken: impl Fn(Option<u64>) -> T,
    ) -> T {
        let strike = self.weather.strike(part, name);
        sleep(strike.before).await;
        match strike.fate {
            Fate::Fails(number) => return broken(Some(number)),
            Fate::Panics => self.panic(),
            Fate::Works | Fate::Unanswered => {}
        }
        let answer = work.await;
        sleep(strike.after).await;
        if strike.fate == Fate::Unanswered { broken(None) } else { answer }
    }

    /// A bug in an adapter. It unwinds without the noise of a panic's message.
    fn panic(&self) -> ! {
        self.oracle.adapter_panicked(self.life);
        std::panic::resume_unwind(Box::new("a bug in an adapter"));
    }
}

/// Hands out the outside to one life.
pub struct SimConnector {
    pub link: Arc<Link>,
    pub source: Arc<dyn Source>,
    pub target: FakeTarget,
    pub destination: FakeDestination,
}

impl SimConnector {
    /// The store of the same life.
    pub fn store(&self, store: Arc<MemoryStore>) -> Arc<dyn StateStore> {
        let store: Arc<dyn StateStore> = Arc::new(StoreLink { inner: store, link: Arc::clone(&self.link) });
        Arc::new(Wired::new(store, self.link.wire.clone()))
    }
}

impl Connector for SimConnector {
    fn target(&self, mapping: &EventSourceMapping) -> Arc<dyn Target> {
        let connection = self.link.connections.fetch_add(1, Ordering::Relaxed);
        let (inner, link) = (self.target.clone(), Arc::clone(&self.link));
        let target: Arc<dyn Target> = Arc::new(TargetLink::new(inner, link, connection, mapping));
        Arc::new(Wired::new(target, self.link.wire.clone()))
    }

    fn source<'a>(
        &'a self,
        mapping: &'a EventSourceMapping,
        _: &'a Function,
    ) -> BoxFuture<'a, Result<Arc<dyn Source>, SourceError>> {
        let (link, source) = (Arc::clone(&self.link), Arc::clone(&self.source));
        Box::pin(self.link.wire.carry(async move {
            let connected = async {
                let source: Arc<dyn Source> = Arc::new(SourceLink::new(source, Arc::clone(&link), mapping));
                Ok(Arc::new(Wired::new(source, link.wire.clone())) as Arc<dyn Source>)
            };
            link.call(Part::Source, "connect", connected, |number| Err(source::error(number))).await
        }))
    }

    fn destination(&self, mapping: &EventSourceMapping) -> Option<Arc<dyn Destination>> {
        let SourceSettings::Stream(settings) = &mapping.source else { return None };
        settings.on_failure.as_ref()?;
        let (inner, link) = (self.destination.clone(), Arc::clone(&self.link));
        let destination: Arc<dyn Destination> = Arc::new(DestinationLink { inner, link });
        Some(Arc::new(Wired::new(destination, self.link.wire.clone())))
    }
}
