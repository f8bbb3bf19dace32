//! Transactions on the wire: who may write, what readers see, and what is answered to whom.

use std::time::{Duration, Instant};

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::payments::{Payments, transactional};
use crate::wire::{Ability, Broker, Wire, batch};

const COMMIT: bool = true;
const ABORT: bool = false;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTION_ABORTABLE: i16 = 120;
/// Base offset, attributes and the rest after the header of each batch.
fn batches(mut bytes: &[u8]) -> Vec<(i64, i16, &[u8])> {
    let mut batches = Vec::new();
    while let Some((length, _)) = bytes.get(8..).and_then(|rest| rest.split_first_chunk::<4>()) {
        let (batch, rest) = bytes.split_at(12 + u32::from_be_bytes(*length) as usize);
        let base_offset = i64::from_be_bytes(batch[..8].try_into().unwrap());
        batches.push((base_offset, i16::from_be_bytes(batch[21..23].try_into().unwrap()), &batch[61..]));
        bytes = rest;
    }
    batches
}

/// A marker's record: no key but a version and what it ends in, no value but a version and the coordinator's epoch.
fn marker(kind: u8) -> [u8; 17] {
    [32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 0, 0]
}

#[tokio::test]
async fn records_are_committed_when_the_marker_is_written() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    payments.produce(b"one", 12).await;
    let early = payments.read(0, 1).await;
    assert_eq!((early.high_watermark, early.last_stable_offset), (1, 0));
    assert_eq!((early.records.unwrap().len(), early.aborted_transactions), (0, Some(Vec::new())));
    let uncommitted = payments.read(0, 0).await;
    assert_eq!((uncommitted.last_stable_offset, uncommitted.aborted_transactions), (0, None));
    assert_eq!(batches(&uncommitted.records.unwrap()).len(), 1);

    payments.end(COMMIT).await;
    let data = payments.read_stable(2).await;
    let records = data.records.unwrap();
    let seen = batches(&records);
    assert_eq!(
        seen.iter().map(|(offset, attributes, _)| (*offset, *attributes)).collect::<Vec<_>>(),
        [(0, 16), (1, 48)]
    );
    assert_eq!(seen[1].2, marker(1));
    broker.shutdown().await;
}

#[tokio::test]
async fn an_aborted_transaction_is_named_to_readers_of_committed_records() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    payments.produce(b"one", 12).await;
    payments.end(ABORT).await;
    payments.produce(b"two", 12).await;
    payments.end(COMMIT).await;
    let data = payments.read_stable(4).await;
    let aborted: Vec<_> =
        data.aborted_transactions.unwrap().iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect();
    assert_eq!(aborted, [(payments.producer, 0)]);
    let records = data.records.unwrap();
    let seen = batches(&records);
    assert_eq!((seen.len(), seen[1].2, seen[3].2), (4, marker(0).as_slice(), marker(1).as_slice()));
    assert_eq!(payments.read(2, 1).await.aborted_transactions, Some(Vec::new()), "it lies before");
    broker.shutdown().await;
}

#[tokio::test]
async fn the_end_of_a_transaction_wakes_readers_of_committed_records_and_moves_their_end() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    payments.produce(b"one", 12).await;
    let orders = TopicName(StrBytes::from_string(broker.orders.clone()));
    let latest = |isolation_level| {
        let partition = ListOffsetsPartition::default().with_timestamp(-1);
        let topic = ListOffsetsTopic::default().with_name(orders.clone()).with_partitions(vec![partition]);
        // Any other number is a broker, which sees everything.
        let client = ListOffsetsRequest::default().with_replica_id(BrokerId(-1));
        client.with_isolation_level(isolation_level).with_topics(vec![topic])
    };
    let first = {
        let mut request = latest(1);
        request.topics[0].partitions[0].timestamp = 0;
        request
    };
    let offset = |answer: ListOffsetsResponse| answer.topics[0].partitions[0].offset;
    assert_eq!(offset(payments.wire.call(&latest(0), 7).await.unwrap()), 1);
    assert_eq!(offset(payments.wire.call(&latest(1), 7).await.unwrap()), 0);
    assert_eq!(offset(payments.wire.call(&first, 7).await.unwrap()), -1, "no record is committed");

    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(orders.clone()).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_isolation_level(1)
        .with_min_bytes(1)
        .with_max_wait_ms(30_000)
        .with_topics(vec![topic]);
    let mut reader = Wire::open(&broker).await;
    let started = Instant::now();
    let (data, ()) = tokio::join!(reader.call(&request, 12), payments.end(COMMIT));
    assert!(started.elapsed() < Duration::from_secs(20), "the marker woke it");
    let data = &data.unwrap().responses[0].partitions[0];
    assert_eq!((data.last_stable_offset, batches(data.records.as_ref().unwrap()).len()), (2, 2));
    assert_eq!(offset(payments.wire.call(&latest(1), 7).await.unwrap()), 2);
    assert_eq!(offset(payments.wire.call(&first, 7).await.unwrap()), 0);
    broker.shutdown().await;
}

