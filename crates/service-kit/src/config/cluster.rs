//! From keys to the Kafka client's settings: where the cluster is, how to log in, whom to trust.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kafka::{ClientConfig, Sasl, Transport};
use secrecy::ExposeSecret;
use tls::{Provider, TlsOptions};

use super::jaas::Jaas;
use super::{Config, ConfigError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Protocol {
    encrypted: bool,
    login: bool,
}

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("PLAINTEXT", Protocol { encrypted: false, login: false }),
    ("SSL", Protocol { encrypted: true, login: false }),
    ("SASL_PLAINTEXT", Protocol { encrypted: false, login: true }),
    ("SASL_SSL", Protocol { encrypted: true, login: true }),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    OauthBearer,
}

const MECHANISMS: &[(&str, Mechanism)] = &[("PLAIN", Mechanism::Plain), ("OAUTHBEARER", Mechanism::OauthBearer)];

impl Config {
    /// The Kafka client's settings. Must be called inside a runtime when the login is by OAUTHBEARER.
    ///
    /// # Errors
    /// A key that is missing, contradicts another or has a value it does not take.
    pub fn kafka(&self) -> Result<ClientConfig, ConfigError> {
        let servers = self.text("bootstrap.servers").ok_or_else(|| ConfigError::Missing {
            key: "bootstrap.servers",
            reason: "name the brokers as host:port in --config FILE, KAFKA_BOOTSTRAP_SERVERS or --set".to_owned(),
        })?;
        let mut client = ClientConfig::new(servers.split(',').map(str::trim).filter(|server| !server.is_empty()));
        client.client_id = self.text("client.id").unwrap_or(self.service().name).to_owned();
        let protocol =
            self.choice("security.protocol", PROTOCOLS)?.unwrap_or(Protocol { encrypted: false, login: false });
        if protocol.encrypted {
            client.transport = Transport::Tls(self.tls()?);
        }
        if protocol.login {
            client.sasl = Some(self.sasl()?);
        } else if self.text("sasl.mechanism").is_some() && self.text("security.protocol").is_some() {
            let reason = "a login needs SASL_SSL or SASL_PLAINTEXT";
            return Err(self.contradiction("sasl.mechanism", "security.protocol", reason));
        } else if self.text("sasl.mechanism").is_some() {
            return Err(self.refused(
                "sasl.mechanism",
                "a login needs security.protocol=SASL_SSL (or SASL_PLAINTEXT), which is not set".to_owned(),
            ));
        }
        let waits: [(&str, &mut Duration); 8] = [
            ("request.timeout.ms", &mut client.request_timeout),
            ("default.api.timeout.ms", &mut client.api_timeout),
            ("socket.connection.setup.timeout.ms", &mut client.connect_timeout),
            ("metadata.max.age.ms", &mut client.metadata_max_age),
            ("retry.backoff.ms", &mut client.retry.initial),
            ("retry.backoff.max.ms", &mut client.retry.max),
            ("reconnect.backoff.ms", &mut client.reconnect.initial),
            ("reconnect.backoff.max.ms", &mut client.reconnect.max),
        ];
        for (key, wait) in waits {
            *wait = self.milliseconds(key)?.unwrap_or(*wait);
        }
        client.validate().map_err(|error| ConfigError::Client(error.to_string()))?;
        Ok(client)
    }

    /// Whom to trust and who to be on TLS connections to brokers.
    fn tls(&self) -> Result<TlsOptions, ConfigError> {
        let keystore = self.path("ssl.keystore.location");
        if keystore.is_some() && self.text("ssl.certificate.location").is_some() {
            let reason = "both name the client's certificate; keep one";
            return Err(self.contradiction("ssl.keystore.location", "ssl.certificate.location", reason));
        }
        Ok(TlsOptions {
            ca_file: self.file("ssl.ca.location", "ssl.truststore.location")?,
            certificate_file: keystore.or(self.path("ssl.certificate.location")).map(PathBuf::from),
            key_file: keystore.or(self.path("ssl.key.location")).map(PathBuf::from),
            provider: self.provider()?,
        })
    }

    pub(super) fn provider(&self) -> Result<Provider, ConfigError> {
        let providers =
            [("auto", Provider::Auto), ("graviola", Provider::Graviola), ("rustcrypto", Provider::RustCrypto)];
        Ok(self.choice("tls.provider", &providers)?.unwrap_or_default())
    }

    /// A PEM file. Java's default store types are not PEM, which is worth a hint before a parser fails.
    pub(super) fn file(&self, key: &str, java: &str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(path) = self.path(key) else { return Ok(None) };
        if path.extension().is_some_and(|end| end == "jks" || end == "p12" || end == "pfx") {
            let reason = format!("a Java key store cannot be read; export it as PEM ({java} takes one too)");
            return Err(self.refused(key, reason));
        }
        Ok(Some(path.to_owned()))
    }

    pub(super) fn sasl(&self) -> Result<Sasl, ConfigError> {
        match self.mechanism()? {
            Mechanism::Plain => {
                let jaas = self.jaas("PlainLoginModule")?;
                let from_jaas = |name| jaas.as_ref().and_then(|jaas: &Jaas| jaas.option(name)).cloned();
                let username = self.secret("sasl.username").or_else(|| from_jaas("username"));
                let password = self.secret("sasl.password").or_else(|| from_jaas("password"));
                let missing = |key| ConfigError::Missing {
                    key,
                    reason: "SASL PLAIN needs it; sasl.jaas.config may hold it instead".to_owned(),
                };
                Ok(Sasl::Plain {
                    username: username.ok_or_else(|| missing("sasl.username"))?.expose_secret().to_owned(),
                    password: password.ok_or_else(|| missing("sasl.password"))?,
                })
            }
            Mechanism::OauthBearer => Ok(Sasl::OauthBearer { tokens: self.tokens()?, extensions: self.extensions()? }),
        }
    }

    fn mechanism(&self) -> Result<Mechanism, ConfigError> {
        if let Some(mechanism) = self.choice("sasl.mechanism", MECHANISMS)? {
            return Ok(mechanism);
        }
        Err(ConfigError::Missing {
            key: "sasl.mechanism",
            reason: "security.protocol asks for a login: PLAIN or OAUTHBEARER".to_owned(),
        })
    }

    /// `sasl.jaas.config` when it is set, and for this kind of login.
    pub(super) fn jaas(&self, module: &str) -> Result<Option<Jaas>, ConfigError> {
        let Some(text) = self.text("sasl.jaas.config") else { return Ok(None) };
        let jaas = Jaas::parse(text).map_err(|reason| self.refused("sasl.jaas.config", reason))?;
        if !jaas.module.ends_with(module) {
            return Err(self.contradiction("sasl.jaas.config", "sasl.mechanism", &format!("it needs a {module}")));
        }
        Ok(Some(jaas))
    }

    /// `logicalCluster` and `identityPoolId` as Confluent Cloud wants them, in either family's spelling.
    fn extensions(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut extensions = BTreeMap::new();
        if let Some(jaas) = self.jaas("OAuthBearerLoginModule")? {
            let of_jaas = jaas.with_prefix("extension_");
            extensions.extend(of_jaas.map(|(name, value)| (name.to_owned(), value.expose_secret().to_owned())));
        }
        for pair in self.text("sasl.oauthbearer.extensions").unwrap_or_default().split(',') {
            if pair.trim().is_empty() {
                continue;
            }
            let Some((name, value)) = pair.split_once('=') else {
                let reason = "each extension is name=value, separated by commas".to_owned();
                return Err(self.refused("sasl.oauthbearer.extensions", reason));
            };
            extensions.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(extensions)
    }
}
