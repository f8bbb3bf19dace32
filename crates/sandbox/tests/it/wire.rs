//! A connection that sends any request in any version.

use std::fmt::Debug;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use sandbox::access::AccessRules;
use sandbox::{Sandbox, SandboxConfig, TopicSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A sandbox with an open listener and the topic `orders` of three partitions.
pub(crate) async fn sandbox() -> Sandbox {
    sandbox_with(|_| {}).await
}

/// The same with another configuration.
pub(crate) async fn sandbox_with(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let rules = AccessRules::parse(include_str!("../../../../tf/access.json")).unwrap();
    let mut config = SandboxConfig::new(rules);
    config.open = Some(([127, 0, 0, 1], 0).into());
    config.plaintext = true;
    config.topics.push(TopicSpec { name: "orders".to_owned(), partitions: 3, settings: Vec::new() });
    change(&mut config);
    Sandbox::start(config).await.unwrap()
}

/// What came back, decoded to the last byte.
pub(crate) type Answered = String;

/// Reads a frame as the answer to an `R`, or fails.
pub(crate) fn read_answer<R: Request<Response: Debug>>(frame: Bytes, version: i16) -> Answered {
    format!("{:?}", decode_answer::<R>(frame, version))
}

fn decode_answer<R: Request>(mut frame: Bytes, version: i16) -> R::Response {
    let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, CORRELATION_ID);
    let response = R::Response::decode(&mut frame, version).unwrap();
    assert_eq!(frame.remaining(), 0, "the answer is longer than version {version} of API {} has it", R::KEY);
    response
}

/// A record batch of uncompressed records without keys; `producer` is id, epoch and sequence.
pub(crate) fn batch(producer: Option<(i64, i16, i32)>, values: &[&[u8]]) -> Bytes {
    fn varint(into: &mut BytesMut, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            into.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        into.put_u8(rest as u8);
    }
    let (id, epoch, sequence) = producer.unwrap_or((-1, -1, -1));
    let mut checked = BytesMut::new();
    checked.put_i16(0);
    checked.put_i32(values.len() as i32 - 1);
    checked.put_i64(1_000);
    checked.put_i64(999 + values.len() as i64);
    checked.put_i64(id);
    checked.put_i16(epoch);
    checked.put_i32(sequence);
    checked.put_i32(values.len() as i32);
    for (delta, value) in values.iter().enumerate() {
        let mut record = BytesMut::new();
        record.put_u8(0);
        varint(&mut record, delta as i64);
        varint(&mut record, delta as i64);
        varint(&mut record, -1);
        varint(&mut record, value.len() as i64);
        record.put_slice(value);
        varint(&mut record, 0);
        varint(&mut checked, record.len() as i64);
        checked.put_slice(&record);
    }
    let mut bytes = BytesMut::new();
    bytes.put_i64(0);
    bytes.put_i32(checked.len() as i32 + 9);
    bytes.put_i32(-1);
    bytes.put_u8(2);
    bytes.put_u32(crc32c::crc32c(&checked));
    bytes.put_slice(&checked);
    bytes.freeze()
}

/// An access token of the sandbox's own issuer.
pub(crate) async fn token(sandbox: &Sandbox, client: &str) -> String {
    let secret = sandbox.client_secret(client).unwrap().to_owned();
    let credentials = oauth::ClientCredentials::new(&sandbox.endpoints().token_url, client, secret.into());
    oauth::TokenSource::client_credentials(credentials).unwrap().token().await.unwrap().secret().to_owned()
}

/// What an OAUTHBEARER client says first.
pub(crate) fn first_message(token: &str) -> Bytes {
    format!("n,,\x01auth=Bearer {token}\x01logicalCluster=lkc-sandbox\x01\x01").into()
}

const CORRELATION_ID: i32 = 7;

/// A whole frame, its length in front.
pub(crate) fn frame(key: i16, version: i16, body: &[u8]) -> BytesMut {
    let api = kafka_protocol::messages::ApiKey::try_from(key).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(CORRELATION_ID)
        .with_client_id(Some(StrBytes::from_static_str("by-hand")))
        .encode(&mut frame, api.request_header_version(version))
        .unwrap();
    frame.put_slice(body);
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// Connects to the open listener.
    pub(crate) async fn open(sandbox: &Sandbox) -> Self {
        Self::to(sandbox.endpoints().open.as_ref().unwrap()).await
    }

    /// Connects to the listener that wants a login.
    pub(crate) async fn guarded(sandbox: &Sandbox) -> Self {
        Self::to(&sandbox.endpoints().kafka).await
    }

    async fn to(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Connects and logs in as one of the clients of the access rules.
    pub(crate) async fn log_in(sandbox: &Sandbox, client: &str) -> Self {
        let mut wire = Self::guarded(sandbox).await;
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("OAUTHBEARER"));
        assert_eq!(wire.call(&handshake, 1).await.unwrap().error_code, 0);
        let message = first_message(&token(sandbox, client).await);
        let answer = wire.call(&SaslAuthenticateRequest::default().with_auth_bytes(message), 2).await.unwrap();
        assert_eq!((answer.error_code, answer.auth_bytes.len()), (0, 0), "{:?}", answer.error_message);
        wire
    }

    /// Sends a request; `None` when the broker closes the connection instead of answering.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> Option<R::Response> {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).unwrap();
        let answer = self.exchange(R::KEY, version, &body).await?;
        Some(decode_answer::<R>(answer, version))
    }

    /// Sends a body of any bytes and returns the frame that comes back.
    pub(crate) async fn exchange(&mut self, key: i16, version: i16, body: &[u8]) -> Option<Bytes> {
        self.0.write_all(&frame(key, version, body)).await.ok()?;
        self.receive().await
    }

    /// The next frame; `None` when the broker closes the connection.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        let length = self.0.read_i32().await.ok()?;
        let mut answer = vec![0; length as usize];
        self.0.read_exact(&mut answer).await.ok()?;
        Some(answer.into())
    }
}
