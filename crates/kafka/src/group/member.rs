//! A member of either protocol, as far as they are alike to the consumer.

use tokio::time::Instant;

use super::incremental::Incremental;
use super::membership::{Effect, Identity, Membership};
use crate::TopicPartition;

/// A member of a group.
#[derive(Debug)]
pub(crate) enum Member {
    Classic(Box<Membership>),
    Incremental(Box<Incremental>),
}

impl Member {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Classic(member) => member.next_deadline(),
            Self::Incremental(member) => member.next_deadline(),
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        match self {
            Self::Classic(member) => member.tick(now),
            Self::Incremental(member) => member.tick(now),
        }
    }

    pub(crate) fn application_polls(&mut self, polling: bool, now: Instant) {
        match self {
            Self::Classic(member) => member.application_polls(polling, now),
            Self::Incremental(member) => member.application_polls(polling, now),
        }
    }

    pub(crate) fn revoked(&mut self, now: Instant) -> Vec<Effect> {
        match self {
            Self::Classic(member) => {
                member.revoked(now);
                member.tick(now)
            }
            Self::Incremental(member) => member.revoked(now),
        }
    }

    pub(crate) fn close(&mut self) -> Vec<Effect> {
        match self {
            Self::Classic(member) => member.close(),
            Self::Incremental(member) => member.close(),
        }
    }

    /// How a commit must sign, or `None` if it must wait.
    pub(crate) fn commit_identity(&self) -> Option<Identity> {
        match self {
            Self::Classic(member) => member.commit_identity(),
            Self::Incremental(member) => member.signature(),
        }
    }

    /// How this member signs now, if it is in the group.
    pub(crate) fn signature(&self) -> Option<Identity> {
        match self {
            Self::Classic(member) => member.signature(),
            Self::Incremental(member) => member.signature(),
        }
    }

    /// Whether it has left because the application stopped asking for records.
    pub(crate) fn has_left(&self) -> bool {
        match self {
            Self::Classic(member) => member.has_left(),
            Self::Incremental(member) => member.has_left(),
        }
    }

    pub(crate) fn owns(&self, partition: &TopicPartition) -> bool {
        match self {
            Self::Classic(member) => member.owned().contains(partition),
            Self::Incremental(member) => member.owns(partition),
        }
    }

    /// The member, if it speaks the classic protocol.
    pub(crate) fn classic(&mut self) -> Option<&mut Membership> {
        match self {
            Self::Classic(member) => Some(member),
            Self::Incremental(_) => None,
        }
    }

    /// The member, if it speaks the consumer protocol.
    pub(crate) fn incremental(&mut self) -> Option<&mut Incremental> {
        match self {
            Self::Classic(_) => None,
            Self::Incremental(member) => Some(member),
        }
    }
}
