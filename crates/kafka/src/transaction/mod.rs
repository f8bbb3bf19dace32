//! Transactions: records and offsets that become visible together or not at all (KIP-98, KIP-447, KIP-890).
//!
//! [`Transactions`] belongs to one `transactional.id`; a [`Transaction`] is a value that is committed, aborted or dropped.
//! What the wire wants is the producer's affair (`producer::coordination`); here is what an application holds.

mod config;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use self::config::TransactionConfig;
use crate::cluster::Cluster;
use crate::consumer::Positions;
use crate::group::GroupMetadata;
pub use crate::producer::{AbortCause, TransactionError};
use crate::producer::{Offsets, Outcome, ProducerError, ProducerMetrics, Record, Transactor};

/// The transactions of one `transactional.id`, one after the other.
///
/// Of all that use an id the latest wins: [`Cluster::transactions`] ends the open transaction of whoever had it before, and
/// that one finds itself [`Fenced`](TransactionError::Fenced). How transactions are spoken is chosen by the cluster's
/// finalized feature `transaction.version` and looked up again once a minute.
///
/// Dropping it ends its producer at once. Await [`ready`](Self::ready) before, if a transaction was just dropped: what is left open
/// is aborted by the broker, but only after `transaction.timeout.ms`, or when the id is taken over.
pub struct Transactions {
    transactor: Transactor,
    transactional_id: Arc<str>,
    /// `max.block.ms`
    max_block: Duration,
    /// `delivery.timeout.ms`
    delivery_timeout: Duration,
}

impl Cluster {
    /// Takes over a `transactional.id`: the open transaction of an instance that had it before is aborted, and what that
    /// instance has committed is complete.
    ///
    /// Cancel safe: dropped before it returns, the id may or may not have been taken over. Waits up to `max.block.ms`.
    ///
    /// # Errors
    /// [`TransactionError::Config`], [`TimeoutNotAllowed`](TransactionError::TimeoutNotAllowed),
    /// [`NotAuthorized`](TransactionError::NotAuthorized); [`Unavailable`](TransactionError::Unavailable) may be tried again.
    ///
    /// ```no_run
    /// # async fn example(cluster: kafka::Cluster) -> Result<(), kafka::TransactionError> {
    /// use kafka::{Record, TransactionConfig};
    ///
    /// let mut transactions = cluster.transactions(TransactionConfig::new("fulfillment-service-1")).await?;
    /// let mut transaction = transactions.begin().await?;
    /// transaction.send(Record::to("grocery.picklist.v1").key("order-1").value("…")).await?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    pub async fn transactions(&self, config: TransactionConfig) -> Result<Transactions, TransactionError> {
        config.validate()?;
        let TransactionConfig { transactional_id, timeout, producer } = config;
        let transactional_id: Arc<str> = transactional_id.into();
        let (max_block, delivery_timeout) = (producer.max_block, producer.delivery_timeout);
        let transactor = Transactor::start(self, Arc::clone(&transactional_id), timeout, producer)
            .map_err(TransactionError::Producer)?;
        let transactions = Transactions { transactor, transactional_id, max_block, delivery_timeout };
        transactions.in_time(transactions.transactor.initialise()).await?;
        Ok(transactions)
    }
}

impl Transactions {
    /// Waits until the transaction before is over and another one can begin. After a commit that was
    /// [`Unresolved`](TransactionError::Unresolved), or whose future was dropped, this tells its outcome: `Ok` if it is
    /// committed.
    ///
    /// Cancel safe. Waits up to `max.block.ms`.
    ///
    /// # Errors
    /// [`Aborted`](TransactionError::Aborted) if the transaction before, whose commit nobody saw to its end, came to nothing;
    /// that is said once. [`Unavailable`](TransactionError::Unavailable) after `max.block.ms`. Else what
    /// [is fatal](TransactionError::is_fatal).
    pub async fn ready(&self) -> Result<(), TransactionError> {
        self.in_time(self.transactor.initialise()).await
    }

    /// Opens a transaction, once it [can be](Self::ready).
    ///
    /// Cancel safe: dropped before it returns, no transaction is open.
    ///
    /// # Errors
    /// As [`ready`](Self::ready); none was opened then.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, TransactionError> {
        self.in_time(self.transactor.begin()).await?;
        Ok(Transaction { transactions: self, refused: None, ended: false })
    }

    /// The id that these transactions are of.
    pub fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// What its producer has done so far and holds now.
    pub fn metrics(&self) -> ProducerMetrics {
        self.transactor.producer.metrics()
    }

    async fn in_time(&self, outcome: Outcome) -> Result<(), TransactionError> {
        match timeout(self.max_block, outcome).await {
            Ok(outcome) => outcome.unwrap_or(Err(TransactionError::Closed)),
            Err(_) => Err(TransactionError::Unavailable {
                transactional_id: Arc::clone(&self.transactional_id),
                waited: self.max_block,
                last: self.transactor.last_trouble(),
            }),
        }
    }
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactions").field("transactional_id", &self.transactional_id).finish_non_exhaustive()
    }
}

