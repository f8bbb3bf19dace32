//! ListOffsets, OffsetForLeaderEpoch and DeleteRecords: questions about a log's extent.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::super::Broker;
use super::super::partition::Partition;
use super::Caller;
use super::fetch::check_epoch;
use crate::access::{Operation, ResourceKind};
use crate::log::{Found, Isolation, LEADER_EPOCH};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// Tiered storage (KIP-405), which the sandbox has not: what is local is everything.
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const UNKNOWN: i64 = -1;

fn partition(
    broker: &Broker,
    caller: &Caller<'_>,
    topic: &str,
    index: i32,
    operation: Operation,
) -> Result<Arc<Partition>, ResponseError> {
    if !broker.allows(&caller.principal, ResourceKind::Topic, topic, operation) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let topic = broker.topics.get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    topic.partition(index).cloned().ok_or(ResponseError::UnknownTopicOrPartition)
}

/// ListOffsets: by time, or one of the ends.
pub(super) fn list_offsets(
    broker: &Broker,
    caller: &Caller<'_>,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    // Before version 4 the answer has no place for the epoch.
    let leader_epoch = if version < 4 { -1 } else { LEADER_EPOCH };
    let isolation = Isolation::of(request.isolation_level);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            let found = partition(broker, caller, &topic.name.0, asked.partition_index, Operation::Describe).and_then(
                |partition| {
                    check_epoch(asked.current_leader_epoch)?;
                    let log = partition.log();
                    let end = |offset| Some(Found { offset, timestamp: UNKNOWN });
                    // A reader of committed records is not told of others.
                    let visible = |found: &Found| found.offset < log.end_for(isolation);
                    Ok(match asked.timestamp {
                        LATEST => end(log.end_for(isolation)),
                        EARLIEST | EARLIEST_LOCAL => end(log.start()),
                        LATEST_TIERED => None,
                        MAX_TIMESTAMP => log.offset_of_max_timestamp().filter(visible),
                        timestamp => log.offset_for_time(timestamp).filter(visible),
                    })
                },
            );
            match found {
                Ok(Some(Found { offset, timestamp })) => {
                    answer.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(leader_epoch)
                }
                Ok(None) => answer.with_offset(UNKNOWN).with_timestamp(UNKNOWN),
                Err(error) => answer.with_error_code(error.code()).with_offset(UNKNOWN).with_timestamp(UNKNOWN),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// OffsetForLeaderEpoch: there is one epoch, which ends where the log ends.
pub(super) fn offset_for_leader_epoch(
    broker: &Broker,
    caller: &Caller<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = EpochEndOffset::default().with_partition(asked.partition);
            let found =
                partition(broker, caller, &topic.topic.0, asked.partition, Operation::Describe).and_then(|partition| {
                    check_epoch(asked.current_leader_epoch)?;
                    Ok(partition.log().end())
                });
            match found {
                Ok(end) if asked.leader_epoch == LEADER_EPOCH => {
                    answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(end)
                }
                Ok(_) => answer.with_leader_epoch(-1).with_end_offset(UNKNOWN),
                Err(error) => answer.with_error_code(error.code()).with_leader_epoch(-1).with_end_offset(UNKNOWN),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

/// DeleteRecords: everything before an offset.
pub(super) fn delete(broker: &Broker, caller: &Caller<'_>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let deleted = partition(broker, caller, &topic.name.0, asked.partition_index, Operation::Delete).and_then(
                |partition| partition.log().delete_before(asked.offset).ok_or(ResponseError::OffsetOutOfRange),
            );
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match deleted {
                Ok(start) => answer.with_low_watermark(start),
                Err(error) => answer.with_low_watermark(UNKNOWN).with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}
