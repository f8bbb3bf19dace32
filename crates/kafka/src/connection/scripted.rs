//! A broker whose every answer a test writes, at the other end of a pipe.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::{Connection, ConnectionOptions};

const PIPE_BYTES: usize = 1024 * 1024;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client_id: Option<String>,
    pub(crate) body: Bytes,
}

pub(crate) struct ScriptedBroker {
    read: Box<dyn AsyncRead + Send + Unpin>,
    write: Box<dyn AsyncWrite + Send + Unpin>,
    versions: Vec<ApiVersion>,
    /// Taken from the pipe by [`expect`](Self::expect) on its way to something else.
    pub(crate) seen: VecDeque<ApiKey>,
}

/// The versions that this broker offers unless a test says otherwise.
pub(crate) fn versions() -> Vec<ApiVersion> {
    let all = [
        (ApiKey::Produce, 3, 13),
        (ApiKey::Fetch, 4, 18),
        (ApiKey::Metadata, 0, 13),
        (ApiKey::FindCoordinator, 0, 6),
        (ApiKey::SaslHandshake, 0, 1),
        (ApiKey::SaslAuthenticate, 0, 2),
        (ApiKey::ApiVersions, 0, 4),
        (ApiKey::Heartbeat, 0, 4),
    ];
    let range =
        |(key, low, high)| ApiVersion::default().with_api_key(key as i16).with_min_version(low).with_max_version(high);
    all.map(range).to_vec()
}

pub(crate) fn options() -> ConnectionOptions {
    ConnectionOptions {
        client_id: "tester".into(),
        request_timeout: std::time::Duration::from_secs(30),
        max_frame_bytes: 64 * 1024,
        silence: std::sync::Arc::default(),
    }
}

/// A connection that has been opened, and the broker at its other end.
pub(crate) async fn connected() -> (std::sync::Arc<Connection>, ScriptedBroker) {
    connected_with(&options()).await
}

/// [`connected`], for a client with these options.
pub(crate) async fn connected_with(options: &ConnectionOptions) -> (std::sync::Arc<Connection>, ScriptedBroker) {
    let (client, mut broker) = ScriptedBroker::new();
    let opening = Connection::open(Box::new(client), "7 (scripted:9092)".to_owned(), options);
    let (connection, ()) = tokio::join!(opening, broker.answer_versions());
    (std::sync::Arc::new(connection.unwrap()), broker)
}

impl ScriptedBroker {
    pub(crate) fn new() -> (DuplexStream, Self) {
        let (client, broker) = tokio::io::duplex(PIPE_BYTES);
        (client, Self::over(broker))
    }

    /// A broker that speaks over this stream.
    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self { read: Box::new(read), write: Box::new(write), versions: versions(), seen: VecDeque::new() }
    }

    /// The next request, or `None` once the client has closed.
    pub(crate) async fn next(&mut self) -> Option<Arrived> {
        let length = self.read.read_u32().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.read.read_exact(&mut frame).await.ok()?;
        let mut frame = Bytes::from(frame);
        let header = kafka_protocol::protocol::decode_request_header_from_buffer(&mut frame).unwrap();
        let key = ApiKey::try_from(header.request_api_key).unwrap();
        self.seen.push_back(key);
        Some(Arrived {
            key,
            version: header.request_api_version,
            correlation: header.correlation_id,
            client_id: header.client_id.map(|id| id.to_string()),
            body: frame,
        })
    }

    pub(crate) async fn expect(&mut self, key: ApiKey) -> Arrived {
        let arrived = self.next().await.expect("a request");
        assert_eq!(arrived.key, key);
        arrived
    }

    /// Answers a request with a message at the request's version.
    pub(crate) async fn answer<M: Encodable>(&mut self, to: &Arrived, message: &M) {
        let mut body = BytesMut::new();
        message.encode(&mut body, to.version).unwrap();
        self.answer_bytes(to, &body).await;
    }

    /// Answers a request with these bytes behind the right header.
    pub(crate) async fn answer_bytes(&mut self, to: &Arrived, body: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_i32(to.correlation);
        if to.key.response_header_version(to.version) >= 1 {
            frame.put_u8(0);
        }
        frame.put_slice(body);
        self.write.write_all(&(frame.len() as u32).to_be_bytes()).await.unwrap();
        self.write.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn answer_versions(&mut self) {
        let arrived = self.expect(ApiKey::ApiVersions).await;
        let answer = ApiVersionsResponse::default().with_api_keys(self.versions.clone());
        self.answer(&arrived, &answer).await;
    }
}

/// Reads a request's body.
pub(crate) fn body<M: Decodable>(arrived: &Arrived) -> M {
    let mut bytes = arrived.body.clone();
    let message = M::decode(&mut bytes, arrived.version).unwrap();
    assert!(!bytes.has_remaining(), "{:?} has bytes left over", arrived.key);
    message
}
