//! What survives a restart: mappings, and one row per shard that is lease and checkpoint in one, so that a single
//! conditional write both saves progress and proves ownership.

#[cfg(feature = "daemon")]
pub mod embedded;
pub mod observed;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::core::Timestamp;
use crate::core::checkpoint::{Checkpoint, UpTo};
use crate::core::record::ShardId;
use crate::core::shards::{NewShard, StoredShard};
use crate::mapping::document::MappingDocument;
use crate::mapping::state::MappingState;

/// A mapping as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMapping {
    /// Made once, kept for the mapping's life.
    pub uuid: Uuid,
    /// What was declared.
    pub document: MappingDocument,
    /// Who declared it.
    pub origin: MappingOrigin,
    /// What the last call on it asked for, or that it was carried out.
    pub state: MappingState,
    /// When it was made or changed last, by whoever declares it.
    pub last_modified: Timestamp,
    /// Raised by every change; a `put` names the revision that it saw.
    pub revision: u64,
}

/// Who may change a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MappingOrigin {
    /// The configuration file declares it.
    File,
    /// It was made by a call.
    Api,
}

/// The right to read one shard, as granted by a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The mapping.
    pub mapping: Uuid,
    /// Its shard.
    pub shard: ShardId,
    /// Raised by every claim. A write under an older epoch is refused.
    pub epoch: u64,
}

/// A shard's row as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The shard.
    pub shard: ShardId,
    /// The worker that holds it now, if any does.
    pub owner: Option<String>,
    /// The epoch of the latest claim; 0 if it was never claimed.
    pub epoch: u64,
    /// Up to where it is settled.
    pub checkpoint: Checkpoint,
    /// The shards that have to be settled to their end before this one is read.
    pub waits_for: Vec<ShardId>,
}

impl From<&LeaseRow> for StoredShard {
    fn from(row: &LeaseRow) -> Self {
        let ended = row.checkpoint.up_to == UpTo::Ended;
        Self { id: row.shard.clone(), waits_for: row.waits_for.clone(), ended }
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lease belongs to a newer epoch: stop, settle nothing more.
    #[error("lease on shard {shard} of mapping {mapping} is no longer held since epoch {epoch}")]
    LeaseLost {
        /// The mapping.
        mapping: Uuid,
        /// Its shard.
        shard: ShardId,
        /// The epoch that was not the newest.
        epoch: u64,
    },
    /// Someone else changed the mapping first: read it again.
    #[error("mapping {uuid} was changed by someone else")]
    Conflict {
        /// The mapping.
        uuid: Uuid,
    },
    /// The store did not take or give anything, as with a full disk: wait and ask again.
    #[error("state store unavailable")]
    Unavailable(#[source] crate::source::BoxError),
}

/// Keeps mappings, leases and checkpoints. Every write is durable when it returns. One that answers `Unavailable`, or
/// whose future was dropped, was done wholly or not at all, and may be asked again.
pub trait StateStore: Send + Sync {
    /// All mappings, in the order in which they were made.
    fn mappings(&self) -> BoxFuture<'_, Result<Vec<StoredMapping>, StoreError>>;

    /// Writes a mapping under the revision that the caller read (0: it must not exist yet) and returns it with the new
    /// one. `Conflict` if another revision is there.
    fn put_mapping(&self, mapping: StoredMapping) -> BoxFuture<'_, Result<StoredMapping, StoreError>>;

    /// Removes a mapping and all its rows. Removing what is not there is no error.
    fn delete_mapping(&self, uuid: Uuid) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Makes the rows of shards seen for the first time, all or none. A row that exists is left as it is. `Conflict` if
    /// the mapping does not exist.
    fn add_shards(&self, mapping: Uuid, shards: Vec<NewShard>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Removes the rows of shards that are over.
    fn remove_shards(&self, mapping: Uuid, shards: Vec<ShardId>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Every row of a mapping, by shard name.
    fn leases(&self, mapping: Uuid) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>>;

    /// Takes the shard for `worker`, raises its epoch, and returns the lease with the checkpoint to go on from. `None`
    /// if the row does not exist. Epochs rise within a mapping, so that they do so too for a row removed and made anew.
    fn claim(
        &self,
        mapping: Uuid,
        shard: ShardId,
        worker: String,
    ) -> BoxFuture<'_, Result<Option<(Lease, Checkpoint)>, StoreError>>;

    /// Gives the lease back, so that a successor starts at once. Giving back what is lost is no error.
    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Saves a checkpoint under the lease; `LeaseLost` if a newer epoch or no row exists.
    fn save_checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> BoxFuture<'_, Result<(), StoreError>>;
}