/// An open transaction. Dropping it aborts it; the next one begins when that is done.
#[must_use = "a transaction that is not committed is aborted"]
pub struct Transaction<'a> {
    transactions: &'a mut Transactions,
    /// A record that was not accepted: without it the transaction must not be committed.
    refused: Option<AbortCause>,
    ended: bool,
}

impl Transaction<'_> {
    /// Accepts a record, to be sent at once. Waits for room and for a topic that is not known yet, up to `max.block.ms`.
    ///
    /// There is no delivery to await: a record that is not acknowledged fails the transaction.
    ///
    /// Cancel safe: dropped before it returns, the record is not part of the transaction, which can go on.
    ///
    /// # Errors
    /// [`TransactionError::Failed`]: this record, or one before it, makes it impossible to commit.
    pub async fn send(&mut self, record: Record<'_>) -> Result<(), TransactionError> {
        if let Some(cause) = self.failure() {
            return Err(TransactionError::Failed { cause });
        }
        tokio::task::consume_budget().await;
        self.transactions.transactor.send(&record).await.map_err(|error| self.refuse(error))
    }

    /// Accepts records, to be sent at once: as [`send`](Self::send) for each in their order, at less cost. They have one
    /// timestamp for a few of them, unless they bring their own.
    ///
    /// Not cancel safe in the sense that, dropped before it returns, some of the records are part of the transaction, which can
    /// go on or be aborted.
    ///
    /// # Errors
    /// [`TransactionError::Failed`]: one of these records, or one before them, makes it impossible to commit.
    pub async fn send_all<'r>(
        &mut self,
        records: impl IntoIterator<Item = Record<'r>>,
    ) -> Result<(), TransactionError> {
        if let Some(cause) = self.failure() {
            return Err(TransactionError::Failed { cause });
        }
        let accepted = self.transactions.transactor.send_all(records.into_iter()).await;
        accepted.map_err(|error| self.refuse(error))
    }

    /// Why this transaction cannot be committed any more, if so.
    pub fn failure(&self) -> Option<AbortCause> {
        self.refused.clone().or_else(|| self.transactions.transactor.failure())
    }

    /// Makes all records visible at once, when every one is acknowledged.
    ///
    /// Waits up to `delivery.timeout.ms` for records and outcome. Not cancel safe in the sense that a commit goes on when
    /// its future is dropped; the next [`ready`](Transactions::ready) tells if it came to nothing.
    ///
    /// # Errors
    /// [`Aborted`](TransactionError::Aborted): nothing of it is visible, the same work can be done again.
    /// [`Unresolved`](TransactionError::Unresolved): it is not known yet. Else what
    /// [is fatal](TransactionError::is_fatal).
    pub async fn commit(self) -> Result<(), TransactionError> {
        self.commit_all(None).await
    }

    /// Makes all records visible at once, and `positions` the group's (KIP-447): both or neither. `group` is who reads them,
    /// from [`Consumer::group_metadata`](crate::Consumer::group_metadata).
    ///
    /// Waits and fails as [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`AbortCause::Membership`] in [`Aborted`](TransactionError::Aborted): the group has given the partitions away
    /// meanwhile.
    pub async fn commit_with(self, positions: &Positions, group: &GroupMetadata) -> Result<(), TransactionError> {
        self.commit_all(Some(Offsets { group: group.clone(), positions: positions.clone() })).await
    }

    fn refuse(&mut self, error: ProducerError) -> TransactionError {
        let cause = AbortCause::NotAccepted(error);
        self.refused = Some(cause.clone());
        TransactionError::Failed { cause }
    }

    async fn commit_all(mut self, offsets: Option<Offsets>) -> Result<(), TransactionError> {
        if let Some(cause) = self.refused.take() {
            let transactional_id = Arc::clone(&self.transactions.transactional_id);
            return match self.abort().await {
                Err(error) if error.is_fatal() => Err(error),
                // It will be, at the latest by the broker.
                _ => Err(TransactionError::Aborted { transactional_id, cause }),
            };
        }
        self.ended = true;
        let waited = self.transactions.delivery_timeout;
        match timeout(waited, self.transactions.transactor.commit(offsets)).await {
            Ok(outcome) => outcome.unwrap_or(Err(TransactionError::Closed)),
            Err(_) => Err(TransactionError::Unresolved {
                transactional_id: Arc::clone(&self.transactions.transactional_id),
                waited,
                last: self.transactions.transactor.last_trouble(),
            }),
        }
    }

    /// Throws the transaction away; returns when that is done, so that readers of committed records do not wait for it.
    ///
    /// Cancel safe: dropped, it is aborted all the same. Waits up to `max.block.ms`.
    ///
    /// # Errors
    /// What [is fatal](TransactionError::is_fatal), or [`Unavailable`](TransactionError::Unavailable): it goes on being aborted, and
    /// the broker does it at the latest after `transaction.timeout.ms`.
    pub async fn abort(mut self) -> Result<(), TransactionError> {
        self.ended = true;
        self.transactions.in_time(self.transactions.transactor.abort()).await
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.transactions.transactor.abandon();
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("transactional_id", &self.transactions.transactional_id)
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}
