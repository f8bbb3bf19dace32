//! Accepting connections, and the life of one: frames in, requests one after the other, answers out in the same order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::Broker;
use super::api::{self, Answer, Caller};
use super::sasl::Login;
use crate::access::Principal;

/// `socket.request.max.bytes`
const MAX_FRAME_BYTES: usize = 100 << 20;
/// `sasl.server.max.receive.size`: what somebody may send who has not logged in.
const MAX_LOGIN_FRAME_BYTES: usize = 512 << 10;
/// Requests read ahead of the one being answered; past it the client's socket fills up.
const READ_AHEAD: usize = 8;
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 64 << 10;

/// A door to the broker.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether clients must log in; where they need not, everything is allowed.
    pub(crate) secured: bool,
    /// What Metadata tells clients to connect to.
    pub(crate) advertised: (String, u16),
    /// While false, connections are dropped: an outage on request.
    pub(crate) open: watch::Receiver<bool>,
}

/// Serves until `shutdown`, then waits for the connections to end.
pub(crate) async fn serve(listener: Listener, broker: Arc<Broker>, shutdown: CancellationToken) {
    let Listener { socket, tls, secured, advertised, open } = listener;
    let advertised = Arc::new(advertised);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: it passes.
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !*open.borrow() {
            continue;
        }
        let connection = Connection {
            broker: Arc::clone(&broker),
            login: secured.then(Login::required),
            advertised: Arc::clone(&advertised),
            peer,
        };
        let (tls, shutdown, mut open) = (tls.clone(), shutdown.clone(), open.clone());
        connections.spawn(async move {
            connection.broker.connections.fetch_add(1, Ordering::Relaxed);
            let broker = Arc::clone(&connection.broker);
            let ended = tokio::select! {
                () = shutdown.cancelled() => Ok(()),
                _ = open.wait_for(|open| !open) => Ok(()),
                ended = connection.begin(stream, tls) => ended,
            };
            broker.connections.fetch_sub(1, Ordering::Relaxed);
            match ended {
                // What the client did wrong. One line a connection.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    warn!(%peer, "closed a connection: {error}");
                }
                Err(error) => debug!(%peer, %error, "a connection ended"),
                Ok(()) => {}
            }
        });
    }
    connections.close();
    connections.wait().await;
}

struct Connection {
    broker: Arc<Broker>,
    login: Option<Login>,
    advertised: Arc<(String, u16)>,
    peer: SocketAddr,
}

