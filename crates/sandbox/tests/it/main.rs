//! The sandbox's broker, spoken to in bytes: no Kafka client of this house is involved.

#![allow(clippy::unwrap_used)]

mod access;
mod admin;
mod changeover;
mod consumer_groups;
mod fetch_sessions;
mod groups;
mod hostile;
mod logins;
mod payments;
mod recorded;
mod records;
mod requests;
mod role_bindings;
mod transaction_access;
mod transaction_settings;
mod transactional_offsets;
mod transactional_requests;
mod transactions;
mod versions;
mod wire;
