//! One partition's log, kept in memory: batches in, slices of batches out.
//!
//! The log is a plain struct; time comes in with each call. It stores record batches as the client sent them (only the base
//! offset and the leader epoch are written into the header, which the checksum does not cover), and opens one only to find a time in it.

mod batch;
mod partition;
mod producers;
mod records;
mod transactions;

#[cfg(test)]
pub(crate) use batch::tests;
pub(crate) use batch::{BatchError, BatchHeader};
pub(crate) use partition::{Found, Isolation, LEADER_EPOCH, PartitionLog, Retention, TimestampType};
pub(crate) use producers::{ActiveProducer, SequenceError};
pub(crate) use records::{RecordsError, timestamps};
pub(crate) use transactions::Aborted;
