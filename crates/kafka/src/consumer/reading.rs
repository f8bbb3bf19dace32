//! From the bytes that a broker sent for a partition to batches of records.
//!
//! A fetched chunk holds whole batches of the log, the first of which may begin before the offset that was asked for, the
//! last of which may be cut off. The task that fetches only looks at their fronts, to know where to go on; checksums,
//! decompression and the records themselves are the application's side, so that they cost the network nothing.

use std::sync::Arc;

use bytes::Bytes;

use super::aborted::Aborted;
use super::batch::{Part, RecordBatch};
use super::budget::Reservation;
use super::positions::Position;
use crate::TopicPartition;
use crate::records::{Batches, DecodedBatch, Place, Slot};

/// What came for one partition in one answer.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    /// Which assignment, or seek, of the partition asked for it.
    pub(super) stamp: u64,
    pub(super) records: Bytes,
    /// What was asked for.
    pub(super) from: Position,
    pub(super) high_watermark: i64,
    /// What of it does not count; nothing unless committed records are asked for.
    pub(super) aborted: Aborted,
    pub(super) held: Arc<Reservation>,
}

/// The front of a batch, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Front {
    base_offset: i64,
    last_offset: i64,
    leader_epoch: i32,
    total_bytes: usize,
}

/// Bytes before the part of a batch that its length field counts: base offset and the length itself.
const LENGTH_COUNTS_FROM: usize = 12;

fn front(bytes: &[u8]) -> Option<Front> {
    let i64_at = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_be_bytes);
    let i32_at = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes);
    let base_offset = i64_at(0)?;
    let total_bytes = LENGTH_COUNTS_FROM + usize::try_from(i32_at(8)?).ok()?;
    let last_offset = base_offset.checked_add(i64::from(i32_at(23)?))?;
    (total_bytes <= bytes.len()).then_some(Front { base_offset, last_offset, leader_epoch: i32_at(12)?, total_bytes })
}

/// Returns where to fetch next after this chunk, or `None` if it holds no whole batch.
pub(super) fn next_fetch(records: &[u8]) -> Option<Position> {
    let mut rest = records;
    let mut next = None;
    while let Some(front) = front(rest) {
        next = Some(Position::from_wire(front.last_offset.saturating_add(1), front.leader_epoch));
        rest = &rest[front.total_bytes..];
    }
    next
}

/// A chunk that the application has begun to read.
pub(super) struct Reading {
    partition: TopicPartition,
    stamp: u64,
    rest: Bytes,
    aborted: Aborted,
    open: Option<Open>,
    /// What stopped the last call after it had records to return.
    failed: Option<Corrupt>,
    position: Position,
    high_watermark: i64,
    held: Arc<Reservation>,
    decompressed_max_bytes: usize,
}

/// A batch of the log that is partly handed out.
struct Open {
    decoded: DecodedBatch,
    place: Place,
}

/// A batch that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corrupt {
    pub(super) offset: i64,
    pub(super) next_offset: i64,
    pub(super) problem: Arc<str>,
}

