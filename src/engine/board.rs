//! What runs at this moment and how it goes, as the engine and its tasks report it. Whoever decides what is to run
//! learns here that it does, or no longer does; the API shows it; a drain that did not end names what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::core::outcome::Outcome;
use crate::core::record::ShardId;
use crate::core::shards::HeldBack;
use crate::mapping::EventSourceMapping;

/// Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Board {
    pages: Arc<watch::Sender<BTreeMap<Uuid, Page>>>,
}

/// What is known of one mapping. It stays when the mapping stops, until it is forgotten.
#[derive(Clone, Debug, Default)]
struct Page {
    running: Option<Running>,
    last_result: Option<LastResult>,
    /// Why its function or source cannot be reached, as it was seen last.
    obstacle: Option<String>,
}

/// A mapping that was started and has not ended.
#[derive(Clone, Debug)]
struct Running {
    mapping: EventSourceMapping,
    /// It was tried once to reach its function and source, whether or not that succeeded.
    has_begun: bool,
    /// The shards that have a consumer.
    shards: BTreeMap<ShardId, Reader>,
    /// The shards that stall, also while their consumer is started again.
    stalled: BTreeSet<ShardId>,
    /// The shards that are not read yet, and why.
    held_back: HeldBack,
}

/// A shard's consumer.
#[derive(Clone, Debug, Default)]
struct Reader {
    /// Why it cannot read.
    obstacle: Option<String>,
    /// Why its failure records are not taken.
    undelivered: Option<String>,
    /// Why it settles nothing, if it has not for long.
    wait: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum LastResult {
    Succeeded,
    Failed,
}

/// Keeps a shard on the board until it is dropped.
pub(super) struct Entry {
    board: Board,
    mapping: Uuid,
    shard: ShardId,
}

impl Board {
    /// Every shard that has a running consumer, with its mapping.
    #[must_use]
    pub fn running_shards(&self) -> Vec<(Uuid, ShardId)> {
        let pages = self.pages.borrow();
        let shards = |running: &Running| running.shards.keys().cloned().collect::<Vec<_>>();
        let running = pages.iter().filter_map(|(uuid, page)| Some((uuid, page.running.as_ref()?)));
        running.flat_map(|(uuid, running)| shards(running).into_iter().map(|shard| (*uuid, shard))).collect()
    }

    /// Whether the mapping was started and has not ended, in whatever form.
    #[must_use]
    pub fn is_running(&self, mapping: Uuid) -> bool {
        self.pages.borrow().get(&mapping).is_some_and(|page| page.running.is_some())
    }

    /// Whether the mapping runs with just these settings, and has begun: the position of each shard is kept, unless
    /// something is in the way.
    #[must_use]
    pub fn has_begun(&self, uuid: Uuid, mapping: &EventSourceMapping) -> bool {
        let pages = self.pages.borrow();
        let running = pages.get(&uuid).and_then(|page| page.running.as_ref());
        running.is_some_and(|running| running.has_begun && running.mapping == *mapping)
    }

    /// `LastProcessingResult` (`docs/semantics.md` 1.8).
    #[must_use]
    pub fn last_processing_result(&self, mapping: Uuid) -> String {
        let pages = self.pages.borrow();
        let page = pages.get(&mapping);
        if let Some(obstacle) = page.and_then(Page::obstacle) {
            return format!("PROBLEM: {obstacle}");
        }
        let text = match page.and_then(|page| page.last_result) {
            None => "No records processed",
            Some(LastResult::Succeeded) => "OK",
            Some(LastResult::Failed) => "PROBLEM: Function call failed",
        };
        text.to_owned()
    }

    /// The shards that have settled nothing for long, each with the reason as `esmd_mapping_waits_total` names it.
    #[must_use]
    pub fn waits(&self, mapping: Uuid) -> Vec<(ShardId, &'static str)> {
        let pages = self.pages.borrow();
        let readers = pages.get(&mapping).into_iter().flat_map(Page::readers);
        readers.filter_map(|(shard, reader)| Some((shard.clone(), reader.wait?))).collect()
    }

    /// Every shard that stalls, with its mapping.
    #[must_use]
    pub fn stalled(&self) -> Vec<(Uuid, ShardId)> {
        let pages = self.pages.borrow();
        let running = pages.iter().filter_map(|(uuid, page)| Some((uuid, page.running.as_ref()?)));
        running.flat_map(|(uuid, running)| running.stalled.iter().map(|shard| (*uuid, shard.clone()))).collect()
    }

    /// The mapping's shards that stall.
    #[must_use]
    pub fn stalled_shards(&self, mapping: Uuid) -> Vec<ShardId> {
        self.stalled().into_iter().filter(|(uuid, _)| *uuid == mapping).map(|(_, shard)| shard).collect()
    }

    /// The mapping's shards that are not read before others are settled to their end, with those others.
    #[must_use]
    pub fn held_back(&self, mapping: Uuid) -> HeldBack {
        let pages = self.pages.borrow();
        let running = pages.get(&mapping).and_then(|page| page.running.as_ref());
        running.map(|running| running.held_back.clone()).unwrap_or_default()
    }

    /// How many shards of the mapping are held back.
    #[must_use]
    pub fn count_held_back(&self, mapping: Uuid) -> usize {
        let pages = self.pages.borrow();
        pages.get(&mapping).and_then(|page| page.running.as_ref()).map_or(0, |running| running.held_back.len())
    }

    /// Tells when a mapping began or ended since.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.pages.subscribe())
    }

    /// Forgets a mapping that was deleted.
    pub fn forget(&self, mapping: Uuid) {
        self.pages.send_if_modified(|pages| {
            pages.remove(&mapping);
            false
        });
    }

