//! The function's HTTP server: connections that can be cut before an answer leaves, and a listener that can be closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A server in its own task. Dropping it stops listening.
pub struct Server {
    stop: DropGuard,
    closed: oneshot::Receiver<()>,
}

impl Server {
    /// Serves `router` on a bound listener.
    pub fn start(listener: std::net::TcpListener, router: Router) -> Self {
        listener.set_nonblocking(true).unwrap();
        let (open, closed) = oneshot::channel();
        let listener = Listener { tcp: TcpListener::from_std(listener).unwrap(), _open: open };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let service = router.into_make_service_with_connect_info::<Connection>();
        tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(stopped).into_future());
        Self { stop: stop.drop_guard(), closed }
    }

    /// Returns once the port refuses connections.
    pub async fn stop_listening(self) {
        drop(self.stop);
        let _ = self.closed.await; // its sender goes with the listener: an error is what tells that it is closed
    }
}

/// One accepted connection, as handlers see it.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    is_cut: Arc<AtomicBool>,
}

impl Connection {
    /// Lets the next write fail, which closes the connection.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Listener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Accepts connections that can be cut. The handle travels in place of the peer's address, which nobody needs.
struct Listener {
    tcp: TcpListener,
    _open: oneshot::Sender<()>,
}

impl axum::serve::Listener for Listener {
    type Io = CuttableStream;
    type Addr = Connection;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let connection = Connection::default();
        loop {
            match self.tcp.accept().await {
                Ok((tcp, _)) => return (CuttableStream { tcp, connection: connection.clone() }, connection),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Connection::default())
    }
}

struct CuttableStream {
    tcp: TcpStream,
    connection: Connection,
}

impl CuttableStream {
    fn check(&self) -> io::Result<()> {
        if self.connection.is_cut.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
