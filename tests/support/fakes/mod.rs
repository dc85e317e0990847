//! Stand-ins in memory for everything outside the engine: a queue, a stream, a function, a destination, and the wire
//! that leads to them. They keep the rules of their traits (the contract suites run on them) and know no thread, no real
//! time and no randomness: time is tokio's clock, everything is ordered, every fault is asked for. Cloning a fake shares
//! it.

// Every target compiles this module anew and uses a part of it; and a failure here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

pub mod destination;
pub mod pushing;
pub mod queue;
pub mod stream;
pub mod target;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use esmd::clock::Clock;
use esmd::connect::Connector;
use esmd::destination::Destination;
use esmd::mapping::{EventSourceMapping, SourceSettings};
use esmd::source::{Source, SourceError};
use esmd::target::{Function, Target};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use self::destination::FakeDestination;
use self::target::FakeTarget;
use self::wire::{Wire, Wired};

/// Wall time that begins at a fixed moment and runs on tokio's clock, paused or not.
pub fn clock() -> Clock {
    let began = Instant::now();
    Clock::new(move || EPOCH + began.elapsed())
}

/// What a call to a source does instead of its work.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Throttled,
    Denied,
    Missing,
    Transient,
    /// A bug in the adapter.
    Panic,
}

impl Fault {
    fn strike(self) -> SourceError {
        let cause = "the test says so".into();
        match self {
            Self::Throttled => SourceError::Throttled(cause),
            Self::Denied => SourceError::Denied(cause),
            Self::Missing => SourceError::Missing(cause),
            Self::Transient => SourceError::Transient(cause),
            Self::Panic => panic!("the test says so"),
        }
    }
}

/// The next faults of one kind of call; without one it works.
#[derive(Default)]
struct Faults(VecDeque<Fault>);

impl Faults {
    fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.0.extend(faults);
    }

    fn strike(&mut self) -> Result<(), SourceError> {
        self.0.pop_front().map_or(Ok(()), |fault| Err(fault.strike()))
    }
}

/// Hands out fakes by ARN, each behind the same wire.
pub struct FakeConnector {
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    pub target: FakeTarget,
    pub destination: FakeDestination,
    pub wire: Wire,
}

impl Connector for FakeConnector {
    fn target(&self, _: &EventSourceMapping) -> Arc<dyn Target> {
        let target: Arc<dyn Target> = Arc::new(self.target.clone());
        Arc::new(Wired::new(target, self.wire.clone()))
    }

    fn source<'a>(
        &'a self,
        mapping: &'a EventSourceMapping,
        _: &'a Function,
    ) -> BoxFuture<'a, Result<Arc<dyn Source>, SourceError>> {
        let source = self.sources.get(mapping.source_arn().as_str()).cloned();
        Box::pin(self.wire.carry(async move {
            let source = source.ok_or_else(|| Fault::Missing.strike())?;
            Ok(Arc::new(Wired::new(source, self.wire.clone())) as Arc<dyn Source>)
        }))
    }

    fn destination(&self, mapping: &EventSourceMapping) -> Option<Arc<dyn Destination>> {
        let SourceSettings::Stream(settings) = &mapping.source else { return None };
        settings.on_failure.as_ref()?;
        let destination: Arc<dyn Destination> = Arc::new(self.destination.clone());
        Some(Arc::new(Wired::new(destination, self.wire.clone())))
    }
}

/// A panic is one of the things that tests make happen; what it interrupted here is whole.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When [`clock`] begins, since the Unix epoch.
const EPOCH: Duration = Duration::from_hours(500_000);
