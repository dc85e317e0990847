//! A function in memory. A script says how long each invocation takes and what it answers; without one, each succeeds
//! after a moment. Every invocation that began is kept, whether or not its answer was waited for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use esmd::clock::Clock;
use esmd::core::Timestamp;
use esmd::event::response::Reply;
use esmd::target::{DescribeError, Function, Target};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::lock;

/// The fake. It is there, and works, unless told otherwise.
#[derive(Clone)]
pub struct FakeTarget {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    missing: bool,
    function: Function,
    script: Box<dyn FnMut(&Invocation) -> Answer + Send>,
    invocations: Vec<Invocation>,
}

/// One invocation that began.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub number: usize,
    pub began_at: Timestamp,
    /// When its answer left; `None` while it runs, or if nobody waited for it.
    pub ended_at: Option<Timestamp>,
    pub succeeded: bool,
    pub records: Vec<Delivered>,
    pub window: Option<Windowed>,
}

/// What the function saw of its tumbling window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windowed {
    pub shard: String,
    /// In milliseconds since the epoch, as `end`.
    pub start: u64,
    pub end: u64,
    pub state: Value,
    pub is_final: bool,
    pub is_terminated_early: bool,
}

/// What the function saw of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// Its partition key or message group; empty without.
    pub key: String,
    /// What its producer sent.
    pub body: String,
    /// `ApproximateReceiveCount` of a queue's message, else 0.
    pub receive_count: u32,
    /// What names it in a partial response: a message's id, or a sequence number.
    pub identifier: String,
}

/// How an invocation ends.
#[derive(Clone, Debug)]
pub struct Answer {
    pub after: Duration,
    pub reply: Reply,
}

impl Answer {
    pub fn succeed() -> Self {
        Self::answered(Bytes::from_static(b"null"), None)
    }

    /// Reports these records as failed.
    pub fn report(identifiers: &[&str]) -> Self {
        let failures = identifiers.iter().map(|identifier| json!({ "itemIdentifier": identifier }));
        let response = json!({"batchItemFailures": failures.collect::<Vec<_>>()});
        Self::answered(response.to_string().into(), None)
    }

    /// Succeeds, and hands this on within its tumbling window.
    pub fn state(state: &Value) -> Self {
        Self::answered(json!({ "state": state }).to_string().into(), None)
    }

    /// Reports these records as failed, and hands this on.
    #[allow(dead_code)] // not every suite makes use of it
    pub fn report_with_state(identifiers: &[&str], state: &Value) -> Self {
        let failures = identifiers.iter().map(|identifier| json!({ "itemIdentifier": identifier }));
        let response = json!({"batchItemFailures": failures.collect::<Vec<_>>(), "state": state});
        Self::answered(response.to_string().into(), None)
    }

    /// Succeeds with this answer, whatever it means.
    pub fn say(payload: &'static str) -> Self {
        Self::answered(Bytes::from_static(payload.as_bytes()), None)
    }

