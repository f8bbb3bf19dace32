//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId,
};

use super::super::Broker;
use super::super::groups::{OFFSETS_TOPIC, offsets_partition};
use super::Caller;
use crate::access::{Operation, ResourceKind};
use crate::transactions::{Outcome, Producer, Protocol, TopicPartition};

/// Later clients are told PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH: by InitProducerId from here on.
const FIRST_INIT_WITH_FENCED: i16 = 4;
/// The same, by the others.
const FIRST_VERSION_WITH_FENCED: i16 = 2;
/// From here on AddPartitionsToTxn is what brokers ask each other.
const FIRST_ADD_OF_BROKERS: i16 = 4;
/// From here on EndTxn bumps the epoch (KIP-890).
const FIRST_END_WITH_BUMP: i16 = 5;

fn may_write(broker: &Broker, caller: &Caller<'_>, transactional_id: &str) -> Result<(), ResponseError> {
    if broker.allows(&caller.principal, ResourceKind::TransactionalId, transactional_id, Operation::Write) {
        Ok(())
    } else {
        Err(ResponseError::TransactionalIdAuthorizationFailed)
    }
}

/// What the coordinator says, in words that a client of this version knows.
fn known_error(error: ResponseError, version: i16, first_with_fenced: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < first_with_fenced => ResponseError::InvalidProducerEpoch,
        other => other,
    }
}

/// InitProducerId, for idempotent and for transactional producers.
pub(super) fn init_producer_id(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &InitProducerIdRequest,
    version: i16,
) -> InitProducerIdResponse {
    let given = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => Ok(None),
        (-1, _) | (_, -1) => Err(ResponseError::InvalidRequest),
        (id, epoch) => Ok(Some(Producer { id, epoch })),
    };
    let initialized = match &request.transactional_id {
        None if !broker.allows_idempotent_write(&caller.principal) => Err(ResponseError::ClusterAuthorizationFailed),
        None => given.map(|_| {
            broker.transactions.with(|coordinator, _| Producer { id: coordinator.new_producer_id(), epoch: 0 })
        }),
        Some(id) => may_write(broker, caller, &id.0).and(given).and_then(|given| {
            let timeout_ms = request.transaction_timeout_ms;
            broker.transactions.with(|coordinator, now_ms| coordinator.init(&id.0, timeout_ms, given, now_ms))
        }),
    };
    let producer = initialized.unwrap_or(Producer::NONE);
    let error = initialized.err().map(|error| known_error(error, version, FIRST_INIT_WITH_FENCED));
    InitProducerIdResponse::default()
        .with_error_code(error.map_or(0, |error| error.code()))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

/// AddPartitionsToTxn: of a client, or of a broker for several.
pub(super) fn add_partitions(
    broker: &Broker,
    caller: &Caller<'_>,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    if version < FIRST_ADD_OF_BROKERS {
        let asked = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        let results = add_to_one(broker, caller, asked, version);
        return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
    }
    // Nobody but a broker may ask this, which no rule can make of a client.
    if !caller.principal.is_super_user {
        let refused = ResponseError::ClusterAuthorizationFailed;
        return AddPartitionsToTxnResponse::default().with_error_code(refused.code());
    }
    let results = request.transactions.into_iter().map(|asked| {
        let result = AddPartitionsToTxnResult::default().with_transactional_id(asked.transactional_id.clone());
        result.with_topic_results(add_to_one(broker, caller, asked, version))
    });
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect())
}

