//! Consumer groups: who reads which partition, and how far each has come.
//!
//! Two protocols, each a state machine without I/O: answers and the clock go in, requests and changes of ownership come out.
//! [`incremental`] speaks the consumer rebalance protocol (KIP-848), in which the coordinator divides the partitions.
//! [`membership`] speaks the classic one (KIP-62, KIP-345, KIP-429): [`assignor`] divides when this member leads, and
//! [`subscription`] spells the two blobs that members exchange through the coordinator. [`member`] is either of them. The
//! asynchronous half lives with the consumer, whose task owns all of them.

pub(crate) mod assignor;
pub(crate) mod incremental;
pub(crate) mod member;
pub(crate) mod membership;
mod metadata;
pub(crate) mod range;
pub(crate) mod sticky;
pub(crate) mod subscription;

pub use assignor::Assignor;
pub use membership::GroupError;
pub use metadata::GroupMetadata;
