//! The blobs that members exchange through the coordinator: what a member subscribes to and owns, and what the leader
//! gives it (`ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, versions 0 to 3).
//!
//! Both begin with an `i16` version and are not flexible. They come from other people's clients: a version above ours is read
//! as ours and its tail ignored, and nothing is allocated on the word of a length field.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::TopicPartition;

/// The version this client writes, and the highest whose fields it reads.
const VERSION: i16 = 3;

/// The generation of a member that has none.
pub(crate) const NO_GENERATION: i32 = -1;

/// What a member asks for when it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) owned: BTreeSet<TopicPartition>,
    /// The generation in which `owned` was given, so that the leader can tell a stale claim from a current one.
    pub(crate) generation: i32,
    pub(crate) rack: Option<String>,
}

/// A blob that is not one of the consumer protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {blob} of the consumer protocol ends or is malformed at byte {at} of {length}")]
pub(crate) struct MalformedBlob {
    blob: &'static str,
    at: usize,
    length: usize,
}

impl Subscription {
    /// Spells the subscription as version 3. The user data is the generation, as Java's cooperative-sticky assignor writes
    /// it for leaders that read versions below 2 only.
    pub(crate) fn encode(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(64);
        buf.put_i16(VERSION);
        buf.put_i32(self.topics.len() as i32);
        for topic in &self.topics {
            put_string(&mut buf, topic);
        }
        buf.put_i32(4);
        buf.put_i32(self.generation);
        put_partitions(&mut buf, &self.owned);
        buf.put_i32(self.generation);
        match &self.rack {
            Some(rack) => put_string(&mut buf, rack),
            None => buf.put_i16(-1),
        }
        buf.freeze()
    }

    /// Reads a member's subscription of any version.
    pub(crate) fn decode(blob: &[u8]) -> Result<Self, MalformedBlob> {
        let mut reader = Reader { blob, at: 0, name: "subscription" };
        let version = reader.i16()?;
        let mut topics = BTreeSet::new();
        for _ in 0..reader.count()? {
            topics.insert(Arc::from(reader.string()?));
        }
        let user_data = reader.bytes()?;
        let owned = if version >= 1 { reader.partitions()? } else { BTreeSet::new() };
        let generation = if version >= 2 {
            reader.i32()?
        } else {
            user_data.and_then(|data| data.try_into().ok()).map_or(NO_GENERATION, i32::from_be_bytes)
        };
        let rack = if version >= 3 { reader.nullable_string()?.map(str::to_owned) } else { None };
        Ok(Self { topics, owned, generation, rack: rack.filter(|rack| !rack.is_empty()) })
    }
}

/// Spells an assignment as version 3 without user data.
pub(crate) fn encode_assignment(partitions: &BTreeSet<TopicPartition>) -> Bytes {
    let mut buf = BytesMut::with_capacity(64);
    buf.put_i16(VERSION);
    put_partitions(&mut buf, partitions);
    buf.put_i32(-1);
    buf.freeze()
}

/// Reads an assignment of any version. No bytes at all mean no partitions: that is what a member gets whose leader left it out.
pub(crate) fn decode_assignment(blob: &[u8]) -> Result<BTreeSet<TopicPartition>, MalformedBlob> {
    if blob.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut reader = Reader { blob, at: 0, name: "assignment" };
    reader.i16()?;
    reader.partitions()
}

fn put_string(buf: &mut BytesMut, text: &str) {
    buf.put_i16(text.len() as i16);
    buf.put_slice(text.as_bytes());
}

/// Partitions grouped by topic; a `BTreeSet` iterates them in that order already.
fn put_partitions(buf: &mut BytesMut, partitions: &BTreeSet<TopicPartition>) {
    let mut topics: Vec<(&Arc<str>, Vec<i32>)> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut() {
            Some((last, numbers)) if *last == topic => numbers.push(*partition),
            _ => topics.push((topic, vec![*partition])),
        }
    }
    buf.put_i32(topics.len() as i32);
    for (topic, numbers) in topics {
        put_string(buf, topic);
        buf.put_i32(numbers.len() as i32);
        for number in numbers {
            buf.put_i32(number);
        }
    }
}

struct Reader<'a> {
    blob: &'a [u8],
    at: usize,
    name: &'static str,
}

