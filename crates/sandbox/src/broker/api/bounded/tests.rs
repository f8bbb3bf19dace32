use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use super::*;

fn encoded<M: Request>(message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

fn produce(records: Bytes) -> ProduceRequest {
    let partition = |records| PartitionProduceData::default().with_index(i32::MAX).with_records(Some(records));
    let partitions = vec![partition(records), partition(Bytes::from_static(b"few"))];
    let topic = TopicProduceData::default().with_partition_data(partitions);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(i32::MAX).with_topic_data(vec![topic])
}

#[test]
fn an_honest_request_is_read_as_without_bounds_whatever_its_numbers_are() {
    let partition = || FetchPartition::default().with_partition(i32::MAX).with_partition_max_bytes(1 << 30);
    let topic = FetchTopic::default().with_partitions(vec![partition(), partition()]);
    let fetch = FetchRequest::default().with_max_wait_ms(i32::MAX).with_max_bytes(i32::MAX).with_topics(vec![topic]);
    for version in 4..=12 {
        let read: FetchRequest = decode(encoded(&fetch, version), version).unwrap();
        assert_eq!((read.max_bytes, &read.topics), (i32::MAX, &fetch.topics), "version {version}");
    }
}

#[test]
fn records_larger_than_any_array_are_read_and_are_a_slice_of_the_frame() {
    let records = Bytes::from(vec![7_u8; 3 * MAX_ELEMENTS]);
    for version in 3..=13 {
        let frame = encoded(&produce(records.clone()), version);
        let read: ProduceRequest = decode(frame.clone(), version).unwrap();
        let read = read.topic_data[0].partition_data[0].records.clone().unwrap();
        assert_eq!(read, records, "version {version}");
        assert!(frame.as_ptr_range().contains(&read.as_ptr()), "the records were copied");
    }
}

#[test]
fn a_lying_length_is_refused_before_anything_is_allocated() {
    for length in [i32::MAX, 1 << 20, 100_000, 2_000] {
        let mut body = BytesMut::new();
        body.put_i32(length);
        assert!(decode::<MetadataRequest>(body.freeze(), 1).is_err(), "{length}");
    }
    let flexible = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1]);
    assert_eq!(decode::<MetadataRequest>(flexible, 12).unwrap_err(), TOO_LONG);
    let endless = Bytes::from_static(&[0xff; 12]);
    assert_eq!(decode::<MetadataRequest>(endless, 12).unwrap_err(), BAD_VARINT);
}

#[test]
fn a_length_that_the_frame_has_bytes_for_is_refused_where_it_is_an_arrays() {
    for version in [1, 12] {
        let mut body = BytesMut::new();
        let length = 2 * MAX_ELEMENTS;
        if version == 1 {
            body.put_i32(length as i32);
        } else {
            body.put_slice(&[0x81, 0x80, 0x10]);
        }
        body.put_bytes(0, 2 * length);
        assert!(decode::<MetadataRequest>(body.freeze(), version).is_err(), "version {version}");
    }
}

#[test]
fn a_list_of_what_a_fetch_forgets_is_an_array_like_any_other() {
    let forgotten = |partitions| {
        let topic = ForgottenTopic::default().with_partitions(vec![0; partitions]);
        FetchRequest::default().with_forgotten_topics_data(vec![topic])
    };
    for version in [7, 12, 17] {
        assert!(decode::<FetchRequest>(encoded(&forgotten(MAX_ELEMENTS), version), version).is_ok());
        assert!(decode::<FetchRequest>(encoded(&forgotten(MAX_ELEMENTS + 1), version), version).is_err());
    }
    let mut lying = BytesMut::from(encoded(&forgotten(0), 7).as_ref());
    let end = lying.len();
    lying[end - 4..].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(decode::<FetchRequest>(lying.freeze(), 7).is_err());
}

#[test]
fn bytes_left_over_are_refused() {
    let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
    let mut bytes = BytesMut::from(encoded(&handshake, 1).as_ref());
    assert!(decode::<SaslHandshakeRequest>(bytes.clone().freeze(), 1).is_ok());
    bytes.put_u8(0);
    assert_eq!(decode::<SaslHandshakeRequest>(bytes.freeze(), 1).unwrap_err(), "1 bytes are left over");
}
