//! The function in tests: a server that speaks Lambda's Invoke and `GetFunctionConfiguration`, answers as it is told,
//! and records every invocation in order of arrival. It knows nothing of esmd.
//!
//! An invocation is recorded before anything else happens to it, so what a killed caller had sent is in the record.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{Response, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::server::{Connection, Server};
use super::ports;

mod server;

/// How one invocation is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// 200 with this payload.
    Succeed(Value),
    /// 200 with `X-Amz-Function-Error`: the function ran and failed.
    FunctionError {
        /// `Handled`, else `Unhandled`.
        handled: bool,
    },
    /// 429 `TooManyRequestsException`: the function did not run.
    Throttle,
    /// An error of the service with its code; the function did not run.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The error's code, as in `X-Amzn-Errortype`.
        code: &'static str,
    },
    /// A status with an HTML body and no error code, as a proxy in between answers.
    Status(u16),
    /// The function runs, and the connection is cut before the first byte of the answer.
    DropConnection,
    /// Waits, then does the other.
    Delay(Duration, Box<Behaviour>),
}

impl Behaviour {
    /// Success with an empty answer.
    pub fn succeed() -> Self {
        Self::Succeed(Value::Null)
    }

    /// This behaviour, later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::Delay(delay, Box::new(self))
    }

    /// Success, and a partial response that names these records as failed.
    pub fn report<'a>(identifiers: impl IntoIterator<Item = &'a str>) -> Self {
        let failures = identifiers.into_iter().map(|identifier| json!({ "itemIdentifier": identifier }));
        Self::Succeed(json!({ "batchItemFailures": failures.collect::<Vec<_>>() }))
    }

    /// What is done when all waiting is over.
    pub fn at_last(&self) -> &Self {
        match self {
            Self::Delay(_, then) => then.at_last(),
            other => other,
        }
    }

    /// Whether the function saw the records.
    pub fn runs(&self) -> bool {
        match self {
            Self::Succeed(_) | Self::FunctionError { .. } | Self::DropConnection => true,
            Self::Throttle | Self::Refuse { .. } | Self::Status(_) => false,
            Self::Delay(_, then) => then.runs(),
        }
    }

    /// Whether the function saw the records and was content with them, even if its caller never learns of it.
    pub fn succeeds(&self) -> bool {
        match self {
            Self::Succeed(_) | Self::DropConnection => true,
            Self::FunctionError { .. } | Self::Throttle | Self::Refuse { .. } | Self::Status(_) => false,
            Self::Delay(_, then) => then.succeeds(),
        }
    }
}

/// One invocation that arrived.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its place in the order of arrival, from 1.
    pub number: usize,
    /// When its request was complete.
    pub arrived_at: Instant,
    /// When it was answered, or its caller went away.
    pub ended_at: Option<Instant>,
    /// Whether it came to its end before its caller went away.
    pub finished: bool,
    /// The function's name as the caller wrote it: a name or an ARN.
    pub function: String,
    /// The qualifier given beside the name.
    pub qualifier: Option<String>,
    /// The payload's bytes.
    pub payload: Bytes,
    /// The payload, read.
    pub event: Arc<Value>,
    /// What was done.
    pub behaviour: Behaviour,
}

impl Invocation {
    /// The elements of the event's `Records`.
    pub fn records(&self) -> &[Value] {
        self.event["Records"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Decides about one invocation, from its number (from 1) and its event.
type Decide = Box<dyn FnMut(usize, &Value) -> Behaviour + Send>;

/// Every `n`-th invocation gets `nth`, all others get `otherwise`.
pub fn every_nth(
    n: usize,
    nth: Behaviour,
    otherwise: Behaviour,
) -> impl FnMut(usize, &Value) -> Behaviour + Send + 'static {
    move |number, _| if number.is_multiple_of(n) { nth.clone() } else { otherwise.clone() }
}

/// The running server. Dropping it stops it.
pub struct Function {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<Server>,
}

impl Function {
    /// Starts it on a free port, as a task of the current runtime. It answers every invocation with success until it is
    /// told otherwise.
    pub fn start() -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new());
        let server = Server::start(listener, router(Arc::clone(&shared)));
        Self { address, shared, server: Some(server) }
    }

    /// What clients use as the Lambda endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets `decide` answer from now on.
    pub fn answer_with(&self, decide: impl FnMut(usize, &Value) -> Behaviour + Send + 'static) {
        self.shared.script().decide = Box::new(decide);
    }

