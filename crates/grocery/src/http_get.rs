//! One plain GET to a service on this machine: its metrics and readiness.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A service that takes longer is busy or gone; the next look is soon.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than any of our services has to say.
const LARGEST_ANSWER: u64 = 1 << 20;

/// The status and body of `GET path`; none when nobody answered in time. Cancel safe.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    tokio::time::timeout(PATIENCE, fetch(address, path)).await.ok()?.ok()?
}

async fn fetch(address: SocketAddr, path: &str) -> std::io::Result<Option<(u16, String)>> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0, so that the body ends with the connection and is not chunked.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(parse(&String::from_utf8_lossy(&answer)))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
