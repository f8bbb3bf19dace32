//! The four codecs of record batches, each in the framing that Java uses, in pure Rust.
//!
//! Decompression is bounded: the caller says how much a batch may grow to, and nothing is allocated on the word of a
//! length field alone.

use std::io::{self, Read, Write};
use std::str::FromStr;

use super::RecordsError;

/// How the records of a batch are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// gzip (RFC 1952): smallest of the widely supported ones, slow.
    Gzip,
    /// Snappy in xerial's framing, as Java writes it.
    Snappy,
    /// The LZ4 frame format: the fastest.
    Lz4,
    /// Zstandard (RFC 8878), Kafka 2.1 and newer. Written at about level 1, which is what the pure Rust encoder offers.
    Zstd,
}

impl Compression {
    /// The number in the low three bits of a batch's attributes.
    pub(super) fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with that number.
    pub(super) fn from_id(id: i16) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd].into_iter().find(|codec| codec.id() == id)
    }

    /// The name that configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Appends the compressed form of `records` to `out`.
    pub(super) fn compress(self, records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => out.extend_from_slice(records),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(records)?;
                encoder.finish()?;
            }
            Self::Snappy => snappy_compress(records, out)?,
            Self::Lz4 => {
                use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
                let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
                let mut encoder = FrameEncoder::with_frame_info(frame, out);
                encoder.write_all(records)?;
                encoder.finish().map_err(io::Error::other)?;
            }
            Self::Zstd => {
                ruzstd::encoding::compress(records, out, ruzstd::encoding::CompressionLevel::Fastest);
            }
        }
        Ok(())
    }

    /// The records of a batch as they were before [`Self::compress`], or an error once they grow past `limit` bytes.
    pub(super) fn decompress(self, section: &[u8], limit: usize) -> Result<Vec<u8>, RecordsError> {
        let read = |result: io::Result<Vec<u8>>| result.map_err(|error| self.broken(&error));
        let records = match self {
            Self::None => section.to_vec(),
            Self::Gzip => read(read_bounded(flate2::read::MultiGzDecoder::new(section), section.len(), limit))?,
            Self::Snappy => snappy_decompress(section, limit)?,
            Self::Lz4 => read(read_bounded(lz4_flex::frame::FrameDecoder::new(section), section.len(), limit))?,
            Self::Zstd => {
                use ruzstd::decoding::StreamingDecoder;
                let decoder = StreamingDecoder::new_with_max_window_size(section, ZSTD_MAX_WINDOW_BYTES)
                    .map_err(|error| self.broken(&error))?;
                read(read_bounded(decoder, section.len(), limit))?
            }
        };
        if records.len() > limit {
            return Err(RecordsError::TooLarge { codec: self.name(), limit_bytes: limit });
        }
        Ok(records)
    }

    fn broken(self, cause: &dyn std::fmt::Display) -> RecordsError {
        RecordsError::Decompress { codec: self.name(), reason: cause.to_string() }
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// A `compression.type` that is none of the five.
#[derive(Clone, Debug, thiserror::Error)]
#[error("compression.type '{0}' is unknown; it is one of none, gzip, snappy, lz4, zstd")]
pub struct UnknownCompression(String);

/// The window that a zstd decoder must offer (RFC 8878, 3.1.1.1.2) and the most that levels up to 19 use. A decoder
/// reserves a frame's window on the word of its header, so this is also what a hostile batch can make us reserve.
const ZSTD_MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// Reads to the end, but no further than one byte past `limit`, so that the caller can tell.
fn read_bounded(reader: impl Read, compressed_len: usize, limit: usize) -> io::Result<Vec<u8>> {
    let mut records = Vec::with_capacity(compressed_len.saturating_mul(4).min(limit));
    reader.take((limit as u64).saturating_add(1)).read_to_end(&mut records)?;
    Ok(records)
}

/// How xerial's snappy-java begins a stream: magic, version 1, compatible with version 1. Blocks follow, each after its
/// length as a big-endian `i32`.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";
const XERIAL_MAGIC_LEN: usize = 8;
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// Snappy's densest element copies 64 bytes in 3, so a longer claim than this many times the input is false.
const SNAPPY_MAX_RATIO: usize = 32;

fn snappy_compress(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = snap::raw::Encoder::new();
    out.extend_from_slice(XERIAL_HEADER);
    for block in records.chunks(XERIAL_BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let len = encoder.compress(block, &mut out[at + 4..]).map_err(io::Error::other)?;
        out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
        out.truncate(at + 4 + len);
    }
    Ok(())
}

fn snappy_decompress(section: &[u8], limit: usize) -> Result<Vec<u8>, RecordsError> {
    let mut records = Vec::new();
    if !section.starts_with(&XERIAL_HEADER[..XERIAL_MAGIC_LEN]) {
        snappy_block(section, limit, &mut records)?;
        return Ok(records);
    }
    let broken = || Compression::Snappy.broken(&"a xerial block ends before its length says");
    let mut rest = section.get(XERIAL_HEADER.len()..).ok_or_else(broken)?;
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (block, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(broken)?;
        snappy_block(block, limit, &mut records)?;
        rest = tail;
    }
    if rest.is_empty() { Ok(records) } else { Err(broken()) }
}

fn snappy_block(block: &[u8], limit: usize, records: &mut Vec<u8>) -> Result<(), RecordsError> {
    let broken = |error: snap::Error| Compression::Snappy.broken(&error);
    let len = snap::raw::decompress_len(block).map_err(broken)?;
    if len > block.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(Compression::Snappy.broken(&"a block claims more than snappy can hold"));
    }
    let at = records.len();
    if at + len > limit {
        return Err(RecordsError::TooLarge { codec: Compression::Snappy.name(), limit_bytes: limit });
    }
    records.resize(at + len, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut records[at..]).map_err(broken)?;
    records.truncate(at + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[test]
    fn growth_past_the_limit_is_an_error_not_an_allocation() {
        let zeros = vec![0; 1 << 20];
        for codec in CODECS {
            let mut section = Vec::new();
            codec.compress(&zeros, &mut section).unwrap();
            assert_eq!(codec.decompress(&section, 1 << 20).unwrap(), zeros, "{codec:?}");
            let refused = codec.decompress(&section, (1 << 20) - 1);
            assert!(matches!(refused, Err(RecordsError::TooLarge { .. })), "{codec:?}: {refused:?}");
        }
    }

    #[test]
    fn snappy_is_read_raw_as_librdkafka_writes_it() {
        let raw = snap::raw::Encoder::new().compress_vec(b"bread bread bread bread").unwrap();
        assert_eq!(Compression::Snappy.decompress(&raw, 100).unwrap(), b"bread bread bread bread");
    }

    #[test]
    fn a_false_snappy_length_is_refused() {
        let claims_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        assert!(Compression::Snappy.decompress(&claims_4_gib, usize::MAX).is_err());
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for codec in CODECS {
            let mut section = Vec::new();
            codec.compress(b"a text that is long enough to be cut", &mut section).unwrap();
            assert!(codec.decompress(&section[..section.len() / 2], 1000).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert_eq!("lz4".parse::<Compression>().unwrap(), Compression::Lz4);
        let message = "brotli".parse::<Compression>().unwrap_err().to_string();
        assert!(message.contains("brotli") && message.contains("zstd"), "{message}");
    }
}
