//! All groups behind one lock, with the requests that wait in them and the clock that ends their waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kafka_protocol::error::ResponseError;
use tokio::sync::{Notify, oneshot};

use super::status::GroupStatus;
use super::topics::Topics;
use crate::groups::consumer::{Answer, Catalogue, ConsumerGroup, ConsumerGroupSettings, Heartbeat, Refusal};
use crate::groups::{Effect, Group, Join, Joined, Leave, Membership, Offsets, ReplyTo, Settings, Sync, Synced};
use crate::transactions::Outcome;

/// The topic that Kafka keeps groups' offsets in. There is none here, but a transaction's partitions name it.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// `offsets.topic.num.partitions`
const OFFSETS_PARTITIONS: i32 = 50;

/// Which of the partitions of [`OFFSETS_TOPIC`] a group's offsets are in: Java's hash of its id.
pub(crate) fn offsets_partition(group: &str) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % OFFSETS_PARTITIONS
}

/// A group and what it has committed. The offsets outlive the members.
pub(crate) struct Entry {
    pub(crate) group: Membership,
    pub(crate) offsets: Offsets,
}

enum Waiting {
    Join(oneshot::Sender<Result<Joined, (ResponseError, String)>>),
    Sync(oneshot::Sender<Result<Synced, ResponseError>>),
}

#[derive(Default)]
struct Inner {
    groups: BTreeMap<String, Entry>,
    waiting: HashMap<ReplyTo, Waiting>,
    next_reply: u64,
}

/// The coordinator of all groups.
pub(crate) struct Groups {
    settings: Settings,
    state: Mutex<Inner>,
    /// Rung when a deadline may have moved closer.
    deadlines_changed: Notify,
}

