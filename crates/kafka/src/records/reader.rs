//! Reading batches out of a fetched frame, and records out of a batch, as slices.

use bytes::Bytes;

use super::header::{BatchHeader, Front, HEADER_BYTES, TimestampType, read_front};
use super::varint::{take_varint, take_varlong, unzigzag};
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
    /// most, and never more than 4 GiB, by which places in it are counted.
    pub(crate) fn decode(self, limit: usize) -> Result<DecodedBatch, RecordsError> {
        let limit = limit.min(u32::MAX as usize);
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
        Records { batch: self, rest: &self.records, left: self.header.record_count }
    }

    /// The offset of a record that has been read in this batch.
    #[inline]
    pub(crate) fn offset(&self, slot: &Slot) -> i64 {
        self.header.base_offset + i64::from(slot.offset_delta)
    }

    /// A record that has been read in this batch. One of another batch is not what it was, and may be empty.
    #[inline]
    pub(crate) fn view(&self, slot: &Slot) -> RecordView<'_> {
        let bytes = |at: u32, len: i32| {
            let at = at as usize;
            usize::try_from(len).ok().and_then(|len| self.records.get(at..at + len))
        };
        RecordView {
            offset: self.offset(slot),
            timestamp: match self.header.timestamp_type {
                TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(slot.timestamp_delta),
                TimestampType::LogAppendTime => self.header.max_timestamp,
            },
            key: bytes(slot.key_at, slot.key_len),
            value: bytes(slot.value_at, slot.value_len),
            headers: RecordHeaders {
                rest: self.records.get(slot.headers_at as usize..).unwrap_or_default(),
                left: slot.headers,
            },
        }
    }

    /// The records from a [`place`](Records::place) in this batch.
    pub(crate) fn records_from(&self, place: Place) -> Records<'_> {
        let start = self.records.len().saturating_sub(place.rest_bytes);
        Records { batch: self, rest: &self.records[start..], left: place.left }
    }
}

/// A place between two records of a batch, by what is left behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    rest_bytes: usize,
    left: i32,
}

/// Where the fields of a record are in its batch: what reading it once leaves, so that it need not be read again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    timestamp_delta: i64,
    offset_delta: i32,
    key_at: u32,
    /// -1 without a key.
    key_len: i32,
    value_at: u32,
    /// -1 without a value.
    value_len: i32,
    headers_at: u32,
    headers: u32,
}

/// Iterates the records of a batch; after an error nothing more comes.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    batch: &'a DecodedBatch,
    rest: &'a [u8],
    left: i32,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.next_slot()?;
        Some(slot.map(|slot| self.batch.view(&slot)))
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

    /// Reads the next record.
    #[inline]
    pub(crate) fn next_slot(&mut self) -> Option<Result<Slot, RecordsError>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let slot = self.take_record().map_err(|what| {
            self.left = 0;
            RecordsError::Malformed { base_offset: self.batch.header.base_offset, what }
        });
        Some(slot)
    }

    #[inline]
    fn take_record(&mut self) -> Result<Slot, &'static str> {
        let len = take_varint(&mut self.rest).ok_or("it has fewer records than it says")?;
        let (body, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
            .ok_or("a record is longer than its batch")?;
        self.rest = rest;
        // `decode` keeps batches below 4 GiB.
        let start = (self.batch.records.len() - rest.len() - body.len()) as u32;
        let fields = match Fields::of_usual(body) {
            Some(fields) => fields,
            None => Fields::of(body)?,
        };
        if fields.offset_delta < 0 || fields.offset_delta > i64::from(self.batch.header.last_offset_delta) {
            return Err("a record's offset is not between the batch's first and last");
        }
        let headers = body.get(fields.headers_at..).unwrap_or_default();
        // A header takes at least two bytes.
        if fields.headers > headers.len() / 2 || (fields.headers == 0 && !headers.is_empty()) {
            return Err("a record's header count does not fit its length");
        }
        if fields.headers > 0 {
            RecordHeaders { rest: headers, left: fields.headers as u32 }.check()?;
        }
        Ok(Slot {
            timestamp_delta: fields.timestamp_delta,
            offset_delta: fields.offset_delta as i32,
            key_at: start + fields.key_at as u32,
            key_len: fields.key_len,
            value_at: start + fields.value_at as u32,
            value_len: fields.value_len,
            headers_at: start + fields.headers_at as u32,
            headers: fields.headers as u32,
        })
    }
}

