//! A server that follows a script: what no stand-in can be made to do on demand.

#![allow(clippy::unwrap_used)] // tests may

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// One answer of the script.
pub(super) type Answer = (StatusCode, &'static str, Vec<u8>);

/// A successful answer.
pub(super) fn json_answer(body: &Value) -> Answer {
    (StatusCode::OK, "application/x-amz-json-1.1", body.to_string().into())
}

/// Where a shard is read.
pub(super) fn iterator(name: &str) -> Answer {
    json_answer(&json!({"ShardIterator": name}))
}

/// An error with its code.
pub(super) fn refusal(status: u16, code: &str) -> Answer {
    let body = json!({"__type": code, "message": "no"}).to_string().into();
    (StatusCode::from_u16(status).unwrap(), "application/x-amz-json-1.1", body)
}

/// An error without one.
pub(super) fn html() -> Answer {
    (StatusCode::INTERNAL_SERVER_ERROR, "text/html", "<html><body>Internal Server Error</body></html>".into())
}

/// Answers one call after the other from its script and keeps what it was asked.
pub(super) struct Server {
    script: Arc<Script>,
    address: SocketAddr,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl Server {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await }); // ends with the test's runtime
        Self { script, address }
    }

    /// For the server's clients, which do not retry.
    pub fn config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://{}", self.address))
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test")))
            .retry_config(RetryConfig::disabled())
            .build()
    }

    /// What was asked so far: actions and their members.
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.script.calls.lock().unwrap().clone()
    }

    /// Checks all calls in order, each for the members that are given.
    pub fn expect_calls(&self, expected: &[(&str, Value)]) {
        let calls = self.calls();
        assert_eq!(calls.len(), expected.len(), "{calls:?}");
        for ((action, body), (expected_action, members)) in calls.iter().zip(expected) {
            assert_eq!(action, expected_action);
            for (name, value) in members.as_object().unwrap() {
                assert_eq!(&body[name], value, "{action} {name}");
            }
        }
    }
}

async fn answer(State(script): State<Arc<Script>>, headers: HeaderMap, body: String) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let action = target.rsplit('.').next().unwrap().to_owned();
    script.calls.lock().unwrap().push((action, serde_json::from_str(&body).unwrap()));
    let (status, content_type, body) = script.answers.lock().unwrap().pop_front().expect("a call beyond the script");
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
