//! TxnOffsetCommit: a consumer's positions as a part of the producer's transaction.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use uuid::Uuid;

use super::super::Broker;
use super::super::groups::{Entry, OFFSETS_TOPIC, offsets_partition};
use super::Caller;
use super::offsets::{MAX_METADATA_BYTES, read_permissions};
use crate::access::{Operation, ResourceKind};
use crate::groups::Committed;
use crate::transactions::{Producer, Protocol};

/// From here on clients know TRANSACTION_ABORTABLE (KIP-890).
const FIRST_VERSION_WITH_ABORTABLE: i16 = 4;
/// From here on the commit itself adds the group to the transaction (KIP-890).
const FIRST_VERSION_THAT_ADDS: i16 = 5;

/// TxnOffsetCommit. The positions are seen when the transaction is committed.
pub(super) fn commit(
    broker: &Broker,
    caller: &Caller<'_>,
    request: TxnOffsetCommitRequest,
    version: i16,
) -> TxnOffsetCommitResponse {
    let (id, group) = (&request.transactional_id.0, &request.group_id.0);
    let refused = if !broker.allows(&caller.principal, ResourceKind::TransactionalId, id, Operation::Write) {
        Some(ResponseError::TransactionalIdAuthorizationFailed)
    } else if !broker.allows(&caller.principal, ResourceKind::Group, group, Operation::Read) {
        Some(ResponseError::GroupAuthorizationFailed)
    } else if group.is_empty() {
        Some(ResponseError::InvalidGroupId)
    } else {
        None
    };
    let readable = read_permissions(broker, caller, request.topics.iter().map(|topic| &*topic.name.0));
    // Each partition's own fault; what has none is written.
    let judge = |permission: &Result<(Uuid, usize), ResponseError>, asked: &TxnOffsetCommitRequestPartition| {
        let (_, count) = (*permission)?;
        match usize::try_from(asked.partition_index) {
            Ok(index) if index < count => Ok(()),
            _ => Err(ResponseError::UnknownTopicOrPartition),
        }
    };
    let mut judged: Vec<Vec<_>> = request
        .topics
        .iter()
        .zip(&readable)
        .map(|(topic, permission)| {
            topic.partitions.iter().map(|asked| refused.map_or_else(|| judge(permission, asked), Err)).collect()
        })
        .collect();
    if judged.iter().flatten().any(Result::is_ok)
        && let Err(error) = write(broker, &request, &readable, &mut judged, version)
    {
        judged.iter_mut().flatten().filter(|judged| judged.is_ok()).for_each(|judged| *judged = Err(error));
    }
    let topics = request.topics.into_iter().zip(judged).map(|(topic, judged)| {
        let partitions = topic.partitions.iter().zip(judged).map(|(asked, judged)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(judged.err().map_or(0, |error| error.code()))
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// Writes the positions that are not refused already, or says why none is.
fn write(
    broker: &Broker,
    request: &TxnOffsetCommitRequest,
    readable: &[Result<(Uuid, usize), ResponseError>],
    judged: &mut [Vec<Result<(), ResponseError>>],
    version: i16,
) -> Result<(), ResponseError> {
    let (id, group) = (&request.transactional_id.0, &request.group_id.0);
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let offsets = (Arc::from(OFFSETS_TOPIC), offsets_partition(group));
    broker.transactions.with(|coordinator, now_ms| {
        let in_transaction = if version >= FIRST_VERSION_THAT_ADDS {
            coordinator.add(id, producer, [offsets], Protocol::V2, now_ms)
        } else {
            coordinator.verify(id, producer, &offsets)
        };
        in_transaction.map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            ResponseError::TransactionAbortable if version < FIRST_VERSION_WITH_ABORTABLE => {
                ResponseError::InvalidTxnState
            }
            other => other,
        })?;
        broker.groups.with(group, request.generation_id < 0, |entry| {
            let entry: &mut Entry = entry.ok_or(ResponseError::IllegalGeneration)?;
            let instance = request.group_instance_id.as_deref();
            let right = entry.group.may_commit_in_transaction(&request.member_id, instance, request.generation_id)?;
            let named = request.topics.iter().zip(readable).flat_map(|(topic, readable)| {
                let there = readable.ok().into_iter();
                there.flat_map(|(id, count)| {
                    let named = topic.partitions.iter().map(|asked| asked.partition_index);
                    named.filter(move |index| (0..count as i32).contains(index)).map(move |index| (id, index))
                })
            });
            // Clients know what to do about a generation of the past, whichever kind of group it is.
            right.check(named).map_err(|_| ResponseError::IllegalGeneration)?;
            for (topic, judged) in request.topics.iter().zip(judged) {
                for (asked, judged) in topic.partitions.iter().zip(judged).filter(|(_, judged)| judged.is_ok()) {
                    let metadata = asked.committed_metadata.as_deref().unwrap_or_default();
                    if metadata.len() > MAX_METADATA_BYTES {
                        *judged = Err(ResponseError::OffsetMetadataTooLarge);
                        continue;
                    }
                    let committed = Committed {
                        offset: asked.committed_offset,
                        leader_epoch: asked.committed_leader_epoch,
                        metadata: metadata.to_owned(),
                    };
                    entry.offsets.commit_in_transaction(producer.id, &topic.name.0, asked.partition_index, committed);
                }
            }
            Ok(())
        })
    })
}
