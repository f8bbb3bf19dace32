//! What a client needs to know before it opens its first connection.
//!
//! Each field names the property of Kafka's own clients that it stands for; error messages use those names, because that
//! is what people have in their `client.properties`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use oauth::TokenSource;
use secrecy::SecretString;
use thiserror::Error;
use tls::TlsOptions;

use crate::retry::RetryPolicy;

/// How to reach a cluster and how long to try.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `bootstrap.servers`: `host:port` each; a listener name in front (`SASL_SSL://host:port`) is ignored.
    pub bootstrap_servers: Vec<String>,
    /// `client.id`: what brokers log and meter this client by.
    pub client_id: String,
    /// The first half of `security.protocol`.
    pub transport: Transport,
    /// The second half of `security.protocol`, and `sasl.mechanism`.
    pub sasl: Option<Sasl>,
    /// `socket.connection.setup.timeout.ms`: bound on name resolution, TCP and TLS of one connection together.
    pub connect_timeout: Duration,
    /// `request.timeout.ms`: bound on one request's way to the broker and back.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: bound on an operation with its retries; also how long [`Cluster::connect`] waits for a
    /// first broker.
    ///
    /// [`Cluster::connect`]: crate::Cluster::connect
    pub api_timeout: Duration,
    /// How long a topic may stay unknown to the brokers before it is an error: creating one takes a moment to show.
    pub topic_wait: Duration,
    /// `metadata.max.age.ms`: topics and leaders are asked for at least this often.
    pub metadata_max_age: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry: RetryPolicy,
    /// `reconnect.backoff.ms` and `reconnect.backoff.max.ms`, counted for each broker.
    pub reconnect: RetryPolicy,
    /// `receive.message.max.bytes`: a larger answer is refused and its connection closed.
    pub max_frame_bytes: usize,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Default)]
pub enum Transport {
    /// `PLAINTEXT` or `SASL_PLAINTEXT`.
    #[default]
    Plaintext,
    /// `SSL` or `SASL_SSL`.
    Tls(TlsOptions),
}

/// How this client says who it is.
#[derive(Clone)]
pub enum Sasl {
    /// `PLAIN`: an API key and its secret, for instance.
    Plain {
        /// Sent in the clear: only over TLS.
        username: String,
        /// Never shown.
        password: SecretString,
    },
    /// `OAUTHBEARER` (RFC 7628, KIP-255).
    OauthBearer {
        /// Where access tokens come from.
        tokens: TokenSource,
        /// `sasl.oauthbearer.extensions`, such as `logicalCluster` and `identityPoolId`.
        extensions: BTreeMap<String, String>,
    },
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { username, .. } => f.debug_struct("Plain").field("username", username).finish_non_exhaustive(),
            Self::OauthBearer { extensions, .. } => {
                f.debug_struct("OauthBearer").field("extensions", extensions).finish_non_exhaustive()
            }
        }
    }
}

