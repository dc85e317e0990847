//! What the daemon serves over HTTP, on a real socket: readiness that follows the store and the drain.

#![allow(clippy::unwrap_used)] // tests may

use std::net::SocketAddr;
use std::sync::Arc;

use esmd::api::{self, Vitals};
use esmd::store::StateStore;
use esmd::store::observed::ObservedStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use memory_store::MemoryStore;

#[path = "../support/http.rs"]
mod http;
#[allow(dead_code)] // the contract suite uses the rest
#[path = "../support/memory_store.rs"]
mod memory_store;

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
    assert_eq!(daemon.get("/readyz?verbose").await, (200, "[+]state-store ok\n[+]running ok\nok\n".to_owned()));
}

struct Daemon {
    address: SocketAddr,
    memory: Arc<MemoryStore>,
    store: ObservedStore,
    shutdown: CancellationToken,
}

impl Daemon {
    async fn start() -> Self {
        let memory = Arc::new(MemoryStore::default());
        let store = ObservedStore::new(Arc::clone(&memory) as Arc<dyn StateStore>);
        let shutdown = CancellationToken::new();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let router = api::router(Vitals { metrics, store: store.clone(), shutdown: shutdown.clone() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await }); // ends with the test's runtime
        Self { address, memory, store, shutdown }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let page = http::get(self.address, path).await.unwrap();
        (page.status, page.body)
    }
}
