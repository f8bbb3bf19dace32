//! The requests of the consumer rebalance protocol (KIP-848): from our terms into messages and back.

use std::time::Duration;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest};
use kafka_protocol::protocol::StrBytes;

use super::calls::{GroupCalls, millis, text, topic_name};
use crate::cluster::{ClusterError, CoordinatorKind};
use crate::error::ErrorCode;
use crate::group::incremental::{Beat, BeatAnswer, LEAVING_FOR_A_WHILE, Wanted};
use crate::group::membership::Failure;

/// The first version that takes a pattern for topics.
const PATTERNS_FROM: i16 = 1;
/// The feature that brings the protocol, and its level (KIP-848).
const FEATURE: &str = "group.version";

impl GroupCalls {
    /// Asks the coordinator whether it offers the consumer protocol; else in words what it lacks.
    pub(super) async fn offers_consumer_protocol(&self, patterns: bool) -> Result<Result<(), String>, ClusterError> {
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let broker = connection.broker();
        let Some(version) = connection.negotiated::<ConsumerGroupHeartbeatRequest>() else {
            return Ok(Err(format!("broker {broker} does not know ConsumerGroupHeartbeat")));
        };
        if connection.feature(FEATURE).is_none_or(|level| level < 1) {
            return Ok(Err(format!("the cluster has not finalized the feature {FEATURE} (seen by broker {broker})")));
        }
        if patterns && version < PATTERNS_FROM {
            return Ok(Err(format!(
                "broker {broker} takes no patterns for topics in ConsumerGroupHeartbeat {version}"
            )));
        }
        Ok(Ok(()))
    }

    pub(super) async fn beat(&self, beat: &Beat) -> Result<Result<BeatAnswer, Failure>, ClusterError> {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(text(&beat.member_id))
            .with_member_epoch(beat.epoch)
            .with_instance_id(beat.instance_id.as_deref().map(text))
            .with_rack_id(beat.rack.as_deref().map(text))
            .with_rebalance_timeout_ms(beat.rebalance_timeout.map_or(-1, millis))
            .with_server_assignor(beat.assignor.as_deref().map(text))
            .with_topic_partitions(None);
        match &beat.wanted {
            Some(Wanted::Topics(topics)) => {
                request.subscribed_topic_names = Some(topics.iter().map(|topic| topic_name(topic)).collect());
            }
            Some(Wanted::Matching(pattern)) => request.subscribed_topic_regex = Some(text(pattern)),
            None => {}
        }
        if let Some(owned) = &beat.owned {
            let topic = |(id, partitions): (&uuid::Uuid, &Vec<i32>)| {
                TopicPartitions::default().with_topic_id(*id).with_partitions(partitions.clone())
            };
            request.topic_partitions = Some(owned.iter().map(topic).collect());
        }
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let answer = connection.call(request).await?;
        if let Err(code) = ErrorCode::check(answer.error_code) {
            if let Some(message) = &answer.error_message {
                tracing::debug!(group = self.group, %code, "the coordinator says: {message}");
            }
            return Ok(Err(Failure::code(code)));
        }
        Ok(Ok(BeatAnswer {
            member_id: answer.member_id.as_ref().map(StrBytes::to_string),
            epoch: answer.member_epoch,
            interval: Duration::from_millis(u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0)),
            assignment: answer.assignment.map(|assignment| {
                assignment.topic_partitions.into_iter().map(|topic| (topic.topic_id, topic.partitions)).collect()
            }),
        }))
    }

    /// Lets the member that has this instance id leave for a while, so that another may take its place and its partitions.
    ///
    /// The coordinator keeps the place of a static member until its session ends or it says that it leaves, and one that was
    /// killed never says so. In the classic protocol whoever joins with the instance id takes over and the other is
    /// fenced; this comes to the same.
    pub(super) async fn release(&self, instance_id: &str) -> Result<Result<(), Failure>, ClusterError> {
        let describe = ConsumerGroupDescribeRequest::default().with_group_ids(vec![self.group_id()]);
        let connection = self.cluster.coordinator(CoordinatorKind::Group, &self.group).await?;
        let answer = connection.call(describe).await?;
        for group in &answer.groups {
            if let Err(code) = ErrorCode::check(group.error_code) {
                return Ok(Err(Failure::code(code)));
            }
        }
        let members = answer.groups.iter().flat_map(|group| &group.members);
        let holds = |id: &Option<StrBytes>| id.as_ref().is_some_and(|id| id.as_str() == instance_id);
        let Some(holder) = members.into_iter().find(|member| holds(&member.instance_id)) else { return Ok(Ok(())) };
        tracing::warn!(
            group = self.group,
            instance_id,
            member = %holder.member_id,
            "taking the place of the member that has our group.instance.id and has not left"
        );
        let leave = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(holder.member_id.clone())
            .with_member_epoch(LEAVING_FOR_A_WHILE)
            .with_instance_id(Some(text(instance_id)))
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None);
        let answer = connection.call(leave).await?;
        Ok(match ErrorCode::check(answer.error_code) {
            // Somebody else was quicker, or it has left by itself.
            Ok(()) | Err(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID) => Ok(()),
            Err(code) => Err(Failure::code(code)),
        })
    }
}
