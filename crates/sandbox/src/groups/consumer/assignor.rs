//! Who is to have which partition: the two assignors that Kafka's coordinator comes with.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::messages::Partitions;

/// Chosen by the members' votes (`group.remote.assignor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Assignor {
    /// Everybody gets as many as everybody else, within one, and keeps what it has where that allows it.
    #[default]
    Uniform,
    /// Each topic is cut into as many ranges as it has members.
    Range,
}

/// What a member wants: its topics, with the number of their partitions.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Members stand in this order: static ones by their instances' names.
    pub(super) order: String,
    pub(super) topics: BTreeMap<Uuid, i32>,
}

impl Wish {
    fn covers(&self, (topic, partition): (Uuid, i32)) -> bool {
        self.topics.get(&topic).is_some_and(|count| partition < *count)
    }
}

impl Assignor {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// Gives every partition that somebody wants to one who does. `before` is what was decided last.
    pub(super) fn assign(
        self,
        wishes: &BTreeMap<String, Wish>,
        before: &BTreeMap<String, Partitions>,
    ) -> BTreeMap<String, Partitions> {
        match self {
            Self::Uniform => uniform(wishes, before),
            Self::Range => range(wishes),
        }
    }
}

fn uniform(wishes: &BTreeMap<String, Wish>, before: &BTreeMap<String, Partitions>) -> BTreeMap<String, Partitions> {
    let mut taken = Partitions::new();
    let mut target: BTreeMap<String, Partitions> = BTreeMap::new();
    for (member, wish) in wishes {
        let had = before.get(member).into_iter().flatten().copied();
        let kept: Partitions = had.filter(|partition| wish.covers(*partition) && taken.insert(*partition)).collect();
        target.insert(member.clone(), kept);
    }
    let wanted: Partitions = wishes.values().flat_map(|wish| &wish.topics).flat_map(each_partition).collect();
    // What few can take goes first, while they still have room.
    let takers = |partition: (Uuid, i32)| wishes.values().filter(|wish| wish.covers(partition)).count();
    let mut free: Vec<_> = wanted.difference(&taken).map(|partition| (takers(*partition), *partition)).collect();
    free.sort_unstable();
    for (_, partition) in free {
        let fewest = target
            .iter_mut()
            .filter(|(member, _)| wishes.get(*member).is_some_and(|wish| wish.covers(partition)))
            .min_by_key(|(_, has)| has.len());
        if let Some((_, has)) = fewest {
            has.insert(partition);
        }
    }
    while let Some((from, to, partition)) = better_move(wishes, &target) {
        if let Some(has) = target.get_mut(&from) {
            has.remove(&partition);
        }
        target.entry(to).or_default().insert(partition);
    }
    target
}

fn each_partition((topic, count): (&Uuid, &i32)) -> impl Iterator<Item = (Uuid, i32)> {
    let topic = *topic;
    (0..*count).map(move |partition| (topic, partition))
}

/// A partition that one member should give to another that has at least two fewer. Each such move brings their numbers closer
/// together, so there is an end to them.
fn better_move(
    wishes: &BTreeMap<String, Wish>,
    target: &BTreeMap<String, Partitions>,
) -> Option<(String, String, (Uuid, i32))> {
    let mut by_size: Vec<_> = target.iter().collect();
    by_size.sort_by_key(|(_, has)| has.len());
    for (from, has) in by_size.iter().rev() {
        for (to, others) in &by_size {
            if others.len() + 2 > has.len() {
                break;
            }
            let wish = wishes.get(*to)?;
            if let Some(partition) = has.iter().rev().find(|partition| wish.covers(**partition)) {
                return Some(((*from).clone(), (*to).clone(), *partition));
            }
        }
    }
    None
}

fn range(wishes: &BTreeMap<String, Wish>) -> BTreeMap<String, Partitions> {
    let mut target: BTreeMap<String, Partitions> =
        wishes.keys().map(|member| (member.clone(), Partitions::new())).collect();
    let topics: BTreeSet<(Uuid, i32)> =
        wishes.values().flat_map(|wish| wish.topics.iter().map(|(topic, count)| (*topic, *count))).collect();
    for (topic, count) in topics {
        let mut takers: Vec<_> = wishes.iter().filter(|(_, wish)| wish.topics.contains_key(&topic)).collect();
        takers.sort_by(|(_, one), (_, other)| one.order.cmp(&other.order));
        let (each, more) = (count / takers.len() as i32, count % takers.len() as i32);
        let mut next = 0;
        for (index, (member, _)) in takers.into_iter().enumerate() {
            let end = next + each + i32::from((index as i32) < more);
            target.entry(member.clone()).or_default().extend((next..end).map(|partition| (topic, partition)));
            next = end;
        }
    }
    target
}
