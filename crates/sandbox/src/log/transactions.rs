//! Which of a log's transactions are open, and which were aborted: what a reader of committed records must know.
//!
//! Source: Kafka's `ProducerStateManager` (first unstable offset) and `TransactionIndex`.

use std::collections::BTreeMap;

use crate::transactions::Outcome;

/// A transaction whose records must be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// Its marker's.
    last_offset: i64,
}

/// The transactions of one partition.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// First offsets, with the producers.
    open: BTreeMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

impl Transactions {
    pub(super) fn began(&mut self, producer_id: i64, first_offset: i64) {
        self.open.insert(first_offset, producer_id);
    }

    /// The marker of the transaction that began at `first_offset` was written at `last_offset`.
    pub(super) fn ended(&mut self, first_offset: i64, last_offset: i64, outcome: Outcome) {
        if let Some(producer_id) = self.open.remove(&first_offset)
            && outcome == Outcome::Abort
        {
            self.aborted.push(Aborted { producer_id, first_offset, last_offset });
        }
    }

    /// The first offset that is not decided yet.
    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// The aborted transactions that have records from `from` up to, but not including, `to`.
    pub(super) fn aborted_within(&self, from: i64, to: i64) -> impl Iterator<Item = Aborted> {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        self.aborted[first..].iter().filter(move |aborted| aborted.first_offset < to).copied()
    }

    /// Forgets those that lie before `start` altogether.
    pub(super) fn forget_before(&mut self, start: i64) {
        let gone = self.aborted.partition_point(|aborted| aborted.last_offset < start);
        self.aborted.drain(..gone);
    }
}
