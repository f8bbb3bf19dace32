use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::TopicPartition;
use crate::group::assignor::fixtures::{member, owning, partitions, topics};
use crate::group::assignor::{Assignments, Assignor, Member, PartitionCounts};

fn assign(members: &[Member], topics: &PartitionCounts) -> Assignments {
    Assignor::CooperativeSticky.assign(members, topics)
}

#[test]
fn a_new_group_is_balanced() {
    let given = assign(&[member("a", &["t"]), member("b", &["t"])], &topics(&[("t", 5)]));
    let mut sizes: Vec<usize> = given.values().map(BTreeSet::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 3]);
}

#[test]
fn what_changes_hands_is_given_to_nobody_in_the_first_round() {
    let old = owning("a", &["t"], &[("t", 0), ("t", 1), ("t", 2)], 4);
    let given = assign(&[old.clone(), member("b", &["t"])], &topics(&[("t", 3)]));
    assert_eq!(given["a"].len(), 2);
    assert!(given["b"].is_empty(), "b waits until a has given it up");
    assert!(given["a"].is_subset(&old.subscription.owned));
}

#[test]
fn a_claim_of_an_older_generation_loses() {
    let stale = owning("a", &["t"], &[("t", 0)], 3);
    let current = owning("b", &["t"], &[("t", 0)], 4);
    let given = assign(&[stale, current], &topics(&[("t", 2)]));
    assert!(given["b"].contains(&TopicPartition::new("t", 0)));
    assert_eq!(given["a"], partitions(&[("t", 1)]));
}

#[test]
fn of_two_equal_claims_neither_counts() {
    let members = [owning("a", &["t"], &[("t", 0)], 4), owning("b", &["t"], &[("t", 0)], 4)];
    let given = assign(&members, &topics(&[("t", 1)]));
    assert!(given.values().all(BTreeSet::is_empty), "both give it up first: {given:?}");
}

#[test]
fn a_partition_of_a_topic_that_is_gone_or_no_longer_wanted_is_dropped() {
    let members = [owning("a", &["t"], &[("t", 0), ("gone", 0), ("t", 9), ("u", 0)], 2), member("b", &["u"])];
    let given = assign(&members, &topics(&[("t", 1), ("u", 1)]));
    assert_eq!(given["a"], partitions(&[("t", 0)]));
    assert!(given["b"].is_empty(), "u-0 is still with a, which does not read u any more");
}

/// A group that is driven by the assignor alone, as members of the protocol would.
struct Group {
    topics: PartitionCounts,
    members: BTreeMap<String, (BTreeSet<Arc<str>>, BTreeSet<TopicPartition>)>,
    generation: i32,
}

impl Group {
    /// One round; says whether a member had to give something up, which calls for another.
    fn round(&mut self) -> bool {
        let members: Vec<Member> = self
            .members
            .iter()
            .map(|(id, (topics, owned))| {
                let mut member = owning(id, &[], &[], self.generation);
                member.subscription.topics = topics.clone();
                member.subscription.owned = owned.clone();
                member
            })
            .collect();
        self.generation += 1;
        let given = assign(&members, &self.topics);
        let mut again = false;
        // Added partitions start at once while revoked ones still run: nothing may be in both sets of two members.
        let mut running: BTreeMap<&TopicPartition, &str> = BTreeMap::new();
        for (id, partitions) in &given {
            for partition in partitions.union(&self.members[id].1) {
                let other = running.insert(partition, id);
                assert!(other.is_none(), "{partition:?} runs at {other:?} and {id}");
            }
        }
        for (id, partitions) in given {
            let member = self.members.get_mut(&id).unwrap();
            again |= !member.1.is_subset(&partitions);
            member.1 = partitions;
        }
        again
    }

    fn settle(&mut self) {
        assert!((0..3).any(|_| !self.round()), "one round to give up, one to hand out, and it is quiet");
    }

    fn owned(&self) -> BTreeMap<TopicPartition, String> {
        self.members.iter().flat_map(|(id, (_, owned))| owned.iter().map(|p| (p.clone(), id.clone()))).collect()
    }

    fn spread(&self) -> usize {
        let sizes = || self.members.values().map(|(_, owned)| owned.len());
        sizes().max().unwrap() - sizes().min().unwrap()
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = fastrand::u64(..);
    (0..100).map(move |n| first.wrapping_add(n))
}

#[test]
fn members_come_and_go_and_every_partition_stays_owned_balanced_and_sticky() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let names: Vec<String> = (0..rng.usize(1..4)).map(|n| format!("topic-{n}")).collect();
        let counts: PartitionCounts = names.iter().map(|name| (Arc::from(name.as_str()), rng.i32(1..12))).collect();
        let total = counts.values().sum::<i32>() as usize;
        let all: BTreeSet<Arc<str>> = counts.keys().cloned().collect();
        let mut group = Group { topics: counts, members: BTreeMap::new(), generation: 0 };
        group.members.insert("m-first".to_owned(), (all.clone(), BTreeSet::new()));
        group.settle();
        for step in 0..20 {
            let before = group.owned();
            let sizes: BTreeMap<String, usize> =
                group.members.iter().map(|(id, (_, owned))| (id.clone(), owned.len())).collect();
            let leaver = group.members.keys().nth(rng.usize(..group.members.len())).cloned().unwrap();
            let leaves = group.members.len() > 1 && rng.bool();
            if leaves {
                group.members.remove(&leaver);
            } else {
                group.members.insert(format!("m-{step}-{}", rng.u16(..)), (all.clone(), BTreeSet::new()));
            }
            group.settle();
            let after = group.owned();
            assert_eq!(after.len(), total, "seed {seed}: every partition has one owner");
            assert!(group.spread() <= 1, "seed {seed}: balanced");
            let moved = before.iter().filter(|(partition, owner)| after[*partition] != **owner).count();
            if leaves {
                let orphaned = sizes[&leaver];
                assert_eq!(moved, orphaned, "seed {seed}: only what the leaver had moves");
            } else {
                let share = total / group.members.len();
                assert!(moved <= share + 1, "seed {seed}: the newcomer gets its share and nothing else moves");
            }
        }
    }
}

#[test]
fn unequal_subscriptions_leave_no_single_move_that_would_even_them() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let names: Vec<Arc<str>> = (0..rng.usize(1..6)).map(|n| Arc::from(format!("topic-{n}"))).collect();
        let counts: PartitionCounts = names.iter().map(|name| (name.clone(), rng.i32(1..9))).collect();
        let mut group = Group { topics: counts.clone(), members: BTreeMap::new(), generation: 0 };
        for index in 0..rng.usize(1..7) {
            let wanted = names.iter().filter(|_| rng.bool()).cloned().collect();
            group.members.insert(format!("m{index}"), (wanted, BTreeSet::new()));
            group.settle();
        }
        let owned = group.owned();
        let readable = |topic: &Arc<str>| group.members.values().any(|(topics, _)| topics.contains(topic));
        let expected: i32 = counts.iter().filter(|(topic, _)| readable(topic)).map(|(_, count)| *count).sum();
        assert_eq!(owned.len(), expected as usize, "seed {seed}");
        for (partition, owner) in &owned {
            let load = group.members[owner].1.len();
            assert!(group.members[owner].0.contains(&partition.topic), "seed {seed}");
            for (topics, held) in group.members.values() {
                assert!(!topics.contains(&partition.topic) || held.len() + 1 >= load, "seed {seed}: {partition:?}");
            }
        }
    }
}
