//! Invariants 1 to 27 (`docs/semantics.md` 9) on the built binary: each is a case that runs through aws-sdk-lambda and
//! through the AWS CLI, with one expectation for both. What a client shows is judged, and the status and body on the wire
//! beside it, since clients hide nulls, the names of members and statuses.
//!
//! The CLI takes a second of a core for each call: a case makes no more of them than its rule needs.

mod answers;
mod changes;
mod cli;
mod client;
mod functions;
mod lists;
mod refusals;
mod sdk;
mod tags;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};

use crate::VISIBILITY;
use crate::support::aws::{Queue, Stream};
use crate::support::daemon::{Daemon, Installation};
use crate::support::function::Function;
use crate::support::table::Table;
use crate::support::{http, servers};
use client::{Answer, Client, Operation};

/// A rule, or several that one course of calls shows.
struct Case {
    invariants: &'static [u32],
    run: for<'a> fn(&'a Caller<'a>) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

#[test]
fn every_invariant_of_the_control_api_is_a_case() {
    let cases = [answers::CASES, changes::CASES, functions::CASES, lists::CASES, refusals::CASES, tags::CASES];
    let covered: BTreeSet<u32> = cases.into_iter().flatten().flat_map(|case| case.invariants).copied().collect();
    assert_eq!(covered, (1..=27).collect());
}

/// Runs each case through each client, all of them on one daemon. They share its sources and no function.
async fn through_both(cases: &[Case]) {
    let (server, function, sources) = (servers::ministack(), Function::start(), Sources::create().await);
    let installation = Installation::new().with_sqs(&server).with_kinesis(&server).with_dynamodb_streams(&server);
    let daemon = installation.with_function(&function).start().await;
    for client in [Client::sdk(&daemon), Client::Cli] {
        let caller = Caller { client, daemon: &daemon, function: &function, sources: &sources };
        for case in cases {
            println!("invariants {:?} through {}", case.invariants, caller.client.name());
            (case.run)(&caller).await;
        }
    }
}

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Queue,
    Fifo,
    Stream,
    Table,
}

impl Source {
    const ALL: [Self; 4] = [Self::Queue, Self::Fifo, Self::Stream, Self::Table];

    fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Table)
    }
}

/// One source of each kind.
struct Sources {
    queue: String,
    fifo: String,
    stream: String,
    table: String,
}

impl Sources {
    async fn create() -> Self {
        let server = servers::ministack();
        Self {
            queue: Queue::standard(&server, VISIBILITY).await.arn,
            fifo: Queue::fifo(&server, VISIBILITY).await.arn,
            stream: Stream::create(&server, 1).await.arn,
            table: Table::create(&server.url).await.stream_arn,
        }
    }
}

/// One of the clients, and what it calls.
struct Caller<'a> {
    client: Client,
    daemon: &'a Daemon,
    function: &'a Function,
    sources: &'a Sources,
}

