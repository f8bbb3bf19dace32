//! What each answer of the coordinator means for a member (FACTS: AbstractCoordinator's handlers).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::error::ErrorCode;

impl Membership {
    /// The answer to a Join. One that belongs to an earlier attempt is ignored.
    pub(crate) fn joined(&mut self, ticket: Ticket, answer: Result<Joined, Failure>, now: Instant) -> Vec<Effect> {
        let sent = match self.state {
            State::Joining { ticket: current, sent } if current == ticket => sent,
            _ => return Vec::new(),
        };
        let joined = match answer {
            Ok(joined) => joined,
            Err(Failure::Code { code: ErrorCode::MEMBER_ID_REQUIRED, member_id }) if !member_id.is_empty() => {
                self.member_id = member_id;
                return self.begin_rebalance(now);
            }
            Err(failure) => return self.rebalance_failed(failure, sent, now),
        };
        let Some(protocol) = Assignor::from_name(&joined.protocol).filter(|name| self.config.assignors.contains(name))
        else {
            return self.fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        self.failures = 0;
        self.last_seen = now;
        self.generation = joined.generation;
        self.rejoin = self.rejoin.filter(|(_, generation)| *generation == joined.generation);
        self.member_id = joined.member_id;
        self.heartbeat = Heartbeat { in_flight: None, next: Some(now + self.config.heartbeat_interval) };
        self.led = None;
        if joined.leader != self.member_id {
            return self.sync(protocol, Default::default(), now);
        }
        let members = read_members(&self.config.group, &joined.members);
        let topics: BTreeSet<Arc<str>> =
            members.iter().flat_map(|member| &member.subscription.topics).chain(&self.topics).cloned().collect();
        let ticket = self.ticket();
        self.state = State::Describing { ticket, members, protocol, assign: !joined.skip_assignment };
        vec![Effect::Describe { ticket, topics }]
    }

    /// The answer to a Sync: what this member has from now on.
    pub(crate) fn synced(&mut self, ticket: Ticket, answer: Result<Bytes, Failure>, now: Instant) -> Vec<Effect> {
        let sent = match self.state {
            State::Syncing { ticket: current, sent } if current == ticket => sent,
            _ => return Vec::new(),
        };
        let blob = match answer {
            Ok(blob) => blob,
            Err(failure) => return self.rebalance_failed(failure, sent, now),
        };
        let assigned = match subscription::decode_assignment(&blob) {
            Ok(assigned) => assigned,
            Err(malformed) => {
                tracing::warn!(group = self.config.group, "the leader's assignment cannot be read: {malformed}");
                self.state = State::Unjoined { not_before: self.backoff(now) };
                return Vec::new();
            }
        };
        self.failures = 0;
        self.last_seen = now;
        self.heartbeat = Heartbeat { in_flight: None, next: Some(now + self.config.heartbeat_interval) };
        self.state = State::Stable;
        let added: BTreeSet<_> = assigned.difference(&self.owned).cloned().collect();
        self.revoking = self.owned.difference(&assigned).cloned().collect();
        self.owned.extend(added.iter().cloned());
        tracing::info!(
            group = self.config.group,
            generation = self.generation,
            member = self.member_id,
            assigned = ?assigned.iter().map(ToString::to_string).collect::<Vec<_>>(),
            added = added.len(),
            to_revoke = self.revoking.len(),
            "partitions assigned"
        );
        let mut effects = vec![Effect::Assigned(added)];
        if !self.revoking.is_empty() {
            self.rejoin = Some(("partitions were given up that another member waits for", self.generation));
            effects.push(Effect::Revoke(self.revoking.clone()));
        } else if self.rejoin.is_some() {
            self.state = State::Unjoined { not_before: now };
        }
        effects
    }

    /// The answer to a heartbeat.
    pub(crate) fn heartbeat(&mut self, ticket: Ticket, answer: Result<(), Failure>, now: Instant) -> Vec<Effect> {
        let sent = match self.heartbeat.in_flight {
            Some((current, sent)) if current == ticket => sent,
            _ => return Vec::new(),
        };
        self.heartbeat = Heartbeat { in_flight: None, next: Some(sent + self.config.heartbeat_interval) };
        match answer {
            Ok(()) => {
                self.failures = 0;
                self.last_seen = sent;
                Vec::new()
            }
            Err(Failure::Code { code: ErrorCode::REBALANCE_IN_PROGRESS, .. }) => {
                // The coordinator knows us: this is a sign of life as well.
                self.last_seen = sent;
                if self.awaits_coordinator() {
                    Vec::new()
                } else {
                    self.request_rejoin("the group is rebalancing", now)
                }
            }
            // The rebalance is over, and the answer to our Join on its way or lost.
            Err(Failure::Code { code: ErrorCode::ILLEGAL_GENERATION, .. }) if self.awaits_coordinator() => Vec::new(),
            Err(Failure::Code { code: ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID, .. })
                if !self.sends_heartbeats() =>
            {
                Vec::new()
            }
            Err(Failure::Code {
                code: code @ (ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID), ..
            }) => self.forgotten(code, now),
            Err(
                Failure::Code { code: ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR, .. }
                | Failure::Unreachable(_),
            ) => {
                self.heartbeat.next = Some(self.backoff(now));
                vec![Effect::ForgetCoordinator]
            }
            Err(Failure::Code { code, .. }) if code.is_retriable() => {
                self.heartbeat.next = Some(self.backoff(now));
                Vec::new()
            }
            Err(Failure::Code { code, .. }) => self.fail(code),
        }
    }

    fn rebalance_failed(&mut self, failure: Failure, sent: Instant, now: Instant) -> Vec<Effect> {
        match failure {
            Failure::Code { code: code @ (ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID), .. } => {
                let mut effects = self.forgotten(code, now);
                self.state = State::Unjoined { not_before: self.backoff(now) };
                effects.retain(|effect| matches!(effect, Effect::Lost(_)));
                effects
            }
            Failure::Code { code: ErrorCode::REBALANCE_IN_PROGRESS, .. } => {
                self.last_seen = sent;
                self.state = State::Unjoined { not_before: now };
                self.tick(now)
            }
            Failure::Code { code: ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR, .. }
            | Failure::Unreachable(_) => {
                if let Failure::Unreachable(why) = &failure {
                    tracing::debug!(group = self.config.group, "no answer from the coordinator: {why}");
                }
                self.state = State::Unjoined { not_before: self.backoff(now) };
                vec![Effect::ForgetCoordinator]
            }
            Failure::Code { code, .. } if code.is_retriable() => {
                self.state = State::Unjoined { not_before: self.backoff(now) };
                Vec::new()
            }
            Failure::Code { code, .. } => self.fail(code),
        }
    }

    /// The coordinator no longer counts us in (22 keeps the member id, 25 does not): what we had is lost.
    fn forgotten(&mut self, code: ErrorCode, now: Instant) -> Vec<Effect> {
        tracing::warn!(
            group = self.config.group,
            generation = self.generation,
            member = self.member_id,
            "the coordinator has moved on without us ({}); joining again",
            code.name()
        );
        let mut effects: Vec<Effect> = self.lose_everything().into_iter().collect();
        self.generation = NO_GENERATION;
        if code == ErrorCode::UNKNOWN_MEMBER_ID {
            self.member_id.clear();
        }
        self.state = State::Unjoined { not_before: now };
        effects.extend(self.tick(now));
        effects
    }

    fn fail(&mut self, code: ErrorCode) -> Vec<Effect> {
        let group = self.config.group.clone();
        let error = match code {
            ErrorCode::FENCED_INSTANCE_ID => {
                GroupError::Fenced { group, instance_id: self.config.instance_id.clone().unwrap_or_default() }
            }
            ErrorCode::GROUP_AUTHORIZATION_FAILED => GroupError::Unauthorized { group },
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL => {
                let ours: Vec<&str> = self.config.assignors.iter().map(|assignor| assignor.name()).collect();
                GroupError::Inconsistent { group, ours: ours.join(",") }
            }
            ErrorCode::INVALID_GROUP_ID => {
                GroupError::Refused { group, reason: "INVALID_GROUP_ID: change group.id".to_owned() }
            }
            ErrorCode::INVALID_SESSION_TIMEOUT => GroupError::Refused {
                group,
                reason: format!(
                    "INVALID_SESSION_TIMEOUT: session.timeout.ms {:?} is outside the broker's group.min.session.timeout.ms \
                     and group.max.session.timeout.ms",
                    self.config.session_timeout
                ),
            },
            ErrorCode::GROUP_MAX_SIZE_REACHED => {
                GroupError::Refused { group, reason: "GROUP_MAX_SIZE_REACHED: the broker's group.max.size".to_owned() }
            }
            code => GroupError::Refused { group, reason: code.to_string() },
        };
        let mut effects: Vec<Effect> = self.lose_everything().into_iter().collect();
        self.state = State::Closed;
        effects.push(Effect::Failed(error));
        effects
    }
}

/// Reads the members' subscriptions. One that cannot be read counts as a member without topics, so that it does not stop
/// the others.
fn read_members(group: &str, members: &[(String, Option<String>, Bytes)]) -> Vec<Member> {
    let empty =
        || Subscription { topics: BTreeSet::new(), owned: BTreeSet::new(), generation: NO_GENERATION, rack: None };
    members
        .iter()
        .map(|(id, instance_id, blob)| {
            let subscription = Subscription::decode(blob).unwrap_or_else(|malformed| {
                tracing::warn!(group, member = id, "this member gets no partitions: {malformed}");
                empty()
            });
            Member { id: id.clone(), instance_id: instance_id.clone(), subscription }
        })
        .collect()
}
