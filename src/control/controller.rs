//! The task that owns the list of mappings. Level-triggered: after every call, and whenever a mapping begins or ends,
//! it brings store, list and engine to what is wanted; what the store refuses is tried again. A change is in the store
//! before it is answered, and no change is answered before the engine was told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::list::{Entry, List, pair_of};
use super::{Call, Control, ControlError, MappingView};
use crate::clock::Clock;
use crate::config::environment::Environment;
use crate::config::settings::GivenSettings;
use crate::config::{ConfigError, LoadedFile};
use crate::engine::{Board, Desired};
use crate::log_limit::LogLimit;
use crate::mapping::EventSourceMapping;
use crate::mapping::document::MappingDocument;
use crate::mapping::state::MappingState;
use crate::mapping::validate::{Scope, ValidationErrors, refuse_change_of_fixed_members};
use crate::store::{MappingOrigin, StateStore, StoreError, StoredMapping};
use crate::telemetry::chain;

/// Owns the list of mappings. See the module.
pub struct Controller {
    surroundings: Surroundings,
    list: List,
    file: Option<DeclaringFile>,
    calls: mpsc::Receiver<Call>,
    published: watch::Sender<Arc<List>>,
    desired: watch::Sender<Desired>,
    /// The store may know something else than the list.
    stale: bool,
    /// The file may declare something that is not in the store.
    undeclared: bool,
    log: LogLimit,
}

/// What a controller works with.
pub struct Surroundings {
    /// Where mappings are kept.
    pub store: Arc<dyn StateStore>,
    /// The time.
    pub clock: Clock,
    /// What runs.
    pub board: Board,
    /// Region and endpoints as AWS's own configuration gives them; the region is known.
    pub environment: Environment,
    /// Names for new mappings.
    pub new_uuid: Box<dyn FnMut() -> Uuid + Send>,
}

/// A configuration file that declares mappings.
#[derive(Clone, Debug)]
pub struct DeclaringFile {
    /// Where it is.
    pub path: PathBuf,
    /// The settings that it gives.
    pub settings: GivenSettings,
    /// What it declares. No two have both source and function in common.
    pub mappings: Vec<(MappingDocument, EventSourceMapping)>,
}

impl Controller {
    /// Reads the store and brings what the file declares into it. The engine may run when this returns.
    pub async fn open(surroundings: Surroundings, file: Option<DeclaringFile>) -> Result<(Self, Control), StoreError> {
        let (sender, calls) = mpsc::channel(CALLS_WAITING);
        let published = watch::Sender::default();
        let control = Control { calls: sender, list: published.subscribe(), board: surroundings.board.clone() };
        let mut controller = Self {
            list: List::new(file.as_ref().map(|file| file.path.clone())),
            surroundings,
            file,
            calls,
            published,
            desired: watch::Sender::default(),
            stale: true,
            undeclared: true,
            log: LogLimit::default(),
        };
        controller.refresh().await?;
        controller.declare().await?;
        controller.publish();
        controller.warn_of_what_does_not_run();
        Ok((controller, control))
    }

    /// What the engine is to run, now and later.
    #[must_use]
    pub fn desired(&self) -> watch::Receiver<Desired> {
        self.desired.subscribe()
    }

