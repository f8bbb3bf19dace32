//! A group of either protocol.

use std::time::Instant;

use kafka_protocol::error::ResponseError;

use super::consumer::{Answer, Catalogue, CommitRight, ConsumerGroup, ConsumerGroupSettings, Heartbeat, Refusal};
use super::group::{Group, Settings, State};
use super::member::Member;
use super::messages::{Effect, Leave};

/// The members of a group, by the protocol that they speak.
#[derive(Debug)]
pub(crate) enum Membership {
    /// JoinGroup and SyncGroup.
    Classic(Group),
    /// ConsumerGroupHeartbeat.
    Consumer(ConsumerGroup),
}

impl Membership {
    /// Nobody is in it. It may speak another protocol from here on.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state() == State::Empty,
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Nobody is in it, is about to be, or ever was.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_blank(),
            Self::Consumer(group) => group.is_blank(),
        }
    }

    pub(crate) fn classic_mut(&mut self) -> Option<&mut Group> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    pub(crate) fn consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    /// As ListGroups names it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
        }
    }

    pub(crate) fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state_name(),
        }
    }

    pub(crate) fn protocol_type(&self) -> &str {
        match self {
            Self::Classic(group) => group.protocol_type(),
            Self::Consumer(_) => "consumer",
        }
    }

    pub(crate) fn member_count(&self) -> usize {
        match self {
            Self::Classic(group) => group.member_count(),
            Self::Consumer(group) => group.member_count(),
        }
    }

    /// Whether some member may be reading `topic`.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.subscribes_to(topic),
            Self::Consumer(group) => group.subscribes_to(topic),
        }
    }

    /// Whether an OffsetCommit of this version is from a member of the current generation (or epoch), or from anybody while nobody is
    /// in the group, and what it may cover.
    pub(crate) fn may_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        version: i16,
        now: Instant,
    ) -> Result<CommitRight, ResponseError> {
        match self {
            Self::Classic(group) => {
                group.may_commit(member_id, instance_id, generation, now).map(|()| CommitRight::Any)
            }
            Self::Consumer(group) => group.may_commit(member_id, generation, version),
        }
    }

    /// Whether a TxnOffsetCommit is from a member of the current generation (or epoch), or names none, and what it may cover.
    pub(crate) fn may_commit_in_transaction(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<CommitRight, ResponseError> {
        match self {
            Self::Classic(group) => {
                group.may_commit_in_transaction(member_id, instance_id, generation).map(|()| CommitRight::Any)
            }
            Self::Consumer(group) => group.may_commit_in_transaction(member_id, instance_id, generation),
        }
    }

    /// Whether an OffsetFetch that names a member, which it may from version 9 on, is from one.
    pub(crate) fn may_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        match self {
            Self::Classic(_) => Ok(()),
            Self::Consumer(group) => group.may_fetch(member_id, epoch),
        }
    }

    /// The group of the new protocol that this one becomes when somebody joins by it, where it can: a group without members always.
    pub(crate) fn upgraded(
        &self,
        id: &str,
        settings: ConsumerGroupSettings,
        topics: &Catalogue,
        now: Instant,
    ) -> Option<ConsumerGroup> {
        match self {
            Self::Consumer(_) => None,
            Self::Classic(group) if group.state() == State::Empty => Some(ConsumerGroup::new(id, settings)),
            Self::Classic(group) => ConsumerGroup::from_classic(id, settings, group, topics, now),
        }
    }

    /// Goes back to the classic protocol when only its members are left.
    fn downgrade(&mut self, settings: Settings, now: Instant) {
        if let Self::Consumer(group) = self
            && group.is_only_classic()
        {
            let generation = group.epoch();
            let members = std::mem::take(&mut group.members).into_iter();
            let members = members.filter_map(|(id, member)| Some((id, Member::of_consumer_group(member)?)));
            *self = Self::Classic(Group::of_members(settings, generation, members.collect(), now));
        }
    }

    /// LeaveGroup for one member: the error for it, and what others are now told.
    pub(crate) fn leave(
        &mut self,
        leave: &Leave,
        settings: Settings,
        now: Instant,
    ) -> (Result<(), ResponseError>, Vec<Effect>) {
        match self {
            Self::Classic(group) => group.leave(leave, now),
            Self::Consumer(group) => {
                let left = group.classic_leave(leave);
                self.downgrade(settings, now);
                (left, Vec::new())
            }
        }
    }

    /// ConsumerGroupHeartbeat; `None` when the group speaks the classic protocol.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        beat: Heartbeat,
        topics: &Catalogue,
        may_see: &dyn Fn(&str) -> bool,
        settings: Settings,
        now: Instant,
    ) -> Option<Result<Answer, Refusal>> {
        let Self::Consumer(group) = self else { return None };
        let answer = group.heartbeat(beat, topics, may_see, now);
        self.downgrade(settings, now);
        Some(answer)
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }

    /// Ends what has lasted too long.
    pub(crate) fn tick(&mut self, settings: Settings, now: Instant) -> Vec<Effect> {
        match self {
            Self::Classic(group) => group.tick(now),
            Self::Consumer(group) => {
                group.tick(now);
                self.downgrade(settings, now);
                Vec::new()
            }
        }
    }
}