impl Caller<'_> {
    async fn call(&self, operation: Operation, members: Value) -> Answer {
        self.client.call(self.daemon, operation, members).await
    }

    /// Calls for what is served, and answers with what the client shows of it.
    async fn succeed(&self, operation: Operation, members: Value) -> Value {
        let answer = self.call(operation, members.clone()).await;
        let status = match operation {
            Operation::Create | Operation::Update | Operation::Delete => 202,
            Operation::Get | Operation::List | Operation::ListAll | Operation::ListTags => 200,
            Operation::Tag | Operation::Untag => 204,
        };
        assert_eq!(answer.status, Some(status), "{operation:?} {members}: {answer:?}");
        answer.shown.unwrap_or_else(|refusal| panic!("{operation:?} {members}: {refusal:?}"))
    }

    async fn create(&self, members: Value) -> Value {
        self.succeed(Operation::Create, members).await
    }

    /// Creates a mapping and waits until it is in no transition. Answers its UUID.
    async fn settled(&self, members: Value) -> String {
        let uuid = uuid(&self.create(members).await).to_owned();
        self.settle(&uuid).await;
        uuid
    }

    async fn get(&self, uuid: &str) -> Value {
        self.succeed(Operation::Get, json!({"UUID": uuid})).await
    }

    async fn update(&self, uuid: &str, change: Value) -> Value {
        self.succeed(Operation::Update, with(json!({"UUID": uuid}), change)).await
    }

    async fn delete(&self, uuid: &str) -> Value {
        self.succeed(Operation::Delete, json!({"UUID": uuid})).await
    }

    /// The UUIDs in one page.
    async fn list(&self, operation: Operation, members: Value) -> Vec<String> {
        let page = self.succeed(operation, members).await;
        let mappings = page["EventSourceMappings"].as_array().unwrap_or_else(|| panic!("{page}"));
        mappings.iter().map(|mapping| uuid(mapping).to_owned()).collect()
    }

    /// Expects a refusal with this body, which the client shows by the error's name and message.
    async fn refused(&self, operation: Operation, members: Value, error: (u16, &str), body: &Value) {
        let answer = self.call(operation, members.clone()).await;
        let (status, name) = error;
        assert_eq!((answer.status, &answer.wire), (Some(status), body), "{operation:?} {members}");
        let refusal = answer.shown.expect_err("the client shows that it was refused");
        let message = body.get("message").or(body.get("Message"));
        assert_eq!((refusal.name.as_str(), Some(&json!(refusal.message))), (name, message), "{operation:?} {members}");
    }

    /// Waits, by plain requests, until a mapping is in no transition.
    async fn settle(&self, uuid: &str) {
        let steady = async {
            loop {
                let read = self.on_the_wire("GET", uuid, &Value::Null).await.1;
                if read["State"] == "Enabled" || read["State"] == "Disabled" {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, steady).await.unwrap_or_else(|_| panic!("{uuid} never settled"));
    }

    /// What no client can send: any body to the path of mappings, or of the one that is named.
    async fn on_the_wire(&self, method: &str, uuid: &str, body: &Value) -> (u16, Value) {
        let path = format!("/2015-03-31/event-source-mappings/{uuid}");
        let headers = [("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let page = http::send(self.daemon.listen(), method, &path, &headers, &body).await.unwrap();
        (page.status, serde_json::from_str(&page.body).unwrap())
    }

    /// A disabled mapping of a source to a function of this client alone, with these members beside or in place of what
    /// it takes. A null takes one away: no client sends it.
    fn mapping(&self, source: Source, function: &str, members: Value) -> Value {
        let mut mapping = json!({
            "EventSourceArn": self.arn(source), "FunctionName": self.name(function), "Enabled": false,
        });
        if source.is_stream() {
            mapping["StartingPosition"] = "TRIM_HORIZON".into();
        }
        with(mapping, members)
    }

    /// A function's name that no other client and, by its first part, no other case has.
    fn name(&self, function: &str) -> String {
        format!("{function}-{}", self.client.name())
    }

    fn arn(&self, source: Source) -> &str {
        match source {
            Source::Queue => &self.sources.queue,
            Source::Fifo => &self.sources.fifo,
            Source::Stream => &self.sources.stream,
            Source::Table => &self.sources.table,
        }
    }
}

fn uuid(mapping: &Value) -> &str {
    mapping["UUID"].as_str().unwrap_or_else(|| panic!("no UUID in {mapping}"))
}

/// The document with further members, and without those that are null.
fn with(mut document: Value, members: Value) -> Value {
    let (Some(document_members), Value::Object(members)) = (document.as_object_mut(), members) else { unreachable!() };
    document_members.extend(members);
    document_members.retain(|_, value| !value.is_null());
    document
}

/// The document without some members.
fn without(mut document: Value, members: &[&str]) -> Value {
    document.as_object_mut().unwrap().retain(|name, _| !members.contains(&name.as_str()));
    document
}

const LIMIT: Duration = Duration::from_mins(1);
const INVALID: (u16, &str) = (400, "InvalidParameterValueException");
const CONFLICT: (u16, &str) = (409, "ResourceConflictException");
const NOT_FOUND: (u16, &str) = (404, "ResourceNotFoundException");
