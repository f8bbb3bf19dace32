//! OffsetCommit, OffsetFetch, OffsetDelete.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};

use std::time::Instant;

use uuid::Uuid;

use super::super::Broker;
use super::{Caller, text};
use crate::access::{Operation, ResourceKind};
use crate::groups::{Committed, Offsets};

/// `offset.metadata.max.bytes`
pub(super) const MAX_METADATA_BYTES: usize = 4096;

/// OffsetCommit.
const FIRST_COMMIT_WITH_EPOCH: i16 = 9;
/// OffsetFetch.
const FIRST_VERSION_WITH_ERROR: i16 = 2;

/// OffsetCommit: by a member of the current generation, or by anybody while the group is empty.
pub(super) fn commit(
    broker: &Broker,
    caller: &Caller<'_>,
    request: OffsetCommitRequest,
    version: i16,
) -> OffsetCommitResponse {
    let group = &request.group_id.0;
    let refused = if broker.allows(&caller.principal, ResourceKind::Group, group, Operation::Read) {
        if group.is_empty() { Some(ResponseError::InvalidGroupId) } else { None }
    } else {
        Some(ResponseError::GroupAuthorizationFailed)
    };
    let generation = request.generation_id_or_member_epoch;
    let readable = read_permissions(broker, caller, request.topics.iter().map(|topic| &*topic.name.0));
    let topics = broker.groups.with(group, refused.is_none() && generation < 0, |mut entry| {
        let right = match (refused, &mut entry) {
            (Some(refused), _) => Err(refused),
            // Who sends the newer version may be a member of a consumer group, which knows no generations.
            (None, None) if version < FIRST_COMMIT_WITH_EPOCH => Err(ResponseError::IllegalGeneration),
            (None, None) => Err(ResponseError::GroupIdNotFound),
            (None, Some(entry)) => {
                let instance = request.group_instance_id.as_deref();
                let right = entry.group.may_commit(&request.member_id, instance, generation, version, Instant::now());
                let named = request.topics.iter().zip(&readable).flat_map(|(topic, readable)| {
                    let there = readable.ok().into_iter();
                    there.flat_map(|(id, count)| {
                        let named = topic.partitions.iter().map(|asked| asked.partition_index);
                        named.filter(move |index| (0..count as i32).contains(index)).map(move |index| (id, index))
                    })
                });
                right.and_then(|right| right.check(named))
            }
        };
        let mut topics = Vec::with_capacity(request.topics.len());
        for (topic, readable) in request.topics.iter().zip(&readable) {
            let partitions = topic.partitions.iter().map(|asked| {
                let metadata = asked.committed_metadata.as_deref().unwrap_or_default();
                let error = match (right, *readable) {
                    (Err(ResponseError::GroupAuthorizationFailed), _) => Some(ResponseError::GroupAuthorizationFailed),
                    // As Kafka does it: what is wrong with a topic is said before what is wrong with the group or the member.
                    (_, Err(refused)) | (Err(refused), Ok(_)) => Some(refused),
                    (Ok(()), Ok((_, count))) => {
                        let exists = usize::try_from(asked.partition_index).is_ok_and(|index| index < count);
                        match () {
                            () if !exists => Some(ResponseError::UnknownTopicOrPartition),
                            () if metadata.len() > MAX_METADATA_BYTES => Some(ResponseError::OffsetMetadataTooLarge),
                            () => None,
                        }
                    }
                };
                if let (None, Some(entry)) = (error, &mut entry) {
                    let committed = Committed {
                        offset: asked.committed_offset,
                        leader_epoch: asked.committed_leader_epoch,
                        metadata: metadata.to_owned(),
                    };
                    entry.offsets.commit(&topic.name.0, asked.partition_index, committed);
                }
                OffsetCommitResponsePartition::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_code(error.map_or(0, |error| error.code()))
            });
            let partitions = partitions.collect();
            topics.push(OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        topics
    });
    OffsetCommitResponse::default().with_topics(topics)
}

/// Each topic's id and how many partitions it has, where the caller may read it.
pub(super) fn read_permissions<'a>(
    broker: &Broker,
    caller: &Caller<'_>,
    topics: impl Iterator<Item = &'a str>,
) -> Vec<Result<(Uuid, usize), ResponseError>> {
    let judge = |topic: &str| {
        if !broker.allows(&caller.principal, ResourceKind::Topic, topic, Operation::Read) {
            return Err(ResponseError::TopicAuthorizationFailed);
        }
        let found = broker.topics.get(topic).map(|topic| (topic.id, topic.partitions.len()));
        found.ok_or(ResponseError::UnknownTopicOrPartition)
    };
    topics.map(judge).collect()
}

/// OffsetFetch: for one group (before version 8) or several.
pub(super) fn fetch(
    broker: &Broker,
    caller: &Caller<'_>,
    request: OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    if version >= 8 {
        let stable = request.require_stable;
        let groups = request.groups.into_iter().map(|group| fetch_group(broker, caller, group, stable));
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let topics = request.topics.map(|topics| {
        let one = |topic: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(one).collect()
    });
    let group = OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics);
    let asked = group.topics.clone().unwrap_or_default();
    let mut fetched = fetch_group(broker, caller, group, request.require_stable);
    if version < FIRST_VERSION_WITH_ERROR && fetched.error_code != 0 {
        // The answer has no place for an error of the whole, so each partition tells it.
        let failed = |index: &i32| committed(*index, None).with_error_code(fetched.error_code);
        let topics = asked.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(failed).collect();
            OffsetFetchResponseTopics::default().with_name(topic.name).with_partitions(partitions)
        });
        fetched.topics = topics.collect();
    }
    let topics = fetched.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect()).with_error_code(fetched.error_code)
}

