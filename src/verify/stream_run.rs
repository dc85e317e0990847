//! A run on a stream: raw readers and esmd read the same records at the same time, and shards are split and merged on the
//! way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use tokio::task::JoinSet;

use super::carry::{Beside, Carrier, Gate, send_rounds};
use super::feed::Sink;
use super::history::{Shared, Stopwatch};
use super::judge::path::{self, PathHistory};
use super::judge::stream::{self, ListedShard, ReadOutcome, Reshard, StreamHistory};
use super::judge::{Entry, Moment, Sent};
use super::load::Load;
use super::progress::Progress;
use super::raw::stream::{RawStream, StreamApi};
use super::stage::{Stage, wait_until_active};
use super::{Outcome, Place, Plan, ServerFigures, Side, SourceKind, VerifyError, unanswered};
use crate::aws::Aws;

/// The whole run.
pub async fn run(
    plan: &Plan,
    aws: &Aws,
    stage: &Stage,
    seed: u64,
    progress: &Progress,
) -> Result<Outcome, VerifyError> {
    let stopwatch = Stopwatch::start();
    let word = Plan::word("stream");
    let load = Arc::new(Load::new(word.clone(), &plan.key_prefix(&word), plan.records, plan.keys, seed));
    let source = Source::prepare(plan, aws, stage, &load).await?;
    progress.step(&format!("server and whole path: raw readers and esmd read {} records", load.len()));

    let is_shared = matches!(plan.place, Place::Named(_));
    let raw = RawStream {
        api: source.api.clone(),
        load: Arc::clone(&load),
        history: Shared::new(StreamHistory { is_shared, ..StreamHistory::default() }),
        stopwatch,
    };
    let history = Shared::new(path_history(plan, &load, seed));
    let of_run = (Arc::clone(&load), source.arn.clone(), seed);
    let carrier = Carrier::start(&source.plan, aws, progress, of_run, history.clone(), stopwatch).await?;
    raw.list().await?;
    let mut readers = JoinSet::new();
    readers.spawn(raw.clone().watch());

    let feeding = Feeding { plan, load: &load, source: &source, raw: &raw, path: &history, gate: carrier.gate() };
    let read = raw.history.clone();
    tokio::select! {
        carried = carrier.carry(feeding.all(), || beside(&read.lock())) => carried?,
        Some(ended) = readers.join_next() => {
            ended??;
        }
    }
    readers.shutdown().await;

    raw.history.lock().ended = stopwatch.now();
    let (violations, figures, lost) = stream::judge(&raw.history.lock());
    let server = Side { figures: ServerFigures::Stream(figures), violations };
    let mut history = history.lock();
    history.gone_from_server = lost;
    history.parents = parents(&raw.history.lock());
    let (violations, figures) = path::judge(&history);
    let seconds = stopwatch.now().since(Moment::default()).as_secs_f64();
    Ok(Outcome { seed, server, path: Side { figures, violations }, seconds })
}

fn path_history(plan: &Plan, load: &Load, seed: u64) -> PathHistory {
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let retries = positive(plan.mapping.maximum_retry_attempts).and_then(|retries| usize::try_from(retries).ok());
    PathHistory {
        is_ordered: true,
        is_stream: true,
        is_shared: matches!(plan.place, Place::Named(_)),
        poison: load.some(plan.trouble.poison, seed),
        attempts_max: retries.map(|retries| retries + 1),
        bisects: plan.mapping.bisect_batch_on_function_error == Some(true),
        age_max: positive(plan.mapping.maximum_record_age_in_seconds).map(std::time::Duration::from_secs),
        patience: plan.patience,
        ..PathHistory::default()
    }
}

/// The readers are done when they have all that was put and the end of every shard that was closed.
fn beside(history: &StreamHistory) -> Beside {
    let records = history.reads.iter().flat_map(|read| match &read.outcome {
        ReadOutcome::Records(records) => records.as_slice(),
        ReadOutcome::End | ReadOutcome::Missing => &[],
    });
    let read: BTreeSet<&Entry> = records.filter_map(|record| record.seen.entry()).collect();
    let over: BTreeSet<&str> = history
        .reads
        .iter()
        .filter(|read| !matches!(read.outcome, ReadOutcome::Records(_)))
        .map(|read| &*read.shard)
        .collect();
    let sent = history.sent.iter().filter(|sent| sent.taken.is_some()).count();
    let closed = history.reshards.iter().flat_map(|reshard| &reshard.parents);
    let is_done = read.len() >= sent && closed.clone().all(|shard| over.contains(&**shard));
    Beside { seen: read.len() + over.len(), is_done }
}

fn parents(history: &StreamHistory) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let shards = history.listings.iter().flat_map(|listing| &listing.shards);
    shards.map(|shard| (Arc::clone(&shard.id), shard.parents.clone())).collect()
}

/// The stream, ready.
struct Source {
    arn: String,
    sink: Sink,
    api: StreamApi,
    /// The plan with the mapping's beginning in it.
    plan: Plan,
}

