//! The coordinator of consumer groups, classic and new, and their committed offsets.
//!
//! [`Group`] is the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) as a plain struct: requests and time go in, answers
//! come out, some of them to requests that were parked earlier. [`consumer`] is the protocol of KIP-848. [`Membership`] is whichever
//! of the two a group speaks, [`Offsets`] what was committed. The broker holds one lock over all groups, parks the requests and wakes
//! at [`Membership::next_deadline`].
//!
//! Source: Kafka's `GroupMetadataManager`, `ClassicGroup` and `ConsumerGroup`.

pub(crate) mod consumer;
mod embedded;
mod group;
mod joining;
mod member;
mod membership;
mod messages;
mod offsets;
mod rebalance;
#[cfg(test)]
mod tests;

pub use consumer::ConsumerGroupSettings;
pub(crate) use group::{Group, Settings};
pub(crate) use member::ReplyTo;
pub(crate) use membership::Membership;
pub(crate) use messages::{Effect, Join, Joined, Leave, Sync, Synced};
pub(crate) use offsets::{Committed, Offsets};
