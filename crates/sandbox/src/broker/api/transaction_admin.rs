//! DescribeProducers, DescribeTransactions, ListTransactions.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TopicName, TransactionalId,
};

use super::super::Broker;
use super::{Caller, once_each, text};
use crate::access::{Operation, ResourceKind};
use crate::log::ActiveProducer;
use crate::patterns::whole_name;
use crate::transactions::{State, Transaction};

/// DescribeProducers: who has written to a partition with a producer id.
pub(super) fn describe_producers(
    broker: &Broker,
    caller: &Caller<'_>,
    mut request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    once_each(&mut request.topics, |topic| topic.name.clone());
    let topics = request.topics.into_iter().map(|topic| {
        let name = &topic.name.0;
        let found = if broker.allows(&caller.principal, ResourceKind::Topic, name, Operation::Read) {
            broker.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)
        } else {
            Err(ResponseError::TopicAuthorizationFailed)
        };
        let partitions = topic.partition_indexes.iter().map(|index| {
            let answer = PartitionResponse::default().with_partition_index(*index);
            let partition = found
                .as_ref()
                .map_err(|error| *error)
                .and_then(|topic| topic.partition(*index).ok_or(ResponseError::UnknownTopicOrPartition));
            match partition {
                Ok(partition) => answer.with_active_producers(partition.log().producers().map(producer).collect()),
                Err(error) => answer.with_error_code(error.code()).with_error_message(Some(text(error.to_string()))),
            }
        });
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producer(active: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(active.producer.id))
        .with_producer_epoch(i32::from(active.producer.epoch))
        .with_last_sequence(active.last_sequence)
        .with_last_timestamp(active.last_timestamp)
        .with_coordinator_epoch(active.coordinator_epoch)
        .with_current_txn_start_offset(active.transaction_from.unwrap_or(-1))
}

/// DescribeTransactions.
pub(super) fn describe(
    broker: &Broker,
    caller: &Caller<'_>,
    mut request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    once_each(&mut request.transactional_ids, Clone::clone);
    let states = request.transactional_ids.into_iter().map(|id| {
        let described = Described::default().with_transactional_id(id.clone());
        if !broker.allows(&caller.principal, ResourceKind::TransactionalId, &id.0, Operation::Describe) {
            return described.with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code());
        }
        if id.0.is_empty() {
            return described.with_error_code(ResponseError::InvalidRequest.code());
        }
        broker.transactions.with(|coordinator, _| match coordinator.get(&id.0) {
            None => described.with_error_code(ResponseError::TransactionalIdNotFound.code()),
            Some(transaction) => describe_one(broker, caller, described, transaction),
        })
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn describe_one(broker: &Broker, caller: &Caller<'_>, described: Described, transaction: &Transaction) -> Described {
    let mut topics: Vec<TopicData> = Vec::new();
    for (name, index) in transaction.partitions() {
        if !broker.may_see(&caller.principal, ResourceKind::Topic, name) {
            continue;
        }
        match topics.last_mut() {
            Some(topic) if *topic.topic.0 == **name => topic.partitions.push(*index),
            _ => topics.push(TopicData::default().with_topic(TopicName(text(name))).with_partitions(vec![*index])),
        }
    }
    described
        .with_transaction_state(text(transaction.state().name()))
        .with_transaction_timeout_ms(transaction.timeout_ms())
        .with_transaction_start_time_ms(transaction.started_ms())
        .with_producer_id(ProducerId(transaction.producer().id))
        .with_producer_epoch(transaction.producer().epoch)
        .with_topics(topics)
}

/// ListTransactions: those that the caller may see and that pass every filter it names.
pub(super) fn list(broker: &Broker, caller: &Caller<'_>, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let pattern = match request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        None => None,
        Some(pattern) => match whole_name(pattern) {
            Ok(pattern) => Some(pattern),
            Err(_) => {
                let error = ResponseError::InvalidRegularExpression;
                return ListTransactionsResponse::default().with_error_code(error.code());
            }
        },
    };
    let is_known = |filter: &str| State::NAMES.contains(&filter);
    let unknown = request.state_filters.iter().filter(|filter| !is_known(filter)).cloned().collect();
    let passes = |transaction: &Transaction, now_ms: i64| {
        let states = &request.state_filters;
        let producers = &request.producer_id_filters;
        (states.is_empty() || states.iter().any(|state| **state == *transaction.state().name()))
            && (producers.is_empty() || producers.iter().any(|id| id.0 == transaction.producer().id))
            && (request.duration_filter < 0 || now_ms - transaction.started_ms() > request.duration_filter)
    };
    let listed = broker.transactions.with(|coordinator, now_ms| {
        let seen = coordinator.iter().filter(|(id, transaction)| {
            passes(transaction, now_ms)
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
                && broker.may_see(&caller.principal, ResourceKind::TransactionalId, id)
        });
        let listed = seen.map(|(id, transaction)| {
            Listed::default()
                .with_transactional_id(TransactionalId(text(id)))
                .with_producer_id(ProducerId(transaction.producer().id))
                .with_transaction_state(text(transaction.state().name()))
        });
        listed.collect()
    });
    ListTransactionsResponse::default().with_unknown_state_filters(unknown).with_transaction_states(listed)
}
