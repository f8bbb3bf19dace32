//! One connection to one broker: frames, correlation and pipelining by rskafka's messenger, messages by `kafka-protocol`.
//!
//! This is the only module that names rskafka. Requests may be in flight together; they reach the broker in the order in
//! which their [`Connection::send`] returned. Whoever must have the wire for himself, as a SASL exchange does, takes
//! [`Connection::hold`]: later requests wait behind him and earlier ones are answered first.
//!
//! A request that is not answered in time ends the connection: the broker answers in order, so whatever is behind it
//! would wait as well, and a broker that has stopped answering is found out by one request rather than by each.

mod answer;
mod bounded;
mod call;
mod dial;
mod error;
#[cfg(test)]
mod recorded;
#[cfg(test)]
pub(crate) mod scripted;
mod silence;
#[cfg(test)]
mod tests;
mod versions;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use rskafka::messenger::Messenger;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

pub(crate) use answer::Answer;
pub(crate) use dial::dial;
pub use error::{CloseReason, ConnectionError};
pub(crate) use silence::Silence;
pub(crate) use wire::Stream;

use self::answer::InFlight;
use self::bounded::Encoding;
use self::versions::Versions;
use self::wire::{Wire, WireState};
use crate::error::{ErrorCode, Written};

const SOFTWARE_NAME: &str = "grocery-kafka";
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a connection needs to know of its client.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionOptions {
    pub(crate) client_id: Arc<str>,
    pub(crate) request_timeout: Duration,
    pub(crate) max_frame_bytes: usize,
    /// Where a request that is not answered soon is told.
    pub(crate) silence: Arc<Silence>,
}

/// An open connection, versions known. Dropping the last reference closes it.
pub(crate) struct Connection {
    /// For messages: `1 (host:port)`, or `host:port` while the broker's id is unknown.
    broker: String,
    messenger: Arc<Messenger<Wire>>,
    wire: Arc<WireState>,
    versions: Versions,
    request_timeout: Duration,
    silence: Arc<Silence>,
    /// Held while a frame is written, and for the length of a SASL exchange.
    gate: Mutex<()>,
    in_flight: Arc<InFlight>,
}

impl Connection {
    /// Takes an open stream and asks the broker for its versions, which is the one request allowed before a login.
    ///
    /// # Errors
    /// Whatever befalls that first request within `request_timeout`.
    pub(crate) async fn open(
        stream: Box<dyn Stream>,
        broker: String,
        options: &ConnectionOptions,
    ) -> Result<Self, ConnectionError> {
        let wire = Arc::new(WireState::new());
        let stream = Wire::new(stream, Arc::clone(&wire));
        let mut messenger = Messenger::new(stream, options.max_frame_bytes, Arc::clone(&options.client_id));
        messenger.override_version_ranges(call::placeholder_ranges());
        let mut connection = Self {
            broker,
            messenger: Arc::new(messenger),
            wire,
            versions: Versions::default(),
            request_timeout: options.request_timeout,
            silence: Arc::clone(&options.silence),
            gate: Mutex::new(()),
            in_flight: Arc::new(InFlight::default()),
        };
        connection.versions = match connection.ask_versions().await {
            Err(ConnectionError::Closed { broker, reason: CloseReason::Distrusted(problem), .. }) => {
                return Err(ConnectionError::Tls { broker, problem: problem.into(), refused: true });
            }
            answer => answer?,
        };
        Ok(connection)
    }