impl Source {
    async fn prepare(plan: &Plan, aws: &Aws, stage: &Stage, load: &Load) -> Result<Self, VerifyError> {
        let mut begun = plan.clone();
        begun.mapping.starting_position = Some("TRIM_HORIZON".to_owned());
        begun.mapping.starting_position_timestamp = None;
        if plan.source == SourceKind::Dynamodb {
            let streamed = match &plan.place {
                Place::Made { .. } => stage.create_table().await?,
                Place::Named(arn) => stage.find_table(arn).await?,
            };
            if matches!(plan.place, Place::Named(_)) {
                let keys = load.rounds.iter().flatten().map(|entry| Arc::clone(&entry.key)).collect();
                stage.note_items(&streamed.table, &keys);
            }
            let arn = streamed.stream_arn;
            let api = StreamApi::Dynamodb { client: aws.dynamodb_streams(), arn: arn.clone() };
            return Ok(Self { arn, sink: Sink::Table(streamed.table), api, plan: begun });
        }
        let (arn, since) = match &plan.place {
            Place::Made { shards } => (stage.create_stream(*shards).await?, None),
            Place::Named(arn) => {
                // What is older is none of ours; a minute for clocks that differ.
                let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1);
                begun.mapping.starting_position = Some("AT_TIMESTAMP".to_owned());
                begun.mapping.starting_position_timestamp = Some(since);
                (arn.as_str().to_owned(), Some(since.as_second()))
            }
        };
        let client = aws.kinesis();
        let sink = Sink::Stream { client: client.clone(), arn: arn.clone() };
        Ok(Self { api: StreamApi::Kinesis { client, arn: arn.clone(), since }, arn, sink, plan: begun })
    }
}

/// Sends the load in as many portions as there are reshards and one, each but the first beside a reshard.
struct Feeding<'a> {
    plan: &'a Plan,
    load: &'a Load,
    source: &'a Source,
    raw: &'a RawStream,
    path: &'a Shared<PathHistory>,
    gate: Gate,
}

impl Feeding<'_> {
    async fn all(self) -> Result<(), VerifyError> {
        let rounds = &self.load.rounds;
        let mut place = 0;
        for portion in 0..=self.plan.reshards {
            let bound = |portion: usize| rounds.len() * portion / (self.plan.reshards + 1);
            let portion_rounds = &rounds[bound(portion)..bound(portion + 1)];
            let gate = Some(self.gate.clone());
            let from = (place, portion_rounds);
            let sending =
                send_rounds(&self.source.sink, self.load, from, self.raw.stopwatch, gate, |sent| self.note(sent));
            let resharding = async {
                match portion {
                    0 => Ok(()),
                    _ => self.reshard(portion).await,
                }
            };
            tokio::try_join!(sending, resharding)?;
            place += portion_rounds.iter().map(Vec::len).sum::<usize>();
        }
        Ok(())
    }

    fn note(&self, sent: Vec<Sent>) {
        self.path.lock().sent.extend(sent.iter().cloned());
        self.raw.history.lock().sent.extend(sent);
    }

    /// The first, third and so on split the widest shard; the others merge the first two neighbours.
    async fn reshard(&self, number: usize) -> Result<(), VerifyError> {
        let StreamApi::Kinesis { client, arn, .. } = &self.raw.api else { return Ok(()) };
        self.raw.list().await?;
        let mut open: Vec<ListedShard> = {
            let history = self.raw.history.lock();
            let listed = history.listings.last().into_iter().flat_map(|listing| &listing.shards);
            listed.filter(|shard| shard.is_open && shard.hashes.is_some()).cloned().collect()
        };
        let start = |shard: &ListedShard| shard.hashes.as_ref().map(|hashes| *hashes.start());
        open.sort_by_key(start);
        let is_split = number % 2 == 1 || open.len() < 2;
        let began = self.raw.stopwatch.now();
        let parents = if is_split { split(client, arn, &open).await? } else { merge(client, arn, &open).await? };
        let name = arn.rsplit('/').next().unwrap_or_default();
        wait_until_active(client, name).await?;
        let done = self.raw.stopwatch.now();
        self.raw.history.lock().reshards.push(Reshard { parents, began, done });
        self.raw.list().await?;
        Ok(())
    }
}

async fn split(client: &Client, arn: &str, open: &[ListedShard]) -> Result<Vec<Arc<str>>, VerifyError> {
    let width = |shard: &&ListedShard| shard.hashes.as_ref().map(|hashes| hashes.end() - hashes.start());
    let widest = open.iter().max_by_key(width).ok_or_else(|| VerifyError::Server("no shard is open".to_owned()))?;
    let hashes = widest.hashes.clone().unwrap_or(0..=u128::MAX);
    let middle = hashes.start() + (hashes.end() - hashes.start()) / 2 + 1;
    let call =
        client.split_shard().stream_arn(arn).shard_to_split(&*widest.id).new_starting_hash_key(middle.to_string());
    call.send().await.map_err(|error| unanswered("SplitShard", error))?;
    Ok(vec![Arc::clone(&widest.id)])
}

async fn merge(client: &Client, arn: &str, open: &[ListedShard]) -> Result<Vec<Arc<str>>, VerifyError> {
    let [first, next, ..] = open else { return Err(VerifyError::Server("fewer than two shards are open".to_owned())) };
    let call = client.merge_shards().stream_arn(arn).shard_to_merge(&*first.id).adjacent_shard_to_merge(&*next.id);
    call.send().await.map_err(|error| unanswered("MergeShards", error))?;
    Ok(vec![Arc::clone(&first.id), Arc::clone(&next.id)])
}