    /// Answers the next invocations by these, before `answer_with` decides again.
    pub fn answer_next(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.script().queue.extend(behaviours);
    }

    /// The timeout that `GetFunctionConfiguration` reports, in seconds; 3 at first.
    pub fn set_timeout(&self, seconds: u32) {
        self.shared.timeout_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Makes `GetFunctionConfiguration` answer 404 `UnknownOperationException`, like a host that lacks it.
    pub fn hide_configuration(&self) {
        self.shared.timeout_seconds.store(HIDDEN, Ordering::Relaxed);
    }

    /// Deletes the function of this name, which until now was there as every other is. The rest goes on.
    pub fn delete(&self, name: &str) {
        self.shared.deleted.lock().unwrap().insert(name.to_owned());
    }

    /// How often the configuration was asked for.
    pub fn configuration_reads(&self) -> usize {
        self.shared.configuration_reads.load(Ordering::Relaxed)
    }

    /// All invocations so far, in order of arrival.
    pub fn invocations(&self) -> Vec<Invocation> {
        self.invocations_after(0)
    }

    /// The invocations whose number is greater than `number`.
    pub fn invocations_after(&self, number: usize) -> Vec<Invocation> {
        self.shared.invocations().get(number..).unwrap_or_default().to_vec()
    }

    /// How many invocations arrived so far.
    pub fn count(&self) -> usize {
        self.shared.invocations().len()
    }

    /// Waits until at least `count` invocations have arrived in all.
    ///
    /// # Panics
    /// When they have not within `limit`.
    pub async fn wait_for(&self, count: usize, limit: Duration) {
        let mut arrived = self.shared.arrived.subscribe();
        let waited = tokio::time::timeout(limit, arrived.wait_for(|arrived| *arrived >= count)).await;
        assert!(waited.is_ok(), "{count} invocations expected within {limit:?}, {} arrived", self.count());
    }

    /// Stops listening, so that new connections are refused. What is running is answered; idle connections are closed.
    pub async fn stop_listening(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop_listening().await;
        }
    }

    /// Comes back on the same port.
    pub fn listen_again(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).expect("the port below 32768 is still free");
        self.server = Some(Server::start(listener, router(Arc::clone(&self.shared))));
    }
}

struct Shared {
    script: Mutex<Script>,
    invocations: Mutex<Vec<Invocation>>,
    arrived: watch::Sender<usize>,
    timeout_seconds: AtomicU32,
    configuration_reads: AtomicUsize,
    deleted: Mutex<BTreeSet<String>>,
}

struct Script {
    decide: Decide,
    queue: VecDeque<Behaviour>,
}

impl Shared {
    fn new() -> Self {
        let script = Script { decide: Box::new(|_, _| Behaviour::succeed()), queue: VecDeque::new() };
        Self {
            script: Mutex::new(script),
            invocations: Mutex::default(),
            arrived: watch::Sender::new(0),
            timeout_seconds: AtomicU32::new(3),
            configuration_reads: AtomicUsize::new(0),
            deleted: Mutex::default(),
        }
    }

    fn is_deleted(&self, name: &str) -> bool {
        self.deleted.lock().unwrap().contains(short(name))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn invocations(&self) -> MutexGuard<'_, Vec<Invocation>> {
        self.invocations.lock().unwrap()
    }

    /// Numbers, decides and records in one step, so that numbers, decisions and the record have one order.
    fn record(self: &Arc<Self>, function: String, qualifier: Option<String>, payload: Bytes) -> Recorded {
        let event = Arc::new(serde_json::from_slice(&payload).unwrap_or(Value::Null));
        let mut invocations = self.invocations();
        let number = invocations.len() + 1;
        let behaviour = self.script().next(number, &event);
        invocations.push(Invocation {
            number,
            arrived_at: Instant::now(),
            ended_at: None,
            finished: false,
            function,
            qualifier,
            payload,
            event,
            behaviour: behaviour.clone(),
        });
        drop(invocations);
        self.arrived.send_replace(number);
        Recorded { shared: Arc::clone(self), number, behaviour }
    }
}

impl Script {
    fn next(&mut self, number: usize, event: &Value) -> Behaviour {
        self.queue.pop_front().unwrap_or_else(|| (self.decide)(number, event))
    }
}

/// A recorded invocation in progress; its end is noted even when its caller goes away.
struct Recorded {
    shared: Arc<Shared>,
    number: usize,
    behaviour: Behaviour,
}

