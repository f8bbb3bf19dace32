//! What a sandbox is told at start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::access::AccessRules;
use crate::groups::ConsumerGroupSettings;
use crate::transactions::TransactionSettings;

/// A topic to be there from the start.
#[derive(Debug, Clone)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions, from 1 to 100.
    pub partitions: i32,
    /// Settings that differ from Kafka's defaults, as `retention.ms`.
    pub settings: Vec<(String, String)>,
}

/// Where a sandbox listens and what it holds at first.
///
/// Port 0 takes any free port. The defaults are loopback, TLS, tokens of one hour and nothing in it.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The Kafka listener that wants a login.
    pub kafka: SocketAddr,
    /// A second Kafka listener, without login, TLS or access rules.
    pub open: Option<SocketAddr>,
    /// The Schema Registry.
    pub registry: SocketAddr,
    /// The OpenID issuer.
    pub issuer: SocketAddr,
    /// The host name that clients are told, where it is not the address listened on.
    pub advertised_host: Option<String>,
    /// No TLS anywhere: `SASL_PLAINTEXT` and `http`.
    pub plaintext: bool,
    /// How long the issuer's tokens live.
    pub token_lifetime: Duration,
    /// Where `ca.pem` and the clients' files go; a temporary folder, deleted at the end, when not given.
    pub directory: Option<PathBuf>,
    /// Who may do what. Its principals are the issuer's clients.
    pub rules: AccessRules,
    /// Topics to be there from the start.
    pub topics: Vec<TopicSpec>,
    /// Subjects and their schemas (Avro, as JSON text) to be registered at the start.
    pub subjects: Vec<(String, String)>,
    /// The bound over all logs together, in bytes.
    pub max_log_bytes: usize,
    /// How transactions are coordinated.
    pub transactions: TransactionSettings,
    /// For groups of the consumer protocol (KIP-848); `None` is a cluster that has it off (`group.version` 0).
    pub consumer_groups: Option<ConsumerGroupSettings>,
}

impl SandboxConfig {
    /// A sandbox on free ports of the loopback, with `rules`.
    pub fn new(rules: AccessRules) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            kafka: any,
            open: None,
            registry: any,
            issuer: any,
            advertised_host: None,
            plaintext: false,
            token_lifetime: Duration::from_secs(3600),
            directory: None,
            rules,
            topics: Vec::new(),
            subjects: Vec::new(),
            max_log_bytes: 512 << 20,
            transactions: TransactionSettings::default(),
            consumer_groups: Some(ConsumerGroupSettings::default()),
        }
    }
}
