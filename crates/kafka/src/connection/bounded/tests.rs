use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, FetchResponse, MetadataResponse, SaslHandshakeResponse};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;

fn encoded<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

fn decoded<M: Decodable>(bytes: Bytes, version: i16, encoding: Encoding) -> Result<M, String> {
    let mut bounded = BoundedBytes::new(bytes, encoding);
    M::decode(&mut bounded, version).map_err(|error| bounded.refused().map_or(error.to_string(), str::to_owned))
}

fn metadata() -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(i32::MAX))
        .with_host(StrBytes::from_static_str("broker.example"))
        .with_port(9092)
        .with_rack(Some(StrBytes::from_static_str("r1")));
    let topic = MetadataResponseTopic::default().with_topic_id(uuid::Uuid::from_u128(u128::MAX)).with_is_internal(true);
    MetadataResponse::default()
        .with_throttle_time_ms(i32::MAX)
        .with_brokers(vec![broker])
        .with_topics(vec![topic.clone(), topic])
}

fn varint(mut value: u32, into: &mut BytesMut) {
    while value >= 0x80 {
        into.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    into.put_u8(value as u8);
}

#[test]
fn an_honest_answer_is_read_as_without_bounds_whatever_its_numbers_are() {
    let answer = metadata();
    assert_eq!(decoded::<MetadataResponse>(encoded(&answer, 13), 13, Encoding::Flexible), Ok(answer));
}

#[test]
fn records_larger_than_any_array_are_still_read_and_are_a_slice_of_the_frame() {
    let records = Bytes::from(vec![7_u8; 3 * MAX_ELEMENTS]);
    let partition = PartitionData::default().with_records(Some(records.clone())).with_partition_index(4);
    let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
    let frame = encoded(&FetchResponse::default().with_responses(vec![topic]), 16);
    let answer: FetchResponse = decoded(frame.clone(), 16, Encoding::Flexible).unwrap();
    let read = answer.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(read, records);
    assert!(frame.as_ptr_range().contains(&read.as_ptr()), "the records were copied");
}

#[test]
fn an_array_of_four_billion_is_refused_before_anything_is_allocated() {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    varint(u32::MAX, &mut frame);
    frame.put_bytes(0, 100);
    let refusal = decoded::<MetadataResponse>(frame.freeze(), 13, Encoding::Flexible).unwrap_err();
    assert!(refusal.contains("larger than what is left"), "{refusal}");
}

#[test]
fn an_array_that_the_frame_could_hold_but_no_cluster_would_send_is_refused() {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    varint(1_000_000, &mut frame);
    frame.put_bytes(0, 2_000_000);
    let refusal = decoded::<MetadataResponse>(frame.freeze(), 13, Encoding::Flexible).unwrap_err();
    assert!(refusal.contains("more elements"), "{refusal}");
}

#[test]
fn a_length_cannot_hide_behind_a_boolean_that_looks_like_the_start_of_a_varint() {
    // is_internal = 0x80, then a five-byte count of partitions: read one byte off, the count would look harmless.
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    varint(1, &mut frame);
    varint(0, &mut frame);
    frame.put_i32(1);
    varint(2, &mut frame);
    frame.put_i16(0);
    varint(0, &mut frame);
    frame.put_bytes(0, 16);
    frame.put_u8(0x80);
    frame.put_slice(&[0x80, 0x80, 0x80, 0x80, 0x0f]);
    frame.put_bytes(0, 64);
    assert!(decoded::<MetadataResponse>(frame.freeze(), 13, Encoding::Flexible).is_err());
}

#[test]
fn a_varint_that_never_ends_is_refused() {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_bytes(0xff, 64);
    let refusal = decoded::<MetadataResponse>(frame.freeze(), 13, Encoding::Flexible).unwrap_err();
    assert!(refusal.contains("five bytes"), "{refusal}");
}

#[test]
fn an_old_encoding_with_a_hostile_array_is_refused() {
    let mut frame = BytesMut::new();
    frame.put_i16(0);
    frame.put_i32(i32::MAX);
    let refusal = decoded::<SaslHandshakeResponse>(frame.freeze(), 1, Encoding::Fixed).unwrap_err();
    assert!(refusal.contains("larger than what is left"), "{refusal}");
}

#[test]
fn no_cut_or_changed_frame_does_more_than_fail() {
    let frame = encoded(&metadata(), 13);
    for end in 0..frame.len() {
        assert!(decoded::<MetadataResponse>(frame.slice(..end), 13, Encoding::Flexible).is_err(), "cut at {end}");
    }
    let seed = 11;
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let mut changed = BytesMut::from(&frame[..]);
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..changed.len());
            changed[at] = rng.u8(..);
        }
        // Whatever comes out, it comes out: the process is still here.
        let _ = decoded::<MetadataResponse>(changed.freeze(), 13, Encoding::Flexible);
    }
}
