//! The header of a record batch, magic 2, as bytes of a produce request.
//!
//! Source: Kafka's `DefaultRecordBatch`. Offsets in bytes: base offset 0, length 8, leader epoch 12, magic 16, CRC 17, attributes 21,
//! last offset delta 23, base timestamp 27, max timestamp 35, producer id 43, producer epoch 51, base sequence 53, record count 57.

use thiserror::Error;

use crate::transactions::{Outcome, Producer};

pub(crate) const HEADER_BYTES: usize = 61;
const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
/// What the length field does not count: the base offset and itself.
const LENGTH_OVERHEAD: usize = 12;

/// The one coordinator has led its partition from the start.
pub(super) const COORDINATOR_EPOCH: i32 = 0;

const COMPRESSION_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 0b1000;
const TRANSACTIONAL: i16 = 0b1_0000;
const CONTROL: i16 = 0b10_0000;
const ZSTD: i16 = 4;

/// Why a batch is not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BatchError {
    #[error("the batch is cut short: {0} bytes")]
    Short(usize),
    #[error("message format {0} is not supported; the client must write format 2 (Kafka 0.11 or newer)")]
    Magic(i8),
    #[error("the batch's checksum does not match its contents")]
    Crc,
    #[error("a request carries exactly one batch for a partition, not {0}")]
    NotOne(&'static str),
    #[error("{0}")]
    Invalid(&'static str),
}

/// A marker's record, after its length.
const MARKER_RECORD_BYTES: u8 = 16;

/// What the broker needs to know of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) total_bytes: usize,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads and checks the one batch that a producer sends to a partition.
    pub(crate) fn read_only_one(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.is_empty() {
            return Err(BatchError::NotOne("none"));
        }
        let header = Self::read(bytes)?;
        if header.total_bytes < bytes.len() {
            return Err(BatchError::NotOne("several"));
        }
        if header.attributes & CONTROL != 0 {
            return Err(BatchError::Invalid("clients may not write control batches"));
        }
        if header.compression() > ZSTD {
            return Err(BatchError::Invalid("the compression type is unknown"));
        }
        if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(BatchError::Invalid("a batch with a producer id needs an epoch and a sequence"));
        }
        if header.is_transactional() && header.producer_id < 0 {
            return Err(BatchError::Invalid("a transactional batch needs a producer id"));
        }
        Ok(header)
    }

    /// Reads the first batch of `bytes` and checks its format, its length and its checksum.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Short(bytes.len()));
        }
        let magic = bytes[MAGIC_AT] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let length = i32::from_be_bytes(array(bytes, LENGTH_AT));
        let total_bytes = usize::try_from(length).map_or(0, |length| length + LENGTH_OVERHEAD);
        if total_bytes < HEADER_BYTES || total_bytes > bytes.len() {
            return Err(BatchError::Short(bytes.len()));
        }
        if crc32c::crc32c(&bytes[ATTRIBUTES_AT..total_bytes]) != u32::from_be_bytes(array(bytes, CRC_AT)) {
            return Err(BatchError::Crc);
        }
        let header = Self {
            total_bytes,
            attributes: i16::from_be_bytes(array(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
        };
        let records = i32::from_be_bytes(array(bytes, 57));
        if records <= 0 || header.last_offset_delta != records - 1 {
            return Err(BatchError::Invalid("the number of records and the last offset delta do not fit each other"));
        }
        Ok(header)
    }

    /// The codec's number; 0 is none.
    pub(crate) fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    /// When the broker took the batch, if that is what its records' times are.
    pub(crate) fn append_time(&self) -> Option<i64> {
        (self.attributes & LOG_APPEND_TIME != 0).then_some(self.max_timestamp)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer { id: self.producer_id, epoch: self.producer_epoch }
    }

    pub(crate) fn is_zstd(&self) -> bool {
        self.compression() == ZSTD
    }

    pub(crate) fn records(&self) -> i64 {
        i64::from(self.last_offset_delta) + 1
    }
}

/// Writes what the broker decides into a batch: where it stands and, with `append_time`, when it came.
pub(super) fn place(batch: &mut [u8], base_offset: i64, leader_epoch: i32, append_time: Option<i64>) {
    batch[..LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
    if let Some(time) = append_time {
        let attributes = i16::from_be_bytes(array(batch, ATTRIBUTES_AT)) | LOG_APPEND_TIME;
        batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
        batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&time.to_be_bytes());
        seal(batch);
    }
}

/// The header of a [`marker`] of `total_bytes`.
pub(super) fn marker_header(producer: Producer, total_bytes: usize, now_ms: i64) -> BatchHeader {
    BatchHeader {
        total_bytes,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: -1,
    }
}

