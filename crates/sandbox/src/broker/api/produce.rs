//! Produce.
//!
//! A batch of a transaction is let through by the coordinator when it is the transaction's first in its partition (KIP-890): in
//! version 12 and later that adds the partition, before it only checks that the client has added it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::super::partition::Partition;
use super::super::topics::Topic;
use super::super::{Broker, epoch_ms};
use super::{Caller, text};
use crate::access::{Operation, ResourceKind};
use crate::log::{self, BatchError, BatchHeader, RecordsError, SequenceError};
use crate::transactions::{Coordinator, Producer, Protocol, TopicPartition};

/// From here on a topic is named by its id.
const FIRST_VERSION_WITH_IDS: i16 = 13;
/// KIP-110.
const FIRST_VERSION_WITH_ZSTD: i16 = 7;
/// From here on clients know TRANSACTION_ABORTABLE (KIP-890).
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;
/// From here on writing to a partition adds it to the transaction (KIP-890).
const FIRST_VERSION_THAT_ADDS: i16 = 12;
/// `add.partitions.to.txn.retry.backoff.ms`: how long the broker itself waits for the markers of the transaction before.
const ADD_RETRY_BACKOFF: Duration = Duration::from_millis(20);
/// `add.partitions.to.txn.retry.backoff.max.ms`, in attempts.
const ADD_ATTEMPTS: u32 = 5;

type Refusal = (ResponseError, Option<String>);

/// A batch that is well-formed and allowed, and where it goes.
struct Checked {
    topic: Arc<Topic>,
    partition: Arc<Partition>,
    index: i32,
    header: BatchHeader,
    batch: Bytes,
}

impl Checked {
    fn place(&self) -> TopicPartition {
        (Arc::clone(&self.topic.name), self.index)
    }
}

/// A request's partitions, in its order: each with its topic's position in the answer.
type Parts = Vec<(usize, i32, Result<Checked, Refusal>)>;

