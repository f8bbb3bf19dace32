//! A transactional producer, in requests.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Broker, Wire, batch};

const CONCURRENT_TRANSACTIONS: i16 = 51;
/// What a broker answers while the markers of the transaction before are on their way: to producers of before version 12, and to others.
const NOT_YET: [i16; 3] = [19, CONCURRENT_TRANSACTIONS, 14];

/// The same batch as one of a transaction, and of now: Kafka begins a new segment where a marker is that much younger.
pub(crate) fn transactional(batch: Bytes) -> Bytes {
    let mut bytes = BytesMut::from(batch.as_ref());
    bytes[22] |= 0b1_0000;
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    bytes[27..35].copy_from_slice(&now_ms.to_be_bytes());
    bytes[35..43].copy_from_slice(&now_ms.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// A transactional producer, in requests.
pub(crate) struct Payments<'a> {
    broker: &'a Broker,
    pub(crate) wire: Wire,
    pub(crate) id: TransactionalId,
    pub(crate) producer: ProducerId,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
    pub(crate) timeout_ms: i32,
}

impl<'a> Payments<'a> {
    pub(crate) async fn start(broker: &'a Broker) -> Self {
        let name = format!("payments-{}", broker.run);
        let (producer, epoch) = broker.payments;
        let id = TransactionalId(StrBytes::from_string(name));
        Self { broker, wire: Wire::open(broker).await, id, producer, epoch, sequence: 0, timeout_ms: 60_000 }
    }

    /// Writes one record, and says which error came back.
    pub(crate) async fn try_produce(&mut self, value: &[u8], version: i16) -> i16 {
        let records = transactional(batch(Some((self.producer.0, self.epoch, self.sequence)), &[value]));
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(self.broker.orders.clone())))
            .with_partition_data(vec![PartitionProduceData::default().with_records(Some(records))]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let answer = self.wire.call(&request, version).await.unwrap();
        answer.responses[0].partition_responses[0].error_code
    }

    /// Writes one record, when the transaction before is over.
    pub(crate) async fn produce(&mut self, value: &[u8], version: i16) {
        loop {
            let error = self.try_produce(value, version).await;
            if !NOT_YET.contains(&error) {
                assert_eq!(error, 0);
                self.sequence += 1;
                return;
            }
        }
    }

    pub(crate) async fn try_add(&mut self, version: i16) -> i16 {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(StrBytes::from_string(self.broker.orders.clone())))
            .with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone())
            .with_v3_and_below_producer_id(self.producer)
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let answer = self.wire.call(&request, version).await.unwrap();
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    pub(crate) async fn add(&mut self) {
        loop {
            match self.try_add(3).await {
                0 => return,
                error => assert!(NOT_YET.contains(&error), "{error}"),
            }
        }
    }

    /// One EndTxn: the error, and the producer id and epoch that come with it.
    pub(crate) async fn try_end(&mut self, epoch: i16, committed: bool, version: i16) -> (i16, i64, i16) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(self.producer)
            .with_producer_epoch(epoch)
            .with_committed(committed);
        let answer = self.wire.call(&request, version).await.unwrap();
        (answer.error_code, answer.producer_id.0, answer.producer_epoch)
    }

    /// The same, and once more as long as the end of the transaction before is under way.
    pub(crate) async fn end_at_last(&mut self, epoch: i16, committed: bool, version: i16) -> (i16, i64, i16) {
        loop {
            let answer = self.try_end(epoch, committed, version).await;
            if answer.0 != CONCURRENT_TRANSACTIONS {
                return answer;
            }
        }
    }

    /// Ends the transaction and takes over the epoch that the broker gives.
    pub(crate) async fn end(&mut self, committed: bool) {
        let (error, producer, epoch) = self.try_end(self.epoch, committed, 5).await;
        assert_eq!((error, producer, epoch), (0, self.producer.0, self.epoch + 1));
        (self.epoch, self.sequence) = (epoch, 0);
    }

    /// One InitProducerId that names `given` as what the producer has been.
    pub(crate) async fn try_initialize(&mut self, given: Option<(ProducerId, i16)>, version: i16) -> (i16, i64, i16) {
        let (producer, epoch) = given.unwrap_or((ProducerId(-1), -1));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_transaction_timeout_ms(self.timeout_ms)
            .with_producer_id(producer)
            .with_producer_epoch(epoch);
        let answer = self.wire.call(&request, version).await.unwrap();
        (answer.error_code, answer.producer_id.0, answer.producer_epoch)
    }

    pub(crate) async fn read(&mut self, offset: i64, isolation_level: i8) -> PartitionData {
        let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_string(self.broker.orders.clone())))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_isolation_level(isolation_level)
            .with_topics(vec![topic]);
        let mut answer = self.wire.call(&request, 12).await.unwrap();
        answer.responses.remove(0).partitions.remove(0)
    }

    /// Reads committed records from the beginning, once everything up to `end` is decided.
    pub(crate) async fn read_stable(&mut self, end: i64) -> PartitionData {
        loop {
            let data = self.read(0, 1).await;
            if data.last_stable_offset == end {
                return data;
            }
        }
    }
}
