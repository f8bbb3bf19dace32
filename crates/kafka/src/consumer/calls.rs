//! The requests about groups and positions: from our terms into messages and back. Each is one attempt; who calls decides
//! whether there is another.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    BrokerId, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest, OffsetCommitRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::config::IsolationLevel;
use super::partitions::{ListedAt, Unchecked, Want};
use super::positions::{Position, Positions};
use crate::TopicPartition;
use crate::cluster::{Cluster, ClusterError, ConsumerId, CoordinatorKind, Lane};
use crate::error::ErrorCode;
use crate::group::membership::{Failure, Identity, Join, Joined, Sync};

/// The protocol type of consumers, as opposed to Kafka Connect's workers.
const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");

/// OffsetFetch asks for several groups at once from this version on.
const OFFSET_FETCH_GROUPS: i16 = 8;

/// How one partition fared in a request about several.
pub(super) type PerPartition<T> = BTreeMap<TopicPartition, Result<T, ErrorCode>>;

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn topic_name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn by_topic<'a, T>(items: impl IntoIterator<Item = (&'a TopicPartition, T)>) -> BTreeMap<&'a str, Vec<(i32, T)>> {
    let mut topics: BTreeMap<&str, Vec<(i32, T)>> = BTreeMap::new();
    for (name, item) in items {
        topics.entry(&name.topic).or_default().push((name.partition, item));
    }
    topics
}

/// A group's requests to its coordinator.
#[derive(Clone)]
pub(super) struct GroupCalls {
    pub(super) cluster: Cluster,
    pub(super) group: String,
    pub(super) consumer: ConsumerId,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
}

impl GroupCalls {
    pub(super) fn group_id(&self) -> GroupId {
        GroupId(text(&self.group))
    }

    /// How long the answer to a Join or Sync is waited for on one connection. The coordinator holds it back until the slowest member
    /// has had its time, and on a connection that swallows everything nobody would know; so it is asked again, on another
    /// connection and three times within a session. To the coordinator that is the same request: a Join takes the
    /// place of the one that waits, or is told the generation that its answer was lost of, and so it is with a Sync.
    fn held_back(&self) -> Duration {
        self.session_timeout / 3
    }

    pub(super) async fn join(&self, join: &Join) -> Result<Result<Joined, Failure>, ClusterError> {
        let protocol = |(assignor, blob): &(crate::group::Assignor, Bytes)| {
            let name = StrBytes::from_static_str(assignor.name());
            JoinGroupRequestProtocol::default().with_name(name).with_metadata(blob.clone())
        };
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(millis(self.session_timeout))
            .with_rebalance_timeout_ms(millis(self.rebalance_timeout))
            .with_member_id(text(&join.identity.member_id))
            .with_group_instance_id(join.identity.instance_id.as_deref().map(text))
            .with_protocol_type(PROTOCOL_TYPE)
            .with_protocols(join.protocols.iter().map(protocol).collect())
            .with_reason(join.reason.map(StrBytes::from_static_str));
        let lane = Lane::Join(self.consumer);
        let connection = self.cluster.coordinator_on(CoordinatorKind::Group, &self.group, lane).await?;
        let answer = connection.call_within(request, self.held_back()).await?;
        if let Err(code) = ErrorCode::check(answer.error_code) {
            return Ok(Err(Failure::Code { code, member_id: answer.member_id.to_string() }));
        }
        let instance = |id: &StrBytes| id.to_string();
        Ok(Ok(Joined {
            generation: answer.generation_id,
            protocol: answer.protocol_name.unwrap_or_default().to_string(),
            leader: answer.leader.to_string(),
            member_id: answer.member_id.to_string(),
            skip_assignment: answer.skip_assignment,
            members: answer
                .members
                .iter()
                .map(|m| (m.member_id.to_string(), m.group_instance_id.as_ref().map(instance), m.metadata.clone()))
                .collect(),
        }))
    }

