//! A model of the broker's half of the consumer protocol (Kafka's `GroupMetadataManager` and `CurrentAssignmentBuilder`, as far
//! as members can tell).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{PARTITIONS, TOPIC};
use crate::error::ErrorCode;
use crate::group::incremental::{Beat, BeatAnswer, JOINING, LEAVING, LEAVING_FOR_A_WHILE};
use crate::group::membership::Failure;

#[derive(Debug)]
pub(super) enum Question {
    Beat(Beat),
    Release(String),
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    Beat(BeatAnswer),
    Released,
}

struct Entry {
    instance_id: Option<String>,
    epoch: i32,
    previous_epoch: i32,
    assigned: BTreeSet<i32>,
    /// Taken from the member, which has not said that it has let go.
    revoking: BTreeSet<i32>,
    /// Given to it, but still held by others.
    waits: bool,
    session_ends: Instant,
    revoke_until: Option<Instant>,
}

pub(super) struct Coordinator {
    session: Duration,
    rebalance: Duration,
    interval: Duration,
    epoch: i32,
    members: BTreeMap<String, Entry>,
    target: BTreeMap<String, BTreeSet<i32>>,
    /// While the group moves to another broker.
    away_until: Option<Instant>,
}

impl Coordinator {
    pub(super) fn new(session: Duration, rebalance: Duration, interval: Duration) -> Self {
        let (members, target) = (BTreeMap::new(), BTreeMap::new());
        Self { session, rebalance, interval, epoch: 0, members, target, away_until: None }
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The group moves: nobody answers for a while, and then all sessions begin anew.
    pub(super) fn move_away(&mut self, until: Instant) {
        self.away_until = Some(until);
        for entry in self.members.values_mut() {
            entry.session_ends = until + self.session;
            entry.revoke_until = entry.revoke_until.map(|_| until + self.rebalance);
        }
    }

    /// Lets go of members whose time is over.
    pub(super) fn tick(&mut self, now: Instant) {
        let over = |entry: &Entry| entry.session_ends <= now || entry.revoke_until.is_some_and(|at| at <= now);
        let ended: Vec<String> =
            self.members.iter().filter(|(_, entry)| over(entry)).map(|(id, _)| id.clone()).collect();
        for id in ended {
            self.remove(&id);
        }
    }

    pub(super) fn handle(&mut self, question: Question, now: Instant) -> Result<Answer, Failure> {
        self.tick(now);
        if self.away_until.is_some_and(|until| now < until) {
            return Err(Failure::code(ErrorCode::NOT_COORDINATOR));
        }
        let answer = match question {
            Question::Release(instance_id) => {
                let holder = self.holder(&instance_id);
                if let Some(entry) = holder.and_then(|id| self.members.get_mut(&id)) {
                    entry.epoch = LEAVING_FOR_A_WHILE;
                }
                Ok(Answer::Released)
            }
            Question::Beat(beat) if beat.epoch < JOINING => self.leave(&beat).map(|()| {
                let (member_id, interval) = (None, self.interval);
                Answer::Beat(BeatAnswer { member_id, epoch: beat.epoch, interval, assignment: None })
            }),
            Question::Beat(beat) => self.beat(&beat, now).map(Answer::Beat),
        };
        self.nobody_shares();
        answer.map_err(Failure::code)
    }

    fn holder(&self, instance_id: &str) -> Option<String> {
        let holds = |(_, entry): &(&String, &Entry)| entry.instance_id.as_deref() == Some(instance_id);
        self.members.iter().find(holds).map(|(id, _)| id.clone())
    }

    fn leave(&mut self, beat: &Beat) -> Result<(), ErrorCode> {
        if let Some(instance_id) = &beat.instance_id {
            let holder = self.holder(instance_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if holder != beat.member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        let entry = self.members.get_mut(&beat.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if beat.epoch == LEAVING {
            self.remove(&beat.member_id);
        } else {
            entry.epoch = LEAVING_FOR_A_WHILE;
        }
        Ok(())
    }

    fn beat(&mut self, beat: &Beat, now: Instant) -> Result<BeatAnswer, ErrorCode> {
        let owned: Option<BTreeSet<i32>> =
            beat.owned.as_ref().map(|topics| topics.get(&TOPIC).into_iter().flatten().copied().collect());
        if let Some(holder) = beat.instance_id.as_deref().and_then(|instance_id| self.holder(instance_id)) {
            if beat.epoch == JOINING {
                let mut entry = self.members.remove(&holder).unwrap();
                if entry.epoch != LEAVING_FOR_A_WHILE {
                    self.members.insert(holder, entry);
                    return Err(ErrorCode::UNRELEASED_INSTANCE_ID);
                }
                (entry.epoch, entry.previous_epoch) = (JOINING, JOINING);
                let target = self.target.remove(&holder).unwrap_or_default();
                self.target.insert(beat.member_id.clone(), target);
                self.members.insert(beat.member_id.clone(), entry);
            } else if holder != beat.member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        if beat.epoch == JOINING && !self.members.contains_key(&beat.member_id) {
            assert_eq!(owned, Some(BTreeSet::new()), "who joins owns nothing and must say so");
            assert!(beat.wanted.is_some() && beat.rebalance_timeout.is_some(), "a join says everything");
            let entry = Entry {
                instance_id: beat.instance_id.clone(),
                epoch: JOINING,
                previous_epoch: JOINING,
                assigned: BTreeSet::new(),
                revoking: BTreeSet::new(),
                waits: false,
                session_ends: now + self.session,
                revoke_until: None,
            };
            self.members.insert(beat.member_id.clone(), entry);
            self.divide();
        }
        let entry = self.members.get(&beat.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let repeats =
            beat.epoch == entry.previous_epoch && owned.as_ref().is_some_and(|owned| owned.is_subset(&entry.assigned));
        if beat.epoch > entry.epoch || (beat.epoch < entry.epoch && !repeats) {
            return Err(ErrorCode::FENCED_MEMBER_EPOCH);
        }
        let before = entry.assigned.clone();
        self.reconcile(&beat.member_id, owned.as_ref(), now);
        let (interval, entry) = (self.interval, self.members.get_mut(&beat.member_id).unwrap());
        entry.session_ends = now + self.session;
        let says = beat.epoch == JOINING || beat.wanted.is_some() || entry.assigned != before;
        let assignment = says.then(|| [(TOPIC, entry.assigned.iter().copied().collect())].into());
        Ok(BeatAnswer { member_id: None, epoch: entry.epoch, interval, assignment })
    }

    /// Takes one member a step towards its target.
    fn reconcile(&mut self, id: &str, owned: Option<&BTreeSet<i32>>, now: Instant) {
        let held = |other: &&String| other.as_str() != id;
        let elsewhere: BTreeSet<i32> = self
            .members
            .iter()
            .filter(|(other, _)| held(other))
            .flat_map(|(_, entry)| entry.assigned.union(&entry.revoking))
            .copied()
            .collect();
        let (epoch, target) = (self.epoch, &self.target[id]);
        let entry = self.members.get_mut(id).unwrap();
        let still_owns = |taken: &BTreeSet<i32>| owned.is_none_or(|owned| !owned.is_disjoint(taken));
        if !entry.revoking.is_empty() {
            if still_owns(&entry.revoking) {
                return;
            }
            entry.revoking.clear();
            entry.revoke_until = None;
        } else if entry.epoch == epoch && !entry.waits {
            return;
        }
        let taken: BTreeSet<i32> = entry.assigned.difference(target).copied().collect();
        let kept: BTreeSet<i32> = entry.assigned.intersection(target).copied().collect();
        if !taken.is_empty() && still_owns(&taken) {
            (entry.assigned, entry.revoking) = (kept, taken);
            entry.revoke_until = Some(now + self.rebalance);
            return;
        }
        let (waits, free): (BTreeSet<i32>, BTreeSet<i32>) =
            target.difference(&kept).copied().partition(|partition| elsewhere.contains(partition));
        entry.assigned = kept.union(&free).copied().collect();
        entry.waits = !waits.is_empty();
        if entry.epoch != epoch {
            entry.previous_epoch = std::mem::replace(&mut entry.epoch, epoch);
        }
    }

    fn remove(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.target.remove(id);
            self.divide();
        }
    }

    /// A new target: everybody keeps what is within its share, the rest goes to those with the least.
    fn divide(&mut self) {
        self.epoch += 1;
        let count = self.members.len();
        if count == 0 {
            return;
        }
        let most = (PARTITIONS as usize).div_ceil(count);
        let mut target: BTreeMap<String, BTreeSet<i32>> =
            self.members.keys().map(|id| (id.clone(), BTreeSet::new())).collect();
        let mut left: BTreeSet<i32> = (0..PARTITIONS).collect();
        for (id, share) in &mut target {
            let had = self.target.get(id).into_iter().flatten();
            share.extend(had.take((PARTITIONS as usize / count).min(most)).copied());
            left.retain(|partition| !share.contains(partition));
        }
        for partition in left {
            let least = target.values_mut().min_by_key(|share| share.len()).unwrap();
            least.insert(partition);
        }
        self.target = target;
    }

    fn nobody_shares(&self) {
        let mut seen = BTreeSet::new();
        for partition in self.members.values().flat_map(|entry| entry.assigned.union(&entry.revoking)) {
            assert!(seen.insert(*partition), "the model itself gave {partition} away twice");
        }
    }
}
