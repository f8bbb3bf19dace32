//! A connection that sends any request in any version.

use std::fmt::Debug;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListOffsetsRequest, MetadataRequest, ProducerId, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslHandshakeRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use sandbox::access::AccessRules;
use sandbox::{Sandbox, SandboxConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::requests;

/// The broker under test, without a login: a sandbox of its own, or the one that `GROCERY_TEST_BOOTSTRAP` names, so that what the
/// tests say of Kafka can be held against Kafka.
pub(crate) struct Broker {
    pub(crate) address: String,
    /// A topic of three partitions that no other test uses, and its id.
    pub(crate) orders: String,
    pub(crate) orders_id: Uuid,
    /// The producers of the transactional ids `payments-RUN` and `unused-RUN`.
    pub(crate) payments: (ProducerId, i16),
    pub(crate) unused: (ProducerId, i16),
    /// Tells this test's names from those of others.
    pub(crate) run: String,
    pub(crate) sandbox: Option<Sandbox>,
}

/// What not every broker can do that the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    /// The consumer rebalance protocol (KIP-848).
    ConsumerGroups,
    /// Transactions whose partitions need not be added first (KIP-890).
    TransactionsOfVersion2,
    /// The answers on file are those of this release.
    Kafka43,
}

impl Ability {
    /// A feature and the level of it that is needed.
    fn feature(self) -> (&'static str, i16) {
        match self {
            Self::ConsumerGroups => ("group.version", 1),
            Self::TransactionsOfVersion2 => ("transaction.version", 2),
            // New clusters have share groups from 4.2 on (KIP-932).
            Self::Kafka43 => ("share.version", 1),
        }
    }

    /// Whether the broker under test has it. If not, says so, in the words that scripts/conformance looks for.
    pub(crate) async fn is_there(self) -> bool {
        let Ok(address) = std::env::var("GROCERY_TEST_BOOTSTRAP") else { return true };
        let software = StrBytes::from_static_str("by-hand");
        let request = ApiVersionsRequest::default()
            .with_client_software_name(software.clone())
            .with_client_software_version(software);
        let answer = Wire::to(&address).await.call(&request, 3).await.unwrap();
        let (name, level) = self.feature();
        let mut features = answer.finalized_features.iter();
        let has = features.any(|feature| &*feature.name == name && feature.max_version_level >= level);
        if !has {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let on_file = if self == Self::Kafka43 { ", and the answers on file are of Apache Kafka 4.3" } else { "" };
            println!("skipped: {test}: this broker has not finalized {name} {level}{on_file}");
        }
        has
    }
}

impl Broker {
    /// The broker under test, if it has what the test is about.
    pub(crate) async fn start_with_ability(ability: Ability) -> Option<Self> {
        if ability.is_there().await { Some(Self::start().await) } else { None }
    }

    pub(crate) async fn start() -> Self {
        match std::env::var("GROCERY_TEST_BOOTSTRAP") {
            Ok(address) => Self::prepare(address, None).await,
            Err(_) => Self::start_with(|_| {}).await,
        }
    }

    /// A sandbox with other settings, wherever the other tests run.
    pub(crate) async fn start_with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let sandbox = sandbox_with(change).await;
        Self::prepare(sandbox.endpoints().open.clone().unwrap(), Some(sandbox)).await
    }

    async fn prepare(address: String, sandbox: Option<Sandbox>) -> Self {
        let run = Uuid::new_v4().simple().to_string()[..8].to_owned();
        let nobody = (ProducerId(-1), -1);
        let orders = format!("orders-{run}");
        let mut broker = Self {
            address,
            orders: orders.clone(),
            orders_id: Uuid::nil(),
            payments: nobody,
            unused: nobody,
            run,
            sandbox,
        };
        broker.orders_id = broker.create_topic(&orders, 3).await;
        broker.wait_for_coordinators().await;
        broker.payments = broker.initialize(&format!("payments-{}", broker.run)).await;
        broker.unused = broker.initialize(&format!("unused-{}", broker.run)).await;
        broker
    }

    /// What requests can be about.
    pub(crate) fn there(&self) -> requests::There {
        let Self { run, orders_id, payments, unused, .. } = self;
        requests::There { run: run.clone(), orders_id: *orders_id, payments: *payments, unused: *unused }
    }

    /// Takes a transactional id over, once it has a coordinator that has loaded it and the transaction before is over.
    pub(crate) async fn initialize(&self, transactional_id: &str) -> (ProducerId, i16) {
        const NOT_YET: [i16; 4] = [14, 15, 16, 51];
        let id = StrBytes::from_string(transactional_id.to_owned());
        let mut wire = Wire::open(self).await;
        let find = FindCoordinatorRequest::default().with_key(id.clone()).with_key_type(1);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(id)))
            .with_transaction_timeout_ms(60_000);
        loop {
            wire.call(&find, 3).await.unwrap();
            let answer = wire.call(&request, 4).await.unwrap();
            if !NOT_YET.contains(&answer.error_code) {
                assert_eq!(answer.error_code, 0);
                return (answer.producer_id, answer.producer_epoch);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until all groups of this test have a coordinator that has loaded them, which the first group of a Kafka has to wait for.
    async fn wait_for_coordinators(&self) {
        let groups: Vec<_> = requests::group_names(&self.run);
        let mut wire = Wire::open(self).await;
        loop {
            for group in &groups {
                wire.call(&FindCoordinatorRequest::default().with_key(group.0.clone()), 3).await.unwrap();
            }
            let request = DescribeGroupsRequest::default().with_groups(groups.clone());
            if wire.call(&request, 5).await.unwrap().groups.iter().all(|group| group.error_code == 0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Creates a topic and waits until each partition's leader serves it.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) -> Uuid {
        let mut wire = Wire::open(self).await;
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        let topic = CreatableTopic::default()
            .with_name(name.clone())
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        let created = wire.call(&request, 7).await.unwrap();
        assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
        let request = MetadataRequest::default()
            .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name.clone()))]));
        let id = loop {
            let metadata = wire.call(&request, 12).await.unwrap();
            let topic = &metadata.topics[0];
            if topic.error_code == 0 && topic.partitions.len() as i32 == partitions {
                break topic.topic_id;
            }
            tokio::task::yield_now().await;
        };
        // The metadata may know the leader before it knows itself.
        let partitions = (0..partitions).map(|index| ListOffsetsPartition::default().with_partition_index(index));
        let topic = ListOffsetsTopic::default().with_name(name).with_partitions(partitions.collect());
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        loop {
            let answer = wire.call(&request, 1).await.unwrap();
            if answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0) {
                return id;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn shutdown(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.shutdown().await;
        }
    }
}

