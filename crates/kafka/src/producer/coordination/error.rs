//! How a transaction fails, and what that leaves the application to do.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::cluster::ClusterError;
use crate::error::{ErrorCode, Written};
use crate::producer::error::{DeliveryError, ProducerError};

/// A transaction, or the right to begin one, that is no more.
///
/// Three kinds, told apart by the predicates: this transaction has to be [aborted](Self::requires_abort), or is already;
/// the same thing [may work later](Self::is_retriable); nothing more will work under this handle
/// ([`is_fatal`](Self::is_fatal)).
#[derive(Clone, Debug, Error)]
pub enum TransactionError {
    /// A setting cannot work.
    #[error("{key} must be {problem}")]
    Config {
        /// The property.
        key: &'static str,
        /// What it has to be.
        problem: String,
    },
    /// A setting of its producer cannot work.
    #[error(transparent)]
    Producer(ProducerError),
    /// Something of the open transaction has failed, so it cannot be committed any more.
    #[error("the transaction cannot be committed any more: {cause}")]
    Failed {
        /// What has failed.
        cause: AbortCause,
    },
    /// The transaction was aborted: whoever reads committed records sees nothing of it, and its offsets are not committed.
    #[error("transaction of transactional.id={transactional_id} aborted: {cause}")]
    Aborted {
        /// Whose it was.
        transactional_id: Arc<str>,
        /// Why.
        cause: AbortCause,
    },
    /// Another instance has begun to use the transactional id, or an operator has ended this one's.
    #[error(
        "another instance has taken over transactional.id={transactional_id} ({code}){}; give each instance one of its own",
        unknown(.outcome)
    )]
    Fenced {
        /// The id that was taken over.
        transactional_id: Arc<str>,
        /// What the broker said.
        code: ErrorCode,
        /// Whether a commit that was under way may have taken effect. The group's committed offsets tell.
        outcome: Written,
    },
    /// The broker does not let transactions stay open for so long.
    #[error(
        "transaction.timeout.ms={} is more than the brokers' transaction.max.timeout.ms allows; lower the one or raise the \
         other", .timeout.as_millis()
    )]
    TimeoutNotAllowed {
        /// `transaction.timeout.ms`
        timeout: Duration,
    },
    /// An access rule is missing.
    #[error(
        "not authorized for transactional.id={transactional_id} ({code}): the principal needs the operations Write and \
         Describe on it"
    )]
    NotAuthorized {
        /// The id that was asked for.
        transactional_id: Arc<str>,
        /// What the broker said.
        code: ErrorCode,
    },
    /// The coordinator refused for a reason that neither another attempt nor an abort mends.
    #[error("transactional.id={transactional_id}: {what} was refused with {code}{}", unknown(.outcome))]
    Refused {
        /// Whose transaction it was.
        transactional_id: Arc<str>,
        /// What was asked for.
        what: &'static str,
        /// What the broker said.
        code: ErrorCode,
        /// Whether a commit that was under way may have taken effect.
        outcome: Written,
    },
    /// The coordinator could not be reached, or was busy, for too long. Nothing was begun or committed.
    #[error(
        "no word from the coordinator of transactional.id={transactional_id} within {waited:?} (max.block.ms): {last}"
    )]
    Unavailable {
        /// Whose coordinator it is.
        transactional_id: Arc<str>,
        /// `max.block.ms`
        waited: Duration,
        /// What the last attempt ended with.
        last: Arc<str>,
    },
    /// No broker has said yet whether the transaction is committed. It is asked for until one does; the next
    /// [`ready`](crate::Transactions::ready) waits for it, and fails with [`Aborted`](Self::Aborted) if it is not.
    #[error(
        "no word within {waited:?} whether the transaction of transactional.id={transactional_id} is committed: {last}; it is \
         still being asked for"
    )]
    Unresolved {
        /// Whose it is.
        transactional_id: Arc<str>,
        /// How long it was waited for.
        waited: Duration,
        /// What the last attempt ended with.
        last: Arc<str>,
    },
    /// The cluster does not let this client do its work.
    #[error(transparent)]
    Cluster(ClusterError),
    /// The producer behind it has ended.
    #[error("the transactional producer is closed")]
    Closed,
}

