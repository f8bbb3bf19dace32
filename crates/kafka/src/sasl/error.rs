//! How a login fails.

use std::sync::Arc;

use oauth::TokenError;
use thiserror::Error;

use crate::connection::ConnectionError;
use crate::error::ErrorCode;

/// A broker that does not let this client in, or a login that could not be attempted.
#[derive(Debug, Clone, Error)]
pub enum AuthenticationError {
    /// The listener has another mechanism, or none.
    #[error(
        "{broker} does not offer {mechanism} but {offered}: check sasl.mechanism and that the port is the right listener"
    )]
    Mechanism {
        /// Who answered.
        broker: String,
        /// What was asked for.
        mechanism: &'static str,
        /// What there is.
        offered: String,
    },
    /// The handshake was refused for another reason.
    #[error("{broker} refused to begin a login: {code} (is this listener a SASL listener? see security.protocol)")]
    Handshake {
        /// Who answered.
        broker: String,
        /// Its code.
        code: ErrorCode,
    },
    /// Who we say we are is not accepted.
    #[error("{broker} refused {mechanism} of {who}: {status}; check {check}")]
    Refused {
        /// Who answered.
        broker: String,
        /// `PLAIN` or `OAUTHBEARER`.
        mechanism: &'static str,
        /// The identity as configured.
        who: String,
        /// What the broker said, without control characters.
        status: String,
        /// The configuration keys that this depends on.
        check: &'static str,
    },
    /// There is no token to show.
    #[error("no access token: {0}")]
    Token(Arc<TokenError>),
    /// OAUTHBEARER was asked to run without a token.
    #[error("OAUTHBEARER was begun without a token")]
    NoToken,
    /// The connection failed before the broker had decided.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl AuthenticationError {
    /// Whether waiting may mend it: an identity provider or a broker that is away.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Token(error) => error.is_retriable(),
            Self::Connection(error) => error.is_retriable(),
            Self::Mechanism { .. } | Self::Handshake { .. } | Self::Refused { .. } | Self::NoToken => false,
        }
    }

    /// Whether a setting is at fault rather than who this client says it is.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Token(error) => error.is_configuration(),
            Self::Connection(error) => error.is_distrust(),
            Self::Mechanism { .. } | Self::Handshake { .. } => true,
            Self::Refused { .. } | Self::NoToken => false,
        }
    }
}
