//! One transactional id: its producer and its transaction.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;

use super::messages::{Outcome, Producer, Protocol, TopicPartition};

/// The states of Kafka's `TransactionMetadata` that can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There was no transaction since the producer was initialized.
    Empty,
    Ongoing,
    /// Decided; the markers are not written yet.
    Prepare(Outcome),
    /// The markers are written.
    Complete(Outcome),
}

impl State {
    /// Every name that Kafka knows, those included that the sandbox never shows.
    pub(crate) const NAMES: [&'static str; 8] = [
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "Dead",
        "PrepareEpochFence",
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::Prepare(Outcome::Commit) => "PrepareCommit",
            State::Prepare(Outcome::Abort) => "PrepareAbort",
            State::Complete(Outcome::Commit) => "CompleteCommit",
            State::Complete(Outcome::Abort) => "CompleteAbort",
        }
    }
}

/// A producer never gets an epoch from here on, so that there is always one left to fence it with.
const EXHAUSTED_EPOCH: i16 = i16::MAX - 1;

/// What EndTxn comes to, when it is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A retry of what has been done: the producer to go on with.
    Already(Producer),
    /// To be done.
    Now,
}

/// What the coordinator knows of one transactional id. Times are milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(super) producer: Producer,
    /// The producer id before the last change, for retries that still name it.
    previous_id: i64,
    /// Takes over once the markers are written, because the epochs of the present id are used up.
    next_id: Option<i64>,
    /// The epoch before the last bump that its owner asked for; -1 when somebody else took over.
    last_epoch: i16,
    pub(super) timeout_ms: i32,
    pub(super) state: State,
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// -1 before the first transaction.
    pub(super) started_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) protocol: Protocol,
}

impl Transaction {
    pub(super) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: Producer { id: producer_id, epoch: -1 },
            previous_id: -1,
            next_id: None,
            last_epoch: -1,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: now_ms,
            protocol: Protocol::V1,
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        self.producer
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// When the transaction began, in milliseconds since 1970; -1 when there was none yet.
    pub(crate) fn started_ms(&self) -> i64 {
        self.started_ms
    }

    pub(crate) fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// Whether its epochs are used up, so that the next one needs a new producer id.
    pub(super) fn is_exhausted(&self) -> bool {
        self.producer.epoch >= EXHAUSTED_EPOCH
    }

    /// Whether `given`, which an InitProducerId names as its own, is this id's producer or was until the last change (KIP-360).
    pub(super) fn knows(&self, given: Producer) -> bool {
        self.producer.epoch == -1
            || given.id == self.producer.id
            || (given.id == self.previous_id && given.epoch >= EXHAUSTED_EPOCH)
    }

    /// InitProducerId, while no transaction is open: the next epoch. `new_id` is asked when the epochs are used up.
    pub(super) fn initialize(
        &mut self,
        given: Option<Producer>,
        timeout_ms: i32,
        new_id: impl FnOnce() -> i64,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        let now = self.producer;
        if self.is_exhausted() && given.is_none_or(|given| given.epoch == now.epoch) {
            self.last_epoch = if given.is_some() { now.epoch } else { -1 };
            self.producer = Producer { id: new_id(), epoch: 0 };
        } else if self.is_exhausted() {
            // Kafka's coordinator does not expect this and fails.
            return Err(ResponseError::UnknownServerError);
        } else {
            let (epoch, last_epoch) = match given {
                None => (now.epoch + 1, -1),
                Some(given) if now.epoch == -1 || given.epoch == now.epoch => (now.epoch + 1, now.epoch),
                // The answer to a bump got lost and this is its retry.
                Some(given) if given.epoch == self.last_epoch => (now.epoch, self.last_epoch),
                Some(_) => return Err(ResponseError::ProducerFenced),
            };
            (self.producer.epoch, self.last_epoch) = (epoch, last_epoch);
        }
        self.previous_id = now.id;
        self.timeout_ms = timeout_ms;
        self.state = State::Empty;
        self.partitions.clear();
        self.started_ms = -1;
        self.updated_ms = now_ms;
        Ok(self.producer)
    }

    /// Whether `producer` may add to a transaction now.
    pub(super) fn check(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.producer.id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if producer.epoch != self.producer.epoch {
            Err(ResponseError::ProducerFenced)
        } else if matches!(self.state, State::Prepare(_)) {
            Err(ResponseError::ConcurrentTransactions)
        } else {
            Ok(())
        }
    }

