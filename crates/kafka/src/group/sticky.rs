//! The `cooperative-sticky` assignor: balance first, then as few moves as balance allows (the behaviour of Java's
//! `AbstractStickyAssignor` and `CooperativeStickyAssignor`, KIP-54 and KIP-429).
//!
//! Members say what they own, the leader starts from that, hands out what nobody owns to whoever has least, and then moves
//! single partitions from the fullest member to the emptiest that may read them until no move would help. Last, a partition
//! that another member still owns is taken out of the result: its owner learns that it must give it up, rejoins, and the
//! next round hands it out. Between the two rounds nobody reads it, so at no time do two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignor::{Assignments, Member, PartitionCounts};
use crate::TopicPartition;

/// Divides all topics together and leaves out what changes hands in this round.
pub(super) fn assign(members: &[&Member], topics: &PartitionCounts) -> Assignments {
    let claims = Claims::of(members, topics);
    let mut plan = Plan::new(members, topics);
    for (partition, member) in &claims.owner {
        plan.give(*member, partition.clone());
    }
    plan.hand_out_the_rest(topics);
    plan.balance(&claims);
    plan.held
        .into_iter()
        .enumerate()
        .map(|(member, held)| {
            let kept = held.into_iter().filter(|partition| claims.may_have_now(partition, member)).collect();
            (members[member].id.clone(), kept)
        })
        .collect()
}

/// Who owns what before this round, by index into the members.
struct Claims {
    /// The one owner whose claim counts: of several, the one of the highest generation; of equals, none.
    owner: BTreeMap<TopicPartition, usize>,
    /// Everybody who says that it owns the partition, rightly or not.
    claimants: BTreeMap<TopicPartition, Vec<usize>>,
}

impl Claims {
    fn of(members: &[&Member], topics: &PartitionCounts) -> Self {
        let mut claimants: BTreeMap<TopicPartition, Vec<usize>> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            for partition in &member.subscription.owned {
                claimants.entry(partition.clone()).or_default().push(index);
            }
        }
        let mut owner = BTreeMap::new();
        for (partition, by) in &claimants {
            let generation_of = |index: &usize| members[*index].subscription.generation;
            let newest = by.iter().map(generation_of).max();
            let mut newest_claims = by.iter().filter(|index| Some(generation_of(index)) == newest);
            let (Some(first), None) = (newest_claims.next(), newest_claims.next()) else { continue };
            let exists = topics.get(&partition.topic).is_some_and(|count| (0..*count).contains(&partition.partition));
            if exists && members[*first].subscription.topics.contains(&partition.topic) {
                owner.insert(partition.clone(), *first);
            }
        }
        Self { owner, claimants }
    }

    /// Says whether a member may have a partition in this very round: its rightful owner may, and anybody may have
    /// what nobody claims. An overruled claim of an older generation does not stop the owner: its maker is out of date.
    fn may_have_now(&self, partition: &TopicPartition, member: usize) -> bool {
        self.owner.get(partition) == Some(&member) || !self.claimants.contains_key(partition)
    }
}

/// The division while it is being made.
struct Plan {
    held: Vec<BTreeSet<TopicPartition>>,
    /// Which members may read a topic.
    readers: BTreeMap<Arc<str>, Vec<usize>>,
}

impl Plan {
    fn new(members: &[&Member], topics: &PartitionCounts) -> Self {
        let mut readers: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            for topic in member.subscription.topics.iter().filter(|topic| topics.contains_key(*topic)) {
                readers.entry(topic.clone()).or_default().push(index);
            }
        }
        Self { held: vec![BTreeSet::new(); members.len()], readers }
    }

    fn give(&mut self, member: usize, partition: TopicPartition) {
        self.held[member].insert(partition);
    }

    fn least_loaded_reader(&self, topic: &str) -> Option<usize> {
        self.readers.get(topic)?.iter().copied().min_by_key(|member| self.held[*member].len())
    }

    /// Gives what nobody holds to whoever has least, topics with the fewest readers first: those have no choice.
    fn hand_out_the_rest(&mut self, topics: &PartitionCounts) {
        let taken: BTreeSet<TopicPartition> = self.held.iter().flatten().cloned().collect();
        let mut free: Vec<TopicPartition> = topics
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(|partition| TopicPartition { topic: topic.clone(), partition }))
            .filter(|partition| !taken.contains(partition))
            .collect();
        free.sort_by_key(|partition| self.readers.get(&partition.topic).map_or(0, Vec::len));
        for partition in free {
            if let Some(member) = self.least_loaded_reader(&partition.topic) {
                self.give(member, partition);
            }
        }
    }

    /// Moves partitions one by one while that evens the load. Every move brings two counts nearer to each other, so it ends.
    fn balance(&mut self, claims: &Claims) {
        while let Some((from, to, topic)) = self.best_move() {
            // What the fullest member does not own yet costs nothing to give away.
            let of_topic = || self.held[from].iter().rev().filter(|partition| partition.topic == topic);
            let moved = of_topic().find(|held| claims.owner.get(*held) != Some(&from)).or_else(|| of_topic().next());
            let Some(moved) = moved.cloned() else { return };
            self.held[from].remove(&moved);
            self.give(to, moved);
        }
    }

    /// The move out of the fullest member from which one helps: to whom, and a partition of which topic.
    fn best_move(&self) -> Option<(usize, usize, Arc<str>)> {
        let mut by_load: Vec<usize> = (0..self.held.len()).collect();
        by_load.sort_by_key(|member| std::cmp::Reverse(self.held[*member].len()));
        for from in by_load {
            let load = self.held[from].len();
            let topics: BTreeSet<&Arc<str>> = self.held[from].iter().map(|partition| &partition.topic).collect();
            let target = topics
                .into_iter()
                .filter_map(|topic| Some((self.least_loaded_reader(topic)?, topic)))
                .min_by_key(|(member, _)| self.held[*member].len());
            match target {
                Some((to, topic)) if self.held[to].len() + 1 < load => return Some((from, to, topic.clone())),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
