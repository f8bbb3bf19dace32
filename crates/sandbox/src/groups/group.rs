//! The state machine of one classic group.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::consumer::ConsumerGroupSettings;
use super::embedded::Subscription;
use super::member::{Member, ReplyTo};
use super::messages::{Effect, Leave, Sync, Synced};

/// What the broker's configuration says of groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before the first generation.
    pub(crate) initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`
    pub(crate) min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub(crate) max_session_timeout: Duration,
    /// For groups of the consumer protocol; `None` is a cluster that has it off (`group.version` 0).
    pub(crate) consumer: Option<ConsumerGroupSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_millis(50),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
            consumer: Some(ConsumerGroupSettings::default()),
        }
    }
}

impl Settings {
    /// Whether a member of the classic protocol may have this session timeout.
    pub(crate) fn allows_session(&self, timeout: Duration) -> bool {
        (self.min_session_timeout..=self.max_session_timeout).contains(&timeout)
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

/// The protocol type of consumers, whose members tell what they subscribe to.
pub(super) const CONSUMER: &str = "consumer";

/// One group. Every method that can end somebody's waiting returns the answers that are now due.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) instances: HashMap<String, String>,
    /// Ids given out that have not joined yet, and when they lapse.
    pub(super) pending: HashMap<String, Instant>,
    pub(super) rebalance_ends: Option<Instant>,
    /// A leader that has gone silent must not hold the others for ever.
    pub(super) sync_ends: Option<Instant>,
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

    /// Nobody is in it, is about to be, or ever was.
    pub(crate) fn is_blank(&self) -> bool {
        self.generation == 0 && self.members.is_empty() && self.pending.is_empty()
    }

    /// Whether some member may be reading `topic`. What cannot be told counts as yes.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            self.protocol_type != CONSUMER
                || member.protocols.iter().any(|(_, metadata)| {
                    Subscription::read(metadata).is_none_or(|read| read.topics.iter().any(|name| name == topic))
                })
        })
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
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

    /// Whether a TxnOffsetCommit is from a member of this generation. One that names no member is from a client of before KIP-447
    /// and is taken; and a rebalance under way is no reason to refuse, as the member's transaction ends before it gives up anything.
    pub(crate) fn may_commit_in_transaction(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let is_anonymous =
            generation < 0 && (self.state == State::Empty || (member_id.is_empty() && instance_id.is_none()));
        if is_anonymous { Ok(()) } else { self.check(member_id, instance_id, generation) }
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

    /// Sends away who waits for an answer: the group becomes one of the other protocol, and they are to join that.
    pub(crate) fn dismiss(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, member) in &mut self.members {
            if let Some(reply) = member.awaiting_join.take() {
                effects.push(Effect::Joined(reply, Err((ResponseError::RebalanceInProgress, id.clone()))));
            }
            if let Some(reply) = member.awaiting_sync.take() {
                effects.push(Effect::Synced(reply, Err(ResponseError::RebalanceInProgress)));
            }
        }
        effects
    }

    /// The group that members of the classic protocol are when nobody speaks the new one any more. All have to join it anew.
    pub(super) fn of_members(
        settings: Settings,
        generation: i32,
        members: Vec<(String, Member)>,
        now: Instant,
    ) -> Self {
        let mut group = Self::new(settings);
        group.generation = generation;
        group.state = State::Stable;
        CONSUMER.clone_into(&mut group.protocol_type);
        for (id, member) in members {
            if let Some(instance) = &member.instance_id {
                group.instances.insert(instance.clone(), id.clone());
            }
            group.members.insert(id, member);
        }
        group.leader = group.members.keys().next().cloned();
        group.prepare_rebalance(now);
        group
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
