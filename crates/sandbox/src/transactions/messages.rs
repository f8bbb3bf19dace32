//! What goes into the coordinator and what comes out of it.

use std::collections::BTreeSet;
use std::sync::Arc;

/// A producer id and the epoch that tells its instances apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Producer {
    /// What an answer carries that has none to give.
    pub(crate) const NONE: Self = Self { id: -1, epoch: -1 };
}

/// Which way of doing transactions a request speaks, as its version tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// KIP-98: partitions are added by request, and the epoch stays.
    V1,
    /// KIP-890: partitions are added by writing to them, and each transaction has an epoch of its own.
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Commit,
    Abort,
}

/// A partition of a topic, or of the group coordinator's offsets.
pub(crate) type TopicPartition = (Arc<str>, i32);

/// Markers to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// With the epoch that the markers carry.
    pub(crate) producer: Producer,
    pub(crate) outcome: Outcome,
    pub(crate) protocol: Protocol,
    pub(crate) partitions: BTreeSet<TopicPartition>,
}
