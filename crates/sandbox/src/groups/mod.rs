//! The coordinator of classic consumer groups and their committed offsets.
//!
//! [`Group`] is the protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) as a plain struct: requests and time go in, answers
//! come out, some of them to requests that were parked earlier. [`Offsets`] is what was committed. The broker holds one lock over
//! all groups, parks the requests and wakes at [`Group::next_deadline`].
//!
//! Source: Kafka's `GroupMetadataManager` and `ClassicGroup`.

mod group;
mod joining;
mod member;
mod messages;
mod offsets;
mod rebalance;
#[cfg(test)]
mod tests;

pub(crate) use group::{Group, Settings, State};
pub(crate) use member::ReplyTo;
pub(crate) use messages::{Effect, Join, Joined, Leave, Sync, Synced};
pub(crate) use offsets::{Committed, Offsets};