#[tokio::test]
async fn whoever_comes_later_fences_whoever_was_there() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    payments.produce(b"one", 12).await;
    assert_eq!(payments.try_initialize(None, 5).await, (CONCURRENT_TRANSACTIONS, -1, -1));
    let later = loop {
        let answer = payments.try_initialize(None, 5).await;
        if answer.0 != CONCURRENT_TRANSACTIONS {
            break answer;
        }
    };
    // One epoch for the end of its transaction, and one for the newcomer.
    assert_eq!(later, (0, payments.producer.0, payments.epoch + 2));
    assert_eq!(payments.try_produce(b"two", 12).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(payments.try_produce(b"two", 11).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(payments.try_add(1).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(payments.try_add(3).await, PRODUCER_FENCED);
    let epoch = payments.epoch;
    assert_eq!(payments.try_end(epoch, COMMIT, 1).await.0, INVALID_PRODUCER_EPOCH);
    assert_eq!(payments.try_end(epoch, COMMIT, 5).await, (PRODUCER_FENCED, -1, -1));
    let data = payments.read_stable(2).await;
    assert_eq!(data.aborted_transactions.unwrap().len(), 1);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_producer_that_says_who_it_is_keeps_its_place() {
    let broker = Broker::start().await;
    let mut payments = Payments::start(&broker).await;
    let (producer, first) = (payments.producer, payments.epoch);
    assert_eq!(payments.try_initialize(Some((producer, first)), 4).await, (0, producer.0, first + 1));
    assert_eq!(payments.try_initialize(Some((producer, first)), 4).await, (0, producer.0, first + 1), "a retry");
    assert_eq!(payments.try_initialize(Some((producer, first + 1)), 4).await, (0, producer.0, first + 2));
    assert_eq!(payments.try_initialize(Some((producer, first)), 4).await, (PRODUCER_FENCED, -1, -1));
    assert_eq!(payments.try_initialize(Some((producer, first)), 3).await, (INVALID_PRODUCER_EPOCH, -1, -1));
    let stranger = ProducerId(producer.0 + 1_000_000);
    assert_eq!(payments.try_initialize(Some((stranger, first)), 4).await, (PRODUCER_FENCED, -1, -1));
    assert_eq!(payments.try_initialize(Some((producer, -1)), 4).await.0, 42);
    assert_eq!(payments.try_initialize(None, 4).await, (0, producer.0, first + 3));
    assert_eq!(payments.try_initialize(Some((producer, first + 2)), 4).await.0, PRODUCER_FENCED, "no retry any more");
    broker.shutdown().await;
}

#[tokio::test]
async fn in_version_2_each_end_bumps_the_epoch_and_a_retry_names_the_one_before() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    let (producer, epoch) = (payments.producer.0, payments.epoch);
    // Empty
    assert_eq!(payments.try_end(epoch, COMMIT, 5).await.0, INVALID_TXN_STATE);
    assert_eq!(payments.try_end(epoch - 1, ABORT, 5).await.0, PRODUCER_FENCED);
    assert_eq!(payments.try_end(epoch, ABORT, 5).await, (0, producer, epoch + 1));
    // CompleteAbort
    assert_eq!(payments.end_at_last(epoch, ABORT, 5).await, (0, producer, epoch + 1));
    assert_eq!(payments.try_end(epoch, COMMIT, 5).await.0, INVALID_TXN_STATE);
    assert_eq!(payments.try_end(epoch + 1, COMMIT, 5).await.0, INVALID_TXN_STATE);
    assert_eq!(payments.try_end(epoch + 2, ABORT, 5).await.0, PRODUCER_FENCED);
    assert_eq!(payments.try_end(epoch + 1, ABORT, 5).await, (0, producer, epoch + 2));
    payments.end_at_last(epoch + 1, ABORT, 5).await;
    // Ongoing
    payments.epoch = epoch + 2;
    payments.produce(b"one", 12).await;
    assert_eq!(payments.try_end(epoch + 1, COMMIT, 5).await.0, PRODUCER_FENCED);
    payments.end(COMMIT).await;
    // CompleteCommit
    assert_eq!(payments.end_at_last(epoch + 2, COMMIT, 5).await, (0, producer, epoch + 3));
    assert_eq!(payments.try_end(epoch + 2, ABORT, 5).await.0, INVALID_TXN_STATE);
    assert_eq!(payments.try_end(epoch + 3, COMMIT, 5).await.0, INVALID_TXN_STATE);
    assert_eq!(payments.try_end(epoch + 3, ABORT, 5).await, (0, producer, epoch + 4));
    // Until that is complete, whoever asks is told to come again.
    payments.end_at_last(epoch + 3, ABORT, 5).await;
    payments.producer = ProducerId(producer + 1_000_000);
    assert_eq!(payments.try_end(epoch + 4, ABORT, 5).await.0, INVALID_PRODUCER_ID_MAPPING);
    broker.shutdown().await;
}

#[tokio::test]
async fn in_version_1_the_epoch_stays_and_a_retry_is_the_same_again() {
    let broker = Broker::start().await;
    let mut payments = Payments::start(&broker).await;
    let epoch = payments.epoch;
    assert_eq!(payments.try_end(epoch, ABORT, 4).await.0, INVALID_TXN_STATE);
    for committed in [COMMIT, ABORT, COMMIT] {
        payments.add().await;
        payments.produce(b"one", 11).await;
        assert_eq!(payments.try_end(epoch + 1, committed, 4).await.0, PRODUCER_FENCED);
        assert_eq!(payments.try_end(epoch, committed, 4).await, (0, -1, -1));
        assert_eq!(payments.end_at_last(epoch, committed, 4).await, (0, -1, -1));
        assert_eq!(payments.end_at_last(epoch, !committed, 4).await.0, INVALID_TXN_STATE);
    }
    let data = payments.read_stable(6).await;
    let records = data.records.unwrap();
    let kinds: Vec<_> = batches(&records).iter().map(|(_, attributes, _)| *attributes).collect();
    assert_eq!(kinds, [16, 48, 16, 48, 16, 48]);
    assert_eq!(data.aborted_transactions.unwrap()[0].first_offset, 2);
    broker.shutdown().await;
}

#[tokio::test]
async fn before_version_12_a_partition_must_have_been_added() {
    let broker = Broker::start().await;
    let mut payments = Payments::start(&broker).await;
    assert_eq!(payments.try_produce(b"one", 10).await, INVALID_TXN_STATE);
    assert_eq!(payments.try_produce(b"one", 11).await, TRANSACTION_ABORTABLE);
    payments.add().await;
    payments.produce(b"one", 11).await;
    // The sequence is checked as always.
    payments.sequence = 5;
    assert_eq!(payments.try_produce(b"two", 11).await, 45);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_producer_that_is_unknown_or_out_of_place_is_refused() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    let (id, producer) = (payments.id.clone(), payments.producer);
    payments.sequence = 3;
    assert_eq!(payments.try_produce(b"one", 12).await, 45, "its first batch here");
    payments.sequence = 0;
    payments.epoch += 1;
    assert_eq!(payments.try_produce(b"one", 12).await, INVALID_PRODUCER_EPOCH, "an epoch that nobody was given");
    payments.epoch -= 1;
    payments.producer = ProducerId(producer.0 + 1_000_000);
    assert_eq!(payments.try_produce(b"one", 12).await, INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(payments.try_produce(b"one", 11).await, INVALID_PRODUCER_ID_MAPPING);
    payments.id = TransactionalId(StrBytes::from_static_str("nobody"));
    assert_eq!(payments.try_produce(b"one", 12).await, INVALID_PRODUCER_ID_MAPPING);
    payments.id = TransactionalId(StrBytes::new());
    assert_eq!(payments.try_initialize(None, 4).await.0, 42);
    assert_eq!(payments.try_end(0, ABORT, 5).await.0, 42);
    (payments.id, payments.producer) = (id, producer);

    let records = transactional(batch(Some((producer.0, payments.epoch, 0)), &[b"one"]));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(broker.orders.clone())))
        .with_partition_data(vec![PartitionProduceData::default().with_records(Some(records))]);
    let anonymous = ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic]);
    let answer = payments.wire.call(&anonymous, 12).await.unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_may_come_back() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    payments.timeout_ms = 100;
    let old = (payments.producer, payments.epoch + 1);
    assert_eq!(payments.try_initialize(None, 5).await, (0, old.0.0, old.1));
    payments.epoch = old.1;
    payments.produce(b"one", 12).await;
    // Kafka looks for such transactions every ten seconds.
    let data = payments.read_stable(2).await;
    assert_eq!(data.aborted_transactions.unwrap()[0].producer_id, old.0);
    assert_eq!(payments.try_produce(b"two", 12).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(payments.try_end(old.1, COMMIT, 5).await.0, INVALID_TXN_STATE, "a retry of what was an abort");
    assert_eq!(payments.try_initialize(Some(old), 5).await, (0, old.0.0, old.1 + 1));
    broker.shutdown().await;
}

