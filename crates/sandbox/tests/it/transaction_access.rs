//! What `tf/access.json` lets fulfillment-service do in a transaction, and nothing else.
//!
//! It runs on a Kafka that has the same rules as ACLs (`scripts/acls`) too.

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use sandbox::{Sandbox, TopicSpec};

use crate::wire::{Ability, Wire, sandbox_with};

const ORDERS: &str = "grocery.orders.v1";
const LISTS: &str = "grocery.picklist.v1";
const OWN: &str = "fulfillment-service-7";
const OWN_GROUP: &str = "fulfillment-service-group";
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const OPERATION_NOT_ATTEMPTED: i16 = 55;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

/// A connection that is logged in as fulfillment-service.
async fn fulfillment_service() -> (Sandbox, Wire) {
    let sandbox = sandbox_with(|config| {
        let topic = |name: &str| TopicSpec { name: name.to_owned(), partitions: 3, settings: Vec::new() };
        config.topics = vec![topic(ORDERS), topic(LISTS)];
    })
    .await;
    let wire = Wire::log_in(&sandbox, "fulfillment-service").await;
    (sandbox, wire)
}

/// Takes a transactional id over, once its coordinator is there and the transaction before is over.
async fn initialize(wire: &mut Wire, transactional_id: &str) -> Result<(ProducerId, i16), i16> {
    const NOT_YET: [i16; 4] = [14, 15, 16, 51];
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id(transactional_id)))
        .with_transaction_timeout_ms(60_000);
    loop {
        let find = FindCoordinatorRequest::default().with_key_type(1).with_key(text(transactional_id));
        wire.call(&find, 3).await.unwrap();
        let answer = wire.call(&request, 5).await.unwrap();
        match answer.error_code {
            0 => return Ok((answer.producer_id, answer.producer_epoch)),
            error if !NOT_YET.contains(&error) => return Err(error),
            _ => {}
        }
    }
}

#[tokio::test]
async fn fulfillment_service_has_transactions_of_its_own_for_its_own_work() {
    if !Ability::TransactionsOfVersion2.is_there().await {
        return;
    }
    let (_sandbox, mut wire) = fulfillment_service().await;
    let refused = TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    assert_eq!(initialize(&mut wire, "order-producer-7").await, Err(refused));
    let (producer, epoch) = initialize(&mut wire, OWN).await.unwrap();

    let topic =
        |name: &str| AddPartitionsToTxnTopic::default().with_name(TopicName(text(name))).with_partitions(vec![0]);
    let add = |topics| {
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id(OWN))
            .with_v3_and_below_producer_id(producer)
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(topics)
    };
    let answer = wire.call(&add(vec![topic(LISTS), topic(ORDERS)]), 3).await.unwrap();
    let errors = answer
        .results_by_topic_v3_and_below
        .iter()
        .map(|topic| (topic.name.0.to_string(), topic.results_by_partition[0].partition_error_code));
    let mut errors: Vec<_> = errors.collect();
    errors.sort();
    let wanted = [(ORDERS.to_owned(), TOPIC_AUTHORIZATION_FAILED), (LISTS.to_owned(), OPERATION_NOT_ATTEMPTED)];
    assert_eq!(errors, wanted);
    let answer = wire.call(&add(vec![topic(LISTS)]), 3).await.unwrap();
    assert_eq!(answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(id(OWN))
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
        .with_topics(vec![topic(LISTS)]);
    let of_brokers = AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]);
    assert_eq!(wire.call(&of_brokers, 4).await.unwrap().error_code, CLUSTER_AUTHORIZATION_FAILED);

    let offsets = |group: &str| {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(id(OWN))
            .with_producer_id(producer)
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(text(group)))
    };
    let error = wire.call(&offsets("picklist-consumer-group"), 4).await.unwrap().error_code;
    assert_eq!(error, GROUP_AUTHORIZATION_FAILED);
    assert_eq!(wire.call(&offsets(OWN_GROUP), 4).await.unwrap().error_code, 0);

    let partition =
        || TxnOffsetCommitRequestPartition::default().with_committed_offset(1).with_committed_leader_epoch(-1);
    let topic = |name: &str| {
        TxnOffsetCommitRequestTopic::default().with_name(TopicName(text(name))).with_partitions(vec![partition()])
    };
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(id(OWN))
        .with_group_id(GroupId(text(OWN_GROUP)))
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
        .with_topics(vec![topic(ORDERS), topic(LISTS)]);
    let answer = wire.call(&commit, 5).await.unwrap();
    let mut errors: Vec<_> =
        answer.topics.iter().map(|topic| (topic.name.0.to_string(), topic.partitions[0].error_code)).collect();
    errors.sort();
    assert_eq!(errors, [(ORDERS.to_owned(), 0), (LISTS.to_owned(), TOPIC_AUTHORIZATION_FAILED)]);
    let foreign = commit.clone().with_transactional_id(id("order-producer-7"));
    assert_eq!(wire.call(&foreign, 5).await.unwrap().topics[0].partitions[0].error_code, refused);

    let end = EndTxnRequest::default().with_transactional_id(id(OWN)).with_producer_id(producer);
    let end = end.with_producer_epoch(epoch).with_committed(false);
    assert_eq!(
        wire.call(&end.clone().with_transactional_id(id("order-producer-7")), 5).await.unwrap().error_code,
        refused
    );
    assert_eq!(wire.call(&end, 5).await.unwrap().error_code, 0);
    let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id(OWN), id("order-producer-7")]);
    let answer = wire.call(&describe, 0).await.unwrap();
    let errors: Vec<_> = answer.transaction_states.iter().map(|state| state.error_code).collect();
    assert_eq!(errors, [0, refused]);
}
