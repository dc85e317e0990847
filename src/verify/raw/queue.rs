//! Raw receivers of a queue: several at a time, each with a short visibility timeout and a short time for its work. All
//! that is received is deleted, but for a few messages that are left to their timeout once, to see that it counts. What is
//! not of this run is left alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message as SdkMessage, MessageSystemAttributeName as Attribute,
};

use super::{ERROR_PAUSE, ERRORS_MAX};
use crate::verify::history::{Shared, Stopwatch};
use crate::verify::judge::queue::{Deletion, Message, QueueHistory, Receive};
use crate::verify::judge::{Entry, Moment};
use crate::verify::load::Load;
use crate::verify::random::Random;
use crate::verify::{VerifyError, unanswered};

/// What every receiver of a queue shares.
#[derive(Clone)]
pub struct RawQueue {
    /// The queue's client.
    pub client: Client,
    /// The queue's URL.
    pub url: String,
    /// What was sent to it.
    pub load: Arc<Load>,
    /// Messages that are left to their timeout when they are received first.
    pub left: Arc<BTreeSet<Entry>>,
    /// The draws of working times.
    pub seed: u64,
    /// Where all is written down.
    pub history: Shared<QueueHistory>,
    /// The time.
    pub stopwatch: Stopwatch,
}

impl RawQueue {
    /// Receives and deletes until it is dropped. Returns only errors.
    pub async fn receive(self, receiver: usize) -> Result<(), VerifyError> {
        let mut random = Random::of(self.seed, receiver as u64);
        let mut errors = 0;
        loop {
            let began = self.stopwatch.now();
            let messages = match self.call().await {
                Ok(messages) => messages,
                Err(error) if errors == ERRORS_MAX => return Err(error),
                Err(_) => {
                    errors += 1;
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            errors = 0;
            if messages.is_empty() {
                continue;
            }
            let done = self.note(receiver, began, &messages);
            tokio::time::sleep(WORK_MAX.mul_f64(random.fraction())).await;
            self.delete(began, done).await;
        }
    }

    async fn call(&self) -> Result<Vec<SdkMessage>, VerifyError> {
        let visibility = i32::try_from(self.history.lock().visibility.as_secs()).unwrap_or(i32::MAX);
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let call = call.visibility_timeout(visibility).wait_time_seconds(WAIT_SECONDS);
        let answer = call.message_system_attribute_names(Attribute::All).send().await;
        Ok(answer.map_err(|error| unanswered("ReceiveMessage", error))?.messages.unwrap_or_default())
    }

    /// Writes down what came, and says what is to be deleted, by receipt.
    fn note(&self, receiver: usize, began: Moment, messages: &[SdkMessage]) -> Vec<(Entry, String)> {
        let answered = self.stopwatch.now();
        let received: Vec<Message> = messages.iter().map(|message| self.message(message)).collect();
        let mut history = self.history.lock();
        let is_known = |entry: &Entry| {
            let mut before = history.receives.iter().flat_map(|receive| &receive.messages);
            before.any(|message| message.seen.entry() == Some(entry))
        };
        let done = received.iter().zip(messages).filter_map(|(message, raw)| {
            let entry = message.seen.entry()?;
            let is_done = !self.left.contains(entry) || is_known(entry);
            is_done.then(|| Some((entry.clone(), raw.receipt_handle.clone()?))).flatten()
        });
        let done = done.collect();
        history.receives.push(Receive { receiver, began, answered, messages: received });
        done
    }

    fn message(&self, message: &SdkMessage) -> Message {
        let attribute = |name| message.attributes.as_ref().and_then(|attributes| attributes.get(&name).cloned());
        Message {
            seen: self.load.seen(message.body.as_deref().unwrap_or_default()),
            group: attribute(Attribute::MessageGroupId),
            sequence_number: attribute(Attribute::SequenceNumber),
        }
    }

    async fn delete(&self, received_at: Moment, done: Vec<(Entry, String)>) {
        if done.is_empty() {
            return;
        }
        let entries = done.iter().enumerate().map(|(place, (_, receipt))| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(receipt);
            entry.build().expect("id and receipt are set")
        });
        let call = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        // Written down as begun before the call is: a server may be done before we hear of it.
        let began = self.stopwatch.now();
        let place = {
            let mut history = self.history.lock();
            let place = history.deletions.len();
            history.deletions.extend(done.into_iter().map(|(entry, _)| Deletion {
                entry,
                received_at,
                began,
                answered: began,
                confirmed: false,
            }));
            place
        };
        let answer = call.send().await;
        let answered = self.stopwatch.now();
        let confirmed: BTreeSet<usize> = answer
            .map(|answer| answer.successful.iter().filter_map(|done| done.id.parse().ok()).collect())
            .unwrap_or_default();
        for (id, deletion) in self.history.lock().deletions[place..].iter_mut().enumerate() {
            if deletion.began == began && deletion.received_at == received_at {
                deletion.answered = answered;
                deletion.confirmed = confirmed.contains(&id);
            }
        }
    }
}

/// Receives what is dead-lettered, until it is dropped; hands each record to `note`.
pub async fn collect(client: Client, url: String, load: Arc<Load>, note: impl Fn(Entry)) -> Result<(), VerifyError> {
    loop {
        let call = client.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(WAIT_SECONDS);
        let answer = call.send().await.map_err(|error| unanswered("ReceiveMessage", error))?;
        for message in answer.messages.unwrap_or_default() {
            if let Some(entry) = load.seen(message.body.as_deref().unwrap_or_default()).entry() {
                note(entry.clone());
            }
            let deletion = client.delete_message().queue_url(&url).set_receipt_handle(message.receipt_handle).send();
            deletion.await.map_err(|error| unanswered("DeleteMessage", error))?;
        }
    }
}

const WAIT_SECONDS: i32 = 1;

/// The longest that a receiver holds messages before it deletes them.
const WORK_MAX: Duration = Duration::from_millis(20);
