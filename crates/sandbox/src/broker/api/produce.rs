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
use crate::log::{self, BatchError, BatchHeader, RecordsError, SequenceError};

/// From here on a topic is named by its id.
const FIRST_VERSION_WITH_IDS: i16 = 13;
/// KIP-110.
const FIRST_VERSION_WITH_ZSTD: i16 = 7;

type Refusal = (ResponseError, Option<String>);

/// Produce. `Ok(None)` is acks=0, which wants no answer; an error of such a request, which has no answer to be in, ends the connection.
pub(super) fn produce(
    broker: &Broker,
    caller: &Caller<'_>,
    request: ProduceRequest,
    version: i16,
) -> Result<Option<ProduceResponse>, String> {
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
            match topic.as_ref().map_err(Clone::clone).and_then(|topic| append(topic, data, version)) {
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
    if acks != 0 {
        return Ok(Some(response));
    }
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match partitions.find_map(|partition| ResponseError::try_from_code(partition.error_code)) {
        None => Ok(None),
        Some(error) => Err(format!("with acks=0, which could not be told of an error: {error}")),
    }
}

fn allowed(broker: &Broker, caller: &Caller<'_>, topic: Arc<Topic>) -> Result<Arc<Topic>, Refusal> {
    if broker.allows(&caller.principal, ResourceKind::Topic, &topic.name, Operation::Write) {
        Ok(topic)
    } else {
        Err((ResponseError::TopicAuthorizationFailed, None))
    }
}

/// Checks what a client sent for one partition as Kafka does, and stores it.
fn append(topic: &Topic, data: PartitionProduceData, version: i16) -> Result<PartitionProduceResponse, Refusal> {
    let partition = topic.partition(data.index).ok_or((ResponseError::UnknownTopicOrPartition, None))?;
    let batch = data.records.unwrap_or_default();
    let header = BatchHeader::read_only_one(&batch).map_err(|error| {
        let code = match error {
            BatchError::Crc | BatchError::Short(_) => ResponseError::CorruptMessage,
            BatchError::Magic(_) | BatchError::NotOne(_) | BatchError::Invalid(_) => ResponseError::InvalidRecord,
        };
        (code, Some(error.to_string()))
    })?;
    if header.is_zstd() && version < FIRST_VERSION_WITH_ZSTD {
        let message = format!("Produce {version} cannot carry zstd; version {FIRST_VERSION_WITH_ZSTD} and later can");
        return Err((ResponseError::UnsupportedCompressionType, Some(message)));
    }
    if header.total_bytes > topic.settings.max_message_bytes() {
        let message = format!("a batch of {} bytes is larger than the topic's max.message.bytes", header.total_bytes);
        return Err((ResponseError::MessageTooLarge, Some(message)));
    }
    log::timestamps(&header, &batch).map_err(|error| {
        let code = match error {
            RecordsError::Compression(_) => ResponseError::UnknownServerError,
            RecordsError::Record { .. } => ResponseError::InvalidRecord,
        };
        (code, Some(error.to_string()))
    })?;
    let (appended, start) = {
        let mut log = partition.log();
        let appended = log
            .append(&header, batch, topic.settings.timestamp_type(), epoch_ms(SystemTime::now()))
            .map_err(|error| {
                let code = match error {
                    SequenceError::StaleEpoch => ResponseError::InvalidProducerEpoch,
                    SequenceError::OutOfOrder => ResponseError::OutOfOrderSequenceNumber,
                };
                (code, Some(error.to_string()))
            })?;
        (appended, log.start())
    };
    partition.wake_all();
    Ok(PartitionProduceResponse::default()
        .with_index(data.index)
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time.unwrap_or(-1))
        .with_log_start_offset(start))
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
