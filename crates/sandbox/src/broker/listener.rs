//! Accepting connections, and the life of one: frames in, requests one after the other, answers out in the same order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
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
            if let Err(error) = ended {
                debug!(%peer, %error, "a connection ended");
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
        let request = api::Request::parse(frame).map_err(|error| self.protocol_error(&error))?;
        let answer = match request.api_key {
            ApiKey::ApiVersions if self.login.as_ref().is_none_or(Login::allows_api_versions) => {
                api::api_versions(&request)
            }
            ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => {
                let Some(login) = &mut self.login else {
                    return Err(self.protocol_error("this listener takes no login; set security.protocol=PLAINTEXT"));
                };
                let answer = api::log_in(&self.broker, login, &request, SystemTime::now());
                if let Some(reason) = login.refusal.take() {
                    warn!(peer = %self.peer, "refused a login: {reason}");
                }
                answer
            }
            _ => {
                let principal = match &self.login {
                    None => Principal::anonymous(),
                    Some(login) => match login.gate(SystemTime::now()) {
                        super::sasl::Gate::Open(principal) => principal,
                        super::sasl::Gate::Close(why) => return Err(self.protocol_error(why)),
                    },
                };
                let caller = Caller { principal, advertised: &self.advertised, host: self.peer.ip(), gone };
                api::handle(&self.broker, &caller, request).await
            }
        };
        match answer {
            Ok(Answer::Frame(frame)) => Ok(Some(frame)),
            Ok(Answer::None) => Ok(None),
            Err(error) => Err(self.protocol_error(&error.to_string())),
        }
    }

    fn protocol_error(&self, why: &str) -> io::Error {
        debug!(peer = %self.peer, "closing a connection: {why}");
        io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
    }
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