#[tokio::test]
async fn what_is_going_on_is_told() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut payments = Payments::start(&broker).await;
    let orders = TopicName(StrBytes::from_string(broker.orders.clone()));
    let topic = TopicRequest::default().with_name(orders.clone()).with_partition_indexes(vec![0]);
    let producers = DescribeProducersRequest::default().with_topics(vec![topic]);
    let transactions = DescribeTransactionsRequest::default().with_transactional_ids(vec![payments.id.clone()]);
    payments.produce(b"one", 12).await;
    payments.produce(b"two", 12).await;

    let answer = payments.wire.call(&producers, 0).await.unwrap();
    let seen = &answer.topics[0].partitions[0].active_producers[0];
    let epoch = i32::from(payments.epoch);
    assert_eq!((seen.producer_id, seen.producer_epoch), (payments.producer, epoch));
    assert_eq!((seen.last_sequence, seen.coordinator_epoch, seen.current_txn_start_offset), (1, -1, 0));
    let answer = payments.wire.call(&transactions, 0).await.unwrap();
    let seen = &answer.transaction_states[0];
    assert_eq!((&*seen.transaction_state, seen.producer_epoch), ("Ongoing", payments.epoch));
    assert_eq!((&seen.topics[0].topic, &seen.topics[0].partitions), (&orders, &vec![0]));
    assert!(seen.transaction_start_time_ms > 0 && seen.transaction_timeout_ms == 60_000);

    payments.end(ABORT).await;
    payments.read_stable(3).await;
    let answer = payments.wire.call(&producers, 0).await.unwrap();
    let seen = &answer.topics[0].partitions[0].active_producers[0];
    assert_eq!((seen.producer_epoch, seen.last_sequence), (epoch + 1, -1));
    assert_eq!((seen.coordinator_epoch, seen.current_txn_start_offset), (0, -1));
    loop {
        let answer = payments.wire.call(&transactions, 0).await.unwrap();
        let seen = &answer.transaction_states[0];
        if &*seen.transaction_state == "CompleteAbort" {
            assert!(seen.topics.is_empty());
            break;
        }
    }
    let listed = payments.wire.call(&ListTransactionsRequest::default(), 0).await.unwrap();
    assert!(listed.transaction_states.iter().any(|listed| listed.transactional_id == payments.id));
    let named = |pattern: &str| {
        ListTransactionsRequest::default()
            .with_transactional_id_pattern(Some(StrBytes::from_string(pattern.to_owned())))
    };
    let listed = payments.wire.call(&named(&payments.id.0), 2).await.unwrap();
    assert_eq!(listed.transaction_states.len(), 1);
    let listed = payments.wire.call(&named("[a-z"), 2).await.unwrap();
    assert_eq!((listed.error_code, listed.transaction_states.len()), (128, 0));
    broker.shutdown().await;
}

#[tokio::test]
async fn clients_are_told_which_version_of_transactions_the_cluster_has() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut wire = Wire::open(&broker).await;
    let software = |text| StrBytes::from_static_str(text);
    let request = ApiVersionsRequest::default()
        .with_client_software_name(software("a-client"))
        .with_client_software_version(software("1.0"));
    for version in [3, 4] {
        let answer = wire.call(&request, version).await.unwrap();
        assert!(answer.finalized_features_epoch >= 0);
        let level = |name: &str| {
            let mut features = answer.finalized_features.iter();
            features.find(|feature| &*feature.name == name).map(|feature| feature.max_version_level)
        };
        assert_eq!(level("transaction.version"), Some(2));
        let supported = answer.supported_features.iter().any(|feature| &*feature.name == "transaction.version");
        assert_eq!(supported, version >= 4, "one that may be off is kept from older clients");
    }
    broker.shutdown().await;
}
