//! The log of one partition.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::batch;
use super::producers::{ActiveProducer, Producers};
use super::transactions::{Aborted, Transactions};
use super::{BatchHeader, SequenceError, records};
use crate::transactions::{Outcome, Producer, Protocol};

/// The sandbox has one broker, which leads everything from the start.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// Whose clock stamps records (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// How much is kept; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) ms: Option<i64>,
    pub(crate) bytes: Option<usize>,
}

/// What a reader wants to see of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    /// From the protocol's number.
    pub(crate) fn of(level: i8) -> Self {
        if level == 0 { Self::ReadUncommitted } else { Self::ReadCommitted }
    }
}

#[derive(Debug)]
struct Stored {
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
    bytes: Bytes,
}

impl Stored {
    /// Each record's offset and time. A batch that cannot be opened counts as one record.
    fn times(&self) -> Vec<Found> {
        let times = BatchHeader::read(&self.bytes)
            .ok()
            .and_then(|header| records::timestamps(&header, &self.bytes).ok())
            .unwrap_or_else(|| vec![self.max_timestamp]);
        let offsets = self.base_offset..;
        offsets.zip(times).map(|(offset, timestamp)| Found { offset, timestamp }).collect()
    }
}

/// Where a batch was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// Set under `LogAppendTime`, in milliseconds since 1970.
    pub(crate) append_time: Option<i64>,
}

/// The answer to a search by timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// A partition's records, from `start` (what retention has left) to `end` (the next offset to be given).
#[derive(Debug, Default)]
pub(crate) struct PartitionLog {
    batches: VecDeque<Stored>,
    start: i64,
    end: i64,
    size_bytes: usize,
    producers: Producers,
    transactions: Transactions,
}

impl PartitionLog {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The high watermark: with one replica, everything appended is committed.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// The last stable offset: what lies before it is decided.
    pub(crate) fn stable_end(&self) -> i64 {
        self.transactions.first_open().map_or(self.end, |first| first.max(self.start))
    }

    /// Where a reader has to stop.
    pub(crate) fn end_for(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end,
            Isolation::ReadCommitted => self.stable_end(),
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Whether the producer has begun a transaction here, so that nobody need be asked before it goes on.
    pub(crate) fn has_open_transaction(&self, producer: Producer) -> bool {
        self.producers.has_open_transaction(producer)
    }

    /// What is remembered of those who wrote here with a producer id.
    pub(crate) fn producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.active()
    }

    /// Appends `batch`, whose header is `header`. With `begins_at_zero` a producer that is not known here must begin with sequence 0.
    pub(crate) fn append(
        &mut self,
        header: &BatchHeader,
        batch: Bytes,
        timestamps: TimestampType,
        begins_at_zero: bool,
        now_ms: i64,
    ) -> Result<Appended, SequenceError> {
        if header.producer_id >= 0
            && let Some(base_offset) = self.producers.check(header, begins_at_zero)?
        {
            return Ok(Appended { base_offset, append_time: None });
        }
        let appended = self.store(header, batch, timestamps, now_ms);
        if header.producer_id >= 0 {
            let timestamp = appended.append_time.unwrap_or(header.max_timestamp);
            if self.producers.appended(header, appended.base_offset, timestamp) {
                self.transactions.began(header.producer_id, appended.base_offset);
            }
        }
        Ok(appended)
    }

    /// Writes the marker that ends `producer`'s transaction here.
    pub(crate) fn append_marker(
        &mut self,
        producer: Producer,
        outcome: Outcome,
        protocol: Protocol,
        timestamps: TimestampType,
        now_ms: i64,
    ) -> Result<(), SequenceError> {
        self.producers.may_mark(producer, protocol)?;
        let bytes = batch::marker(producer, outcome, now_ms);
        let header = batch::marker_header(producer, bytes.len(), now_ms);
        let Appended { base_offset, .. } = self.store(&header, bytes.into(), timestamps, now_ms);
        if let Some(first_offset) = self.producers.marked(producer, now_ms) {
            self.transactions.ended(first_offset, base_offset, outcome);
        }
        Ok(())
    }

