//! How far somebody has read.

use std::collections::BTreeMap;

use crate::TopicPartition;

/// A place in a partition: the offset of the next record, and the leader epoch of the last one before it, by which a
/// consumer notices that the log was truncated behind it (KIP-320).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset of the next record.
    pub offset: i64,
    /// The leader epoch of the record before it, if known.
    pub leader_epoch: Option<i32>,
}

impl Position {
    /// A place known by its offset alone.
    pub fn at(offset: i64) -> Self {
        Self { offset, leader_epoch: None }
    }

    pub(super) fn from_wire(offset: i64, leader_epoch: i32) -> Self {
        Self { offset, leader_epoch: (leader_epoch >= 0).then_some(leader_epoch) }
    }

    pub(crate) fn wire_epoch(&self) -> i32 {
        self.leader_epoch.unwrap_or(-1)
    }
}

/// Places in several partitions: what is to be committed, or was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<TopicPartition, Position>);

impl Positions {
    /// No places.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the place in a partition.
    pub fn insert(&mut self, partition: TopicPartition, position: Position) {
        self.0.insert(partition, position);
    }

    /// The place in a partition.
    pub fn get(&self, partition: &TopicPartition) -> Option<Position> {
        self.0.get(partition).copied()
    }

    /// Takes over the other's places where they are further on.
    pub fn advance(&mut self, other: &Positions) {
        for (partition, position) in other.iter() {
            if self.get(partition).is_none_or(|known| known.offset < position.offset) {
                self.insert(partition.clone(), position);
            }
        }
    }

    /// All places, by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        self.0.iter().map(|(partition, position)| (partition, *position))
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops the places for which `keep` does not hold.
    pub fn retain(&mut self, keep: impl Fn(&TopicPartition) -> bool) {
        self.0.retain(|partition, _| keep(partition));
    }
}

impl FromIterator<(TopicPartition, Position)> for Positions {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, Position)>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}
