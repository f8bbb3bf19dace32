//! Produce, Fetch and ListOffsets as a pedantic client sees them.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, DeleteRecordsRequest, FetchRequest, FetchResponse, ListOffsetsRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Broker, Wire, batch};

/// A connection to a broker whose topic has the records a, b, c in partition 0.
struct Filled {
    wire: Wire,
    broker: Broker,
}

impl Filled {
    async fn new() -> Self {
        let broker = Broker::start().await;
        let mut filled = Self { wire: Wire::open(&broker).await, broker };
        assert_eq!(filled.produce(batch(None, &[b"a", b"b", b"c"]), 9).await, Ok(0));
        filled
    }

    fn orders(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.broker.orders.clone()))
    }

    fn request(&self, records: Bytes) -> ProduceRequest {
        let partition = PartitionProduceData::default().with_records(Some(records));
        let topic = TopicProduceData::default().with_name(self.orders()).with_partition_data(vec![partition]);
        ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
    }

    /// The offset that the batch got, or the error.
    async fn produce(&mut self, records: Bytes, version: i16) -> Result<i64, ResponseError> {
        let request = self.request(records);
        produced(self.wire.call(&request, version).await.unwrap())
    }

    fn fetch(&self, offset: i64, max_wait: Duration, min_bytes: i32) -> FetchRequest {
        let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(self.orders()).with_partitions(vec![partition]);
        FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_min_bytes(min_bytes)
            .with_max_wait_ms(max_wait.as_millis() as i32)
            .with_topics(vec![topic])
    }
}

fn produced(answer: ProduceResponse) -> Result<i64, ResponseError> {
    let partition = &answer.responses[0].partition_responses[0];
    ResponseError::try_from_code(partition.error_code).map_or(Ok(partition.base_offset), Err)
}

fn fetched(answer: &FetchResponse) -> &Bytes {
    answer.responses[0].partitions[0].records.as_ref().unwrap()
}

#[tokio::test]
async fn a_batch_that_is_not_what_it_says_is_refused_with_kafkas_error() {
    let mut filled = Filled::new().await;
    assert_eq!(filled.produce(Bytes::new(), 9).await, Err(ResponseError::InvalidRecord));
    let one = batch(None, &[b"a"]);
    let two = [one.as_ref(), &one].concat();
    assert_eq!(filled.produce(two.into(), 9).await, Err(ResponseError::InvalidRecord));

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
    assert_eq!(filled.produce(change(magic, 1, false), 9).await, Err(ResponseError::InvalidRecord));
    assert_eq!(filled.produce(change(record, 9, false), 9).await, Err(ResponseError::CorruptMessage));
    assert_eq!(filled.produce(change(record, 40, true), 9).await, Err(ResponseError::InvalidRecord));
    assert_eq!(filled.produce(change(attributes, zstd, true), 9).await, Err(ResponseError::UnknownServerError));
    assert_eq!(filled.produce(change(attributes, zstd, true), 6).await, Err(ResponseError::UnsupportedCompressionType));
    assert_eq!(filled.produce(one, 9).await, Ok(3), "nothing of that was stored");
}