impl Connection {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match tls {
            None => self.run(stream).await,
            Some(acceptor) => {
                let stream = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
                self.run(stream).await
            }
        }
    }

    /// Reading goes on in a task of its own, so that a client that leaves while its request is parked is noticed.
    async fn run(mut self, stream: impl AsyncRead + AsyncWrite + Send + 'static) -> io::Result<()> {
        let (reader, writer) = tokio::io::split(stream);
        let (frames, mut received) = mpsc::channel(READ_AHEAD);
        let gone = CancellationToken::new();
        let _gone_with_us = gone.clone().drop_guard();
        let (logged_in, may_send_much) = watch::channel(self.login.is_none());
        tokio::spawn(read_frames(BufReader::with_capacity(BUFFER_BYTES, reader), frames, may_send_much, gone.clone()));

        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        while let Some(frame) = received.recv().await {
            let Some(answer) = self.answer(frame?, &gone).await? else {
                continue;
            };
            writer.write_all(&answer).await?;
            if self.login.as_ref().is_some_and(Login::has_failed) {
                break;
            }
            if received.is_empty() {
                writer.flush().await?;
            }
            if !*logged_in.borrow() && self.is_logged_in() {
                let _ = logged_in.send(true);
            }
        }
        writer.flush().await
    }

    fn is_logged_in(&self) -> bool {
        self.login.as_ref().is_none_or(|login| matches!(login.gate(SystemTime::now()), super::sasl::Gate::Open(_)))
    }

    /// Answers one request. `None` where the protocol wants no answer; an error ends the connection.
    async fn answer(&mut self, frame: Bytes, gone: &CancellationToken) -> io::Result<Option<BytesMut>> {
        self.broker.counters.request();
        if self.login.as_ref().is_some_and(Login::expects_bare_token) {
            return self.take_bare_token(&frame).map(Some);
        }
        let request = api::Request::parse(frame).map_err(protocol_error)?;
        let told_before_login = request.api_key == ApiKey::ApiVersions
            && self
                .login
                .as_mut()
                .is_some_and(|login| login.tells_versions(api::is_offered(request.api_key, request.version)));
        let answer = match (request.api_key, &mut self.login) {
            (ApiKey::ApiVersions, _) if told_before_login => api::api_versions(&self.broker, &request),
            (ApiKey::SaslHandshake | ApiKey::SaslAuthenticate, None) => api::refuse_login(&request),
            (ApiKey::SaslHandshake | ApiKey::SaslAuthenticate, Some(login)) => {
                let answer = api::log_in(&self.broker, login, &request, SystemTime::now());
                self.report_refusal();
                answer
            }
            (api_key, login) => {
                let principal = match login {
                    None => Principal::anonymous(),
                    Some(login) => match login.gate(SystemTime::now()) {
                        super::sasl::Gate::Open(principal) => principal,
                        super::sasl::Gate::Close(why) => return Err(protocol_error(why)),
                    },
                };
                if api_key == ApiKey::ApiVersions {
                    api::api_versions(&self.broker, &request)
                } else {
                    let caller = Caller { principal, advertised: &self.advertised, host: self.peer.ip(), gone };
                    api::handle(&self.broker, &caller, request).await
                }
            }
        };
        match answer {
            Ok(Answer::Frame(frame)) => Ok(Some(frame)),
            Ok(Answer::None) => Ok(None),
            Err(error) => Err(protocol_error(error)),
        }
    }

    /// One step of a login whose handshake was of version 0: bytes in, bytes out, and a closed connection for a refusal.
    fn take_bare_token(&mut self, bytes: &[u8]) -> io::Result<BytesMut> {
        let broker = Arc::clone(&self.broker);
        let outcome = self
            .login
            .as_mut()
            .and_then(|login| login.authenticate(bytes, &*broker.verify, &broker.rules, SystemTime::now()));
        self.report_refusal();
        match outcome {
            Some(outcome) if outcome.error.is_none() => {
                let mut frame = BytesMut::with_capacity(4 + outcome.bytes.len());
                frame.put_u32(outcome.bytes.len() as u32);
                frame.put_slice(&outcome.bytes);
                Ok(frame)
            }
            _ => Err(protocol_error("its login failed")),
        }
    }

    fn report_refusal(&mut self) {
        if let Some(reason) = self.login.as_mut().and_then(|login| login.refusal.take()) {
            warn!(peer = %self.peer, "refused a login: {reason}");
        }
    }
}

/// Ends the connection; the text says why.
fn protocol_error(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

/// Reads length-prefixed frames until the end of the stream, then says that the client is gone.
async fn read_frames(
    mut reader: impl AsyncRead + Unpin,
    frames: mpsc::Sender<io::Result<Bytes>>,
    may_send_much: watch::Receiver<bool>,
    gone: CancellationToken,
) {
    loop {
        let frame = tokio::select! {
            () = gone.cancelled() => return,
            frame = read_frame(&mut reader, &may_send_much) => frame,
        };
        let (frame, last) = match frame {
            Ok(None) => break,
            Ok(Some(frame)) => (Ok(frame), false),
            Err(error) => (Err(error), true),
        };
        if frames.send(frame).await.is_err() || last {
            break;
        }
    }
    gone.cancel();
}

async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    may_send_much: &watch::Receiver<bool>,
) -> io::Result<Option<Bytes>> {
    let length = match reader.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let limit = if *may_send_much.borrow() { MAX_FRAME_BYTES } else { MAX_LOGIN_FRAME_BYTES };
    let length = usize::try_from(length).ok().filter(|length| *length <= limit);
    let Some(length) = length else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame larger than is allowed; is this a Kafka client?",
        ));
    };
    // Grows with what arrives, so that a length alone allocates nothing.
    let mut frame = BytesMut::with_capacity(length.min(BUFFER_BYTES));
    let mut rest = reader.take(length as u64);
    while frame.len() < length {
        if rest.read_buf(&mut frame).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(frame.freeze()))
}
