//! Raw readers of a stream: its shards are listed again and again, and each one found gets a reader of its own that begins
//! at its oldest record. They act on nothing that a listing says beyond the names, so a wrong listing shows as one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::DateTime;
use tokio::task::JoinSet;

use super::{ERROR_PAUSE, ERRORS_MAX};
use crate::telemetry::chain;
use crate::verify::VerifyError;
use crate::verify::history::{Shared, Stopwatch};
use crate::verify::judge::stream::{ListedShard, Listing, Read, ReadOutcome, ReadRecord, StreamHistory};
use crate::verify::load::{ATTRIBUTE, Load};

/// A stream that is read.
#[derive(Clone)]
pub struct RawStream {
    /// How it is asked.
    pub api: StreamApi,
    /// What is put into it.
    pub load: Arc<Load>,
    /// Where all is written down.
    pub history: Shared<StreamHistory>,
    /// The time.
    pub stopwatch: Stopwatch,
}

/// A service that has streams.
#[derive(Clone)]
pub enum StreamApi {
    /// Kinesis.
    Kinesis {
        /// Its client.
        client: aws_sdk_kinesis::Client,
        /// The stream's ARN.
        arn: String,
        /// Where reading begins, in seconds since 1970; `None`: at the oldest record.
        since: Option<i64>,
    },
    /// `DynamoDB` Streams.
    Dynamodb {
        /// Its client.
        client: aws_sdk_dynamodbstreams::Client,
        /// The stream's ARN.
        arn: String,
    },
}

/// A page of a shard.
struct Page {
    /// Texts with their numbers.
    records: Vec<(String, String)>,
    next: Option<String>,
}

/// Why a shard was not read.
enum Refusal {
    Missing,
    Other(String),
}

impl RawStream {
    /// Lists and reads until it is dropped. Returns only errors.
    pub async fn watch(self) -> Result<(), VerifyError> {
        let mut known = BTreeSet::new();
        let mut readers = JoinSet::new();
        loop {
            for shard in self.list().await? {
                if known.insert(Arc::clone(&shard)) {
                    readers.spawn(self.clone().read(shard));
                }
            }
            tokio::time::sleep(LIST_INTERVAL).await;
            while let Some(ended) = readers.try_join_next() {
                ended??;
            }
        }
    }