    /// Takes calls until `shutdown`. A change that is not carried out by then is carried out by the next process.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.surroundings.board.changes();
        loop {
            let carried_out = self.carry_out().await;
            if let Err(failed) = &carried_out
                && let Some(suppressed) = self.log.permit(self.surroundings.clock.now())
            {
                warn!(error = %chain(failed), suppressed, "mappings cannot be stored; trying again");
            }
            tokio::select! { biased;
                () = shutdown.cancelled() => return,
                Some(call) = self.calls.recv() => self.take(call).await,
                () = changes.next() => {}
                () = tokio::time::sleep(STORE_RETRY), if carried_out.is_err() => {}
            }
        }
    }

    /// Whoever asked may be gone; what was done stays done.
    async fn take(&mut self, call: Call) {
        match call {
            Call::Create(document, answer) => _ = answer.send(self.create(document).await),
            Call::Update(uuid, change, answer) => _ = answer.send(self.update(uuid, change).await),
            Call::Delete(uuid, answer) => _ = answer.send(self.delete(uuid).await),
            Call::Reload => self.reload().await,
        }
    }

    async fn create(&mut self, document: MappingDocument) -> Result<MappingView, ControlError> {
        self.refresh().await?;
        let mapping = self.judge(&document)?;
        self.refuse_occupied(&mapping, None)?;
        let stored = StoredMapping {
            uuid: (self.surroundings.new_uuid)(),
            document,
            origin: MappingOrigin::Api,
            revision: 0,
            state: MappingState::created(&mapping),
            last_modified: self.surroundings.clock.now(),
        };
        self.put(stored, mapping).await
    }

    async fn update(&mut self, uuid: Uuid, change: MappingDocument) -> Result<MappingView, ControlError> {
        let (entry, was_wanted) = self.changeable(uuid).await?;
        refuse_change_of_fixed_members(&entry.stored.document, &change)?;
        let document = entry.stored.document.changed_by(change);
        let mapping = self.judge(&document)?;
        self.refuse_occupied(&mapping, Some(uuid))?;
        let stored = StoredMapping {
            document,
            origin: MappingOrigin::Api,
            state: MappingState::updated(was_wanted && entry.mapping.enabled, &mapping),
            last_modified: self.surroundings.clock.now(),
            ..entry.stored
        };
        self.put(stored, mapping).await
    }

    async fn delete(&mut self, uuid: Uuid) -> Result<MappingView, ControlError> {
        let (entry, _) = self.changeable(uuid).await?;
        let stored = StoredMapping { state: MappingState::Deleting, ..entry.stored };
        self.put(stored, entry.mapping).await
    }

    /// A mapping that calls may change now, and whether it was to run. One that its file no longer declares is one.
    async fn changeable(&mut self, uuid: Uuid) -> Result<(Entry, bool), ControlError> {
        self.refresh().await?;
        let entry = self.list.get(uuid).ok_or(ControlError::Missing { uuid })?;
        if let Some(file) = self.list.declared_in(uuid) {
            return Err(ControlError::Declared { file: file.clone() });
        }
        let is_wanted = self.list.is_wanted(entry);
        if entry.stored.state == MappingState::Deleting || (is_wanted && entry.stored.state.is_transition()) {
            return Err(ControlError::InUse { uuid });
        }
        Ok((entry.clone(), is_wanted))
    }

    fn judge(&self, document: &MappingDocument) -> Result<EventSourceMapping, ValidationErrors> {
        let scope = self.surroundings.environment.scope(document.event_source_arn.as_deref(), self.wall_time());
        EventSourceMapping::from_document(document, &scope)
    }

    fn refuse_occupied(&self, mapping: &EventSourceMapping, own: Option<Uuid>) -> Result<(), ControlError> {
        let pair = pair_of(mapping, self.region());
        let other = self
            .list
            .entries()
            .find(|(uuid, entry)| Some(*uuid) != own && pair_of(&entry.mapping, self.region()) == pair);
        match other {
            Some((_, entry)) => {
                Err(ControlError::Occupied { other: Box::new(self.list.view(entry, &self.surroundings.board)) })
            }
            None => Ok(()),
        }
    }

    async fn put(&mut self, stored: StoredMapping, mapping: EventSourceMapping) -> Result<MappingView, ControlError> {
        let entry = self.store(stored, mapping).await?;
        let view = self.list.view(&entry, &self.surroundings.board);
        info!(
            uuid = %view.uuid,
            source = %view.mapping.source_arn(),
            function = view.mapping.function.as_given(),
            state = view.state.as_str(),
            "mapping changed by a call"
        );
        self.publish();
        Ok(view)
    }

    /// Writes a mapping to the store and the list.
    async fn store(&mut self, stored: StoredMapping, mapping: EventSourceMapping) -> Result<Entry, StoreError> {
        let written = self.surroundings.store.put_mapping(stored).await;
        self.stale |= written.is_err();
        let entry = Entry { stored: written?, mapping, is_valid: true };
        self.list.insert(entry.clone());
        Ok(entry)
    }

    /// Reads the file again. One with mistakes changes nothing.
    async fn reload(&mut self) {
        let Some(file) = &self.file else {
            warn!("nothing to reload: no configuration file was given");
            return;
        };
        let (path, environment, now) = (file.path.clone(), self.surroundings.environment.clone(), self.wall_time());
        let shown = path.display().to_string();
        let read = tokio::task::spawn_blocking(move || LoadedFile::load(&path, &environment, now)).await;
        let loaded = match read.expect("reading a file does not panic, and nobody aborts it") {
            Ok(loaded) => loaded.contents,
            Err(refused) => {
                self.list.set_reload_succeeded(false);
                return report(&refused);
            }
        };
        if loaded.settings != file.settings {
            warn!(file = shown, "settings of the daemon changed: they count from the next start");
        }
        let settings = file.settings.clone();
        let mappings: Vec<_> = loaded.mappings.into_iter().map(|found| (found.document, found.mapping)).collect();
        info!(file = shown, mappings = mappings.len(), "configuration reloaded");
        self.file = Some(DeclaringFile { path: file.path.clone(), settings, mappings });
        self.list.set_reload_succeeded(true);
        self.undeclared = true;
    }

    /// Brings the list up to the store, every change that the engine carried out to its end, and what the file declares
    /// into both. The engine is told before the board is looked at, so that what does not run will not begin.
    async fn carry_out(&mut self) -> Result<(), StoreError> {
        self.refresh().await?;
        self.publish();
        self.settle().await?;
        self.declare().await?;
        self.publish();
        Ok(())
    }

    /// Reads the store, if it may know something else than the list.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        if self.stale {
            let stored = self.surroundings.store.mappings().await?;
            let entries: Vec<_> = stored.into_iter().filter_map(|stored| self.entry(stored)).collect();
            self.list.replace(entries.into_iter());
            self.stale = false;
        }
        Ok(())
    }

    /// A row that makes no mapping at all was written by hand or by another version: it is left alone.
    fn entry(&self, stored: StoredMapping) -> Option<Entry> {
        let anywhere = Scope { region: None, custom_endpoint: true, now: self.wall_time() };
        match EventSourceMapping::from_document(&stored.document, &anywhere) {
            Ok(mapping) => {
                let is_valid = self.judge(&stored.document).is_ok();
                Some(Entry { stored, mapping, is_valid })
            }
            Err(invalid) => {
                error!(uuid = %stored.uuid, error = %invalid, "a stored mapping is invalid: it does not run");
                None
            }
        }
    }

    /// Writes what the file declares and the store does not have. A file's mapping is known by its source and function:
    /// its UUID and checkpoints survive edits of its other settings, and its absence from the file.
    async fn declare(&mut self) -> Result<(), StoreError> {
        let Some(file) = self.file.clone().filter(|_| self.undeclared) else { return Ok(()) };
        let by_pair = self.list.by_pair(self.region());
        let mut declared = BTreeSet::new();
        for (document, mapping) in file.mappings {
            let pair = pair_of(&mapping, self.region());
            let stored = match by_pair.get(&pair).map(|known| Entry::clone(known)) {
                Some(known) if known.stored.state == MappingState::Deleting => continue, // made anew when it is gone
                Some(known) if known.stored.document == document && known.stored.origin == MappingOrigin::File => {
                    declared.insert(known.stored.uuid);
                    continue;
                }
                Some(known) => StoredMapping {
                    document,
                    origin: MappingOrigin::File,
                    state: MappingState::updated(self.list.is_wanted(&known) && known.mapping.enabled, &mapping),
                    last_modified: self.surroundings.clock.now(),
                    ..known.stored
                },
                None => StoredMapping {
                    uuid: (self.surroundings.new_uuid)(),
                    document,
                    origin: MappingOrigin::File,
                    revision: 0,
                    state: MappingState::created(&mapping),
                    last_modified: self.surroundings.clock.now(),
                },
            };
            let enabled = mapping.enabled;
            let uuid = self.store(stored, mapping).await?.stored.uuid;
            info!(%uuid, source = pair.0, function = pair.1, enabled, "mapping declared");
            declared.insert(uuid);
        }
        self.undeclared = false;
        for uuid in self.list.declare(declared) {
            warn!(%uuid, "mapping is no longer in the file: it does not run, and its checkpoints are kept");
        }
        Ok(())
    }

    /// Ends the transitions that the engine has carried out.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let transitions = self.list.entries().filter(|(_, entry)| entry.stored.state.is_transition());
        let transitions: Vec<_> = transitions.map(|(uuid, entry)| (uuid, entry.clone())).collect();
        for (uuid, Entry { stored, mapping, .. }) in transitions {
            let board = &self.surroundings.board;
            if stored.state == MappingState::Deleting {
                if !board.is_running(uuid) {
                    self.remove(uuid).await?;
                }
                continue;
            }
            let is_done = if mapping.enabled { board.has_begun(uuid, &mapping) } else { !board.is_running(uuid) };
            if is_done {
                let state = MappingState::settled(mapping.enabled);
                self.store(StoredMapping { state, ..stored }, mapping).await?;
                info!(%uuid, state = state.as_str(), "mapping changed its state");
            }
        }
        Ok(())
    }

    async fn remove(&mut self, uuid: Uuid) -> Result<(), StoreError> {
        let removed = self.surroundings.store.delete_mapping(uuid).await;
        self.stale |= removed.is_err();
        removed?;
        self.list.remove(uuid);
        self.surroundings.board.forget(uuid);
        self.undeclared = true; // the file may declare its source and function
        info!(%uuid, "mapping deleted, with its checkpoints");
        Ok(())
    }

    /// Tells the engine what to run, and everyone what there is.
    fn publish(&self) {
        let desired = self.list.desired();
        self.desired.send_if_modified(|known| {
            *known != desired && {
                *known = desired;
                true
            }
        });
        self.published.send_replace(Arc::new(self.list.clone()));
    }

    /// At the start: mappings that a reader of the store would expect to run.
    fn warn_of_what_does_not_run(&self) {
        for (uuid, entry) in self.list.entries().filter(|(_, entry)| !self.list.is_wanted(entry)) {
            let (source, function) = pair_of(&entry.mapping, self.region());
            match self.judge(&entry.stored.document) {
                Err(invalid) => error!(%uuid, source, function, error = %invalid, "mapping does not run"),
                Ok(_) if entry.stored.state == MappingState::Deleting => {}
                Ok(_) => warn!(
                    %uuid,
                    source,
                    function,
                    "mapping is no longer in the file: it does not run, and its checkpoints are kept"
                ),
            }
        }
    }

    fn region(&self) -> &str {
        self.surroundings.environment.region.as_deref().unwrap_or_default()
    }

    fn wall_time(&self) -> Timestamp {
        let milliseconds = self.surroundings.clock.now().as_millis();
        i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
    }
}

/// One line for each mistake.
fn report(refused: &ConfigError) {
    let ConfigError::Invalid(problems) = refused else {
        error!(error = %chain(refused), "configuration not reloaded: the mappings stay as they are");
        return;
    };
    for problem in &problems.problems {
        let place = format!("{}:{}:{}", problems.file, problem.line, problem.column);
        let remedy = problem.remedy.as_deref().unwrap_or_default();
        error!(place, problem = problem.message, remedy, "configuration not reloaded: the mappings stay as they are");
    }
}

/// Calls that may wait for the one before.
const CALLS_WAITING: usize = 16;
/// Before the store is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);
