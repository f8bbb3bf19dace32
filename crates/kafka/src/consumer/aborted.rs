//! Which batches of a fetched chunk were written in transactions that did not count (KIP-98).
//!
//! With the records, a broker names the aborted transactions that overlap them: producer and first offset, in no order that
//! can be relied on. From that offset on, what the producer wrote in transactions is passed over until its abort marker.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use crate::records::{Batch, ControlRecord, RecordsError};

/// An aborted transaction, as Fetch answers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AbortedTransaction {
    pub(super) first_offset: i64,
    pub(super) producer_id: i64,
}

/// The aborted transactions of a chunk, as far as they matter to the batches that are still to come.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    ahead: BinaryHeap<Reverse<AbortedTransaction>>,
    /// Producers in the middle of one.
    open: HashSet<i64>,
}

impl Aborted {
    pub(super) fn new(transactions: impl IntoIterator<Item = AbortedTransaction>) -> Self {
        Self { ahead: transactions.into_iter().map(Reverse).collect(), open: HashSet::new() }
    }

    /// Takes the next batch of the chunk and says whether the application must not see it, which holds for every marker.
    ///
    /// # Errors
    /// A marker that cannot be read.
    pub(super) fn hides(&mut self, batch: &Batch) -> Result<bool, RecordsError> {
        let header = batch.header();
        while let Some(Reverse(next)) =
            self.ahead.peek().filter(|Reverse(next)| next.first_offset <= header.last_offset())
        {
            self.open.insert(next.producer_id);
            self.ahead.pop();
        }
        if header.control {
            if !self.open.is_empty() && batch.control()? == Some(ControlRecord::Abort) {
                self.open.remove(&header.producer_id);
            }
            return Ok(true);
        }
        Ok(header.transactional && self.open.contains(&header.producer_id))
    }
}
