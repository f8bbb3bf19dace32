//! The log of one partition.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::batch;
use super::producers::Producers;
use super::{BatchHeader, SequenceError, records};

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
}

impl PartitionLog {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The high watermark: with one replica, everything appended is committed.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Appends `batch`, whose header is `header`.
    pub(crate) fn append(
        &mut self,
        header: &BatchHeader,
        batch: Bytes,
        timestamps: TimestampType,
        now_ms: i64,
    ) -> Result<Appended, SequenceError> {
        if header.producer_id >= 0
            && let Some(base_offset) = self.producers.check(header)?
        {
            return Ok(Appended { base_offset, append_time: None });
        }
        let append_time = (timestamps == TimestampType::LogAppendTime).then_some(now_ms);
        let base_offset = self.end;
        // The frame that the batch came in is its alone once the request is decoded, so this seldom copies.
        let mut bytes = batch.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        batch::place(&mut bytes, base_offset, LEADER_EPOCH, append_time);
        if header.producer_id >= 0 {
            self.producers.appended(header, base_offset);
        }
        self.size_bytes += bytes.len();
        self.end += header.records();
        self.batches.push_back(Stored {
            base_offset,
            last_offset: self.end - 1,
            max_timestamp: append_time.unwrap_or(header.max_timestamp),
            bytes: bytes.freeze(),
        });
        Ok(Appended { base_offset, append_time })
    }

    /// Whole batches from the one that holds `offset` on, as many as fit into `max_bytes`; with `at_least_one` the first is
    /// given even when it alone is larger. `None` when the offset lies outside of the log.
    pub(crate) fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Option<Bytes> {
        if offset < self.start || offset > self.end {
            return None;
        }
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut chosen = 0;
        let mut total = 0;
        for stored in self.batches.range(first..) {
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

    /// How many bytes lie at and after `offset`, counted no further than `enough`.
    pub(crate) fn bytes_from(&self, offset: i64, enough: usize) -> usize {
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut total = 0;
        for stored in self.batches.range(first..) {
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
    use crate::log::batch::tests::{batch, records};

    const ROOM: usize = 1 << 20;

    fn append(log: &mut PartitionLog, bytes: Vec<u8>) -> Result<Appended, SequenceError> {
        let header = BatchHeader::read_only_one(&bytes).unwrap();
        log.append(&header, bytes.into(), TimestampType::CreateTime, 1_000)
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
        let bytes = log.read(7, 250, true).unwrap();
        assert_eq!(bytes.len(), 200, "two batches of 100 bytes fit");
        assert_eq!(i64::from_be_bytes(bytes[..8].try_into().unwrap()), 5);
        assert_eq!(log.read(7, 10, true).unwrap().len(), 100, "one is given however large");
        assert_eq!(log.read(7, 10, false).unwrap().len(), 0);
        assert_eq!(log.read(50, ROOM, true).unwrap().len(), 0);
        assert_eq!(log.read(51, ROOM, true), None);
        assert_eq!(log.bytes_from(7, ROOM), 900);
        assert_eq!(log.bytes_from(7, 250), 250, "more than is asked for is not counted");
    }

    #[test]
    fn retention_drops_by_age_and_by_size_and_moves_the_start() {
        let mut log = filled();
        log.retain(Retention { ms: Some(500), bytes: None }, 750);
        assert_eq!(log.start(), 15);
        assert_eq!(log.read(14, ROOM, true), None);
        log.retain(Retention { ms: None, bytes: Some(250) }, 750);
        assert_eq!((log.start(), log.size_bytes()), (35, 300));
    }

    #[test]
    fn records_are_deleted_to_the_offset_asked_for() {
        let mut log = filled();
        assert_eq!(log.delete_before(7), Some(7));
        assert_eq!(log.read(6, ROOM, true), None);
        assert!(log.read(7, ROOM, true).is_some());
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
}