    /// Sends ApiVersions, newest first. A broker that does not know that version answers in version 0 with error 35 and
    /// the range it knows (KIP-511).
    async fn ask_versions(&self) -> Result<Versions, ConnectionError> {
        let (lowest, newest) = versions::own_range::<ApiVersionsRequest>();
        let mut version = newest;
        let deadline = Instant::now() + self.request_timeout;
        loop {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str(SOFTWARE_NAME))
                .with_client_software_version(StrBytes::from_static_str(SOFTWARE_VERSION));
            let mut pending = self.write(request, version, deadline).await?;
            let body = pending.body().await?;
            // The error code comes first in every version; what follows error 35 is of version 0.
            if body.starts_with(&ErrorCode::UNSUPPORTED_VERSION.code().to_be_bytes()) {
                let theirs = offered_versions(&body);
                if version == lowest || theirs.is_some_and(|(_, high)| high < lowest) {
                    return Err(self.unsupported::<ApiVersionsRequest>(i16::MAX, theirs));
                }
                version = theirs.map_or(lowest, |(_, high)| high.clamp(lowest, version - 1));
                continue;
            }
            let answer = pending.decode::<ApiVersionsRequest>(body)?;
            return match ErrorCode::check(answer.error_code) {
                Ok(()) => Ok(Versions::from_answer(&answer)),
                Err(code) => Err(ConnectionError::Decode {
                    broker: self.broker.clone(),
                    api: ApiKey::ApiVersions,
                    version,
                    problem: code.to_string().into(),
                }),
            };
        }
    }

    /// Sends `request` at the highest version both sides speak and returns the answer.
    ///
    /// Cancel safe in the sense that dropping it leaves the connection usable; the request may or may not be sent.
    ///
    /// # Errors
    /// [`ConnectionError`], whose [`written`](ConnectionError::written) says whether the broker may have seen it.
    pub(crate) async fn call<R>(&self, request: R) -> Result<R::Response, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        self.send(request).await?.await
    }

    /// [`call`](Self::call), but never above `max_version`.
    pub(crate) async fn call_capped<R>(&self, request: R, max_version: i16) -> Result<R::Response, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        self.send_capped(request, max_version, self.request_timeout).await?.await
    }

    /// [`call`](Self::call) with a bound of its own, for requests that the broker holds back on purpose (JoinGroup, Fetch).
    pub(crate) async fn call_within<R>(&self, request: R, timeout: Duration) -> Result<R::Response, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        self.send_capped(request, i16::MAX, timeout).await?.await
    }

    /// Writes `request` and returns once it is handed to the network; the [`Answer`] is awaited separately.
    ///
    /// Requests reach the broker in the order in which calls of this return, so one task that awaits `send` after `send`
    /// keeps its requests in order with any number of answers outstanding.
    ///
    /// Cancel safe: dropped before it returns, the request is either not sent or sent whole with its answer discarded.
    /// Dropping the [`Answer`] discards the answer only. The time limit covers both.
    pub(crate) async fn send<R>(&self, request: R) -> Result<Answer<R::Response>, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        self.send_capped(request, i16::MAX, self.request_timeout).await
    }

    /// [`send`](Self::send), but never above `max_version` and with a bound of its own.
    pub(crate) async fn send_capped<R>(
        &self,
        request: R,
        max_version: i16,
        timeout: Duration,
    ) -> Result<Answer<R::Response>, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        let Some(version) = self.versions.choose::<R>(max_version) else {
            return Err(self.unsupported::<R>(max_version, self.versions.broker_range(R::KEY)));
        };
        let deadline = Instant::now() + timeout;
        let Ok(_gate) = timeout_at(deadline, self.gate.lock()).await else {
            let (broker, api) = (self.broker.clone(), api_of::<R>());
            return Err(ConnectionError::Timeout { broker, api, after: timeout, written: Written::No });
        };
        self.send_at(request, version, deadline).await
    }

    /// Waits until nobody else writes and every request already sent is answered or given up, and keeps it so.
    ///
    /// The bound is the requests' own: each ends by its answer, by its timeout or with the connection.
    pub(crate) async fn hold(&self) -> HeldConnection<'_> {
        let gate = self.gate.lock().await;
        self.in_flight.drained().await;
        HeldConnection { connection: self, _gate: gate }
    }

    /// The version that [`call`](Self::call) will use for `R`, if there is a common one.
    pub(crate) fn negotiated<R: Request>(&self) -> Option<i16> {
        self.versions.choose::<R>(i16::MAX)
    }

    /// The level at which the cluster has finalized a feature, such as `transaction.version` or `group.version`, as of
    /// when this connection was opened.
    pub(crate) fn feature(&self, name: &str) -> Option<i16> {
        self.versions.feature(name)
    }

    /// The level at which the cluster has finalized a feature as of now: an operator may have raised it since.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn ask_feature(&self, name: &str) -> Result<Option<i16>, ConnectionError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(SOFTWARE_NAME))
            .with_client_software_version(StrBytes::from_static_str(SOFTWARE_VERSION));
        let answer = self.call(request).await?;
        Ok(Versions::from_answer(&answer).feature(name))
    }

    /// The version that a request capped at `max_version` will have, if there is a common one.
    pub(crate) fn negotiated_capped<R: Request>(&self, max_version: i16) -> Option<i16> {
        self.versions.choose::<R>(max_version)
    }

    /// Who is at the other end, for messages.
    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    /// Why the connection ended, if it did. One that the broker closed while idle is noticed without a request.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.wire.closed()
    }

    /// Whether nothing has come since `moment` though nothing is waited for: it need not be dead, but nobody knows.
    pub(crate) fn is_doubtful(&self, moment: Instant) -> bool {
        self.in_flight.is_zero() && self.wire.heard() < moment
    }

    /// Waits for the connection to end, without keeping it open.
    pub(crate) fn ended(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let mut closed = self.wire.watch();
        async move {
            match closed.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or(CloseReason::Unused),
                Err(_) => CloseReason::Unused,
            }
        }
    }

    /// Ends the connection: requests in flight fail with `reason`.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.wire.close(reason);
    }

    fn unsupported<R: Request>(&self, cap: i16, theirs: Option<(i16, i16)>) -> ConnectionError {
        let (low, high) = versions::own_range::<R>();
        ConnectionError::Unsupported {
            broker: self.broker.clone(),
            api: api_of::<R>(),
            ours: format!("{low} to {}", high.min(cap)),
            theirs: theirs.map_or_else(|| "in no version".to_owned(), |(low, high)| format!("{low} to {high}")),
        }
    }
}

