//! What the Lambda target owes its caller, shown on a function host that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, Uri};
use bytes::Bytes;
use esmd::clock::Clock;
use esmd::core::Timestamp;
use esmd::core::outcome::{Failure, Outage, Outcome};
use esmd::event::response::Reply;
use esmd::target::lambda::{LambdaSettings, LambdaTarget, presumed_function};
use esmd::target::{DescribeError, Function, Target};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

const PAYLOAD: &[u8] = br#"{"Records":[{"body":"1"}]}"#;

/// `docs/semantics.md` 3.
#[tokio::test]
async fn an_invocation_is_synchronous_and_carries_the_payload() {
    let headers = [("x-amz-executed-version", "7"), ("x-amzn-requestid", "a-request")];
    let host = Host::start([answer(200, &headers, "{\"batchItemFailures\":[]}")]).await;

    let reply = host.target("orders:prod").invoke(Bytes::from_static(PAYLOAD), None).await;

    let payload = Bytes::from_static(b"{\"batchItemFailures\":[]}");
    let (executed_version, request_id) = (Some("7".to_owned()), Some("a-request".to_owned()));
    assert_eq!(reply, Reply::Answered { payload, function_error: None, executed_version, request_id });
    let invocation = &host.invocations()[0];
    assert_eq!(invocation.body, PAYLOAD);
    assert_eq!(invocation.headers["x-amz-invocation-type"], "RequestResponse");
    assert_eq!(invocation.headers["x-amz-log-type"], "None");
}

/// `docs/semantics.md` 9 (invariant 43).
#[tokio::test]
async fn the_function_is_named_as_the_mapping_names_it() {
    for name in ["orders", "orders:prod", "111111111111:function:orders", &format!("{ARN}:7")] {
        let host = Host::start([answer(200, &[], "")]).await;
        host.target(name).invoke(Bytes::from_static(PAYLOAD), None).await;
        let path = host.invocations()[0].path.replace("%3A", ":");
        assert_eq!(path, format!("/2015-03-31/functions/{name}/invocations"));
    }
}

/// `docs/semantics.md` 3 and 9 (invariants 41, 44): end to end through the SDK.
#[tokio::test]
async fn each_answer_has_its_outcome() {
    let error = r#"{"errorMessage":"boom","errorType":"Runtime"}"#;
    let code = |status, code: &'static str| answer(status, &[("x-amzn-errortype", code)], "{\"message\":\"no\"}");
    let function_error = Outcome::Failed(Failure::FunctionError);
    let too_large = Outcome::Failed(Failure::TooLarge);
    let unavailable = Outcome::Unavailable;
    let cases = [
        (answer(200, &[], ""), Outcome::Succeeded),
        (answer(200, &[], "null"), Outcome::Succeeded),
        (answer(200, &[("x-amz-function-error", "Unhandled")], error), function_error.clone()),
        (answer(200, &[("x-amz-function-error", "Handled")], ""), function_error.clone()),
        (answer(500, &[], error), function_error.clone()),
        (code(413, "RequestTooLargeException"), too_large.clone()),
        (answer(413, &[], "too much"), too_large.clone()),
        (code(429, "TooManyRequestsException"), Outcome::Throttled),
        (answer(429, &[], ""), Outcome::Throttled),
        (code(404, "ResourceNotFoundException"), unavailable(Outage::Missing)),
        (code(403, "AccessDeniedException"), unavailable(Outage::Denied)),
        (answer(401, &[], ""), unavailable(Outage::Denied)),
        (code(409, "ResourceConflictException"), unavailable(Outage::Refused)),
        (code(500, "ServiceException"), unavailable(Outage::Service)),
        (code(502, "EC2ThrottledException"), unavailable(Outage::Service)),
        (answer(502, &[], "<html>Bad Gateway</html>"), unavailable(Outage::Service)),
        (answer(503, &[], ""), unavailable(Outage::Service)),
    ];
    for (answer, outcome) in cases {
        let host = Host::start([answer.clone()]).await;
        let reply = host.target("orders").invoke(Bytes::from_static(PAYLOAD), None).await;
        assert_eq!(reply.outcome(None::<std::iter::Empty<_>>), outcome, "{answer:?} became {reply:?}");
        assert_eq!(host.invocations().len(), 1, "{answer:?} was tried again by the SDK");
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_or_breaks_off_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = target(&format!("http://{address}"), "orders", Clock::system());
    let cut_off = tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        drop(listener);
    });

    // The first connection is accepted and cut; by the last one nobody listens any more.
    for _ in 0..3 {
        let reply = target.invoke(Bytes::from_static(PAYLOAD), None).await;
        assert!(matches!(reply, Reply::Unreachable { .. }), "{reply:?}");
    }
    cut_off.await.unwrap();
}