impl<'a> Reader<'a> {
    fn malformed(&self) -> MalformedBlob {
        MalformedBlob { blob: self.name, at: self.at, length: self.blob.len() }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedBlob> {
        let slice = self.blob.get(self.at..).and_then(|rest| rest.get(..length)).ok_or_else(|| self.malformed())?;
        self.at += length;
        Ok(slice)
    }

    fn i16(&mut self) -> Result<i16, MalformedBlob> {
        let bytes = self.take(2)?;
        Ok(i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn i32(&mut self) -> Result<i32, MalformedBlob> {
        let bytes = self.take(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// The length of an array; a null array has no elements.
    fn count(&mut self) -> Result<usize, MalformedBlob> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    fn nullable_string(&mut self) -> Result<Option<&'a str>, MalformedBlob> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Ok(None) };
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| self.malformed())
    }

    fn string(&mut self) -> Result<&'a str, MalformedBlob> {
        self.nullable_string()?.ok_or_else(|| self.malformed())
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>, MalformedBlob> {
        let Ok(length) = usize::try_from(self.i32()?) else { return Ok(None) };
        self.take(length).map(Some)
    }

    fn partitions(&mut self) -> Result<BTreeSet<TopicPartition>, MalformedBlob> {
        let mut partitions = BTreeSet::new();
        for _ in 0..self.count()? {
            let topic: Arc<str> = Arc::from(self.string()?);
            for _ in 0..self.count()? {
                partitions.insert(TopicPartition { topic: topic.clone(), partition: self.i32()? });
            }
        }
        Ok(partitions)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::*;

    /// As `DescribeGroups` of Apache Kafka 4.3.1 returned it for Java's console consumer (cooperative-sticky, rack `rack-7`).
    const JAVA_SUBSCRIPTION: &str =
        "0003000000020009636170747572652e610009636170747572652e620000000400000002000000000000000200067261636b2d37";
    const JAVA_ASSIGNMENT: &str = "0000000000010009636170747572652e610000000200000001000000000000000400000002";
    /// The same for librdkafka 2.16.0 in the same group; its user data is its own and longer.
    const LIBRDKAFKA_SUBSCRIPTION: &str = "0003000000020009636170747572652e610009636170747572652e6200000032000000020009636170747572652e6100000001000000020009636170747572652e6200000002000000000000000100000002000000020009636170747572652e6100000001000000020009636170747572652e620000000200000000000000010000000200027231";
    const LIBRDKAFKA_RANGE: &str = "0003000000010009636170747572652e610000000000000000ffffffff0000";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn partitions(list: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
        list.iter().map(|(topic, partition)| TopicPartition::new(*topic, *partition)).collect()
    }

    fn ours() -> Subscription {
        Subscription {
            topics: ["orders", "pick"].map(Arc::from).into(),
            owned: partitions(&[("orders", 0), ("orders", 2), ("pick", 1)]),
            generation: 7,
            rack: Some("r".to_owned()),
        }
    }

    #[test]
    fn subscriptions_of_java_and_librdkafka_are_read() {
        let java = Subscription::decode(&bytes(JAVA_SUBSCRIPTION)).unwrap();
        assert_eq!(java.topics, ["capture.a", "capture.b"].map(Arc::from).into());
        assert_eq!((java.owned.len(), java.generation, java.rack.as_deref()), (0, 2, Some("rack-7")));

        let librdkafka = Subscription::decode(&bytes(LIBRDKAFKA_SUBSCRIPTION)).unwrap();
        assert_eq!(librdkafka.owned, partitions(&[("capture.a", 2), ("capture.b", 0), ("capture.b", 1)]));
        assert_eq!((librdkafka.generation, librdkafka.rack.as_deref()), (2, Some("r1")));

        let range = Subscription::decode(&bytes(LIBRDKAFKA_RANGE)).unwrap();
        assert_eq!((range.owned.len(), range.generation, range.rack), (0, NO_GENERATION, None));
    }

    #[test]
    fn a_subscription_is_spelled_as_java_spells_it() {
        let java = bytes(JAVA_SUBSCRIPTION);
        assert_eq!(Subscription::decode(&java).unwrap().encode(), java);
    }

    #[test]
    fn an_assignment_of_java_is_read() {
        let read = decode_assignment(&bytes(JAVA_ASSIGNMENT)).unwrap();
        assert_eq!(read, partitions(&[("capture.a", 0), ("capture.a", 1)]));
        assert_eq!(decode_assignment(&[]).unwrap(), BTreeSet::new());
    }

    #[test]
    fn a_second_implementation_reads_ours_and_we_read_its_versions() {
        let encoded = ours().encode();
        let mut body = encoded.slice(2..);
        let theirs = ConsumerProtocolSubscription::decode(&mut body, 3).unwrap();
        assert!(body.is_empty());
        for version in 0..=3 {
            let mut theirs = theirs.clone();
            if version < 3 {
                theirs.rack_id = None;
            }
            if version < 2 {
                theirs.generation_id = -1;
            }
            if version < 1 {
                theirs.owned_partitions.clear();
            }
            let mut blob = BytesMut::new();
            blob.put_i16(version);
            theirs.encode(&mut blob, version).unwrap();
            let read = Subscription::decode(&blob).unwrap();
            assert_eq!(read.topics, ours().topics);
            assert_eq!(read.generation, 7, "version {version} carries the generation in a field or in the user data");
            assert_eq!(read.owned.is_empty(), version < 1);
        }

        let given = partitions(&[("orders", 1), ("pick", 0)]);
        let mut body = encode_assignment(&given).slice(2..);
        let theirs = ConsumerProtocolAssignment::decode(&mut body, 3).unwrap();
        assert!(body.is_empty());
        assert_eq!(theirs.assigned_partitions.len(), 2);
        let mut blob = BytesMut::new();
        blob.put_i16(0);
        theirs.encode(&mut blob, 0).unwrap();
        assert_eq!(decode_assignment(&blob).unwrap(), given);
    }

    #[test]
    fn the_tail_of_a_later_version_is_ignored() {
        let mut blob = ours().encode().to_vec();
        blob[1] = 9;
        blob.extend_from_slice(b"fields of the future");
        assert_eq!(Subscription::decode(&blob).unwrap(), ours());
    }

    #[test]
    fn a_truncated_or_lying_blob_is_an_error() {
        let blob = ours().encode();
        for end in 0..blob.len() {
            assert!(Subscription::decode(&blob[..end]).is_err(), "cut at {end}");
        }
        let mut lying = vec![0, 0];
        lying.extend_from_slice(&i32::MAX.to_be_bytes());
        assert!(Subscription::decode(&lying).is_err());
        assert!(decode_assignment(&lying).is_err());
    }
}
