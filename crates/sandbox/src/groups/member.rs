//! One member of a group, as the coordinator sees it.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// Where an answer that had to wait is sent. The broker gives the numbers out and keeps what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ReplyTo(pub(crate) u64);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// Assignment strategies in the member's order of preference, each with what it tells the leader.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// A JoinGroup that waits for the others.
    pub(super) awaiting_join: Option<ReplyTo>,
    /// A SyncGroup that waits for the leader.
    pub(super) awaiting_sync: Option<ReplyTo>,
    pub(super) session_ends: Instant,
}

impl Member {
    /// A member of the classic protocol that was in a group of the new one. Its assignment is void, as all have to join anew.
    pub(super) fn of_consumer_group(member: super::consumer::Member) -> Option<Self> {
        let classic = member.classic?;
        Some(Self {
            instance_id: member.instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            session_timeout: classic.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            protocols: classic.protocols,
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            session_ends: member.session_ends,
        })
    }

    pub(super) fn heard_from(&mut self, now: Instant) {
        self.session_ends = now + self.session_timeout;
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// A parked request proves that the member is there.
    pub(super) fn is_waiting(&self) -> bool {
        self.awaiting_join.is_some() || self.awaiting_sync.is_some()
    }
}