/// `docs/semantics.md` 9 (invariant 52).
#[tokio::test]
async fn an_invocation_whose_lease_is_over_is_not_started() {
    let host = Host::start([answer(200, &[], "")]).await;
    let target = host.target("orders");
    host.set_time(seconds(10));
    let before = |second: u64| Some(Timestamp::from_millis(second * 1_000));

    assert_eq!(target.invoke(Bytes::from_static(PAYLOAD), before(9)).await, Reply::NotStarted);
    assert_eq!(target.invoke(Bytes::from_static(PAYLOAD), before(10)).await, Reply::NotStarted);
    assert_eq!(host.invocations().len(), 0);
    assert!(matches!(target.invoke(Bytes::from_static(PAYLOAD), before(20)).await, Reply::Answered { .. }));
}

#[tokio::test]
async fn a_function_is_described_once_a_minute() {
    let host = Host::start([]).await;
    let target = host.target("orders:prod");
    host.describe_as([description(3), description(4)]);

    let described = target.describe().await.unwrap();
    assert_eq!(described, Function { arn: format!("{ARN}:prod"), timeout: seconds(3), role_arn: ROLE.to_owned() });
    host.set_time(seconds(50));
    assert_eq!(target.describe().await.unwrap().timeout, seconds(3));
    host.set_time(seconds(61));
    assert_eq!(target.describe().await.unwrap().timeout, seconds(4));
}