    /// Adds to the transaction, which begins with its first partition.
    pub(super) fn add(&mut self, partitions: impl Iterator<Item = TopicPartition>, protocol: Protocol, now_ms: i64) {
        let before = self.partitions.len();
        self.partitions.extend(partitions);
        let begins = self.state != State::Ongoing;
        if begins {
            self.state = State::Ongoing;
            self.started_ms = now_ms;
        }
        if begins || self.partitions.len() > before {
            self.previous_id = self.producer.id;
            self.updated_ms = now_ms;
            self.protocol = protocol;
        }
    }

    /// Decides what EndTxn of `producer` comes to, and changes nothing.
    pub(super) fn may_end(
        &self,
        producer: Producer,
        outcome: Outcome,
        protocol: Protocol,
    ) -> Result<End, ResponseError> {
        match protocol {
            Protocol::V1 => self.may_end_v1(producer, outcome),
            Protocol::V2 => self.may_end_v2(producer, outcome),
        }
    }

    /// The same request again, with the same epoch, is a retry.
    fn may_end_v1(&self, producer: Producer, outcome: Outcome) -> Result<End, ResponseError> {
        if producer.id != self.producer.id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        match self.state {
            State::Ongoing => Ok(End::Now),
            State::Complete(done) if done == outcome => Ok(End::Already(Producer::NONE)),
            State::Prepare(decided) if decided == outcome => Err(ResponseError::ConcurrentTransactions),
            State::Empty | State::Prepare(_) | State::Complete(_) => Err(ResponseError::InvalidTxnState),
        }
    }

    /// The end bumps the epoch, so a retry is a request with the epoch before; one with the present epoch is about the next
    /// transaction, which may be aborted before it has begun.
    fn may_end_v2(&self, producer: Producer, outcome: Outcome) -> Result<End, ResponseError> {
        let now = self.producer;
        let after_new_id = self.previous_id == producer.id && producer.epoch == EXHAUSTED_EPOCH && now.epoch == 0;
        let is_retry = after_new_id || producer.epoch.checked_add(1) == Some(now.epoch);
        if producer.id != now.id && !after_new_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        let is_current = producer.epoch == now.epoch;
        let fits = match self.state {
            State::Ongoing | State::Empty => is_current,
            State::Prepare(_) => is_retry,
            State::Complete(_) => is_retry || is_current,
        };
        if !fits {
            return Err(ResponseError::ProducerFenced);
        }
        match (self.state, outcome) {
            (State::Ongoing, _) | (State::Empty, Outcome::Abort) => Ok(End::Now),
            (State::Complete(done), _) if is_retry && done == outcome => Ok(End::Already(now)),
            (State::Complete(_), Outcome::Abort) if !is_retry => Ok(End::Now),
            (State::Prepare(decided), _) if decided == outcome => Err(ResponseError::ConcurrentTransactions),
            (State::Empty | State::Prepare(_) | State::Complete(_), _) => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Decides the transaction. The answer is the producer to go on with; `new_id` is asked when the epochs are used up.
    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        protocol: Protocol,
        new_id: impl FnOnce() -> i64,
        now_ms: i64,
    ) -> Producer {
        if protocol == Protocol::V2 {
            self.next_id = self.is_exhausted().then(new_id);
        }
        self.decide(outcome, protocol, now_ms);
        self.next_id.map_or(self.producer, |id| Producer { id, epoch: 0 })
    }

    /// Takes the transaction away from its producer, whose epoch is worth nothing from now on, and aborts it.
    pub(super) fn fence(&mut self, protocol: Protocol, now_ms: i64) {
        if protocol == Protocol::V1 {
            self.producer.epoch = self.producer.epoch.saturating_add(1);
            self.last_epoch = -1;
        }
        self.decide(Outcome::Abort, protocol, now_ms);
    }

    fn decide(&mut self, outcome: Outcome, protocol: Protocol, now_ms: i64) {
        if protocol == Protocol::V2 {
            self.last_epoch = self.producer.epoch;
            self.producer.epoch = self.producer.epoch.saturating_add(1);
        }
        if self.state != State::Ongoing {
            self.started_ms = now_ms;
        }
        self.previous_id = self.producer.id;
        self.state = State::Prepare(outcome);
        self.protocol = protocol;
        self.updated_ms = now_ms;
    }

    /// The markers are written.
    pub(super) fn complete(&mut self, outcome: Outcome, now_ms: i64) {
        self.state = State::Complete(outcome);
        self.previous_id = self.producer.id;
        if let Some(id) = self.next_id.take() {
            self.producer = Producer { id, epoch: 0 };
        }
        self.partitions.clear();
        self.updated_ms = now_ms;
    }
}