/// A [`ClientConfig`] that cannot work, whatever the cluster does.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// There is nowhere to begin.
    #[error("bootstrap.servers is empty: name at least one broker as host:port")]
    NoBootstrapServers,
    /// An entry is not `host:port`.
    #[error("bootstrap.servers has {entry:?}: {problem}, expected host:port")]
    BootstrapServer {
        /// As it was given.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A SASL extension would break the message that carries it.
    #[error("sasl.oauthbearer.extensions has {key:?}: {problem}")]
    Extension {
        /// Its name.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A username or password that SASL PLAIN cannot carry.
    #[error("sasl.jaas.config (or sasl.username, sasl.password): {0}")]
    PlainCredentials(&'static str),
    /// The TLS files or the chosen provider cannot be used.
    #[error("TLS settings: {0}")]
    Tls(String),
    /// A number that makes no sense.
    #[error("{key}: {problem}")]
    Value {
        /// Kafka's name of the property.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl ClientConfig {
    /// Defaults of Kafka's own clients for everything but where to connect: no TLS, no SASL.
    pub fn new<S: Into<String>>(bootstrap_servers: impl IntoIterator<Item = S>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into_iter().map(Into::into).collect(),
            client_id: "grocery".to_owned(),
            transport: Transport::Plaintext,
            sasl: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            topic_wait: Duration::from_secs(5),
            metadata_max_age: Duration::from_secs(300),
            retry: RetryPolicy::default(),
            reconnect: RetryPolicy { initial: Duration::from_millis(50), max: Duration::from_secs(1) },
            max_frame_bytes: 100 * 1024 * 1024,
        }
    }

    /// Checks what can be checked without a network and returns the addresses to begin with.
    ///
    /// # Errors
    /// The first setting that cannot work, by its property name.
    pub fn validate(&self) -> Result<Vec<Endpoint>, ConfigError> {
        if self.bootstrap_servers.is_empty() {
            return Err(ConfigError::NoBootstrapServers);
        }
        let positive = [
            ("socket.connection.setup.timeout.ms", self.connect_timeout),
            ("request.timeout.ms", self.request_timeout),
            ("default.api.timeout.ms", self.api_timeout),
            ("metadata.max.age.ms", self.metadata_max_age),
            ("retry.backoff.ms", self.retry.initial),
            ("reconnect.backoff.ms", self.reconnect.initial),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| value.is_zero()) {
            return Err(ConfigError::Value { key, problem: "must be more than zero" });
        }
        if self.max_frame_bytes < 1024 {
            return Err(ConfigError::Value { key: "receive.message.max.bytes", problem: "must be at least 1024" });
        }
        if let Some(sasl) = &self.sasl {
            crate::sasl::validate(sasl)?;
        }
        self.bootstrap_servers.iter().map(|entry| Endpoint::parse(entry)).collect()
    }
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host:port`, `[v6]:port` or either with `LISTENER://` in front.
    ///
    /// # Errors
    /// [`ConfigError::BootstrapServer`] with the entry as given.
    pub fn parse(entry: &str) -> Result<Self, ConfigError> {
        let refuse = |problem| ConfigError::BootstrapServer { entry: entry.to_owned(), problem };
        let address = entry.trim();
        let address = address.split_once("://").map_or(address, |(_, rest)| rest);
        let (host, port) = address.rsplit_once(':').ok_or_else(|| refuse("no port"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(v6)) => v6,
            Some(None) => return Err(refuse("an unclosed bracket")),
            None if host.contains(':') => return Err(refuse("an IPv6 address without brackets")),
            None => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(refuse("no host"));
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(refuse("no port number between 1 and 65535")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(entry: &str) -> String {
        match Endpoint::parse(entry) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn bootstrap_servers_are_host_and_port_with_or_without_a_listener_name() {
        assert_eq!(parsed("broker.example:9092"), "broker.example:9092");
        assert_eq!(parsed(" SASL_SSL://pkc-1.cloud:9092"), "pkc-1.cloud:9092");
        assert_eq!(parsed("[::1]:9092"), "[::1]:9092");
    }

    #[test]
    fn a_bootstrap_server_that_cannot_work_is_named() {
        for (entry, problem) in [
            ("broker", "no port"),
            (":9092", "no host"),
            ("broker:0", "no port number between 1 and 65535"),
            ("broker:http", "no port number between 1 and 65535"),
            ("::1:9092", "an IPv6 address without brackets"),
        ] {
            let message = parsed(entry);
            assert!(
                message.contains(problem) && message.contains(entry) && message.contains("bootstrap.servers"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_wait_of_zero_is_refused_by_its_property_name() {
        let mut config = ClientConfig::new(["localhost:9092"]);
        config.request_timeout = Duration::ZERO;
        assert_eq!(config.validate().unwrap_err().to_string(), "request.timeout.ms: must be more than zero");
    }
}
