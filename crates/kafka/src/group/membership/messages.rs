//! What the membership asks of its shell, and what the shell tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::TopicPartition;
use crate::error::ErrorCode;
use crate::group::Assignor;
use crate::group::incremental::Beat;

/// Ties an answer to its request, so that the answer to a question of the past is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(pub(in crate::group) u64);

/// How a member signs its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Join(Join),
    /// Find out how many partitions these topics have, and call `described`.
    Describe {
        ticket: Ticket,
        topics: BTreeSet<Arc<str>>,
    },
    Sync(Sync),
    Heartbeat {
        ticket: Ticket,
        identity: Identity,
    },
    Leave {
        identity: Identity,
        reason: &'static str,
    },
    /// A heartbeat of the consumer protocol, whose answer goes to `answered`.
    Beat(Beat),
    /// Another member of the consumer protocol has our instance id, and may be dead: let it leave for a while, and call
    /// `released`.
    Release {
        ticket: Ticket,
        instance_id: String,
    },
    /// Find out what these topics are called, and call `metadata_changed`.
    Resolve(BTreeSet<Uuid>),
    /// The coordinator does not let this member join by the consumer protocol; it may by the classic one.
    NotOffered(ErrorCode),
    ForgetCoordinator,
    /// Let the application finish with these, commit, and call `revoked`.
    Revoke(BTreeSet<TopicPartition>),
    /// Drop these at once and commit nothing.
    Lost(BTreeSet<TopicPartition>),
    /// Begin to read these.
    Assigned(BTreeSet<TopicPartition>),
    /// The group is closed to us; the application must know.
    Failed(GroupError),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Join {
    pub(crate) ticket: Ticket,
    pub(crate) identity: Identity,
    pub(crate) protocols: Vec<(Assignor, Bytes)>,
    pub(crate) reason: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sync {
    pub(crate) ticket: Ticket,
    pub(crate) identity: Identity,
    pub(crate) protocol: Assignor,
    pub(crate) assignments: BTreeMap<String, Bytes>,
}

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The broker's error code, and with it the member id that MEMBER_ID_REQUIRED hands out.
    Code { code: ErrorCode, member_id: String },
    /// No answer: the connection or the coordinator is away.
    Unreachable(String),
}

impl Failure {
    pub(crate) fn code(code: ErrorCode) -> Self {
        Self::Code { code, member_id: String::new() }
    }
}

/// The answer to [`Effect::Join`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    pub(crate) skip_assignment: bool,
    /// Only the leader gets them: member id, instance id, subscription.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// Why this member cannot be in its group, in words for the person who can change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Another process uses the same `group.instance.id`.
    #[error(
        "group {group}: another consumer has joined with group.instance.id {instance_id}; give every process its own, or \
         leave the key out"
    )]
    Fenced {
        /// The group.
        group: String,
        /// The instance id that two processes use.
        instance_id: String,
    },
    /// A member with the same `group.instance.id` has not left, and its place cannot be taken.
    #[error(
        "group {group}: a consumer with group.instance.id {instance_id} is still a member and its place could not be taken: \
         give every process its own group.instance.id, or wait until that one's session ends (UNRELEASED_INSTANCE_ID)"
    )]
    Unreleased {
        /// The group.
        group: String,
        /// The instance id.
        instance_id: String,
    },
    /// The broker does not offer the protocol that `group.protocol` asks for.
    #[error("group {group}: group.protocol is consumer, but {reason}; set group.protocol to classic or leave it out")]
    NotOffered {
        /// The group.
        group: String,
        /// What the broker lacks.
        reason: String,
    },
    /// The broker has no assignor of that name.
    #[error(
        "group {group}: the broker has no assignor {assignor}: set group.remote.assignor to uniform or range, or leave it out \
         (UNSUPPORTED_ASSIGNOR)"
    )]
    UnsupportedAssignor {
        /// The group.
        group: String,
        /// `group.remote.assignor`.
        assignor: String,
    },
    /// The broker cannot read the pattern of the subscription.
    #[error(
        "group {group}: the broker cannot read the pattern {pattern:?} for topics, which must be a regular expression as RE2 \
         knows them (INVALID_REGULAR_EXPRESSION)"
    )]
    InvalidPattern {
        /// The group.
        group: String,
        /// The pattern.
        pattern: String,
    },
    /// The principal may not read with this group.
    #[error("group {group}: not authorized; the principal needs Read on group {group} (GROUP_AUTHORIZATION_FAILED)")]
    Unauthorized {
        /// The group.
        group: String,
    },
    /// The group's other members speak another protocol or use other assignors.
    #[error(
        "group {group}: its members share no assignor with us ({ours}), or use another group.protocol: set \
         partition.assignment.strategy to one that every member lists, set group.protocol as theirs, or use another group.id \
         (INCONSISTENT_GROUP_PROTOCOL)"
    )]
    Inconsistent {
        /// The group.
        group: String,
        /// The assignors of this member.
        ours: String,
    },
    /// The broker does not accept a setting.
    #[error("group {group}: the broker refused to let us in: {reason}")]
    Refused {
        /// The group.
        group: String,
        /// What it said, and the key that would change it.
        reason: String,
    },
}