    pub fn fail() -> Self {
        let payload = Bytes::from_static(br#"{"errorType":"Error","errorMessage":"no"}"#);
        Self::answered(payload, Some("Unhandled".to_owned()))
    }

    pub fn throttle() -> Self {
        Self::refuse(429, "TooManyRequestsException")
    }

    /// The service fails before it runs the function.
    pub fn is_down() -> Self {
        Self::refuse(503, "ServiceException")
    }

    fn refuse(status: u16, code: &str) -> Self {
        Self::of(Reply::Refused { status, code: code.to_owned(), message: "no".to_owned() })
    }

    /// Nobody listens where the target should be.
    pub fn refuse_connection() -> Self {
        Self::of(Reply::Unreachable { message: "connection refused".to_owned() })
    }

    /// The payload is larger than the target takes.
    pub fn too_large() -> Self {
        let code = "RequestTooLargeException".to_owned();
        Self::of(Reply::Refused { status: 413, code, message: "Request must be smaller".to_owned() })
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    fn answered(payload: Bytes, function_error: Option<String>) -> Self {
        let executed_version = Some("$LATEST".to_owned());
        Self::of(Reply::Answered { payload, function_error, executed_version, request_id: None })
    }

    fn of(reply: Reply) -> Self {
        Self { after: Duration::from_millis(10), reply }
    }
}

impl FakeTarget {
    pub fn new(clock: Clock) -> Self {
        let function = Function {
            arn: "arn:aws:lambda:eu-west-1:111111111111:function:worker".to_owned(),
            timeout: Duration::from_secs(3),
            role_arn: "arn:aws:iam::111111111111:role/worker".to_owned(),
        };
        let script = Box::new(|_: &Invocation| Answer::succeed());
        let state = State { missing: false, function, script, invocations: Vec::new() };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on each invocation asks the script what to answer. A script that panics is an adapter's bug.
    pub fn answer(&self, script: impl FnMut(&Invocation) -> Answer + Send + 'static) {
        lock(&self.state).script = Box::new(script);
    }

    /// Whether the function exists. One that does not is neither described nor invoked.
    pub fn set_missing(&self, missing: bool) {
        lock(&self.state).missing = missing;
    }

    pub fn set_timeout(&self, timeout: Duration) {
        lock(&self.state).function.timeout = timeout;
    }

    pub fn set_role(&self, role_arn: &str) {
        role_arn.clone_into(&mut lock(&self.state).function.role_arn);
    }

    /// Every invocation that began, in order.
    pub fn invocations(&self) -> Vec<Invocation> {
        lock(&self.state).invocations.clone()
    }

    /// Every record that was delivered, repeated ones too, in order.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.invocations().into_iter().flat_map(|invocation| invocation.records).collect()
    }

    /// The body of every record delivered with success, repeated ones too, in order of the invocations' beginnings.
    pub fn succeeded(&self) -> Vec<String> {
        let succeeded = self.invocations().into_iter().filter(|invocation| invocation.succeeded);
        succeeded.flat_map(|invocation| invocation.records).map(|record| record.body).collect()
    }

    fn begin(&self, payload: &Bytes, start_before: Option<Timestamp>) -> Result<(usize, Answer), Reply> {
        let state = &mut *lock(&self.state);
        let now = self.clock.now();
        if start_before.is_some_and(|before| now >= before) {
            return Err(Reply::NotStarted);
        }
        if state.missing {
            let (code, message) = ("ResourceNotFoundException".to_owned(), "Function not found".to_owned());
            return Err(Reply::Refused { status: 404, code, message });
        }
        let number = state.invocations.len();
        let (records, window) = (delivered(payload), windowed(payload));
        let invocation = Invocation { number, began_at: now, ended_at: None, succeeded: false, records, window };
        let answer = (state.script)(&invocation);
        state.invocations.push(invocation);
        Ok((number, answer))
    }

    fn end(&self, number: usize, reply: &Reply) {
        let ended = &mut lock(&self.state).invocations[number];
        ended.ended_at = Some(self.clock.now());
        ended.succeeded = matches!(reply, Reply::Answered { function_error: None, .. });
    }
}

impl Target for FakeTarget {
    fn describe(&self) -> BoxFuture<'_, Result<Function, DescribeError>> {
        Box::pin(async {
            let state = lock(&self.state);
            if state.missing { Err(DescribeError::Missing) } else { Ok(state.function.clone()) }
        })
    }

    fn invoke(&self, payload: Bytes, start_before: Option<Timestamp>) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let (number, answer) = match self.begin(&payload, start_before) {
                Ok(begun) => begun,
                Err(refused) => return refused,
            };
            tokio::time::sleep(answer.after).await;
            self.end(number, &answer.reply);
            answer.reply
        })
    }
}

/// Reads an event as a function does.
pub fn delivered(payload: &Bytes) -> Vec<Delivered> {
    let event: Value = serde_json::from_slice(payload).expect("a payload is JSON");
    let records = event["Records"].as_array().expect("an event has records");
    records.iter().map(|record| if record["kinesis"].is_null() { message(record) } else { entry(record) }).collect()
}

/// What an event says of its window, if it has one.
pub fn windowed(payload: &Bytes) -> Option<Windowed> {
    let event: Value = serde_json::from_slice(payload).expect("a payload is JSON");
    let window = event.get("window")?;
    let moment = |value: &Value| {
        let moment: jiff::Timestamp = value.as_str().expect("a bound is a text").parse().expect("a moment");
        u64::try_from(moment.as_millisecond()).expect("after 1970")
    };
    Some(Windowed {
        shard: event["shardId"].as_str().expect("a window is of a shard").to_owned(),
        start: moment(&window["start"]),
        end: moment(&window["end"]),
        state: event["state"].clone(),
        is_final: event["isFinalInvokeForWindow"].as_bool().expect("it is said"),
        is_terminated_early: event["isWindowTerminatedEarly"].as_bool().expect("it is said"),
    })
}

fn message(record: &Value) -> Delivered {
    let attributes = &record["attributes"];
    Delivered {
        key: attributes["MessageGroupId"].as_str().unwrap_or_default().to_owned(),
        body: record["body"].as_str().unwrap().to_owned(),
        receive_count: attributes["ApproximateReceiveCount"].as_str().unwrap().parse().unwrap(),
        identifier: record["messageId"].as_str().unwrap().to_owned(),
    }
}

fn entry(record: &Value) -> Delivered {
    let kinesis = &record["kinesis"];
    let data = base64_simd::STANDARD.decode_to_vec(kinesis["data"].as_str().unwrap()).unwrap();
    Delivered {
        key: kinesis["partitionKey"].as_str().unwrap().to_owned(),
        body: String::from_utf8(data).unwrap(),
        receive_count: 0,
        identifier: kinesis["sequenceNumber"].as_str().unwrap().to_owned(),
    }
}
