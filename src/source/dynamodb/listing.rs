//! Lists a table stream's shards. Invariant: the whole listing or an error, since a missing parent would let its children
//! start early.

use aws_sdk_dynamodbstreams::{Client, types};

use crate::core::record::ShardId;
use crate::source::stream_errors::source_error;
use crate::source::{Shard, SourceError};

/// Lists all shards of the stream, `shards_per_page` with each call.
pub(super) async fn shards(client: &Client, stream_arn: &str, shards_per_page: i32) -> Result<Vec<Shard>, SourceError> {
    let mut shards = Vec::new();
    let mut after = None;
    loop {
        let call = client.describe_stream().stream_arn(stream_arn).limit(shards_per_page);
        let answer = call.set_exclusive_start_shard_id(after.clone()).send().await.map_err(source_error)?;
        let Some(page) = answer.stream_description else {
            return Err(SourceError::Transient("the answer describes no stream".into()));
        };
        for listed in page.shards.unwrap_or_default() {
            shards.push(shard(listed)?);
        }
        // The next page begins after the last shard of this one. A server that names the same shard again would have us
        // ask for ever.
        match page.last_evaluated_shard_id {
            None => return Ok(shards),
            Some(last) if after.as_deref() == Some(&last) => {
                return Err(SourceError::Transient("a page of the listing announces itself as the next one".into()));
            }
            last => after = last,
        }
    }
}

fn shard(listed: types::Shard) -> Result<Shard, SourceError> {
    let id =
        listed.shard_id.ok_or_else(|| SourceError::Transient("the listing holds a shard without a name".into()))?;
    Ok(Shard {
        id: ShardId::new(id),
        parents: listed.parent_shard_id.into_iter().map(ShardId::new).collect(),
        open: listed.sequence_number_range.is_none_or(|range| range.ending_sequence_number.is_none()),
    })
}
