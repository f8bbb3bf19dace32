//! Consumer groups: who reads which partition, and how far each has come.
//!
//! The classic protocol (KIP-62, KIP-345, KIP-429) is spoken by [`membership`], a state machine without I/O: answers and the
//! clock go in, requests and changes of ownership come out. [`assignor`] divides the partitions when this member leads,
//! and [`subscription`] spells the two blobs that members exchange through the coordinator. The asynchronous half lives with
//! the consumer, whose task owns all of them.

pub(crate) mod assignor;
pub(crate) mod membership;
mod metadata;
pub(crate) mod range;
pub(crate) mod sticky;
pub(crate) mod subscription;

pub use assignor::Assignor;
pub use membership::GroupError;
pub use metadata::GroupMetadata;
