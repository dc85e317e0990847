//! A server that accepts and never answers: told within its time, its consumer begun again, and nothing lost.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::load::settle;
use crate::support::aws::Stream;
use crate::support::daemon::Installation;
use crate::support::function::Function;
use crate::support::ledger::Ledger;
use crate::support::ports;
use crate::support::servers::{self, Server};

/// `docs/semantics.md` 6.2 and `docs/metrics.md`: a stall.
#[tokio::test]
async fn a_server_that_never_answers_is_told_and_read_again_when_it_does() {
    let real = servers::kinesis_local();
    let stream = Stream::create(&real, 1).await;
    let function = Function::start();
    let wire = Wire::to(&real);
    let mapping = json!({
        "EventSourceArn": stream.arn,
        "FunctionName": "worker",
        "StartingPosition": "TRIM_HORIZON",
        "Esmd": {"StallAfterSeconds": 10},
    });
    let on_wire = Server { name: "silent", url: wire.url.clone() };
    let daemon =
        Installation::new().with_kinesis(&on_wire).with_function(&function).with_mappings(&[mapping]).start().await;
    let mut ledger = Ledger::default();
    stream.put(&[ledger.next("key")]).await;
    settle(&mut ledger, &function).await;

    wire.is_silent.send_replace(true);
    stream.put(&[ledger.next("key")]).await;
    daemon.until("/readyz", |page| page.contains("[-]stalled failed: ") && page.contains("shardId-000000000000")).await;
    daemon
        .until("/metrics", |page| page.lines().any(|line| line.starts_with("esmd_stalled{") && line.ends_with(" 1")))
        .await;
    daemon.until("/metrics", |page| page.contains(r#"reason="stalled"} 1"#)).await;

    wire.is_silent.send_replace(false);
    settle(&mut ledger, &function).await;
    ledger.assert_complete();
    ledger.assert_in_order();
    daemon.until("/readyz", |page| page == "ok\n").await;
}

/// A way to a server on which connections are taken, and nothing comes back while it is silent.
struct Wire {
    url: String,
    is_silent: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    fn to(server: &Server) -> Self {
        let there = server.url.trim_start_matches("http://").to_owned();
        let listener = ports::listen();
        listener.set_nonblocking(true).expect("a socket can be made so");
        let listener = TcpListener::from_std(listener).expect("it listens");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (is_silent, silence) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                connections.spawn(carry(caller, there.clone(), silence.clone()));
            }
        });
        Self { url, is_silent, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection that was silent once is over when the silence is.
async fn carry(mut caller: TcpStream, there: String, mut silence: watch::Receiver<bool>) {
    let mut server = TcpStream::connect(there).await.expect("the server is there");
    tokio::select! {
        _ = copy_bidirectional(&mut caller, &mut server) => return,
        silent = silence.wait_for(|is_silent| *is_silent) => drop(silent.map(|_| ())),
    }
    tokio::select! {
        () = swallow(&mut caller) => {}
        ended = silence.wait_for(|is_silent| !is_silent) => drop(ended.map(|_| ())),
    }
}

async fn swallow(caller: &mut TcpStream) {
    let mut buffer = [0; 4_096];
    while caller.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
