//! Produce, Fetch and ListOffsets as a pedantic client sees them.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, FetchResponse, ListOffsetsRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use sandbox::Sandbox;

use crate::wire::{Wire, batch, sandbox};

fn orders() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

fn request(records: Option<Bytes>) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(records);
    let topic = TopicProduceData::default().with_name(orders()).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

/// The offset that the batch got, or the error.
async fn produce(wire: &mut Wire, records: impl Into<Option<Bytes>>, version: i16) -> Result<i64, ResponseError> {
    let answer = wire.call(&request(records.into()), version).await.unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    ResponseError::try_from_code(partition.error_code).map_or(Ok(partition.base_offset), Err)
}

fn fetch(offset: i64, max_wait: Duration, min_bytes: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(orders()).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_min_bytes(min_bytes)
        .with_max_wait_ms(max_wait.as_millis() as i32)
        .with_topics(vec![topic])
}

fn fetched(answer: &FetchResponse) -> &Bytes {
    answer.responses[0].partitions[0].records.as_ref().unwrap()
}

async fn filled() -> (Sandbox, Wire) {
    let sandbox = sandbox().await;
    let mut wire = Wire::open(&sandbox).await;
    assert_eq!(produce(&mut wire, batch(None, &[b"a", b"b", b"c"]), 9).await, Ok(0));
    (sandbox, wire)
}

