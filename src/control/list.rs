//! The list of mappings in memory: every row of the store with what it comes to, and which of them the file declares
//! now. Decides what runs and what is shown; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::MappingView;
use crate::engine::{Board, Desired};
use crate::mapping::EventSourceMapping;
use crate::mapping::state::MappingState;
use crate::store::{MappingOrigin, StoredMapping};

/// The mappings, by UUID. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct List {
    entries: BTreeMap<Uuid, Arc<Entry>>,
    /// Those that the file declares now.
    declared: BTreeSet<Uuid>,
    file: Option<FileStatus>,
    /// See [`List::take_changed`].
    changed: bool,
}

/// The configuration file, as far as it is shown.
#[derive(Clone)]
pub(super) struct FileStatus {
    pub(super) path: PathBuf,
    pub(super) last_reload_succeeded: bool,
}

/// A mapping of the store.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) stored: StoredMapping,
    pub(super) mapping: EventSourceMapping,
    pub(super) pair: Pair,
    /// Whether it may run in this process: it may not if its source is in another region.
    pub(super) is_valid: bool,
}

/// What a mapping is known by: its source and the full ARN of its function.
pub(super) type Pair = (String, String);

impl List {
    /// An empty list, and the file that declares mappings if there is one.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let file = file.map(|path| FileStatus { path, last_reload_succeeded: true });
        Self { file, changed: true, ..Self::default() }
    }

    pub(super) fn file(&self) -> Option<&FileStatus> {
        self.file.as_ref()
    }

    pub(super) fn set_reload_succeeded(&mut self, succeeded: bool) {
        self.changed = true;
        if let Some(file) = &mut self.file {
            file.last_reload_succeeded = succeeded;
        }
    }

    /// Whether anything changed since this was asked before.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn get(&self, uuid: Uuid) -> Option<&Entry> {
        self.entries.get(&uuid).map(AsRef::as_ref)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Uuid, &Entry)> {
        self.entries.iter().map(|(uuid, entry)| (*uuid, &**entry))
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.changed = true;
        self.entries.insert(entry.stored.uuid, Arc::new(entry));
    }

    pub(super) fn remove(&mut self, uuid: Uuid) {
        self.changed = true;
        self.entries.remove(&uuid);
    }

    pub(super) fn replace(&mut self, entries: impl Iterator<Item = Entry>) {
        self.changed = true;
        self.entries = entries.map(|entry| (entry.stored.uuid, Arc::new(entry))).collect();
    }

    /// Takes note that the file declares the mapping.
    pub(super) fn declare(&mut self, uuid: Uuid) {
        self.changed = true;
        self.declared.insert(uuid);
    }

    /// Takes note that the file declares no others than these, and returns those that it no longer does.
    pub(super) fn declare_only(&mut self, declared: BTreeSet<Uuid>) -> BTreeSet<Uuid> {
        self.changed = true;
        let before = std::mem::replace(&mut self.declared, declared);
        before.difference(&self.declared).copied().collect()
    }

    /// The mappings by what they are known by. No two have the same.
    pub(super) fn by_pair(&self) -> BTreeMap<Pair, Arc<Entry>> {
        self.entries.values().map(|entry| (entry.pair.clone(), Arc::clone(entry))).collect()
    }

    /// The file, if it declares the mapping.
    pub(super) fn declared_in(&self, uuid: Uuid) -> Option<&PathBuf> {
        self.file.as_ref().filter(|_| self.declared.contains(&uuid)).map(|file| &file.path)
    }

    /// Whether the engine is to know of the mapping. One that came from a file and no longer stands there keeps its
    /// checkpoints and does not run.
    pub(super) fn is_wanted(&self, entry: &Entry) -> bool {
        let is_declared = entry.stored.origin == MappingOrigin::Api || self.declared.contains(&entry.stored.uuid);
        entry.is_valid && is_declared && entry.stored.state != MappingState::Deleting
    }

    /// What the engine is to run.
    pub(super) fn desired(&self) -> Desired {
        let wanted = self.entries.iter().filter(|(_, entry)| self.is_wanted(entry));
        wanted.map(|(uuid, entry)| (*uuid, entry.mapping.clone())).collect()
    }

    /// The mapping as it is shown.
    pub(super) fn view(&self, entry: &Entry, board: &Board) -> MappingView {
        let StoredMapping { uuid, document, state, last_modified, .. } = entry.stored.clone();
        let state = match state {
            MappingState::Deleting => MappingState::Deleting,
            state if self.is_wanted(entry) => state,
            _ if board.is_running(uuid) => MappingState::Disabling,
            _ => MappingState::Disabled,
        };
        let declared_in = self.declared_in(uuid).cloned();
        MappingView { uuid, document, mapping: entry.mapping.clone(), state, last_modified, declared_in }
    }
}
