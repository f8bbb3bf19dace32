//! A group: its members, its epochs and its target.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use uuid::Uuid;

use super::assignor::{Assignor, Wish};
use super::member::Member;
use super::messages::{ConsumerGroupSettings, MemberView, Partitions};
use super::subscription::Catalogue;

/// The epoch of a group that nobody has joined yet.
const FIRST_EPOCH: i32 = 1;

/// What a subscribed pattern was found to mean.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) topics: BTreeSet<String>,
    pub(super) at: Instant,
}

/// One consumer group.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    /// Its name, for messages.
    pub(super) id: String,
    pub(super) settings: ConsumerGroupSettings,
    /// Raised by whatever calls for a new target.
    pub(super) epoch: i32,
    /// The epoch that the target was made for.
    pub(super) target_epoch: i32,
    pub(super) target: BTreeMap<String, Partitions>,
    pub(super) target_made: Option<Instant>,
    pub(in super::super) members: BTreeMap<String, Member>,
    /// Static members by their instances' names.
    pub(super) instances: HashMap<String, String>,
    pub(super) patterns: BTreeMap<String, Resolved>,
    /// The topics subscribed to that are there, as of the latest epoch.
    pub(super) subscribed: BTreeMap<Uuid, i32>,
}

impl ConsumerGroup {
    pub(crate) fn new(id: &str, settings: ConsumerGroupSettings) -> Self {
        Self {
            id: id.to_owned(),
            settings,
            epoch: FIRST_EPOCH,
            target_epoch: FIRST_EPOCH,
            target: BTreeMap::new(),
            target_made: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            patterns: BTreeMap::new(),
            subscribed: BTreeMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Nobody is in it or ever was: leaving raises the epoch, too.
    pub(crate) fn is_blank(&self) -> bool {
        self.members.is_empty() && self.epoch == FIRST_EPOCH
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// As Kafka's `ConsumerGroupState` names it.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().any(|member| !member.is_settled(self.target_epoch)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    /// The assignor that most members ask for.
    pub(super) fn assignor(&self) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for assignor in self.members.values().filter_map(|member| member.assignor) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.iter().max_by_key(|(_, count)| **count);
        most.map(|(assignor, _)| *assignor).unwrap_or_default()
    }

    pub(crate) fn assignor_name(&self) -> &'static str {
        self.assignor().name()
    }

    /// Members by their ids.
    pub(crate) fn views(&self) -> impl Iterator<Item = MemberView<'_>> {
        self.members.iter().map(|(id, member)| MemberView {
            id,
            instance_id: member.instance_id.as_deref(),
            rack_id: member.rack_id.as_deref(),
            epoch: member.epoch,
            is_classic: member.classic.is_some(),
            client_id: &member.client_id,
            client_host: &member.client_host,
            topics: &member.topics,
            regex: member.regex.as_deref(),
            assigned: member.assigned.keys().copied().collect(),
            target: self.target.get(id).cloned().unwrap_or_default(),
        })
    }

    /// Whether some member may be reading `topic`.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.topics.contains(topic))
            || self.patterns.values().any(|resolved| resolved.topics.contains(topic))
    }

    /// The topics that a member subscribes to and that are there. A pattern that was not looked up yet means none.
    pub(super) fn topics_of(&self, member: &Member, topics: &Catalogue) -> BTreeMap<Uuid, i32> {
        let by_pattern = member.pattern().and_then(|pattern| self.patterns.get(pattern));
        let names = member.topics.iter().chain(by_pattern.into_iter().flat_map(|resolved| &resolved.topics));
        names.filter_map(|name| topics.get(name)).collect()
    }

    /// What all members together subscribe to.
    pub(super) fn all_topics(&self, topics: &Catalogue) -> BTreeMap<Uuid, i32> {
        let by_name = self.members.values().flat_map(|member| &member.topics);
        let patterns: BTreeSet<&str> = self.members.values().filter_map(Member::pattern).collect();
        let by_pattern = patterns.into_iter().filter_map(|pattern| self.patterns.get(pattern));
        let names = by_name.chain(by_pattern.flat_map(|resolved| &resolved.topics));
        names.filter_map(|name| topics.get(name)).collect()
    }

    /// Makes the target of the newest epoch, unless the last one was made just now.
    pub(super) fn make_target(&mut self, topics: &Catalogue, now: Instant) {
        let is_soon = self.target_made.is_some_and(|made| now < made + self.settings.assignment_interval);
        if self.epoch == self.target_epoch || is_soon {
            return;
        }
        let wishes = self.members.iter().map(|(id, member)| {
            let order = member.instance_id.clone().unwrap_or_else(|| id.clone());
            (id.clone(), Wish { order, topics: self.topics_of(member, topics) })
        });
        self.target = self.assignor().assign(&wishes.collect(), &self.target);
        self.target_epoch = self.epoch;
        self.target_made = Some(now);
    }

    pub(super) fn held(&self) -> Partitions {
        self.members.values().flat_map(Member::holds).collect()
    }

    /// Puts a member out; whoever comes next finds its partitions free.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        self.target.remove(id);
        self.forget_patterns();
        self.epoch += 1;
    }

    /// Gives a static member's place to its next self.
    pub(super) fn replace(&mut self, old: &str, new: &str) {
        if let Some(mut member) = self.members.remove(old) {
            member.comes_back();
            self.members.insert(new.to_owned(), member);
        }
        if let Some(target) = self.target.remove(old) {
            self.target.insert(new.to_owned(), target);
        }
    }

    /// Forgets patterns that no member subscribes to any more.
    pub(super) fn forget_patterns(&mut self) {
        let members = &self.members;
        self.patterns.retain(|pattern, _| members.values().any(|member| member.pattern() == Some(pattern)));
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.members.values().map(Member::ends).min()
    }

    /// Puts out who has been silent, or has kept what it was to give up, for too long.
    pub(crate) fn tick(&mut self, now: Instant) {
        let late = self.members.iter().filter(|(_, member)| member.ends() <= now);
        let gone: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.remove(&id);
        }
    }
}
