//! SQS queues, standard and FIFO: receives and renders messages, deletes them, hands them back.
//!
//! A queue is one endless shard. The lease of a message is counted from the reply that brought it, less a margin, so
//! what this file calls leased is leased at the server too. The visibility of a message is never changed but to hand it
//! back unstarted (`docs/semantics.md` 4.3, 4.6). Knows nothing of batches: what it receives is the core's to combine.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, ChangeMessageVisibilityBatchResultEntry,
    DeleteMessageBatchRequestEntry, DeleteMessageBatchResultEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName,
};
use futures_util::future::{self, BoxFuture, FutureExt};
use uuid::Uuid;

use super::{Receiver, Source, SourceError};
use crate::aws::cause;
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::core::checkpoint::Checkpoint;
use crate::core::record::{OrderingKey, Origin, Receipt, Received, Record, ShardId};
use crate::core::settlement::{Settled, Settlement};
use crate::core::shards::Shard;
use crate::event::sqs::{self as event, AttributeValue, MessageAttribute};
use crate::log_limit::LogLimit;
use crate::telemetry::chain;

/// How one mapping reads its queue.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    /// The queue's ARN as the mapping gives it.
    pub arn: String,
    /// How long a receive waits for a first message: 1–20 s, whole seconds.
    pub wait: Duration,
    /// `BatchSize`: no receive asks for more, so that on a FIFO queue each is one batch (`docs/semantics.md` 5).
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`.
    pub window: Duration,
    /// The function's timeout: with a window, leases must outlast both (`docs/semantics.md` 4.2).
    pub function_timeout: Duration,
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
        let mut parts = settings.arn.split(':').skip(3);
        let [region, account, name] = std::array::from_fn(|_| parts.next().unwrap_or_default().to_owned());
        let found = client.get_queue_url().queue_name(&name).queue_owner_aws_account_id(account).customize();
        let found = found.config_override(deadline(CALL_TIMEOUT)).send().await.map_err(source_error)?;
        let url = found.queue_url.ok_or_else(|| SourceError::Transient("the queue's URL is missing".into()))?;
        let visibility = Visibility { timeout: read_visibility(&client, &url).await?, asked_at: clock.now() };
        warn_of_short_leases(&settings, visibility.timeout);
        Ok(Self(Arc::new(Queue {
            client,
            event: event::Queue { arn: settings.arn.clone(), region, has_window: !settings.window.is_zero() },
            settings,
            url,
            fifo: name.strip_suffix(".fifo").is_some(),
            visibility: Mutex::new(visibility),
            settle_log: Mutex::default(),
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

    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'_, Vec<Settled>> {
        self.0.settle(settlements).boxed()
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
            .max_number_of_messages(small(max.min(self.settings.batch_size).clamp(1, ENTRIES_MAX)))
            .wait_time_seconds(small(wait_seconds))
            .set_visibility_timeout(wanted.map(|visibility| small(visibility.as_secs())))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .set_receive_request_attempt_id(attempt)
            .customize()
            .config_override(deadline(Duration::from_secs(wait_seconds) + CALL_TIMEOUT));
        let answer = call.send().await;
        let replied_at = self.clock.now();
        if is_answered(&answer) {
            *unanswered_attempt = None;
        }
        let messages = answer.map_err(source_error)?.messages.unwrap_or_default();
        let lease_end = replied_at + lease(wanted.unwrap_or(own));
        let records = messages.iter().map(|message| self.record(message, replied_at, lease_end));
        Ok(Received { records: records.collect::<Result<_, _>>()?, ..Received::default() })
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
        // A FIFO message always has a group. One that does not say which shares one with its like, to keep their order.
        let group = attribute(MessageSystemAttributeName::MessageGroupId).unwrap_or_default();
        Ok(Record {
            origin: Origin::Message { id: id.into(), receipt: Receipt { handle: handle.into(), ends_at } },
            key: self.fifo.then(|| OrderingKey::new(group)),
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
        if let Ok(timeout) = read_visibility(&self.client, &self.url).await {
            self.visibility().timeout = timeout;
        }
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Settled> {
        let (mut deletes, mut returns) = (Vec::new(), Vec::new());
        for (index, settlement) in settlements.iter().enumerate() {
            match settlement {
                Settlement::Delete(handle) => deletes.push((index, &*handle.receipt)),
                Settlement::Return(handle) => returns.push((index, &*handle.receipt)),
            }
        }
        let deletes = deletes.chunks(ENTRIES_MAX).map(|entries| self.delete(entries).boxed());
        let returns = returns.chunks(ENTRIES_MAX).map(|entries| self.hand_back(entries).boxed());
        let calls: Vec<_> = deletes.chain(returns).collect();
        // What a server leaves out of its answer may or may not have happened. What it adds concerns nobody.
        let mut settled = vec![Settled::Failed; settlements.len()];
        for (index, answer) in future::join_all(calls).await.concat() {
            if let Some(settled) = settled.get_mut(index) {
                *settled = answer;
            }
        }
        settled
    }

    async fn delete(&self, entries: &[(usize, &str)]) -> Vec<(usize, Settled)> {
        let requests = entries.iter().map(|(index, handle)| {
            let request = DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(*handle);
            request.build().expect("id and receipt handle are set")
        });
        let call = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(requests.collect()));
        match call.customize().config_override(deadline(CALL_TIMEOUT)).send().await {
            Ok(answer) => {
                let successful = answer.successful().iter().map(DeleteMessageBatchResultEntry::id);
                entry_answers(successful, answer.failed())
            }
            // The permission may come back while the lease lives.
            Err(error) => self.call_failed(entries, error, Settled::Failed),
        }
    }

    async fn hand_back(&self, entries: &[(usize, &str)]) -> Vec<(usize, Settled)> {
        let requests = entries.iter().map(|(index, handle)| {
            let request = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
            let request = request.receipt_handle(*handle).visibility_timeout(0);
            request.build().expect("id and receipt handle are set")
        });
        let call = self.client.change_message_visibility_batch().queue_url(&self.url);
        let call = call.set_entries(Some(requests.collect()));
        match call.customize().config_override(deadline(CALL_TIMEOUT)).send().await {
            Ok(answer) => {
                let successful = answer.successful().iter().map(ChangeMessageVisibilityBatchResultEntry::id);
                entry_answers(successful, answer.failed())
            }
            // A role made for Lambda lacks this permission. The messages are then left to their visibility timeout.
            Err(error) => self.call_failed(entries, error, Settled::Refused),
        }
    }

    /// The same answer for all entries of a call that failed as a whole; `denied` where it was not permitted.
    fn call_failed<E>(&self, entries: &[(usize, &str)], error: SdkError<E>, denied: Settled) -> Vec<(usize, Settled)>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let error = source_error(error);
        let permit = self.settle_log.lock().unwrap_or_else(PoisonError::into_inner).permit(self.clock.now());
        if let Some(suppressed) = permit {
            let (queue, messages) = (&self.event.arn, entries.len());
            tracing::warn!(queue, messages, error = chain(&error), suppressed, "messages were not settled");
        }
        let settled = match error {
            SourceError::Missing(_) => Settled::Refused,
            SourceError::Denied(_) => denied,
            SourceError::Throttled(_) | SourceError::Transient(_) => Settled::Failed,
        };
        entries.iter().map(|(index, _)| (*index, settled)).collect()
    }
}

/// The queue's visibility timeout. A server that leaves it out has SQS's default.
async fn read_visibility(client: &Client, url: &str) -> Result<Duration, SourceError> {
    let call = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::VisibilityTimeout);
    let answer = call.customize().config_override(deadline(CALL_TIMEOUT)).send().await.map_err(source_error)?;
    let text = answer.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::VisibilityTimeout));
    Ok(text.and_then(|text| text.parse().ok()).map_or(VISIBILITY_DEFAULT, Duration::from_secs))
}

/// AWS refuses a mapping whose queue hides messages for less time than the function may take (`docs/semantics.md` 1.7).
/// It may be on purpose here, as with a stand-in that does not know the function's timeout, so it is only said. With a
/// window the receive asks for what is needed.
fn warn_of_short_leases(settings: &SqsSettings, visibility: Duration) {
    if settings.window.is_zero() && visibility < settings.function_timeout {
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

fn entry_answers<'a>(
    successful: impl Iterator<Item = &'a str>,
    failed: &'a [BatchResultErrorEntry],
) -> Vec<(usize, Settled)> {
    let confirmed = successful.map(|id| (id, Settled::Confirmed));
    let failed = failed.iter().map(|entry| (entry.id(), entry_error(entry.code(), entry.sender_fault())));
    confirmed.chain(failed).filter_map(|(id, settled)| Some((id.parse().ok()?, settled))).collect()
}

/// Servers disagree about whose fault a bad receipt is, so a known code goes first (`docs/semantics.md` 4.3).
fn entry_error(code: &str, sender_fault: bool) -> Settled {
    match code.trim_start_matches(QUERY_CODE_PREFIX) {
        "ReceiptHandleIsInvalid" | "InvalidParameterValue" | "InvalidIdFormat" | "MessageNotInflight" => {
            Settled::Refused
        }
        code if is_throttle(code) => Settled::Failed,
        _ if sender_fault => Settled::Refused,
        _ => Settled::Failed,
    }
}

/// Whether the server is known to have brought messages or refused. An answer that makes no sense is a lost one, and
/// so is a 5xx: what failed may stand between us and a server that took messages.
fn is_answered<T, E>(answer: &Result<T, SdkError<E>>) -> bool {
    match answer {
        Ok(_) => true,
        Err(SdkError::ServiceError(refused)) => refused.raw().status().is_client_error(),
        Err(_) => false,
    }
}

fn source_error<E>(error: SdkError<E>) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    match code.trim_start_matches(QUERY_CODE_PREFIX) {
        "QueueDoesNotExist" | "NonExistentQueue" => SourceError::Missing(cause(error)),
        code if is_throttle(code) || status == 429 => SourceError::Throttled(cause(error)),
        "AccessDenied"
        | "AccessDeniedException"
        | "KmsAccessDenied"
        | "KMS.AccessDeniedException"
        | "InvalidSecurity" => SourceError::Denied(cause(error)),
        _ if matches!(status, 401 | 403) => SourceError::Denied(cause(error)),
        _ => SourceError::Transient(cause(error)),
    }
}

fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "RequestThrottled"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "OverLimit"
            | "KmsThrottled"
            | "KMS.ThrottlingException"
    )
}

fn deadline(operation: Duration) -> aws_sdk_sqs::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_timeout(operation).build();
    aws_sdk_sqs::Config::builder().timeout_config(timeouts)
}

/// A number that is small by construction, as the SDK wants it.
fn small(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

const SHARD: &str = "queue";

/// SQS takes and gives at most this many messages per call.
const ENTRIES_MAX: usize = 10;

const WAIT_SECONDS_MAX: u64 = 20;

/// How many calls of one `settle` are under way at a time.
/// Until when a call must be answered, beyond what it waits by design.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

const LEASE_MARGIN_MAX: Duration = Duration::from_secs(2);

/// What a lease is to have beyond window and function timeout (`docs/semantics.md` 4.2).
const VISIBILITY_RESERVE: Duration = Duration::from_secs(30);

const VISIBILITY_REFRESH: Duration = Duration::from_mins(1);

const VISIBILITY_DEFAULT: Duration = Duration::from_secs(30);

/// Stands before a code where the server speaks the older protocol's names.
const QUERY_CODE_PREFIX: &str = "AWS.SimpleQueueService.";