/// The control batch that ends a transaction in one partition: a record whose key is a version and what it ends in, and whose
/// value is a version and the epoch of the coordinator. Source: Kafka's `EndTransactionMarker`.
pub(super) fn marker(producer: Producer, outcome: Outcome, now_ms: i64) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let kind = match outcome {
        Outcome::Abort => 0,
        Outcome::Commit => 1,
    };
    // Varints are zigzag: twice the number.
    bytes.extend([2 * MARKER_RECORD_BYTES, 0, 0, 0]);
    bytes.extend([2 * 4, 0, 0, 0, kind]);
    bytes.extend([2 * 6, 0, 0]);
    bytes.extend(COORDINATOR_EPOCH.to_be_bytes());
    bytes.push(0);
    let length = (bytes.len() - LENGTH_OVERHEAD) as i32;
    bytes[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
    bytes[MAGIC_AT] = 2;
    bytes[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&(TRANSACTIONAL | CONTROL).to_be_bytes());
    bytes[27..35].copy_from_slice(&now_ms.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&now_ms.to_be_bytes());
    bytes[43..51].copy_from_slice(&producer.id.to_be_bytes());
    bytes[51..53].copy_from_slice(&producer.epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&(-1_i32).to_be_bytes());
    bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
    seal(&mut bytes);
    bytes
}

fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A batch of `records` records whose contents nobody reads.
    pub(crate) fn batch(
        producer: Option<(i64, i16, i32)>,
        records: i32,
        timestamp: i64,
        payload_bytes: usize,
    ) -> Vec<u8> {
        let (id, epoch, sequence) = producer.unwrap_or((-1, -1, -1));
        let mut bytes = vec![0; HEADER_BYTES + payload_bytes];
        let length = (bytes.len() - LENGTH_OVERHEAD) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
        bytes[27..35].copy_from_slice(&timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&id.to_be_bytes());
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&records.to_be_bytes());
        seal(&mut bytes);
        bytes
    }

    /// A batch of records with nothing but a time.
    pub(crate) fn records(timestamps: &[i64]) -> Vec<u8> {
        let mut bytes = batch(None, timestamps.len() as i32, timestamps[0], 0);
        for (delta, timestamp) in timestamps.iter().enumerate() {
            // Every number fits one byte of a zigzag varint: 0 to 63.
            let number = |value: i64| u8::try_from(value * 2).ok().filter(|byte| *byte < 128).unwrap();
            let delta = number(delta as i64);
            bytes.extend([number(6), 0, number(timestamp - timestamps[0]), delta, number(0), number(0), 0]);
        }
        let length = (bytes.len() - LENGTH_OVERHEAD) as i32;
        bytes[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
        let latest = timestamps.iter().max().unwrap();
        bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&latest.to_be_bytes());
        seal(&mut bytes);
        bytes
    }

    #[test]
    fn a_request_carries_one_batch() {
        let one = records(&[5]);
        assert!(BatchHeader::read_only_one(&one).is_ok());
        assert_eq!(BatchHeader::read_only_one(&[]), Err(BatchError::NotOne("none")));
        let several = [one.as_slice(), &one].concat();
        assert_eq!(BatchHeader::read_only_one(&several), Err(BatchError::NotOne("several")));
    }

    /// The same batch as one of a transaction.
    pub(crate) fn transactional(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[22] |= 0b1_0000;
        seal(&mut bytes);
        bytes
    }

    #[test]
    fn a_batch_that_was_changed_on_the_way_is_refused() {
        let mut bytes = batch(None, 3, 7, 10);
        assert_eq!(BatchHeader::read(&bytes).unwrap().records(), 3);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(BatchHeader::read(&bytes), Err(BatchError::Crc));
    }

    #[test]
    fn no_prefix_of_a_batch_is_taken_for_one() {
        let bytes = batch(Some((9, 0, 0)), 3, 7, 10);
        for length in 0..bytes.len() {
            assert_eq!(BatchHeader::read(&bytes[..length]), Err(BatchError::Short(length)));
        }
    }

    #[test]
    fn old_formats_and_control_batches_are_refused() {
        let mut old = batch(None, 1, 7, 0);
        old[16] = 1;
        assert_eq!(BatchHeader::read_only_one(&old), Err(BatchError::Magic(1)));
        let mut control = batch(Some((9, 0, 0)), 1, 7, 0);
        control[22] |= 0b10_0000;
        seal(&mut control);
        assert!(matches!(BatchHeader::read_only_one(&control), Err(BatchError::Invalid(_))));
    }

    #[test]
    fn a_placed_batch_keeps_its_checksum_right() {
        for append_time in [None, Some(99)] {
            let mut bytes = batch(None, 2, 7, 4);
            place(&mut bytes, 40, 3, append_time);
            let header = BatchHeader::read(&bytes).unwrap();
            assert_eq!(header.max_timestamp, append_time.unwrap_or(7));
            assert_eq!(i64::from_be_bytes(array(&bytes, 0)), 40);
        }
    }
}
