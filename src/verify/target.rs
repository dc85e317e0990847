//! The recording target: a small server on loopback that speaks Lambda's Invoke and `GetFunctionConfiguration`, writes down
//! each invocation when it arrives and when it ends, and answers with the trouble that was chosen, drawn from the seed.
//! What it writes is a `PathHistory`; it judges nothing.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{Response, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::SourceKind;
use super::history::{Shared, Stopwatch};
use super::judge::Entry;
use super::judge::path::{Answer, Delivered, Invocation, PathHistory};
use super::load::Load;
use super::random::Random;

/// What goes wrong at the function, by the seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// The fraction of invocations that fail, 0–1.
    pub fail: f64,
    /// The fraction that is throttled, 0–1.
    pub throttle: f64,
    /// The fraction that names a part of its batch as failed, 0–1.
    pub partial: f64,
    /// The longest that an invocation takes; each takes its own time up to this.
    pub slow: Duration,
    /// How many records are never processed.
    pub poison: usize,
}

/// The running server. Dropping it stops it.
pub struct RecordingTarget {
    address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

/// How a target answers.
#[derive(Clone, Debug)]
pub struct Script {
    /// What is delivered to it.
    pub load: Arc<Load>,
    /// From where.
    pub source: SourceKind,
    /// What goes wrong.
    pub trouble: Trouble,
    /// Whether the mapping reads partial responses.
    pub reports_failures: bool,
    /// The records that are never processed.
    pub poison: BTreeSet<Entry>,
    /// Where the draws come from.
    pub seed: u64,
}

impl RecordingTarget {
    /// Starts it on a free port, as a task of the current runtime.
    pub async fn start(script: Script, history: Shared<PathHistory>, stopwatch: Stopwatch) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .route("/2015-03-31/functions/{name}/configuration", get(describe))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::new(Function { script, history, stopwatch }));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.ok(); // it ends by being aborted
        });
        Ok(Self { address, _server: AbortOnDropHandle::new(server) })
    }

    /// What clients use as the Lambda endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Function {
    script: Script,
    history: Shared<PathHistory>,
    stopwatch: Stopwatch,
}

/// An invocation in progress. Its end is written down even when its caller goes away.
struct Running<'a> {
    function: &'a Function,
    number: usize,
    is_answered: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let now = self.function.stopwatch.now();
        let invocation = &mut self.function.history.lock().invocations[self.number];
        invocation.ended = Some(now);
        invocation.is_answered = self.is_answered;
    }
}

async fn invoke(State(function): State<Arc<Function>>, payload: Bytes) -> Response<Body> {
    let event: Value = serde_json::from_slice(&payload).unwrap_or_default();
    let records = event["Records"].as_array().map_or(&[][..], Vec::as_slice);
    let delivered: Vec<Delivered> = records.iter().map(|record| function.delivered(record)).collect();
    let (mut running, answer, time) = function.begin(delivered);
    tokio::time::sleep(time).await;
    running.is_answered = true;
    drop(running);
    respond(&answer, records)
}

impl Function {
    /// Writes an invocation down and decides about it, in one step, so that the history and the draws have one order.
    fn begin(&self, records: Vec<Delivered>) -> (Running<'_>, Answer, Duration) {
        let mut history = self.history.lock();
        let number = history.invocations.len();
        let mut random = Random::of(self.script.seed, number as u64);
        let answer = self.script.answer(&records, &mut random);
        let time = self.script.trouble.slow.mul_f64(random.fraction());
        let arrived = self.stopwatch.now();
        let answer_given = answer.clone();
        history.invocations.push(Invocation { arrived, ended: None, is_answered: false, records, answer });
        (Running { function: self, number, is_answered: false }, answer_given, time)
    }

    fn delivered(&self, record: &Value) -> Delivered {
        // Of Kinesis alone the event names the shard, in front of the number.
        let event_id = record["eventID"].as_str().and_then(|id| id.split_once(':'));
        let receive_count = record["attributes"]["ApproximateReceiveCount"].as_str();
        Delivered {
            seen: self.script.load.seen_in_event(record),
            shard: event_id.map(|(shard, _)| shard.into()),
            receive_count: receive_count.and_then(|count| count.parse().ok()),
        }
    }
}

impl Script {
    /// A queue's messages of somebody else never succeed, since they would be deleted.
    fn answer(&self, records: &[Delivered], random: &mut Random) -> Answer {
        let draws =
            [self.trouble.throttle, self.trouble.fail, self.trouble.partial].map(|chance| random.happens(chance));
        if self.source.is_queue() && records.iter().any(|record| record.seen.entry().is_none()) {
            return Answer::Failed;
        }
        let is_poison = |record: &Delivered| record.seen.entry().is_some_and(|entry| self.poison.contains(entry));
        let mut failed: BTreeSet<usize> = (0..records.len()).filter(|place| is_poison(&records[*place])).collect();
        match draws {
            [true, ..] => return Answer::Throttled,
            [_, true, _] => return Answer::Failed,
            [.., true] if !records.is_empty() => {
                failed.insert(random.below(records.len()));
            }
            _ => {}
        }
        match failed.first() {
            None => Answer::Succeeded,
            Some(_) if !self.reports_failures => Answer::Failed,
            Some(_) => Answer::Partial(self.with_followers(records, &failed)),
        }
    }