/// A connection on which nobody else writes until this is dropped.
pub(crate) struct HeldConnection<'a> {
    connection: &'a Connection,
    _gate: MutexGuard<'a, ()>,
}

impl HeldConnection<'_> {
    /// One request and its answer, past the gate that this holds.
    pub(crate) async fn exchange<R>(&self, request: R) -> Result<R::Response, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        let connection = self.connection;
        let Some(version) = connection.versions.choose::<R>(i16::MAX) else {
            return Err(connection.unsupported::<R>(i16::MAX, connection.versions.broker_range(R::KEY)));
        };
        connection.send_at(request, version, Instant::now() + connection.request_timeout).await?.await
    }

    /// Who is at the other end, for messages.
    pub(crate) fn broker(&self) -> &str {
        &self.connection.broker
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        debug!(broker = %self.broker, reason = ?self.wire.closed(), "connection dropped");
        // Answers still awaited own the messenger, which would otherwise keep the socket for them.
        self.wire.close(CloseReason::Unused);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("broker", &self.broker)
            .field("closed", &self.wire.closed())
            .finish_non_exhaustive()
    }
}

fn api_of<R: Request>() -> ApiKey {
    ApiKey::try_from(R::KEY).unwrap_or(ApiKey::ApiVersions)
}

/// The range of ApiVersions itself in a version 0 answer.
fn offered_versions(body: &bytes::Bytes) -> Option<(i16, i16)> {
    let mut body = bounded::BoundedBytes::new(body.clone(), Encoding::Fixed);
    let answer = <ApiVersionsResponse as kafka_protocol::protocol::Decodable>::decode(&mut body, 0).ok()?;
    let own = answer.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions as i16)?;
    Some((own.min_version, own.max_version))
}