fn add_to_one(
    broker: &Broker,
    caller: &Caller<'_>,
    asked: AddPartitionsToTxnTransaction,
    version: i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let id = &asked.transactional_id.0;
    let producer = Producer { id: asked.producer_id.0, epoch: asked.producer_epoch };
    let refused = may_write(broker, caller, id).err();
    let judge = |topic: &AddPartitionsToTxnTopic, index: i32| {
        if version < FIRST_ADD_OF_BROKERS
            && !broker.allows(&caller.principal, ResourceKind::Topic, &topic.name.0, Operation::Write)
        {
            return Err(ResponseError::TopicAuthorizationFailed);
        }
        let found = broker.topics.get(&topic.name.0).filter(|topic| topic.partition(index).is_some());
        found.map(|topic| (Arc::clone(&topic.name), index)).ok_or(ResponseError::UnknownTopicOrPartition)
    };
    let judged: Vec<Vec<(i32, Result<TopicPartition, ResponseError>)>> = match refused {
        Some(error) => asked
            .topics
            .iter()
            .map(|topic| topic.partitions.iter().map(|index| (*index, Err(error))).collect())
            .collect(),
        None => asked
            .topics
            .iter()
            .map(|topic| topic.partitions.iter().map(|index| (*index, judge(topic, *index))).collect())
            .collect(),
    };
    let all_good = judged.iter().flatten().all(|(_, judged)| judged.is_ok());
    let places = || judged.iter().flatten().filter_map(|(_, judged)| judged.clone().ok());
    let added: Vec<Result<(), ResponseError>> = broker.transactions.with(|coordinator, now_ms| {
        if !all_good {
            // One bad partition keeps the others from being added.
            return places().map(|_| Err(ResponseError::OperationNotAttempted)).collect();
        }
        if asked.verify_only {
            return places().map(|place| coordinator.verify(id, producer, &place)).collect();
        }
        let protocol = if version < FIRST_ADD_OF_BROKERS { Protocol::V1 } else { Protocol::V2 };
        let added = coordinator.add(id, producer, places(), protocol, now_ms);
        places().map(|_| added).collect()
    });
    let mut added = added.into_iter();
    asked
        .topics
        .iter()
        .zip(&judged)
        .map(|(topic, judged)| {
            let results = judged.iter().map(|(index, judged)| {
                let error = match judged {
                    Err(error) => Some(*error),
                    Ok(_) => added.next().and_then(Result::err),
                };
                let error = error.map(|error| known_error(error, version, FIRST_VERSION_WITH_FENCED));
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(error.map_or(0, |error| error.code()))
            });
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(results.collect())
        })
        .collect()
}

/// AddOffsetsToTxn: the partition that the group's offsets are in.
pub(super) fn add_offsets(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &AddOffsetsToTxnRequest,
    version: i16,
) -> AddOffsetsToTxnResponse {
    let (id, group) = (&request.transactional_id.0, &request.group_id.0);
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let added = may_write(broker, caller, id).and_then(|()| {
        if !broker.allows(&caller.principal, ResourceKind::Group, group, Operation::Read) {
            return Err(ResponseError::GroupAuthorizationFailed);
        }
        let offsets = (Arc::from(OFFSETS_TOPIC), offsets_partition(group));
        broker.transactions.with(|coordinator, now_ms| coordinator.add(id, producer, [offsets], Protocol::V1, now_ms))
    });
    let error = added.err().map(|error| known_error(error, version, FIRST_VERSION_WITH_FENCED));
    AddOffsetsToTxnResponse::default().with_error_code(error.map_or(0, |error| error.code()))
}

/// EndTxn.
pub(super) fn end(broker: &Broker, caller: &Caller<'_>, request: &EndTxnRequest, version: i16) -> EndTxnResponse {
    let id = &request.transactional_id.0;
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let protocol = if version < FIRST_END_WITH_BUMP { Protocol::V1 } else { Protocol::V2 };
    let ended = may_write(broker, caller, id).and_then(|()| {
        broker.transactions.with(|coordinator, now_ms| coordinator.end(id, producer, outcome, protocol, now_ms))
    });
    let producer = ended.unwrap_or(Producer::NONE);
    let error = ended.err().map(|error| known_error(error, version, FIRST_VERSION_WITH_FENCED));
    EndTxnResponse::default()
        .with_error_code(error.map_or(0, |error| error.code()))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}