    fn store(&mut self, header: &BatchHeader, batch: Bytes, timestamps: TimestampType, now_ms: i64) -> Appended {
        let append_time = (timestamps == TimestampType::LogAppendTime).then_some(now_ms);
        let base_offset = self.end;
        // The frame that the batch came in is its alone once the request is decoded, so this seldom copies.
        let mut bytes = batch.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        batch::place(&mut bytes, base_offset, LEADER_EPOCH, append_time);
        self.size_bytes += bytes.len();
        self.end += header.records();
        self.batches.push_back(Stored {
            base_offset,
            last_offset: self.end - 1,
            max_timestamp: append_time.unwrap_or(header.max_timestamp),
            bytes: bytes.freeze(),
        });
        Appended { base_offset, append_time }
    }

    /// Whole batches from the one that holds `offset` on, as many as fit into `max_bytes`; with `at_least_one` the first is
    /// given even when it alone is larger. `None` when the offset lies outside of the log.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
        isolation: Isolation,
    ) -> Option<Bytes> {
        if offset < self.start || offset > self.end {
            return None;
        }
        let end = self.end_for(isolation);
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut chosen = 0;
        let mut total = 0;
        for stored in self.batches.range(first..).take_while(|stored| stored.base_offset < end) {
            let fits = total + stored.bytes.len() <= max_bytes || (chosen == 0 && at_least_one);
            if !fits {
                break;
            }
            chosen += 1;
            total += stored.bytes.len();
        }
        Some(match chosen {
            0 => Bytes::new(),
            1 => self.batches[first].bytes.clone(),
            _ => {
                let mut joined = BytesMut::with_capacity(total);
                self.batches.range(first..first + chosen).for_each(|stored| joined.extend_from_slice(&stored.bytes));
                joined.freeze()
            }
        })
    }

    /// The aborted transactions that have records in `bytes`, which were read from `offset` on.
    pub(crate) fn aborted_in(&self, offset: i64, bytes: &[u8]) -> Vec<Aborted> {
        let mut left = bytes.len();
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut end = offset;
        for stored in self.batches.range(first..) {
            if left < stored.bytes.len() {
                break;
            }
            left -= stored.bytes.len();
            end = stored.last_offset + 1;
        }
        if end == offset { Vec::new() } else { self.transactions.aborted_within(offset, end).collect() }
    }

    /// How many bytes lie at and after `offset` for a reader, counted no further than `enough`.
    pub(crate) fn bytes_from(&self, offset: i64, enough: usize, isolation: Isolation) -> usize {
        let end = self.end_for(isolation);
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut total = 0;
        for stored in self.batches.range(first..).take_while(|stored| stored.base_offset < end) {
            total += stored.bytes.len();
            if total >= enough {
                return enough;
            }
        }
        total
    }

    /// The first record of `timestamp` or later.
    pub(crate) fn offset_for_time(&self, timestamp: i64) -> Option<Found> {
        let candidates = self.batches.iter().filter(|stored| stored.max_timestamp >= timestamp);
        candidates.flat_map(Stored::times).find(|found| found.timestamp >= timestamp && found.offset >= self.start)
    }

    /// The first record of those with the largest timestamp (`ListOffsets` with -3).
    pub(crate) fn offset_of_max_timestamp(&self) -> Option<Found> {
        let latest = self.batches.iter().map(|stored| stored.max_timestamp).max()?;
        self.offset_for_time(latest)
    }

    /// Deletes what lies before `offset` (`DeleteRecords`); -1 is everything. Returns the new first offset, or `None` when the
    /// offset lies past the end.
    pub(crate) fn delete_before(&mut self, offset: i64) -> Option<i64> {
        let offset = if offset == -1 { self.end } else { offset };
        if offset < 0 || offset > self.end {
            return None;
        }
        self.start = self.start.max(offset);
        while self.batches.front().is_some_and(|stored| stored.last_offset < self.start) {
            self.drop_first();
        }
        self.transactions.forget_before(self.start);
        Some(self.start)
    }

    /// Drops whole batches that retention no longer covers.
    pub(crate) fn retain(&mut self, retention: Retention, now_ms: i64) {
        while let Some(first) = self.batches.front() {
            let too_old = retention.ms.is_some_and(|ms| first.max_timestamp >= 0 && first.max_timestamp < now_ms - ms);
            let too_much = retention.bytes.is_some_and(|bytes| self.size_bytes - first.bytes.len() >= bytes);
            if !too_old && !too_much {
                break;
            }
            self.drop_oldest();
        }
    }

    /// Drops the oldest batch, whatever retention says, and returns how many bytes that freed.
    pub(crate) fn drop_oldest(&mut self) -> usize {
        let before = self.size_bytes;
        if let Some(next) = self.batches.front().map(|stored| stored.last_offset + 1) {
            self.drop_first();
            self.start = self.start.max(next);
            self.transactions.forget_before(self.start);
        }
        before - self.size_bytes
    }

    fn drop_first(&mut self) {
        if let Some(stored) = self.batches.pop_front() {
            self.size_bytes -= stored.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::tests::{batch, records, transactional};

    const ROOM: usize = 1 << 20;

    fn append(log: &mut PartitionLog, bytes: Vec<u8>) -> Result<Appended, SequenceError> {
        let header = BatchHeader::read_only_one(&bytes).unwrap();
        log.append(&header, bytes.into(), TimestampType::CreateTime, false, 1_000)
    }

    fn filled() -> PartitionLog {
        let mut log = PartitionLog::default();
        for number in 0..10 {
            append(&mut log, batch(None, 5, number * 100, 39)).unwrap();
        }
        log
    }

    #[test]
    fn offsets_go_on_from_batch_to_batch() {
        let mut log = filled();
        assert_eq!((log.start(), log.end()), (0, 50));
        assert_eq!(append(&mut log, batch(None, 3, 0, 0)).unwrap().base_offset, 50);
    }

    #[test]
    fn a_read_begins_with_the_batch_that_holds_the_offset() {
        let log = filled();
        let bytes = log.read(7, 250, true, Isolation::ReadUncommitted).unwrap();
        assert_eq!(bytes.len(), 200, "two batches of 100 bytes fit");
        assert_eq!(i64::from_be_bytes(bytes[..8].try_into().unwrap()), 5);
        assert_eq!(log.read(7, 10, true, Isolation::ReadUncommitted).unwrap().len(), 100, "one is given however large");
        assert_eq!(log.read(7, 10, false, Isolation::ReadUncommitted).unwrap().len(), 0);
        assert_eq!(log.read(50, ROOM, true, Isolation::ReadUncommitted).unwrap().len(), 0);
        assert_eq!(log.read(51, ROOM, true, Isolation::ReadUncommitted), None);
        assert_eq!(log.bytes_from(7, ROOM, Isolation::ReadUncommitted), 900);
        assert_eq!(log.bytes_from(7, 250, Isolation::ReadUncommitted), 250, "more than is asked for is not counted");
    }

    #[test]
    fn retention_drops_by_age_and_by_size_and_moves_the_start() {
        let mut log = filled();
        log.retain(Retention { ms: Some(500), bytes: None }, 750);
        assert_eq!(log.start(), 15);
        assert_eq!(log.read(14, ROOM, true, Isolation::ReadUncommitted), None);
        log.retain(Retention { ms: None, bytes: Some(250) }, 750);
        assert_eq!((log.start(), log.size_bytes()), (35, 300));
    }

    #[test]
    fn records_are_deleted_to_the_offset_asked_for() {
        let mut log = filled();
        assert_eq!(log.delete_before(7), Some(7));
        assert_eq!(log.read(6, ROOM, true, Isolation::ReadUncommitted), None);
        assert!(log.read(7, ROOM, true, Isolation::ReadUncommitted).is_some());
        assert_eq!(log.delete_before(51), None);
        assert_eq!(log.delete_before(-1), Some(50));
        assert_eq!((log.start(), log.size_bytes()), (50, 0));
    }

    #[test]
    fn a_time_is_found_to_the_record() {
        let mut log = PartitionLog::default();
        for first in [100, 200] {
            append(&mut log, records(&[first, first + 50, first + 20])).unwrap();
        }
        let found = |offset, timestamp| Some(Found { offset, timestamp });
        assert_eq!(log.offset_for_time(0), found(0, 100));
        assert_eq!(log.offset_for_time(130), found(1, 150));
        assert_eq!(log.offset_for_time(151), found(3, 200));
        assert_eq!(log.offset_for_time(251), None);
        assert_eq!(log.offset_of_max_timestamp(), found(4, 250));
        log.delete_before(2);
        assert_eq!(log.offset_for_time(0), found(2, 120), "what is deleted is not found");
    }

    #[test]
    fn a_repeated_batch_is_acknowledged_and_not_stored_again() {
        let mut log = PartitionLog::default();
        let first = append(&mut log, batch(Some((1, 0, 0)), 4, 0, 0)).unwrap();
        assert_eq!(append(&mut log, batch(Some((1, 0, 0)), 4, 0, 0)).unwrap(), first);
        assert_eq!(log.end(), 4);
    }

    fn write(log: &mut PartitionLog, producer: i64, epoch: i16, sequence: i32) {
        append(log, transactional(batch(Some((producer, epoch, sequence)), 2, 0, 0))).unwrap();
    }

    fn end(log: &mut PartitionLog, id: i64, epoch: i16, outcome: Outcome) -> Result<(), SequenceError> {
        log.append_marker(Producer { id, epoch }, outcome, Protocol::V2, TimestampType::CreateTime, 1_000)
    }

    #[test]
    fn readers_of_committed_records_stop_before_the_first_open_transaction() {
        let mut log = PartitionLog::default();
        append(&mut log, batch(None, 1, 0, 0)).unwrap();
        write(&mut log, 7, 0, 0);
        write(&mut log, 8, 0, 0);
        assert_eq!((log.stable_end(), log.end()), (1, 5));
        assert!(log.read(1, ROOM, true, Isolation::ReadCommitted).unwrap().is_empty());
        assert_eq!(log.bytes_from(0, ROOM, Isolation::ReadCommitted), batch::HEADER_BYTES);
        end(&mut log, 7, 1, Outcome::Abort).unwrap();
        assert_eq!((log.stable_end(), log.end()), (3, 6));
        end(&mut log, 8, 1, Outcome::Commit).unwrap();
        assert_eq!(log.stable_end(), 7);
        let bytes = log.read(0, ROOM, true, Isolation::ReadCommitted).unwrap();
        let aborted: Vec<_> =
            log.aborted_in(0, &bytes).iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect();
        assert_eq!(aborted, [(7, 1)]);
        assert!(log.aborted_in(6, &log.read(6, ROOM, true, Isolation::ReadCommitted).unwrap()).is_empty());
    }

    #[test]
    fn a_marker_ends_one_transaction_and_no_later_one() {
        let mut log = PartitionLog::default();
        write(&mut log, 7, 0, 0);
        end(&mut log, 7, 1, Outcome::Commit).unwrap();
        write(&mut log, 7, 1, 0);
        assert_eq!(end(&mut log, 7, 1, Outcome::Abort), Err(SequenceError::StaleEpoch), "it came late");
        assert!(log.has_open_transaction(Producer { id: 7, epoch: 1 }));
        end(&mut log, 7, 2, Outcome::Commit).unwrap();
        assert_eq!(end(&mut log, 7, 2, Outcome::Commit), Ok(()), "a repetition does no harm");
        assert_eq!(append(&mut log, transactional(batch(Some((7, 1, 2)), 1, 0, 0))), Err(SequenceError::StaleEpoch));
    }

    #[test]
    fn a_producer_with_an_open_transaction_writes_nothing_else() {
        let mut log = PartitionLog::default();
        write(&mut log, 7, 0, 0);
        assert_eq!(append(&mut log, batch(Some((7, 0, 2)), 1, 0, 0)), Err(SequenceError::NotTransactional));
    }
}
