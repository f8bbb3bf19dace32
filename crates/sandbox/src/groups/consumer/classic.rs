//! Members that speak the classic protocol in a group of the new one: a fleet changes over a member at a time (KIP-848, "online
//! upgrade"). To them the coordinator is a leader that they never see: JoinGroup and SyncGroup are answered at once, and
//! REBALANCE_IN_PROGRESS sends them back to JoinGroup for their next step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::super::embedded::{Subscription, read_assignment, write_assignment};
use super::super::group::{CONSUMER, Group};
use super::super::messages::{Join, Joined, Leave, Sync, Synced};
use super::group::ConsumerGroup;
use super::member::{Member, Progress};
use super::messages::{ConsumerGroupSettings, Partitions};
use super::subscription::Catalogue;

/// What a member of the classic protocol has that others have not.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct ClassicMember {
    pub(in super::super) session_timeout: Duration,
    pub(in super::super) protocols: Vec<(String, Bytes)>,
    /// It was told to join again and has to by then.
    pub(super) join_ends: Option<Instant>,
    /// It has joined and has to ask for its assignment by then.
    pub(super) sync_ends: Option<Instant>,
}

impl ClassicMember {
    fn protocol(&self) -> &str {
        self.protocols.first().map(|(name, _)| name.as_str()).unwrap_or_default()
    }

    fn version(&self) -> i16 {
        let subscription = self.protocols.first().and_then(|(_, metadata)| Subscription::read(metadata));
        subscription.map(|subscription| subscription.version).unwrap_or_default()
    }
}

impl ConsumerGroup {
    /// A classic group of consumers that goes over to the new protocol, with all its members. `None` where one of them cannot be
    /// understood.
    pub(crate) fn from_classic(
        id: &str,
        settings: ConsumerGroupSettings,
        classic: &Group,
        topics: &Catalogue,
        now: Instant,
    ) -> Option<Self> {
        if classic.protocol_type() != CONSUMER || classic.members.len() > settings.max_size {
            return None;
        }
        let mut group = Self::new(id, settings);
        group.epoch = classic.generation.max(1);
        group.target_epoch = group.epoch;
        for (id, old) in &classic.members {
            let subscription = Subscription::read(&old.protocols.first()?.1)?;
            let assigned = by_id(read_assignment(&old.assignment)?, topics);
            let mut member = Member::new(now);
            member.instance_id.clone_from(&old.instance_id);
            member.client_id.clone_from(&old.client_id);
            member.client_host.clone_from(&old.client_host);
            member.rebalance_timeout = old.rebalance_timeout;
            member.topics = subscription.topics.into_iter().collect();
            member.epoch = classic.generation;
            member.previous_epoch = classic.generation;
            member.assigned = assigned.iter().map(|partition| (*partition, classic.generation)).collect();
            member.session_ends = now + old.session_timeout;
            member.classic = Some(ClassicMember {
                session_timeout: old.session_timeout,
                protocols: old.protocols.clone(),
                join_ends: None,
                sync_ends: None,
            });
            group.target.insert(id.clone(), assigned);
            group.members.insert(id.clone(), member);
        }
        group.instances.clone_from(&classic.instances);
        group.subscribed = group.all_topics(topics);
        Some(group)
    }

    /// Whether there are members and none of them speaks the new protocol any more.
    pub(crate) fn is_only_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    /// JoinGroup. `new_id` makes an id for a stranger.
    pub(crate) fn classic_join(
        &mut self,
        join: Join,
        new_id: impl FnOnce() -> String,
        topics: &Catalogue,
        now: Instant,
    ) -> Result<Joined, (ResponseError, String)> {
        let refuse = |error| Err((error, join.member_id.clone()));
        if self.members.len() >= self.settings.max_size && !self.members.contains_key(&join.member_id) {
            return refuse(ResponseError::GroupMaxSizeReached);
        }
        let subscription = join.protocols.first().and_then(|(_, metadata)| Subscription::read(metadata));
        let Some(subscription) = subscription.filter(|_| join.protocol_type == CONSUMER && self.understands(&join))
        else {
            return refuse(ResponseError::InconsistentGroupProtocol);
        };
        if join.member_id.is_empty() && join.requires_member_id && join.instance_id.is_none() {
            return Err((ResponseError::MemberIdRequired, new_id()));
        }
        let id = match join.instance_id.as_ref().map(|instance| self.instances.get(instance).cloned()) {
            Some(Some(owner)) if join.member_id.is_empty() => {
                let id = new_id();
                self.replace(&owner, &id);
                id
            }
            Some(Some(owner)) if owner != join.member_id => return refuse(ResponseError::FencedInstanceId),
            Some(None) if !join.member_id.is_empty() => return refuse(ResponseError::UnknownMemberId),
            _ if join.member_id.is_empty() => new_id(),
            _ => join.member_id.clone(),
        };
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = self.members.entry(id.clone()).or_insert_with(|| Member::new(now));
        let wanted: BTreeSet<String> = subscription.topics.into_iter().collect();
        let changed = member.topics != wanted || member.pattern().is_some();
        let protocol = join.protocols.first().map(|(name, _)| name.clone()).unwrap_or_default();
        member.topics = wanted;
        member.regex = None;
        member.assignor = None;
        member.instance_id = join.instance_id.or(member.instance_id.take());
        (member.client_id, member.client_host) = (join.client_id, join.client_host);
        member.rebalance_timeout = join.rebalance_timeout;
        member.revocation_ends = None;
        member.session_ends = now + join.session_timeout;
        member.classic = Some(ClassicMember {
            session_timeout: join.session_timeout,
            protocols: join.protocols,
            join_ends: None,
            sync_ends: Some(now + join.rebalance_timeout),
        });
        self.forget_patterns();
        self.raise_epoch(changed, topics);
        self.make_target(topics, now);
        let owned = by_id(subscription.owned, topics);
        self.advance(&id, Some(&owned), topics, now);
        Ok(Joined {
            generation: self.members.get(&id).map(|member| member.epoch).unwrap_or_default(),
            protocol_type: CONSUMER.to_owned(),
            protocol,
            leader: String::new(),
            member_id: id,
            skip_assignment: false,
            members: Vec::new(),
        })
    }

