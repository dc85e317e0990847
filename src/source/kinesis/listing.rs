//! Lists a stream's shards, whatever the server makes of paging. Invariant: the whole listing or an error, since a
//! missing parent would let its children start early.

use aws_sdk_kinesis::{Client, types};

use crate::core::record::ShardId;
use crate::source::stream_errors::source_error;
use crate::source::{Shard, SourceError};
use crate::telemetry::chain;

/// Lists all shards of the stream, `shards_per_page` with each call.
pub(super) async fn shards(client: &Client, stream_arn: &str, shards_per_page: i32) -> Result<Vec<Shard>, SourceError> {
    let first = client.list_shards().stream_arn(stream_arn).max_results(shards_per_page).send().await;
    let mut page = first.map_err(source_error)?;
    let mut shards = Vec::new();
    loop {
        shards.extend(page.shards.unwrap_or_default().into_iter().map(shard));
        let Some(token) = page.next_token else { return Ok(shards) };
        // AWS takes a token only without the stream's name. There are servers that then look for a stream without one,
        // each with an error of its own, so whatever is not known to pass by itself leads to the other call.
        page = match client.list_shards().next_token(&token).send().await.map_err(source_error) {
            Ok(page) if page.next_token.as_ref() != Some(&token) => page,
            Err(error @ (SourceError::Throttled(_) | SourceError::Denied(_))) => return Err(error),
            broken => {
                let error = broken.err().map(|error| chain(&error));
                tracing::debug!(stream = stream_arn, error, "the listing broke off: describing the stream instead");
                return described_shards(client, stream_arn, shards_per_page).await;
            }
        };
    }
}

/// Lists all shards by `DescribeStream`, whose pages begin after a shard and not at a token.
async fn described_shards(client: &Client, stream_arn: &str, shards_per_page: i32) -> Result<Vec<Shard>, SourceError> {
    let mut shards = Vec::new();
    let mut after = None;
    loop {
        let call = client.describe_stream().stream_arn(stream_arn).limit(shards_per_page);
        let answer = call.set_exclusive_start_shard_id(after.clone()).send().await.map_err(source_error)?;
        let Some(page) = answer.stream_description else {
            return Err(SourceError::Transient("the answer describes no stream".into()));
        };
        let last = page.shards.last().map(|shard| shard.shard_id.clone());
        shards.extend(page.shards.into_iter().map(shard));
        if !page.has_more_shards {
            return Ok(shards);
        }
        if last.is_none() || last == after {
            return Err(SourceError::Transient("a page of the listing announces itself as the next one".into()));
        }
        after = last;
    }
}

fn shard(listed: types::Shard) -> Shard {
    let parents = [listed.parent_shard_id, listed.adjacent_parent_shard_id];
    Shard {
        id: ShardId::new(listed.shard_id),
        parents: parents.into_iter().flatten().map(ShardId::new).collect(),
        open: listed.sequence_number_range.is_none_or(|range| range.ending_sequence_number.is_none()),
    }
}
