//! How a request on one connection fails.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use thiserror::Error;

use crate::error::Written;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The broker closed it. Between requests this is how brokers end idle connections (`connections.max.idle.ms`).
    #[error("the broker closed the connection")]
    EndOfStream,
    /// The network failed.
    #[error("{0}")]
    Io(String),
    /// The broker does not accept this side of the TLS handshake, which TLS 1.3 says only after it has ended here.
    #[error("{0}")]
    Distrusted(String),
    /// A request was not answered in time, so that later answers cannot be trusted to be near.
    #[error("{api:?} was not answered within {after:?}")]
    Unanswered {
        /// The request.
        api: ApiKey,
        /// Its bound.
        after: Duration,
    },
    /// An answer made no sense.
    #[error("the broker's answer could not be read: {0}")]
    Malformed(String),
    /// The broker did not accept a new login on the open connection (KIP-368).
    #[error("authenticating again failed: {0}")]
    Reauthentication(String),
    /// The cluster says that the broker is no longer part of it: dead, shut out or being restarted.
    #[error("the broker is no longer in the cluster")]
    Gone,
    /// This client has no more use for it.
    #[error("closed by this client")]
    Unused,
}

/// A connection that could not be made or a request that failed on it.
#[derive(Debug, Clone, Error)]
pub enum ConnectionError {
    /// The host has no address.
    #[error("cannot resolve {broker}: {problem}")]
    Resolve {
        /// `host:port`.
        broker: String,
        /// What the resolver said.
        problem: Arc<str>,
    },
    /// No address of the host accepted.
    #[error("cannot connect to {broker}: {problem}")]
    Connect {
        /// `host:port`.
        broker: String,
        /// What each address answered.
        problem: Arc<str>,
    },
    /// The TLS handshake failed.
    #[error(
        "TLS handshake with {broker} failed: {problem} (see security.protocol, ssl.ca.location and, for mutual TLS, ssl.certificate.location)"
    )]
    Tls {
        /// `host:port`.
        broker: String,
        /// What rustls said.
        problem: Arc<str>,
        /// Whether the peer showed something that trying again will not change, such as a certificate nobody signed.
        refused: bool,
    },
    /// The connection ended before the answer came.
    #[error("connection to {broker} ended during {api:?}: {reason}")]
    Closed {
        /// `host:port`, with its id where known.
        broker: String,
        /// The request that waited.
        api: ApiKey,
        /// What ended it.
        reason: CloseReason,
        /// Whether the request may have reached the broker.
        written: Written,
    },
    /// The answer did not come in time; the connection was closed.
    #[error("{broker} did not answer {api:?} within {after:?} (request.timeout.ms)")]
    Timeout {
        /// `host:port`, with its id where known.
        broker: String,
        /// The request.
        api: ApiKey,
        /// Its bound.
        after: Duration,
        /// Whether the request may have reached the broker.
        written: Written,
    },
    /// The broker does not speak a version of the API that this client does.
    #[error("{broker} speaks {api:?} {theirs}, this client {ours}: Kafka 3.9 or newer is needed")]
    Unsupported {
        /// `host:port`, with its id where known.
        broker: String,
        /// The API.
        api: ApiKey,
        /// The versions on this side, after caps.
        ours: String,
        /// The versions on the other.
        theirs: String,
    },
    /// The request cannot be expressed at the version that the broker speaks.
    #[error("cannot encode {api:?} version {version} for {broker}: {problem}")]
    Encode {
        /// `host:port`, with its id where known.
        broker: String,
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// The field that does not fit.
        problem: Arc<str>,
    },
    /// The answer cannot be read; the connection was closed.
    #[error("cannot read the answer of {broker} to {api:?} version {version}: {problem}")]
    Decode {
        /// `host:port`, with its id where known.
        broker: String,
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What was found.
        problem: Arc<str>,
    },
}

impl ConnectionError {
    /// Whether the request may have reached the broker.
    pub fn written(&self) -> Written {
        match self {
            Self::Closed { written, .. } | Self::Timeout { written, .. } => *written,
            Self::Decode { .. } => Written::Maybe,
            _ => Written::No,
        }
    }

    /// Whether one side does not trust the other's certificate.
    pub fn is_distrust(&self) -> bool {
        matches!(self, Self::Tls { refused: true, .. })
    }

    /// Whether a new connection may fare better.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Closed { .. } | Self::Timeout { .. } => true,
            // Garbled once is not garbled for ever; the connection is gone and whoever tries again has a deadline.
            Self::Decode { .. } => true,
            Self::Tls { refused, .. } => !refused,
            Self::Unsupported { .. } | Self::Encode { .. } => false,
        }
    }
}
