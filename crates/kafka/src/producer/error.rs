//! How sending fails: before a record is accepted ([`ProducerError`]) and after ([`DeliveryError`]).

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::cluster::ClusterError;
use crate::error::{ErrorCode, Written};

/// A record that was not accepted, or a producer that cannot be made. Nothing was written.
#[derive(Clone, Debug, Error)]
pub enum ProducerError {
    /// A setting cannot work.
    #[error("{key} must be {problem}")]
    Config {
        /// The property.
        key: &'static str,
        /// What it has to be.
        problem: String,
    },
    /// The topic's partitions could not be learnt.
    #[error("cannot send to topic {topic}: {cause}")]
    Topic {
        /// Its name.
        topic: String,
        /// Why.
        cause: Box<ClusterError>,
    },
    /// The topic was not known in time.
    #[error("topic {topic} was not known within {waited:?} (max.block.ms): no broker could be asked about it")]
    TopicTimeout {
        /// Its name.
        topic: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has {partitions} partitions, there is no partition {partition}")]
    UnknownPartition {
        /// Its name.
        topic: String,
        /// The one asked for.
        partition: i32,
        /// How many there are.
        partitions: usize,
    },
    /// No record of this size is sent.
    #[error(
        "a record of {bytes} bytes for topic {topic} is larger than max.request.size={limit_bytes}; raising that also needs \
         max.message.bytes of the topic"
    )]
    RecordTooLarge {
        /// Where it was to go.
        topic: String,
        /// Its size in a batch, at most.
        bytes: usize,
        /// `max.request.size`
        limit_bytes: usize,
    },
    /// Records came faster than brokers acknowledged them, for too long.
    #[error(
        "no room for {bytes} bytes within {waited:?} (max.block.ms): buffer.memory={buffer_bytes} is full of records that \
         brokers have not acknowledged"
    )]
    NoRoom {
        /// Of the record.
        bytes: usize,
        /// How long it was waited for.
        waited: Duration,
        /// `buffer.memory`
        buffer_bytes: usize,
    },
    /// `close` ran out of time; what was left over was given up.
    #[error("closing took longer than {waited:?}: {records} records were given up without an acknowledgement")]
    CloseTimeout {
        /// The bound that was given.
        waited: Duration,
        /// Records whose deliveries failed with [`DeliveryError::Closed`].
        records: u64,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
}

impl ProducerError {
    /// Whether sending the same record again later may work.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Topic { cause, .. } => cause.is_retriable(),
            Self::NoRoom { .. } | Self::TopicTimeout { .. } => true,
            _ => false,
        }
    }

    /// Whether only a change of settings, record or access rules can help.
    pub fn is_fatal(&self) -> bool {
        !self.is_retriable()
    }
}

/// A record that was accepted and not acknowledged. [`written`](Self::written) says whether it may be in the log.
#[derive(Clone, Debug, Error)]
pub enum DeliveryError {
    /// It was not accepted in the first place (only from `send_all`).
    #[error(transparent)]
    NotAccepted(#[from] ProducerError),
    /// Time ran out.
    #[error(
        "{topic}-{partition}: not acknowledged within {after:?} (delivery.timeout.ms), {attempts} attempts{}; {}",
        last_words(.last), certainty(.written)
    )]
    TimedOut {
        /// Where it was to go.
        topic: Arc<str>,
        /// And to which partition.
        partition: i32,
        /// `delivery.timeout.ms`
        after: Duration,
        /// How often it was sent.
        attempts: u32,
        /// What stood in the way at last.
        last: Option<Arc<str>>,
        /// Whether it may be in the log.
        written: Written,
    },
    /// The broker refused it for good.
    #[error("{topic}-{partition}: refused with {code}{}; {}", last_words(.message), certainty(.written))]
    Refused {
        /// Where it was to go.
        topic: Arc<str>,
        /// And to which partition.
        partition: i32,
        /// What the broker said.
        code: ErrorCode,
        /// What it added.
        message: Option<Arc<str>>,
        /// Whether it may be in the log from an earlier attempt.
        written: Written,
    },
    /// An access rule is missing.
    #[error("not authorized to write to topic {topic} ({code}): the principal needs the operation Write on it")]
    NotAuthorized {
        /// Where it was to go.
        topic: Arc<str>,
        /// What the broker said.
        code: ErrorCode,
    },
    /// The record alone is more than the topic takes.
    #[error("{topic}-{partition}: a record of {bytes} bytes is more than max.message.bytes of the topic allows")]
    RecordTooLarge {
        /// Where it was to go.
        topic: Arc<str>,
        /// And to which partition.
        partition: i32,
        /// The size of its batch.
        bytes: usize,
    },
    /// No producer id was granted, so nothing can be sent.
    #[error(
        "no producer id for topic {topic}: {cause}; an idempotent producer needs Write on a topic, or IdempotentWrite"
    )]
    NoProducerId {
        /// Where it was to go.
        topic: Arc<str>,
        /// Why.
        cause: Box<ClusterError>,
    },
    /// The batch could not be encoded.
    #[error("{topic}-{partition}: {problem}")]
    Unencodable {
        /// Where it was to go.
        topic: Arc<str>,
        /// And to which partition.
        partition: i32,
        /// What the codec said.
        problem: Arc<str>,
    },
    /// The transaction that the record is part of will not be committed.
    #[error(
        "{topic}-{partition}: the transaction of this record is aborted; readers of committed records will not see it"
    )]
    Aborted {
        /// Where it was to go.
        topic: Arc<str>,
        /// And to which partition.
        partition: i32,
        /// Whether it may be in the log, as a record of an aborted transaction.
        written: Written,
    },
    /// The producer was closed or dropped before an answer came.
    #[error("{topic}-{partition}: the producer was closed before the record was acknowledged; {}", certainty(.written))]
    Closed {
        /// Where it was to go.
        topic: Arc<str>,
        /// And to which partition.
        partition: i32,
        /// Whether it may be in the log.
        written: Written,
    },
}

impl DeliveryError {
    /// Whether the record may be in the log all the same. If not, sending it again cannot make it appear twice.
    pub fn written(&self) -> Written {
        match self {
            Self::TimedOut { written, .. }
            | Self::Refused { written, .. }
            | Self::Aborted { written, .. }
            | Self::Closed { written, .. } => *written,
            _ => Written::No,
        }
    }

    /// Whether sending the record again later may work.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NotAccepted(error) => error.is_retriable(),
            Self::NoProducerId { cause, .. } => cause.is_retriable(),
            Self::TimedOut { .. } | Self::Aborted { .. } => true,
            Self::Refused { code, .. } => code.is_retriable(),
            _ => false,
        }
    }

    /// Whether only a change of settings, record or access rules can help.
    pub fn is_fatal(&self) -> bool {
        !self.is_retriable()
    }
}

/// What became of the records of one `send_all` that did not all arrive.
#[derive(Clone, Debug, Error)]
#[error(
    "{acknowledged} records acknowledged, {not_written} not written, {unknown} perhaps written; first error: {first}"
)]
pub struct SendAllError {
    /// Records that are in the log.
    pub acknowledged: u64,
    /// Records that certainly are not, with those that were not accepted after the first error.
    pub not_written: u64,
    /// Records that may be.
    pub unknown: u64,
    /// The first error in the order of the records' batches.
    pub first: Box<DeliveryError>,
}

fn last_words(last: &Option<Arc<str>>) -> String {
    last.as_ref().map_or_else(String::new, |last| format!(", last: {last}"))
}

fn certainty(written: &Written) -> &'static str {
    match written {
        Written::No => "it is not in the log",
        Written::Maybe => "it may be in the log",
    }
}
