//! What a broker hands out as records: whatever it is, reading it ends in records or an error, and takes no more memory than allowed.

#![no_main]

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};
use libfuzzer_sys::fuzz_target;

/// A batch may unfold to so many bytes here; the client's own bound is larger.
const LIMIT: usize = 1 << 20;
/// A batch up to its records. The length counts what follows it, the checksum (CRC-32C) is of what follows it.
const HEADER: usize = 61;
const LENGTH: std::ops::Range<usize> = 8..12;
const CHECKSUM: std::ops::Range<usize> = 17..21;

fn read(frame: Bytes) {
    let most = LIMIT * (frame.len() / HEADER);
    if let Ok(bytes) = kafka::bench::decode(frame, LIMIT) {
        assert!(bytes <= most);
    }
}

fuzz_target!(|frame: &[u8]| {
    read(Bytes::copy_from_slice(frame));
    // Once more as one batch that was not damaged on its way, or nothing but checksums would be tried.
    if frame.len() >= HEADER {
        let mut batch = frame.to_vec();
        let length = u32::try_from(batch.len() - LENGTH.end).unwrap();
        batch[LENGTH].copy_from_slice(&length.to_be_bytes());
        let checksum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(&batch[CHECKSUM.end..]);
        batch[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
        read(batch.into());
    }
});
