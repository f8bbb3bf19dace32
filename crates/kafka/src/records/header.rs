//! The 61 bytes in front of a batch's records.

use super::{Compression, RecordsError};

/// Length of a batch's header.
pub(crate) const HEADER_BYTES: usize = 61;

/// Where the checksum's coverage starts: at the attributes.
pub(super) const CHECKSUMMED_FROM: usize = 21;

/// Base offset and length, which the length field does not count.
pub(super) const LENGTH_COUNTS_FROM: usize = 12;

const MAGIC_AT: usize = 16;
const MAGIC: i8 = 2;

const COMPRESSION_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Who set a record's timestamp (`message.timestamp.type` of the topic).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The broker, on append; all records of the batch have the batch's largest.
    LogAppendTime,
}

/// What a batch says about its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset that the record deltas count from. A producer sends 0.
    pub base_offset: i64,
    /// Epoch of the leader that appended it; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// How the records are compressed.
    pub compression: Compression,
    /// Who set the timestamps.
    pub timestamp_type: TimestampType,
    /// Part of a transaction, visible to `read_committed` once that commits.
    pub transactional: bool,
    /// Holds a transaction marker rather than an application's records.
    pub control: bool,
    /// Last offset less the base offset. Compaction removes records, never this.
    pub last_offset_delta: i32,
    /// What the record deltas count from, in ms since 1970.
    pub base_timestamp: i64,
    /// The largest timestamp, in ms since 1970.
    pub max_timestamp: i64,
    /// Producer id, or -1 without idempotence.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// How many records it says it has.
    pub record_count: i32,
}

impl BatchHeader {
    /// Offset of the last record, or of the last that there was before compaction.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Writes the header for `batch`, whose records are already in place, over its first [`HEADER_BYTES`] bytes.
    pub(super) fn write(&self, batch: &mut [u8]) {
        let attributes = self.compression.id()
            | if self.timestamp_type == TimestampType::LogAppendTime { LOG_APPEND_TIME } else { 0 }
            | if self.transactional { TRANSACTIONAL } else { 0 }
            | if self.control { CONTROL } else { 0 };
        let length = (batch.len() - LENGTH_COUNTS_FROM) as i32;
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            batch[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.base_offset.to_be_bytes());
        put(&length.to_be_bytes());
        put(&self.partition_leader_epoch.to_be_bytes());
        put(&MAGIC.to_be_bytes());
        put(&[0; 4]);
        put(&attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        write_checksum(batch);
    }
}

/// Overwrites who sent the batch, and makes the checksum right again.
pub(super) fn rewrite_producer(batch: &mut [u8], producer_id: i64, epoch: i16, base_sequence: i32) {
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    write_checksum(batch);
}

fn write_checksum(batch: &mut [u8]) {
    let checksum = crc32c::crc32c(&batch[CHECKSUMMED_FROM..]);
    batch[17..CHECKSUMMED_FROM].copy_from_slice(&checksum.to_be_bytes());
}

/// What stands at the front of some bytes.
pub(super) enum Front {
    /// A whole batch of so many bytes, checked.
    Batch(BatchHeader, usize),
    /// Nothing, or the beginning of a batch whose rest the broker has cut off.
    End,
}

/// Reads the batch at the front of `bytes`, and checks its length, format and checksum.
pub(super) fn read_front(bytes: &[u8]) -> Result<Front, RecordsError> {
    let Some(&[magic]) = bytes.get(MAGIC_AT..=MAGIC_AT) else { return Ok(Front::End) };
    let base_offset = i64::from_be_bytes(array(bytes, 0));
    let magic = magic as i8;
    match magic {
        MAGIC => {}
        0 | 1 => return Err(RecordsError::OldFormat { base_offset, magic }),
        _ => return Err(RecordsError::UnknownFormat { base_offset, magic }),
    }
    let malformed = |what| RecordsError::Malformed { base_offset, what };
    let total = usize::try_from(i32::from_be_bytes(array(bytes, 8)))
        .map_err(|_| malformed("its length is negative"))?
        .saturating_add(LENGTH_COUNTS_FROM);
    if total < HEADER_BYTES {
        return Err(malformed("its length is less than a header's"));
    }
    let Some(batch) = bytes.get(..total) else { return Ok(Front::End) };
    let expected = u32::from_be_bytes(array(batch, 17));
    let actual = crc32c::crc32c(&batch[CHECKSUMMED_FROM..]);
    if expected != actual {
        return Err(RecordsError::Checksum { base_offset, expected, actual });
    }
    let attributes = i16::from_be_bytes(array(batch, 21));
    let codec = attributes & COMPRESSION_MASK;
    let flag = |bit| attributes & bit != 0;
    let header = BatchHeader {
        base_offset,
        partition_leader_epoch: i32::from_be_bytes(array(batch, 12)),
        compression: Compression::from_id(codec).ok_or(RecordsError::UnknownCodec { base_offset, id: codec })?,
        timestamp_type: if flag(LOG_APPEND_TIME) { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        transactional: flag(TRANSACTIONAL),
        control: flag(CONTROL),
        last_offset_delta: i32::from_be_bytes(array(batch, 23)),
        base_timestamp: i64::from_be_bytes(array(batch, 27)),
        max_timestamp: i64::from_be_bytes(array(batch, 35)),
        producer_id: i64::from_be_bytes(array(batch, 43)),
        producer_epoch: i16::from_be_bytes(array(batch, 51)),
        base_sequence: i32::from_be_bytes(array(batch, 53)),
        record_count: i32::from_be_bytes(array(batch, 57)),
    };
    if header.record_count < 0 || header.last_offset_delta < 0 {
        return Err(malformed("its record count or last offset delta is negative"));
    }
    if base_offset.checked_add(i64::from(header.last_offset_delta)).is_none_or(|last| last == i64::MAX) {
        return Err(malformed("its last offset is past the largest there is"));
    }
    Ok(Front::Batch(header, total))
}

/// `N` bytes of `bytes` from `at`; the callers have checked that they are there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
