//! A record to be sent, as its owner has it: borrowed where possible, because it is encoded before `send` returns.

use std::borrow::Cow;

use bytes::Bytes;

use crate::records::record_bytes_at_most;

/// The bytes of a key, a value or a header: borrowed or owned, made from whatever holds bytes or text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Someone else's.
    Borrowed(&'a [u8]),
    /// The record's own.
    Owned(Vec<u8>),
    /// Shared.
    Shared(Bytes),
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    fn from(text: &'a String) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Self::Owned(text.into_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl From<&Bytes> for Payload<'_> {
    fn from(bytes: &Bytes) -> Self {
        Self::Shared(bytes.clone())
    }
}

/// A record to be sent.
///
/// Without a key it goes to whichever partition is being filled; with one, to the partition that Java's clients would
/// choose for that key, so records of one key stay in order. An empty key is a key.
///
/// ```
/// use kafka::Record;
///
/// let payload = vec![0, 0, 0, 0, 1];
/// let record = Record::to("grocery.orders.v1").key("order-1").value(payload).header("trace", "abc");
/// ```
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<Payload<'a>>,
    pub(super) value: Option<Payload<'a>>,
    pub(super) headers: Vec<(Cow<'a, str>, Option<Payload<'a>>)>,
    pub(super) timestamp: Option<i64>,
}

impl<'a> Record<'a> {
    /// A record for `topic` without key, value and headers. A record without a value is a tombstone on a compacted topic.
    pub fn to(topic: impl Into<Cow<'a, str>>) -> Self {
        Self { topic: topic.into(), partition: None, key: None, value: None, headers: Vec::new(), timestamp: None }
    }

    /// With this key.
    pub fn key(mut self, key: impl Into<Payload<'a>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this value.
    pub fn value(mut self, value: impl Into<Payload<'a>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// With one more header. Names may repeat, order is kept.
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Payload<'a>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// With one more header that has no value.
    pub fn null_header(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// To this partition, whatever the key.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With this timestamp, in milliseconds since 1970; the time of `send` otherwise.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// Where it is to go.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_ref().map(Payload::as_slice)
    }

    pub(super) fn value_bytes(&self) -> Option<&[u8]> {
        self.value.as_ref().map(Payload::as_slice)
    }

    pub(super) fn header_bytes(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref().map(Payload::as_slice)))
    }

    /// The most that it takes in a batch.
    pub(super) fn bytes_at_most(&self) -> usize {
        record_bytes_at_most(self.key_bytes(), self.value_bytes(), self.header_bytes())
    }
}
