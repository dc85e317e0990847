//! What calls ask of the controller: to make, change, tag and delete mappings that no file declares (`docs/semantics.md`
//! 1.6, 1.8, 1.9, 1.11). A call that is refused has changed nothing.

use tracing::info;
use uuid::Uuid;

use super::controller::Controller;
use super::list::{Entry, Pair};
use super::{ControlError, MappingView, TagChange};
use crate::mapping::EventSourceMapping;
use crate::mapping::document::MappingDocument;
use crate::mapping::state::MappingState;
use crate::mapping::validate::{refuse_change_of_fixed_members, refuse_empty_pollers, refuse_invalid_tags};
use crate::store::{MappingOrigin, StoredMapping};

/// A mapping before a change, and what it would be after it.
pub(super) struct Changed {
    entry: Entry,
    was_wanted: bool,
    document: MappingDocument,
    pub(super) mapping: EventSourceMapping,
}

impl Controller {
    pub(super) async fn create(&mut self, document: MappingDocument) -> Result<MappingView, ControlError> {
        let mapping = self.judge_create(&document).await?;
        self.refuse_occupied(&self.pair_of(&mapping), None)?;
        let stored = self.make(document, &mapping, MappingOrigin::Api);
        self.put(self.entry(stored, mapping)).await
    }

    /// What a new mapping would be.
    pub(super) async fn judge_create(
        &mut self,
        document: &MappingDocument,
    ) -> Result<EventSourceMapping, ControlError> {
        self.refresh().await?;
        let mapping = self.judge(document)?;
        refuse_empty_pollers(document, &mapping)?;
        Ok(mapping)
    }

    /// What a mapping would be after a change.
    pub(super) async fn judge_update(
        &mut self,
        uuid: Uuid,
        mut change: MappingDocument,
    ) -> Result<Changed, ControlError> {
        let (entry, was_wanted) = self.changeable(uuid).await?;
        refuse_change_of_fixed_members(&entry.stored.document, &change)?;
        change.tags = None; // the same, or none
        if entry.stored.origin == MappingOrigin::File {
            change.enabled.get_or_insert(false); // it left its file and is shown as disabled: so it stays unless asked
        }
        let document = entry.stored.document.changed_by(change);
        let mapping = self.judge_again(&document)?;
        Ok(Changed { entry, was_wanted, document, mapping })
    }

    pub(super) async fn update(&mut self, uuid: Uuid, change: MappingDocument) -> Result<MappingView, ControlError> {
        let Changed { entry, was_wanted, document, mapping } = self.judge_update(uuid, change).await?;
        self.refuse_occupied(&self.pair_of(&mapping), Some(uuid))?;
        let stored = StoredMapping {
            document,
            origin: MappingOrigin::Api,
            state: MappingState::updated(was_wanted && entry.mapping.enabled, &mapping),
            last_modified: self.surroundings.clock.now(),
            ..entry.stored
        };
        self.put(self.entry(stored, mapping)).await
    }

    pub(super) async fn delete(&mut self, uuid: Uuid) -> Result<MappingView, ControlError> {
        let (entry, _) = self.changeable(uuid).await?;
        let stored = StoredMapping { state: MappingState::Deleting, ..entry.stored };
        self.put(Entry { stored, ..entry }).await
    }

    /// Tags are in nobody's way: no transition excludes their change, and it begins none (`docs/semantics.md` 1.11).
    pub(super) async fn change_tags(&mut self, uuid: Uuid, change: TagChange) -> Result<MappingView, ControlError> {
        let entry = self.undeclared(uuid).await?;
        let mut document = entry.stored.document.clone();
        let tags = document.tags.get_or_insert_default();
        match change {
            TagChange::Set(set) => tags.extend(set),
            TagChange::Remove(keys) => tags.retain(|key, _| !keys.contains(key)),
        }
        refuse_invalid_tags(&document)?;
        let stored = StoredMapping { document, ..entry.stored };
        self.put(Entry { stored, ..entry }).await
    }

    /// A mapping that calls may change now, and whether it was to run.
    async fn changeable(&mut self, uuid: Uuid) -> Result<(Entry, bool), ControlError> {
        let entry = self.undeclared(uuid).await?;
        let is_wanted = self.list.is_wanted(&entry);
        if entry.stored.state == MappingState::Deleting || (is_wanted && entry.stored.state.is_transition()) {
            return Err(ControlError::InUse { uuid });
        }
        Ok((entry, is_wanted))
    }

    /// A mapping that no file declares. One that its file no longer declares is one.
    async fn undeclared(&mut self, uuid: Uuid) -> Result<Entry, ControlError> {
        self.refresh().await?;
        let entry = self.list.get(uuid).ok_or(ControlError::Missing { uuid })?;
        match self.list.declared_in(uuid) {
            Some(file) => Err(ControlError::Declared { file: file.clone() }),
            None => Ok(entry.clone()),
        }
    }

    fn refuse_occupied(&self, pair: &Pair, own: Option<Uuid>) -> Result<(), ControlError> {
        match self.list.entries().find(|(uuid, entry)| Some(*uuid) != own && entry.pair == *pair) {
            Some((_, entry)) => {
                Err(ControlError::Occupied { other: Box::new(self.list.view(entry, &self.surroundings.board)) })
            }
            None => Ok(()),
        }
    }

    async fn put(&mut self, changed: Entry) -> Result<MappingView, ControlError> {
        let entry = self.store(changed).await?;
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
}
