//! ConsumerGroupHeartbeat: who comes in, who goes, who takes the next step.

use std::collections::BTreeSet;
use std::time::Instant;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::group::{ConsumerGroup, Resolved};
use super::member::{Goal, Member};
use super::messages::{Answer, Heartbeat, JOIN, LEAVE, LEAVE_FOR_A_WHILE, Partitions, Refusal};
use super::subscription::{Catalogue, check_regex, resolve};

/// Which member a heartbeat is from.
enum Standing {
    New,
    Known,
    /// A static member that left for a while is back; this is its id of before.
    Back(String),
}

impl ConsumerGroup {
    /// Answers a heartbeat that [`Heartbeat::check`] let through. `may_see` says which topics a pattern of this client's may find.
    /// A refusal changes nothing.
    pub(crate) fn heartbeat(
        &mut self,
        beat: Heartbeat,
        topics: &Catalogue,
        may_see: &dyn Fn(&str) -> bool,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        if beat.member_epoch == LEAVE || beat.member_epoch == LEAVE_FOR_A_WHILE {
            return self.leave(beat);
        }
        if self.members.len() >= self.settings.max_size && !self.members.contains_key(&beat.member_id) {
            let size = self.settings.max_size;
            let message = format!("The consumer group has reached its maximum capacity of {size} members.");
            return Err(Refusal::new(ResponseError::GroupMaxSizeReached, message));
        }
        let standing = self.standing_of(&beat)?;
        if let Some(pattern) = beat.regex.as_deref().filter(|pattern| !pattern.is_empty())
            && !self.patterns.contains_key(pattern)
        {
            check_regex(pattern)?;
        }
        self.admit(&beat, standing, now);
        let id = beat.member_id.clone();
        let Some(member) = self.members.get_mut(&id) else {
            return Err(unknown(&id, &self.id));
        };
        let (topics_before, pattern_before) = (member.topics.clone(), member.pattern().map(str::to_owned));
        let held_before: Partitions = member.assigned.keys().copied().collect();
        member.update(&beat);
        member.session_ends = now + self.settings.session_timeout;
        // A pattern that has not been looked up yet calls for a target only once it is.
        let pattern_changed = member.pattern() != pattern_before.as_deref()
            && member.pattern().is_none_or(|pattern| self.patterns.contains_key(pattern));
        let changed = pattern_changed || member.topics != topics_before;
        self.forget_patterns();
        self.raise_epoch(changed, topics);
        self.make_target(topics, now);
        self.advance(&id, beat.owned.as_ref(), topics, now);
        self.look_up_patterns(topics, may_see, now);

        let Some(member) = self.members.get(&id) else {
            return Err(unknown(&id, &self.id));
        };
        let assigned: Partitions = member.assigned.keys().copied().collect();
        let asks_for_all = beat.member_epoch == JOIN
            || (beat.rebalance_timeout.is_some()
                && (beat.topics.is_some() || beat.regex.is_some())
                && beat.owned.is_some());
        let assignment = (asks_for_all || assigned != held_before).then_some(assigned);
        Ok(Answer { member_id: id, member_epoch: member.epoch, assignment })
    }

    fn standing_of(&self, beat: &Heartbeat) -> Result<Standing, Refusal> {
        let id = &beat.member_id;
        let Some(instance) = &beat.instance_id else {
            return match self.members.get(id) {
                Some(member) => check_epoch(member, beat).map(|()| Standing::Known),
                None if beat.member_epoch == JOIN => Ok(Standing::New),
                None => Err(unknown(id, &self.id)),
            };
        };
        let owner = self.instances.get(instance).and_then(|owner| Some((owner, self.members.get(owner)?)));
        match owner {
            None if beat.member_epoch == JOIN => Ok(Standing::New),
            None => Err(Refusal::new(ResponseError::UnknownMemberId, format!("Instance id {instance} is unknown."))),
            Some((owner, member)) if beat.member_epoch == JOIN => {
                // One of the classic protocol does not say that it leaves.
                if member.is_away() || member.classic.is_some() {
                    return Ok(Standing::Back(owner.clone()));
                }
                let message = format!(
                    "Static member {id} with instance id {instance} cannot join the group because the instance id is \
                     owned by {owner} member."
                );
                Err(Refusal::new(ResponseError::UnreleasedInstanceId, message))
            }
            Some((owner, member)) => {
                check_owner(instance, owner, id)?;
                check_epoch(member, beat).map(|()| Standing::Known)
            }
        }
    }

