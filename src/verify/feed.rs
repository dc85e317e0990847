//! Sends the load, one round after another, and writes down when each record was sent and what the server said. A record
//! that the server refuses for sure is sent again; one without a clear answer is not, since it could be there twice.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::history::Stopwatch;
use super::judge::{Entry, Sent, Taken};
use super::load::Load;
use super::table::Table;
use super::{VerifyError, unanswered};

/// Where records go.
#[derive(Clone, Debug)]
pub enum Sink {
    /// A queue, by its URL.
    Queue {
        /// Its client.
        client: aws_sdk_sqs::Client,
        /// Its URL.
        url: String,
        /// Whether keys are message groups.
        is_fifo: bool,
    },
    /// A Kinesis stream, by its ARN.
    Stream {
        /// Its client.
        client: aws_sdk_kinesis::Client,
        /// Its ARN.
        arn: String,
    },
    /// A table: each key is an item, each record a change of it.
    Table(Table),
}

impl Sink {
    /// Sends a round. Afterwards nothing of it is under way. An error is that of a call without a clear answer, whose
    /// records are among those that were sent all the same.
    pub async fn send(&self, load: &Load, round: &[Entry], stopwatch: Stopwatch) -> (Vec<Sent>, Option<VerifyError>) {
        let (mut sent, mut unclear) = (Vec::with_capacity(round.len()), None);
        for portion in round.chunks(self.portion()) {
            let mut open: Vec<&Entry> = portion.iter().collect();
            for _ in 0..ATTEMPTS_MAX {
                let began = stopwatch.now();
                let answers = self.call(load, &open).await;
                let answered = stopwatch.now();
                let answers = answers.unwrap_or_else(|error| {
                    unclear = Some(error);
                    open.iter().map(|_| Answer::Unclear).collect()
                });
                let mut refused = Vec::new();
                for (entry, answer) in open.into_iter().zip(answers) {
                    let taken = match answer {
                        Answer::Taken(taken) => Some(taken),
                        Answer::Unclear => None,
                        Answer::Refused => {
                            refused.push(entry);
                            continue;
                        }
                    };
                    sent.push(Sent { entry: entry.clone(), began, answered, taken });
                }
                open = refused;
                if open.is_empty() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            if !open.is_empty() {
                unclear = Some(VerifyError::Server(format!("{} is refused again and again", open[0])));
            }
        }
        (sent, unclear)
    }

    /// How many records a call takes.
    const fn portion(&self) -> usize {
        match self {
            Self::Queue { .. } => 10,
            Self::Stream { .. } => 500,
            Self::Table(_) => 1,
        }
    }

    /// One answer per record. After an error nobody knows whether they are there.
    async fn call(&self, load: &Load, entries: &[&Entry]) -> Result<Vec<Answer>, VerifyError> {
        match self {
            Self::Queue { client, url, is_fifo } => send_messages(client, url, *is_fifo, load, entries).await,
            Self::Stream { client, arn } => put_records(client, arn, load, entries).await,
            Self::Table(table) => {
                let entry = entries[0];
                let put = table.put(&entry.key, &load.body(entry)).await;
                put.map_err(|error| unanswered("PutItem", error))?;
                Ok(vec![Answer::Taken(Taken::default())])
            }
        }
    }
}

/// What a server says of one record of a call.
#[derive(Clone)]
enum Answer {
    Taken(Taken),
    /// It is certainly not there.
    Refused,
    Unclear,
}

async fn send_messages(
    client: &aws_sdk_sqs::Client,
    url: &str,
    is_fifo: bool,
    load: &Load,
    entries: &[&Entry],
) -> Result<Vec<Answer>, VerifyError> {
    let messages = entries.iter().enumerate().map(|(place, entry)| {
        let mut message = SendMessageBatchRequestEntry::builder().id(place.to_string()).message_body(load.body(entry));
        if is_fifo {
            let deduplication = format!("{}-{}-{}", load.run, entry.key, entry.number);
            message = message.message_group_id(&*entry.key).message_deduplication_id(deduplication);
        }
        message.build().expect("id and body are set")
    });
    let call = client.send_message_batch().queue_url(url).set_entries(Some(messages.collect()));
    let answer = call.send().await.map_err(|error| unanswered("SendMessageBatch", error))?;
    let mut answers = vec![Answer::Unclear; entries.len()];
    let taken = answer
        .successful
        .into_iter()
        .map(|taken| (taken.id, Answer::Taken(Taken { sequence_number: taken.sequence_number, shard: None })));
    for (id, told) in taken.chain(answer.failed.into_iter().map(|failed| (failed.id, Answer::Refused))) {
        if let Some(place) = id.parse::<usize>().ok().and_then(|place| answers.get_mut(place)) {
            *place = told;
        }
    }
    Ok(answers)
}

async fn put_records(
    client: &aws_sdk_kinesis::Client,
    arn: &str,
    load: &Load,
    entries: &[&Entry],
) -> Result<Vec<Answer>, VerifyError> {
    let records = entries.iter().map(|entry| {
        let record = PutRecordsRequestEntry::builder().partition_key(&*entry.key).data(Blob::new(load.body(entry)));
        record.build().expect("key and data are set")
    });
    let call = client.put_records().stream_arn(arn).set_records(Some(records.collect()));
    let answer = call.send().await.map_err(|error| unanswered("PutRecords", error))?;
    let answers = answer.records.into_iter().map(|result| match result.error_code {
        Some(_) => Answer::Refused,
        None => Answer::Taken(Taken { sequence_number: result.sequence_number, shard: result.shard_id }),
    });
    Ok(answers.collect())
}

/// Five seconds in all: longer than a stream refuses records while its shards change.
const ATTEMPTS_MAX: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
