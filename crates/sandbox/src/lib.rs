//! Confluent Cloud in a box: a Kafka-protocol broker, a Schema Registry, an OpenID issuer and the access rules, in one process.
//!
//! [`Sandbox::start`] binds them, each on a port of its own and over TLS under a CA made for this run, and writes a ready
//! `client.properties` for every client that the access rules know. Everything lives in memory and ends with the process.
//!
//! The broker reads record batches and speaks the protocol by itself and never uses this project's Kafka client, so that the two
//! check each other. What differs from Apache Kafka is a mistake here.

pub mod access;
mod broker;
pub mod certificates;
mod client_files;
mod config;
mod groups;
pub mod issuer;
pub mod listener;
mod log;
mod patterns;
pub mod registry;
mod sandbox;
#[cfg(test)]
mod seeds;
mod transactions;

pub use broker::{BrokerStatus, Denial, GroupStatus, TopicStatus};
pub use config::{SandboxConfig, TopicSpec};
pub use groups::ConsumerGroupSettings;
pub use sandbox::{Endpoints, Part, Sandbox, SandboxError};
pub use transactions::TransactionSettings;
