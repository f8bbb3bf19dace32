//! All transactional ids.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::messages::{Ending, Outcome, Producer, Protocol, TopicPartition};
use super::settings::TransactionSettings;
use super::transaction::{End, State, Transaction};

/// More ids are not remembered; the one that was silent for the longest goes first. Kafka forgets by time
/// (`transactional.id.expiration.ms`).
const MAX_TRANSACTIONAL_IDS: usize = 10_000;

/// The first producer id that is given out.
const FIRST_PRODUCER_ID: i64 = 1000;

/// The transactions of all transactional ids. Times are milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct Coordinator {
    settings: TransactionSettings,
    transactions: BTreeMap<String, Transaction>,
    next_producer_id: i64,
}

fn next(id: &mut i64) -> i64 {
    *id += 1;
    *id - 1
}

impl Coordinator {
    pub(crate) fn new(settings: TransactionSettings) -> Self {
        Self { settings, transactions: BTreeMap::new(), next_producer_id: FIRST_PRODUCER_ID }
    }

    /// A producer id that nobody has had, for a producer without a transactional id.
    pub(crate) fn new_producer_id(&mut self) -> i64 {
        next(&mut self.next_producer_id)
    }

    /// The way of doing things when it is the broker that ends a transaction.
    fn own_protocol(&self) -> Protocol {
        if self.settings.version >= 2 { Protocol::V2 } else { Protocol::V1 }
    }

    /// InitProducerId. `given` is what the client says it has been so far (KIP-360). An open transaction is aborted, and the
    /// client told to come again.
    pub(crate) fn init(
        &mut self,
        transactional_id: &str,
        timeout_ms: i32,
        given: Option<Producer>,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout_ms <= 0 || i64::from(timeout_ms) > self.settings.max_timeout.as_millis() as i64 {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let protocol = self.own_protocol();
        if !self.transactions.contains_key(transactional_id) {
            self.make_room()?;
            let id = next(&mut self.next_producer_id);
            self.transactions.insert(transactional_id.to_owned(), Transaction::new(id, timeout_ms, now_ms));
        }
        let next_producer_id = &mut self.next_producer_id;
        let transaction = self.transactions.get_mut(transactional_id).ok_or(ResponseError::CoordinatorNotAvailable)?;
        if given.is_some_and(|given| !transaction.knows(given)) {
            return Err(ResponseError::ProducerFenced);
        }
        match transaction.state {
            State::Prepare(_) => Err(ResponseError::ConcurrentTransactions),
            State::Ongoing => {
                transaction.fence(protocol, now_ms);
                Err(ResponseError::ConcurrentTransactions)
            }
            State::Empty | State::Complete(_) => {
                transaction.initialize(given, timeout_ms, || next(next_producer_id), now_ms)
            }
        }
    }

    /// Forgets an id that has nothing going on when there are too many.
    fn make_room(&mut self) -> Result<(), ResponseError> {
        if self.transactions.len() < MAX_TRANSACTIONAL_IDS {
            return Ok(());
        }
        let idle = self
            .transactions
            .iter()
            .filter(|(_, transaction)| matches!(transaction.state, State::Empty | State::Complete(_)));
        let silent = idle.min_by_key(|(_, transaction)| transaction.updated_ms).map(|(id, _)| id.clone());
        let silent = silent.ok_or(ResponseError::CoordinatorNotAvailable)?;
        self.transactions.remove(&silent);
        Ok(())
    }

    fn checked(&self, transactional_id: &str, producer: Producer) -> Result<&Transaction, ResponseError> {
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let transaction = self.transactions.get(transactional_id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        transaction.check(producer)?;
        Ok(transaction)
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn, or under [`Protocol::V2`] what a write does first.
    pub(crate) fn add(
        &mut self,
        transactional_id: &str,
        producer: Producer,
        partitions: impl IntoIterator<Item = TopicPartition>,
        protocol: Protocol,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.checked(transactional_id, producer)?;
        if let Some(transaction) = self.transactions.get_mut(transactional_id) {
            transaction.add(partitions.into_iter(), protocol, now_ms);
        }
        Ok(())
    }

    /// Whether `partition` was added to the open transaction. What was not is TRANSACTION_ABORTABLE.
    pub(crate) fn verify(
        &self,
        transactional_id: &str,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Result<(), ResponseError> {
        let transaction = self.checked(transactional_id, producer)?;
        if transaction.partitions.contains(partition) { Ok(()) } else { Err(ResponseError::TransactionAbortable) }
    }

    /// EndTxn. The answer is the producer that the next transaction must use, and [`Producer::NONE`] under [`Protocol::V1`].
    pub(crate) fn end(
        &mut self,
        transactional_id: &str,
        producer: Producer,
        outcome: Outcome,
        protocol: Protocol,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let next_producer_id = &mut self.next_producer_id;
        let transaction = self.transactions.get_mut(transactional_id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        match transaction.may_end(producer, outcome, protocol)? {
            End::Already(producer) => Ok(producer),
            End::Now => {
                let goes_on = transaction.end(outcome, protocol, || next(next_producer_id), now_ms);
                Ok(if protocol == Protocol::V2 { goes_on } else { Producer::NONE })
            }
        }
    }

    /// Aborts what has taken longer than its timeout, and returns the transactions whose markers are due. The caller writes them
    /// before anybody else asks this coordinator: they count as written from here on.
    pub(crate) fn tick(&mut self, now_ms: i64) -> Vec<Ending> {
        let protocol = self.own_protocol();
        let delay_ms = self.settings.marker_delay.as_millis() as i64;
        let mut endings = Vec::new();
        for transaction in self.transactions.values_mut() {
            if transaction.state == State::Ongoing && timeout_of(transaction) <= now_ms {
                transaction.fence(protocol, now_ms);
            }
            if let State::Prepare(outcome) = transaction.state
                && transaction.updated_ms + delay_ms <= now_ms
            {
                endings.push(Ending {
                    producer: transaction.producer,
                    outcome,
                    protocol: transaction.protocol,
                    partitions: std::mem::take(&mut transaction.partitions),
                });
                transaction.complete(outcome, now_ms);
            }
        }
        endings
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let delay_ms = self.settings.marker_delay.as_millis() as i64;
        let deadlines = self.transactions.values().filter_map(|transaction| match transaction.state {
            State::Ongoing => Some(timeout_of(transaction)),
            State::Prepare(_) => Some(transaction.updated_ms + delay_ms),
            State::Empty | State::Complete(_) => None,
        });
        deadlines.min()
    }

    pub(crate) fn get(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    /// All of them, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.transactions.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }
}

/// Kafka looks only every ten seconds whether the timeout has passed; here it is exact.
fn timeout_of(transaction: &Transaction) -> i64 {
    transaction.started_ms + i64::from(transaction.timeout_ms) + 1
}
