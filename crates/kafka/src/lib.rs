//! A Kafka client in pure Rust.
//!
//! [`Cluster`] is where everything begins: it connects, keeps what is known of topics, brokers and coordinators, and
//! hands out producers, consumers and an [`Admin`]. Each layer is a module that knows only those before it:
//!
//! ```text
//! connection (rskafka's messenger) ─▶ sasl ─▶ cluster (metadata, broker pool, coordinators)
//!     ─▶ records (batches, compression) ─▶ producer ─▶ transaction
//!                                       └▶ consumer ─▶ group
//!                                       └▶ admin
//! ```
//!
//! A broker's answer is untrusted input: it can fail a request, not the process.

mod admin;
#[cfg(feature = "unstable-bench")]
#[doc(hidden)]
pub mod bench;
mod cluster;
mod config;
mod connection;
mod consumer;
mod error;
mod group;
mod producer;
mod records;
pub mod retry;
mod sasl;
#[cfg(test)]
mod seeds;
mod transaction;

pub use admin::{
    Admin, ClusterDescription, CommittedOffset, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, CreatedTopic,
    GroupDescription, GroupListing, GroupMember, ListedOffset, NewTopic, OffsetSpec,
};
pub use cluster::{BrokerInfo, Cluster, ClusterError, Metadata, Partition, Topic};
pub use config::{ClientConfig, ConfigError, Endpoint, Sasl, Transport};
pub use connection::{CloseReason, ConnectionError};
pub use consumer::{
    CommitError, Consumer, ConsumerConfig, ConsumerError, ConsumerEvent, ConsumerRecord, GroupProtocol, Headers,
    IsolationLevel, OffsetReset, Position, Positions, RecordBatch, RecordIter, RecordRef, Revocation, StartFrom,
    TopicPartition,
};
pub use error::{ErrorCode, Written};
pub use group::{Assignor, GroupError, GroupMetadata};
pub use producer::{
    Delivery, DeliveryError, Payload, Producer, ProducerConfig, ProducerError, ProducerMetrics, Record, RecordMetadata,
    SendAllError,
};
pub use records::{BatchHeader, Compression, RecordsError, TimestampType, UnknownCompression};
pub use sasl::AuthenticationError;
pub use transaction::{AbortCause, Transaction, TransactionConfig, TransactionError, Transactions};
