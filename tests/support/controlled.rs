//! A controller and an engine on fakes: mappings come and go by calls, as in the daemon.

// Every target compiles this module anew and uses a part of it; and a failure here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esmd::clock::Clock;
use esmd::config::LoadedFile;
use esmd::config::environment::Environment;
use esmd::control::premises::{InspectionScope, Premises, Unmet};
use esmd::control::{Control, Controller, Surroundings};
use esmd::engine::{Board, Engine, Shared};
use esmd::mapping::EventSourceMapping;
use esmd::source::Source;
use esmd::store::StateStore;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fakes::FakeConnector;
use super::fakes::destination::FakeDestination;
use super::fakes::target::FakeTarget;
use super::fakes::wire::{Wire, Wired};
use super::memory_store::MemoryStore;

/// What outlives a process.
#[derive(Clone)]
pub struct Outside {
    pub clock: Clock,
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    pub target: FakeTarget,
    pub store: Arc<MemoryStore>,
    pub premises: FakePremises,
}

/// Functions and sources as a test says they are: all there, until it says otherwise.
#[derive(Clone, Default)]
pub struct FakePremises {
    unmet: Arc<Mutex<Option<Unmet>>>,
    asked: Arc<Mutex<Vec<InspectionScope>>>,
}

impl FakePremises {
    /// From now on every inspection ends like this.
    pub fn answer(&self, unmet: Option<Unmet>) {
        *self.unmet.lock().unwrap() = unmet;
    }

    /// What was inspected since this was asked before.
    pub fn asked(&self) -> Vec<InspectionScope> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Premises for FakePremises {
    fn inspect<'a>(&'a self, _: &'a EventSourceMapping, scope: InspectionScope) -> BoxFuture<'a, Result<(), Unmet>> {
        self.asked.lock().unwrap().push(scope);
        let unmet = self.unmet.lock().unwrap().clone();
        Box::pin(std::future::ready(unmet.map_or(Ok(()), Err)))
    }
}

/// One process's life.
pub struct Controlled {
    pub control: Control,
    pub board: Board,
    pub shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Outside {
    pub fn new(clock: Clock) -> Self {
        let target = FakeTarget::new(clock.clone());
        Self { clock, sources: BTreeMap::new(), target, store: Arc::default(), premises: FakePremises::default() }
    }

    pub fn with_source(mut self, arn: &str, source: impl Source + 'static) -> Self {
        self.sources.insert(arn.to_owned(), Arc::new(source));
        self
    }

    /// Starts a process with this file.
    pub async fn start(&self, file: Option<LoadedFile>) -> Controlled {
        self.start_on(Wire::whole(), file).await
    }

    /// Starts a process that lives as long as this wire.
    pub async fn start_on(&self, wire: Wire, file: Option<LoadedFile>) -> Controlled {
        let connector = FakeConnector {
            sources: self.sources.clone(),
            target: self.target.clone(),
            destination: FakeDestination::default(),
            wire: wire.clone(),
        };
        let store: Arc<dyn StateStore> = Arc::clone(&self.store) as _;
        let shared = Shared {
            clock: self.clock.clone(),
            connector: Arc::new(connector),
            store: Arc::new(Wired::new(store, wire)),
            worker: "worker".to_owned(),
            shard_refresh: Duration::from_secs(10),
            seed: 7,
            board: Board::default(),
        };
        let used = self.store.mappings().await.unwrap().into_iter().map(|mapping| mapping.uuid.as_u128()).max();
        let mut number = used.unwrap_or_default();
        let surroundings = Surroundings {
            store: Arc::clone(&shared.store),
            clock: self.clock.clone(),
            board: shared.board.clone(),
            environment: environment(),
            premises: Arc::new(self.premises.clone()),
            new_uuid: Box::new(move || {
                number += 1;
                Uuid::from_u128(number)
            }),
        };
        let board = shared.board.clone();
        let (controller, control) = Controller::open(surroundings, file).await.unwrap();
        let shutdown = CancellationToken::new();
        let engine = Engine::new(shared).run(controller.desired(), shutdown.clone(), Duration::from_secs(30));
        let mut tasks = JoinSet::new();
        tasks.spawn(async { engine.await.unwrap() });
        tasks.spawn(controller.run(shutdown.clone()));
        Controlled { control, board, shutdown, tasks }
    }
}

impl Controlled {
    /// Stops the process and waits until it has drained.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// One region, and no endpoint of one's own.
pub fn environment() -> Environment {
    Environment { region: Some(REGION.to_owned()), ..Environment::default() }
}

pub const REGION: &str = "eu-west-1";
