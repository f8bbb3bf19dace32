//! Fetch: what is there, or what comes within the wait.
//!
//! Fetch sessions (KIP-227) are not kept: a client that asks for one is told session 0, which means "name everything each time". Whoever names a session all the same is told that there is none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::partition::Partition;
use super::super::{Broker, NODE_ID};
use super::Caller;
use crate::access::{Operation, ResourceKind};
use crate::log::{Aborted, Isolation, LEADER_EPOCH};

const FIRST_VERSION_WITH_IDS: i16 = 13;
/// A client may ask for a wait; nobody needs a longer one.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// `fetch.max.bytes` of a broker.
const MAX_BYTES: usize = 55 << 20;

/// One partition of the request, found and checked.
struct Wanted {
    /// Which topic of the request it belongs to.
    topic: usize,
    index: i32,
    offset: i64,
    max_bytes: usize,
    found: Result<Arc<Partition>, ResponseError>,
}

/// Answers when `min_bytes` are there, when the wait is over, or at once when a partition has an error. `None` when the client left.
pub(super) async fn fetch(
    broker: &Broker,
    caller: &Caller<'_>,
    request: FetchRequest,
    version: i16,
) -> Option<FetchResponse> {
    if request.session_epoch > 0 {
        return Some(FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code()));
    }
    let isolation = Isolation::of(request.isolation_level);
    let wanted = find(broker, caller, &request.topics, version);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or_default().min(MAX_BYTES);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or_default();
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default()).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let grown = Arc::new(Notify::new());
    loop {
        let ready = wanted.is_empty() || wanted.iter().any(|wanted| wanted.found.is_err()) || {
            let mut available = 0;
            for wanted in &wanted {
                if let Ok(partition) = &wanted.found {
                    partition.wake_on_append(&grown);
                    let log = partition.log();
                    if wanted.offset < log.start() || wanted.offset > log.end() {
                        available = usize::MAX;
                        break;
                    }
                    available =
                        available.saturating_add(log.bytes_from(wanted.offset, wanted.max_bytes.max(1), isolation));
                }
            }
            available >= min_bytes
        };
        if ready || Instant::now() >= deadline {
            return Some(read(&request.topics, &wanted, max_bytes, isolation));
        }
        tokio::select! {
            () = grown.notified() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = caller.gone.cancelled() => return None,
        }
    }
}

fn find(broker: &Broker, caller: &Caller<'_>, topics: &[FetchTopic], version: i16) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (position, asked) in topics.iter().enumerate() {
        let topic = if version >= FIRST_VERSION_WITH_IDS {
            broker.topics.by_id(asked.topic_id).ok_or(ResponseError::UnknownTopicId)
        } else if !broker.allows(&caller.principal, ResourceKind::Topic, &asked.topic.0, Operation::Read) {
            Err(ResponseError::TopicAuthorizationFailed)
        } else {
            broker.topics.get(&asked.topic.0).ok_or(ResponseError::UnknownTopicOrPartition)
        };
        let topic = topic.and_then(|topic| {
            if version < FIRST_VERSION_WITH_IDS
                || broker.allows(&caller.principal, ResourceKind::Topic, &topic.name, Operation::Read)
            {
                Ok(topic)
            } else {
                Err(ResponseError::TopicAuthorizationFailed)
            }
        });
        for partition in &asked.partitions {
            let found = topic.as_ref().map_err(|error| *error).and_then(|topic| {
                check_epoch(partition.current_leader_epoch)?;
                topic.partition(partition.partition).cloned().ok_or(ResponseError::UnknownTopicOrPartition)
            });
            wanted.push(Wanted {
                topic: position,
                index: partition.partition,
                offset: partition.fetch_offset,
                max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or_default(),
                found,
            });
        }
    }
    wanted
}

/// A client that believes in another leader epoch than ours is told so (KIP-320); -1 believes nothing.
pub(super) fn check_epoch(current_leader_epoch: i32) -> Result<(), ResponseError> {
    match current_leader_epoch {
        -1 => Ok(()),
        epoch if epoch > LEADER_EPOCH => Err(ResponseError::UnknownLeaderEpoch),
        epoch if epoch < LEADER_EPOCH => Err(ResponseError::FencedLeaderEpoch),
        _ => Ok(()),
    }
}

fn read(topics: &[FetchTopic], wanted: &[Wanted], max_bytes: usize, isolation: Isolation) -> FetchResponse {
    let mut responses: Vec<FetchableTopicResponse> = topics
        .iter()
        .map(|topic| FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_topic_id(topic.topic_id))
        .collect();
    let mut left = max_bytes;
    let mut empty_so_far = true;
    for wanted in wanted {
        let data = match &wanted.found {
            Err(error) => failed(wanted.index, *error),
            Ok(partition) => {
                let log = partition.log();
                // The first batch of an answer is given however large it is, or nobody could ever read it.
                match log.read(wanted.offset, wanted.max_bytes.min(left), empty_so_far, isolation) {
                    None => PartitionData::default()
                        .with_log_start_offset(log.start())
                        .with_high_watermark(log.end())
                        .with_last_stable_offset(log.stable_end())
                        .with_error_code(ResponseError::OffsetOutOfRange.code())
                        .with_partition_index(wanted.index)
                        .with_records(Some(Bytes::new())),
                    Some(records) => {
                        empty_so_far &= records.is_empty();
                        left = left.saturating_sub(records.len());
                        let aborted = (isolation == Isolation::ReadCommitted)
                            .then(|| log.aborted_in(wanted.offset, &records).into_iter().map(aborted).collect());
                        PartitionData::default()
                            .with_partition_index(wanted.index)
                            .with_high_watermark(log.end())
                            .with_last_stable_offset(log.stable_end())
                            .with_log_start_offset(log.start())
                            .with_aborted_transactions(aborted)
                            .with_records(Some(records))
                    }
                }
            }
        };
        responses[wanted.topic].partitions.push(data);
    }
    FetchResponse::default().with_responses(responses)
}

fn aborted(transaction: Aborted) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(ProducerId(transaction.producer_id))
        .with_first_offset(transaction.first_offset)
}

fn failed(index: i32, error: ResponseError) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()));
    match error {
        ResponseError::FencedLeaderEpoch => data.with_current_leader(
            LeaderIdAndEpoch::default().with_leader_id(BrokerId(NODE_ID)).with_leader_epoch(LEADER_EPOCH),
        ),
        _ => data,
    }
}
