//! The store's calls as SQL on the tables that `migrate` makes. Each is a function that reads and writes within the
//! caller's transaction and decides before it writes. Knows nothing of threads or files.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::owner::Answer;
use crate::core::Timestamp;
use crate::core::checkpoint::Checkpoint;
use crate::core::record::ShardId;
use crate::core::shards::NewShard;
use crate::mapping::state::MappingState;
use crate::store::{Lease, LeaseRow, MappingOrigin, StoreError, StoredMapping};

pub(super) fn mappings(connection: &Connection) -> Answer<Vec<StoredMapping>> {
    let mut statement = connection.prepare_cached(
        "SELECT uuid, document, origin, revision, state, last_modified_ms FROM mappings ORDER BY number",
    )?;
    let mappings = statement.query_map([], stored_mapping)?.collect::<Result<_, _>>()?;
    Ok(Ok(mappings))
}

pub(super) fn put_mapping(connection: &Connection, mapping: &StoredMapping) -> Answer<StoredMapping> {
    let changed = StoredMapping { revision: mapping.revision.saturating_add(1), ..mapping.clone() };
    let values = (
        text(mapping.uuid),
        Json(&mapping.document),
        mapping.origin,
        integer(changed.revision),
        mapping.state,
        integer(mapping.last_modified.as_millis()),
    );
    let statement = if mapping.revision == 0 {
        "INSERT INTO mappings (uuid, document, origin, revision, state, last_modified_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (uuid) DO NOTHING"
    } else {
        "UPDATE mappings SET document = ?2, origin = ?3, revision = ?4, state = ?5, last_modified_ms = ?6
         WHERE uuid = ?1 AND revision = ?4 - 1"
    };
    let written = connection.prepare_cached(statement)?.execute(values)?;
    Ok(if written == 1 { Ok(changed) } else { Err(StoreError::Conflict { uuid: mapping.uuid }) })
}

pub(super) fn delete_mapping(connection: &Connection, uuid: Uuid) -> Answer<()> {
    connection.prepare_cached("DELETE FROM mappings WHERE uuid = ?1")?.execute((text(uuid),))?;
    Ok(Ok(()))
}

pub(super) fn add_shards(connection: &Connection, mapping: Uuid, shards: &[NewShard]) -> Answer<()> {
    let exists = connection.prepare_cached("SELECT 1 FROM mappings WHERE uuid = ?1")?.exists((text(mapping),))?;
    if !exists {
        return Ok(Err(StoreError::Conflict { uuid: mapping }));
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO shards (mapping, shard, checkpoint, waits_for) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    for NewShard { id, waits_for, checkpoint } in shards {
        statement.execute((text(mapping), id.as_str(), Json(checkpoint), Json(waits_for)))?;
    }
    Ok(Ok(()))
}

pub(super) fn remove_shards(connection: &Connection, mapping: Uuid, shards: &[ShardId]) -> Answer<()> {
    let mut statement = connection.prepare_cached("DELETE FROM shards WHERE mapping = ?1 AND shard = ?2")?;
    for shard in shards {
        statement.execute((text(mapping), shard.as_str()))?;
    }
    Ok(Ok(()))
}

pub(super) fn leases(connection: &Connection, mapping: Uuid) -> Answer<Vec<LeaseRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT shard, owner, epoch, checkpoint, waits_for FROM shards WHERE mapping = ?1 ORDER BY shard",
    )?;
    let leases = statement.query_map((text(mapping),), lease_row)?.collect::<Result<_, _>>()?;
    Ok(Ok(leases))
}

