//! Where the registry is and how to show who we are.

use std::fmt;
use std::time::Duration;

use oauth::TokenSource;
use secrecy::SecretString;
use tls::TlsOptions;

/// How to reach a registry. Fields name the property of Confluent's clients that they stand for.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// `schema.registry.url`: base URLs, each perhaps with a path; the next one is tried when one does not answer.
    pub urls: Vec<String>,
    /// `basic.auth.*` or `bearer.auth.*`.
    pub auth: RegistryAuth,
    /// `schema.registry.ssl.*`.
    pub tls: TlsOptions,
    /// `schema.registry.request.timeout.ms`: bound on one request's way there and back.
    pub request_timeout: Duration,
    /// Bound on name resolution, TCP and TLS of one connection together.
    pub connect_timeout: Duration,
    /// `max.retries`: how often each URL is tried again, 3.
    pub retries: u32,
    /// `retries.wait.ms`: a first pause is up to so long, each further one up to twice the one before.
    pub retry_wait: Duration,
    /// `retries.max.wait.ms`: no pause is longer.
    pub retry_max_wait: Duration,
}

/// How this client says who it is.
#[derive(Clone, Default)]
pub enum RegistryAuth {
    /// It does not.
    #[default]
    None,
    /// An API key and its secret (`basic.auth.user.info`).
    Basic {
        /// The key.
        username: String,
        /// Never shown.
        password: SecretString,
    },
    /// A token (`bearer.auth.credentials.source`).
    Bearer {
        /// Where access tokens come from.
        tokens: TokenSource,
        /// `bearer.auth.logical.cluster`, sent as `target-sr-cluster`.
        logical_cluster: Option<String>,
        /// `bearer.auth.identity.pool.id`, sent as `Confluent-Identity-Pool-Id`.
        identity_pool: Option<String>,
    },
}

impl RegistryConfig {
    /// Confluent's defaults for everything but the place; except that a request is given 10 s, not a minute or forever.
    #[must_use]
    pub fn new<S: Into<String>>(urls: impl IntoIterator<Item = S>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            auth: RegistryAuth::None,
            tls: TlsOptions::default(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            retries: 3,
            retry_wait: Duration::from_secs(1),
            retry_max_wait: Duration::from_secs(20),
        }
    }
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { username, .. } => f.debug_struct("Basic").field("username", username).finish_non_exhaustive(),
            Self::Bearer { logical_cluster, identity_pool, .. } => f
                .debug_struct("Bearer")
                .field("logical_cluster", logical_cluster)
                .field("identity_pool", identity_pool)
                .finish_non_exhaustive(),
        }
    }
}
