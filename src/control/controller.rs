//! The task that owns the list of mappings. Level-triggered: after every call, and whenever a mapping begins or ends,
//! it brings store, list and engine to what is wanted; what the store refuses is tried again. A change is in the store
//! before it is answered, and no change is answered before the engine was told.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::list::{Entry, List, Pair};
use super::premises::Premises;
use super::{Call, Control};
use crate::clock::Clock;
use crate::config::LoadedFile;
use crate::config::environment::Environment;
use crate::connect::function_arn;
use crate::engine::{Board, Desired};
use crate::log_limit::LogLimit;
use crate::mapping::EventSourceMapping;
use crate::mapping::document::MappingDocument;
use crate::mapping::state::MappingState;
use crate::mapping::validate::{Scope, ValidationErrors};
use crate::store::{MappingOrigin, StateStore, StoreError, StoredMapping};
use crate::telemetry::chain;

/// Owns the list of mappings. See the module.
pub struct Controller {
    pub(super) surroundings: Surroundings,
    pub(super) list: List,
    /// What declares mappings, as it was read last, with the daemon's settings of the start.
    pub(super) file: Option<LoadedFile>,
    calls: mpsc::Receiver<Call>,
    published: watch::Sender<Arc<List>>,
    desired: watch::Sender<Desired>,
    /// The store may know something else than the list.
    stale: bool,
    /// The file may declare something that is not in the store.
    pub(super) undeclared: bool,
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
    /// Functions and sources.
    pub premises: Arc<dyn Premises>,
    /// Names for new mappings.
    pub new_uuid: Box<dyn FnMut() -> Uuid + Send>,
}