    /// Lists the shards once, and writes the listing down if it is new.
    pub async fn list(&self) -> Result<Vec<Arc<str>>, VerifyError> {
        let mut errors = 0;
        loop {
            let began = self.stopwatch.now();
            match self.api.shards().await {
                Ok(shards) => {
                    let names = shards.iter().map(|shard| Arc::clone(&shard.id)).collect();
                    let mut history = self.history.lock();
                    if history.listings.last().is_none_or(|last| last.shards != shards) {
                        history.listings.push(Listing { began, shards });
                    }
                    return Ok(names);
                }
                Err(reason) if errors == ERRORS_MAX => return Err(VerifyError::Server(format!("listing: {reason}"))),
                Err(_) => errors += 1,
            }
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }

    async fn read(self, shard: Arc<str>) -> Result<(), VerifyError> {
        let (mut errors, mut denials, mut after, mut iterator) = (0, 0, None, None);
        loop {
            let page = match iterator.take() {
                Some(iterator) => self.api.page(iterator).await,
                None => match self.api.iterator(&shard, after.as_deref()).await {
                    Ok(iterator) => self.api.page(iterator).await,
                    Err(refusal) => Err(refusal),
                },
            };
            match page {
                Ok(page) => {
                    (errors, denials) = (0, 0);
                    after = page.records.last().map(|(_, number)| number.clone()).or(after);
                    let is_empty = page.records.is_empty();
                    self.note_records(&shard, page.records);
                    if page.next.is_none() {
                        self.note(&shard, ReadOutcome::End);
                        return Ok(());
                    }
                    iterator = page.next;
                    tokio::time::sleep(if is_empty { IDLE_INTERVAL } else { READ_INTERVAL }).await;
                }
                Err(Refusal::Missing) if denials == DENIALS_MAX => {
                    self.note(&shard, ReadOutcome::Missing);
                    return Ok(());
                }
                Err(Refusal::Other(reason)) if errors == ERRORS_MAX => {
                    return Err(VerifyError::Server(format!("reading {shard}: {reason}")));
                }
                Err(refusal) => {
                    match refusal {
                        Refusal::Missing => denials += 1,
                        Refusal::Other(_) => errors += 1,
                    }
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    fn note_records(&self, shard: &Arc<str>, records: Vec<(String, String)>) {
        if !records.is_empty() {
            let records = records.into_iter();
            let seen =
                |(text, sequence_number): (String, _)| ReadRecord { seen: self.load.seen(&text), sequence_number };
            self.note(shard, ReadOutcome::Records(records.map(seen).collect()));
        }
    }

    fn note(&self, shard: &Arc<str>, outcome: ReadOutcome) {
        let answered = self.stopwatch.now();
        self.history.lock().reads.push(Read { shard: Arc::clone(shard), answered, outcome });
    }
}

impl StreamApi {
    /// Of Kinesis one page, which holds up to 1,000 shards.
    async fn shards(&self) -> Result<Vec<ListedShard>, String> {
        match self {
            Self::Kinesis { client, arn, .. } => {
                let listed = client.list_shards().stream_arn(arn).max_results(1_000).send().await;
                let listed = listed.map_err(|error| chain(&error))?;
                Ok(listed.shards.unwrap_or_default().into_iter().map(kinesis_shard).collect())
            }
            Self::Dynamodb { client, arn } => {
                let (mut shards, mut after) = (Vec::new(), None);
                loop {
                    let call = client.describe_stream().stream_arn(arn).set_exclusive_start_shard_id(after);
                    let page = call.send().await.map_err(|error| chain(&error))?.stream_description;
                    let page = page.ok_or("the answer describes no stream")?;
                    shards.extend(page.shards.unwrap_or_default().into_iter().filter_map(dynamodb_shard));
                    after = page.last_evaluated_shard_id;
                    if after.is_none() {
                        return Ok(shards);
                    }
                }
            }
        }
    }

    async fn iterator(&self, shard: &str, after: Option<&str>) -> Result<String, Refusal> {
        match self {
            Self::Kinesis { client, arn, since } => {
                use aws_sdk_kinesis::types::ShardIteratorType as Type;
                let call = client.get_shard_iterator().stream_arn(arn).shard_id(shard);
                let call = match (after, since) {
                    (Some(number), _) => {
                        call.shard_iterator_type(Type::AfterSequenceNumber).starting_sequence_number(number)
                    }
                    (None, Some(since)) => {
                        call.shard_iterator_type(Type::AtTimestamp).timestamp(DateTime::from_secs(*since))
                    }
                    (None, None) => call.shard_iterator_type(Type::TrimHorizon),
                };
                let answer = call.send().await.map_err(|error| refusal(&error))?;
                Ok(answer.shard_iterator.unwrap_or_default())
            }
            Self::Dynamodb { client, arn } => {
                use aws_sdk_dynamodbstreams::types::ShardIteratorType as Type;
                let call = client.get_shard_iterator().stream_arn(arn).shard_id(shard);
                let call = match after {
                    Some(number) => call.shard_iterator_type(Type::AfterSequenceNumber).sequence_number(number),
                    None => call.shard_iterator_type(Type::TrimHorizon),
                };
                let answer = call.send().await.map_err(|error| refusal(&error))?;
                Ok(answer.shard_iterator.unwrap_or_default())
            }
        }
    }

    async fn page(&self, iterator: String) -> Result<Page, Refusal> {
        match self {
            Self::Kinesis { client, arn, .. } => {
                let answer =
                    client.get_records().stream_arn(arn).shard_iterator(iterator).limit(PAGE_RECORDS).send().await;
                let answer = answer.map_err(|error| refusal(&error))?;
                let records = answer.records.into_iter().map(|record| {
                    let text = String::from_utf8_lossy(record.data.as_ref()).into_owned();
                    (text, record.sequence_number)
                });
                Ok(Page { records: records.collect(), next: answer.next_shard_iterator })
            }
            Self::Dynamodb { client, .. } => {
                let answer = client.get_records().shard_iterator(iterator).limit(PAGE_RECORDS).send().await;
                let answer = answer.map_err(|error| refusal(&error))?;
                // What deletes an item has no new image, and no record of ours does that before the end.
                let records = answer.records.unwrap_or_default().into_iter().filter_map(|record| {
                    let change = record.dynamodb?;
                    let text = change.new_image?.get(ATTRIBUTE)?.as_s().ok()?.clone();
                    Some((text, change.sequence_number?))
                });
                Ok(Page { records: records.collect(), next: answer.next_shard_iterator })
            }
        }
    }
}

fn kinesis_shard(listed: aws_sdk_kinesis::types::Shard) -> ListedShard {
    let parents = [listed.parent_shard_id, listed.adjacent_parent_shard_id];
    let hashes = listed
        .hash_key_range
        .and_then(|range| Some(range.starting_hash_key.parse().ok()?..=range.ending_hash_key.parse().ok()?));
    ListedShard {
        id: listed.shard_id.into(),
        parents: parents.into_iter().flatten().map(Into::into).collect(),
        hashes,
        is_open: listed.sequence_number_range.is_none_or(|range| range.ending_sequence_number.is_none()),
    }
}

fn dynamodb_shard(listed: aws_sdk_dynamodbstreams::types::Shard) -> Option<ListedShard> {
    Some(ListedShard {
        id: listed.shard_id?.into(),
        parents: listed.parent_shard_id.into_iter().map(Into::into).collect(),
        hashes: None,
        is_open: listed.sequence_number_range.is_none_or(|range| range.ending_sequence_number.is_none()),
    })
}

fn refusal<E: ProvideErrorMetadata + std::error::Error>(error: &E) -> Refusal {
    match error.code() {
        Some("ResourceNotFoundException") => Refusal::Missing,
        _ => Refusal::Other(chain(error)),
    }
}

const LIST_INTERVAL: Duration = Duration::from_millis(500);
/// A shard takes 5 reads a second, of which esmd's own reader needs some.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
const READ_INTERVAL: Duration = Duration::from_millis(250);
/// A shard counts as missing when a server says so once more than this.
const DENIALS_MAX: u32 = 2;
const PAGE_RECORDS: i32 = 1_000;