/// `docs/semantics.md` 1.4: whatever the server makes of the qualifier.
#[tokio::test]
async fn a_described_function_has_the_mappings_qualifier() {
    for name in ["orders", "orders:prod", "orders:$LATEST"] {
        for qualifier in ["", ":$LATEST", ":7"] {
            let host = Host::start([]).await;
            let body = json!({ "FunctionArn": format!("{ARN}{qualifier}"), "Timeout": 3, "Role": ROLE }).to_string();
            host.describe_as([answer(200, &[], &body)]);
            let described = host.target(name).describe().await.unwrap();
            assert_eq!(described.arn, ARN.replace("orders", name));
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_describe_functions_leaves_what_is_presumed() {
    let code = |status, code: &'static str| answer(status, &[("x-amzn-errortype", code)], "{}");
    let answers = [
        answer(404, &[], "<html>Not Found</html>"),
        answer(404, &[], "{}"),
        answer(405, &[], ""),
        answer(501, &[], ""),
        code(400, "UnknownOperationException"),
        code(403, "AccessDeniedException"),
        answer(200, &[], "OK"),
        answer(200, &[], "{}"),
    ];
    for answer in answers {
        let host = Host::start([]).await;
        host.describe_as([answer.clone()]);
        assert_eq!(host.target("orders").describe().await.unwrap(), presumed("orders"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_function_that_cannot_be_described_says_why() {
    let code = |status, code: &'static str| answer(status, &[("x-amzn-errortype", code)], "{}");
    let cases = [
        (code(404, "ResourceNotFoundException"), "Missing"),
        (code(429, "TooManyRequestsException"), "Transient"),
        (code(403, "ExpiredTokenException"), "Transient"),
        (code(500, "ServiceException"), "Transient"),
    ];
    for (answer, expected) in cases {
        let host = Host::start([]).await;
        host.describe_as([answer.clone(), description(3)]);
        let target = host.target("orders");
        let variant = match target.describe().await.unwrap_err() {
            DescribeError::Missing => "Missing",
            DescribeError::Transient(_) => "Transient",
        };
        assert_eq!(variant, expected, "{answer:?}");
        assert_eq!(target.describe().await.unwrap().timeout, seconds(3), "a failure is not kept");
    }
}

#[test]
fn what_the_mapping_does_not_say_is_presumed() {
    let arn = format!("{ARN}:prod");
    let presumed = presumed_function(arn.clone(), None, None);
    let role_arn = "arn:aws:iam::111111111111:role/orders".to_owned();
    assert_eq!(presumed, Function { arn: arn.clone(), timeout: seconds(900), role_arn });
    let said = presumed_function(arn.clone(), Some(seconds(5)), Some(ROLE.to_owned()));
    assert_eq!(said, Function { arn, timeout: seconds(5), role_arn: ROLE.to_owned() });
}

/// `docs/semantics.md` 3: the function's own timeout comes first, and a changed one counts once it was looked at.
#[tokio::test]
async fn a_call_has_ten_seconds_more_than_its_function() {
    let host = Host::start([answer(200, &[], "")]).await;
    host.describe_as([description(3), description(20)]);
    let target = host.target("orders");
    target.describe().await.unwrap();
    target.invoke(Bytes::from_static(PAYLOAD), None).await;
    assert_eq!(time_to_give_up(&target).await, seconds(13));

    tokio::time::resume();
    host.set_time(seconds(61));
    target.describe().await.unwrap();
    host.answer_as([answer(200, &[], "")]);
    target.invoke(Bytes::from_static(PAYLOAD), None).await;
    assert_eq!(time_to_give_up(&target).await, seconds(30));
}

/// How long an invocation that is never answered takes, in virtual time. The connection must be open already.
async fn time_to_give_up(target: &LambdaTarget) -> Duration {
    tokio::time::pause();
    let begun = Instant::now();
    assert_eq!(target.invoke(Bytes::from_static(PAYLOAD), None).await, Reply::TimedOut);
    Duration::from_secs(begun.elapsed().as_secs())
}

/// A function host. It never answers what it has no answer for, and has no `GetFunctionConfiguration` unless told.
struct Host {
    address: String,
    state: Arc<Mutex<HostState>>,
}

#[derive(Default)]
struct HostState {
    answers: VecDeque<Answer>,
    descriptions: VecDeque<Answer>,
    invocations: Vec<Invocation>,
    time: Duration,
}

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

#[derive(Clone)]
struct Invocation {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl HostState {
    fn answer(&mut self, method: &Method, invocation: Invocation) -> Option<Answer> {
        if method == Method::GET {
            return Some(self.descriptions.pop_front().unwrap_or_else(|| answer(501, &[], "")));
        }
        self.invocations.push(invocation);
        self.answers.pop_front()
    }
}

impl Host {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let state = Arc::new(Mutex::new(HostState { answers: answers.into_iter().collect(), ..Default::default() }));
        let shared = Arc::clone(&state);
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let invocation = Invocation { path: uri.path().to_owned(), headers, body };
            let answer = shared.lock().unwrap().answer(&method, invocation);
            let Some(answer) = answer else { return std::future::pending().await };
            let response = Response::builder().status(answer.status);
            let response =
                answer.headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
            response.body(Body::from(answer.body)).unwrap()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
        Self { address, state }
    }

    fn target(&self, name: &str) -> LambdaTarget {
        let state = Arc::clone(&self.state);
        target(&self.address, name, Clock::new(move || state.lock().unwrap().time))
    }

    fn answer_as(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().answers.extend(answers);
    }

    fn describe_as(&self, descriptions: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().descriptions.extend(descriptions);
    }

    fn set_time(&self, since_epoch: Duration) {
        self.state.lock().unwrap().time = since_epoch;
    }

    fn invocations(&self) -> Vec<Invocation> {
        self.state.lock().unwrap().invocations.clone()
    }
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    Answer { status, headers: headers.to_vec(), body: body.to_owned() }
}

fn description(timeout_seconds: u64) -> Answer {
    let body = json!({ "FunctionArn": ARN, "Timeout": timeout_seconds, "Role": ROLE });
    answer(200, &[], &body.to_string())
}

fn target(address: &str, name: &str, clock: Clock) -> LambdaTarget {
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(address)
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let settings = LambdaSettings { name: name.to_owned(), presumed: presumed(name) };
    LambdaTarget::new(Client::from_conf(config.build()), settings, clock)
}

/// As a mapping with both `Esmd` options would have it.
fn presumed(name: &str) -> Function {
    let arn = ARN.replace("orders", name);
    presumed_function(arn, Some(seconds(7)), Some("arn:aws:iam::111111111111:role/given".to_owned()))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ARN: &str = "arn:aws:lambda:eu-west-1:111111111111:function:orders";

const ROLE: &str = "arn:aws:iam::111111111111:role/described";
