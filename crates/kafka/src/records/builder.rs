//! Building a batch: records are encoded once, into the buffer that is sent.

use bytes::Bytes;

use super::header::{self, BatchHeader, HEADER_BYTES, TimestampType};
use super::varint::{MAX_VARINT_BYTES, MAX_VARLONG_BYTES, push_varint, put_varlong, varint_len, varlong_len};
use super::{Compression, RecordsError};

/// Who sends a batch, and where in its partition's sequence it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Sequence of the batch's first record.
    pub(crate) base_sequence: i32,
}

impl Sequence {
    /// What a producer without idempotence sends.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// A record as its owner has it, to be encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a, H> {
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Name and value each, in order; names may repeat.
    pub(crate) headers: H,
}

/// Length of the record, then attributes, timestamp delta, offset delta, and the key's length.
const RECORD_FRONT_BYTES: usize = MAX_VARINT_BYTES + 1 + MAX_VARLONG_BYTES + 2 * MAX_VARINT_BYTES;

/// The most that a record can take in a batch, whatever its place there.
pub(crate) fn record_bytes_at_most<'a>(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> usize {
    let headers: usize =
        headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + 2 * MAX_VARINT_BYTES).sum();
    RECORD_FRONT_BYTES + key.map_or(0, <[u8]>::len) + 2 * MAX_VARINT_BYTES + value.map_or(0, <[u8]>::len) + headers
}

/// A batch under construction. Its buffer starts with room for the header, which [`Self::finish`] fills in.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    buffer: Vec<u8>,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
}

impl BatchBuilder {
    /// An empty batch in `buffer`, whose contents are dropped and whose room is used.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        Self { buffer, base_timestamp: -1, max_timestamp: -1, count: 0 }
    }

    /// Bytes so far, with the header, before compression.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Records so far.
    pub(crate) fn count(&self) -> i32 {
        self.count
    }

    /// Appends a record and returns its place in the batch. The caller keeps the batch below `i32::MAX` bytes.
    pub(crate) fn append<'h, H>(&mut self, record: NewRecord<'_, H>) -> i32
    where
        H: ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    {
        if self.count == 0 {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        let index = self.count;
        self.count += 1;

        let timestamp_delta = record.timestamp.wrapping_sub(self.base_timestamp);
        let key_len = record.key.map_or(-1, |key| key.len() as i32);
        let value_len = record.value.map_or(-1, |value| value.len() as i32);
        let header_count = record.headers.len() as i32;
        let mut body_len = 1
            + varlong_len(timestamp_delta)
            + varint_len(index)
            + varint_len(key_len)
            + record.key.map_or(0, <[u8]>::len)
            + varint_len(value_len)
            + record.value.map_or(0, <[u8]>::len)
            + varint_len(header_count);
        for (name, value) in record.headers.clone() {
            body_len += varint_len(name.len() as i32) + name.len();
            body_len += varint_len(value.map_or(-1, |value| value.len() as i32)) + value.map_or(0, <[u8]>::len);
        }
        self.buffer.reserve(MAX_VARINT_BYTES + body_len);

        let mut front = [0; RECORD_FRONT_BYTES];
        let mut at = put_varlong(&mut front, body_len as i64);
        at += 1; // attributes, of which a record has none
        at += put_varlong(&mut front[at..], timestamp_delta);
        at += put_varlong(&mut front[at..], i64::from(index));
        at += put_varlong(&mut front[at..], i64::from(key_len));
        self.buffer.extend_from_slice(&front[..at]);
        self.buffer.extend_from_slice(record.key.unwrap_or_default());
        push_varint(&mut self.buffer, value_len);
        self.buffer.extend_from_slice(record.value.unwrap_or_default());
        push_varint(&mut self.buffer, header_count);
        for (name, value) in record.headers {
            push_varint(&mut self.buffer, name.len() as i32);
            self.buffer.extend_from_slice(name.as_bytes());
            push_varint(&mut self.buffer, value.map_or(-1, |value| value.len() as i32));
            self.buffer.extend_from_slice(value.unwrap_or_default());
        }
        index
    }

    /// The batch as it goes out: header, checksum, and the records compressed if that makes them smaller.
    pub(crate) fn finish(
        mut self,
        sequence: Sequence,
        compression: Compression,
        transactional: bool,
    ) -> Result<Bytes, RecordsError> {
        let mut used = Compression::None;
        if compression != Compression::None {
            let mut smaller = Vec::with_capacity(self.buffer.len() / 2);
            smaller.extend_from_slice(&self.buffer[..HEADER_BYTES]);
            compression.compress(&self.buffer[HEADER_BYTES..], &mut smaller).map_err(|error| {
                RecordsError::Decompress { codec: compression.name(), reason: format!("compressing failed: {error}") }
            })?;
            if smaller.len() < self.buffer.len() {
                self.buffer = smaller;
                used = compression;
            }
        }
        let header = BatchHeader {
            base_offset: 0,
            partition_leader_epoch: -1,
            compression: used,
            timestamp_type: TimestampType::CreateTime,
            transactional,
            control: false,
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: sequence.producer_id,
            producer_epoch: sequence.producer_epoch,
            base_sequence: sequence.base_sequence,
            record_count: self.count,
        };
        header.write(&mut self.buffer);
        Ok(Bytes::from(self.buffer))
    }
}

/// `batch`, which [`BatchBuilder::finish`] made, under another place in the sequence. Copies only if the bytes are
/// shared.
pub(crate) fn resequence(batch: Bytes, sequence: Sequence) -> Bytes {
    let mut batch = Vec::from(batch);
    header::rewrite_producer(&mut batch, sequence.producer_id, sequence.producer_epoch, sequence.base_sequence);
    Bytes::from(batch)
}
