//! What a group has committed.

use std::collections::BTreeMap;

/// A committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// A position that a transaction commits, should it be committed itself.
#[derive(Debug)]
struct Pending {
    topic: String,
    partition: i32,
    committed: Committed,
    /// Its place among all commits of the group.
    order: u64,
}

/// The committed positions of one group, by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<String, BTreeMap<i32, Committed>>,
    /// By producer id.
    pending: BTreeMap<i64, Vec<Pending>>,
    /// The places of those commits that pending ones have to be compared with; empty while nothing is pending.
    order: BTreeMap<(String, i32), u64>,
    next_order: u64,
}

impl Offsets {
    pub(crate) fn commit(&mut self, topic: &str, partition: i32, committed: Committed) {
        self.next_order += 1;
        if !self.pending.is_empty() {
            self.order.insert((topic.to_owned(), partition), self.next_order);
        }
        self.committed.entry(topic.to_owned()).or_default().insert(partition, committed);
    }

    /// Takes a position for the transaction of `producer_id`. Nobody sees it before [`end_transaction`](Self::end_transaction).
    pub(crate) fn commit_in_transaction(
        &mut self,
        producer_id: i64,
        topic: &str,
        partition: i32,
        committed: Committed,
    ) {
        self.next_order += 1;
        let pending = self.pending.entry(producer_id).or_default();
        // The last word on a partition counts, so one is enough.
        pending.retain(|earlier| earlier.topic != topic || earlier.partition != partition);
        pending.push(Pending { topic: topic.to_owned(), partition, committed, order: self.next_order });
    }

    /// Makes a transaction's positions visible, or drops them. One that was committed after them, and outside, stays.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, is_commit: bool) {
        let ended = self.pending.remove(&producer_id).unwrap_or_default();
        for Pending { topic, partition, committed, order } in ended.into_iter().filter(|_| is_commit) {
            let place = (topic, partition);
            if self.order.get(&place).is_none_or(|newest| *newest < order) {
                let (topic, partition) = place.clone();
                self.order.insert(place, order);
                self.committed.entry(topic).or_default().insert(partition, committed);
            }
        }
        if self.pending.is_empty() {
            self.order.clear();
        }
    }

    /// Whether a transaction is open that may move this position.
    pub(crate) fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        self.pending.values().flatten().any(|pending| pending.topic == topic && pending.partition == partition)
    }

    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(topic)?.get(&partition)
    }

    pub(crate) fn delete(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.committed.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.committed.remove(topic);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Forgets a topic that was deleted.
    pub(crate) fn delete_topic(&mut self, topic: &str) {
        self.committed.remove(topic);
        self.pending.values_mut().for_each(|pending| pending.retain(|pending| pending.topic != topic));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, Committed>)> {
        self.committed.iter().map(|(topic, partitions)| (topic.as_str(), partitions))
    }
}
