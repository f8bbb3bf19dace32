//! Why a service ended, and the exit code that says so.

use std::process::ExitCode;

use crate::config::ConfigError;

/// What the process tells its caller.
///
/// | code | meaning | what helps |
/// | --- | --- | --- |
/// | 0 | the work is done | |
/// | 1 | it ran, and the result is not as wanted (a reconciliation with gaps) | read the last lines |
/// | 2 | flags or configuration are wrong | the message names the key and where it came from |
/// | 3 | authentication was refused | client id, secret, token endpoint |
/// | 4 | an access rule refuses it | the rule for this principal and resource |
/// | 5 | a broker, registry or issuer stayed away longer than the service may wait | bring it back, start again |
/// | 6 | a topic, subject or schema is missing or does not fit | create or register it |
/// | 7 | the drain did not finish in time | a longer `--drain-timeout`; unfinished work is redone at the next start |
/// | 70 | a fault in this program | report it |
/// | 101 | a panic, which is a fault too | report it |
/// | 130, 143 | a second SIGINT or SIGTERM cut the drain short | |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The work is done.
    Done = 0,
    /// It ran, and the result is not as wanted.
    Unsatisfied = 1,
    /// Flags or configuration are wrong.
    Configuration = 2,
    /// Authentication was refused.
    Authentication = 3,
    /// An access rule refuses it.
    Authorization = 4,
    /// Something needed stayed away for too long.
    Outage = 5,
    /// A topic, subject or schema is missing or does not fit.
    Resource = 6,
    /// The drain did not finish in time.
    Drain = 7,
    /// A fault in this program.
    Internal = 70,
    /// A panic.
    Panic = 101,
    /// A second SIGINT cut the drain short.
    Interrupted = 130,
    /// A second SIGTERM cut the drain short.
    Terminated = 143,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

impl ExitStatus {
    /// The status that a process's exit code stands for, in a word or two for people.
    #[must_use]
    pub fn describe(code: i32) -> &'static str {
        match code {
            0 => "done",
            1 => "result not as wanted",
            2 => "configuration",
            3 => "authentication refused",
            4 => "access refused",
            5 => "outage",
            6 => "missing or unfit resource",
            7 => "drain cut short by its bound",
            70 => "internal fault",
            101 => "panic",
            130 | 143 => "ended by a second signal",
            _ => "unknown code",
        }
    }
}

/// Why a service cannot go on. The variant chooses the exit code, the text is for people: what was tried, on what,
/// what came back, what to change.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A key or flag is wrong.
    #[error("configuration: {0}")]
    Configuration(#[from] ConfigError),
    /// Flags contradict each other, or a file named by one cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Who we are was not accepted.
    #[error("authentication: {0}")]
    Authentication(String),
    /// We are known, and may not do this.
    #[error("access: {0}")]
    Authorization(String),
    /// Something needed stayed away for longer than waiting is allowed.
    #[error("outage: {0}")]
    Outage(String),
    /// A topic, subject or schema is missing or does not fit.
    #[error("{0}")]
    Resource(String),
    /// The work ran, and its result is not as wanted.
    #[error("{0}")]
    Unsatisfied(String),
    /// The drain did not finish in time.
    #[error("{0}")]
    Drain(String),
    /// A fault in this program.
    #[error("internal: {0}")]
    Internal(String),
}

impl ServiceError {
    /// Says whose rule is missing, where one is: whoever refused it knows, but seldom says so.
    #[must_use]
    pub fn of(self, principal: &str) -> Self {
        match self {
            Self::Authorization(text) => Self::Authorization(format!("{text}; the principal is {principal}")),
            other => other,
        }
    }

    /// The exit code that stands for this error.
    #[must_use]
    pub const fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Configuration(_) | Self::Usage(_) => ExitStatus::Configuration,
            Self::Authentication(_) => ExitStatus::Authentication,
            Self::Authorization(_) => ExitStatus::Authorization,
            Self::Outage(_) => ExitStatus::Outage,
            Self::Resource(_) => ExitStatus::Resource,
            Self::Unsatisfied(_) => ExitStatus::Unsatisfied,
            Self::Drain(_) => ExitStatus::Drain,
            Self::Internal(_) => ExitStatus::Internal,
        }
    }
}