/// What a record's bytes say, places counted from its first.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    timestamp_delta: i64,
    offset_delta: i64,
    key_at: usize,
    /// -1 without a key, as with the value.
    key_len: i32,
    value_at: usize,
    value_len: i32,
    headers_at: usize,
    headers: usize,
}

impl Fields {
    /// Reads a record whose numbers take one or two bytes each, as nearly all do; `None` if it is another, whole or not.
    ///
    /// The numbers in front of the key are then within the first eight bytes, which are looked at once.
    #[inline]
    fn of_usual(body: &[u8]) -> Option<Self> {
        let mut front = u64::from_le_bytes(*body.first_chunk::<8>()?) >> 8;
        let mut at = 1;
        let timestamp_delta = take_small(&mut front, &mut at)?;
        let offset_delta = take_small(&mut front, &mut at)?;
        let key_len = take_small(&mut front, &mut at)?;
        let key_at = at;
        at += bytes_of(key_len)?;
        let mut between = u64::from(u16::from_le_bytes(*body.get(at..)?.first_chunk::<2>()?));
        let value_len = take_small(&mut between, &mut at)?;
        let value_at = at;
        at += bytes_of(value_len)?;
        let &count @ ..0x80 = body.get(at)? else { return None };
        let headers = usize::try_from(unzigzag(u64::from(count))).ok()?;
        let (key_len, value_len) = (key_len as i32, value_len as i32);
        Some(Self { timestamp_delta, offset_delta, key_at, key_len, value_at, value_len, headers_at: at + 1, headers })
    }

    /// Reads any record, or says what is wrong with it.
    #[cold]
    fn of(body: &[u8]) -> Result<Self, &'static str> {
        let (_attributes, mut rest) = body.split_first().ok_or("a record is empty")?;
        let place = |rest: &[u8]| body.len() - rest.len();
        let timestamp_delta = take_varlong(&mut rest).ok_or("a record's timestamp is cut off")?;
        let offset_delta = take_varint(&mut rest).ok_or("a record's offset is cut off")?.into();
        let key = take_nullable(&mut rest).ok_or("a record's key is longer than the record")?;
        let (key_at, key_len) = (place(rest) - key.map_or(0, <[u8]>::len), len_of(key));
        let value = take_nullable(&mut rest).ok_or("a record's value is longer than the record")?;
        let (value_at, value_len) = (place(rest) - value.map_or(0, <[u8]>::len), len_of(value));
        let headers = take_varint(&mut rest).and_then(|count| usize::try_from(count).ok());
        let headers = headers.ok_or("a record's header count is wrong")?;
        let headers_at = place(rest);
        Ok(Self { timestamp_delta, offset_delta, key_at, key_len, value_at, value_len, headers_at, headers })
    }
}

/// Takes a varint of one or two bytes off the low end of `word`, and counts them.
#[inline]
fn take_small(word: &mut u64, at: &mut usize) -> Option<i64> {
    let (value, bytes) = match *word {
        one if one & 0x80 == 0 => (one & 0x7f, 1),
        two if two & 0x8000 == 0 => (two & 0x7f | (two & 0x7f00) >> 1, 2),
        _ => return None,
    };
    *word >>= 8 * bytes;
    *at += bytes;
    Some(unzigzag(value))
}

/// The bytes of a field with this length; -1 is null and has none.
#[inline]
fn bytes_of(len: i64) -> Option<usize> {
    if len == -1 { Some(0) } else { usize::try_from(len).ok() }
}

/// As the wire has it: -1 of nothing. A field is shorter than its batch, which is within an `i32`'s reach on the wire.
fn len_of(field: Option<&[u8]>) -> i32 {
    field.map_or(-1, |field| field.len() as i32)
}

/// Takes a length and that many bytes; -1 is null.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_through_a_record_reads_what_the_long_way_does_or_nothing() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut usual = 0;
        for _ in 0..100_000 {
            // Small numbers, so that many of them are records.
            let mut body: Vec<u8> = (0..random.usize(..24)).map(|_| random.u8(..12)).collect();
            if random.bool() && !body.is_empty() {
                let at = random.usize(..body.len());
                body[at] = random.u8(..);
            }
            if let Some(fields) = Fields::of_usual(&body) {
                usual += 1;
                assert_eq!(Fields::of(&body), Ok(fields), "{body:?}");
            }
        }
        assert!(usual > 1_000, "{usual}");
    }
}
