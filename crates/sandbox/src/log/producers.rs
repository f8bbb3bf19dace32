//! What the log remembers of idempotent producers: the epoch, and the last batches with the offsets they got.
//!
//! Source: Kafka's `ProducerStateManager` and `ProducerAppendInfo`: a batch that repeats one of the last five is answered with the
//! offset that it got the first time; a gap is refused.

use std::collections::{HashMap, VecDeque};

use thiserror::Error;

use super::BatchHeader;

/// As many as a producer may have in flight.
const REMEMBERED_BATCHES: usize = 5;

/// Why the sequence of a batch is refused.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub(crate) enum SequenceError {
    #[error("the producer's epoch is older than the one the broker has seen")]
    StaleEpoch,
    #[error("the sequence leaves a gap, or repeats a batch that is forgotten")]
    OutOfOrder,
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
struct Producer {
    epoch: i16,
    batches: VecDeque<Remembered>,
}

/// All producers of one partition.
#[derive(Debug, Default)]
pub(super) struct Producers(HashMap<i64, Producer>);

/// The sequence of the last of `records` records that begin at `base`; 2147483647 is followed by 0.
fn last_sequence(base: i32, records: i64) -> i32 {
    ((i64::from(base) + records - 1) % (i64::from(i32::MAX) + 1)) as i32
}

impl Producers {
    /// Decides whether the batch is new (`Ok(None)`) or a repetition (`Ok(Some(base offset))`).
    pub(super) fn check(&self, header: &BatchHeader) -> Result<Option<i64>, SequenceError> {
        let Some(producer) = self.0.get(&header.producer_id) else {
            // The log may have forgotten this producer, so any sequence may begin.
            return Ok(None);
        };
        if header.producer_epoch < producer.epoch {
            return Err(SequenceError::StaleEpoch);
        }
        if header.producer_epoch > producer.epoch {
            return if header.base_sequence == 0 { Ok(None) } else { Err(SequenceError::OutOfOrder) };
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
        if header.base_sequence == expected { Ok(None) } else { Err(SequenceError::OutOfOrder) }
    }

    /// Remembers a batch that was appended.
    pub(super) fn appended(&mut self, header: &BatchHeader, base_offset: i64) {
        if self.0.len() >= MAX_PRODUCERS && !self.0.contains_key(&header.producer_id) {
            let last_offset = |producer: &Producer| producer.batches.back().map(|batch| batch.base_offset);
            let silent = self.0.iter().min_by_key(|(_, producer)| last_offset(producer)).map(|(id, _)| *id);
            self.0.remove(&silent.unwrap_or_default());
        }
        let producer = self
            .0
            .entry(header.producer_id)
            .or_insert_with(|| Producer { epoch: header.producer_epoch, batches: VecDeque::new() });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            base_sequence: header.base_sequence,
            last_sequence: last_sequence(header.base_sequence, header.records()),
            base_offset,
        });
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
            assert_eq!(producers.check(&next), Ok(None));
            producers.appended(&next, i64::from(number) * 2);
        }
        assert_eq!(producers.check(&header(0, 6, 2)), Ok(Some(6)));
        assert_eq!(producers.check(&header(0, 4, 2)), Err(SequenceError::OutOfOrder), "five are remembered, not six");
    }

    #[test]
    fn a_gap_is_refused_and_a_new_epoch_begins_at_zero() {
        let mut producers = Producers::default();
        producers.appended(&header(3, 0, 2), 0);
        assert_eq!(producers.check(&header(3, 3, 1)), Err(SequenceError::OutOfOrder));
        assert_eq!(producers.check(&header(2, 2, 1)), Err(SequenceError::StaleEpoch));
        assert_eq!(producers.check(&header(4, 2, 1)), Err(SequenceError::OutOfOrder));
        assert_eq!(producers.check(&header(4, 0, 1)), Ok(None));
    }

    #[test]
    fn no_more_producers_are_remembered_than_the_bound() {
        let mut producers = Producers::default();
        for id in 0..=MAX_PRODUCERS as i64 {
            let header = BatchHeader { producer_id: id, ..header(0, 0, 1) };
            producers.appended(&header, id);
        }
        assert_eq!(producers.0.len(), MAX_PRODUCERS);
        assert!(!producers.0.contains_key(&0), "it was silent for the longest");
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.appended(&header(0, i32::MAX - 1, 3), 0);
        assert_eq!(producers.check(&header(0, 1, 1)), Ok(None));
        assert_eq!(producers.check(&header(0, 2, 1)), Err(SequenceError::OutOfOrder));
    }
}
