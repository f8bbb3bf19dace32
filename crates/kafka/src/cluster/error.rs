//! How an operation on the cluster fails, and what the caller should make of it.

use std::time::Duration;

use thiserror::Error;

use crate::config::ConfigError;
use crate::connection::ConnectionError;
use crate::error::ErrorCode;
use crate::sasl::AuthenticationError;

/// An operation on the cluster that failed.
#[derive(Debug, Clone, Error)]
pub enum ClusterError {
    /// The settings cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cluster does not let this client in.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// One broker could not be reached or did not answer.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// No broker could be reached.
    #[error("no broker of bootstrap.servers={bootstrap} reached within {waited:?}: {last}")]
    Unreachable {
        /// `bootstrap.servers`.
        bootstrap: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last one said.
        last: Box<ClusterError>,
    },
    /// A topic does not exist, or not for this principal.
    #[error(
        "topic {topic} is unknown to the cluster after {waited:?}: {code}; create it, or check its name and the right to describe it"
    )]
    UnknownTopic {
        /// Its name.
        topic: String,
        /// How long it was asked for.
        waited: Duration,
        /// What brokers answer.
        code: ErrorCode,
    },
    /// An access rule is missing.
    #[error("not authorized for {what}: {code}; this principal needs {}", wanted(.needs))]
    NotAuthorized {
        /// What was asked for, such as `topic grocery.orders.v1`.
        what: String,
        /// The operation that was not allowed, where it is known.
        needs: Option<&'static str>,
        /// The broker's code.
        code: ErrorCode,
    },
    /// A broker answered with an error.
    #[error("{what}: {code}{}", detail(.message))]
    Refused {
        /// What was asked for.
        what: String,
        /// The broker's code.
        code: ErrorCode,
        /// What it added.
        message: Option<String>,
    },
    /// The broker's id is not in the cluster's metadata (any more).
    #[error("broker {id} is not in the cluster's metadata")]
    UnknownBroker {
        /// Its id.
        id: i32,
    },
    /// A group or transactional id has no coordinator at the moment.
    #[error("no coordinator for {what} within {waited:?}: {last}")]
    NoCoordinator {
        /// `group x` or `transactional id x`.
        what: String,
        /// How long it was asked for.
        waited: Duration,
        /// What the last attempt ended with.
        last: String,
    },
    /// The last [`Cluster`](crate::Cluster) was dropped.
    #[error("the cluster handle is closed")]
    Closed,
}

fn wanted(needs: &Option<&str>) -> String {
    needs.map_or_else(|| "an access rule for it".to_owned(), |needs| format!("the operation {needs} on it"))
}

fn detail(message: &Option<String>) -> String {
    message.as_ref().map_or_else(String::new, |message| format!(": {message}"))
}

impl ClusterError {
    /// A broker's code with what it was about; authorization is told apart.
    pub(crate) fn refused(what: impl Into<String>, code: ErrorCode, message: Option<&str>) -> Self {
        let what = what.into();
        if code.is_authorization() {
            Self::NotAuthorized { what, needs: None, code }
        } else {
            Self::Refused { what, code, message: message.map(str::to_owned) }
        }
    }

    /// Says which operation was asked for, should it be that which is not allowed.
    pub(crate) fn needing(mut self, operation: &'static str) -> Self {
        if let Self::NotAuthorized { needs, .. } = &mut self {
            *needs = Some(operation);
        }
        self
    }

    /// Whether waiting may mend it: an outage, an election, a coordinator on the move.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_retriable(),
            Self::Authentication(error) => error.is_retriable(),
            Self::Unreachable { last, .. } => last.is_retriable(),
            Self::Refused { code, .. } => code.is_retriable(),
            Self::UnknownTopic { .. } | Self::UnknownBroker { .. } | Self::NoCoordinator { .. } => true,
            Self::Config(_) | Self::NotAuthorized { .. } | Self::Closed => false,
        }
    }

    /// Whether waiting cannot mend it: someone has to change a setting, a secret or a rule.
    pub fn is_fatal(&self) -> bool {
        !self.is_retriable()
    }

    /// Whether the settings are at fault, not the cluster.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Connection(error) => error.is_distrust(),
            Self::Authentication(error) => error.is_configuration(),
            Self::Unreachable { last, .. } => last.is_configuration(),
            _ => false,
        }
    }

    /// Whether the cluster refused who this client says it is.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Authentication(error) => !error.is_retriable() && !error.is_configuration(),
            Self::Unreachable { last, .. } => last.is_authentication(),
            _ => false,
        }
    }

    /// Whether the cluster knows this client and an access rule forbids what it asked for.
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::NotAuthorized { .. })
    }

    /// The broker's error code, where one is the cause.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::NotAuthorized { code, .. } | Self::Refused { code, .. } | Self::UnknownTopic { code, .. } => {
                Some(*code)
            }
            _ => None,
        }
    }
}