/// Produce. `Ok(None)` is acks=0, which wants no answer; an error of such a request, which has no answer to be in, ends the connection.
pub(super) async fn produce(
    broker: &Broker,
    caller: &Caller<'_>,
    request: ProduceRequest,
    version: i16,
) -> Result<Option<ProduceResponse>, String> {
    let acks = request.acks;
    let transactional_id = request.transactional_id.map(|id| id.0);
    let mut responses = Vec::with_capacity(request.topic_data.len());
    let mut parts = Parts::new();
    for (position, data) in request.topic_data.into_iter().enumerate() {
        let TopicProduceData { name, topic_id, partition_data, .. } = data;
        let topic = if !matches!(acks, -1..=1) {
            Err((ResponseError::InvalidRequiredAcks, None))
        } else if version >= FIRST_VERSION_WITH_IDS {
            let topic = broker.topics.by_id(topic_id).ok_or((ResponseError::UnknownTopicId, None));
            topic.and_then(|topic| allowed(broker, caller, topic))
        } else if broker.allows(&caller.principal, ResourceKind::Topic, &name.0, Operation::Write) {
            broker.topics.get(&name.0).ok_or((ResponseError::UnknownTopicOrPartition, None))
        } else {
            Err((ResponseError::TopicAuthorizationFailed, None))
        };
        for data in partition_data {
            let index = data.index;
            let checked = topic.as_ref().map_err(Clone::clone).and_then(|topic| check(topic, data, version));
            parts.push((position, index, checked));
        }
        responses.push(TopicProduceResponse::default().with_name(name).with_topic_id(topic_id));
    }
    let answers = write(broker, caller, transactional_id.as_deref(), parts, version).await;
    for (position, answer) in answers {
        responses[position].partition_responses.push(answer);
    }
    let response = ProduceResponse::default().with_responses(responses);
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

/// Checks what a client sent for one partition as Kafka does.
fn check(topic: &Arc<Topic>, data: PartitionProduceData, version: i16) -> Result<Checked, Refusal> {
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
    Ok(Checked { topic: Arc::clone(topic), partition: Arc::clone(partition), index: data.index, header, batch })
}

/// Stores what was checked, once the coordinator has let through what belongs to a transaction.
async fn write(
    broker: &Broker,
    caller: &Caller<'_>,
    transactional_id: Option<&str>,
    mut parts: Parts,
    version: i16,
) -> Vec<(usize, PartitionProduceResponse)> {
    let checked = || parts.iter().filter_map(|(_, _, part)| part.as_ref().ok());
    let producers: Vec<_> =
        checked().filter(|part| part.header.is_transactional()).map(|part| part.header.producer()).collect();
    let Some(producer) = producers.first().copied() else {
        return store_all(parts, false);
    };
    let refused = match transactional_id {
        Some(id) if broker.allows(&caller.principal, ResourceKind::TransactionalId, id, Operation::Write) => None,
        _ => Some(ResponseError::TransactionalIdAuthorizationFailed),
    };
    let refused = refused.or_else(|| {
        producers.iter().any(|other| *other != producer).then_some(ResponseError::InvalidProducerIdMapping)
    });
    if let Some(error) = refused {
        parts.iter_mut().for_each(|(_, _, part)| *part = Err((error, None)));
        return store_all(parts, false);
    }
    let id = transactional_id.unwrap_or_default();
    let adds = version >= FIRST_VERSION_THAT_ADDS;
    for attempt in 1.. {
        let written = broker.transactions.with(|coordinator, now_ms| {
            let refusals = let_through(coordinator, id, producer, &parts, adds, now_ms);
            let is_early = refusals.contains(&Some(ResponseError::ConcurrentTransactions));
            if adds && is_early && attempt < ADD_ATTEMPTS {
                return None;
            }
            for ((_, _, part), refusal) in parts.iter_mut().zip(refusals) {
                if let Some(error) = refusal {
                    *part = Err(as_produce_error(error, version));
                }
            }
            Some(store_all(std::mem::take(&mut parts), adds))
        });
        if let Some(written) = written {
            return written;
        }
        tokio::time::sleep(ADD_RETRY_BACKOFF).await;
    }
    Vec::new()
}

/// Asks the coordinator about each batch that begins a transaction in its partition: the refusals, a place for each part.
fn let_through(
    coordinator: &mut Coordinator,
    transactional_id: &str,
    producer: Producer,
    parts: &Parts,
    adds: bool,
    now_ms: i64,
) -> Vec<Option<ResponseError>> {
    let begins = |part: &Result<Checked, Refusal>| {
        part.as_ref()
            .ok()
            .filter(|part| {
                part.header.is_transactional() && !part.partition.log().has_open_transaction(part.header.producer())
            })
            .map(Checked::place)
    };
    let new: Vec<_> = parts.iter().map(|(_, _, part)| begins(part)).collect();
    let added = if adds && new.iter().any(Option::is_some) {
        coordinator.add(transactional_id, producer, new.iter().flatten().cloned(), Protocol::V2, now_ms)
    } else {
        Ok(())
    };
    let judge = |place: Option<TopicPartition>| {
        let verified = if adds { added } else { coordinator.verify(transactional_id, producer, &place?) };
        verified.err()
    };
    new.into_iter().map(judge).collect()
}

/// What the coordinator says, in words that a producer of this version knows.
fn as_produce_error(error: ResponseError, version: i16) -> Refusal {
    let not_added = || Some("the partition was not added to the transaction".to_owned());
    match error {
        ResponseError::ProducerFenced => (ResponseError::InvalidProducerEpoch, None),
        ResponseError::TransactionAbortable if version >= FIRST_VERSION_WITH_ABORTABLE => (error, not_added()),
        ResponseError::TransactionAbortable => (ResponseError::InvalidTxnState, not_added()),
        // Older clients try again on this one, and without asking for new metadata.
        ResponseError::ConcurrentTransactions if version < FIRST_VERSION_THAT_ADDS => {
            let message = "the markers of the transaction before are not written yet".to_owned();
            (ResponseError::NotEnoughReplicas, Some(message))
        }
        other => (other, None),
    }
}

fn store_all(parts: Parts, begins_at_zero: bool) -> Vec<(usize, PartitionProduceResponse)> {
    let store_one = |(position, index, part): (usize, i32, Result<Checked, Refusal>)| {
        let stored = part.and_then(|part| store(part, begins_at_zero)).unwrap_or_else(|(error, message)| {
            PartitionProduceResponse::default()
                .with_error_code(error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_error_message(message.map(text))
        });
        (position, stored.with_index(index))
    };
    parts.into_iter().map(store_one).collect()
}

fn store(part: Checked, begins_at_zero: bool) -> Result<PartitionProduceResponse, Refusal> {
    let Checked { topic, partition, header, batch, .. } = part;
    let (appended, start) = {
        let mut log = partition.log();
        let begins_at_zero =
            begins_at_zero && header.is_transactional() && !log.has_open_transaction(header.producer());
        let timestamps = topic.settings.timestamp_type();
        let appended =
            log.append(&header, batch, timestamps, begins_at_zero, epoch_ms(SystemTime::now())).map_err(|error| {
                let code = match error {
                    SequenceError::StaleEpoch => ResponseError::InvalidProducerEpoch,
                    SequenceError::OutOfOrder => ResponseError::OutOfOrderSequenceNumber,
                    SequenceError::NotTransactional => ResponseError::InvalidTxnState,
                };
                (code, Some(error.to_string()))
            })?;
        (appended, log.start())
    };
    partition.wake_all();
    Ok(PartitionProduceResponse::default()
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time.unwrap_or(-1))
        .with_log_start_offset(start))
}
