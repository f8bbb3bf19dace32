//! The records inside a batch: that they are what the header says, and when each was written.
//!
//! Source: Kafka's `DefaultRecord` and `LogValidator`. A record is its length, attributes, timestamp delta, offset delta, key, value
//! and headers; every number but the attributes is a zigzag varint.

use std::io::{self, Read};

use thiserror::Error;

use super::BatchHeader;
use super::batch::HEADER_BYTES;

/// What a batch may grow to when it is decompressed. A batch itself is bounded by `max.message.bytes`.
const MAX_RECORDS_BYTES: usize = 128 << 20;
/// Asked for when a zstd decoder is made; frames of levels up to 19 need no more.
const ZSTD_MAX_WINDOW_BYTES: u64 = 8 << 20;

/// Why a batch's records cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum RecordsError {
    #[error("the records cannot be decompressed: {0}")]
    Compression(String),
    #[error("record {index} {problem}")]
    Record { index: usize, problem: &'static str },
}

/// Reads all records of `batch`, whose header is `header`, and returns their timestamps in the order of their offsets.
pub(crate) fn timestamps(header: &BatchHeader, batch: &[u8]) -> Result<Vec<i64>, RecordsError> {
    let section = batch.get(HEADER_BYTES..header.total_bytes).unwrap_or_default();
    let decompressed;
    let mut rest = match header.compression() {
        0 => section,
        codec => {
            decompressed = decompress(codec, section).map_err(|error| RecordsError::Compression(error.to_string()))?;
            decompressed.as_slice()
        }
    };
    let mut timestamps = Vec::new();
    for index in 0..header.records() as usize {
        let delta = record(&mut rest, index).map_err(|problem| RecordsError::Record { index, problem })?;
        timestamps.push(header.append_time().unwrap_or_else(|| header.base_timestamp.wrapping_add(delta)));
    }
    if rest.is_empty() {
        Ok(timestamps)
    } else {
        Err(RecordsError::Record { index: timestamps.len(), problem: "is one more than the batch says it has" })
    }
}

/// Takes one record off `rest` and returns its timestamp delta.
fn record(rest: &mut &[u8], index: usize) -> Result<i64, &'static str> {
    const CUT: &str = "is cut short";
    let length = varint(rest).ok_or(CUT)?;
    let (mut body, tail) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or(CUT)?;
    *rest = tail;
    body = body.get(1..).ok_or(CUT)?;
    let timestamp_delta = varint(&mut body).ok_or(CUT)?;
    if varint(&mut body).ok_or(CUT)? != index as i64 {
        return Err("has another offset than its place in the batch");
    }
    skip_bytes(&mut body).ok_or(CUT)?;
    skip_bytes(&mut body).ok_or(CUT)?;
    for _ in 0..varint(&mut body).filter(|count| *count >= 0).ok_or(CUT)? {
        varint(&mut body)
            .and_then(|length| usize::try_from(length).ok())
            .and_then(|length| skip(&mut body, length))
            .ok_or("has a header without a key")?;
        skip_bytes(&mut body).ok_or(CUT)?;
    }
    if body.is_empty() { Ok(timestamp_delta) } else { Err("is longer than what is in it") }
}

fn skip(rest: &mut &[u8], length: usize) -> Option<()> {
    *rest = rest.get(length..)?;
    Some(())
}

/// Bytes after their length; -1 is null.
fn skip_bytes(rest: &mut &[u8]) -> Option<()> {
    match varint(rest)? {
        -1 => Some(()),
        length => skip(rest, usize::try_from(length).ok()?),
    }
}

fn varint(rest: &mut &[u8]) -> Option<i64> {
    let mut value: u64 = 0;
    for index in 0..10 {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn decompress(codec: i16, section: &[u8]) -> io::Result<Vec<u8>> {
    const GZIP: i16 = 1;
    const SNAPPY: i16 = 2;
    const LZ4: i16 = 3;
    match codec {
        GZIP => read_bounded(flate2::read::MultiGzDecoder::new(section)),
        SNAPPY => unsnap(section),
        LZ4 => read_bounded(lz4_flex::frame::FrameDecoder::new(section)),
        _ => {
            let zstd = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(section, ZSTD_MAX_WINDOW_BYTES);
            read_bounded(zstd.map_err(io::Error::other)?)
        }
    }
}

fn too_large() -> io::Error {
    io::Error::other(format!("they grow past {MAX_RECORDS_BYTES} bytes"))
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut records = Vec::new();
    reader.take(MAX_RECORDS_BYTES as u64 + 1).read_to_end(&mut records)?;
    if records.len() > MAX_RECORDS_BYTES { Err(too_large()) } else { Ok(records) }
}

/// One raw block, as librdkafka writes it, or several with xerial's header, as Java does.
fn unsnap(section: &[u8]) -> io::Result<Vec<u8>> {
    const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\x00";
    const XERIAL_HEADER_BYTES: usize = 16;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut records = Vec::new();
    if !section.starts_with(XERIAL_MAGIC) {
        unsnap_block(section, &mut records)?;
        return Ok(records);
    }
    let mut rest = section.get(XERIAL_HEADER_BYTES..).ok_or_else(cut)?;
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (block, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(cut)?;
        unsnap_block(block, &mut records)?;
        rest = tail;
    }
    if rest.is_empty() { Ok(records) } else { Err(cut()) }
}

fn unsnap_block(block: &[u8], records: &mut Vec<u8>) -> io::Result<()> {
    /// Snappy's densest element copies 64 bytes in 3, so a longer claim than this many times the input is false.
    const MAX_RATIO: usize = 32;
    let length = snap::raw::decompress_len(block)?;
    let at = records.len();
    if length > block.len().saturating_mul(MAX_RATIO) || at + length > MAX_RECORDS_BYTES {
        return Err(too_large());
    }
    records.resize(at + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut records[at..])?;
    records.truncate(at + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_JAVA: [&[u8]; 5] = [
        include_bytes!("../../../kafka/src/records/fixtures/java-none.bin"),
        include_bytes!("../../../kafka/src/records/fixtures/java-gzip.bin"),
        include_bytes!("../../../kafka/src/records/fixtures/java-snappy.bin"),
        include_bytes!("../../../kafka/src/records/fixtures/java-lz4.bin"),
        include_bytes!("../../../kafka/src/records/fixtures/java-zstd.bin"),
    ];

    #[test]
    fn javas_records_have_the_times_that_java_gave_them_in_every_compression() {
        for batch in BY_JAVA {
            let header = BatchHeader::read(batch).unwrap();
            let timestamps = timestamps(&header, batch).unwrap();
            assert_eq!(timestamps.len() as i64, header.records());
            assert_eq!(timestamps.first(), Some(&header.base_timestamp));
            assert_eq!(timestamps.iter().max(), Some(&header.max_timestamp));
        }
    }

    #[test]
    fn a_batch_with_other_records_than_its_header_says_is_found_out() {
        for batch in BY_JAVA {
            let mut header = BatchHeader::read(batch).unwrap();
            header.last_offset_delta += 1;
            assert!(timestamps(&header, batch).is_err(), "one more");
            header.last_offset_delta -= 2;
            assert!(timestamps(&header, batch).is_err(), "one less");
        }
    }

    #[test]
    fn no_change_of_a_byte_panics() {
        for batch in BY_JAVA {
            let header = BatchHeader::read(batch).unwrap();
            for at in HEADER_BYTES..batch.len() {
                let mut changed = batch.to_vec();
                changed[at] ^= 0x55;
                let _ = timestamps(&header, &changed);
            }
        }
    }
}
