//! The coordinator's side of the consumer rebalance protocol (KIP-848).
//!
//! [`ConsumerGroup`] answers ConsumerGroupHeartbeat. A join, a leave or a change of what is subscribed to raises the group's epoch; a
//! higher epoch gets a new target assignment, at most one an interval; each member then walks towards its target in its own
//! heartbeats: it first gives up what is no longer its own and says so, then takes the target's epoch and what nobody holds any more.
//! So a partition never has two owners, and whoever keeps its partitions notices nothing of the others.
//!
//! Source: KIP-848 and KIP-1251, and what Apache Kafka 4.3.1 answers (`tests/it/consumer_groups.rs` runs on both).

mod assignor;
mod classic;
mod commits;
mod group;
mod heartbeat;
mod member;
mod messages;
#[cfg(test)]
mod simulation;
mod subscription;

pub(crate) use commits::CommitRight;
pub(crate) use group::ConsumerGroup;
pub(super) use member::Member;
pub use messages::ConsumerGroupSettings;
pub(crate) use messages::{Answer, Heartbeat, MemberView, Partitions, Refusal};
pub(crate) use subscription::Catalogue;
