//! What every queue source owes its caller, on two servers and on the fake, and what only servers or a scripted one can
//! show. Servers differ from SQS in ways that the fields of [`Server`] name.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use axum::http::{HeaderMap, StatusCode};
use esmd::clock::Clock;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::{Origin, Receipt, Record, ShardId};
use esmd::core::settlement::{Extended, Extension, Handle, Settled, Settlement};
use esmd::source::sqs::{SqsSettings, SqsSource};
use esmd::source::{Receiver, Source, SourceError};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fakes;
use crate::fakes::queue::{FakeQueue, Look, QueueSettings};

const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "000000000000";

/// A server and how it differs from SQS.
struct Server {
    /// `None`: the fake.
    client: Option<Client>,
    /// Says so when a receipt handle is not one.
    checks_receipts: bool,
}

impl Server {
    fn ministack() -> Self {
        Self { client: Some(client(&address("ESMD_TEST_MINISTACK"))), checks_receipts: true }
    }

    fn fauxqs() -> Self {
        Self { client: Some(client(&address("ESMD_TEST_FAUXQS"))), checks_receipts: false }
    }

    fn fake() -> Self {
        Self { client: None, checks_receipts: true }
    }
}

/// Makes of each rule one test per server; of a shared one another on the fake, in virtual time.
macro_rules! rules {
    (shared: { $($shared:ident,)* } servers: { $($served:ident,)* } fake: { $($fake:ident,)* }) => {
        mod ministack {
            $(#[tokio::test] async fn $shared() { super::$shared(super::Server::ministack()).await; })*
            $(#[tokio::test] async fn $served() { super::$served(super::Server::ministack()).await; })*
        }
        mod fauxqs {
            $(#[tokio::test] async fn $shared() { super::$shared(super::Server::fauxqs()).await; })*
            $(#[tokio::test] async fn $served() { super::$served(super::Server::fauxqs()).await; })*
        }
        mod fake {
            $(#[tokio::test(start_paused = true)] async fn $shared() { super::$shared(super::Server::fake()).await; })*
            $(#[tokio::test(start_paused = true)] async fn $fake() { super::$fake(super::Server::fake()).await; })*
        }
    };
}

rules! {
    shared: {
        a_fifo_queue_keeps_each_groups_order,
        a_group_waits_for_its_message_in_flight,
        a_receive_brings_no_more_than_was_asked_for,
        a_receive_ends_as_soon_as_a_message_comes,
        an_empty_receive_waits_and_is_no_error,
        a_deleted_message_does_not_come_back,
        a_returned_message_is_visible_at_once,
        a_message_left_alone_comes_back_under_a_new_receipt,
        a_receipt_that_is_none_is_never_taken_for_success,
        settlements_beyond_ten_are_answered_in_their_order,
        a_message_received_too_often_goes_to_the_dead_letter_queue,
        a_group_goes_on_when_its_first_message_went_to_the_dead_letter_queue,
        an_extended_lease_hides_its_message_for_longer,
        extensions_beyond_ten_are_answered_in_their_order,
        a_message_that_was_deleted_has_no_lease_to_extend,
    }
    servers: {
        a_message_is_rendered_as_it_was_sent,
        a_message_without_attributes_is_rendered,
        a_batching_window_shows_the_missing_hash_as_null,
        a_receive_of_a_fifo_queue_brings_no_more_than_a_batch,
        a_window_asks_for_a_lease_that_outlasts_the_function,
        a_queue_that_does_not_exist_is_missing,
    }
    // No server repeats a message that is held, as SQS may, or tells a message's lease without receiving it.
    fake: {
        a_standard_queue_may_hand_out_what_somebody_holds,
        a_look_agrees_with_what_receivers_see,
    }
}

/// `docs/semantics.md` 2.1 and 9 (invariants 28, 30, 31).
async fn a_message_is_rendered_as_it_was_sent(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    let body = "{\"text\":\"\\u00e4 \\\"quoted\\\" \u{2603}\"}\n\t ";
    let value = |data_type: &str| MessageAttributeValue::builder().data_type(data_type);
    let (client, url) = queue.served();
    let sent = client.send_message().queue_url(url).message_body(body);
    let sent = sent
        .message_attributes("weight", value("Number.int").string_value("12").build().unwrap())
        .message_attributes("title", value("String").string_value("a \"b\"").build().unwrap())
        .message_attributes("blob", value("Binary").binary_value(Blob::new([0, 1, 0xff])).build().unwrap());
    let sent = sent.send().await.unwrap();

    let before = Clock::system().now();
    let record = queue.receive_one(&mut *queue.receiver(settings()).await).await;

    let element: Value = serde_json::from_slice(&record.element).unwrap();
    let (id, receipt) = message(&record);
    assert_eq!(**id, *sent.message_id().unwrap());
    assert_eq!(element["messageId"], **id);
    assert_eq!(element["receiptHandle"], *receipt.handle);
    assert_eq!(element["body"], body);
    assert_eq!(element["md5OfBody"], sent.md5_of_message_body().unwrap());
    assert_eq!(element["md5OfMessageAttributes"], sent.md5_of_message_attributes().unwrap());
    let entry = |member: &str, value: &str, data_type: &str| json!({ member: value, "stringListValues": [], "binaryListValues": [], "dataType": data_type });
    let attributes = json!({
        "weight": entry("stringValue", "12", "Number.int"),
        "title": entry("stringValue", "a \"b\"", "String"),
        "blob": entry("binaryValue", "AAH/", "Binary"),
    });
    assert_eq!(element["messageAttributes"], attributes);
    assert_eq!(element["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(element["attributes"]["SentTimestamp"], record.arrived_at.as_millis().to_string());
    assert_eq!(element["eventSource"], "aws:sqs");
    assert_eq!(element["eventSourceARN"], queue.arn);
    assert_eq!(element["awsRegion"], REGION);
    assert_eq!(record.key, None);
    // The queue's 30 s less the margin of 2 s.
    let lease = receipt.ends_at.since(before);
    assert!((28..30).contains(&lease.as_secs()), "{lease:?}");
}

async fn a_message_without_attributes_is_rendered(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    queue.send("x", None).await;
    let record = queue.receive_one(&mut *queue.receiver(settings()).await).await;
    let element: Value = serde_json::from_slice(&record.element).unwrap();
    assert_eq!(element["messageAttributes"], json!({}));
    assert_eq!(element.get("md5OfMessageAttributes"), None);
}

/// `docs/semantics.md` 9 (invariant 29).
async fn a_batching_window_shows_the_missing_hash_as_null(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    queue.send("x", None).await;
    let settings = SqsSettings { window: Duration::from_secs(1), ..settings() };
    let record = queue.receive_one(&mut *queue.receiver(settings).await).await;
    let element: Value = serde_json::from_slice(&record.element).unwrap();
    assert_eq!(element.get("md5OfMessageAttributes"), Some(&Value::Null));
}

/// `docs/semantics.md` 5. One server gives one message of a group per receive, the other as many as fit.
async fn a_fifo_queue_keeps_each_groups_order(server: Server) {
    let queue = TestQueue::fifo(&server, 30).await;
    for number in 0..5 {
        queue.send(&format!("a{number}"), Some("a")).await;
        queue.send(&format!("b{number}"), Some("b")).await;
    }
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let mut seen = [Vec::new(), Vec::new()];
    while seen[0].len() + seen[1].len() < 10 {
        let records = receiver.receive(10).await.unwrap().records;
        assert!(!records.is_empty(), "{seen:?}");
        for record in &records {
            let body = body(record);
            let key = record.key.as_ref().unwrap().as_str();
            assert_eq!(key, &body[..1]);
            seen[usize::from(key == "b")].push(body);
        }
        let deletes: Vec<_> = records.iter().map(delete).collect();
        assert_eq!(source.settle(deletes).await, vec![Settled::Confirmed; records.len()]);
    }
    for (group, seen) in ["a", "b"].iter().zip(seen) {
        let sent: Vec<_> = (0..5).map(|number| format!("{group}{number}")).collect();
        assert_eq!(seen, sent);
    }
}

async fn a_receive_brings_no_more_than_was_asked_for(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    for number in 0..6 {
        queue.send(&number.to_string(), None).await;
    }
    let received = queue.receiver(settings()).await.receive(2).await.unwrap().records.len();
    assert!((1..=2).contains(&received), "{received}");
}

/// `docs/semantics.md` 5.
async fn a_receive_of_a_fifo_queue_brings_no_more_than_a_batch(server: Server) {
    let queue = TestQueue::fifo(&server, 30).await;
    for number in 0..6 {
        let group = number.to_string();
        queue.send(&group, Some(&group)).await;
    }
    let mut receiver = queue.receiver(SqsSettings { batch_size: 3, ..settings() }).await;
    let received = receiver.receive(100).await.unwrap().records.len();
    assert!((1..=3).contains(&received), "{received}");
}

/// `docs/semantics.md` 5.
async fn a_group_waits_for_its_message_in_flight(server: Server) {
    let queue = TestQueue::fifo(&server, 2).await;
    for body in ["a0", "a1", "b0"] {
        queue.send(body, Some(&body[..1])).await;
    }
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let first = receiver.receive(1).await.unwrap().records;
    let others = receiver.receive(10).await.unwrap().records;
    let again = queue.receive_within(&mut *receiver, 5).await;

    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["a0"]);
    assert_eq!(others.iter().map(body).collect::<Vec<_>>(), ["b0"]);
    assert_eq!(again.first().map(body).as_deref(), Some("a0"), "its group begins anew with it");
}

async fn a_receive_ends_as_soon_as_a_message_comes(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    let settings = SqsSettings { wait: Duration::from_secs(10), ..settings() };
    let mut receiver = queue.receiver(settings).await;
    let begun = Instant::now();
    let send = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        queue.send("x", None).await;
    };
    let (received, ()) = tokio::join!(receiver.receive(10), send);
    assert_eq!(received.unwrap().records.len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// `docs/semantics.md` 4.3, invariants 45 and 46.
async fn a_message_left_alone_comes_back_under_a_new_receipt(server: Server) {
    let queue = TestQueue::standard(&server, 2).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let first = queue.receive_one(&mut *receiver).await;
    assert!(receiver.receive(10).await.unwrap().records.is_empty(), "it is hidden");

    let again = queue.receive_within(&mut *receiver, 5).await.remove(0);

    assert_eq!(message(&again).0, message(&first).0);
    assert_ne!(message(&again).1.handle, message(&first).1.handle);
    let element: Value = serde_json::from_slice(&again.element).unwrap();
    assert_eq!(element["attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(source.settle(vec![delete(&again)]).await, [Settled::Confirmed]);
}

/// `docs/semantics.md` 9, invariant 56: the redrive policy takes what fails again and again.
async fn a_message_received_too_often_goes_to_the_dead_letter_queue(server: Server) {
    let queue = TestQueue::standard(&server, 1).await;
    queue.set_redrive(2).await;
    queue.send("x", None).await;
    let mut receiver = queue.receiver(settings()).await;

    for _ in 0..2 {
        assert_eq!(body(&queue.receive_within(&mut *receiver, 5).await[0]), "x");
    }

    for _ in 0..3 {
        assert!(receiver.receive(10).await.unwrap().records.is_empty());
    }
    assert_eq!(queue.dead().await, ["x"]);
}

/// `docs/semantics.md` 5: a group's next message comes when the one before it left its queue.
async fn a_group_goes_on_when_its_first_message_went_to_the_dead_letter_queue(server: Server) {
    let queue = TestQueue::fifo(&server, 1).await;
    queue.set_redrive(1).await;
    queue.send("a0", Some("a")).await;
    queue.send("a1", Some("a")).await;
    let mut receiver = queue.receiver(settings()).await;

    assert_eq!(receiver.receive(1).await.unwrap().records.iter().map(body).collect::<Vec<_>>(), ["a0"]);
    let next = queue.receive_within(&mut *receiver, 5).await;

    assert_eq!(body(&next[0]), "a1");
    assert_eq!(queue.dead().await, ["a0"]);
}

/// `docs/semantics.md` 4.2: at least once is all that a standard queue promises. The newer receipt is the one that counts.
async fn a_standard_queue_may_hand_out_what_somebody_holds(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let first = queue.receive_one(&mut *receiver).await;

    queue.fake().repeat(message(&first).0);
    let again = queue.receive_one(&mut *receiver).await;

    assert_eq!(message(&again).0, message(&first).0);
    assert_eq!(source.settle(vec![delete(&first)]).await, [Settled::Confirmed], "as SQS says it of any handle");
    assert_eq!(queue.fake().left(), ["x"]);
    assert_eq!(source.settle(vec![delete(&again)]).await, [Settled::Confirmed]);
    assert!(queue.fake().left().is_empty());
}

/// What tests see of a message beside its receivers.
async fn a_look_agrees_with_what_receivers_see(server: Server) {
    let queue = TestQueue::standard(&server, 2).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let first = queue.receive_one(&mut *receiver).await;
    let look = || queue.fake().look(message(&first).0);

    assert_eq!(look(), Some(Look { leased: true, receives: 1 }));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(look(), Some(Look { leased: false, receives: 1 }));
    let again = queue.receive_one(&mut *receiver).await;
    assert_eq!(look(), Some(Look { leased: true, receives: 2 }));
    source.settle(vec![delete(&again)]).await;
    assert_eq!(look(), None);
}

async fn a_deleted_message_does_not_come_back(server: Server) {
    let queue = TestQueue::standard(&server, 1).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let record = queue.receive_one(&mut *receiver).await;

    let settled = source.settle(vec![delete(&record)]).await;

    assert_eq!(settled, [Settled::Confirmed]);
    // Longer than the visibility timeout: only a delete keeps it away.
    for _ in 0..2 {
        assert!(receiver.receive(10).await.unwrap().records.is_empty());
    }
}

/// `docs/semantics.md` 4.6.
async fn a_returned_message_is_visible_at_once(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let first = queue.receive_one(&mut *receiver).await;

    let settled = source.settle(vec![hand_back(&first)]).await;

    assert_eq!(settled, [Settled::Confirmed]);
    let again = queue.receive_one(&mut *receiver).await;
    assert_eq!(message(&again).0, message(&first).0);
    assert_ne!(message(&again).1.handle, message(&first).1.handle);
    let element: Value = serde_json::from_slice(&again.element).unwrap();
    assert_eq!(element["attributes"]["ApproximateReceiveCount"], "2");
}

async fn a_receipt_that_is_none_is_never_taken_for_success(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    let source = queue.source(settings()).await;
    let settled = source.settle(vec![Settlement::Delete(false_handle())]).await;
    let expected = if server.checks_receipts { Settled::Refused } else { Settled::Confirmed };
    assert_eq!(settled, [expected]);
}

async fn settlements_beyond_ten_are_answered_in_their_order(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    for number in 0..23 {
        queue.send(&number.to_string(), None).await;
    }
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let mut records = Vec::new();
    while records.len() < 23 {
        records.append(&mut receiver.receive(10).await.unwrap().records);
    }
    let mut settlements: Vec<_> = records.iter().map(delete).collect();
    settlements[3] = hand_back(&records[3]);
    settlements.insert(12, Settlement::Delete(false_handle()));

    let settled = source.settle(settlements).await;

    let mut expected = vec![Settled::Confirmed; 24];
    if server.checks_receipts {
        expected[12] = Settled::Refused;
    }
    assert_eq!(settled, expected);
    let left = receiver.receive(10).await.unwrap().records;
    assert_eq!(left.len(), 1);
    assert_eq!(message(&left[0]).0, message(&records[3]).0);
}

/// `docs/semantics.md` 4.6.
async fn an_extended_lease_hides_its_message_for_longer(server: Server) {
    let queue = TestQueue::standard(&server, 2).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let record = queue.receive_one(&mut *receiver).await;

    let extended = source.extend(vec![extend(&record, 6)]).await;

    let [Extended::Until(ends_at)] = extended[..] else { panic!("{extended:?}") };
    assert!(ends_at > message(&record).1.ends_at, "longer, less a margin");
    for _ in 0..3 {
        assert!(receiver.receive(10).await.unwrap().records.is_empty(), "longer than its own timeout");
    }
    let settlement = Settlement::Delete(Handle { ends_at, ..handle(&record) });
    assert_eq!(source.settle(vec![settlement]).await, [Settled::Confirmed]);
}

async fn extensions_beyond_ten_are_answered_in_their_order(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    for number in 0..13 {
        queue.send(&number.to_string(), None).await;
    }
    let source = queue.source(settings()).await;
    let mut receiver = open(&*source);
    let mut records = Vec::new();
    while records.len() < 13 {
        records.append(&mut receiver.receive(10).await.unwrap().records);
    }
    let mut extensions: Vec<_> = records.iter().map(|record| extend(record, 20)).collect();
    extensions.insert(11, Extension { handle: false_handle(), by: Duration::from_secs(20) });

    let extended = source.extend(extensions).await;

    assert_eq!(extended.len(), 14);
    for (place, extended) in extended.iter().enumerate().filter(|(place, _)| server.checks_receipts || *place != 11) {
        assert_eq!(matches!(extended, Extended::Until(_)), place != 11, "{place}: {extended:?}");
    }
}

async fn a_message_that_was_deleted_has_no_lease_to_extend(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    queue.send("x", None).await;
    let source = queue.source(settings()).await;
    let record = queue.receive_one(&mut *open(&*source)).await;
    assert_eq!(source.settle(vec![delete(&record)]).await, [Settled::Confirmed]);

    let extended = source.extend(vec![extend(&record, 20)]).await;

    assert!(!server.checks_receipts || extended == [Extended::Refused], "{extended:?}");
}

async fn an_empty_receive_waits_and_is_no_error(server: Server) {
    let queue = TestQueue::standard(&server, 30).await;
    let mut receiver = queue.receiver(settings()).await;
    let begun = Instant::now();
    let answer = receiver.receive(10).await.unwrap();
    let took = begun.elapsed();
    assert!(answer.records.is_empty());
    assert!(!answer.ended);
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
}

/// `docs/semantics.md` 4.2 and 9 (invariant 57).
async fn a_window_asks_for_a_lease_that_outlasts_the_function(server: Server) {
    let queue = TestQueue::standard(&server, 1).await;
    queue.send("x", None).await;
    let (window, function_timeout) = (Duration::from_secs(1), Duration::from_secs(3));
    let mut receiver = queue.receiver(SqsSettings { window, function_timeout, ..settings() }).await;
    let before = Clock::system().now();
    let record = queue.receive_one(&mut *receiver).await;
    let lease = message(&record).1.ends_at.since(before);
    assert!((32..34).contains(&lease.as_secs()), "1 + 3 + 30 s less 2 s: {lease:?}");
    for _ in 0..2 {
        assert!(receiver.receive(10).await.unwrap().records.is_empty());
    }
}

async fn a_queue_that_does_not_exist_is_missing(server: Server) {
    let settings = SqsSettings { arn: arn("no-such-queue"), ..settings() };
    let opened = SqsSource::open(server.client.unwrap(), settings, Clock::system()).await;
    assert!(matches!(opened, Err(SourceError::Missing(_))), "{:?}", opened.err());
}

/// `docs/semantics.md` 5.
#[tokio::test]
async fn a_receive_whose_answer_was_lost_is_repeated_under_its_id() {
    let script = Script::start(&[
        (200, json!({ "QueueUrl": "http://queue.invalid/q" })),
        (200, json!({ "Attributes": { "VisibilityTimeout": "30" } })),
        (200, json!("broken")),
        (200, json!({})),
        (400, json!({ "__type": "com.amazonaws.sqs#RequestThrottled" })),
        (200, json!({})),
    ])
    .await;
    let settings = SqsSettings { arn: arn("orders.fifo"), ..settings() };
    let source = SqsSource::open(script.client.clone(), settings, Clock::system()).await.unwrap();
    let mut receiver = open(&source);

    assert!(matches!(receiver.receive(1).await, Err(SourceError::Transient(_))));
    receiver.receive(1).await.unwrap();
    assert!(matches!(receiver.receive(1).await, Err(SourceError::Throttled(_))));
    receiver.receive(1).await.unwrap();

    let requests = script.requests();
    let ids: Vec<_> =
        requests[2..].iter().map(|request| request["ReceiveRequestAttemptId"].as_str().unwrap()).collect();
    assert_eq!(ids[0], ids[1], "its answer was lost");
    assert_ne!(ids[1], ids[2], "it was answered");
    assert_ne!(ids[2], ids[3], "it was refused");
    assert!(requests[2..].iter().all(|request| request["QueueUrl"] == "http://queue.invalid/q"));
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let refused = |status: u16, code: &str| (status, json!({ "__type": code, "message": "no" }));
    let script = Script::start(&[
        (200, json!({ "QueueUrl": "http://queue.invalid/q" })),
        (200, json!({ "Attributes": { "VisibilityTimeout": "30" } })),
        refused(400, "com.amazonaws.sqs#QueueDoesNotExist"),
        refused(403, "AccessDenied"),
        refused(403, "InvalidClientTokenId"),
        refused(400, "KMS.AccessDeniedException"),
        refused(400, "OverLimit"),
        refused(429, ""),
        refused(500, "InternalFailure"),
        (200, json!({ "Messages": [{ "Body": "x" }] })),
    ])
    .await;
    let source = SqsSource::open(script.client.clone(), settings(), Clock::system()).await.unwrap();
    let mut receiver = open(&source);
    for expected in ["Missing", "Denied", "Denied", "Denied", "Throttled", "Throttled", "Transient", "Transient"] {
        let error = receiver.receive(1).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
    }
}

/// Servers leave attributes, hashes and empty bodies out.
#[tokio::test]
async fn a_bare_message_is_tolerated() {
    let script = Script::start(&[
        (200, json!({ "QueueUrl": "http://queue.invalid/q" })),
        (200, json!({})),
        (200, json!({ "Messages": [{ "MessageId": "m", "ReceiptHandle": "r" }] })),
    ])
    .await;
    let settings = SqsSettings { arn: arn("orders.fifo"), ..settings() };
    let source = SqsSource::open(script.client.clone(), settings, Clock::system()).await.unwrap();
    let before = Clock::system().now();
    let records = open(&source).receive(1).await.unwrap().records;
    let element: Value = serde_json::from_slice(&records[0].element).unwrap();
    assert_eq!(element["body"], "");
    assert_eq!(element["attributes"], json!({}));
    assert_eq!(records[0].key.as_ref().unwrap().as_str(), "");
    assert!(records[0].arrived_at >= before);
}

/// `docs/semantics.md` 4.3 and 4.6: each entry has its own answer, and a call that failed answers for all of its.
#[tokio::test]
async fn settlements_that_fail_say_whether_to_try_again() {
    use Settled::{Confirmed, Failed, Refused};

    let failed =
        |id: usize, code: &str, sender: bool| json!({ "Id": id.to_string(), "Code": code, "SenderFault": sender });
    let denied = (403, json!({ "__type": "AccessDeniedException" }));
    let script = Script::start(&[
        (200, json!({ "QueueUrl": "http://queue.invalid/q" })),
        (200, json!({})),
        (
            200,
            json!({
                "Successful": [{ "Id": "0" }],
                "Failed": [
                    failed(1, "ReceiptHandleIsInvalid", false),
                    failed(2, "AWS.SimpleQueueService.InternalError", false),
                    failed(3, "RequestThrottled", true),
                    failed(4, "SomethingElse", true),
                    failed(99, "ReceiptHandleIsInvalid", true),
                ],
            }),
        ),
        denied.clone(),
        denied,
        (503, json!({})),
        (400, json!({ "__type": "com.amazonaws.sqs#QueueDoesNotExist" })),
    ])
    .await;
    let source = SqsSource::open(script.client.clone(), settings(), Clock::system()).await.unwrap();
    let deletes = |count| vec![Settlement::Delete(false_handle()); count];
    let returns = |count| vec![Settlement::Return(false_handle()); count];

    let settled = source.settle(deletes(6)).await;
    assert_eq!(settled, [Confirmed, Refused, Failed, Failed, Refused, Failed], "the last was not answered");
    assert_eq!(source.settle(deletes(2)).await, [Failed, Failed], "denied");
    assert_eq!(source.settle(returns(2)).await, [Refused, Refused], "denied");
    assert_eq!(source.settle(returns(1)).await, [Failed], "503");
    assert_eq!(source.settle(deletes(1)).await, [Refused], "the queue is gone");
    assert_eq!(source.settle(Vec::new()).await, []);
}

/// The queue's timeout is asked for again after a minute; the shorter of old and new bounds the lease.
#[tokio::test]
async fn a_changed_visibility_timeout_is_noticed() {
    let one_message = (200, json!({ "Messages": [{ "MessageId": "m", "ReceiptHandle": "r" }] }));
    let attributes = |seconds: &str| (200, json!({ "Attributes": { "VisibilityTimeout": seconds } }));
    let script = Script::start(&[
        (200, json!({ "QueueUrl": "http://queue.invalid/q" })),
        attributes("30"),
        one_message.clone(),
        attributes("5"),
        one_message.clone(),
        one_message,
    ])
    .await;
    script.answer_attributes_apart();
    let time = Arc::new(Mutex::new(Duration::from_secs(1_000)));
    let clock = Clock::new({
        let time = Arc::clone(&time);
        move || *time.lock().unwrap()
    });
    let source = SqsSource::open(script.client.clone(), settings(), clock).await.unwrap();
    let mut receiver = open(&source);
    let mut leases = Vec::new();
    for elapsed in [50, 20, 10] {
        *time.lock().unwrap() += Duration::from_secs(elapsed);
        let records = receiver.receive(1).await.unwrap().records;
        let lease_millis = u128::from(message(&records[0]).1.ends_at.as_millis()) - time.lock().unwrap().as_millis();
        leases.push(lease_millis / 100);
    }
    assert_eq!(leases, [280, 45, 45], "tenths of a second");
}

/// `docs/semantics.md` 9 (invariant 52): a machine that slept between the queue's answer and its reading holds messages
/// whose lease may be over.
#[tokio::test]
async fn a_lease_is_shortened_by_the_time_that_the_machine_slept_during_the_receive() {
    let script = Script::start(&[
        (200, json!({ "QueueUrl": "http://queue.invalid/q" })),
        (200, json!({ "Attributes": { "VisibilityTimeout": "30" } })),
        (200, json!({ "Messages": [{ "MessageId": "m", "ReceiptHandle": "r" }] })),
    ])
    .await;
    let clock = Clock::new({
        let state = Arc::clone(&script.state);
        move || {
            let has_slept = state.lock().unwrap().requests.len() == 3;
            Duration::from_secs(1_000) + if has_slept { Duration::from_secs(20) } else { Duration::ZERO }
        }
    });
    let source = SqsSource::open(script.client.clone(), settings(), clock.clone()).await.unwrap();

    let records = open(&source).receive(1).await.unwrap().records;

    let left = message(&records[0]).1.ends_at.since(clock.now());
    assert!((Duration::from_secs(7)..=Duration::from_secs(9)).contains(&left), "of 28 s {left:?} are left");
}

struct TestQueue {
    arn: String,
    fifo: bool,
    backing: Backing,
}

enum Backing {
    Served { client: Client, url: String },
    Fake(FakeQueue),
}

impl TestQueue {
    async fn standard(server: &Server, visibility_seconds: u32) -> Self {
        Self::create(server, visibility_seconds, false).await
    }

    async fn fifo(server: &Server, visibility_seconds: u32) -> Self {
        Self::create(server, visibility_seconds, true).await
    }

    async fn create(server: &Server, visibility_seconds: u32, fifo: bool) -> Self {
        let name = format!("contract-{}{}", Uuid::new_v4(), if fifo { ".fifo" } else { "" });
        let Some(client) = server.client.clone() else {
            let arn = arn(&name);
            let visibility = Duration::from_secs(visibility_seconds.into());
            let settings = QueueSettings { fifo, visibility, wait: settings().wait };
            let queue = FakeQueue::new(fakes::clock(), &arn, settings);
            return Self { arn, fifo, backing: Backing::Fake(queue) };
        };
        let create = client.create_queue().queue_name(&name);
        let mut create = create.attributes(QueueAttributeName::VisibilityTimeout, visibility_seconds.to_string());
        if fifo {
            create = create.attributes(QueueAttributeName::FifoQueue, "true");
            create = create.attributes(QueueAttributeName::ContentBasedDeduplication, "true");
        }
        let url = create.send().await.unwrap().queue_url.unwrap();
        Self { arn: arn(&name), fifo, backing: Backing::Served { client, url } }
    }

    async fn send(&self, body: &str, group: Option<&str>) {
        if let Backing::Fake(queue) = &self.backing {
            return queue.send(body, group);
        }
        let (client, url) = self.served();
        let message = client.send_message().queue_url(url).message_body(body);
        message.set_message_group_id(group.map(str::to_owned)).send().await.unwrap();
    }

    /// From now on a message that was received this often goes to another queue.
    async fn set_redrive(&self, receives_max: u32) {
        if let Backing::Fake(queue) = &self.backing {
            return queue.set_redrive(receives_max);
        }
        let (client, url) = self.served();
        let name = self.dead_letter_name();
        let mut create = client.create_queue().queue_name(&name);
        if self.fifo {
            create = create.attributes(QueueAttributeName::FifoQueue, "true");
        }
        create.send().await.unwrap();
        let policy = json!({ "deadLetterTargetArn": arn(&name), "maxReceiveCount": receives_max });
        let set = client.set_queue_attributes().queue_url(url);
        set.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send().await.unwrap();
    }

    /// The bodies that went to the other queue.
    async fn dead(&self) -> Vec<String> {
        if let Backing::Fake(queue) = &self.backing {
            return queue.dead();
        }
        let settings = SqsSettings { arn: arn(&self.dead_letter_name()), ..settings() };
        let source = SqsSource::open(self.served().0.clone(), settings, Clock::system()).await.unwrap();
        open(&source).receive(10).await.unwrap().records.iter().map(body).collect()
    }

    fn dead_letter_name(&self) -> String {
        let name = self.arn.rsplit(':').next().unwrap();
        format!("dead-{name}")
    }

    /// The fake; only it has what the servers do not show.
    fn fake(&self) -> &FakeQueue {
        match &self.backing {
            Backing::Fake(queue) => queue,
            Backing::Served { .. } => panic!("no server shows this"),
        }
    }

    async fn source(&self, settings: SqsSettings) -> Arc<dyn Source> {
        if let Backing::Fake(queue) = &self.backing {
            return Arc::new(queue.clone().with_wait(settings.wait));
        }
        let settings = SqsSettings { arn: self.arn.clone(), ..settings };
        Arc::new(SqsSource::open(self.served().0.clone(), settings, Clock::system()).await.unwrap())
    }

    async fn receiver(&self, settings: SqsSettings) -> Box<dyn Receiver> {
        open(&*self.source(settings).await)
    }

    /// The server's client and the queue's URL there.
    fn served(&self) -> (&Client, &str) {
        match &self.backing {
            Backing::Served { client, url } => (client, url),
            Backing::Fake(_) => panic!("only servers have this rule"),
        }
    }

    async fn receive_one(&self, receiver: &mut dyn Receiver) -> Record {
        let mut records = receiver.receive(10).await.unwrap().records;
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    /// What the first of a few receives brings that brings anything.
    async fn receive_within(&self, receiver: &mut dyn Receiver, receives: usize) -> Vec<Record> {
        for _ in 0..receives {
            let records = receiver.receive(10).await.unwrap().records;
            if !records.is_empty() {
                return records;
            }
        }
        panic!("nothing came");
    }
}

/// A server that answers what it was told and keeps what it was asked.
struct Script {
    client: Client,
    state: Arc<Mutex<ScriptState>>,
}

#[derive(Default)]
struct ScriptState {
    answers: VecDeque<(u16, Value)>,
    attributes: VecDeque<(u16, Value)>,
    requests: Vec<Value>,
}

impl ScriptState {
    fn answer(&mut self, operation: &str, request: Value) -> (u16, Value) {
        self.requests.push(request);
        let apart = if operation.ends_with("GetQueueAttributes") { self.attributes.pop_front() } else { None };
        apart.or_else(|| self.answers.pop_front()).expect("the script has an answer left")
    }
}

impl Script {
    async fn start(answers: &[(u16, Value)]) -> Self {
        let state =
            Arc::new(Mutex::new(ScriptState { answers: answers.iter().cloned().collect(), ..Default::default() }));
        let shared = Arc::clone(&state);
        let answer = move |headers: HeaderMap, body: String| async move {
            let operation = headers["x-amz-target"].to_str().unwrap();
            let (status, answer) = shared.lock().unwrap().answer(operation, serde_json::from_str(&body).unwrap());
            (
                StatusCode::from_u16(status).unwrap(),
                [("content-type", "application/x-amz-json-1.0")],
                answer.to_string(),
            )
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        Self { client, state }
    }

    /// Moves the answers that are attributes out of line: those calls run beside receives.
    fn answer_attributes_apart(&self) {
        let mut state = self.state.lock().unwrap();
        let (attributes, answers) = state.answers.drain(..).partition(|(_, answer)| answer.get("Attributes").is_some());
        (state.attributes, state.answers) = (attributes, answers);
    }

    fn requests(&self) -> Vec<Value> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn settings() -> SqsSettings {
    SqsSettings {
        arn: arn("orders"),
        wait: Duration::from_secs(1),
        batch_size: 10,
        window: Duration::ZERO,
        function_timeout: Duration::from_secs(3),
        extends_visibility: false,
        payloads: None,
    }
}

fn open(source: &dyn Source) -> Box<dyn Receiver> {
    source.open(&ShardId::new("queue"), &Checkpoint::at(UpTo::TrimHorizon))
}

fn delete(record: &Record) -> Settlement {
    Settlement::Delete(handle(record))
}

fn hand_back(record: &Record) -> Settlement {
    Settlement::Return(handle(record))
}

fn extend(record: &Record, seconds: u64) -> Extension {
    Extension { handle: handle(record), by: Duration::from_secs(seconds) }
}

fn handle(record: &Record) -> Handle {
    let (id, receipt) = message(record);
    Handle { id: Arc::clone(id), receipt: Arc::clone(&receipt.handle), ends_at: receipt.ends_at }
}

/// A handle that no server gave.
fn false_handle() -> Handle {
    Handle { id: Arc::from("gone"), receipt: Arc::from("no receipt"), ends_at: Clock::system().now() }
}

fn message(record: &Record) -> (&Arc<str>, &Receipt) {
    let Origin::Message { id, receipt } = &record.origin else { panic!("{:?}", record.origin) };
    (id, receipt)
}

fn body(record: &Record) -> String {
    let element: Value = serde_json::from_slice(&record.element).unwrap();
    element["body"].as_str().unwrap().to_owned()
}

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `make test`"))
}