/// A sandbox with an open listener.
pub(crate) async fn sandbox() -> Sandbox {
    sandbox_with(|_| {}).await
}

/// The same with another configuration.
pub(crate) async fn sandbox_with(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let rules = AccessRules::parse(include_str!("../../../../tf/access.json")).unwrap();
    let mut config = SandboxConfig::new(rules);
    config.open = Some(([127, 0, 0, 1], 0).into());
    config.plaintext = true;
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

/// Whether logins go to another broker, which `GROCERY_TEST_GUARDED` names, with tokens of `GROCERY_TEST_TOKEN_URL`.
pub(crate) fn is_elsewhere() -> bool {
    std::env::var_os("GROCERY_TEST_GUARDED").is_some()
}

/// An access token: of the sandbox's own issuer, or of the one beside the other broker.
pub(crate) async fn token(sandbox: &Sandbox, client: &str) -> String {
    if is_elsewhere() {
        return token_elsewhere(client).await;
    }
    let secret = sandbox.client_secret(client).unwrap().to_owned();
    fetch(&sandbox.endpoints().token_url, client, secret).await
}

/// An access token of the issuer beside the other broker, where a client's secret is made of its id.
pub(crate) async fn token_elsewhere(client: &str) -> String {
    let url = std::env::var("GROCERY_TEST_TOKEN_URL").expect("GROCERY_TEST_TOKEN_URL is needed");
    fetch(&url, client, format!("{client}-secret")).await
}

async fn fetch(url: &str, client: &str, secret: String) -> String {
    let credentials = oauth::ClientCredentials::new(url, client, secret.into());
    oauth::TokenSource::client_credentials(credentials).unwrap().token().await.unwrap().secret().to_owned()
}

/// What an OAUTHBEARER client says first.
pub(crate) fn first_message(token: &str) -> Bytes {
    format!("n,,\x01auth=Bearer {token}\x01logicalCluster=lkc-sandbox\x01\x01").into()
}

/// Longer than any wait that a test asks for.
const PATIENCE: Duration = Duration::from_secs(40);
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
    /// Connects to the listener without a login.
    pub(crate) async fn open(broker: &Broker) -> Self {
        Self::to(&broker.address).await
    }

    /// Connects to the listener that wants a login: the sandbox's, or the one that `GROCERY_TEST_GUARDED` names.
    pub(crate) async fn guarded(sandbox: &Sandbox) -> Self {
        let named = std::env::var("GROCERY_TEST_GUARDED");
        Self::to(&named.unwrap_or_else(|_| sandbox.endpoints().kafka.clone())).await
    }

    /// Connects to an address.
    pub(crate) async fn to(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Connects and logs in as one of the clients of the access rules.
    pub(crate) async fn log_in(sandbox: &Sandbox, client: &str) -> Self {
        let mut wire = Self::guarded(sandbox).await;
        wire.authenticate(&token(sandbox, client).await).await;
        wire
    }

    /// Logs in with a token.
    pub(crate) async fn authenticate(&mut self, token: &str) {
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("OAUTHBEARER"));
        assert_eq!(self.call(&handshake, 1).await.unwrap().error_code, 0);
        let request = SaslAuthenticateRequest::default().with_auth_bytes(first_message(token));
        let answer = self.call(&request, 2).await.unwrap();
        assert_eq!((answer.error_code, answer.auth_bytes.len()), (0, 0), "{:?}", answer.error_message);
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
        tokio::time::timeout(PATIENCE, self.frame()).await.expect("an answer, or the end of the connection")
    }

    async fn frame(&mut self) -> Option<Bytes> {
        let length = self.0.read_i32().await.ok()?;
        let mut answer = vec![0; length as usize];
        self.0.read_exact(&mut answer).await.ok()?;
        Some(answer.into())
    }
}
