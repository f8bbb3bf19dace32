//! Why there is no token.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// No token, and what to do about it.
#[derive(Debug, Clone, Error)]
pub enum TokenError {
    /// The settings cannot work.
    #[error("{key}: {problem}")]
    Config {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The identity provider does not accept the client or what it asks for.
    #[error("{url} refused a token for client {client_id}: HTTP {status}{detail}; check {keys}")]
    Refused {
        /// The token endpoint.
        url: String,
        /// Who asked.
        client_id: String,
        /// The HTTP status.
        status: u16,
        /// The provider's own words, with a colon in front, or nothing.
        detail: String,
        /// What may be wrong.
        keys: String,
    },
    /// The identity provider cannot be reached or is not well.
    #[error("no token from {url} after {attempts} attempts: {last}")]
    Unavailable {
        /// The token endpoint.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt ended with.
        last: String,
    },
    /// The identity provider's certificate is not trusted, or ours is not.
    #[error("no token from {url}: {problem} (see https.ca.location, ssl.ca.location)")]
    Untrusted {
        /// The token endpoint.
        url: String,
        /// Why.
        problem: String,
    },
    /// What came back is not a token.
    #[error("{url} answered with something that is not a token: {problem} (is it the token endpoint? see {key})")]
    Malformed {
        /// The token endpoint.
        url: String,
        /// What is wrong with it.
        problem: String,
        /// The configuration key of the endpoint.
        key: &'static str,
    },
    /// The file with the token cannot be read.
    #[error("token file {path}: {problem}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: Arc<std::io::Error>,
    },
    /// The only token there is has expired.
    #[error("the token expired and there is no way to get another: {origin}")]
    Expired {
        /// Where it came from.
        origin: String,
    },
}

impl TokenError {
    /// Whether waiting may mend it. A file may be replaced and a provider may come back; a wrong secret stays wrong.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::File { .. } => true,
            Self::Expired { origin } => origin != source_fixed(),
            Self::Config { .. } | Self::Refused { .. } | Self::Untrusted { .. } | Self::Malformed { .. } => false,
        }
    }
}

impl TokenError {
    /// Whether a setting is at fault rather than the client's identity.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::Untrusted { .. } | Self::Malformed { .. })
    }
}

/// How a token that was simply given is called in messages.
pub(crate) fn source_fixed() -> &'static str {
    "it was given as it is (sasl.oauthbearer.token)"
}