impl Controller {
    /// Reads the store and brings what the file declares into it. The file was judged in the surroundings' environment.
    /// The engine may run when this returns.
    pub async fn open(surroundings: Surroundings, file: Option<LoadedFile>) -> Result<(Self, Control), StoreError> {
        let (sender, calls) = mpsc::channel(CALLS_WAITING);
        let published = watch::Sender::default();
        let (board, premises) = (surroundings.board.clone(), Arc::clone(&surroundings.premises));
        let control = Control { calls: sender, list: published.subscribe(), board, premises };
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
            Call::JudgeCreate(document, judged) => _ = judged.send(self.judge_create(&document).await),
            Call::JudgeUpdate(uuid, change, judged) => {
                _ = judged.send(self.judge_update(uuid, change).await.map(|changed| changed.mapping));
            }
            Call::Create(document, answer) => _ = answer.send(self.create(document).await),
            Call::Update(uuid, change, answer) => _ = answer.send(self.update(uuid, change).await),
            Call::Delete(uuid, answer) => _ = answer.send(self.delete(uuid).await),
            Call::ChangeTags(uuid, change, answer) => _ = answer.send(self.change_tags(uuid, change).await),
            Call::Reload(answer) => _ = answer.send(self.reload().await),
        }
    }

    /// Brings the list up to the store, what the file declares into both, and every change that the engine carried out to
    /// its end. The engine is told before the board is looked at, so that what does not run will not begin.
    async fn carry_out(&mut self) -> Result<(), StoreError> {
        loop {
            self.refresh().await?;
            let declared = self.declare().await;
            self.publish();
            let has_settled = self.settle().await?;
            declared?;
            if !has_settled {
                return Ok(());
            }
        }
    }

    /// Reads the store, if it may know something else than the list.
    pub(super) async fn refresh(&mut self) -> Result<(), StoreError> {
        if self.stale {
            let stored = self.surroundings.store.mappings().await?;
            let entries: Vec<_> = stored.into_iter().filter_map(|stored| self.read(stored)).collect();
            self.list.replace(entries.into_iter());
            self.stale = false;
            self.undeclared = true; // what the file declares may have been on its way into the store, or be gone
        }
        Ok(())
    }

    /// A row that makes no mapping at all was written by hand or by another version: it is left alone.
    fn read(&self, stored: StoredMapping) -> Option<Entry> {
        let anywhere = Scope { region: None, custom_endpoint: true, now: Timestamp::MAX };
        match EventSourceMapping::from_document(&stored.document, &anywhere) {
            Ok(mapping) => {
                let is_valid = self.judge_again(&stored.document).is_ok();
                Some(Entry { is_valid, ..self.entry(stored, mapping) })
            }
            Err(invalid) => {
                error!(uuid = %stored.uuid, error = %invalid, "a stored mapping is invalid: it does not run");
                None
            }
        }
    }

    /// Ends the transitions that the engine has carried out. Returns whether there were any.
    async fn settle(&mut self) -> Result<bool, StoreError> {
        let done: Vec<_> = self
            .list
            .entries()
            .filter(|(_, entry)| self.is_carried_out(entry))
            .map(|(_, entry)| entry.clone())
            .collect();
        let has_settled = !done.is_empty();
        for entry in done {
            let uuid = entry.stored.uuid;
            if entry.stored.state == MappingState::Deleting {
                self.remove(uuid).await?;
                continue;
            }
            let state = MappingState::settled(entry.mapping.enabled);
            self.store(Entry { stored: StoredMapping { state, ..entry.stored }, ..entry }).await?;
            info!(%uuid, state = state.as_str(), "mapping changed its state");
        }
        Ok(has_settled)
    }

    /// Whether the mapping is in a transition that has come to its end.
    fn is_carried_out(&self, Entry { stored, mapping, .. }: &Entry) -> bool {
        let board = &self.surroundings.board;
        match stored.state {
            MappingState::Enabled | MappingState::Disabled => false,
            MappingState::Deleting => !board.is_running(stored.uuid),
            _ if mapping.enabled => board.has_begun(stored.uuid, mapping),
            _ => !board.is_running(stored.uuid),
        }
    }

    /// Removes a mapping that is deleted and does not run.
    async fn remove(&mut self, uuid: Uuid) -> Result<(), StoreError> {
        self.surroundings.board.forget(uuid);
        let removed = self.surroundings.store.delete_mapping(uuid).await;
        self.stale |= removed.is_err();
        removed?;
        self.list.remove(uuid);
        self.undeclared = true; // the file may declare its source and function
        info!(%uuid, "mapping deleted, with its checkpoints");
        Ok(())
    }

    /// Writes a mapping to the store and the list. Returns it with its new revision.
    pub(super) async fn store(&mut self, entry: Entry) -> Result<Entry, StoreError> {
        let written = self.surroundings.store.put_mapping(entry.stored).await;
        self.stale |= written.is_err();
        let entry = Entry { stored: written?, ..entry };
        self.list.insert(entry.clone());
        Ok(entry)
    }

    /// A new mapping, for the store.
    pub(super) fn make(
        &mut self,
        document: MappingDocument,
        mapping: &EventSourceMapping,
        origin: MappingOrigin,
    ) -> StoredMapping {
        StoredMapping {
            uuid: (self.surroundings.new_uuid)(),
            document,
            origin,
            revision: 0,
            state: MappingState::created(mapping),
            last_modified: self.surroundings.clock.now(),
        }
    }

    /// A mapping that was found valid, for the list.
    pub(super) fn entry(&self, stored: StoredMapping, mapping: EventSourceMapping) -> Entry {
        let pair = self.pair_of(&mapping);
        Entry { stored, mapping, pair, is_valid: true }
    }

    pub(super) fn pair_of(&self, mapping: &EventSourceMapping) -> Pair {
        let region = self.surroundings.environment.region.as_deref().unwrap_or_default();
        (mapping.source_arn().as_str().to_owned(), function_arn(mapping, region))
    }

    /// Judges a new document.
    pub(super) fn judge(&self, document: &MappingDocument) -> Result<EventSourceMapping, ValidationErrors> {
        self.judge_at(document, self.wall_time())
    }

    /// Judges a document whose starting position was judged when its mapping was made. A moment that was past then is
    /// past for good, also if the clock was set back since.
    pub(super) fn judge_again(&self, document: &MappingDocument) -> Result<EventSourceMapping, ValidationErrors> {
        self.judge_at(document, Timestamp::MAX)
    }

    fn judge_at(&self, document: &MappingDocument, now: Timestamp) -> Result<EventSourceMapping, ValidationErrors> {
        let scope = self.surroundings.environment.scope(document.event_source_arn.as_deref(), now);
        EventSourceMapping::from_document(document, &scope)
    }

    /// Tells the engine what to run, and everyone what there is, if that changed.
    pub(super) fn publish(&mut self) {
        if !self.list.take_changed() {
            return;
        }
        let desired = self.list.desired();
        self.desired.send_if_modified(|known| {
            *known != desired && {
                *known = desired;
                true
            }
        });
        self.published.send_replace(Arc::new(self.list.clone()));
    }

    pub(super) fn wall_time(&self) -> Timestamp {
        let milliseconds = self.surroundings.clock.now().as_millis();
        i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
    }
}

/// Calls that may wait for the one before.
const CALLS_WAITING: usize = 16;
/// Before the store is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);
