//! The coordinator of transactions: who may write under a transactional id, what its transaction covers, and how it ended.
//!
//! [`Coordinator`] is a plain struct: requests and the time go in, answers come out, and [`Coordinator::tick`] says which
//! transactions' markers are to be written now. It knows nothing of logs or groups. The broker holds one lock over it, and
//! holds that lock as well while it appends what the coordinator has let through and while it writes markers: so no marker can
//! come between the question whether a producer may write and the write itself.
//!
//! Source: Kafka's `TransactionCoordinator` and `TransactionMetadata` (KIP-98, KIP-360, KIP-447, KIP-890).

mod coordinator;
mod messages;
mod settings;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use coordinator::Coordinator;
pub(crate) use messages::{Ending, Outcome, Producer, Protocol, TopicPartition};
pub use settings::TransactionSettings;
pub(crate) use transaction::{State, Transaction};
