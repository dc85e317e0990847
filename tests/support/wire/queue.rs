//! A queue that hands out every message once and takes every delete. All queue names are the same queue, and those that
//! end with `.fifo` are its FIFO form, which has the load's keys as groups.

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
struct Receive<'a> {
    queue_url: &'a str,
    max_number_of_messages: u64,
    wait_time_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<'a> {
    queue_url: &'a str,
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    id: &'a str,
    receipt_handle: &'a str,
}

impl Server {
    pub(super) async fn receive_messages(&self, body: &[u8]) -> Bytes {
        let Receive { queue_url, max_number_of_messages: max, wait_time_seconds: wait } = parsed(body);
        self.traffic.read("ReceiveMessage");
        let end = Instant::now() + Duration::from_secs(wait);
        if is_fifo(queue_url) {
            let max = usize::try_from(max).expect("a receive brings few");
            let numbers = self.groups.receive(max, end).await;
            self.traffic.there(numbers.iter().copied());
            return self.messages(&numbers, true);
        }
        loop {
            let more = self.queue.more.notified();
            let first = self.queue.taken.load(Ordering::Relaxed);
            let count = self.messages_there().saturating_sub(first).min(max);
            if count > 0 {
                self.queue.taken.store(first + count, Ordering::Relaxed);
                let numbers: Vec<_> = (first..first + count).collect();
                if self.load.puts_per_second.is_none() {
                    self.traffic.there(numbers.iter().copied());
                }
                return self.messages(&numbers, false);
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
    fn messages(&self, numbers: &[u64], of_groups: bool) -> Bytes {
        let text = "x".repeat(self.load.data_bytes);
        let mut json = Vec::with_capacity((1_024 + text.len()) * 10);
        json.extend_from_slice(b"{\"Messages\":[");
        for (index, number) in numbers.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            write!(
                json,
                "{{\"MessageId\":\"00000000-0000-4000-8000-{number:012}\",\"ReceiptHandle\":\"{HANDLE}{number:012}\",\
                 \"MD5OfBody\":\"0123456789abcdef0123456789abcdef\",\"Body\":\"{{\\\"order\\\":\\\"#{number:012}\\\",\
                 \\\"text\\\":\\\"{text}\\\"}}\",\"Attributes\":{{\"SenderId\":\"AIDAIOSFODNN7EXAMPLE\",\
                 \"ApproximateFirstReceiveTimestamp\":\"{NOW}\",\"ApproximateReceiveCount\":\"1\",\
                 \"SentTimestamp\":\"{NOW}\""
            )
            .expect("a buffer takes everything");
            if of_groups {
                let group = self.load.key_of(*number);
                write!(
                    json,
                    ",\"MessageGroupId\":\"group-{group:06}\",\"SequenceNumber\":\"18899999{number:012}\",\
                     \"MessageDeduplicationId\":\"{number:064x}\""
                )
                .expect("a buffer takes everything");
            }
            json.extend_from_slice(b"}}");
        }
        json.extend_from_slice(b"]}");
        json.into()
    }

    pub(super) fn delete_messages(&self, body: &[u8]) -> Bytes {
        self.traffic.called("DeleteMessageBatch");
        let Batch { queue_url, entries } = parsed(body);
        if is_fifo(queue_url) {
            for entry in &entries {
                let number = entry.receipt_handle[HANDLE.len()..].parse().expect("it is one of ours");
                self.groups.delete(number);
            }
        }
        taken(&entries)
    }

    pub(super) fn change_visibility(&self, body: &[u8]) -> Bytes {
        self.traffic.called("ChangeMessageVisibilityBatch");
        taken(&parsed::<Batch>(body).entries)
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

    pub(super) fn queue_attributes(&self, body: &[u8]) -> Bytes {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Asked<'a> {
            queue_url: &'a str,
        }
        self.traffic.called("GetQueueAttributes");
        let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":5}"#;
        let mut attributes = json!({ "VisibilityTimeout": "900", "RedrivePolicy": redrive });
        if is_fifo(parsed::<Asked>(body).queue_url) {
            attributes["FifoQueue"] = "true".into();
        }
        json!({ "Attributes": attributes }).to_string().into()
    }
}

fn is_fifo(queue_url: &str) -> bool {
    queue_url.strip_suffix(".fifo").is_some()
}

/// Yes to every entry.
fn taken(entries: &[Entry]) -> Bytes {
    let successful: Vec<_> = entries.iter().map(|entry| json!({ "Id": entry.id })).collect();
    json!({ "Successful": successful, "Failed": [] }).to_string().into()
}

const TICK: Duration = Duration::from_millis(1);

/// A message's time does not matter here, only that it has one of a common length.
const NOW: &str = "1760700041123";

/// About as long as one of AWS's.
const HANDLE: &str = "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxl\
                      aS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aAQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a";