/// Which kind of trouble a failed operation on the cluster is; `text` is what it is part of.
fn of_cluster(error: &kafka::ClusterError, text: String) -> ServiceError {
    if error.is_configuration() {
        ServiceError::Usage(text)
    } else if error.is_authentication() {
        ServiceError::Authentication(text)
    } else if error.is_authorization() {
        ServiceError::Authorization(text)
    } else if error.is_retriable() && !matches!(error, kafka::ClusterError::UnknownTopic { .. }) {
        ServiceError::Outage(text)
    } else {
        ServiceError::Resource(text)
    }
}

impl From<kafka::ClusterError> for ServiceError {
    fn from(error: kafka::ClusterError) -> Self {
        of_cluster(&error, error.to_string())
    }
}

impl From<schema_registry::RegistryError> for ServiceError {
    fn from(error: schema_registry::RegistryError) -> Self {
        let text = error.to_string();
        if error.is_authentication() {
            Self::Authentication(text)
        } else if error.is_authorization() {
            Self::Authorization(text)
        } else if error.is_retriable() {
            Self::Outage(text)
        } else if error.is_configuration() {
            Self::Usage(text)
        } else {
            Self::Resource(text)
        }
    }
}

impl From<schema_registry::SerializeError> for ServiceError {
    fn from(error: schema_registry::SerializeError) -> Self {
        match error {
            schema_registry::SerializeError::Registry(error) => error.into(),
            other => Self::Resource(other.to_string()),
        }
    }
}

impl From<kafka::ConsumerError> for ServiceError {
    fn from(error: kafka::ConsumerError) -> Self {
        use kafka::ConsumerError;
        match error {
            ConsumerError::Cluster(error) => error.into(),
            ConsumerError::Config { .. } => Self::Usage(error.to_string()),
            ConsumerError::NotAuthorized { .. } => Self::Authorization(error.to_string()),
            ConsumerError::Group(kafka::GroupError::Unauthorized { .. }) => Self::Authorization(error.to_string()),
            other => Self::Resource(other.to_string()),
        }
    }
}

impl From<kafka::CommitError> for ServiceError {
    fn from(error: kafka::CommitError) -> Self {
        match error {
            kafka::CommitError::NotAuthorized { .. } => Self::Authorization(error.to_string()),
            kafka::CommitError::Unreachable { .. } => Self::Outage(error.to_string()),
            other => Self::Resource(other.to_string()),
        }
    }
}

impl From<kafka::ProducerError> for ServiceError {
    fn from(error: kafka::ProducerError) -> Self {
        use kafka::ProducerError;
        match error {
            ProducerError::Topic { ref cause, .. } => of_cluster(cause, error.to_string()),
            ProducerError::Config { .. } => Self::Usage(error.to_string()),
            ProducerError::CloseTimeout { .. } => Self::Drain(error.to_string()),
            ProducerError::NoRoom { .. } | ProducerError::TopicTimeout { .. } => Self::Outage(error.to_string()),
            other => Self::Resource(other.to_string()),
        }
    }
}

impl From<kafka::TransactionError> for ServiceError {
    fn from(error: kafka::TransactionError) -> Self {
        use kafka::{AbortCause, TransactionError};
        let text = error.to_string();
        match error {
            TransactionError::Cluster(error) => error.into(),
            TransactionError::Producer(error) => error.into(),
            TransactionError::Failed { cause } | TransactionError::Aborted { cause, .. } => match cause {
                AbortCause::Delivery(error) => error.into(),
                AbortCause::NotAccepted(error) => error.into(),
                AbortCause::Over(error) => (*error).into(),
                cause if cause.is_authorization() => Self::Authorization(text),
                cause if cause.is_retriable() => Self::Outage(text),
                _ => Self::Resource(text),
            },
            error if error.is_authorization() => Self::Authorization(text),
            error if error.is_retriable() => Self::Outage(text),
            TransactionError::Closed => Self::Internal(text),
            TransactionError::Refused { .. } => Self::Resource(text),
            _ => Self::Usage(text),
        }
    }
}

impl From<kafka::DeliveryError> for ServiceError {
    fn from(error: kafka::DeliveryError) -> Self {
        use kafka::DeliveryError;
        match error {
            DeliveryError::NotAccepted(error) => error.into(),
            DeliveryError::NotAuthorized { .. } => Self::Authorization(error.to_string()),
            DeliveryError::NoProducerId { ref cause, .. } => of_cluster(cause, error.to_string()),
            DeliveryError::TimedOut { .. } => Self::Outage(error.to_string()),
            other => Self::Resource(other.to_string()),
        }
    }
}
