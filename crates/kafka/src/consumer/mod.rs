//! Reading: from the brokers' logs to the application, and how far it has come.
//!
//! Two sides share one lock ([`shared`]). The task ([`task`]) owns the membership, fetches ahead within one byte budget
//! ([`budget`]) and commits ([`commits`]). The application's side ([`client`]) takes what is queued, checks and opens it
//! ([`reading`]) and hands it out as slices ([`batch`]). Where each partition stands is plain state ([`partitions`]).

mod aborted;
mod batch;
mod budget;
mod calls;
mod client;
mod commits;
mod config;
mod error;
mod fetch;
mod fetch_sessions;
mod heartbeats;
mod partition;
mod partitions;
mod positions;
mod reading;
mod shared;
mod task;

pub use batch::{ConsumerRecord, Headers, RecordBatch, RecordIter, RecordRef};
pub use client::{Consumer, ConsumerEvent, Revocation};
pub use config::{ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset, StartFrom};
pub use error::{CommitError, ConsumerError};
pub use partition::TopicPartition;
pub use positions::{Position, Positions};

#[cfg(test)]
mod tests;