#[tokio::test]
async fn a_batch_that_is_not_what_it_says_is_refused_with_kafkas_error() {
    let (_sandbox, mut wire) = filled().await;
    assert_eq!(produce(&mut wire, None, 9).await, Err(ResponseError::InvalidRecord));
    let one = batch(None, &[b"a"]);
    let two = [one.as_ref(), &one].concat();
    assert_eq!(produce(&mut wire, Bytes::from(two), 9).await, Err(ResponseError::InvalidRecord));

    let change = |at: usize, to: u8, sealed: bool| {
        let mut bytes = BytesMut::from(one.as_ref());
        bytes[at] = to;
        if sealed {
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        bytes.freeze()
    };
    let (magic, attributes, record, zstd) = (16, 22, 61, 4);
    assert_eq!(produce(&mut wire, change(magic, 1, false), 9).await, Err(ResponseError::InvalidRecord));
    assert_eq!(produce(&mut wire, change(record, 9, false), 9).await, Err(ResponseError::CorruptMessage));
    assert_eq!(produce(&mut wire, change(record, 40, true), 9).await, Err(ResponseError::InvalidRecord));
    assert_eq!(produce(&mut wire, change(attributes, zstd, true), 9).await, Err(ResponseError::CorruptMessage));
    assert_eq!(
        produce(&mut wire, change(attributes, zstd, true), 6).await,
        Err(ResponseError::UnsupportedCompressionType)
    );
    assert_eq!(produce(&mut wire, one, 9).await, Ok(3), "nothing of that was stored");
}

#[tokio::test]
async fn sequences_are_checked() {
    let (_sandbox, mut wire) = filled().await;
    let sent = |epoch, sequence| batch(Some((7, epoch, sequence)), &[b"x", b"y"]);
    assert_eq!(produce(&mut wire, sent(1, 0), 9).await, Ok(3));
    assert_eq!(produce(&mut wire, sent(1, 2), 9).await, Ok(5));
    assert_eq!(produce(&mut wire, sent(1, 0), 9).await, Ok(3), "a repetition gets the offset it had");
    assert_eq!(produce(&mut wire, sent(1, 6), 9).await, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(produce(&mut wire, sent(0, 4), 9).await, Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(produce(&mut wire, sent(2, 4), 9).await, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(produce(&mut wire, sent(2, 0), 9).await, Ok(7));
}

#[tokio::test]
async fn without_acks_there_is_no_answer_and_an_error_closes_the_connection() {
    use tokio::io::AsyncWriteExt;
    let (sandbox, mut wire) = filled().await;
    let send = async |wire: &mut Wire, request: ProduceRequest| {
        let mut body = BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&request.with_acks(0), &mut body, 9).unwrap();
        wire.0.write_all(&crate::wire::frame(0, 9, &body)).await.unwrap();
    };
    send(&mut wire, request(Some(batch(None, &[b"a"])))).await;
    assert!(wire.call(&ApiVersionsRequest::default(), 0).await.is_some(), "the next answer is the next request's");
    assert_eq!(produce(&mut Wire::open(&sandbox).await, batch(None, &[b"b"]), 9).await, Ok(4));
    send(&mut wire, request(None)).await;
    assert_eq!(wire.receive().await, None);
}

#[tokio::test]
async fn a_fetch_waits_for_enough_bytes_and_no_longer_than_it_says() {
    let (sandbox, mut wire) = filled().await;
    let (long, short) = (Duration::from_secs(30), Duration::from_millis(200));

    let began = Instant::now();
    let nothing = wire.call(&fetch(3, short, 1), 12).await.unwrap();
    assert!(fetched(&nothing).is_empty() && began.elapsed() >= short);
    let too_few = wire.call(&fetch(0, short, 1 << 20), 12).await.unwrap();
    assert!(!fetched(&too_few).is_empty(), "what there is comes when the wait is over");

    let mut other = Wire::open(&sandbox).await;
    let parked = fetch(3, long, 1);
    let (answer, produced) = tokio::join!(wire.call(&parked, 12), async {
        // The fetch is on its way first; whichever arrives first, the answer has the record.
        tokio::task::yield_now().await;
        produce(&mut other, batch(None, &[b"d"]), 9).await
    });
    assert_eq!(produced, Ok(3));
    assert!(!fetched(&answer.unwrap()).is_empty());
    assert!(began.elapsed() < long);
}

#[tokio::test]
async fn a_fetch_that_has_nothing_to_wait_for_is_answered_at_once() {
    let (_sandbox, mut wire) = filled().await;
    let (long, began) = (Duration::from_secs(30), Instant::now());
    let empty = fetch(3, long, 1).with_topics(Vec::new());
    assert!(wire.call(&empty, 12).await.unwrap().responses.is_empty());
    let error = |answer: FetchResponse| answer.responses[0].partitions[0].error_code;
    let beyond = wire.call(&fetch(4, long, 1), 12).await.unwrap();
    assert_eq!(error(beyond), ResponseError::OffsetOutOfRange.code());
    let session = fetch(0, long, 1).with_session_id(5).with_session_epoch(3);
    let answer = wire.call(&session, 12).await.unwrap();
    assert_eq!(answer.error_code, ResponseError::FetchSessionIdNotFound.code());
    let mut epoch = fetch(3, long, 1);
    epoch.topics[0].partitions[0].current_leader_epoch = 9;
    assert_eq!(error(wire.call(&epoch, 12).await.unwrap()), ResponseError::UnknownLeaderEpoch.code());
    assert!(began.elapsed() < long);
}

#[tokio::test]
async fn the_first_batch_comes_however_large_it_is_and_no_second_past_the_limit() {
    let (_sandbox, mut wire) = filled().await;
    produce(&mut wire, batch(None, &[b"d"]), 9).await.unwrap();
    let (wait, mut limited) = (Duration::ZERO, fetch(0, Duration::ZERO, 1));
    let all = fetched(&wire.call(&fetch(0, wait, 1), 12).await.unwrap()).len();
    limited.max_bytes = 1;
    let first = fetched(&wire.call(&limited, 12).await.unwrap()).len();
    assert!(first > 1 && first < all, "{first} of {all}");
    limited.max_bytes = 1 << 20;
    limited.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(fetched(&wire.call(&limited, 12).await.unwrap()).len(), first);
}

#[tokio::test]
async fn a_time_leads_to_the_first_record_of_that_time_or_later() {
    let (_sandbox, mut wire) = filled().await;
    // The batch's records are of 1000, 1001 and 1002.
    for (asked, expected) in [(0, (0, 1000)), (1001, (1, 1001)), (1003, (-1, -1)), (-3, (2, 1002)), (-1, (3, -1))] {
        let partition = ListOffsetsPartition::default().with_timestamp(asked);
        let topic = ListOffsetsTopic::default().with_name(orders()).with_partitions(vec![partition]);
        let answer = wire.call(&ListOffsetsRequest::default().with_topics(vec![topic]), 8).await.unwrap();
        let found = &answer.topics[0].partitions[0];
        assert_eq!((found.offset, found.timestamp), expected, "for {asked}");
    }
}
