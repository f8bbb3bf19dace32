//! What goes into a group and what comes out of it.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::member::ReplyTo;

/// A JoinGroup request.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Version 4 and later: a stranger is first told its id (KIP-394).
    pub(crate) requires_member_id: bool,
    /// Version 9 and later: a leader may be told not to assign (KIP-814).
    pub(crate) skips_assignment: bool,
}

/// A member as the leader is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

/// The answer to a JoinGroup that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    pub(crate) skip_assignment: bool,
    /// Everybody, for the leader; nobody, for the others.
    pub(crate) members: Vec<JoinedMember>,
}

/// A SyncGroup request.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// The answer to a SyncGroup that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

/// One member of a LeaveGroup request.
#[derive(Debug, Clone)]
pub(crate) struct Leave {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

/// An answer to be sent, perhaps to a request that came earlier.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The error comes with the member id that the answer must carry.
    Joined(ReplyTo, Result<Joined, (ResponseError, String)>),
    Synced(ReplyTo, Result<Synced, ResponseError>),
}
