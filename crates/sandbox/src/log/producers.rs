//! What the log remembers of idempotent producers: the epoch, and the last batches with the offsets they got.
//!
//! Source: Kafka's `ProducerStateManager` and `ProducerAppendInfo`: a batch that repeats one of the last five is answered with the
//! offset that it got the first time; a gap is refused. A marker ends the producer's transaction and may raise its epoch.

use std::collections::{HashMap, VecDeque};

use thiserror::Error;

use super::BatchHeader;
use super::batch::COORDINATOR_EPOCH;
use crate::transactions::{Producer, Protocol};

/// As many as a producer may have in flight.
const REMEMBERED_BATCHES: usize = 5;

/// Why the sequence of a batch is refused.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub(crate) enum SequenceError {
    #[error("the producer's epoch is older than the one the broker has seen")]
    StaleEpoch,
    #[error("the sequence leaves a gap, or repeats a batch that is forgotten")]
    OutOfOrder,
    #[error("the producer has a transaction open here, and this batch is not transactional")]
    NotTransactional,
}

/// A partition remembers no more producers; the one that was silent for the longest is forgotten first. Kafka forgets by time.
const MAX_PRODUCERS: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Remembered {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Debug)]
struct Entry {
    epoch: i16,
    batches: VecDeque<Remembered>,
    /// Where its open transaction begins.
    transaction_from: Option<i64>,
    /// The largest time in its latest batch or marker, in milliseconds since 1970.
    last_timestamp: i64,
    /// Whether a marker was ever written for it.
    is_marked: bool,
}

/// A producer as DescribeProducers shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub(crate) producer: Producer,
    /// -1 when it has written nothing under this epoch.
    pub(crate) last_sequence: i32,
    pub(crate) last_timestamp: i64,
    /// -1 before the first marker.
    pub(crate) coordinator_epoch: i32,
    pub(crate) transaction_from: Option<i64>,
}

/// All producers of one partition.
#[derive(Debug, Default)]
pub(super) struct Producers(HashMap<i64, Entry>);

/// The sequence of the last of `records` records that begin at `base`; 2147483647 is followed by 0.
fn last_sequence(base: i32, records: i64) -> i32 {
    ((i64::from(base) + records - 1) % (i64::from(i32::MAX) + 1)) as i32
}

impl Producers {
    /// Decides whether the batch is new (`Ok(None)`) or a repetition (`Ok(Some(base offset))`). With `begins_at_zero` a producer
    /// that the log does not know begins with sequence 0 (KIP-890); otherwise with any, as the log may have forgotten it.
    pub(super) fn check(&self, header: &BatchHeader, begins_at_zero: bool) -> Result<Option<i64>, SequenceError> {
        let Some(producer) = self.0.get(&header.producer_id) else {
            return if begins_at_zero && header.base_sequence != 0 { Err(SequenceError::OutOfOrder) } else { Ok(None) };
        };
        if header.producer_epoch < producer.epoch {
            return Err(SequenceError::StaleEpoch);
        }
        let in_place = || match producer.transaction_from {
            Some(_) if !header.is_transactional() => Err(SequenceError::NotTransactional),
            _ => Ok(None),
        };
        if header.producer_epoch > producer.epoch {
            return if header.base_sequence == 0 { in_place() } else { Err(SequenceError::OutOfOrder) };
        }
        let last = last_sequence(header.base_sequence, header.records());
        if let Some(known) = producer
            .batches
            .iter()
            .find(|known| known.base_sequence == header.base_sequence && known.last_sequence == last)
        {
            return Ok(Some(known.base_offset));
        }
        let expected = producer.batches.back().map_or(0, |known| last_sequence(known.last_sequence, 2));
        if header.base_sequence == expected { in_place() } else { Err(SequenceError::OutOfOrder) }
    }

    /// Whether the producer has begun a transaction here under this very epoch.
    pub(super) fn has_open_transaction(&self, producer: Producer) -> bool {
        self.0.get(&producer.id).is_some_and(|entry| entry.epoch == producer.epoch && entry.transaction_from.is_some())
    }