impl Groups {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, state: Mutex::default(), deadlines_changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// JoinGroup: the answer comes when the group is complete. `None` when the coordinator dropped the request.
    pub(crate) fn join(
        &self,
        group: &str,
        join: Join,
        topics: &Catalogue,
    ) -> oneshot::Receiver<Result<Joined, (ResponseError, String)>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let reply = state.park(Waiting::Join(sender));
        let prefix = join.client_id.clone();
        let new_id = || format!("{prefix}-{}", uuid::Uuid::new_v4());
        let now = Instant::now();
        let effects = match state.for_join(group, self.settings) {
            Membership::Classic(members) => members.join(join, reply, new_id, now),
            Membership::Consumer(_) if !self.settings.allows_session(join.session_timeout) => {
                vec![Effect::Joined(reply, Err((ResponseError::InvalidSessionTimeout, join.member_id)))]
            }
            Membership::Consumer(members) => {
                vec![Effect::Joined(reply, members.classic_join(join, new_id, topics, now))]
            }
        };
        state.carry_out(effects);
        state.forget_blank(group);
        drop(state);
        self.deadlines_changed.notify_one();
        receiver
    }

    /// SyncGroup: the answer comes with the leader's assignment.
    pub(crate) fn sync(
        &self,
        group: &str,
        sync: Sync,
        topics: &Catalogue,
    ) -> oneshot::Receiver<Result<Synced, ResponseError>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let reply = state.park(Waiting::Sync(sender));
        let now = Instant::now();
        let effects = match state.groups.get_mut(group).map(|entry| &mut entry.group) {
            Some(Membership::Classic(members)) => members.sync(sync, reply, now),
            Some(Membership::Consumer(members)) => {
                vec![Effect::Synced(reply, members.classic_sync(&sync, topics, now))]
            }
            None => vec![Effect::Synced(reply, Err(ResponseError::UnknownMemberId))],
        };
        state.carry_out(effects);
        drop(state);
        self.deadlines_changed.notify_one();
        receiver
    }

    pub(crate) fn heartbeat(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let now = Instant::now();
        match self.lock().groups.get_mut(group).map(|entry| &mut entry.group) {
            Some(Membership::Classic(members)) => members.heartbeat(member_id, instance_id, generation, now),
            Some(Membership::Consumer(members)) => members.classic_heartbeat(member_id, instance_id, generation, now),
            None => Err(ResponseError::UnknownMemberId),
        }
    }

    /// What is set for groups of the consumer protocol, where the cluster has it.
    pub(crate) fn consumer_settings(&self) -> Option<ConsumerGroupSettings> {
        self.settings.consumer
    }

    /// ConsumerGroupHeartbeat, checked already.
    pub(crate) fn consumer_heartbeat(
        &self,
        group: &str,
        beat: Heartbeat,
        topics: &Catalogue,
        may_see: &dyn Fn(&str) -> bool,
    ) -> Result<Answer, Refusal> {
        let settings = self.settings.consumer.unwrap_or_default();
        let now = Instant::now();
        let mut state = self.lock();
        let joins = beat.is_join();
        let absent = || Refusal::new(ResponseError::GroupIdNotFound, format!("Consumer group {group} not found."));
        let mut effects = Vec::new();
        let answer = match state.groups.get_mut(group).map(|entry| &mut entry.group) {
            None if joins => {
                let mut members = Membership::Consumer(ConsumerGroup::new(group, settings));
                let answer = members.consumer_heartbeat(beat, topics, may_see, self.settings, now);
                state.groups.insert(group.to_owned(), Entry::new(members));
                answer
            }
            None => None,
            Some(members) => {
                let upgraded = if joins { members.upgraded(group, settings, topics, now) } else { None };
                match upgraded.map(Membership::Consumer) {
                    None => members.consumer_heartbeat(beat, topics, may_see, self.settings, now),
                    Some(mut upgraded) => {
                        let answer = upgraded.consumer_heartbeat(beat, topics, may_see, self.settings, now);
                        // Nothing changes for the members of before when the newcomer is refused. What was committed stays.
                        if matches!(answer, Some(Ok(_))) {
                            effects = members.classic_mut().map(Group::dismiss).unwrap_or_default();
                            *members = upgraded;
                        }
                        answer
                    }
                }
            }
        };
        let answer = answer.unwrap_or_else(|| Err(absent()));
        state.carry_out(effects);
        state.forget_blank(group);
        drop(state);
        self.deadlines_changed.notify_one();
        answer
    }

    pub(crate) fn leave(&self, group: &str, leaves: &[Leave]) -> Vec<Result<(), ResponseError>> {
        let mut state = self.lock();
        let mut effects = Vec::new();
        let results = leaves
            .iter()
            .map(|leave| match state.groups.get_mut(group) {
                None => Err(ResponseError::UnknownMemberId),
                Some(entry) => {
                    let (result, others) = entry.group.leave(leave, self.settings, Instant::now());
                    effects.extend(others);
                    result
                }
            })
            .collect();
        state.carry_out(effects);
        drop(state);
        self.deadlines_changed.notify_one();
        results
    }

    /// Calls `with` with the group, which is made when `create` says so.
    pub(crate) fn with<T>(&self, group: &str, create: bool, with: impl FnOnce(Option<&mut Entry>) -> T) -> T {
        let mut state = self.lock();
        if create {
            let make = || Entry::new(Membership::Classic(Group::new(self.settings)));
            state.groups.entry(group.to_owned()).or_insert_with(make);
        }
        let out = with(state.groups.get_mut(group));
        if create {
            state.forget_blank(group);
        }
        out
    }

    /// Calls `see` with every group in the order of their ids.
    pub(crate) fn each(&self, mut see: impl FnMut(&str, &Entry)) {
        self.lock().groups.iter().for_each(|(id, entry)| see(id, entry));
    }

    /// DeleteGroups for one group.
    pub(crate) fn delete(&self, group: &str) -> Result<(), ResponseError> {
        let mut state = self.lock();
        let entry = state.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
        if !entry.group.is_empty() {
            return Err(ResponseError::NonEmptyGroup);
        }
        state.groups.remove(group);
        Ok(())
    }

    /// Writes the marker of a transaction into a partition of the groups' offsets.
    pub(crate) fn end_transaction(&self, partition: i32, producer_id: i64, outcome: Outcome) {
        let mut state = self.lock();
        let there = state.groups.iter_mut().filter(|(group, _)| offsets_partition(group) == partition);
        there.for_each(|(_, entry)| entry.offsets.end_transaction(producer_id, outcome == Outcome::Commit));
        state.groups.retain(|_, entry| !entry.is_blank());
    }

    /// Forgets what was committed for a topic that is gone.
    pub(crate) fn topic_deleted(&self, topic: &str) {
        self.lock().groups.values_mut().for_each(|entry| entry.offsets.delete_topic(topic));
    }

    /// Ends what has lasted too long, at the time it does, for ever.
    pub(crate) async fn keep_time(&self) {
        loop {
            let next = self.lock().groups.values().filter_map(|entry| entry.group.next_deadline()).min();
            let changed = self.deadlines_changed.notified();
            match next {
                None => changed.await,
                Some(deadline) => {
                    tokio::select! {
                        () = changed => continue,
                        () = tokio::time::sleep_until(deadline.into()) => {}
                    }
                    let mut state = self.lock();
                    let now = Instant::now();
                    let effects: Vec<_> =
                        state.groups.values_mut().flat_map(|entry| entry.group.tick(self.settings, now)).collect();
                    state.carry_out(effects);
                    state.groups.retain(|_, entry| !entry.is_blank());
                }
            }
        }
    }

    pub(super) fn status(&self, topics: &Topics) -> Vec<GroupStatus> {
        let mut committed = Vec::new();
        let mut statuses = Vec::new();
        self.each(|id, entry| {
            statuses.push(GroupStatus {
                group: id.to_owned(),
                state: entry.group.state_name().to_owned(),
                members: entry.group.member_count(),
                lag: 0,
            });
            let offsets = entry.offsets.iter().flat_map(|(topic, partitions)| {
                partitions.iter().map(move |(partition, committed)| (topic.to_owned(), *partition, committed.offset))
            });
            committed.push(offsets.collect::<Vec<_>>());
        });
        // The logs are locked only now, with the groups' lock released.
        for (status, offsets) in statuses.iter_mut().zip(committed) {
            for (topic, partition, offset) in offsets {
                let end = topics
                    .get(&topic)
                    .and_then(|topic| topic.partition(partition).map(|partition| partition.log().end()));
                status.lag += end.map_or(0, |end| (end - offset).max(0));
            }
        }
        statuses
    }
}

