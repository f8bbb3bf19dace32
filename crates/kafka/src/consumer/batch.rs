//! What the application gets: records of one partition, as slices of the frame they came in.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Reservation;
use super::positions::Position;
use crate::TopicPartition;
use crate::records::{DecodedBatch, Place, RecordHeaders, RecordView};

/// Records of one partition, in order. Holds on to the frame they came in, and to its share of the consumer's byte budget,
/// until it is dropped.
///
/// ```no_run
/// # async fn example(consumer: &mut kafka::Consumer) -> Result<(), kafka::ConsumerError> {
/// while let Some(batch) = consumer.next_batch().await? {
///     for record in &batch {
///         println!("{}@{}: {:?}", batch.topic_partition(), record.offset(), record.value());
///     }
/// }
/// # Ok(()) }
/// ```
pub struct RecordBatch {
    pub(super) partition: TopicPartition,
    pub(super) parts: Vec<Part>,
    pub(super) records: usize,
    pub(super) first_offset: i64,
    pub(super) last_offset: i64,
    pub(super) next: Position,
    pub(super) high_watermark: i64,
    /// Which assignment of the partition it belongs to.
    pub(super) stamp: u64,
    pub(super) _held: Arc<Reservation>,
}

/// A run of records within one batch of the log. They have been read once, so that reading them again cannot fail.
pub(super) struct Part {
    pub(super) decoded: DecodedBatch,
    pub(super) from: Place,
    pub(super) records: usize,
}

impl RecordBatch {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.partition.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// Topic and partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many records there are; never zero.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there are none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The offset of the first record.
    pub fn first_offset(&self) -> i64 {
        self.first_offset
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.last_offset
    }

    /// Where reading goes on after this batch: what to commit once it is done with.
    pub fn next_position(&self) -> Position {
        self.next
    }

    /// The end of the partition's log when this was fetched.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The records, as slices.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { parts: self.parts.iter(), current: None }
    }

    /// The records, each as a value of its own that shares the frame's memory.
    pub fn owned(&self) -> impl Iterator<Item = ConsumerRecord> + '_ {
        self.parts.iter().flat_map(move |part| {
            part.views().map(move |view| ConsumerRecord::of(&self.partition, part.decoded.bytes(), view))
        })
    }
}

impl Part {
    fn views(&self) -> impl Iterator<Item = RecordView<'_>> {
        self.decoded.records_from(self.from).take(self.records).map_while(Result::ok)
    }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBatch({} records of {} from {})", self.records, self.partition, self.first_offset)
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = RecordRef<'a>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Iterates the records of a [`RecordBatch`].
pub struct RecordIter<'a> {
    parts: std::slice::Iter<'a, Part>,
    current: Option<(crate::records::Records<'a>, usize)>,
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        loop {
            if let Some((records, left @ 1..)) = &mut self.current {
                *left -= 1;
                if let Some(Ok(view)) = records.next() {
                    return Some(RecordRef { view });
                }
            }
            let part = self.parts.next()?;
            self.current = Some((part.decoded.records_from(part.from), part.records));
        }
    }
}

/// A record, borrowed from its [`RecordBatch`].
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    view: RecordView<'a>,
}

impl<'a> RecordRef<'a> {
    /// Its offset.
    pub fn offset(&self) -> i64 {
        self.view.offset
    }

    /// When it was made or appended, as the topic says (`message.timestamp.type`), in milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.view.timestamp
    }

    /// Its key; an empty key is a key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.view.key
    }

    /// Its value; none is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.view.value
    }

    /// Its headers, in the order in which they were written; a name may occur more than once.
    pub fn headers(&self) -> Headers<'a> {
        Headers(self.view.headers)
    }
}

/// Iterates a record's headers.
#[derive(Debug, Clone)]
pub struct Headers<'a>(RecordHeaders<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// A record on its own. Its bytes share the memory of the frame it came in, which lives as long as any of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key; an empty key is a key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, in the order in which they were written.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl ConsumerRecord {
    fn of(partition: &TopicPartition, frame: &Bytes, view: RecordView<'_>) -> Self {
        let share = |slice: &[u8]| frame.slice_ref(slice);
        Self {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            offset: view.offset,
            timestamp: view.timestamp,
            key: view.key.map(share),
            value: view.value.map(share),
            headers: view.headers.map(|(name, value)| (name.to_owned(), value.map(share))).collect(),
        }
    }
}
