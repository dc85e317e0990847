//! A stream whose shards are all alike: record `i` of shard `s` has the number `i × shards + s`. An iterator says shard
//! and place, so the server remembers nothing of its readers. All stream names are the same stream.

use std::io::Write as _;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Server, parsed};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Read<'a> {
    shard_iterator: &'a str,
    #[serde(default = "most_records")]
    limit: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begin<'a> {
    shard_id: &'a str,
    #[serde(borrow)]
    starting_sequence_number: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List<'a> {
    #[serde(borrow)]
    next_token: Option<&'a str>,
}

impl Server {
    pub(super) fn records(&self, body: &[u8]) -> Bytes {
        let Read { shard_iterator, limit } = parsed(body);
        self.traffic.read("GetRecords");
        let (shard, first) = shard_iterator.split_once(':').expect("it is one of ours");
        let [shard, first] = [shard, first].map(|number| number.parse::<u64>().expect("it is one of ours"));
        let there = self.load.there_after(self.traffic.elapsed());
        let end = there.min(first + limit.min(most_records()));
        let numbers = (first..end).map(|place| place * self.load.shards + shard);
        self.traffic.there(numbers.clone());
        let behind = if end < there { 60_000 } else { 0 };
        self.page(numbers, shard, end.max(first), behind)
    }

    fn page(&self, numbers: impl Iterator<Item = u64>, shard: u64, next: u64, behind_millis: u64) -> Bytes {
        let data = STANDARD.encode_to_string(vec![b'x'; self.load.data_bytes]);
        let mut json = Vec::with_capacity(512);
        json.extend_from_slice(b"{\"Records\":[");
        for (index, number) in numbers.enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let key = number / self.load.shards % self.load.keys;
            write!(
                json,
                "{comma}{{\"SequenceNumber\":\"{SEQUENCE}{number:012}\",\"ApproximateArrivalTimestamp\":1.760700041123E9,\
                 \"Data\":\"{data}\",\"PartitionKey\":\"#{key:06}\"}}"
            )
            .expect("a buffer takes everything");
        }
        let rest = format!("],\"NextShardIterator\":\"{shard}:{next}\",\"MillisBehindLatest\":{behind_millis}}}");
        json.extend_from_slice(rest.as_bytes());
        json.into()
    }

    pub(super) fn shard_iterator(&self, body: &[u8]) -> Bytes {
        let Begin { shard_id, starting_sequence_number } = parsed(body);
        self.traffic.called("GetShardIterator");
        let shard = shard_id.rsplit('-').next().and_then(|shard| shard.parse::<u64>().ok()).expect("it is one of ours");
        let after = |sequence: &str| sequence[SEQUENCE.len()..].parse::<u64>().expect("it is one of ours");
        let first = starting_sequence_number.map_or(0, |sequence| after(sequence) / self.load.shards + 1);
        json!({ "ShardIterator": format!("{shard}:{first}") }).to_string().into()
    }

    pub(super) fn shards(&self, body: &[u8]) -> Bytes {
        let List { next_token } = parsed(body);
        self.traffic.called("ListShards");
        let first: u64 = next_token.map_or(0, |token| token.parse().expect("it is one of ours"));
        let end = self.load.shards.min(first + SHARDS_PER_PAGE);
        let shard = |number| {
            json!({
                "ShardId": format!("shardId-{number:012}"),
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
                "SequenceNumberRange": { "StartingSequenceNumber": SEQUENCE },
            })
        };
        let mut answer = json!({ "Shards": (first..end).map(shard).collect::<Vec<_>>() });
        if end < self.load.shards {
            answer["NextToken"] = Value::from(end.to_string());
        }
        answer.to_string().into()
    }

    pub(super) fn stream_summary(&self) -> Bytes {
        self.traffic.called("DescribeStreamSummary");
        let summary = json!({
            "StreamName": "load", "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/load",
            "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_760_700_000,
            "EnhancedMonitoring": [], "OpenShardCount": self.load.shards,
        });
        json!({ "StreamDescriptionSummary": summary }).to_string().into()
    }
}

/// What precedes a record's number in its sequence number.
pub(super) const SEQUENCE: &str = "49668899999999999999999999999999999999999999";

/// AWS's, which is also what it gives without a limit.
const fn most_records() -> u64 {
    10_000
}

const SHARDS_PER_PAGE: u64 = 1_000;