impl Entry {
    fn new(group: Membership) -> Self {
        Self { group, offsets: Offsets::default() }
    }

    fn is_blank(&self) -> bool {
        self.group.is_blank() && self.offsets.is_empty()
    }
}

impl Inner {
    fn park(&mut self, waiting: Waiting) -> ReplyTo {
        let reply = ReplyTo(self.next_reply);
        self.next_reply += 1;
        self.waiting.insert(reply, waiting);
        reply
    }

    /// The group for a JoinGroup: a classic one where there is none, or where one of the other protocol has no members.
    fn for_join(&mut self, group: &str, settings: Settings) -> &mut Membership {
        let make = || Membership::Classic(Group::new(settings));
        let entry = self.groups.entry(group.to_owned()).or_insert_with(|| Entry::new(make()));
        if entry.group.consumer().is_some() && entry.group.is_empty() {
            // What was committed stays.
            entry.group = make();
        }
        &mut entry.group
    }

    /// A request that was refused must not leave a group behind that it would have been the first of.
    fn forget_blank(&mut self, group: &str) {
        if self.groups.get(group).is_some_and(Entry::is_blank) {
            self.groups.remove(group);
        }
    }

    /// Sends answers to those who wait. One whose connection is gone has dropped its receiver, which is fine.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Joined(reply, result) => {
                    if let Some(Waiting::Join(sender)) = self.waiting.remove(&reply) {
                        let _ = sender.send(result);
                    }
                }
                Effect::Synced(reply, result) => {
                    if let Some(Waiting::Sync(sender)) = self.waiting.remove(&reply) {
                        let _ = sender.send(result);
                    }
                }
            }
        }
    }
}
