//! One plain GET to a service on this machine: its metrics and readiness.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

/// A service that takes longer is busy or gone; the next look is soon.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than any of our services has to say.
const LARGEST_ANSWER: u64 = 1 << 20;

/// The status and body of `GET path`; none when nobody answered in time. Cancel safe.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    tokio::time::timeout(PATIENCE, fetch(address, &address.to_string(), path)).await.ok()?.ok()
}

/// The same without a bound on time, and with the reason why there is no answer. Cancel safe.
pub(crate) async fn fetch(address: impl ToSocketAddrs, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0, so that the body ends with the connection and is not chunked.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (version, rest) = head.split_once(' ')?;
    let status = rest.get(..3)?.parse().ok().filter(|_| version.starts_with("HTTP/"))?;
    Some((status, body.to_owned()))
}
