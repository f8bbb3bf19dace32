//! The `range` assignor: each topic's partitions in contiguous ranges, members in order (Java's `RangeAssignor` without racks).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assignor::{Assignments, Member, PartitionCounts};
use crate::TopicPartition;

/// Divides every topic on its own. The first members get one partition more where the count does not divide; topics of equal
/// size that have the same readers are therefore divided alike (co-partitioning).
pub(super) fn assign(members: &[&Member], topics: &PartitionCounts) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|member| (member.id.clone(), Default::default())).collect();
    let mut readers: BTreeMap<&Arc<str>, Vec<&str>> = BTreeMap::new();
    for member in members {
        for topic in &member.subscription.topics {
            readers.entry(topic).or_default().push(&member.id);
        }
    }
    for (topic, readers) in readers {
        let count = topics.get(topic).copied().unwrap_or(0);
        let (each, extra) = (count / readers.len() as i32, count % readers.len() as i32);
        let mut next = 0;
        for (index, reader) in readers.iter().enumerate() {
            let end = next + each + i32::from((index as i32) < extra);
            if let Some(given) = assignments.get_mut(*reader) {
                given.extend((next..end).map(|partition| TopicPartition { topic: topic.clone(), partition }));
            }
            next = end;
        }
    }
    assignments
}

#[cfg(test)]
mod tests {
    use super::super::assignor::Assignor;
    use super::super::assignor::fixtures::{member, partitions, topics};

    /// The example of Java's `RangeAssignor` documentation.
    #[test]
    fn two_members_share_two_topics_of_three_partitions_alike() {
        let given = Assignor::Range
            .assign(&[member("C1", &["t0", "t1"]), member("C0", &["t0", "t1"])], &topics(&[("t0", 3), ("t1", 3)]));
        assert_eq!(given["C0"], partitions(&[("t0", 0), ("t0", 1), ("t1", 0), ("t1", 1)]));
        assert_eq!(given["C1"], partitions(&[("t0", 2), ("t1", 2)]));
    }

    #[test]
    fn members_of_one_topic_only_get_that_topic() {
        let members = [member("a", &["x"]), member("b", &["x", "y"]), member("c", &["gone"])];
        let given = Assignor::Range.assign(&members, &topics(&[("x", 2), ("y", 2)]));
        assert_eq!(given["a"], partitions(&[("x", 0)]));
        assert_eq!(given["b"], partitions(&[("x", 1), ("y", 0), ("y", 1)]));
        assert!(given["c"].is_empty());
    }

    #[test]
    fn static_members_come_first_and_in_the_order_of_their_instance_ids() {
        let mut members = [member("z", &["x"]), member("y", &["x"]), member("a", &["x"])];
        members[0].instance_id = Some("1".to_owned());
        members[1].instance_id = Some("2".to_owned());
        let given = Assignor::Range.assign(&members, &topics(&[("x", 2)]));
        assert_eq!((given["z"].len(), given["y"].len(), given["a"].len()), (1, 1, 0));
        assert_eq!(given["z"], partitions(&[("x", 0)]));
    }
}
