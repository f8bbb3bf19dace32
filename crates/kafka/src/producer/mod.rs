//! The producer: records in, acknowledgements out; each record in the log once, each partition in order.
//!
//! `send` finds the partition ([`partitioner`]) and encodes the record into its batch ([`accumulator`]). One task
//! ([`sender`]) takes batches out, and a plain state machine ([`pipeline`]) decides what goes when and what an answer
//! means. Deliveries share one outcome a batch ([`delivery`]).

mod accept;
mod accumulator;
mod config;
mod coordination;
mod delivery;
mod error;
mod partitioner;
mod pipeline;
mod record;
mod sender;
mod shared;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use self::accumulator::Accumulator;
pub use self::config::ProducerConfig;
pub(crate) use self::coordination::Offsets;
use self::coordination::calls::Calls;
pub use self::coordination::{AbortCause, TransactionError};
pub use self::delivery::{Delivery, RecordMetadata};
use self::delivery::{Tally, settled};
pub use self::error::{DeliveryError, ProducerError, SendAllError};
#[cfg(feature = "unstable-bench")]
pub(crate) use self::partitioner::partition_of_key;
use self::pipeline::Settings;
pub use self::record::{Payload, Record};
use self::sender::{Command, Reply, Sender, Transactional};
pub use self::shared::ProducerMetrics;
use self::shared::Shared;
use crate::cluster::Cluster;

/// Sends records, idempotently and with `acks=all`. Cheap to clone; all clones share one buffer and one task.
///
/// Dropping the last clone stops it: what brokers have not acknowledged by then fails with [`DeliveryError::Closed`], which
/// says whether it may have been written. [`close`](Self::close) lets it finish first.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    cluster: Cluster,
    shared: Arc<Shared>,
    config: ProducerConfig,
    /// Closed when the sender has ended.
    ended: watch::Receiver<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Cluster {
    /// A producer of its own buffer and sequences, over this cluster's connections. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ProducerError::Config`] if a setting cannot work.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ProducerError> {
        Producer::start(self, config, None)
    }
}

/// The side of a transactional producer that a [`Transactions`](crate::Transactions) holds.
pub(crate) struct Transactor {
    pub(crate) producer: Producer,
    commands: mpsc::UnboundedSender<Command>,
}

impl Transactor {
    /// Starts a producer that sends nothing outside transactions.
    pub(crate) fn start(
        cluster: &Cluster,
        transactional_id: Arc<str>,
        timeout: Duration,
        config: ProducerConfig,
    ) -> Result<Self, ProducerError> {
        let (commands, wanted) = mpsc::unbounded_channel();
        let calls = Calls { cluster: cluster.clone(), transactional_id, timeout };
        let transactional = Transactional::new(calls, cluster.config().retry, wanted);
        Ok(Self { producer: Producer::start(cluster, config, Some(transactional))?, commands })
    }

    /// Asks for an identity.
    pub(crate) fn initialise(&self) -> Outcome {
        self.command(Command::Initialise)
    }

    /// Asks for a transaction.
    pub(crate) fn begin(&self) -> Outcome {
        self.command(Command::Begin)
    }

    /// Asks for the open transaction to be committed.
    pub(crate) fn commit(&self, offsets: Option<Offsets>) -> Outcome {
        self.command(|reply| Command::Commit(offsets, reply))
    }

    /// Asks for the open transaction to be aborted.
    pub(crate) fn abort(&self) -> Outcome {
        self.command(|reply| Command::Abort(Some(reply)))
    }

    /// Has the open transaction aborted, and does not wait for it.
    pub(crate) fn abandon(&self) {
        // A sender that has ended has no transaction.
        let _ = self.commands.send(Command::Abort(None));
    }

    fn command(&self, command: impl FnOnce(Reply) -> Command) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        // If the sender has ended, the reply is dropped with the command, which is an answer as well.
        let _ = self.commands.send(command(reply));
        outcome
    }

    /// Accepts a record of the open transaction.
    pub(crate) async fn send(&self, record: &Record<'_>) -> Result<(), ProducerError> {
        self.producer.accept(record, &mut None).await.map(drop)
    }

    /// Accepts records of the open transaction, up to the first that is refused.
    pub(crate) async fn send_all<'a>(&self, records: impl Iterator<Item = Record<'a>>) -> Result<(), ProducerError> {
        let mut records = records;
        let mut stretch = Vec::new();
        while accept::next_stretch(&mut records, &mut stretch) {
            self.producer.accept_stretch(&stretch, &mut None).await.map_err(|(_, error)| error)?;
        }
        Ok(())
    }

    /// Why the open transaction cannot be committed any more, if so.
    pub(crate) fn failure(&self) -> Option<AbortCause> {
        self.producer.handle.shared.transaction_failure()
    }

    /// What the coordinator's requests last ended with, for messages.
    pub(crate) fn last_trouble(&self) -> Arc<str> {
        self.producer.handle.shared.last_trouble()
    }
}

/// What comes of a command.
pub(crate) type Outcome = oneshot::Receiver<Result<(), TransactionError>>;