    /// Remembers a batch that was appended. Says whether it began a transaction.
    pub(super) fn appended(&mut self, header: &BatchHeader, base_offset: i64, timestamp: i64) -> bool {
        let producer = self.entry(header.producer(), timestamp);
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            base_sequence: header.base_sequence,
            last_sequence: last_sequence(header.base_sequence, header.records()),
            base_offset,
        });
        let begins = header.is_transactional() && producer.transaction_from.is_none();
        if begins {
            producer.transaction_from = Some(base_offset);
        }
        begins
    }

    /// The producer's entry, under its epoch.
    fn entry(&mut self, producer: Producer, timestamp: i64) -> &mut Entry {
        if self.0.len() >= MAX_PRODUCERS && !self.0.contains_key(&producer.id) {
            let last_offset = |entry: &Entry| entry.batches.back().map(|batch| batch.base_offset);
            let idle = self.0.iter().filter(|(_, entry)| entry.transaction_from.is_none());
            let silent = idle.min_by_key(|(_, entry)| last_offset(entry)).map(|(id, _)| *id);
            self.0.remove(&silent.unwrap_or_default());
        }
        let entry = self.0.entry(producer.id).or_insert_with(|| Entry {
            epoch: producer.epoch,
            batches: VecDeque::new(),
            transaction_from: None,
            last_timestamp: timestamp,
            is_marked: false,
        });
        if entry.epoch != producer.epoch {
            entry.epoch = producer.epoch;
            entry.batches.clear();
        }
        entry.last_timestamp = timestamp;
        entry
    }

    /// Whether a marker may be written. Under [`Protocol::V2`] its epoch is one above that of what it ends, and the same epoch
    /// again is only a repetition.
    pub(super) fn may_mark(&self, producer: Producer, protocol: Protocol) -> Result<(), SequenceError> {
        let stale = self.0.get(&producer.id).is_some_and(|entry| match protocol {
            Protocol::V1 => producer.epoch < entry.epoch,
            Protocol::V2 => {
                let is_repeated =
                    producer.epoch == entry.epoch && (entry.transaction_from.is_none() || producer.epoch == i16::MAX);
                producer.epoch <= entry.epoch && !is_repeated
            }
        });
        if stale { Err(SequenceError::StaleEpoch) } else { Ok(()) }
    }

    /// A marker was written: the transaction is over. Returns where it began, if it wrote anything here.
    pub(super) fn marked(&mut self, producer: Producer, timestamp: i64) -> Option<i64> {
        let entry = self.entry(producer, timestamp);
        entry.is_marked = true;
        entry.transaction_from.take()
    }

    pub(super) fn active(&self) -> impl Iterator<Item = ActiveProducer> {
        self.0.iter().map(|(id, entry)| ActiveProducer {
            producer: Producer { id: *id, epoch: entry.epoch },
            last_sequence: entry.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: if entry.is_marked { COORDINATOR_EPOCH } else { -1 },
            transaction_from: entry.transaction_from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::tests::batch;

    fn header(epoch: i16, sequence: i32, records: i32) -> BatchHeader {
        BatchHeader::read(&batch(Some((1, epoch, sequence)), records, 0, 0)).unwrap()
    }

    #[test]
    fn a_repeated_batch_gets_the_offset_it_had() {
        let mut producers = Producers::default();
        for number in 0..8 {
            let next = header(0, number * 2, 2);
            assert_eq!(producers.check(&next, false), Ok(None));
            producers.appended(&next, i64::from(number) * 2, 0);
        }
        assert_eq!(producers.check(&header(0, 6, 2), false), Ok(Some(6)));
        assert_eq!(
            producers.check(&header(0, 4, 2), false),
            Err(SequenceError::OutOfOrder),
            "five are remembered, not six"
        );
    }

    #[test]
    fn a_gap_is_refused_and_a_new_epoch_begins_at_zero() {
        let mut producers = Producers::default();
        producers.appended(&header(3, 0, 2), 0, 0);
        assert_eq!(producers.check(&header(3, 3, 1), false), Err(SequenceError::OutOfOrder));
        assert_eq!(producers.check(&header(2, 2, 1), false), Err(SequenceError::StaleEpoch));
        assert_eq!(producers.check(&header(4, 2, 1), false), Err(SequenceError::OutOfOrder));
        assert_eq!(producers.check(&header(4, 0, 1), false), Ok(None));
    }

    #[test]
    fn no_more_producers_are_remembered_than_the_bound() {
        let mut producers = Producers::default();
        for id in 0..=MAX_PRODUCERS as i64 {
            let header = BatchHeader { producer_id: id, ..header(0, 0, 1) };
            producers.appended(&header, id, 0);
        }
        assert_eq!(producers.0.len(), MAX_PRODUCERS);
        assert!(!producers.0.contains_key(&0), "it was silent for the longest");
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.appended(&header(0, i32::MAX - 1, 3), 0, 0);
        assert_eq!(producers.check(&header(0, 1, 1), false), Ok(None));
        assert_eq!(producers.check(&header(0, 2, 1), false), Err(SequenceError::OutOfOrder));
    }
}
