//! What consumers of the classic protocol tell each other inside JoinGroup and SyncGroup (`ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment`).

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

/// From this version on a subscription says what its sender holds.
const FIRST_VERSION_WITH_OWNED: i16 = 1;

/// A consumer's subscription, as far as a coordinator has to know it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) version: i16,
    pub(super) topics: Vec<String>,
    pub(super) owned: Vec<(String, i32)>,
}

/// Reads from the front; nothing is allocated that the bytes are not there for.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn i16(&mut self) -> Option<i16> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*value))
    }

    fn i32(&mut self) -> Option<i32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok().map(str::to_owned)
    }

    /// The length of bytes that may be null.
    fn user_data(&mut self) -> Option<usize> {
        let length = usize::try_from(self.i32()?).unwrap_or_default();
        self.take(length).map(<[u8]>::len)
    }

    fn partitions(&mut self) -> Option<Vec<(String, i32)>> {
        let mut partitions = Vec::new();
        for _ in 0..self.i32()? {
            let topic = self.string()?;
            for _ in 0..self.i32()? {
                partitions.push((topic.clone(), self.i32()?));
            }
        }
        Some(partitions)
    }
}

impl Subscription {
    /// `None` when it is no subscription. What comes after its topics may be missing.
    pub(super) fn read(metadata: &[u8]) -> Option<Self> {
        let mut reader = Reader(metadata);
        let version = reader.i16()?;
        let mut topics = Vec::new();
        for _ in 0..reader.i32()? {
            topics.push(reader.string()?);
        }
        let owned = match reader.user_data() {
            Some(_) if version >= FIRST_VERSION_WITH_OWNED => reader.partitions().unwrap_or_default(),
            _ => Vec::new(),
        };
        Some(Self { version, topics, owned })
    }
}

/// The partitions of an assignment; `None` when it is none, or holds what only the assignor of its group understands.
pub(super) fn read_assignment(assignment: &[u8]) -> Option<Vec<(String, i32)>> {
    if assignment.is_empty() {
        // Its member has joined and was not assigned anything yet.
        return Some(Vec::new());
    }
    let mut reader = Reader(assignment);
    reader.i16()?;
    let partitions = reader.partitions()?;
    (reader.user_data()? == 0).then_some(partitions)
}

/// An assignment as consumers read it.
pub(super) fn write_assignment(version: i16, topics: &BTreeMap<String, Vec<i32>>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    bytes.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
        bytes.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.put_i32(-1);
    bytes.freeze()
}