/// With `stable`, a position that an open transaction may move is not told (KIP-447).
fn fetch_group(
    broker: &Broker,
    caller: &Caller<'_>,
    request: OffsetFetchRequestGroup,
    stable: bool,
) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(request.group_id.clone());
    let group = &request.group_id.0;
    if !broker.allows(&caller.principal, ResourceKind::Group, group, Operation::Describe) {
        return response.with_error_code(ResponseError::GroupAuthorizationFailed.code());
    }
    let topics = broker.groups.with(group, false, |entry| {
        if let Some(entry) = &entry {
            entry.group.may_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        let nothing = Offsets::default();
        let offsets = entry.map_or(&nothing, |entry| &entry.offsets);
        let tell = |topic: &str, index: i32, position: Option<&Committed>| {
            if stable && offsets.is_unstable(topic, index) {
                committed(index, None).with_error_code(ResponseError::UnstableOffsetCommit.code())
            } else {
                committed(index, position)
            }
        };
        Ok(match request.topics {
            Some(topics) => topics
                .into_iter()
                .map(|topic| {
                    let allowed =
                        broker.allows(&caller.principal, ResourceKind::Topic, &topic.name.0, Operation::Describe);
                    let partitions = topic.partition_indexes.iter().map(|index| {
                        if allowed {
                            tell(&topic.name.0, *index, offsets.get(&topic.name.0, *index))
                        } else {
                            committed(*index, None).with_error_code(ResponseError::TopicAuthorizationFailed.code())
                        }
                    });
                    let partitions = partitions.collect();
                    OffsetFetchResponseTopics::default().with_name(topic.name).with_partitions(partitions)
                })
                .collect(),
            None => offsets
                .iter()
                .filter(|(topic, _)| broker.may_see(&caller.principal, ResourceKind::Topic, topic))
                .map(|(topic, partitions)| {
                    let partitions = partitions.iter().map(|(index, one)| tell(topic, *index, Some(one)));
                    OffsetFetchResponseTopics::default()
                        .with_name(TopicName(text(topic)))
                        .with_partitions(partitions.collect())
                })
                .collect(),
        })
    });
    match topics {
        Ok(topics) => response.with_topics(topics),
        Err(error) => {
            let error: ResponseError = error;
            response.with_error_code(error.code())
        }
    }
}

fn committed(index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    let partition = OffsetFetchResponsePartitions::default().with_partition_index(index);
    match committed {
        None => partition.with_committed_offset(-1).with_committed_leader_epoch(-1).with_metadata(Some(text(""))),
        Some(committed) => partition
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(text(&committed.metadata))),
    }
}

/// OffsetDelete: of topics that no member subscribes to.
pub(super) fn delete(broker: &Broker, caller: &Caller<'_>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = &request.group_id.0;
    if !broker.allows(&caller.principal, ResourceKind::Group, group, Operation::Delete) {
        return OffsetDeleteResponse::default().with_error_code(ResponseError::GroupAuthorizationFailed.code());
    }
    let known: Vec<_> = request
        .topics
        .iter()
        .map(|topic| &topic.name)
        .filter(|name| broker.topics.get(&name.0).is_some())
        .cloned()
        .collect();
    broker.groups.with(group, false, |entry| {
        let Some(entry) = entry else {
            return OffsetDeleteResponse::default().with_error_code(ResponseError::GroupIdNotFound.code());
        };
        let topics = request.topics.iter().map(|topic| {
            let allowed = broker.allows(&caller.principal, ResourceKind::Topic, &topic.name.0, Operation::Read);
            let subscribed = entry.group.subscribes_to(&topic.name.0);
            let partitions = topic.partitions.iter().map(|asked| {
                let error = match () {
                    () if !allowed => Some(ResponseError::TopicAuthorizationFailed),
                    () if !known.contains(&topic.name) => Some(ResponseError::UnknownTopicOrPartition),
                    () if subscribed => Some(ResponseError::GroupSubscribedToTopic),
                    () => None,
                };
                if error.is_none() {
                    entry.offsets.delete(&topic.name.0, asked.partition_index);
                }
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_code(error.map_or(0, |error| error.code()))
            });
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        OffsetDeleteResponse::default().with_topics(topics.collect())
    })
}