    pub(super) async fn sync(&self, sync: &Sync) -> Result<Result<Bytes, Failure>, ClusterError> {
        let assignment = |(member, blob): (&String, &Bytes)| {
            SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(blob.clone())
        };
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(sync.identity.generation)
            .with_member_id(text(&sync.identity.member_id))
            .with_group_instance_id(sync.identity.instance_id.as_deref().map(text))
            .with_protocol_type(Some(PROTOCOL_TYPE))
            .with_protocol_name(Some(StrBytes::from_static_str(sync.protocol.name())))
            .with_assignments(sync.assignments.iter().map(assignment).collect());
        let lane = Lane::Join(self.consumer);
        let connection = self.cluster.coordinator_on(CoordinatorKind::Group, &self.group, lane).await?;
        let answer = connection.call_within(request, self.held_back()).await?;
        Ok(match ErrorCode::check(answer.error_code) {
            Ok(()) => Ok(answer.assignment),
            Err(code) => Err(Failure::code(code)),
        })
    }

    pub(super) async fn heartbeat(&self, identity: &Identity) -> Result<Result<(), Failure>, ClusterError> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(identity.generation)
            .with_member_id(text(&identity.member_id))
            .with_group_instance_id(identity.instance_id.as_deref().map(text));
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let answer = connection.call(request).await?;
        Ok(ErrorCode::check(answer.error_code).map_err(Failure::code))
    }

    pub(super) async fn leave(&self, identity: &Identity, reason: &'static str) -> Result<(), ClusterError> {
        let member = MemberIdentity::default()
            .with_member_id(text(&identity.member_id))
            .with_group_instance_id(identity.instance_id.as_deref().map(text))
            .with_reason(Some(StrBytes::from_static_str(reason)));
        let request = LeaveGroupRequest::default().with_group_id(self.group_id()).with_members(vec![member]);
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let answer = connection.call(request).await?;
        ErrorCode::check(answer.error_code).map_err(|code| {
            ClusterError::refused(CoordinatorKind::Group.describe(&self.group), code, None).needing("Read")
        })
    }

    /// The positions that the group has committed, with `None` where it has none. A member of the consumer protocol says who
    /// asks, so that it gets no answer in an epoch that has passed.
    pub(super) async fn committed(
        &self,
        partitions: &[TopicPartition],
        require_stable: bool,
        asks: Option<&Identity>,
    ) -> Result<PerPartition<Option<Position>>, ClusterError> {
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let topics = by_topic(partitions.iter().map(|partition| (partition, ())));
        let numbers =
            |partitions: Vec<(i32, ())>| partitions.into_iter().map(|(number, ())| number).collect::<Vec<_>>();
        let grouped =
            connection.negotiated::<OffsetFetchRequest>().is_some_and(|version| version >= OFFSET_FETCH_GROUPS);
        let request = OffsetFetchRequest::default().with_require_stable(require_stable);
        let request = if grouped {
            let topic = |(name, partitions): (&str, _)| {
                OffsetFetchRequestTopics::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(numbers(partitions))
            };
            let topics = topics.into_iter().map(topic).collect();
            let mut group = OffsetFetchRequestGroup::default().with_group_id(self.group_id()).with_topics(Some(topics));
            if let Some(Identity { generation, member_id, .. }) = asks {
                group = group.with_member_id(Some(text(member_id))).with_member_epoch(*generation);
            }
            request.with_groups(vec![group])
        } else {
            let topic = |(name, partitions): (&str, _)| {
                OffsetFetchRequestTopic::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(numbers(partitions))
            };
            request.with_group_id(self.group_id()).with_topics(Some(topics.into_iter().map(topic).collect()))
        };
        let answer = connection.call(request).await?;
        let refused =
            |code| ClusterError::refused(CoordinatorKind::Group.describe(&self.group), code, None).needing("Describe");
        let place = |code: i16, offset: i64, epoch: i32| {
            ErrorCode::check(code).map(|()| (offset >= 0).then(|| Position::from_wire(offset, epoch)))
        };
        let mut found = PerPartition::new();
        if grouped {
            for group in &answer.groups {
                ErrorCode::check(group.error_code).map_err(refused)?;
                for (topic, p) in group.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
                    let name = TopicPartition::new(topic.name.as_str(), p.partition_index);
                    found.insert(name, place(p.error_code, p.committed_offset, p.committed_leader_epoch));
                }
            }
        } else {
            ErrorCode::check(answer.error_code).map_err(refused)?;
            for (topic, p) in answer.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
                let name = TopicPartition::new(topic.name.as_str(), p.partition_index);
                found.insert(name, place(p.error_code, p.committed_offset, p.committed_leader_epoch));
            }
        }
        Ok(found)
    }

    pub(super) async fn commit(
        &self,
        identity: &Identity,
        positions: &Positions,
    ) -> Result<PerPartition<()>, ClusterError> {
        let partition = |(number, position): (i32, Position)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(number)
                .with_committed_offset(position.offset)
                .with_committed_leader_epoch(position.wire_epoch())
        };
        let topic = |(name, partitions): (&str, Vec<_>)| {
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.into_iter().map(partition).collect())
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(identity.generation)
            .with_member_id(text(&identity.member_id))
            .with_group_instance_id(identity.instance_id.as_deref().map(text))
            .with_topics(by_topic(positions.iter()).into_iter().map(topic).collect());
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let answer = connection.call(request).await?;
        let partitions = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
        Ok(partitions
            .map(|(topic, p)| {
                (TopicPartition::new(topic.name.as_str(), p.partition_index), ErrorCode::check(p.error_code))
            })
            .collect())
    }

    pub(super) fn forget_coordinator(&self) {
        self.cluster.forget_coordinator(CoordinatorKind::Group, &self.group);
    }
}