impl Reading {
    pub(super) fn new(chunk: Chunk, decompressed_max_bytes: usize) -> Self {
        Self {
            partition: chunk.partition,
            stamp: chunk.stamp,
            rest: chunk.records,
            aborted: chunk.aborted,
            open: None,
            failed: None,
            position: chunk.from,
            high_watermark: chunk.high_watermark,
            held: chunk.held,
            decompressed_max_bytes,
        }
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Where the application stands once it has what was returned so far: past markers and holes too.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The next records, `max` of them at most; `None` at the chunk's end.
    ///
    /// What can be read before a corrupt batch is returned first; the error comes with the next call.
    pub(super) fn next(&mut self, max: usize) -> Result<Option<RecordBatch>, Corrupt> {
        let (mut parts, mut slots): (Vec<Part>, Vec<Slot>) = (Vec::new(), Vec::new());
        let (mut first, mut last) = (None, 0);
        if let Some(corrupt) = self.failed.take() {
            return Err(corrupt);
        }
        while slots.len() < max {
            let open = match self.open.take() {
                Some(open) => open,
                None => match self.open_next() {
                    Ok(Some(open)) => open,
                    Ok(None) => break,
                    Err(corrupt) => {
                        self.failed = Some(corrupt);
                        break;
                    }
                },
            };
            let before = (first, last, slots.len());
            match self.read_part(&open, max, &mut slots, &mut first, &mut last) {
                Ok(()) if slots.len() > before.2 => parts.push(Part { decoded: open.decoded, end: slots.len() }),
                Ok(()) => {}
                Err(corrupt) => {
                    (first, last) = (before.0, before.1);
                    slots.truncate(before.2);
                    self.failed = Some(corrupt);
                    break;
                }
            }
        }
        let Some(first_offset) = first else { return self.failed.take().map_or(Ok(None), Err) };
        Ok(Some(RecordBatch {
            partition: self.partition.clone(),
            parts,
            slots,
            first_offset,
            last_offset: last,
            next: self.position,
            high_watermark: self.high_watermark,
            stamp: self.stamp,
            _held: Arc::clone(&self.held),
        }))
    }

    /// Reads records until there are `max` in `slots`, so that nobody needs to check them again, and keeps the batch open if
    /// there are more.
    fn read_part(
        &mut self,
        open: &Open,
        max: usize,
        slots: &mut Vec<Slot>,
        first: &mut Option<i64>,
        last: &mut i64,
    ) -> Result<(), Corrupt> {
        let header = open.decoded.header();
        let next_batch = Position::from_wire(header.last_offset().saturating_add(1), header.partition_leader_epoch);
        let mut records = open.decoded.records_from(open.place);
        slots.reserve(records.size_hint().1.unwrap_or_default().min(max - slots.len()));
        loop {
            let before = records.place();
            match records.next_slot() {
                Some(Ok(slot)) => {
                    let offset = open.decoded.offset(&slot);
                    if offset < self.position.offset {
                        continue;
                    }
                    if slots.len() == max {
                        self.position = Position { offset, ..next_batch };
                        self.open = Some(Open { decoded: open.decoded.clone(), place: before });
                        return Ok(());
                    }
                    slots.push(slot);
                    first.get_or_insert(offset);
                    *last = offset;
                }
                Some(Err(error)) => {
                    return Err(Corrupt {
                        offset: self.position.offset,
                        next_offset: next_batch.offset,
                        problem: error.to_string().into(),
                    });
                }
                None => {
                    if self.position.offset < next_batch.offset {
                        self.position = next_batch;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Opens the next batch that has something for the application; markers and aborted records are stepped over.
    fn open_next(&mut self) -> Result<Option<Open>, Corrupt> {
        while let Some(front) = front(&self.rest) {
            let corrupt = |problem: String| Corrupt {
                offset: self.position.offset.max(front.base_offset),
                next_offset: front.last_offset.saturating_add(1).max(self.position.offset.saturating_add(1)),
                problem: problem.into(),
            };
            // Left in place until it has been read: a corrupt batch is reported again if it is asked for again.
            let piece = self.rest.slice(..front.total_bytes);
            let batch = match Batches::new(piece).next() {
                Some(batch) => batch.map_err(|error| corrupt(error.to_string()))?,
                None => return Err(corrupt("it is shorter than a batch's header".to_owned())),
            };
            let header = batch.header();
            let next = Position::from_wire(header.last_offset().saturating_add(1), header.partition_leader_epoch);
            let hidden = self.aborted.hides(&batch).map_err(|error| corrupt(error.to_string()))?;
            if hidden || header.last_offset() < self.position.offset {
                if self.position.offset < next.offset {
                    self.position = next;
                }
                self.rest = self.rest.slice(front.total_bytes..);
                continue;
            }
            let decoded = batch.decode(self.decompressed_max_bytes).map_err(|error| corrupt(error.to_string()))?;
            self.rest = self.rest.slice(front.total_bytes..);
            let place = decoded.records().place();
            return Ok(Some(Open { decoded, place }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
