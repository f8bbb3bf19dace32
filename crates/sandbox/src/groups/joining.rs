//! Coming in: strangers, members that come back, static members under a new id.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::group::{Group, State};
use super::member::{Member, ReplyTo};
use super::messages::{Effect, Join, Joined, JoinedMember};

/// A new member may take this long between its first JoinGroup and the end of the rebalance.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

impl Group {
    /// JoinGroup. `new_id` makes an id for a stranger.
    pub(crate) fn join(
        &mut self,
        join: Join,
        reply: ReplyTo,
        new_id: impl FnOnce() -> String,
        now: Instant,
    ) -> Vec<Effect> {
        match self.admit(join, reply, new_id, now) {
            Ok(effects) => effects,
            Err((error, member_id)) => vec![Effect::Joined(reply, Err((error, member_id)))],
        }
    }

    fn admit(
        &mut self,
        join: Join,
        reply: ReplyTo,
        new_id: impl FnOnce() -> String,
        now: Instant,
    ) -> Result<Vec<Effect>, (ResponseError, String)> {
        let refuse = |error| Err((error, join.member_id.clone()));
        if !self.settings.allows_session(join.session_timeout) {
            return refuse(ResponseError::InvalidSessionTimeout);
        }
        if join.protocols.is_empty() || join.protocol_type.is_empty() || !self.understands(&join) {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        if let Some(instance) = &join.instance_id {
            match self.instances.get(instance).cloned() {
                Some(old) if join.member_id.is_empty() => {
                    return Ok(self.replace_static(old, join, reply, new_id(), now));
                }
                Some(current) if current != join.member_id => return refuse(ResponseError::FencedInstanceId),
                _ => {}
            }
        }
        if join.member_id.is_empty() {
            let id = new_id();
            if join.requires_member_id && join.instance_id.is_none() {
                self.pending.insert(id.clone(), now + join.session_timeout);
                return Err((ResponseError::MemberIdRequired, id));
            }
            return Ok(self.add(id, join, reply, now));
        }
        if self.pending.remove(&join.member_id).is_some() {
            let id = join.member_id.clone();
            return Ok(self.add(id, join, reply, now));
        }
        let Some(member) = self.members.get_mut(&join.member_id) else {
            return refuse(ResponseError::UnknownMemberId);
        };
        member.heard_from(now);
        let changed = member.protocols != join.protocols;
        let leads = self.leader.as_deref() == Some(join.member_id.as_str());
        match self.state {
            // A follower that lost the answer, or a leader before it assigned, is told again.
            State::CompletingRebalance if !changed => {
                let joined = self.joined(&join.member_id, false);
                Ok(vec![Effect::Joined(reply, Ok(joined))])
            }
            State::Stable if !changed && !leads => {
                let joined = self.joined(&join.member_id, false);
                Ok(vec![Effect::Joined(reply, Ok(joined))])
            }
            State::Empty => refuse(ResponseError::UnknownMemberId),
            _ => Ok(self.rejoin(join, reply, now)),
        }
    }

    /// Whether the newcomer speaks a strategy that everybody speaks.
    fn understands(&self, join: &Join) -> bool {
        let others: Vec<_> =
            self.members.iter().filter(|(id, _)| **id != join.member_id).map(|(_, member)| member).collect();
        others.is_empty()
            || (join.protocol_type == self.protocol_type
                && join.protocols.iter().any(|(name, _)| others.iter().all(|member| member.supports(name))))
    }

    fn add(&mut self, id: String, join: Join, reply: ReplyTo, now: Instant) -> Vec<Effect> {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(reply),
            awaiting_sync: None,
            session_ends: now + join.session_timeout.max(NEW_MEMBER_JOIN_TIMEOUT),
        };
        self.members.insert(id, member);
        let mut effects = self.prepare_rebalance(now);
        effects.extend(self.complete_join_if_all_are_in(now));
        effects
    }

    fn rejoin(&mut self, join: Join, reply: ReplyTo, now: Instant) -> Vec<Effect> {
        if let Some(member) = self.members.get_mut(&join.member_id) {
            member.protocols = join.protocols;
            member.session_timeout = join.session_timeout;
            member.rebalance_timeout = join.rebalance_timeout;
            member.heard_from(now);
        }
        let mut effects = self.prepare_rebalance(now);
        if let Some(member) = self.members.get_mut(&join.member_id)
            && let Some(earlier) = member.awaiting_join.replace(reply)
        {
            // Its client gave up on the first answer; it must not wait for ever on our side.
            effects.push(Effect::Joined(earlier, Err((ResponseError::RebalanceInProgress, join.member_id))));
        }
        effects.extend(self.complete_join_if_all_are_in(now));
        effects
    }

    /// A static member is back under a new id: whoever uses the old one is fenced, and nothing is rebalanced when the group is
    /// stable and the member asks for the same as before (KIP-345).
    fn replace_static(&mut self, old: String, join: Join, reply: ReplyTo, id: String, now: Instant) -> Vec<Effect> {
        let Some(mut member) = self.members.remove(&old) else {
            return self.add(id, join, reply, now);
        };
        let mut effects = Vec::new();
        if let Some(waiting) = member.awaiting_join.take() {
            effects.push(Effect::Joined(waiting, Err((ResponseError::FencedInstanceId, old.clone()))));
        }
        if let Some(waiting) = member.awaiting_sync.take() {
            effects.push(Effect::Synced(waiting, Err(ResponseError::FencedInstanceId)));
        }
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let unchanged = member.metadata(&self.protocol) == metadata(&join.protocols, &self.protocol);
        let led = self.leader.as_deref() == Some(old.as_str());
        if led {
            self.leader = Some(id.clone());
        }
        member.client_id = join.client_id;
        member.client_host = join.client_host;
        member.protocols = join.protocols;
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.heard_from(now);
        let stays = self.state == State::Stable && unchanged && member.supports(&self.protocol);
        if !stays {
            member.awaiting_join = Some(reply);
        }
        self.members.insert(id.clone(), member);
        if stays {
            let mut joined = self.joined(&id, led && join.skips_assignment);
            if led && !join.skips_assignment {
                // An older client that is told it leads would assign anew; naming the id that is gone keeps it from that.
                joined.leader = old;
                joined.members.clear();
            }
            effects.push(Effect::Joined(reply, Ok(joined)));
        } else {
            effects.extend(self.prepare_rebalance(now));
            effects.extend(self.complete_join_if_all_are_in(now));
        }
        effects
    }

    pub(super) fn joined(&self, member_id: &str, skip_assignment: bool) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == member_id {
            self.members
                .iter()
                .map(|(id, member)| JoinedMember {
                    member_id: id.clone(),
                    instance_id: member.instance_id.clone(),
                    metadata: member.metadata(&self.protocol),
                })
                .collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            member_id: member_id.to_owned(),
            skip_assignment,
            members,
        }
    }
}

fn metadata(protocols: &[(String, Bytes)], name: &str) -> Bytes {
    protocols.iter().find(|(candidate, _)| candidate == name).map(|(_, metadata)| metadata.clone()).unwrap_or_default()
}
