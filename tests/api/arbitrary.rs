//! Requests of any bytes at all, on every route, with and without secrets: none makes a handler panic, and none is
//! answered with a server's error.

use axum::Router;
use esmd::access::secrets::SecretFiles;
use esmd::listener;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::access::access;
use crate::mappings::{LAMBDA, queue_mapping, stream_mapping};
use crate::{Daemon, fakes};

#[test]
fn no_request_makes_a_route_panic_or_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let daemon = runtime.block_on(Daemon::start());
    let routers = [daemon.router(None), daemon.router(Some(access(&SecretFiles::default(), fakes::clock())))];

    let mut runner = TestRunner::new(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() });
    let result = runner.run(&(request(), prop::sample::select(vec![0, 1])), |(request, which)| {
        let answers = runtime.block_on(exchange(routers[which].clone(), request));
        for status in statuses(&answers) {
            prop_assert!(status < 500 || status == 501, "{}", String::from_utf8_lossy(&answers));
        }
        Ok(())
    });
    result.unwrap_or_else(|failed| panic!("{failed}"));
}

/// Sends the bytes and the end of them. A panic of a handler comes out here.
async fn exchange(router: Router, request: Vec<u8>) -> Vec<u8> {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let served = tokio::spawn(listener::requests(theirs, router));
    ours.write_all(&request).await.ok();
    ours.shutdown().await.ok();
    let mut answers = Vec::new();
    ours.read_to_end(&mut answers).await.ok();
    served.await.expect("no handler panics");
    answers
}

/// The status of each answer on the connection.
fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let lines = text.lines().filter_map(|line| line.split("HTTP/1.1 ").nth(1));
    lines.filter_map(|status| status.get(..3)?.parse().ok()).collect()
}

prop_compose! {
    fn request()(
        method in prop_oneof![4 => prop::sample::select(METHODS).prop_map(|m| m.as_bytes().to_vec()), 1 => line(8)],
        path in path(),
        headers in vec((header_name(), header_value()), 0..6),
        length in prop_oneof![6 => Just(None), 1 => any::<u16>().prop_map(Some)],
        body in body(),
    ) -> Vec<u8> {
        let mut bytes = [&method[..], b" ", &path, b" HTTP/1.1\r\n"].concat();
        for (name, value) in headers {
            bytes.extend([&name[..], b": ", &value, b"\r\n"].concat());
        }
        let length = length.map_or(body.len(), usize::from);
        bytes.extend(format!("Content-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes());
        bytes.extend(body);
        bytes
    }
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(PATHS).prop_map(|path| path.as_bytes().to_vec());
    let rest = prop_oneof![Just(Vec::new()), line(24), vec(prop::sample::select(b"/?=&%+.:~Aa0".as_slice()), 0..16)];
    prop_oneof![9 => (known, rest).prop_map(|(path, rest)| [path, rest].concat()), 1 => line(40)]
}

fn header_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![5 => prop::sample::select(HEADERS).prop_map(|name| name.as_bytes().to_vec()), 1 => line(12)]
}

fn header_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => prop::sample::select(VALUES).prop_map(|value| value.as_bytes().to_vec()), 2 => line(60)]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let documents = [stream_mapping(), queue_mapping()].map(|document| document.to_string().into_bytes());
    let broken = (prop::sample::select(documents.to_vec()), any::<prop::sample::Index>(), any::<u8>());
    let broken = broken.prop_map(|(mut document, at, byte)| {
        let at = at.index(document.len());
        document[at] = byte;
        document
    });
    let member = (prop::sample::select(MEMBERS), prop::sample::select(JSON)).prop_map(|(member, value)| {
        let mut document = queue_mapping();
        document[member] = serde_json::from_str(value).expect("the list holds JSON");
        document.to_string().into_bytes()
    });
    prop_oneof![vec(any::<u8>(), 0..200), broken, member, prop::sample::select(documents.to_vec())]
}

/// Bytes that do not end a line.
fn line(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("it would end the line", |byte| !matches!(byte, b'\r' | b'\n')), 0..longest)
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
const PATHS: &[&str] = &[
    LAMBDA,
    "/2015-03-31/event-source-mappings",
    "/2015-03-31/event-source-mappings/00000000-0000-0000-0000-000000000001",
    "/2015-03-31/event-source-mappings/?MaxItems=",
    "/2015-03-31/event-source-mappings/?Marker=",
    "/2015-03-31/event-source-mappings/?FunctionName=",
    "/esmd/v1/mappings",
    "/esmd/v1/mappings/00000000-0000-0000-0000-000000000001",
    "/2017-03-31/tags/",
    "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-west-1%3A111111111111%3Aevent-source-mapping%3A00000000-0000-0000-0000-000000000001",
    "/2017-03-31/tags/x?tagKeys=",
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/",
];
const HEADERS: &[&str] = &["Host", "Authorization", "X-Amz-Date", "Content-Type", "Origin", "X-Amz-Security-Token"];
/// A date and a credential of the moment at which the fakes' time begins, so that signatures are judged.
const VALUES: &[&str] = &[
    "localhost",
    "20270115T080000Z",
    "99991231T235959Z",
    "-0001231T235959Z",
    "Bearer 0123456789abcdef-token",
    "AWS4-HMAC-SHA256 Credential=AKESMDTESTS/20270115/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
    "AWS4-HMAC-SHA256 Credential=AKESMDTESTS/20270115/eu-west-1/lambda/aws4_request, SignedHeaders=host;;x-amz-date;\u{e4};:, Signature=",
    "AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=, Signature==,=,",
];
const MEMBERS: &[&str] =
    &["BatchSize", "EventSourceArn", "FunctionName", "Tags", "FilterCriteria", "Esmd", "StartingPositionTimestamp"];
const JSON: &[&str] = &[
    "-1",
    "-1.5",
    "99999999999999999999",
    "\"\"",
    "\"arn:aws:sqs:::\"",
    "[[]]",
    "{\"a\":{}}",
    "\"\\u0000\"",
    "\"::::\"",
];