/// The epoch comes from the mapping, not from the shard's row, so that a shard whose row was removed and made anew
/// still refuses the lease of before.
pub(super) fn claim(
    connection: &Connection,
    mapping: Uuid,
    shard: &ShardId,
    worker: &str,
) -> Answer<Option<(Lease, Checkpoint)>> {
    let row = (text(mapping), shard.as_str());
    let checkpoint = connection
        .prepare_cached("SELECT checkpoint FROM shards WHERE mapping = ?1 AND shard = ?2")?
        .query_row(row, |row| row.get(0))
        .optional()?;
    let Some(Json(checkpoint)) = checkpoint else { return Ok(Ok(None)) };
    let epoch = connection
        .prepare_cached("UPDATE mappings SET newest_epoch = newest_epoch + 1 WHERE uuid = ?1 RETURNING newest_epoch")?
        .query_row((text(mapping),), |row| natural(row, 0))?;
    connection
        .prepare_cached(
            "UPDATE shards SET owner = ?3, epoch = ?4, updated_at = datetime('now') WHERE mapping = ?1 AND shard = ?2",
        )?
        .execute((text(mapping), shard.as_str(), worker, integer(epoch)))?;
    Ok(Ok(Some((Lease { mapping, shard: shard.clone(), epoch }, checkpoint))))
}

pub(super) fn release(connection: &Connection, lease: &Lease) -> Answer<()> {
    connection
        .prepare_cached(
            "UPDATE shards SET owner = NULL, updated_at = datetime('now')
             WHERE mapping = ?1 AND shard = ?2 AND epoch = ?3",
        )?
        .execute((text(lease.mapping), lease.shard.as_str(), integer(lease.epoch)))?;
    Ok(Ok(()))
}

pub(super) fn save_checkpoint(connection: &Connection, lease: &Lease, checkpoint: &Checkpoint) -> Answer<()> {
    let Lease { mapping, shard, epoch } = lease.clone();
    let written = connection
        .prepare_cached(
            "UPDATE shards SET checkpoint = ?4, updated_at = datetime('now')
             WHERE mapping = ?1 AND shard = ?2 AND epoch = ?3",
        )?
        .execute((text(mapping), shard.as_str(), integer(epoch), Json(checkpoint)))?;
    Ok(if written == 1 { Ok(()) } else { Err(StoreError::LeaseLost { mapping, shard, epoch }) })
}

fn stored_mapping(row: &Row<'_>) -> rusqlite::Result<StoredMapping> {
    let Parsed(uuid) = row.get(0)?;
    let Json(document) = row.get(1)?;
    Ok(StoredMapping {
        uuid,
        document,
        origin: row.get(2)?,
        revision: natural(row, 3)?,
        state: row.get(4)?,
        last_modified: Timestamp::from_millis(natural(row, 5)?),
    })
}

fn lease_row(row: &Row<'_>) -> rusqlite::Result<LeaseRow> {
    let Json(checkpoint) = row.get(3)?;
    let Json(waits_for) = row.get(4)?;
    Ok(LeaseRow {
        shard: ShardId::new(row.get::<_, String>(0)?),
        owner: row.get(1)?,
        epoch: natural(row, 2)?,
        checkpoint,
        waits_for,
    })
}

fn text(uuid: Uuid) -> String {
    uuid.to_string()
}

/// The database's integers are signed. Numbers that only rise by one never reach the half where that would show, and
/// one that was made up wraps to a negative one, which no row has.
fn integer(natural: u64) -> i64 {
    natural.cast_signed()
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// A value that a column keeps as JSON text.
struct Json<T>(T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let json = serde_json::to_string(&self.0);
        json.map(ToSqlOutput::from).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A UUID that a column keeps as text.
struct Parsed(Uuid);

impl FromSql for Parsed {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::parse_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

impl ToSql for MappingOrigin {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::File => "file".into(),
            Self::Api => "api".into(),
        })
    }
}

impl FromSql for MappingOrigin {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "file" => Ok(Self::File),
            "api" => Ok(Self::Api),
            other => Err(FromSqlError::Other(format!("unknown origin {other:?}").into())),
        }
    }
}

impl ToSql for MappingState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for MappingState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| FromSqlError::Other(format!("unknown state {text:?}").into()))
    }
}
