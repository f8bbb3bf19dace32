//! The hot paths by themselves, for micro-benchmarks and fuzzing outside of this crate. Not part of its API.

use bytes::Bytes;

use crate::Compression;
use crate::producer::partition_of_key;
use crate::records::{BatchBuilder, Batches, NewRecord, RecordsError, Sequence};

/// A batch as a producer sends it.
///
/// # Errors
/// It cannot be compressed.
pub fn encode<'a>(
    records: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    buffer: Vec<u8>,
    compression: Compression,
) -> Result<Bytes, RecordsError> {
    let mut builder = BatchBuilder::new(buffer);
    for (key, value) in records {
        let headers = std::iter::empty::<(&str, Option<&[u8]>)>();
        builder.append(NewRecord { timestamp: 1_790_000_000_000, key: Some(key), value: Some(value), headers });
    }
    let sequence = Sequence { producer_id: 7, producer_epoch: 0, base_sequence: 0 };
    builder.finish(sequence, compression, false)
}

/// Reads all records of the batches in a frame as a consumer does, checksum and all, and returns how many bytes their keys and values
/// have. A batch unfolds to `limit` bytes at most.
///
/// # Errors
/// It is no batch, or a larger one.
pub fn decode(frame: Bytes, limit: usize) -> Result<usize, RecordsError> {
    let mut bytes = 0;
    for batch in Batches::new(frame) {
        let decoded = batch?.decode(limit)?;
        let mut records = decoded.records();
        while let Some(slot) = records.next_slot() {
            let record = decoded.view(&slot?);
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        }
    }
    Ok(bytes)
}

/// The partition of a key.
pub fn partition(key: &[u8], partitions: usize) -> i32 {
    partition_of_key(key, partitions)
}
