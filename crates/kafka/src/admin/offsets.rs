//! A group's committed offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse,
};

use super::{Admin, At, check, first_retriable, text, topic_name};
use crate::cluster::ClusterError;
use crate::connection::Connection;
use crate::consumer::TopicPartition;

/// A position that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it, if the committer knew.
    pub leader_epoch: Option<i32>,
    /// Whatever the committer added.
    pub metadata: String,
}

/// From here on OffsetFetch asks for several groups, in another shape (KIP-709).
const GROUPS_VERSION: i16 = 8;

impl Admin {
    /// Everything that a group has committed (OffsetFetch).
    ///
    /// # Errors
    /// For each partition: what its coordinator says. Outside: a missing right, an outage.
    pub async fn list_group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, Result<CommittedOffset, ClusterError>>, ClusterError> {
        let one = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(None);
        let many = OffsetFetchRequest::default().with_groups(vec![one]);
        let single = OffsetFetchRequest::default().with_group_id(GroupId(text(group))).with_topics(None);
        let attempt = |connection: Arc<Connection>| {
            let version = connection.negotiated::<OffsetFetchRequest>();
            let request =
                if version.is_some_and(|version| version >= GROUPS_VERSION) { &many } else { &single }.clone();
            async move { connection.call(request).await }
        };
        let answer = self.retrying(At::Coordinator(group), attempt, group_code).await?;
        check(format!("group {group}"), group_code(&answer), None)?;
        let mut offsets = BTreeMap::new();
        let mut note = |topic: &str, partition: i32, code: i16, offset: i64, epoch: i32, metadata: Option<String>| {
            let partition = TopicPartition::new(topic, partition);
            let outcome =
                check(format!("offset of {partition} in group {group}"), code, None).map(|()| CommittedOffset {
                    offset,
                    leader_epoch: (epoch >= 0).then_some(epoch),
                    metadata: metadata.unwrap_or_default(),
                });
            // An offset of -1 says that nothing is committed there.
            if offset >= 0 || outcome.is_err() {
                offsets.insert(partition, outcome);
            }
        };
        for topic in answer.groups.iter().flat_map(|group| &group.topics) {
            for p in &topic.partitions {
                let metadata = p.metadata.as_ref().map(ToString::to_string);
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                note(&topic.name, p.partition_index, p.error_code, offset, epoch, metadata);
            }
        }
        for topic in &answer.topics {
            for p in &topic.partitions {
                let metadata = p.metadata.as_ref().map(ToString::to_string);
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                note(&topic.name, p.partition_index, p.error_code, offset, epoch, metadata);
            }
        }
        Ok(offsets)
    }

    /// Sets a group's offsets (OffsetCommit outside of any generation). The group must have no members.
    ///
    /// # Errors
    /// For each partition: `UNKNOWN_MEMBER_ID` while the group has members, a missing right. Outside: an outage.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClusterError>>, ClusterError> {
        let mut topics: BTreeMap<String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            let committed = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(offset)
                .with_committed_metadata(Some(text("")));
            topics.entry(partition.topic.to_string()).or_default().push(committed);
        }
        let topic = |(name, partitions): (String, Vec<_>)| {
            OffsetCommitRequestTopic::default().with_name(topic_name(&name)).with_partitions(partitions)
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.into_iter().map(topic).collect());
        let code = |answer: &kafka_protocol::messages::OffsetCommitResponse| {
            first_retriable(
                answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code),
            )
        };
        let answer = self.ask(At::Coordinator(group), request, code).await?;
        let mut outcomes = BTreeMap::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let named = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let outcome = check(format!("offset of {named} in group {group}"), partition.error_code, None);
                outcomes.insert(named, outcome);
            }
        }
        Ok(outcomes)
    }

    /// Forgets a group's offsets of partitions that it does not read (OffsetDelete).
    ///
    /// # Errors
    /// For each partition: `GROUP_SUBSCRIBED_TO_TOPIC`, a missing right. Outside: an unknown group, an outage.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClusterError>>, ClusterError> {
        let mut topics: BTreeMap<String, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for partition in partitions {
            let named = OffsetDeleteRequestPartition::default().with_partition_index(partition.partition);
            topics.entry(partition.topic.to_string()).or_default().push(named);
        }
        let topic = |(name, partitions): (String, Vec<_>)| {
            OffsetDeleteRequestTopic::default().with_name(topic_name(&name)).with_partitions(partitions)
        };
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(topics.into_iter().map(topic).collect());
        let answer = self.ask(At::Coordinator(group), request, |answer| answer.error_code).await?;
        check(format!("group {group}"), answer.error_code, None)?;
        let mut outcomes = BTreeMap::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let named = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let outcome = check(format!("offset of {named} in group {group}"), partition.error_code, None);
                outcomes.insert(named, outcome);
            }
        }
        Ok(outcomes)
    }
}

fn group_code(answer: &OffsetFetchResponse) -> i16 {
    answer.groups.first().map_or(answer.error_code, |group| group.error_code)
}
