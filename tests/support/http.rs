//! Plain requests: a GET for the daemon's own pages, a POST for servers whose SDK the tests do without. No client
//! library: those at hand all speak AWS.

#![allow(dead_code)] // every target uses a part of it

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The status line and the headers, as they came.
    pub head: String,
    /// The body, undecoded if it came in chunks.
    pub body: String,
}

/// Gets `path` from `address`.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<Page> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

/// Posts `body` to the root of `address`, with these headers.
pub async fn post(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> io::Result<Page> {
    send(address, "POST", "/", headers, body).await
}

/// Sends any request.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Page> {
    let headers: String = headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
    let length = body.len();
    // Of version 1.0, so that the answer does not come in chunks.
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n");
    exchange(address, &(head + body)).await
}

/// Sends a request as it stands, with all its headers.
pub async fn exchange(address: SocketAddr, request: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer))
}

fn parse(answer: &str) -> Option<Page> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, head: head.to_owned(), body: body.to_owned() })
}
