//! Reading batches out of a fetched frame, and records out of a batch, as slices.

use bytes::Bytes;

use super::header::{BatchHeader, Front, HEADER_BYTES, TimestampType, read_front};
use super::varint::{take_varint, take_varlong};
use super::{Compression, RecordsError};

/// The batches of a frame, each checked against its checksum. A batch that the broker cut off at the end is the end;
/// after an error nothing more comes.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    rest: Bytes,
}

impl Batches {
    /// The batches in the `records` field of a fetched partition.
    pub(crate) fn new(frame: Bytes) -> Self {
        Self { rest: frame }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        match read_front(&self.rest) {
            Ok(Front::Batch(header, total)) => {
                let mut section = self.rest.split_to(total);
                section = section.split_off(HEADER_BYTES);
                Some(Ok(Batch { header, section }))
            }
            Ok(Front::End) => None,
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

/// A batch whose records may still be compressed.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    header: BatchHeader,
    section: Bytes,
}

impl Batch {
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Makes the records readable: in place if they are not compressed, else into one allocation of `limit` bytes at
    /// most.
    pub(crate) fn decode(self, limit: usize) -> Result<DecodedBatch, RecordsError> {
        let records = match self.header.compression {
            Compression::None => self.section,
            codec => Bytes::from(codec.decompress(&self.section, limit)?),
        };
        Ok(DecodedBatch { header: self.header, records })
    }

    /// What a control batch says; `None` for an application's records, and for a marker that compaction has emptied.
    pub(crate) fn control(&self) -> Result<Option<ControlRecord>, RecordsError> {
        if !self.header.control {
            return Ok(None);
        }
        let malformed = |what| RecordsError::Malformed { base_offset: self.header.base_offset, what };
        let decoded = self.clone().decode(CONTROL_BATCH_MAX_BYTES)?;
        let Some(record) = decoded.records().next().transpose()? else { return Ok(None) };
        // Key: version i16, type i16 (ControlRecordType.java).
        let Some(&[_, _, high, low]) = record.key.and_then(|key| key.first_chunk::<4>()) else {
            return Err(malformed("a control record's key is shorter than 4 bytes"));
        };
        Ok(Some(match i16::from_be_bytes([high, low]) {
            0 => ControlRecord::Abort,
            1 => ControlRecord::Commit,
            other => ControlRecord::Other(other),
        }))
    }
}

/// A marker is a few bytes; this is generous.
const CONTROL_BATCH_MAX_BYTES: usize = 64 * 1024;

/// The kinds of control record that matter to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlRecord {
    /// The producer's open transaction ended here, without effect.
    Abort,
    /// The producer's open transaction ended here, and counts.
    Commit,
    /// For brokers among themselves.
    Other(i16),
}

/// A batch whose records can be read. Cheap to clone: it shares its bytes.
#[derive(Clone, Debug)]
pub(crate) struct DecodedBatch {
    header: BatchHeader,
    records: Bytes,
}

impl DecodedBatch {
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes that all records of the batch are slices of (for `Bytes::slice_ref`).
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.records
    }

    /// The records from the first.
    pub(crate) fn records(&self) -> Records<'_> {
        Records { header: &self.header, rest: &self.records, left: self.header.record_count }
    }

    /// The records from a [`place`](Records::place) in this batch.
    pub(crate) fn records_from(&self, place: Place) -> Records<'_> {
        let start = self.records.len().saturating_sub(place.rest_bytes);
        Records { header: &self.header, rest: &self.records[start..], left: place.left }
    }
}

/// A place between two records of a batch, by what is left behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    rest_bytes: usize,
    left: i32,
}

/// Iterates the records of a batch; after an error nothing more comes.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    header: &'a BatchHeader,
    rest: &'a [u8],
    left: i32,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let record = self.take_record().map_err(|what| {
            self.left = 0;
            RecordsError::Malformed { base_offset: self.header.base_offset, what }
        });
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is the broker's word: a record takes at least 7 bytes.
        (0, Some((self.left as usize).min(self.rest.len() / 7 + 1)))
    }
}

impl<'a> Records<'a> {
    /// Where this iterator stands.
    #[inline]
    pub(crate) fn place(&self) -> Place {
        Place { rest_bytes: self.rest.len(), left: self.left }
    }

    fn take_record(&mut self) -> Result<RecordView<'a>, &'static str> {
        let len = take_varint(&mut self.rest).ok_or("it has fewer records than it says")?;
        let (mut body, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
            .ok_or("a record is longer than its batch")?;
        self.rest = rest;

        let (_attributes, tail) = body.split_first().ok_or("a record is empty")?;
        body = tail;
        let timestamp_delta = take_varlong(&mut body).ok_or("a record's timestamp is cut off")?;
        let offset_delta = take_varint(&mut body).ok_or("a record's offset is cut off")?;
        if offset_delta < 0 || offset_delta > self.header.last_offset_delta {
            return Err("a record's offset is not between the batch's first and last");
        }
        let key = take_nullable(&mut body).ok_or("a record's key is longer than the record")?;
        let value = take_nullable(&mut body).ok_or("a record's value is longer than the record")?;
        let count = take_varint(&mut body).filter(|&count| count >= 0).ok_or("a record's header count is wrong")?;
        // A header takes at least two bytes.
        if count as usize > body.len() / 2 || (count == 0 && !body.is_empty()) {
            return Err("a record's header count does not fit its length");
        }
        let headers = RecordHeaders { rest: body, left: count as u32 };
        if count > 0 {
            headers.check()?;
        }
        Ok(RecordView {
            offset: self.header.base_offset + i64::from(offset_delta),
            timestamp: match self.header.timestamp_type {
                TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(timestamp_delta),
                TimestampType::LogAppendTime => self.header.max_timestamp,
            },
            key,
            value,
            headers,
        })
    }
}

/// Takes a length and that many bytes; -1 is null.
#[inline]
fn take_nullable<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_varint(input)? {
        -1 => Some(None),
        len => {
            let (bytes, rest) = input.split_at_checked(usize::try_from(len).ok()?)?;
            *input = rest;
            Some(Some(bytes))
        }
    }
}

/// A record, as slices of its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: RecordHeaders<'a>,
}

/// Iterates a record's headers, in the order in which they were written. They have been checked: names are UTF-8 and
/// lengths fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHeaders<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> RecordHeaders<'a> {
    fn check(mut self) -> Result<(), &'static str> {
        while self.left > 0 {
            self.left -= 1;
            self.take_header().ok_or("a record's header is cut off or its name is not UTF-8")?;
        }
        if self.rest.is_empty() { Ok(()) } else { Err("a record is longer than its fields") }
    }

    fn take_header(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        let name = take_nullable(&mut self.rest)??;
        Some((std::str::from_utf8(name).ok()?, take_nullable(&mut self.rest)?))
    }
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.take_header()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for RecordHeaders<'_> {}
