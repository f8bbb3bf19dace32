//! Configuration that speaks Kafka: defaults, then files, then the environment, then flags.
//!
//! | environment | key |
//! | --- | --- |
//! | `KAFKA_BOOTSTRAP_SERVERS` and `KAFKA_…` in general | the key in lower case with dots: `KAFKA_LINGER_MS` is `linger.ms` |
//! | `SCHEMA_REGISTRY_URL` | `schema.registry.url` |
//! | `OAUTH_TOKEN_URL` | `sasl.oauthbearer.token.endpoint.url`, and by default `SASL_SSL` with `OAUTHBEARER` for broker and registry |
//! | `PRODUCER_CLIENT_ID`, `PRODUCER_CLIENT_SECRET` | the login of a service whose work begins with producing |
//! | `CONSUMER_CLIENT_ID`, `CONSUMER_CLIENT_SECRET` | the login of a service whose work begins with consuming, also when it produces: one service, one principal |
//! | `CLIENT_ID`, `CLIENT_SECRET` | the login when the service's own pair is not set |
//!
//! Every variable for a secret has a `_FILE` form that names a file holding it. Variables of that shape that are no
//! key (`KAFKA_HOME`, `KAFKA_OPTS`) are other programs' and are left alone. An empty variable counts as unset.

mod clients;
mod cluster;
mod environment;
mod error;
mod jaas;
mod keys;
mod layers;
pub mod properties;
mod registry;
mod tokens;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub use environment::{Environment, ProcessEnvironment};
pub use error::ConfigError;
use keys::Key;

use crate::run::Service;

/// Which pair of environment variables a service reads its login from before `CLIENT_ID` and `CLIENT_SECRET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// `PRODUCER_CLIENT_ID` and `PRODUCER_CLIENT_SECRET`.
    Producer,
    /// `CONSUMER_CLIENT_ID` and `CONSUMER_CLIENT_SECRET`.
    Consumer,
    /// No pair of its own.
    General,
}

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// The file as named.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// `--set`.
    Flag,
    /// Nobody wrote it; it follows from this.
    Implied(String),
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("--set"),
            Self::Implied(by) => write!(f, "implied by {by}"),
        }
    }
}

#[derive(Clone)]
struct Setting {
    value: SecretString,
    written_as: String,
    origin: Origin,
}

impl Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.written_as, self.origin)
    }
}

/// Every key that somebody set, resolved. `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    service: Service,
    settings: BTreeMap<&'static str, Setting>,
    notes: Vec<String>,
    /// Made once, so that brokers and registry share one token and one refresh.
    tokens: Arc<OnceLock<oauth::TokenSource>>,
}

impl Config {
    /// Reads files, environment and `--set` flags, each stronger than the one before it.
    ///
    /// # Errors
    /// A file or line that cannot be read, an unknown key, or two keys that contradict each other.
    pub fn load(
        files: &[PathBuf],
        flags: &[String],
        environment: &impl Environment,
        service: Service,
    ) -> Result<Self, ConfigError> {
        layers::load(files, flags, environment, service)
    }

    /// What is worth saying once at the start, such as keys that change nothing here.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The service this configuration is for.
    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }

    /// A key's value, when it is set. `key` is the spelling of `KEYS`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.setting(key).map(|setting| setting.value.expose_secret())
    }

    /// A key's value, redacted and wiped on drop.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<SecretString> {
        self.setting(key).map(|setting| setting.value.clone())
    }

    /// A key's value as a path.
    #[must_use]
    pub fn path(&self, key: &str) -> Option<&Path> {
        self.text(key).map(Path::new)
    }

    /// A key's value, read as anything that can be parsed; `accepted` says what, for the error.
    ///
    /// # Errors
    /// The value is something else.
    pub fn parsed<T: FromStr>(&self, key: &str, accepted: &str) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| self.refused(key, format!("`{text}` is not {accepted}")))
    }

    /// A key in milliseconds.
    ///
    /// # Errors
    /// The value is not a whole number, or negative.
    pub fn milliseconds(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        Ok(self.parsed::<u64>(key, "a number of milliseconds, 0 or more")?.map(Duration::from_millis))
    }

    /// A key in bytes.
    ///
    /// # Errors
    /// The value is not a whole number above zero.
    pub fn bytes(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        match self.parsed::<usize>(key, "a number of bytes above 0")? {
            Some(0) => Err(self.refused(key, "`0` is not a number of bytes above 0".to_owned())),
            other => Ok(other),
        }
    }

    /// A key that is `true` or `false`.
    ///
    /// # Errors
    /// The value is neither.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.text(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(self.refused(key, format!("`{other}` is neither true nor false"))),
        }
    }

    /// A key that takes one of a few words, in any case.
    ///
    /// # Errors
    /// The value is none of them; the message lists them.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
        found.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.refused(key, format!("`{text}` is not one of {}", words.join(", ")))
        })
    }

    /// Who this client says it is, for people: what an access rule that is missing has to be given to.
    #[must_use]
    pub fn principal(&self) -> String {
        let login = ["sasl.oauthbearer.client.id", "sasl.username", "bearer.auth.client.id"];
        let Some(name) = login.iter().find_map(|key| self.text(key)) else { return "this client".to_owned() };
        let pool =
            ["sasl.oauthbearer.extensions", "bearer.auth.identity.pool.id"].iter().find_map(|key| self.text(key));
        let pool = pool.and_then(|text| {
            text.split(',')
                .map(|part| part.trim().trim_start_matches("identityPoolId="))
                .find(|part| part.starts_with("pool-"))
        });
        pool.map_or_else(|| name.to_owned(), |pool| format!("{name} ({pool})"))
    }

    /// The topic that carries orders.
    #[must_use]
    pub fn orders_topic(&self) -> &str {
        self.text("orders.topic").unwrap_or("grocery.orders.v1")
    }

    /// The topic that carries pick lists.
    #[must_use]
    pub fn picklists_topic(&self) -> &str {
        self.text("picklists.topic").unwrap_or("grocery.picklist.v1")
    }

    /// An error about a key's value, with where it was written.
    #[must_use]
    pub fn refused(&self, key: &str, reason: String) -> ConfigError {
        match self.setting(key) {
            Some(setting) => {
                ConfigError::Value { key: setting.written_as.clone(), origin: setting.origin.clone(), reason }
            }
            None => ConfigError::Value { key: key.to_owned(), origin: Origin::Implied("default".to_owned()), reason },
        }
    }

    /// An error about two keys that are set and cannot both hold.
    #[must_use]
    pub fn contradiction(&self, key: &str, other: &str, reason: &str) -> ConfigError {
        let (Some(one), Some(two)) = (self.setting(key), self.setting(other)) else {
            return self.refused(key, reason.to_owned());
        };
        ConfigError::Contradiction {
            key: one.written_as.clone(),
            origin: one.origin.clone(),
            other: two.to_string(),
            reason: reason.to_owned(),
        }
    }

    fn setting(&self, key: &str) -> Option<&Setting> {
        debug_assert!(keys::find(key).is_some_and(|known| known.name == key), "`{key}` is not in KEYS");
        self.settings.get(key)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, setting) in &self.settings {
            let secret = keys::find(name).is_none_or(|key: &Key| key.secret);
            map.entry(name, &if secret { "[redacted]" } else { setting.value.expose_secret() });
        }
        map.finish()
    }
}

#[cfg(test)]
mod terraform_files;
#[cfg(test)]
mod tests;
