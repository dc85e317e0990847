//! What the daemon serves over HTTP, on a real socket: readiness that follows the store and the drain, and mappings as
//! Lambda's API has them.

#![allow(clippy::unwrap_used)] // tests may

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use esmd::access::Access;
use esmd::api::{self, Vitals};
use esmd::config::LoadedFile;
use esmd::control::Control;
use esmd::store::StateStore;
use esmd::store::observed::ObservedStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use controlled::{Controlled, Outside, REGION};
use fakes::stream::FakeStream;
use fakes::target::Answer;
use memory_store::MemoryStore;

mod access;
mod answers;
mod arbitrary;
mod command_line;
#[path = "../support/controlled.rs"]
mod controlled;
#[path = "../support/fakes/mod.rs"]
mod fakes;
#[path = "../support/http.rs"]
mod http;
mod mappings;
#[allow(dead_code)] // the contract suite uses the rest
#[path = "../support/memory_store.rs"]
mod memory_store;
mod premises;
#[path = "../support/signing.rs"]
mod signing;
mod tags;
mod validation;

#[tokio::test]
async fn a_store_that_takes_nothing_shows_in_readiness_until_it_heals() {
    let daemon = Daemon::start().await;
    daemon.memory.set_unavailable(true);
    assert!(daemon.store.delete_mapping(Uuid::nil()).await.is_err());
    assert_eq!(daemon.get("/readyz").await, (503, "[-]state-store failed: takes no writes\nnot ready\n".to_owned()));
    assert_eq!(daemon.get("/healthz").await.0, 200, "the process itself is well");

    daemon.memory.set_unavailable(false);
    assert!(daemon.store.delete_mapping(Uuid::nil()).await.is_ok());
    assert_eq!(daemon.get("/readyz").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_draining_daemon_is_not_ready_but_well() {
    let daemon = Daemon::start().await;
    daemon.shutdown.cancel();
    assert_eq!(daemon.get("/readyz").await, (503, "[-]running failed: draining\nnot ready\n".to_owned()));
    assert_eq!(daemon.get("/livez").await.0, 200);
}

#[tokio::test]
async fn readiness_names_every_check_when_asked() {
    let daemon = Daemon::start().await;
    assert_eq!(
        daemon.get("/readyz?verbose").await,
        (200, "[+]state-store ok\n[+]stalled ok\n[+]running ok\nok\n".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_stalls_shows_in_readiness_and_in_its_mapping_until_it_goes_on() {
    let daemon = Daemon::start().await;
    let shard = daemon.stream.open_shards().remove(0);
    daemon.stream.silence(&shard);
    let uuid = daemon.create_impatient_mapping().await;
    tokio::time::sleep(Duration::from_secs(15)).await;

    let named = format!("[-]stalled failed: {uuid} {shard}\nnot ready\n");
    assert_eq!(daemon.get("/readyz").await, (503, named));
    let shown = daemon.get(&format!("/esmd/v1/mappings/{uuid}")).await.1;
    assert!(shown.contains(&format!(r#""Stalled":["{shard}"]"#)), "{shown}");
    assert_eq!(daemon.get("/healthz").await.0, 200, "the process itself is well");

    daemon.stream.answer_again(&shard);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(daemon.get("/readyz").await, (200, "ok\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_waits_for_a_reason_is_named_by_esmds_own_route_and_is_ready() {
    let daemon = Daemon::start().await;
    daemon.outside.target.answer(|_| Answer::fail());
    daemon.stream.put("a", "0");
    let uuid = daemon.create_impatient_mapping().await;
    tokio::time::sleep(Duration::from_secs(30)).await;

    assert_eq!(daemon.get("/readyz").await, (200, "ok\n".to_owned()));
    let shown = daemon.get(&format!("/esmd/v1/mappings/{uuid}")).await.1;
    let shard = &daemon.stream.open_shards()[0];
    assert!(shown.contains(&format!(r#""Waits":[{{"Shard":"{shard}","Reason":"retry"}}]"#)), "{shown}");
    let by_lambda = daemon.get(&format!("/2015-03-31/event-source-mappings/{uuid}")).await.1;
    assert!(!by_lambda.contains("Waits"), "{by_lambda}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_held_back_is_shown_with_those_it_waits_for() {
    let daemon = Daemon::start().await;
    daemon.outside.target.answer(|_| Answer::fail());
    daemon.stream.put("a", "0");
    let parent = daemon.stream.open_shards().remove(0);
    let [left, right] = daemon.stream.split(&parent);
    let uuid = daemon.create_impatient_mapping().await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let shown = daemon.get(&format!("/esmd/v1/mappings/{uuid}")).await.1;
    let of = |child| format!(r#"{{"Shard":"{child}","WaitsFor":["{parent}"]}}"#);
    assert!(shown.contains(&format!(r#""HeldBack":[{},{}]"#, of(&left), of(&right))), "{shown}");

    daemon.outside.target.answer(|_| Answer::succeed());
    tokio::time::sleep(Duration::from_mins(2)).await;
    let shown = daemon.get(&format!("/esmd/v1/mappings/{uuid}")).await.1;
    assert!(!shown.contains("HeldBack"), "{shown}");
}

/// The routes, on an engine that reads one stream.
struct Daemon {
    address: SocketAddr,
    stream: FakeStream,
    outside: Outside,
    memory: Arc<MemoryStore>,
    store: ObservedStore,
    shutdown: CancellationToken,
    life: Controlled,
}

impl Daemon {
    async fn start() -> Self {
        let clock = fakes::clock();
        let stream = FakeStream::new(clock.clone(), STREAM, 1);
        let outside = Outside::new(clock).with_source(STREAM, stream.clone());
        Self::start_with(outside, stream, None).await
    }

    async fn start_with(outside: Outside, stream: FakeStream, file: Option<LoadedFile>) -> Self {
        let life = outside.start(file).await;
        let memory = Arc::clone(&outside.store);
        let store = ObservedStore::new(Arc::clone(&memory) as Arc<dyn StateStore>);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let daemon = Self { address, stream, outside, memory, store, shutdown: CancellationToken::new(), life };
        let router = daemon.router(None);
        // Not the daemon's own listener: its timeouts would end connections where time is paused.
        tokio::spawn(async move { axum::serve(listener, router).await }); // ends with the test's runtime
        daemon
    }

    fn router(&self, access: Option<Access>) -> Router {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let (store, board, shutdown) = (self.store.clone(), self.life.board.clone(), self.shutdown.clone());
        api::router(Vitals { metrics, store, board, shutdown }, &self.life.control, REGION, access)
    }

    fn control(&self) -> &Control {
        &self.life.control
    }

    /// Makes a mapping of the stream whose shards stall after ten seconds. Answers its name.
    async fn create_impatient_mapping(&self) -> String {
        let body = format!(
            r#"{{"EventSourceArn": "{STREAM}", "FunctionName": "worker", "StartingPosition": "TRIM_HORIZON",
                "Esmd": {{"StallAfterSeconds": 10}}}}"#
        );
        let headers = [("Content-Type", "application/json")];
        let page = http::send(self.address, "POST", "/esmd/v1/mappings", &headers, &body).await.unwrap();
        assert_eq!(page.status, 202, "{}", page.body);
        page.body.split(r#""UUID":""#).nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let page = http::get(self.address, path).await.unwrap();
        (page.status, page.body)
    }
}

const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";