#[tokio::test]
async fn sequences_are_checked() {
    let mut filled = Filled::new().await;
    let sent = |epoch, sequence| batch(Some((7, epoch, sequence)), &[b"x", b"y"]);
    assert_eq!(filled.produce(sent(1, 0), 9).await, Ok(3));
    assert_eq!(filled.produce(sent(1, 2), 9).await, Ok(5));
    assert_eq!(filled.produce(sent(1, 0), 9).await, Ok(3), "a repetition gets the offset it had");
    assert_eq!(filled.produce(sent(1, 6), 9).await, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(filled.produce(sent(0, 4), 9).await, Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(filled.produce(sent(2, 4), 9).await, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(filled.produce(sent(2, 0), 9).await, Ok(7));
}

#[tokio::test]
async fn without_acks_there_is_no_answer_and_an_error_closes_the_connection() {
    use tokio::io::AsyncWriteExt;
    let mut filled = Filled::new().await;
    let send = async |wire: &mut Wire, request: ProduceRequest| {
        let mut body = BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&request.with_acks(0), &mut body, 9).unwrap();
        wire.0.write_all(&crate::wire::frame(0, 9, &body)).await.unwrap();
    };
    let (without_error, with_error) =
        (filled.request(batch(None, &[b"a"])), filled.request(Bytes::from_static(b"short")));
    send(&mut filled.wire, without_error).await;
    assert!(
        filled.wire.call(&ApiVersionsRequest::default(), 0).await.is_some(),
        "the next answer is the next request's"
    );
    let mut other = Wire::open(&filled.broker).await;
    let next = filled.request(batch(None, &[b"b"]));
    assert_eq!(produced(other.call(&next, 9).await.unwrap()), Ok(4));
    send(&mut filled.wire, with_error).await;
    assert_eq!(filled.wire.receive().await, None);
}

#[tokio::test]
async fn a_fetch_waits_for_enough_bytes_and_no_longer_than_it_says() {
    let mut filled = Filled::new().await;
    let (long, short) = (Duration::from_secs(30), Duration::from_millis(200));

    let began = Instant::now();
    let nothing = filled.wire.call(&filled.fetch(3, short, 1), 12).await.unwrap();
    assert!(fetched(&nothing).is_empty() && began.elapsed() >= short);
    let too_few = filled.wire.call(&filled.fetch(0, short, 1 << 20), 12).await.unwrap();
    assert!(!fetched(&too_few).is_empty(), "what there is comes when the wait is over");

    let mut other = Wire::open(&filled.broker).await;
    let next = filled.request(batch(None, &[b"d"]));
    let parked = filled.fetch(3, long, 1);
    let (answer, written) = tokio::join!(filled.wire.call(&parked, 12), async {
        // The fetch is on its way first; whichever arrives first, the answer has the record.
        tokio::task::yield_now().await;
        produced(other.call(&next, 9).await.unwrap())
    });
    assert_eq!(written, Ok(3));
    assert!(!fetched(&answer.unwrap()).is_empty());
    assert!(began.elapsed() < long);
}

#[tokio::test]
async fn a_fetch_that_has_nothing_to_wait_for_is_answered_at_once() {
    let mut filled = Filled::new().await;
    let (long, began) = (Duration::from_secs(30), Instant::now());
    let empty = filled.fetch(3, long, 1).with_topics(Vec::new());
    assert!(filled.wire.call(&empty, 12).await.unwrap().responses.is_empty());
    let error = |answer: FetchResponse| answer.responses[0].partitions[0].error_code;
    let beyond = filled.wire.call(&filled.fetch(4, long, 1), 12).await.unwrap();
    let partition = &beyond.responses[0].partitions[0];
    assert_eq!((partition.high_watermark, partition.log_start_offset), (-1, -1), "offsets do not come with an error");
    assert_eq!(error(beyond), ResponseError::OffsetOutOfRange.code());
    let session = filled.fetch(0, long, 1).with_session_id(5).with_session_epoch(3);
    let answer = filled.wire.call(&session, 12).await.unwrap();
    assert_eq!(answer.error_code, ResponseError::FetchSessionIdNotFound.code());
    let mut epoch = filled.fetch(3, long, 1);
    epoch.topics[0].partitions[0].current_leader_epoch = 9;
    assert_eq!(error(filled.wire.call(&epoch, 12).await.unwrap()), ResponseError::UnknownLeaderEpoch.code());
    assert!(began.elapsed() < long);
}

#[tokio::test]
async fn the_first_batch_comes_however_large_it_is_and_no_second_past_the_limit() {
    let mut filled = Filled::new().await;
    filled.produce(batch(None, &[b"d"]), 9).await.unwrap();
    let (wait, mut limited) = (Duration::ZERO, filled.fetch(0, Duration::ZERO, 1));
    let all = fetched(&filled.wire.call(&filled.fetch(0, wait, 1), 12).await.unwrap()).len();
    limited.max_bytes = 1;
    let first = fetched(&filled.wire.call(&limited, 12).await.unwrap()).len();
    assert!(first > 1 && first < all, "{first} of {all}");
    limited.max_bytes = 1 << 20;
    limited.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(fetched(&filled.wire.call(&limited, 12).await.unwrap()).len(), first);
}

#[tokio::test]
async fn a_time_leads_to_the_first_record_of_that_time_or_later() {
    let mut filled = Filled::new().await;
    // The batch's records are of 1000, 1001 and 1002.
    for (asked, expected) in [(0, (0, 1000)), (1001, (1, 1001)), (1003, (-1, -1)), (-3, (2, 1002)), (-1, (3, -1))] {
        let partition = ListOffsetsPartition::default().with_timestamp(asked);
        let topic = ListOffsetsTopic::default().with_name(filled.orders()).with_partitions(vec![partition]);
        let answer = filled.wire.call(&ListOffsetsRequest::default().with_topics(vec![topic]), 8).await.unwrap();
        let found = &answer.topics[0].partitions[0];
        assert_eq!((found.offset, found.timestamp), expected, "for {asked}");
    }
}

#[tokio::test]
async fn records_are_deleted_up_to_an_offset_within_the_log() {
    let mut filled = Filled::new().await;
    let out_of_range = ResponseError::OffsetOutOfRange.code();
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    for (partition, offset, expected) in [
        (0, 4, (out_of_range, -1)),
        (0, -2, (out_of_range, -1)),
        (0, 2, (0, 2)),
        (0, 1, (0, 2)),
        (9, 0, (unknown, -1)),
        (0, -1, (0, 3)),
    ] {
        let asked = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(filled.orders()).with_partitions(vec![asked]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        let answer = filled.wire.call(&request, 2).await.unwrap().topics.remove(0).partitions.remove(0);
        assert_eq!((answer.error_code, answer.low_watermark), expected, "partition {partition} offset {offset}");
    }
    let gone = filled.wire.call(&filled.fetch(2, Duration::ZERO, 1), 12).await.unwrap();
    assert_eq!(gone.responses[0].partitions[0].error_code, out_of_range);
}

#[tokio::test]
async fn the_one_epoch_ends_where_the_log_ends_and_others_are_told_apart() {
    let mut filled = Filled::new().await;
    let (fenced, unknown) = (ResponseError::FencedLeaderEpoch.code(), ResponseError::UnknownLeaderEpoch.code());
    for (current, asked, expected) in [
        (-1, 0, (0, 0, 3)),
        (0, 0, (0, 0, 3)),
        (0, 5, (0, -1, -1)),
        (-1, -1, (0, -1, -1)),
        (3, 0, (unknown, -1, -1)),
        (-2, 0, (fenced, -1, -1)),
    ] {
        let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(current).with_leader_epoch(asked);
        let topic = OffsetForLeaderTopic::default().with_topic(filled.orders()).with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let answer = filled.wire.call(&request, 4).await.unwrap().topics.remove(0).partitions.remove(0);
        let answered = (answer.error_code, answer.leader_epoch, answer.end_offset);
        assert_eq!(answered, expected, "epoch {asked}, believing in {current}");
    }
}