impl Producer {
    fn start(
        cluster: &Cluster,
        config: ProducerConfig,
        transactional: Option<Transactional>,
    ) -> Result<Self, ProducerError> {
        config.validate(cluster.config().request_timeout)?;
        let accumulator = Accumulator::new(config.batch_bytes, config.linger, fastrand::Rng::new());
        let shared = Arc::new(Shared::new(accumulator, config.buffer_bytes));
        let settings = Settings {
            compression: config.compression,
            delivery_timeout: config.delivery_timeout,
            max_in_flight: config.max_in_flight,
            max_request_bytes: config.max_request_bytes,
            retry: cluster.config().retry,
            transactional: transactional.is_some(),
        };
        let (ending, ended) = watch::channel(());
        tokio::spawn(Sender::new(cluster.clone(), Arc::clone(&shared), settings, transactional, ending).run());
        Ok(Producer { handle: Arc::new(Handle { cluster: cluster.clone(), shared, config, ended }) })
    }

    /// Accepts a record, and returns its [`Delivery`] to be awaited now, later or not at all.
    ///
    /// Waits, up to `max.block.ms`, for room in `buffer.memory` and for a topic that is not known yet; never for the
    /// broker's acknowledgement. Whoever waits longest for room gets it first. Records of one task keep their order in
    /// each partition.
    ///
    /// Cancel safe: dropped before it returns, the record is not sent.
    ///
    /// # Errors
    /// [`ProducerError`]: the record was not accepted.
    ///
    /// ```no_run
    /// # async fn example(producer: kafka::Producer) -> Result<(), Box<dyn std::error::Error>> {
    /// use kafka::Record;
    ///
    /// let delivery = producer.send(Record::to("grocery.orders.v1").key("order-1").value("…")).await?;
    /// let written = delivery.await?;
    /// println!("{}-{} at {}", written.topic, written.partition, written.offset);
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, ProducerError> {
        tokio::task::consume_budget().await;
        self.accept(&record, &mut None).await?.ok_or(ProducerError::Closed)
    }

    /// Sends records and waits until all are acknowledged or given up: one answer for all, at a cost for each batch.
    ///
    /// Records are taken from the iterator a few at a time, and those have one timestamp unless they bring their own. Stops
    /// accepting at the first record that [`send`](Self::send) would refuse.
    ///
    /// Not cancel safe in the sense that records accepted before it is dropped are sent all the same.
    ///
    /// # Errors
    /// [`SendAllError`] counts what was acknowledged, what was not written and what may have been.
    pub async fn send_all<'a>(&self, records: impl IntoIterator<Item = Record<'a>>) -> Result<u64, SendAllError> {
        let mut spans = Some(self.handle.shared.accumulator().begin_spans());
        let mut refused = None;
        let mut records = records.into_iter();
        let mut stretch = Vec::new();
        while refused.is_none() && accept::next_stretch(&mut records, &mut stretch) {
            refused = self.accept_stretch(&stretch, &mut spans).await.err();
        }
        let mut tally = settled(spans.map(|spans| spans.spans).unwrap_or_default()).await;
        if let Some((taken, error)) = refused {
            tally.failed((stretch.len() - taken) as u64 + records.count() as u64, error.into());
        }
        let Tally { acknowledged, not_written, unknown, first_error } = tally;
        match first_error {
            None => Ok(acknowledged),
            Some(first) => Err(SendAllError { acknowledged, not_written, unknown, first: Box::new(first) }),
        }
    }

    /// Lets everything accepted so far go at once, without lingering, and waits until it is acknowledged or given up,
    /// which is within `delivery.timeout.ms`.
    ///
    /// Cancel safe: dropping it only stops the waiting. Errors are the deliveries' to tell.
    pub async fn flush(&self) {
        let unsettled = self.handle.shared.accumulator().flush();
        self.handle.shared.wake.notify_one();
        settled(unsettled).await;
    }

    /// Accepts no more records, lets those it has go, waits for them at most `bound`, and ends the producer with all its
    /// clones. What is not acknowledged by then is given up.
    ///
    /// Cancel safe: dropped half way, the producer accepts nothing more and ends with its last clone.
    ///
    /// # Errors
    /// [`ProducerError::CloseTimeout`] if records were given up.
    pub async fn close(&self, bound: Duration) -> Result<(), ProducerError> {
        let shared = &self.handle.shared;
        let deadline = Instant::now() + bound;
        shared.accumulator().close();
        let before = shared.metrics(self.handle.config.buffer_bytes).records_failed;
        let in_time = timeout_at(deadline, self.flush()).await.is_ok();
        shared.stop();
        let mut ended = self.handle.ended.clone();
        // The sender wakes to a stop at once and waits for nothing on its way out.
        while ended.changed().await.is_ok() {}
        let records = shared.metrics(self.handle.config.buffer_bytes).records_failed - before;
        if in_time { Ok(()) } else { Err(ProducerError::CloseTimeout { waited: bound, records }) }
    }

    /// What it has done so far and holds now.
    pub fn metrics(&self) -> ProducerMetrics {
        self.handle.shared.metrics(self.handle.config.buffer_bytes)
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("config", &self.handle.config).finish_non_exhaustive()
    }
}
