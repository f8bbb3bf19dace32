//! What the application gets: records of one partition, as slices of the frame they came in.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Reservation;
use super::positions::Position;
use crate::TopicPartition;
use crate::records::{DecodedBatch, RecordHeaders, RecordView, Slot};

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
    /// The records of all parts, one behind the other; never none.
    pub(super) slots: Vec<Slot>,
    pub(super) first_offset: i64,
    pub(super) last_offset: i64,
    pub(super) next: Position,
    pub(super) high_watermark: i64,
    /// Which assignment of the partition it belongs to.
    pub(super) stamp: u64,
    pub(super) _held: Arc<Reservation>,
}

/// A run of records within one batch of the log. They have been read once, so that showing them cannot fail.
pub(super) struct Part {
    pub(super) decoded: DecodedBatch,
    /// Where its records end among the slots.
    pub(super) end: usize,
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
        self.slots.len()
    }

    /// Whether there are none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
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
        RecordIter { parts: &self.parts, slots: self.slots.iter().enumerate() }
    }

    /// The records, each as a value of its own that shares the frame's memory.
    pub fn owned(&self) -> impl Iterator<Item = ConsumerRecord> + '_ {
        let mut records = self.iter();
        std::iter::from_fn(move || {
            let (part, view) = records.advance()?;
            Some(ConsumerRecord::of(&self.partition, part.decoded.bytes(), view))
        })
    }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBatch({} records of {} from {})", self.len(), self.partition, self.first_offset)
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
    /// The part of the next record, and those behind it.
    parts: &'a [Part],
    slots: std::iter::Enumerate<std::slice::Iter<'a, Slot>>,
}

impl<'a> RecordIter<'a> {
    #[inline]
    fn advance(&mut self) -> Option<(&'a Part, RecordView<'a>)> {
        let (at, slot) = self.slots.next()?;
        loop {
            let (part, behind) = self.parts.split_first()?;
            if at < part.end {
                return Some((part, part.decoded.view(slot)));
            }
            self.parts = behind;
        }
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        self.advance().map(|(_, view)| RecordRef { view })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl ExactSizeIterator for RecordIter<'_> {}

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