    /// Whether the newcomer speaks a strategy that all members of its protocol speak.
    fn understands(&self, join: &Join) -> bool {
        let others = self.members.iter().filter(|(id, _)| **id != join.member_id);
        let others: Vec<_> = others.filter_map(|(_, member)| member.classic.as_ref()).collect();
        let speaks = |name: &str, other: &ClassicMember| other.protocols.iter().any(|(theirs, _)| theirs == name);
        join.protocols.iter().any(|(name, _)| others.iter().all(|other| speaks(name, other)))
    }

    /// The member of the classic protocol that speaks, under this generation, and the group's epoch.
    fn classic_member(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(&mut Member, i32), ResponseError> {
        self.check_instance(member_id, instance_id)?;
        let group_epoch = self.epoch;
        let member = self.members.get_mut(member_id).filter(|member| member.classic.is_some());
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        if member.epoch != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok((member, group_epoch))
    }

    fn check_instance(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        match instance_id.map(|instance| self.instances.get(instance)) {
            None => Ok(()),
            Some(None) => Err(ResponseError::UnknownMemberId),
            Some(Some(owner)) if owner != member_id => Err(ResponseError::FencedInstanceId),
            Some(Some(_)) => Ok(()),
        }
    }

    /// SyncGroup.
    pub(crate) fn classic_sync(
        &mut self,
        sync: &Sync,
        topics: &Catalogue,
        now: Instant,
    ) -> Result<Synced, ResponseError> {
        let (member, epoch) = self.classic_member(&sync.member_id, sync.instance_id.as_deref(), sync.generation)?;
        let rebalance_timeout = member.rebalance_timeout;
        let is_behind = epoch > member.epoch && member.progress != Progress::Revoking;
        let assigned: Partitions = member.assigned.keys().copied().collect();
        let classic = member.classic.as_mut().ok_or(ResponseError::UnknownMemberId)?;
        let differs = |named: &Option<String>, ours: &str| named.as_ref().is_some_and(|named| named != ours);
        if differs(&sync.protocol_type, CONSUMER) || differs(&sync.protocol, classic.protocol()) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if is_behind {
            classic.join_ends.get_or_insert(now + rebalance_timeout);
            return Err(ResponseError::RebalanceInProgress);
        }
        classic.sync_ends = None;
        let (version, protocol) = (classic.version(), classic.protocol().to_owned());
        member.session_ends = now + classic.session_timeout;
        let mut by_name: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for name in topics.names() {
            let Some((id, _)) = topics.get(name) else { continue };
            let partitions: Vec<i32> =
                assigned.iter().filter(|(topic, _)| *topic == id).map(|(_, partition)| *partition).collect();
            if !partitions.is_empty() {
                by_name.insert(name.to_string(), partitions);
            }
        }
        let assignment = write_assignment(version, &by_name);
        Ok(Synced { protocol_type: CONSUMER.to_owned(), protocol, assignment })
    }

    /// Heartbeat.
    pub(crate) fn classic_heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let target = self.target.get(member_id).cloned().unwrap_or_default();
        let held = self.held();
        let (member, epoch) = self.classic_member(member_id, instance_id, generation)?;
        let rebalance_timeout = member.rebalance_timeout;
        let waits_for_nobody = member.progress == Progress::Waiting
            && target.iter().all(|partition| member.assigned.contains_key(partition) || !held.contains(partition));
        let has_to_join = member.epoch < epoch || member.progress == Progress::Revoking || waits_for_nobody;
        let classic = member.classic.as_mut().ok_or(ResponseError::UnknownMemberId)?;
        member.session_ends = now + classic.session_timeout;
        if has_to_join {
            classic.join_ends.get_or_insert(now + rebalance_timeout);
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup for one member.
    pub(crate) fn classic_leave(&mut self, leave: &Leave) -> Result<(), ResponseError> {
        let id = match &leave.instance_id {
            None => leave.member_id.clone(),
            Some(instance) => {
                let owner = self.instances.get(instance).cloned().ok_or(ResponseError::UnknownMemberId)?;
                if !leave.member_id.is_empty() && owner != leave.member_id {
                    return Err(ResponseError::FencedInstanceId);
                }
                owner
            }
        };
        if self.members.get(&id).is_none_or(|member| member.classic.is_none()) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.remove(&id);
        Ok(())
    }
}

fn by_id(partitions: Vec<(String, i32)>, topics: &Catalogue) -> Partitions {
    partitions.into_iter().filter_map(|(name, partition)| Some((topics.get(&name)?.0, partition))).collect()
}
