//! The coordinator of classic consumer groups and their committed offsets.
//!
//! [`Group`] is the protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) as a plain struct: requests and time go in, answers
//! come out, some of them to requests that were parked earlier. [`Offsets`] is what was committed. The broker holds one lock over
//! all groups, parks the requests and wakes at [`Group::next_deadline`].
//!
//! Source: Kafka's `GroupMetadataManager` and `ClassicGroup`.

mod group;
mod member;
mod offsets;
#[cfg(test)]
mod tests;

pub(crate) use group::{Effect, Group, Join, Joined, Leave, Settings, State, Sync, Synced};
pub(crate) use member::ReplyTo;
pub(crate) use offsets::{Committed, Offsets};
