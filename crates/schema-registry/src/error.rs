//! How a call of the registry fails, and what the caller should make of it.

use std::sync::Arc;

use oauth::TokenError;
use tls::TlsError;

/// A call of the registry that failed.
#[derive(Debug, Clone, thiserror::Error)]
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
    Tls(Arc<TlsError>),
    /// The registry's certificate is not trusted, or ours is not.
    #[error("cannot {what}: {url}: {problem} (see schema.registry.ssl.ca.location, ssl.ca.location)")]
    Untrusted {
        /// What was tried.
        what: String,
        /// The base URL.
        url: String,
        /// Why.
        problem: String,
    },
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
    #[error("cannot {what}: {url} answers {status}, code {code}: {message}{}", advice(*.status, *.code))]
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

fn advice(status: u16, code: i32) -> &'static str {
    match status {
        // A registry's own codes have five digits.
        404 if code != 404 => "",
        401 => "; check basic.auth.user.info or bearer.auth.*",
        404 => "; is this a Schema Registry, with its whole path? see schema.registry.url",
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
        match self {
            Self::Refused { status, .. } => *status == 401,
            Self::Token(error) => !error.is_retriable() && !error.is_configuration(),
            _ => false,
        }
    }

    /// Whether the registry knows us and an access rule forbids it.
    #[must_use]
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// Whether a setting is at fault.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config { .. } | Self::Tls(_) | Self::Untrusted { .. } => true,
            Self::Token(error) => error.is_configuration(),
            _ => false,
        }
    }

    /// Whether there is no such subject, version or schema, in the registry's own words: any other server answers 404 too.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.code(), Some(40401..=40404))
    }

    /// Whether a schema was refused as incompatible. The code is 409 up to 8.1 and 40901 later; the codes after that are about
    /// associations.
    #[must_use]
    pub fn is_incompatible(&self) -> bool {
        matches!(self, Self::Refused { status: 409, code: 409 | 40901, .. })
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

impl From<TlsError> for RegistryError {
    fn from(error: TlsError) -> Self {
        Self::Tls(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: i32) -> RegistryError {
        RegistryError::Refused { what: "x".into(), url: "u".into(), status, code, message: String::new() }
    }

    #[test]
    fn only_an_incompatible_schema_is_incompatible() {
        assert!(refused(409, 409).is_incompatible() && refused(409, 40901).is_incompatible());
        for code in 40902..=40908 {
            assert!(!refused(409, code).is_incompatible(), "{code}");
        }
    }

    #[test]
    fn only_the_registrys_own_word_says_that_something_is_unknown() {
        for code in [40401, 40402, 40403] {
            assert!(refused(404, code).is_not_found());
        }
        for code in [404, 40405, 40406, 40407, 40408] {
            assert!(!refused(404, code).is_not_found(), "{code}");
        }
    }
}