    pub(super) fn started(&self, uuid: Uuid, mapping: EventSourceMapping) {
        let running = Running {
            mapping,
            has_begun: false,
            shards: BTreeMap::new(),
            stalled: BTreeSet::new(),
            held_back: HeldBack::new(),
        };
        self.pages.send_if_modified(|pages| {
            pages.entry(uuid).or_default().running = Some(running);
            false
        });
    }

    pub(super) fn begun(&self, uuid: Uuid) {
        self.pages.send_if_modified(|pages| {
            let running = pages.get_mut(&uuid).and_then(|page| page.running.as_mut());
            running.is_some_and(|running| !std::mem::replace(&mut running.has_begun, true))
        });
    }

    pub(super) fn ended(&self, uuid: Uuid) {
        self.pages.send_modify(|pages| {
            if let Some(page) = pages.get_mut(&uuid) {
                page.running = None;
            }
        });
    }

    /// What is in the way of a mapping, or that nothing is any more.
    pub(super) fn set_obstacle(&self, uuid: Uuid, obstacle: Option<String>) {
        self.turn(uuid, |page| page.obstacle = obstacle);
    }

    /// What is in the way of a shard's reads, or that nothing is any more.
    pub(super) fn set_shard_obstacle(&self, uuid: Uuid, shard: &ShardId, obstacle: Option<String>) {
        self.turn_reader(uuid, shard, |reader| reader.obstacle = obstacle);
    }

    /// Why a shard's failure records are not taken, or that they are again.
    pub(super) fn set_undelivered(&self, uuid: Uuid, shard: &ShardId, obstacle: Option<String>) {
        self.turn_reader(uuid, shard, |reader| reader.undelivered = obstacle);
    }

    /// Why a shard's consumer settles nothing, or that it does again.
    pub(super) fn set_wait(&self, uuid: Uuid, shard: &ShardId, wait: Option<&'static str>) {
        self.turn_reader(uuid, shard, |reader| reader.wait = wait);
    }

    /// Whether a shard stalls. True if that is new.
    pub(super) fn set_stalled(&self, uuid: Uuid, shard: &ShardId, stalls: bool) -> bool {
        let mut is_new = false;
        self.turn(uuid, |page| {
            if let Some(running) = &mut page.running {
                is_new = if stalls { running.stalled.insert(shard.clone()) } else { running.stalled.remove(shard) };
            }
        });
        is_new
    }

    /// No other shard than these is to be read.
    pub(super) fn retain_stalled(&self, uuid: Uuid, readable: &BTreeSet<ShardId>) {
        self.turn(uuid, |page| {
            if let Some(running) = &mut page.running {
                running.stalled.retain(|shard| readable.contains(shard));
            }
        });
    }

    /// Which shards are not read yet, and why. Gives those that were not among them before.
    pub(super) fn set_held_back(&self, uuid: Uuid, held_back: HeldBack) -> HeldBack {
        let mut new = HeldBack::new();
        self.turn(uuid, |page| {
            if let Some(running) = &mut page.running {
                let before = std::mem::replace(&mut running.held_back, held_back);
                let is_new = |(shard, _): &(&ShardId, _)| !before.contains_key(*shard);
                let begun = running.held_back.iter().filter(is_new);
                new = begun.map(|(shard, others)| (shard.clone(), others.clone())).collect();
            }
        });
        new
    }

    /// An invocation ended. One that waits for room says nothing.
    pub(super) fn invoked(&self, uuid: Uuid, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Succeeded | Outcome::Partial(_) => LastResult::Succeeded,
            Outcome::Failed(_) | Outcome::Unavailable(_) => LastResult::Failed,
            Outcome::Throttled => return,
        };
        self.turn(uuid, |page| page.last_result = Some(result));
    }

    pub(super) fn enter(&self, mapping: Uuid, shard: ShardId) -> Entry {
        self.turn(mapping, |page| {
            if let Some(running) = &mut page.running {
                running.shards.insert(shard.clone(), Reader::default());
            }
        });
        Entry { board: self.clone(), mapping, shard }
    }

    fn turn_reader(&self, mapping: Uuid, shard: &ShardId, change: impl FnOnce(&mut Reader)) {
        self.turn(mapping, |page| {
            if let Some(reader) = page.running.as_mut().and_then(|running| running.shards.get_mut(shard)) {
                change(reader);
            }
        });
    }

    /// Changes what concerns readers but no waiter. A mapping that was forgotten has nothing to change.
    fn turn(&self, mapping: Uuid, change: impl FnOnce(&mut Page)) {
        self.pages.send_if_modified(|pages| {
            if let Some(page) = pages.get_mut(&mapping) {
                change(page);
            }
            false
        });
    }
}

impl Page {
    fn readers(&self) -> impl Iterator<Item = (&ShardId, &Reader)> {
        self.running.iter().flat_map(|running| &running.shards)
    }

    /// What is in the way of the mapping, else of one of its shards.
    fn obstacle(&self) -> Option<&String> {
        self.obstacle.as_ref().or_else(|| self.readers().find_map(|(_, reader)| reader.obstacle()))
    }
}

impl Reader {
    /// That it cannot read comes first.
    fn obstacle(&self) -> Option<&String> {
        self.obstacle.as_ref().or(self.undelivered.as_ref())
    }
}

/// Waits for mappings to begin and to end.
pub struct Changes(watch::Receiver<BTreeMap<Uuid, Page>>);

impl Changes {
    /// Returns when one began or ended since the last call.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.board.turn(self.mapping, |page| {
            if let Some(running) = &mut page.running {
                running.shards.remove(&self.shard);
            }
        });
    }
}