    /// A function that keeps a FIFO queue's order names a message's followers in its group as well (`docs/semantics.md`
    /// 5). Of a stream everything behind the first comes again anyhow.
    fn with_followers(&self, records: &[Delivered], failed: &BTreeSet<usize>) -> Vec<usize> {
        let key = |place: &usize| records[*place].seen.entry().map(|entry| &entry.key);
        let follows = |place: &usize| failed.iter().any(|first| first < place && key(first) == key(place));
        let is_fifo = self.source == SourceKind::SqsFifo;
        (0..records.len()).filter(|place| failed.contains(place) || is_fifo && follows(place)).collect()
    }
}

fn respond(answer: &Answer, records: &[Value]) -> Response<Body> {
    match answer {
        Answer::Succeeded => response(StatusCode::OK, None, &Value::Null),
        Answer::Failed => {
            let error = json!({"errorType": "Error", "errorMessage": "esmd verify lets this invocation fail"});
            response(StatusCode::OK, Some(("x-amz-function-error", "Unhandled")), &error)
        }
        Answer::Throttled => {
            let error = json!({"Type": "User", "message": "esmd verify throttles this invocation"});
            let header = ("x-amzn-errortype", "TooManyRequestsException");
            response(StatusCode::TOO_MANY_REQUESTS, Some(header), &error)
        }
        Answer::Partial(places) => {
            let failures = places.iter().map(|place| json!({"itemIdentifier": identifier(&records[*place])}));
            response(StatusCode::OK, None, &json!({"batchItemFailures": failures.collect::<Vec<_>>()}))
        }
    }
}

/// What a partial response calls a record.
fn identifier(record: &Value) -> &Value {
    let members = [&record["messageId"], &record["kinesis"]["sequenceNumber"], &record["dynamodb"]["SequenceNumber"]];
    members.into_iter().find(|member| member.is_string()).unwrap_or(&Value::Null)
}

fn response(status: StatusCode, more: Option<(&'static str, &'static str)>, body: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    let response = more.into_iter().fold(response, |response, (name, value)| response.header(name, value));
    response.body(body.to_string().into()).expect("the headers are constant and valid")
}

async fn describe(State(function): State<Arc<Function>>, Path(name): Path<String>) -> Json<Value> {
    let timeout = function.script.trouble.slow.as_secs() + TIMEOUT_MARGIN_SECONDS;
    Json(json!({
        "FunctionName": name,
        "FunctionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"),
        "Role": "arn:aws:iam::000000000000:role/esmd-verify",
        "Timeout": timeout,
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }))
}

/// How much longer the function's timeout is than the longest invocation.
const TIMEOUT_MARGIN_SECONDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::super::judge::{Seen, entry};
    use super::*;

    #[test]
    fn a_poisoned_record_never_succeeds_and_its_group_waits_for_it() {
        let records: Vec<Delivered> = [("a", 0), ("b", 0), ("a", 1)].map(|(key, number)| delivered(key, number)).into();
        let mut script = script(Trouble::default());
        script.poison.insert(entry("a", 0));

        assert_eq!(script.answer(&records, &mut Random::new(1)), Answer::Partial(vec![0, 2]));
        script.reports_failures = false;
        assert_eq!(script.answer(&records, &mut Random::new(1)), Answer::Failed);
    }

    #[test]
    fn chosen_trouble_comes_as_often_as_was_chosen() {
        let script = script(Trouble { fail: 0.2, throttle: 0.1, ..Trouble::default() });
        let records = [delivered("a", 0)];
        let answers: Vec<Answer> =
            (0..1_000).map(|number| script.answer(&records, &mut Random::of(script.seed, number))).collect();
        let often = |answer: &Answer| answers.iter().filter(|given| *given == answer).count();

        assert!((150..=220).contains(&often(&Answer::Failed)), "{}", often(&Answer::Failed));
        assert!((70..=130).contains(&often(&Answer::Throttled)), "{}", often(&Answer::Throttled));
    }

    #[test]
    fn a_message_of_somebody_else_is_never_acknowledged() {
        let foreign = Delivered { seen: Seen::Foreign("hello".to_owned()), ..delivered("a", 0) };
        assert_eq!(script(Trouble::default()).answer(&[foreign], &mut Random::new(1)), Answer::Failed);
    }

    fn script(trouble: Trouble) -> Script {
        let load = Arc::new(Load::new("run".to_owned(), "", 10, 2, 1));
        Script { load, source: SourceKind::SqsFifo, trouble, reports_failures: true, poison: BTreeSet::new(), seed: 7 }
    }

    fn delivered(key: &str, number: u64) -> Delivered {
        Delivered { seen: Seen::Ours(entry(key, number)), shard: None, receive_count: None }
    }
}
