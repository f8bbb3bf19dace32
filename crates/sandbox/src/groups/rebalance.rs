//! From one generation to the next: who is waited for, who is out, which strategy wins.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::group::{Group, State};
use super::messages::Effect;

impl Group {
    pub(super) fn prepare_rebalance(&mut self, now: Instant) -> Vec<Effect> {
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

    pub(super) fn complete_join_if_all_are_in(&mut self, now: Instant) -> Vec<Effect> {
        let first_round = self.generation == 0 || self.leader.is_none();
        let delayed = first_round && self.rebalance_ends.is_some_and(|ends| now < ends);
        let all_in = self.pending.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == State::PreparingRebalance && all_in && !delayed { self.complete_join(now) } else { Vec::new() }
    }

    pub(super) fn complete_join(&mut self, now: Instant) -> Vec<Effect> {
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

    pub(super) fn become_empty(&mut self) {
        if self.state != State::Empty {
            self.generation += 1;
        }
        self.state = State::Empty;
        self.leader = None;
        self.protocol.clear();
        self.rebalance_ends = None;
        self.sync_ends = None;
    }
}
