//! Serves routes on a socket, with or without TLS. Whoever connects can hold one of a bounded number of connections, and
//! must get on with its handshake and its request; what a request may ask is for the routes to judge.

pub mod tls;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::followed::Followed;

/// Serves `router` until it is dropped, which ends every connection. With `tls` each connection begins with what the
/// certificate files say then.
pub async fn serve(listener: TcpListener, tls: Option<Followed<ServerConfig>>, router: Router) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, tls.as_ref().map(Followed::now), router.clone()));
            }
            // Of the process, such as too many open files, or of a caller who is gone already.
            Err(failed) => {
                warn!(error = %failed, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Arc<ServerConfig>>, router: Router) {
    let Some(tls) = tls else { return requests(stream, router).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, router).await,
        Ok(Err(failed)) => debug!(error = %failed, "a TLS handshake failed"),
        Err(_) => debug!("a TLS handshake took too long"),
    }
}

/// Serves one connection. An idle one is closed like one whose request does not come to its end. None is served for ever:
/// a caller who reads no answer would hold it for good, and somebody else's place.
pub async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = tokio::time::sleep(LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_REQUEST_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(ended) = served {
        debug!(error = %ended, "a connection broke off");
    }
}

/// Connections at a time; others wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a connection's beginning, or its last answer, to the end of a request's headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// After it a connection takes no further request.
const LIFETIME: Duration = Duration::from_mins(5);
/// For the request that a connection is in at its end: longer than a body and an inspection take together.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_reads_no_answers_loses_the_connection() {
        let (mut ours, theirs) = tokio::io::duplex(1024);
        let served = tokio::spawn(requests(theirs, Router::new()));

        let asking = async { while ours.write_all(b"GET / HTTP/1.1\r\nHost: esmd\r\n\r\n").await.is_ok() {} };

        tokio::time::timeout(Duration::from_hours(1), asking).await.expect("the connection ends");
        served.await.expect("no panic");
    }
}
