//! Produce and InitProducerId.

use std::sync::Arc;
use std::time::SystemTime;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId,
};

use super::super::topics::Topic;
use super::super::{Broker, epoch_ms};
use super::{Caller, text};
use crate::access::{Operation, ResourceKind};
use crate::log::{AppendError, BatchError, SequenceError};

/// From here on a topic is named by its id.
const FIRST_VERSION_WITH_IDS: i16 = 13;

type Refusal = (ResponseError, Option<String>);

/// Produce. `None` is acks=0, which wants no answer.
pub(super) fn produce(
    broker: &Broker,
    caller: &Caller<'_>,
    request: ProduceRequest,
    version: i16,
) -> Option<ProduceResponse> {
    let acks = request.acks;
    let refused = if !matches!(acks, -1..=1) {
        Some(ResponseError::InvalidRequiredAcks)
    } else if request.transactional_id.is_some() {
        Some(ResponseError::InvalidTxnState)
    } else {
        None
    };
    let responses = request.topic_data.into_iter().map(|data| {
        let TopicProduceData { name, topic_id, partition_data, .. } = data;
        let topic = match refused {
            Some(error) => Err((error, None)),
            None if version >= FIRST_VERSION_WITH_IDS => broker
                .topics
                .by_id(topic_id)
                .ok_or((ResponseError::UnknownTopicId, None))
                .and_then(|topic| allowed(broker, caller, topic)),
            None if !broker.allows(&caller.principal, ResourceKind::Topic, &name.0, Operation::Write) => {
                Err((ResponseError::TopicAuthorizationFailed, None))
            }
            None => broker.topics.get(&name.0).ok_or((ResponseError::UnknownTopicOrPartition, None)),
        };
        let answers = partition_data.into_iter().map(|data| {
            let index = data.index;
            match topic.as_ref().map_err(Clone::clone).and_then(|topic| append(topic, data)) {
                Ok(appended) => appended,
                Err((error, message)) => PartitionProduceResponse::default()
                    .with_index(index)
                    .with_error_code(error.code())
                    .with_base_offset(-1)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(-1)
                    .with_error_message(message.map(text)),
            }
        });
        TopicProduceResponse::default()
            .with_name(name)
            .with_topic_id(topic_id)
            .with_partition_responses(answers.collect())
    });
    let response = ProduceResponse::default().with_responses(responses.collect());
    if broker.topics.total_bytes() > broker.max_log_bytes {
        broker.topics.shrink_to(broker.max_log_bytes);
    }
    (acks != 0).then_some(response)
}

fn allowed(broker: &Broker, caller: &Caller<'_>, topic: Arc<Topic>) -> Result<Arc<Topic>, Refusal> {
    if broker.allows(&caller.principal, ResourceKind::Topic, &topic.name, Operation::Write) {
        Ok(topic)
    } else {
        Err((ResponseError::TopicAuthorizationFailed, None))
    }
}

fn append(topic: &Topic, data: PartitionProduceData) -> Result<PartitionProduceResponse, Refusal> {
    let partition = topic.partition(data.index).ok_or((ResponseError::UnknownTopicOrPartition, None))?;
    let records = data.records.unwrap_or_default();
    let mut log = partition.log();
    let appended = log
        .append(
            records,
            topic.settings.max_message_bytes(),
            topic.settings.timestamp_type(),
            epoch_ms(SystemTime::now()),
        )
        .map_err(refusal)?;
    let start = log.start();
    drop(log);
    partition.wake_all();
    Ok(PartitionProduceResponse::default()
        .with_index(data.index)
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time.unwrap_or(-1))
        .with_log_start_offset(start))
}

fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Batch(error @ BatchError::Magic(_)) => {
            (ResponseError::UnsupportedForMessageFormat, Some(error.to_string()))
        }
        AppendError::Batch(error @ BatchError::Invalid(_)) => (ResponseError::InvalidRecord, Some(error.to_string())),
        AppendError::Batch(error) => (ResponseError::CorruptMessage, Some(error.to_string())),
        AppendError::Sequence(error @ SequenceError::StaleEpoch) => {
            (ResponseError::InvalidProducerEpoch, Some(error.to_string()))
        }
        AppendError::Sequence(error @ SequenceError::OutOfOrder) => {
            (ResponseError::OutOfOrderSequenceNumber, Some(error.to_string()))
        }
        AppendError::TooLarge { bytes } => (
            ResponseError::MessageTooLarge,
            Some(format!("a batch of {bytes} bytes is larger than the topic's max.message.bytes")),
        ),
    }
}

/// InitProducerId, for idempotent producers.
pub(super) fn init_producer_id(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |error: ResponseError| {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    };
    if let Some(id) = &request.transactional_id {
        return if broker.allows(&caller.principal, ResourceKind::TransactionalId, &id.0, Operation::Write) {
            refused(ResponseError::CoordinatorNotAvailable)
        } else {
            refused(ResponseError::TransactionalIdAuthorizationFailed)
        };
    }
    if !broker.allows_idempotent_write(&caller.principal) {
        return refused(ResponseError::ClusterAuthorizationFailed);
    }
    InitProducerIdResponse::default().with_producer_id(ProducerId(broker.new_producer_id())).with_producer_epoch(0)
}