impl TransactionError {
    /// Whether the transaction is still open and all that is left is to abort it, by
    /// [`abort`](crate::Transaction::abort) or by dropping it.
    pub fn requires_abort(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// Whether the same work may succeed in another transaction, from the positions that are committed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Failed { cause } | Self::Aborted { cause, .. } => cause.is_retriable(),
            Self::Unavailable { .. } | Self::Unresolved { .. } => true,
            _ => false,
        }
    }

    /// Whether nothing more will work under this handle: someone has to change a setting or a rule, or another instance
    /// does the work.
    pub fn is_fatal(&self) -> bool {
        !self.is_retriable()
    }

    /// Whether an access rule is missing.
    pub fn is_authorization(&self) -> bool {
        match self {
            Self::NotAuthorized { .. } => true,
            Self::Cluster(error) => error.is_authorization(),
            Self::Failed { cause } | Self::Aborted { cause, .. } => cause.is_authorization(),
            _ => false,
        }
    }
}

/// What made a transaction impossible to commit.
#[derive(Clone, Debug, Error)]
pub enum AbortCause {
    /// A record was not acknowledged.
    #[error(transparent)]
    Delivery(DeliveryError),
    /// A record was not accepted.
    #[error(transparent)]
    NotAccepted(ProducerError),
    /// The broker ended it.
    #[error(
        "it was open for longer than transaction.timeout.ms={}, so the broker ended it; make transactions smaller or raise \
         that", .timeout.as_millis()
    )]
    TookTooLong {
        /// `transaction.timeout.ms`
        timeout: Duration,
    },
    /// The consumer whose offsets were to be committed is not the member of the group that it was (KIP-447): its partitions
    /// may have gone to another. It joins again by itself.
    #[error("the consumer is no longer the member of group {group} that read these records ({code})")]
    Membership {
        /// The group.
        group: Arc<str>,
        /// What the broker said.
        code: ErrorCode,
    },
    /// A broker refused a part of it.
    #[error("{what} was refused with {code}")]
    Refused {
        /// What was asked for, such as `offsets of group x`.
        what: Arc<str>,
        /// What the broker said.
        code: ErrorCode,
    },
    /// There will be no more transactions.
    #[error(transparent)]
    Over(Box<TransactionError>),
    /// A request about it could not be made or answered in time.
    #[error("{what}: {last}")]
    Outage {
        /// What was asked for.
        what: Arc<str>,
        /// What the last attempt ended with.
        last: Arc<str>,
    },
}

impl AbortCause {
    /// Whether another transaction with the same content may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Delivery(DeliveryError::Refused { code, .. }) => ends_with_the_transaction(*code),
            Self::Delivery(DeliveryError::Aborted { .. }) => true,
            Self::Delivery(error) => error.is_retriable(),
            Self::NotAccepted(error) => error.is_retriable(),
            Self::Over(error) => error.is_retriable(),
            Self::TookTooLong { .. } | Self::Membership { .. } | Self::Outage { .. } => true,
            Self::Refused { code, .. } => ends_with_the_transaction(*code),
        }
    }

    /// Whether an access rule is missing.
    pub fn is_authorization(&self) -> bool {
        match self {
            Self::Delivery(DeliveryError::NotAuthorized { .. }) => true,
            Self::Refused { code, .. } => code.is_authorization(),
            Self::Over(error) => error.is_authorization(),
            _ => false,
        }
    }
}

/// Whether what the code complains of is gone with the transaction: its sequence, its epoch, an outage.
fn ends_with_the_transaction(code: ErrorCode) -> bool {
    let of_the_transaction = [
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::UNKNOWN_PRODUCER_ID,
        ErrorCode::INVALID_TXN_STATE,
        ErrorCode::TRANSACTION_ABORTABLE,
        ErrorCode::UNKNOWN_SERVER_ERROR,
    ];
    code.is_retriable() || of_the_transaction.contains(&code)
}

fn unknown(outcome: &Written) -> &'static str {
    match outcome {
        Written::No => "",
        Written::Maybe => "; whether its last transaction is committed is for the group's offsets to tell",
    }
}
