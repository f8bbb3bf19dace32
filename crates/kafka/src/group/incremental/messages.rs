//! The heartbeat and its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::group::membership::Ticket;

/// Partitions by the id of their topic.
pub(crate) type TopicsById = BTreeMap<Uuid, Vec<i32>>;

/// What a member wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Topics(BTreeSet<Arc<str>>),
    /// Every topic whose whole name matches; the broker looks for them.
    Matching(Arc<str>),
}

/// One ConsumerGroupHeartbeat. What is absent has not changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Beat {
    pub(crate) ticket: Ticket,
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) wanted: Option<Wanted>,
    pub(crate) assignor: Option<String>,
    pub(crate) owned: Option<TopicsById>,
}

/// The answer to a [`Beat`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BeatAnswer {
    /// The id under which the coordinator knows this member, if it says one.
    pub(crate) member_id: Option<String>,
    pub(crate) epoch: i32,
    pub(crate) interval: Duration,
    /// What this member should own; absent if that has not changed.
    pub(crate) assignment: Option<TopicsById>,
}
