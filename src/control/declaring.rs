//! What the configuration file asks of the controller. A file's mapping is known by its source and function: its UUID
//! and checkpoints survive edits of its other settings, and its absence from the file. A file with mistakes changes
//! nothing.

use std::collections::BTreeSet;

use tracing::{error, info, warn};

use super::controller::Controller;
use super::list::Entry;
use crate::config::{ConfigError, ConfiguredMapping, LoadedFile};
use crate::mapping::state::MappingState;
use crate::store::{MappingOrigin, StoreError, StoredMapping};
use crate::telemetry::chain;

impl Controller {
    /// Reads the file again, and returns whether it could be read.
    pub(super) async fn reload(&mut self) -> bool {
        let (environment, now) = (self.surroundings.environment.clone(), self.wall_time());
        let Some(file) = &mut self.file else {
            warn!("nothing to reload: no configuration file was given");
            return false;
        };
        let path = file.path.clone();
        let read = tokio::task::spawn_blocking(move || LoadedFile::load(&path, &environment, now)).await;
        let mut loaded = match read.expect("reading a file does not panic, and nobody aborts it") {
            Ok(loaded) => loaded,
            Err(refused) => {
                self.list.set_reload_succeeded(false);
                report(&refused);
                return !matches!(refused, ConfigError::Unreadable { .. });
            }
        };
        let shown = loaded.path.display();
        if loaded.contents.settings != file.contents.settings {
            warn!(file = %shown, "settings of the daemon changed: they count from the next start");
        }
        info!(file = %shown, mappings = loaded.contents.mappings.len(), "configuration reloaded");
        loaded.contents.settings = file.contents.settings.clone();
        *file = loaded;
        self.list.set_reload_succeeded(true);
        self.undeclared = true;
        true
    }

    /// Writes what the file declares and the store does not have.
    pub(super) async fn declare(&mut self) -> Result<(), StoreError> {
        let Some(file) = self.file.as_ref().filter(|_| self.undeclared) else { return Ok(()) };
        let by_pair = self.list.by_pair();
        let mut declared = BTreeSet::new();
        for ConfiguredMapping { document, mapping, .. } in file.contents.mappings.clone() {
            let stored = match by_pair.get(&self.pair_of(&mapping)).map(|known| Entry::clone(known)) {
                Some(known) if known.stored.state == MappingState::Deleting => continue, // made anew when it is gone
                Some(known) if known.stored.document == document && known.stored.origin == MappingOrigin::File => {
                    self.list.declare(known.stored.uuid);
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
                None => self.make(document, &mapping, MappingOrigin::File),
            };
            let Entry { stored, mapping, pair, .. } = self.store(self.entry(stored, mapping)).await?;
            info!(uuid = %stored.uuid, source = pair.0, function = pair.1, enabled = mapping.enabled, "mapping declared");
            self.list.declare(stored.uuid);
            declared.insert(stored.uuid);
        }
        self.undeclared = false;
        for uuid in self.list.declare_only(declared) {
            warn!(%uuid, "mapping is no longer in the file: it does not run, and its checkpoints are kept");
        }
        Ok(())
    }

    /// At the start: mappings that a reader of the store would expect to run.
    pub(super) fn warn_of_what_does_not_run(&self) {
        for (uuid, entry) in self.list.entries().filter(|(_, entry)| !self.list.is_wanted(entry)) {
            let (source, function) = &entry.pair;
            match self.judge_again(&entry.stored.document) {
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
