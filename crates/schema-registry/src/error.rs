//! How a call of the registry fails, and what the caller should make of it.

use oauth::TokenError;
use tls::TlsError;

/// A call of the registry that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A setting cannot work.
    #[error("{key}: {problem}")]
    Config {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The TLS files or the chosen provider cannot be used.
    #[error("TLS settings of the schema registry: {0}")]
    Tls(#[from] TlsError),
    /// There is no token to show.
    #[error("no access token for the schema registry: {0}")]
    Token(#[from] TokenError),
    /// No answer, or none that counts: an outage.
    #[error("cannot {what}: {reason} ({attempts} attempts; schema.registry.url={url})")]
    Unavailable {
        /// What was tried, such as `look up the schema of subject x-value`.
        what: String,
        /// The last URL that was tried.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What came back, or did not.
        reason: String,
    },
    /// The registry understood and said no.
    #[error("cannot {what}: {url} answers {status}, code {code}: {message}{}", advice(*.status))]
    Refused {
        /// What was tried.
        what: String,
        /// The base URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own code, such as 40403.
        code: i32,
        /// The registry's words.
        message: String,
    },
    /// An answer that is not what this call answers with.
    #[error("cannot {what}: the answer of {url} is not a schema registry's: {reason}")]
    Malformed {
        /// What was tried.
        what: String,
        /// The base URL.
        url: String,
        /// What does not fit.
        reason: String,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => "; check basic.auth.user.info or bearer.auth.*",
        403 => "; this principal needs an access rule for the subject",
        _ => "",
    }
}

impl RegistryError {
    /// Whether waiting may mend it: an outage, a token that is late.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Token(error) => error.is_retriable(),
            _ => false,
        }
    }

    /// Whether the registry, or the issuer of tokens, does not accept who we are.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. }) || matches!(self, Self::Token(error) if !error.is_retriable())
    }

    /// Whether the registry knows us and an access rule forbids it.
    #[must_use]
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// Whether a setting is at fault.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::Tls(_))
    }

    /// Whether there is no such subject, version or schema.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether a schema was refused as incompatible. Decided by the status: the code is 409 up to 8.1 and 40901 later.
    #[must_use]
    pub fn is_incompatible(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// The registry's own code, if it said one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}
