//! SQS queues, standard and FIFO: receives and renders messages, deletes them, hands them back.
//!
//! A queue is one endless shard. The lease of a message is counted from the reply that brought it, less a margin, so
//! what this file calls leased is leased at the server too. The visibility of a message is never changed but to hand it
//! back unstarted, or to extend it where the mapping asks for that (`docs/semantics.md` 4.3, 4.6). Knows nothing of batches: what it receives is the core's to combine.

mod attributes;
mod errors;
mod extend;
pub mod facts;
mod payloads;
mod settle;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use futures_util::future::{self, BoxFuture, FutureExt};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Receiver, Source, SourceError};
use crate::aws::within;
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::checkpoint::Checkpoint;
use crate::core::record::{OrderingKey, Origin, Receipt, Received, Record, ShardId};
use crate::core::settlement::{Extended, Extension, Settled, Settlement};
use crate::core::shards::Shard;
use crate::event::sqs::{self as event, AttributeValue, MessageAttribute};
use crate::log_limit::LogLimit;
use crate::telemetry::chain;
pub use attributes::QueueFacts;
use errors::{is_answered, source_error};

/// How one mapping reads its queue.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    /// The queue's ARN as the mapping gives it.
    pub arn: String,
    /// How long a receive waits for a first message: 1–20 s, whole seconds.
    pub wait: Duration,
    /// `BatchSize`: on a FIFO queue no receive asks for more, so that each is one batch (`docs/semantics.md` 5).
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`.
    pub window: Duration,
    /// The function's timeout: with a window, leases must outlast both (`docs/semantics.md` 4.2).
    pub function_timeout: Duration,
    /// Whether leases are extended, so that short ones need no warning.
    pub extends_visibility: bool,
    /// Reads the bodies that senders put into a bucket; `None`: they are delivered as pointers.
    pub payloads: Option<aws_sdk_s3::Client>,
}

/// A queue that was found.
pub struct SqsSource(Arc<Queue>);

struct Queue {
    client: Client,
    settings: SqsSettings,
    event: event::Queue,
    /// Passed back to the server verbatim: its host need not resolve, requests go to the configured endpoint.
    url: String,
    fifo: bool,
    visibility: Mutex<Visibility>,
    settle_log: Mutex<LogLimit>,
    payload_log: Mutex<LogLimit>,
    clock: Clock,
}

/// The queue's own visibility timeout, and when it was last asked for.
struct Visibility {
    timeout: Duration,
    asked_at: Timestamp,
}

impl SqsSource {
    /// Looks up the queue's URL, in the account that the ARN names, and its visibility timeout.
    pub async fn open(client: Client, settings: SqsSettings, clock: Clock) -> Result<Self, SourceError> {
        let QueueName { region, name, .. } = QueueName::of(&settings.arn);
        let url = look_up(&client, &settings.arn).await?;
        let facts = QueueFacts::read(&client, &url).await?;
        warn_of_trouble(&settings, &facts);
        let visibility = Visibility { timeout: facts.visibility_or_default(), asked_at: clock.now() };
        Ok(Self(Arc::new(Queue {
            client,
            event: event::Queue { arn: settings.arn.clone(), region, has_window: !settings.window.is_zero() },
            settings,
            url,
            fifo: name.strip_suffix(".fifo").is_some(),
            visibility: Mutex::new(visibility),
            settle_log: Mutex::default(),
            payload_log: Mutex::default(),
            clock,
        })))
    }
}

impl Source for SqsSource {
    fn shards(&self) -> BoxFuture<'_, Result<Vec<Shard>, SourceError>> {
        let shard = Shard { id: ShardId::new(SHARD), parents: Vec::new(), open: true };
        future::ready(Ok(vec![shard])).boxed()
    }

    fn open(&self, _shard: &ShardId, _from: &Checkpoint) -> Box<dyn Receiver> {
        Box::new(SqsReceiver { queue: Arc::clone(&self.0), unanswered_attempt: None })
    }

    fn poll_time(&self) -> Duration {
        self.0.settings.wait
    }

    fn receive_max(&self) -> usize {
        self.0.receive_max()
    }

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        self.0.settle(settlements).boxed()
    }

    fn extend(&self, extensions: Vec<Extension>) -> BoxFuture<'_, Vec<Extended>> {
        async move { self.0.extend(&extensions).await }.boxed()
    }
}

struct SqsReceiver {
    queue: Arc<Queue>,
    /// On a FIFO queue the id of a receive without an answer. Sent again, it brings the same messages, which would
    /// otherwise block their groups until their visibility timeout.
    unanswered_attempt: Option<String>,
}

impl Receiver for SqsReceiver {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Received, SourceError>> {
        self.queue.receive(max, &mut self.unanswered_attempt).boxed()
    }
}

impl Queue {
    async fn receive(&self, max: usize, unanswered_attempt: &mut Option<String>) -> Result<Received, SourceError> {
        let attempt = self.fifo.then(|| unanswered_attempt.get_or_insert_with(|| Uuid::new_v4().to_string()).clone());
        let wait_seconds = self.settings.wait.as_secs().clamp(1, WAIT_SECONDS_MAX);
        self.refresh_visibility().await;
        let own = self.visibility().timeout;
        let wanted = self.wanted_visibility(own);
        let call = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(small(max.clamp(1, self.receive_max())))
            .wait_time_seconds(small(wait_seconds))
            .set_visibility_timeout(wanted.map(|visibility| small(visibility.as_secs())))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .set_receive_request_attempt_id(attempt);
        let (asked_at, began) = (self.clock.now(), Instant::now());
        let answer = within(Duration::from_secs(wait_seconds) + CALL_TIMEOUT, call.send()).await;
        let replied_at = self.clock.now();
        // Of a sleep during the call nobody knows whether it came before the answer or after it.
        let slept = replied_at.since(asked_at).saturating_sub(began.elapsed());
        if is_answered(&answer) {
            *unanswered_attempt = None;
        }
        let (messages, unresolved) = self.resolve(answer.map_err(source_error)?.messages.unwrap_or_default()).await?;
        let lease_end = replied_at + lease(wanted.unwrap_or(own)).saturating_sub(slept);
        let records = messages.iter().map(|message| self.record(message, replied_at, lease_end));
        Ok(Received { records: records.collect::<Result<_, _>>()?, unresolved, ..Received::default() })
    }

    /// Messages with their bodies, and how many were left since theirs could not be had. A receive of which nothing is
    /// left has failed: the next one waits.
    async fn resolve(&self, messages: Vec<Message>) -> Result<(Vec<Message>, usize), SourceError> {
        let Some(client) = &self.settings.payloads else { return Ok((messages, 0)) };
        let received = messages.len();
        let (messages, error) = payloads::resolve(client, messages, self.fifo).await;
        let left = received - messages.len();
        let Some(error) = error else { return Ok((messages, left)) };
        let permit = self.payload_log.lock().unwrap_or_else(PoisonError::into_inner).permit(self.clock.now());
        if let Some(suppressed) = permit {
            let queue = &self.event.arn;
            tracing::warn!(
                queue,
                left,
                error = chain(&error),
                suppressed,
                "messages are left: their bodies were not read"
            );
        }
        if messages.is_empty() { Err(SourceError::Transient(error.into())) } else { Ok((messages, left)) }
    }

    fn receive_max(&self) -> usize {
        if self.fifo { self.settings.batch_size.clamp(1, ENTRIES_MAX) } else { ENTRIES_MAX }
    }

    /// The visibility timeout to ask for, where the queue's own may end before the function does. Without a window the
    /// queue's own counts (`docs/semantics.md` 4.2 and 9, invariant 57).
    fn wanted_visibility(&self, own: Duration) -> Option<Duration> {
        let needed = self.settings.window + self.settings.function_timeout;
        (!self.settings.window.is_zero() && needed > own).then(|| needed + VISIBILITY_RESERVE)
    }

    /// A message that lacks what it must have breaks the whole receive: it could not be settled, and going on without
    /// it could let later messages of its group overtake it. Attributes may be missing.
    fn record(&self, message: &Message, received_at: Timestamp, ends_at: Timestamp) -> Result<Record, SourceError> {
        let (Some(id), Some(handle)) = (message.message_id(), message.receipt_handle()) else {
            return Err(SourceError::Transient("a message came without its id or receipt handle".into()));
        };
        let attribute = |name| message.attributes().and_then(|attributes| attributes.get(&name)).map(String::as_str);
        let sent_at = attribute(MessageSystemAttributeName::SentTimestamp).and_then(|text| text.parse().ok());
        Ok(Record {
            origin: Origin::Message { id: id.into(), receipt: Receipt { handle: handle.into(), ends_at } },
            key: self.fifo.then(|| OrderingKey::new(payloads::group(message))),
            arrived_at: sent_at.map_or(received_at, Timestamp::from_millis),
            element: event::render(&event_message(message, id, handle), &self.event),
        })
    }

    fn visibility(&self) -> MutexGuard<'_, Visibility> {
        self.visibility.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the queue's visibility timeout if nobody did for a minute. If that fails the old one stays.
    async fn refresh_visibility(&self) {
        let now = self.clock.now();
        {
            let mut visibility = self.visibility();
            if now.since(visibility.asked_at) < VISIBILITY_REFRESH {
                return;
            }
            visibility.asked_at = now;
        }
        if let Ok(facts) = QueueFacts::read(&self.client, &self.url).await {
            self.visibility().timeout = facts.visibility_or_default();
        }
    }
}

/// What a queue's ARN names.
struct QueueName {
    region: String,
    account: String,
    name: String,
}

impl QueueName {
    fn of(arn: &str) -> Self {
        let mut parts = arn.split(':').skip(3);
        let [region, account, name] = std::array::from_fn(|_| parts.next().unwrap_or_default().to_owned());
        Self { region, account, name }
    }
}

/// The URL of the queue with this ARN.
async fn look_up(client: &Client, arn: &str) -> Result<String, SourceError> {
    let QueueName { account, name, .. } = QueueName::of(arn);
    let found = client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
    let found = within(CALL_TIMEOUT, found.send()).await.map_err(source_error)?;
    found.queue_url.ok_or_else(|| SourceError::Transient("the queue's URL is missing".into()))
}

/// AWS refuses a mapping whose queue hides messages for less time than the function may take (`docs/semantics.md` 1.7).
/// It may be on purpose here, as with a stand-in that does not know the function's timeout, so it is only said. With a
/// window the receive asks for what is needed.
fn warn_of_trouble(settings: &SqsSettings, facts: &QueueFacts) {
    let visibility = facts.visibility_or_default();
    for advice in facts.advice(settings.function_timeout, settings.window, settings.extends_visibility) {
        tracing::warn!(queue = settings.arn, "{advice}");
    }
    if !settings.extends_visibility && settings.window.is_zero() && visibility < settings.function_timeout {
        tracing::warn!(
            queue = settings.arn,
            "Queue visibility timeout: {} seconds is less than Function timeout: {} seconds: messages may be received \
             again while the function works on them, and with 0 seconds none can be invoked",
            visibility.as_secs(),
            settings.function_timeout.as_secs()
        );
    }
}

fn event_message<'a>(message: &'a Message, id: &'a str, handle: &'a str) -> event::Message<'a> {
    event::Message {
        message_id: id,
        receipt_handle: handle,
        // Servers exist that leave out an empty body.
        body: message.body().unwrap_or_default(),
        attributes: pairs(message.attributes()).map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        message_attributes: pairs(message.message_attributes())
            .map(|(name, value)| MessageAttribute { name, data_type: value.data_type(), value: attribute_value(value) })
            .collect(),
        md5_of_message_attributes: message.md5_of_message_attributes(),
        md5_of_body: message.md5_of_body(),
    }
}

fn pairs<K, V>(map: Option<&HashMap<K, V>>) -> impl Iterator<Item = (&K, &V)> {
    map.into_iter().flatten()
}

fn attribute_value(value: &MessageAttributeValue) -> AttributeValue<'_> {
    match value.binary_value() {
        Some(bytes) => AttributeValue::Binary(bytes.as_ref()),
        None => AttributeValue::Text(value.string_value().unwrap_or_default()),
    }
}

/// How long we count a message as leased: a little less than the server does, for clocks and for the reply's way.
fn lease(visibility: Duration) -> Duration {
    visibility.saturating_sub((visibility / 10).min(LEASE_MARGIN_MAX))
}

/// A number that is small by construction, as the SDK wants it.
fn small(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

const SHARD: &str = "queue";

/// SQS takes and gives at most this many messages per call.
const ENTRIES_MAX: usize = 10;

const WAIT_SECONDS_MAX: u64 = 20;

/// Until when a call must be answered, beyond what it waits by design.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

const LEASE_MARGIN_MAX: Duration = Duration::from_secs(2);

/// What a lease is to have beyond window and function timeout (`docs/semantics.md` 4.2).
const VISIBILITY_RESERVE: Duration = Duration::from_secs(30);

const VISIBILITY_REFRESH: Duration = Duration::from_mins(1);
