//! A server for load alone: queues, streams and a function on one port, which answer as fast as they are asked. It
//! invents its records, so it holds none, and it keeps times: from when a record was put or read until it arrives at the
//! function. Knows nothing of visibility, retention or signatures, and of order only what a FIFO queue's groups need;
//! what it is not asked by esmd it refuses.
//!
//! One thread serves all of it, so that its CPU time is told apart by its process and its answers never wait for a lock.
//! Other threads only sleep.

mod function;
mod groups;
mod order;
mod queue;
mod stream;
mod traffic;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use self::groups::Groups;
use self::order::Order;
use self::traffic::Traffic;
pub use self::traffic::{Latency, Stats};

/// What there is to be read, and how the function behaves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// Records in all; each shard has an equal part of them.
    pub records: u64,
    /// How many of them appear a second; `None`: they are there from the beginning.
    pub puts_per_second: Option<u64>,
    /// Bytes of a message's text, or of a stream record's data.
    pub data_bytes: usize,
    /// Different partition keys of each shard, or groups of a FIFO queue.
    pub keys: u64,
    /// Shards of a stream.
    pub shards: u64,
    /// How long each invocation takes.
    pub function_takes: Duration,
    /// The most that the work on a record takes, which comes on top; zero: the function does not look at its records.
    /// Else it works on one after the other, and their order is watched.
    pub work_max: Duration,
}

impl Load {
    /// Where records wait that are there from the beginning.
    pub fn backlog(records: u64, data_bytes: usize) -> Self {
        Self { records, data_bytes, keys: 1_000, shards: 1, ..Self::default() }
    }

    /// How long the work on this record takes: always the same, and over all records evenly from nothing to the most.
    pub fn work(&self, number: u64) -> Duration {
        let share = scattered(number) >> 11;
        self.work_max.mul_f64(share as f64 / (1_u64 << 53) as f64)
    }

    /// The key of a record, or the group of a message, counted over all shards.
    fn key_of(&self, number: u64) -> u64 {
        number % self.keys_in_all()
    }

    fn keys_in_all(&self) -> u64 {
        self.keys * self.shards
    }

    /// Records of each shard that have appeared so long after the start.
    fn there_after(&self, elapsed: Duration) -> u64 {
        let all = self.records / self.shards;
        match self.puts_per_second {
            None => all,
            Some(rate) => {
                let milliseconds = u64::try_from(elapsed.as_millis()).expect("a run is short");
                milliseconds * rate / self.shards / 1_000
            }
        }
        .min(all)
    }
}

/// Serves until the process ends.
pub async fn serve(load: Load, address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let server = Arc::new(Server {
        queue: queue::Queue::default(),
        groups: Groups::new(load.keys, load.records),
        order: Order::new(load.keys_in_all()),
        traffic: Traffic::start(),
        load,
    });
    if server.load.puts_per_second.is_some() {
        tokio::spawn(queue::put(Arc::clone(&server)));
    }
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let answer = service_fn(|request| server.answer(request));
            // A client that goes away is no trouble of the server's.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

struct Server {
    load: Load,
    queue: queue::Queue,
    groups: Groups,
    order: Order,
    traffic: Traffic,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, axum::Error> {
        let (head, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await?;
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let answer = match target.rsplit('.').next().unwrap_or_default() {
            "" => return Ok(self.answer_path(head.uri.path(), head.uri.query(), body).await),
            "ReceiveMessage" => self.receive_messages(&body).await,
            "DeleteMessageBatch" => self.delete_messages(&body),
            "ChangeMessageVisibilityBatch" => self.change_visibility(&body),
            "GetQueueUrl" => self.queue_url(&body),
            "GetQueueAttributes" => self.queue_attributes(&body),
            "GetRecords" => self.records(&body),
            "GetShardIterator" => self.shard_iterator(&body),
            "ListShards" => self.shards(&body),
            "DescribeStreamSummary" => self.stream_summary(),
            _ => return Ok(respond(StatusCode::NOT_IMPLEMENTED, Bytes::from_static(b"{}"))),
        };
        Ok(respond(StatusCode::OK, answer))
    }

    /// The function, which has no targets but paths, and what the bench asks.
    async fn answer_path(&self, path: &str, query: Option<&str>, body: Bytes) -> Response<Body> {
        match path.rsplit('/').next().unwrap_or_default() {
            "invocations" => self.invoke(&body).await,
            "configuration" => function::describe(),
            "wait" => {
                let records = query.and_then(|records| records.parse().ok()).unwrap_or(0);
                while self.traffic.invoked() < records {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                let stats = Stats { out_of_order: self.order.violations(), ..self.traffic.stats() };
                respond(StatusCode::OK, serde_json::to_vec(&stats).expect("numbers are always JSON").into())
            }
            _ => respond(StatusCode::NOT_FOUND, Bytes::from_static(b"{}")),
        }
    }
}

fn respond(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

/// A number that looks nothing like its neighbours': the finalizer of splitmix64.
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What a request says, as far as it matters.
fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> T {
    serde_json::from_slice(body).expect("the SDK writes valid requests")
}

const LOOK_EVERY: Duration = Duration::from_millis(2);
