//! Which mappings there are, and who may change them: the configuration file declares some, calls make the others. Both
//! end as rows of the store and as what the engine is to run. One task, the [`Controller`], owns that list and takes
//! the changes one after another; [`Control`] is how everyone else talks to it. Knows nothing of HTTP.

mod calls;
mod controller;
mod declaring;
pub mod file_watch;
mod list;
pub mod premises;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use list::List;
use premises::{InspectionScope, Premises, Unmet};

pub use controller::{Controller, Surroundings};

use crate::core::Timestamp;
use crate::core::record::ShardId;
use crate::core::shards::HeldBack;
use crate::engine::Board;
use crate::mapping::EventSourceMapping;
use crate::mapping::document::MappingDocument;
use crate::mapping::state::MappingState;
use crate::mapping::validate::ValidationErrors;
use crate::store::StoreError;

/// Shows the mappings and asks for changes. Cloning shares it.
#[derive(Clone)]
pub struct Control {
    calls: mpsc::Sender<Call>,
    list: watch::Receiver<Arc<List>>,
    board: Board,
    premises: Arc<dyn Premises>,
}

/// A mapping as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct MappingView {
    /// Its name.
    pub uuid: Uuid,
    /// What was asked for.
    pub document: MappingDocument,
    /// What it comes to.
    pub mapping: EventSourceMapping,
    /// Its state.
    pub state: MappingState,
    /// When it was made or changed.
    pub last_modified: Timestamp,
    /// The file that declares it, if one does.
    pub declared_in: Option<PathBuf>,
}

/// Why a call was not carried out. Nothing was changed, unless the store could not say.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such mapping.
    #[error("there is no mapping {uuid}")]
    Missing {
        /// What was asked for.
        uuid: Uuid,
    },
    /// Another mapping has the same source and function.
    #[error("mapping {} has the same source and function", .other.uuid)]
    Occupied {
        /// The other one.
        other: Box<MappingView>,
    },
    /// An earlier change of the mapping is still being carried out.
    #[error("an earlier change of mapping {uuid} is still being carried out")]
    InUse {
        /// The mapping.
        uuid: Uuid,
    },
    /// The document breaks rules.
    #[error(transparent)]
    Invalid(#[from] ValidationErrors),
    /// What the mapping needs is not there.
    #[error(transparent)]
    Unmet(#[from] Unmet),
    /// The mapping is the file's.
    #[error("the mapping is declared in {}: change it there", file.display())]
    Declared {
        /// The file.
        file: PathBuf,
    },
    /// The store did not take the change, or did not say that it did.
    #[error("the change could not be stored")]
    Store(#[from] StoreError),
    /// The process is about to end.
    #[error("esmd is stopping")]
    Stopping,
}

/// What becomes of a mapping's tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagChange {
    /// These are added, or take the place of those with the same keys.
    Set(BTreeMap<String, String>),
    /// Those with these keys go, if they are there.
    Remove(BTreeSet<String>),
}

/// What is asked of the controller.
enum Call {
    /// What a mapping of this document would be; nothing is made.
    JudgeCreate(MappingDocument, Judged),
    /// The same of a change.
    JudgeUpdate(Uuid, MappingDocument, Judged),
    Create(MappingDocument, Answer),
    Update(Uuid, MappingDocument, Answer),
    Delete(Uuid, Answer),
    ChangeTags(Uuid, TagChange, Answer),
    Reload(oneshot::Sender<bool>),
}

type Judged = oneshot::Sender<Result<EventSourceMapping, ControlError>>;

type Answer = oneshot::Sender<Result<MappingView, ControlError>>;

impl Control {
    /// Makes a mapping of a document that no file declares, if function and source are there. They are looked for by
    /// whoever asks, so that others need not wait for it.
    pub async fn create(&self, document: MappingDocument) -> Result<MappingView, ControlError> {
        let mapping = self.call(|judged| Call::JudgeCreate(document.clone(), judged)).await?;
        self.premises.inspect(&mapping, InspectionScope::All).await?;
        self.call(|answer| Call::Create(document, answer)).await
    }

    /// Changes the members that are given. `EventSourceArn`, starting position and tags cannot be changed.
    pub async fn update(&self, uuid: Uuid, change: MappingDocument) -> Result<MappingView, ControlError> {
        if change.function_name.is_some() {
            let mapping = self.call(|judged| Call::JudgeUpdate(uuid, change.clone(), judged)).await?;
            self.premises.inspect(&mapping, InspectionScope::Function).await?;
        }
        self.call(|answer| Call::Update(uuid, change, answer)).await
    }

    /// Deletes a mapping. It is shown as `Deleting` until all that it had begun is settled, then its checkpoints go.
    pub async fn delete(&self, uuid: Uuid) -> Result<MappingView, ControlError> {
        self.call(|answer| Call::Delete(uuid, answer)).await
    }

    /// Changes the tags of a mapping, whatever is being carried out; its state and time of change stay as they are.
    pub async fn change_tags(&self, uuid: Uuid, change: TagChange) -> Result<MappingView, ControlError> {
        self.call(|answer| Call::ChangeTags(uuid, change, answer)).await
    }

    /// Reads the configuration file again; the log and the metrics say what became of it. Returns whether it could be
    /// read, mistakes or not.
    pub async fn reload(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        _ = self.calls.send(Call::Reload(answer)).await; // else the process ends anyway
        answered.await.unwrap_or(false)
    }

    /// One mapping.
    #[must_use]
    pub fn get(&self, uuid: Uuid) -> Option<MappingView> {
        let list = self.list.borrow();
        list.get(uuid).map(|entry| list.view(entry, &self.board))
    }

    /// All mappings, by UUID.
    #[must_use]
    pub fn list(&self) -> Vec<MappingView> {
        let list = self.list.borrow();
        list.entries().map(|(_, entry)| list.view(entry, &self.board)).collect()
    }

    /// Whether the file was taken up when it was read last; `None` if there is no file.
    #[must_use]
    pub fn last_reload_succeeded(&self) -> Option<bool> {
        self.list.borrow().file().map(|file| file.last_reload_succeeded)
    }

    /// `LastProcessingResult` of a mapping.
    #[must_use]
    pub fn last_processing_result(&self, uuid: Uuid) -> String {
        self.board.last_processing_result(uuid)
    }

    /// The mapping's shards that have settled nothing for long, and why.
    #[must_use]
    pub fn waits(&self, uuid: Uuid) -> Vec<(ShardId, &'static str)> {
        self.board.waits(uuid)
    }

    /// The mapping's shards that stall.
    #[must_use]
    pub fn stalled_shards(&self, uuid: Uuid) -> Vec<ShardId> {
        self.board.stalled_shards(uuid)
    }

    /// The mapping's shards that are not read before others are settled to their end, with those others.
    #[must_use]
    pub fn held_back(&self, uuid: Uuid) -> HeldBack {
        self.board.held_back(uuid)
    }

    async fn call<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> Call,
    ) -> Result<T, ControlError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(call(answer)).await.map_err(|_| ControlError::Stopping)?;
        answered.await.map_err(|_| ControlError::Stopping)?
    }
}
