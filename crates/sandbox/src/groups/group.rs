//! The state machine of one classic group.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::member::{Member, ReplyTo};

/// A new member may take this long between its first JoinGroup and the end of the rebalance.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// What the broker's configuration says of groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before the first generation.
    pub(crate) initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`
    pub(crate) min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub(crate) max_session_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_millis(50),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
        }
    }
}

/// The states of Kafka's `ClassicGroupState`; a dead group is one that the coordinator has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

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

/// One group. Every method that can end somebody's waiting returns the answers that are now due.
#[derive(Debug)]
pub(crate) struct Group {
    settings: Settings,
    state: State,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    instances: HashMap<String, String>,
    /// Ids given out that have not joined yet, and when they lapse.
    pending: HashMap<String, Instant>,
    rebalance_ends: Option<Instant>,
    /// A leader that has gone silent must not hold the others for ever.
    sync_ends: Option<Instant>,
}

impl Group {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: HashMap::new(),
            rebalance_ends: None,
            sync_ends: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// The chosen strategy; empty while none is.
    pub(crate) fn protocol(&self) -> &str {
        if self.state == State::Stable { &self.protocol } else { "" }
    }

    /// Calls `see` with each member's id, instance id, client id, host, subscription and assignment.
    pub(crate) fn each_member(&self, mut see: impl FnMut(&str, Option<&str>, &str, &str, Bytes, Bytes)) {
        for (id, member) in &self.members {
            let metadata = member.metadata(&self.protocol);
            see(
                id,
                member.instance_id.as_deref(),
                &member.client_id,
                &member.client_host,
                metadata,
                member.assignment.clone(),
            );
        }
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

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
        if join.session_timeout < self.settings.min_session_timeout
            || join.session_timeout > self.settings.max_session_timeout
        {
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

    fn joined(&self, member_id: &str, skip_assignment: bool) -> Joined {
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

    fn prepare_rebalance(&mut self, now: Instant) -> Vec<Effect> {
        if self.state == State::PreparingRebalance {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(waiting) = member.awaiting_sync.take() {
                member.heard_from(now);
                effects.push(Effect::Synced(waiting, Err(ResponseError::RebalanceInProgress)));
            }
        }
        let wait = if self.state == State::Empty {
            self.settings.initial_rebalance_delay
        } else {
            self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
        };
        self.state = State::PreparingRebalance;
        self.rebalance_ends = Some(now + wait);
        self.sync_ends = None;
        effects
    }

    fn complete_join_if_all_are_in(&mut self, now: Instant) -> Vec<Effect> {
        let first_round = self.generation == 0 || self.leader.is_none();
        let delayed = first_round && self.rebalance_ends.is_some_and(|ends| now < ends);
        let all_in = self.pending.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == State::PreparingRebalance && all_in && !delayed { self.complete_join(now) } else { Vec::new() }
    }

    fn complete_join(&mut self, now: Instant) -> Vec<Effect> {
        self.rebalance_ends = None;
        // Whoever has not come back is out, unless it is static: that one keeps its place until its session ends.
        let gone: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.members.remove(&id);
        }
        if self.members.is_empty() {
            self.become_empty();
            return Vec::new();
        }
        self.generation += 1;
        self.state = State::CompletingRebalance;
        self.protocol = self.elect_protocol();
        let present = |id: &String| self.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
        if !self.leader.as_ref().is_some_and(present) {
            self.leader =
                self.members.iter().find(|(_, member)| member.awaiting_join.is_some()).map(|(id, _)| id.clone());
        }
        let wait = self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default();
        self.sync_ends = Some(now + wait);
        let mut effects = Vec::new();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, false);
            if let Some(member) = self.members.get_mut(&id)
                && let Some(reply) = member.awaiting_join.take()
            {
                member.heard_from(now);
                effects.push(Effect::Joined(reply, Ok(joined)));
            }
        }
        effects
    }

    /// Every member votes for the first of its strategies that all members speak; the most votes win.
    fn elect_protocol(&self) -> String {
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let common = |name: &&String| self.members.values().all(|other| other.supports(name));
            if let Some(choice) = member.protocols.iter().map(|(name, _)| name).find(common) {
                match votes.iter_mut().find(|(name, _)| name == choice) {
                    Some((_, count)) => *count += 1,
                    None => votes.push((choice, 1)),
                }
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max().unwrap_or_default();
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned()).unwrap_or_default()
    }

    fn become_empty(&mut self) {
        if self.state != State::Empty {
            self.generation += 1;
        }
        self.state = State::Empty;
        self.leader = None;
        self.protocol.clear();
        self.rebalance_ends = None;
        self.sync_ends = None;
    }

    /// SyncGroup: the leader brings the assignment, the others wait for it.
    pub(crate) fn sync(&mut self, sync: Sync, reply: ReplyTo, now: Instant) -> Vec<Effect> {
        let refuse = |error| vec![Effect::Synced(reply, Err(error))];
        if let Err(error) = self.check(&sync.member_id, sync.instance_id.as_deref(), sync.generation) {
            return refuse(error);
        }
        let differs = |named: &Option<String>, ours: &str| named.as_ref().is_some_and(|named| named != ours);
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => refuse(ResponseError::UnknownMemberId),
            State::PreparingRebalance => refuse(ResponseError::RebalanceInProgress),
            State::Stable => {
                let answer = self.synced(&sync.member_id);
                self.heard_from(&sync.member_id, now);
                vec![Effect::Synced(reply, Ok(answer))]
            }
            State::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(&sync.member_id) {
                    member.heard_from(now);
                    member.awaiting_sync = Some(reply);
                }
                if self.leader.as_deref() == Some(sync.member_id.as_str()) {
                    self.assign(sync.assignments, now)
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn assign(&mut self, assignments: Vec<(String, Bytes)>, now: Instant) -> Vec<Effect> {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = State::Stable;
        self.sync_ends = None;
        let waiting: Vec<_> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| {
                let reply = member.awaiting_sync.take()?;
                member.heard_from(now);
                Some((id.clone(), reply))
            })
            .collect();
        waiting.into_iter().map(|(id, reply)| Effect::Synced(reply, Ok(self.synced(&id)))).collect()
    }

    fn synced(&self, member_id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    /// Whether a member of this generation speaks: for SyncGroup, Heartbeat and OffsetCommit.
    fn check(&self, member_id: &str, instance_id: Option<&str>, generation: i32) -> Result<(), ResponseError> {
        if let Some(instance) = instance_id {
            match self.instances.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(current) if current != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    fn heard_from(&mut self, member_id: &str, now: Instant) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.heard_from(now);
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.check(member_id, instance_id, generation)?;
        self.heard_from(member_id, now);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Whether an OffsetCommit is from a member of this generation, or from a stranger while there is none.
    pub(crate) fn may_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check(member_id, instance_id, generation)?;
        self.heard_from(member_id, now);
        if self.state == State::CompletingRebalance { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    }

    /// LeaveGroup for one member: the error for it, and what others are now told.
    pub(crate) fn leave(&mut self, leave: &Leave, now: Instant) -> (Result<(), ResponseError>, Vec<Effect>) {
        let id = match &leave.instance_id {
            None => leave.member_id.clone(),
            Some(instance) => match self.instances.get(instance) {
                None => return (Err(ResponseError::UnknownMemberId), Vec::new()),
                Some(current) if !leave.member_id.is_empty() && *current != leave.member_id => {
                    return (Err(ResponseError::FencedInstanceId), Vec::new());
                }
                Some(current) => current.clone(),
            },
        };
        if self.pending.remove(&id).is_some() {
            return (Ok(()), self.complete_join_if_all_are_in(now));
        }
        if !self.members.contains_key(&id) {
            return (Err(ResponseError::UnknownMemberId), Vec::new());
        }
        (Ok(()), self.remove(&id, now))
    }

    fn remove(&mut self, id: &str, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(member) = self.members.remove(id) else {
            return effects;
        };
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if let Some(reply) = member.awaiting_join {
            effects.push(Effect::Joined(reply, Err((ResponseError::UnknownMemberId, id.to_owned()))));
        }
        if let Some(reply) = member.awaiting_sync {
            effects.push(Effect::Synced(reply, Err(ResponseError::UnknownMemberId)));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if self.members.is_empty() && self.pending.is_empty() {
            self.become_empty();
        } else if self.state != State::Empty {
            effects.extend(self.prepare_rebalance(now));
            effects.extend(self.complete_join_if_all_are_in(now));
        }
        effects
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().filter(|member| !member.is_waiting()).map(|member| member.session_ends);
        sessions.chain(self.pending.values().copied()).chain(self.rebalance_ends).chain(self.sync_ends).min()
    }

    /// Ends what has lasted too long: sessions, ids that never joined, rebalances.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.pending.retain(|_, lapses| *lapses > now);
        let silent: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| !member.is_waiting() && member.session_ends <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            effects.extend(self.remove(&id, now));
        }
        if self.rebalance_ends.is_some_and(|ends| ends <= now) && self.state == State::PreparingRebalance {
            effects.extend(self.complete_join(now));
        } else {
            effects.extend(self.complete_join_if_all_are_in(now));
        }
        if self.sync_ends.is_some_and(|ends| ends <= now) && self.state == State::CompletingRebalance {
            let late: Vec<_> = self
                .members
                .iter()
                .filter(|(_, member)| member.awaiting_sync.is_none())
                .map(|(id, _)| id.clone())
                .collect();
            self.sync_ends = None;
            for id in late {
                effects.extend(self.remove(&id, now));
            }
        }
        effects
    }
}

fn metadata(protocols: &[(String, Bytes)], name: &str) -> Bytes {
    protocols.iter().find(|(candidate, _)| candidate == name).map(|(_, metadata)| metadata.clone()).unwrap_or_default()
}
