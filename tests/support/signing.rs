//! Requests signed by botocore, as every AWS client in Python signs them, for a caller that the tests make up.

// Every target compiles this module anew and uses a part of it; and a failure here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::http::{self, Page};

/// A request, and who signs it how.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub key: &'static str,
    pub secret: &'static str,
    /// The session token of temporary credentials.
    pub session: Option<&'static str>,
    pub region: &'static str,
    pub service: &'static str,
    /// How many seconds the caller's clock is ahead.
    pub ahead: i64,
}

pub const KEY: &str = "AKESMDTESTS";
pub const SECRET: &str = "wJalr/K7MDENG+bPxRfiCY";

impl Request {
    /// One that is accepted once it is signed.
    pub fn new(method: &'static str, path: &str, body: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_owned(),
            key: KEY,
            secret: SECRET,
            session: None,
            region: "eu-west-1",
            service: "lambda",
            ahead: 0,
        }
    }

    /// Sends it as it stands, signed or not.
    pub async fn send(&self, address: SocketAddr) -> Page {
        let headers: String = self.headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
        let host = if self.header("host").is_some() { String::new() } else { format!("Host: {address}\r\n") };
        let (method, path, body, length) = (self.method, &self.path, &self.body, self.body.len());
        let rest = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        http::exchange(address, &format!("{method} {path} HTTP/1.1\r\n{host}{headers}{rest}")).await.unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Signs requests to `address`, which takes a process of Python for all of them.
pub fn signed(address: SocketAddr, requests: &[Request]) -> Vec<Request> {
    let asked: Vec<Value> = requests
        .iter()
        .map(|request| {
            let Request { method, path, headers, body, key, secret, session, region, service, ahead } = request;
            let headers: serde_json::Map<_, _> =
                headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            json!({
                "method": method, "url": format!("http://{address}{path}"), "headers": headers, "body": body,
                "key": key, "secret": secret, "session": session, "region": region, "service": service,
                "ahead": ahead,
            })
        })
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut signer = Command::new(root.join(".venv/bin/python"))
        .args(["-B", "tests/support/sign.py"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`make test` installs botocore");
    signer.stdin.take().unwrap().write_all(Value::from(asked).to_string().as_bytes()).unwrap();
    let output = signer.wait_with_output().unwrap();
    let answers: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(&output.stdout).unwrap();
    let headers = |answer: serde_json::Map<String, Value>| {
        answer.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
    };
    let requests = requests.iter().cloned().zip(answers);
    requests.map(|(request, answer)| Request { headers: headers(answer), ..request }).collect()
}