/// Asks one leader where these partitions begin, end, or reach a time.
pub(super) async fn list_offsets(
    cluster: &Cluster,
    leader: i32,
    wants: &[(Want, ListedAt)],
    isolation_level: IsolationLevel,
) -> Result<PerPartition<Option<Position>>, ClusterError> {
    let metadata = cluster.metadata();
    let partition = |(number, (at, epoch)): (i32, (ListedAt, i32))| {
        ListOffsetsPartition::default()
            .with_partition_index(number)
            .with_timestamp(at.timestamp())
            .with_current_leader_epoch(epoch)
    };
    let topic = |(name, partitions): (&str, Vec<_>)| {
        ListOffsetsTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let epoch_of = |p: &TopicPartition| metadata.leader(&p.topic, p.partition).map_or(-1, |(_, epoch)| epoch);
    let asked = by_topic(wants.iter().map(|(want, at)| (&want.partition, (*at, epoch_of(&want.partition)))));
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation_level.on_wire())
        .with_topics(asked.into_iter().map(topic).collect());
    let answer = cluster.broker(leader, Lane::General).await?.call(request).await?;
    let partitions = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
    Ok(partitions
        .map(|(topic, p)| {
            let place = ErrorCode::check(p.error_code)
                .map(|()| (p.offset >= 0).then(|| Position::from_wire(p.offset, p.leader_epoch)));
            (TopicPartition::new(topic.name.as_str(), p.partition_index), place)
        })
        .collect())
}

/// Asks one leader where, in its log, the epochs end in which the last records before these places were written; `None` for an
/// epoch that it does not know (KIP-320).
pub(super) async fn epoch_ends(
    cluster: &Cluster,
    leader: i32,
    unchecked: &[Unchecked],
) -> Result<PerPartition<Option<Position>>, ClusterError> {
    let partition = |(number, unchecked): (i32, &Unchecked)| {
        OffsetForLeaderPartition::default()
            .with_partition(number)
            .with_current_leader_epoch(unchecked.epoch)
            .with_leader_epoch(unchecked.position.wire_epoch())
    };
    let topic = |(name, partitions): (&str, Vec<_>)| {
        OffsetForLeaderTopic::default()
            .with_topic(topic_name(name))
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let asked = by_topic(unchecked.iter().map(|unchecked| (&unchecked.want.partition, unchecked)));
    let request = OffsetForLeaderEpochRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(asked.into_iter().map(topic).collect());
    let answer = cluster.broker(leader, Lane::General).await?.call(request).await?;
    let partitions = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
    Ok(partitions
        .map(|(topic, p)| {
            let end = ErrorCode::check(p.error_code)
                .map(|()| (p.end_offset >= 0).then(|| Position::from_wire(p.end_offset, p.leader_epoch)));
            (TopicPartition::new(topic.topic.as_str(), p.partition), end)
        })
        .collect())
}

pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
