//! What a transaction holds so far: from where to where in each partition, and how much.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::{Position, Positions, TopicPartition};

/// What bounds a transaction: whichever is reached first ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) orders: usize,
    pub(crate) bytes: usize,
    /// How long it waits for more.
    pub(crate) linger: Duration,
}

/// The orders of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Where the transaction began in each partition: where to read on should it come to nothing.
    from: BTreeMap<TopicPartition, i64>,
    /// Where it ends: what is committed with it.
    next: Positions,
    pub(crate) lists: u64,
    orders: usize,
    bytes: usize,
}

impl Taken {
    /// Orders from `from` up to `next` became `lists` pick lists of so many bytes.
    pub(crate) fn add(&mut self, partition: &TopicPartition, from: i64, next: Position, lists: usize, bytes: usize) {
        self.from.entry(partition.clone()).or_insert(from);
        self.next.insert(partition.clone(), next);
        self.lists += lists as u64;
        self.orders += usize::try_from(next.offset - from).unwrap_or(usize::MAX);
        self.bytes += bytes;
    }

    /// Whether `more` orders can join it.
    pub(crate) fn has_room(&self, bounds: &Bounds, more: usize) -> bool {
        self.orders + more <= bounds.orders && self.bytes < bounds.bytes
    }

    /// What to commit with it.
    pub(crate) fn positions(&self) -> &Positions {
        &self.next
    }

    /// Where to read on if it came to nothing.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.from.iter().map(|(partition, from)| (partition, *from))
    }

    /// Whether orders of one of these partitions are in it.
    pub(crate) fn touches(&self, partitions: &[TopicPartition]) -> bool {
        partitions.iter().any(|partition| self.from.contains_key(partition))
    }

    /// Whether it holds orders of these partitions only.
    pub(crate) fn is_within(&self, partitions: &[TopicPartition]) -> bool {
        self.from.keys().all(|partition| partitions.contains(partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { orders: 1000, bytes: 10_000, linger: Duration::ZERO };

    fn orders(partition: i32) -> TopicPartition {
        TopicPartition::new("grocery.orders.v1", partition)
    }

    #[test]
    fn it_is_committed_where_its_last_orders_end_and_done_again_from_where_the_first_began() {
        let mut taken = Taken::default();
        taken.add(&orders(0), 100, Position::at(110), 9, 900);
        taken.add(&orders(1), 50, Position::at(51), 1, 100);
        taken.add(&orders(0), 110, Position::at(130), 20, 2000);
        assert_eq!(taken.positions().get(&orders(0)), Some(Position::at(130)));
        assert_eq!(taken.beginnings().collect::<Vec<_>>(), [(&orders(0), 100), (&orders(1), 50)]);
        assert_eq!(taken.lists, 30);
    }

    #[test]
    fn orders_and_bytes_bound_it() {
        let mut taken = Taken::default();
        assert!(taken.has_room(&BOUNDS, 1000) && !taken.has_room(&BOUNDS, 1001));
        taken.add(&orders(0), 0, Position::at(600), 600, 9_999);
        assert!(taken.has_room(&BOUNDS, 400) && !taken.has_room(&BOUNDS, 401));
        taken.add(&orders(0), 600, Position::at(601), 1, 1);
        assert!(!taken.has_room(&BOUNDS, 1));
    }

    #[test]
    fn a_partition_that_went_away_is_known_to_be_in_it_or_not() {
        let mut taken = Taken::default();
        taken.add(&orders(0), 0, Position::at(1), 1, 1);
        assert!(taken.touches(&[orders(1), orders(0)]) && !taken.touches(&[orders(1)]));
        assert!(taken.is_within(&[orders(0), orders(2)]) && !taken.is_within(&[orders(2)]));
    }
}
