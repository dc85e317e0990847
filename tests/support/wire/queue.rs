//! A queue that hands out every message once and takes every delete. All queue names are the same queue.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Server, parsed};

#[derive(Default)]
pub(super) struct Queue {
    /// Messages handed out, and messages that are there.
    taken: AtomicU64,
    there: AtomicU64,
    more: Notify,
}

/// Makes messages appear at the load's rate.
pub(super) async fn put(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut there = 0;
    loop {
        ticks.tick().await;
        let now_there = server.load.there_after(server.traffic.elapsed());
        if now_there > there {
            server.traffic.there(there..now_there);
            there = now_there;
            server.queue.there.store(there, Ordering::Relaxed);
            server.queue.more.notify_waiters();
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receive {
    max_number_of_messages: u64,
    wait_time_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<'a> {
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    id: &'a str,
}

impl Server {
    pub(super) async fn receive_messages(&self, body: &[u8]) -> Bytes {
        let Receive { max_number_of_messages: max, wait_time_seconds: wait } = parsed(body);
        self.traffic.called("ReceiveMessage");
        let end = Instant::now() + Duration::from_secs(wait);
        loop {
            let more = self.queue.more.notified();
            let first = self.queue.taken.load(Ordering::Relaxed);
            let count = self.messages_there().saturating_sub(first).min(max);
            if count > 0 {
                self.queue.taken.store(first + count, Ordering::Relaxed);
                if self.load.puts_per_second.is_none() {
                    self.traffic.there(first..first + count);
                }
                return self.messages(first, count);
            }
            if tokio::time::timeout_at(end, more).await.is_err() {
                return Bytes::from_static(b"{}");
            }
        }
    }

    fn messages_there(&self) -> u64 {
        if self.load.puts_per_second.is_some() { self.queue.there.load(Ordering::Relaxed) } else { self.load.records }
    }

    /// As AWS writes them, with the attributes that every message has.
    fn messages(&self, first: u64, count: u64) -> Bytes {
        let text = "x".repeat(self.load.data_bytes);
        let mut json = Vec::with_capacity((1_024 + text.len()) * 10);
        json.extend_from_slice(b"{\"Messages\":[");
        for number in first..first + count {
            if number > first {
                json.push(b',');
            }
            write!(
                json,
                "{{\"MessageId\":\"00000000-0000-4000-8000-{number:012}\",\"ReceiptHandle\":\"{HANDLE}{number:012}\",\
                 \"MD5OfBody\":\"0123456789abcdef0123456789abcdef\",\"Body\":\"{{\\\"order\\\":\\\"#{number:012}\\\",\
                 \\\"text\\\":\\\"{text}\\\"}}\",\"Attributes\":{{\"SenderId\":\"AIDAIOSFODNN7EXAMPLE\",\
                 \"ApproximateFirstReceiveTimestamp\":\"{NOW}\",\"ApproximateReceiveCount\":\"1\",\
                 \"SentTimestamp\":\"{NOW}\"}}}}"
            )
            .expect("a buffer takes everything");
        }
        json.extend_from_slice(b"]}");
        json.into()
    }

    pub(super) fn delete_messages(&self, body: &[u8]) -> Bytes {
        self.traffic.called("DeleteMessageBatch");
        taken(body)
    }

    pub(super) fn change_visibility(&self, body: &[u8]) -> Bytes {
        self.traffic.called("ChangeMessageVisibilityBatch");
        taken(body)
    }

    pub(super) fn queue_url(&self, body: &[u8]) -> Bytes {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Named<'a> {
            queue_name: &'a str,
        }
        self.traffic.called("GetQueueUrl");
        let Named { queue_name } = parsed(body);
        json!({ "QueueUrl": format!("http://127.0.0.1/000000000000/{queue_name}") }).to_string().into()
    }

    pub(super) fn queue_attributes(&self) -> Bytes {
        self.traffic.called("GetQueueAttributes");
        let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":5}"#;
        json!({ "Attributes": { "VisibilityTimeout": "900", "RedrivePolicy": redrive } }).to_string().into()
    }
}

/// Yes to every entry.
fn taken(body: &[u8]) -> Bytes {
    let Batch { entries } = parsed(body);
    let successful: Vec<_> = entries.iter().map(|entry| json!({ "Id": entry.id })).collect();
    json!({ "Successful": successful, "Failed": [] }).to_string().into()
}

const TICK: Duration = Duration::from_millis(1);

/// A message's time does not matter here, only that it has one of a common length.
const NOW: &str = "1760700041123";

/// About as long as one of AWS's.
const HANDLE: &str = "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxl\
                      aS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a";