impl Recorded {
    fn finish(&self) {
        self.shared.invocations()[self.number - 1].finished = true;
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.shared.invocations()[self.number - 1].ended_at = Some(Instant::now());
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .route("/2015-03-31/functions/{name}/configuration", get(describe))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

#[derive(serde::Deserialize)]
struct Qualified {
    #[serde(rename = "Qualifier")]
    qualifier: Option<String>,
}

async fn invoke(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(name): Path<String>,
    Query(Qualified { qualifier }): Query<Qualified>,
    payload: Bytes,
) -> Response<Body> {
    if shared.is_deleted(&name) {
        return refusal(404, "ResourceNotFoundException");
    }
    let recorded = shared.record(name, qualifier, payload);
    let mut behaviour = &recorded.behaviour;
    while let Behaviour::Delay(delay, then) = behaviour {
        tokio::time::sleep(*delay).await;
        behaviour = then;
    }
    recorded.finish();
    answer(behaviour, &connection)
}

fn answer(behaviour: &Behaviour, connection: &Connection) -> Response<Body> {
    match behaviour {
        Behaviour::Succeed(payload) => success(payload, None),
        Behaviour::FunctionError { handled } => {
            let error = json!({"errorType": "Error", "errorMessage": "told to fail", "trace": []});
            success(&error, Some(if *handled { "Handled" } else { "Unhandled" }))
        }
        Behaviour::Throttle => refusal(429, "TooManyRequestsException"),
        Behaviour::Refuse { status, code } => refusal(*status, code),
        Behaviour::Status(status) => respond(*status, "text/html", "<html>told to refuse</html>".into()),
        Behaviour::DropConnection => {
            connection.cut();
            success(&Value::Null, None) // never leaves: the connection fails to write it
        }
        Behaviour::Delay(..) => unreachable!("delays were waited for"),
    }
}

fn success(payload: &Value, function_error: Option<&'static str>) -> Response<Body> {
    let mut response = respond(200, "application/json", payload.to_string());
    response.headers_mut().insert("x-amz-executed-version", "$LATEST".parse().unwrap());
    if let Some(kind) = function_error {
        response.headers_mut().insert("x-amz-function-error", kind.parse().unwrap());
    }
    response
}

fn refusal(status: u16, code: &str) -> Response<Body> {
    let body = json!({"Type": "User", "Message": "told to refuse", "message": "told to refuse"});
    let mut response = respond(status, "application/json", body.to_string());
    response.headers_mut().insert("x-amzn-errortype", code.parse().unwrap());
    response
}

fn respond(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    response
}

async fn describe(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(Qualified { qualifier }): Query<Qualified>,
) -> Result<Json<Value>, Response<Body>> {
    shared.configuration_reads.fetch_add(1, Ordering::Relaxed);
    let timeout_seconds = shared.timeout_seconds.load(Ordering::Relaxed);
    if timeout_seconds == HIDDEN {
        return Err(refusal(404, "UnknownOperationException"));
    }
    if shared.is_deleted(&name) {
        return Err(refusal(404, "ResourceNotFoundException"));
    }
    let suffix = qualifier.as_ref().map(|qualifier| format!(":{qualifier}")).unwrap_or_default();
    Ok(Json(json!({
        "FunctionName": short(&name),
        "FunctionArn": format!("{ARN_PREFIX}{}{suffix}", without_account(&name)),
        "Role": ROLE,
        "Timeout": timeout_seconds,
        "Version": qualifier.as_deref().unwrap_or("$LATEST"),
        "State": "Active",
        "LastUpdateStatus": "Successful",
    })))
}

/// The name alone, however the function was named.
fn short(name: &str) -> &str {
    let qualified = without_account(name);
    qualified.split(':').next().unwrap_or(qualified)
}

/// The name and its qualifier, if it has one.
fn without_account(name: &str) -> &str {
    name.rsplit_once("function:").map_or(name, |(_, qualified)| qualified)
}

/// What precedes a function's name in its ARN.
pub const ARN_PREFIX: &str = "arn:aws:lambda:us-east-1:000000000000:function:";

/// The execution role that `GetFunctionConfiguration` reports.
pub const ROLE: &str = "arn:aws:iam::000000000000:role/worker";

/// A timeout that stands for "there is no such call".
const HIDDEN: u32 = u32::MAX;
