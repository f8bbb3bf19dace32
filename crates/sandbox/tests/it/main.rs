//! The sandbox's broker, spoken to in bytes: no Kafka client of this house is involved.

#![allow(clippy::unwrap_used)]

mod hostile;
mod requests;
mod versions;
mod wire;
