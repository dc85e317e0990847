//! A function that takes its time, for itself or for each record, and is content with everything. It finds the records of
//! an event by the marks that queue and stream give them, without reading the rest.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde_json::json;

use super::stream::SEQUENCE;
use super::{Server, respond};

impl Server {
    pub(super) async fn invoke(&self, event: &[u8]) -> Response<Body> {
        let records = self.traffic.arrived(numbers(event));
        if !self.load.function_takes.is_zero() {
            tokio::time::sleep(self.load.function_takes).await;
        }
        if !self.load.work_max.is_zero() {
            self.work(&numbers(event).collect::<Vec<_>>()).await;
        }
        self.traffic.answered(records);
        respond(StatusCode::OK, Bytes::from_static(b"null"))
    }

    /// Works on one record after the other. A thread sleeps for all of them: a timer of tokio's would be up to two
    /// milliseconds late.
    async fn work(&self, numbers: &[u64]) {
        self.order.begin(numbers);
        let work = numbers.iter().map(|number| self.load.work(*number)).sum();
        tokio::task::spawn_blocking(move || std::thread::sleep(work)).await.expect("sleeping never fails");
        self.order.end(numbers);
    }
}

pub(super) fn describe() -> Response<Body> {
    let function = json!({
        "FunctionName": "worker", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:worker",
        "Role": "arn:aws:iam::000000000000:role/worker", "Timeout": 60, "Version": "$LATEST", "State": "Active",
    });
    respond(StatusCode::OK, function.to_string().into())
}

/// The numbers of the event's records. Each has one mark: in a message the number follows it, in a stream's record it
/// begins the partition key, and the sequence number that follows ends with the number.
fn numbers(event: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = event;
    std::iter::from_fn(move || {
        let mark = rest.iter().position(|byte| *byte == b'#')?;
        let after = &rest[mark + 1..];
        let digits = if after[..NUMBER_DIGITS].iter().all(u8::is_ascii_digit) {
            &after[..NUMBER_DIGITS]
        } else {
            &after[STREAM_OFFSET..STREAM_OFFSET + NUMBER_DIGITS]
        };
        rest = rest.get(mark + ELEMENT_BYTES_LEAST..).unwrap_or_default();
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    })
}

const NUMBER_DIGITS: usize = 12;

/// From behind the mark to the number: the key's six digits, and the way to the end of the sequence number.
const STREAM_OFFSET: usize = 6 + "\",\"sequenceNumber\":\"".len() + SEQUENCE.len();

/// No two marks are closer.
const ELEMENT_BYTES_LEAST: usize = 300;
