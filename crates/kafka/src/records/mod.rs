//! Record batches, magic 2: the bytes that producers send, brokers keep and consumers fetch.
//!
//! [`BatchBuilder`] encodes each record once, straight into the buffer that goes out. [`Batches`] walks a fetched frame
//! and hands out records as slices of it; a compressed batch costs one allocation. What is read is untrusted: lengths
//! and counts are checked against the bytes that are there, and decompression is bounded.
//!
//! The format is Kafka's, `clients/.../common/record/DefaultRecordBatch.java`; all numbers are big-endian.

mod builder;
mod compression;
mod header;
mod reader;
mod varint;

#[cfg(test)]
mod tests;

pub(crate) use builder::{BatchBuilder, NewRecord, Sequence, record_bytes_at_most, resequence};
pub use compression::{Compression, UnknownCompression};
pub(crate) use header::HEADER_BYTES;
pub use header::{BatchHeader, TimestampType};
pub(crate) use reader::{Batch, Batches, ControlRecord, DecodedBatch, Place, RecordHeaders, RecordView, Slot};

/// Why bytes are not a batch of records, or cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// Message format 0 or 1, from before Kafka 0.11.
    #[error(
        "the batch at offset {base_offset} has the old message format {magic}; this client reads format 2, which \
         brokers have written since Kafka 0.11"
    )]
    OldFormat {
        /// Where.
        base_offset: i64,
        /// 0 or 1.
        magic: i8,
    },
    /// A message format that is newer than this client.
    #[error("the batch at offset {base_offset} has message format {magic}, which this client does not know")]
    UnknownFormat {
        /// Where.
        base_offset: i64,
        /// What it says.
        magic: i8,
    },
    /// The bytes were changed on their way.
    #[error(
        "the batch at offset {base_offset} fails its checksum: it says {expected:08x}, its bytes give {actual:08x}"
    )]
    Checksum {
        /// Where.
        base_offset: i64,
        /// CRC32C in the header.
        expected: u32,
        /// CRC32C of the bytes.
        actual: u32,
    },
    /// A compression that is none of the five.
    #[error("the batch at offset {base_offset} is compressed with codec {id}, which Kafka has not defined")]
    UnknownCodec {
        /// Where.
        base_offset: i64,
        /// The number in the attributes.
        id: i16,
    },
    /// The compressed bytes are not what the codec writes.
    #[error("{codec} records do not decompress: {reason}")]
    Decompress {
        /// Which.
        codec: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The batch grows past what the reader allows.
    #[error("{codec} records decompress to more than {limit_bytes} bytes, which is the most one batch may take")]
    TooLarge {
        /// Which.
        codec: &'static str,
        /// The bound.
        limit_bytes: usize,
    },
    /// A length, count or delta that cannot be.
    #[error("the batch at offset {base_offset} is malformed: {what}")]
    Malformed {
        /// Where.
        base_offset: i64,
        /// Which field.
        what: &'static str,
    },
}
