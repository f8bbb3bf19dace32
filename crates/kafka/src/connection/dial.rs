//! From `host:port` to an open stream: every address of the name is tried, TLS on top if asked for.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tracing::debug;

use super::{ConnectionError, Stream};
use crate::config::Endpoint;

/// Connects to `endpoint`, resolving its name anew: brokers in a cloud change their addresses.
///
/// Cancel safe: dropping it closes what was opened.
///
/// # Errors
/// What each address answered, within `bound` for all of it.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    tls: Option<&Arc<rustls::ClientConfig>>,
    bound: Duration,
) -> Result<Box<dyn Stream>, ConnectionError> {
    let deadline = Instant::now() + bound;
    let stream = tcp(endpoint, deadline, bound).await?;
    // Small frames are sent whole (see `wire`), so waiting for more to send only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%endpoint, %error, "TCP_NODELAY was not accepted");
    }
    let Some(config) = tls else {
        return Ok(Box::new(stream));
    };
    let failed = |problem: String, refused| ConnectionError::Tls {
        broker: endpoint.to_string(),
        problem: problem.into(),
        refused,
    };
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| failed(error.to_string(), true))?;
    match timeout_at(deadline, TlsConnector::from(Arc::clone(config)).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        // A certificate that does not verify stays wrong; a connection cut during the handshake need not.
        Ok(Err(error)) => Err(match tls::distrust(&error) {
            Some(problem) => failed(problem, true),
            None => failed(error.to_string(), false),
        }),
        Err(_) => Err(failed(format!("no answer within {bound:?} (is the port's listener TLS?)"), false)),
    }
}

async fn tcp(endpoint: &Endpoint, deadline: Instant, bound: Duration) -> Result<TcpStream, ConnectionError> {
    let resolve = |problem: String| ConnectionError::Resolve { broker: endpoint.to_string(), problem: problem.into() };
    let addresses: Vec<_> = match timeout_at(deadline, lookup_host((endpoint.host.as_str(), endpoint.port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(resolve(error.to_string())),
        Err(_) => return Err(resolve(format!("no answer within {bound:?}"))),
    };
    if addresses.is_empty() {
        return Err(resolve("the name has no address".to_owned()));
    }
    let mut problems = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        // An address that swallows packets must leave time for the others.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => problems.push(format!("{address}: {error}")),
            Err(_) => problems.push(format!("{address}: no answer within {share:?}")),
        }
    }
    let (broker, problem) = (endpoint.to_string(), problems.join(", ").into());
    Err(ConnectionError::Connect { broker, problem })
}
