//! How a leader divides partitions among the members of its group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::subscription::Subscription;
use super::{range, sticky};
use crate::TopicPartition;

/// A strategy for dividing partitions, by the names of Kafka's `partition.assignment.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// `range`: every topic on its own, in contiguous ranges, so that equally partitioned topics land alike. Eager: all
    /// partitions are given back before each rebalance.
    Range,
    /// `cooperative-sticky`: balanced, and what a member has it keeps. Only partitions that change hands stop (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// Returns the name on the wire and in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Returns the assignor of that name; the class names of the Java client are understood too.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.rsplit('.').next() {
            Some("range" | "RangeAssignor") => Some(Self::Range),
            Some("cooperative-sticky" | "CooperativeStickyAssignor") => Some(Self::CooperativeSticky),
            _ => None,
        }
    }

    pub(crate) fn assign(self, members: &[Member], topics: &PartitionCounts) -> Assignments {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by_key(|member| (member.instance_id.is_none(), &member.instance_id, &member.id));
        match self {
            Self::Range => range::assign(&members, topics),
            Self::CooperativeSticky => sticky::assign(&members, topics),
        }
    }
}

/// How many partitions each topic has. A topic that does not exist (yet) is absent, and nobody gets anything of it.
pub(crate) type PartitionCounts = BTreeMap<Arc<str>, i32>;

/// Which member gets what; every member has an entry.
pub(crate) type Assignments = BTreeMap<String, BTreeSet<TopicPartition>>;

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) subscription: Subscription,
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;

    pub(crate) fn member(id: &str, topics: &[&str]) -> Member {
        owning(id, topics, &[], -1)
    }

    pub(crate) fn owning(id: &str, topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Member {
        let subscription = Subscription {
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            owned: partitions(owned),
            generation,
            rack: None,
        };
        Member { id: id.to_owned(), instance_id: None, subscription }
    }

    pub(crate) fn partitions(list: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
        list.iter().map(|(topic, partition)| TopicPartition::new(*topic, *partition)).collect()
    }

    pub(crate) fn topics(list: &[(&str, i32)]) -> PartitionCounts {
        list.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka_and_of_java_classes() {
        for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
            assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
        }
        let java = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(Assignor::from_name(java), Some(Assignor::CooperativeSticky));
        assert_eq!(Assignor::from_name("roundrobin"), None);
    }
}