    fn admit(&mut self, beat: &Heartbeat, standing: Standing, now: Instant) {
        let id = &beat.member_id;
        match standing {
            Standing::Known => {}
            Standing::New => {
                self.members.insert(id.clone(), Member::new(now));
            }
            Standing::Back(old) => self.replace(&old, id),
        }
        if let Some(instance) = &beat.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
    }

    /// A new epoch, where the members' wishes or the topics themselves have changed.
    pub(super) fn raise_epoch(&mut self, wishes_changed: bool, topics: &Catalogue) {
        let subscribed = self.all_topics(topics);
        if wishes_changed || subscribed != self.subscribed {
            self.subscribed = subscribed;
            self.epoch += 1;
        }
    }

    pub(super) fn advance(&mut self, id: &str, owned: Option<&Partitions>, topics: &Catalogue, now: Instant) {
        let Some(member) = self.members.get(id) else { return };
        let subscribed: BTreeSet<Uuid> = self.topics_of(member, topics).into_keys().collect();
        let mut target = self.target.get(id).cloned().unwrap_or_default();
        target.retain(|(topic, _)| subscribed.contains(topic));
        let held = self.held();
        let goal = Goal { epoch: self.target_epoch, target, held: &held, topics: &subscribed, owned };
        if let Some(member) = self.members.get_mut(id) {
            member.advance(&goal, now);
        }
    }

    /// Looks up what patterns mean. Like Kafka, which does it aside, after the answer: it shows in the next one.
    fn look_up_patterns(&mut self, topics: &Catalogue, may_see: &dyn Fn(&str) -> bool, now: Instant) {
        let patterns: BTreeSet<String> =
            self.members.values().filter_map(|member| member.pattern().map(str::to_owned)).collect();
        let is_due = |resolved: &Resolved| now >= resolved.at + self.settings.regex_interval;
        if patterns.iter().all(|pattern| self.patterns.get(pattern).is_some_and(|resolved| !is_due(resolved))) {
            return;
        }
        let mut changed = false;
        for pattern in patterns {
            let found = resolve(&pattern, topics, may_see);
            let before = self.patterns.insert(pattern, Resolved { topics: found.clone(), at: now });
            changed |= before.map(|resolved| resolved.topics).unwrap_or_default() != found;
        }
        self.raise_epoch(changed, topics);
    }

    fn leave(&mut self, beat: Heartbeat) -> Result<Answer, Refusal> {
        let id = beat.member_id;
        let member = match &beat.instance_id {
            None => self.members.get_mut(&id).ok_or_else(|| unknown(&id, &self.id))?,
            Some(instance) => {
                let owner = self
                    .instances
                    .get(instance)
                    .cloned()
                    .and_then(|owner| Some((self.members.get_mut(&owner)?, owner)));
                let Some((member, owner)) = owner else {
                    let message = format!("Instance id {instance} is unknown.");
                    return Err(Refusal::new(ResponseError::UnknownMemberId, message));
                };
                check_owner(instance, &owner, &id)?;
                member
            }
        };
        if beat.member_epoch == LEAVE_FOR_A_WHILE {
            member.goes_for_a_while();
        } else {
            self.remove(&id);
        }
        Ok(Answer { member_id: id, member_epoch: beat.member_epoch, assignment: None })
    }
}

fn unknown(id: &str, group: &str) -> Refusal {
    Refusal::new(ResponseError::UnknownMemberId, format!("Member {id} is not a member of group {group}."))
}

fn check_owner(instance: &str, owner: &str, id: &str) -> Result<(), Refusal> {
    if owner == id {
        return Ok(());
    }
    let message = format!("Static member {id} with instance id {instance} was fenced by member {owner}.");
    Err(Refusal::new(ResponseError::FencedInstanceId, message))
}

/// Whether a member speaks under its own epoch, or under the one before because the answer with the newer one was lost.
fn check_epoch(member: &Member, beat: &Heartbeat) -> Result<(), Refusal> {
    let (theirs, ours) = (beat.member_epoch, member.epoch);
    let fenced = |how: &str| {
        let message = format!(
            "The consumer group member has a {how} member epoch ({theirs}) than the one known by the group coordinator \
             ({ours}). The member must abandon all its partitions and rejoin."
        );
        Err(Refusal::new(ResponseError::FencedMemberEpoch, message))
    };
    let holds = |partition: &(Uuid, i32)| member.assigned.contains_key(partition);
    match theirs {
        JOIN => Ok(()),
        _ if theirs > ours => fenced("greater"),
        _ if theirs == ours => Ok(()),
        _ if theirs == member.previous_epoch && beat.owned.as_ref().is_some_and(|owned| owned.iter().all(holds)) => {
            Ok(())
        }
        _ => fenced("smaller"),
    }
}
