//! ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848).

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member as DescribedMember, TopicPartitions as DescribedTopic,
};
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use uuid::Uuid;

use super::super::Broker;
use super::clusters::authorized_operations;
use super::{Caller, once_each, text};
use crate::access::{Operation, ResourceKind};
use crate::groups::consumer::{Heartbeat, MemberView, Partitions, Refusal};

/// The kinds of members that ConsumerGroupDescribe tells apart.
const SPEAKS_CLASSIC_PROTOCOL: i8 = 0;
const SPEAKS_CONSUMER_PROTOCOL: i8 = 1;

/// ConsumerGroupHeartbeat.
pub(super) fn heartbeat(
    broker: &Broker,
    caller: &Caller<'_>,
    request: ConsumerGroupHeartbeatRequest,
    client_id: &str,
    version: i16,
) -> ConsumerGroupHeartbeatResponse {
    match answer(broker, caller, request, client_id, version) {
        Ok(response) => response,
        Err(Refusal { error, message }) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)).filter(|message| !message.is_empty())),
    }
}

fn answer(
    broker: &Broker,
    caller: &Caller<'_>,
    request: ConsumerGroupHeartbeatRequest,
    client_id: &str,
    version: i16,
) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
    let Some(settings) = broker.groups.consumer_settings() else {
        return Err(Refusal::new(ResponseError::UnsupportedVersion, ""));
    };
    let group = request.group_id.0.to_string();
    if !broker.allows(&caller.principal, ResourceKind::Group, &group, Operation::Read) {
        return Err(Refusal::new(ResponseError::GroupAuthorizationFailed, ""));
    }
    let describable = |topic: &str| broker.allows(&caller.principal, ResourceKind::Topic, topic, Operation::Describe);
    let mut names = request.subscribed_topic_names.iter().flatten();
    if !names.all(|name| describable(&name.0)) {
        return Err(Refusal::new(ResponseError::TopicAuthorizationFailed, ""));
    }
    let mut beat = read(request, client_id, caller);
    beat.check(&group, version)?;
    if beat.member_id.is_empty() {
        // Before version 1 the coordinator chose the ids.
        beat.member_id = Uuid::new_v4().to_string();
    }
    let topics = broker.topics.catalogue();
    let may_see = |topic: &str| broker.may_see(&caller.principal, ResourceKind::Topic, topic);
    let answer = broker.groups.consumer_heartbeat(&group, beat, &topics, &may_see)?;
    let interval = i32::try_from(settings.heartbeat_interval.as_millis()).unwrap_or(i32::MAX);
    let assignment = answer.assignment.map(|partitions| {
        let topics = by_topic(&partitions)
            .into_iter()
            .map(|(topic, partitions)| TopicPartitions::default().with_topic_id(topic).with_partitions(partitions));
        Assignment::default().with_topic_partitions(topics.collect())
    });
    Ok(ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(answer.member_id)))
        .with_member_epoch(answer.member_epoch)
        .with_heartbeat_interval_ms(if answer.member_epoch < 0 { 0 } else { interval })
        .with_assignment(assignment))
}

fn read(request: ConsumerGroupHeartbeatRequest, client_id: &str, caller: &Caller<'_>) -> Heartbeat {
    let owned = request.topic_partitions.map(|topics| {
        let each = |topic: kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions| {
            topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
        };
        topics.into_iter().flat_map(each).collect()
    });
    Heartbeat {
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id.map(|id| id.to_string()),
        rack_id: request.rack_id.map(|id| id.to_string()),
        rebalance_timeout: match request.rebalance_timeout_ms {
            -1 => None,
            timeout => Some(Duration::from_millis(u64::try_from(timeout).unwrap_or_default())),
        },
        topics: request.subscribed_topic_names.map(|names| names.iter().map(|name| name.0.to_string()).collect()),
        regex: request.subscribed_topic_regex.map(|regex| regex.to_string()),
        assignor: request.server_assignor.map(|name| name.to_string()),
        owned,
        client_id: client_id.to_owned(),
        client_host: format!("/{}", caller.host),
    }
}

fn by_topic(partitions: &Partitions) -> BTreeMap<Uuid, Vec<i32>> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(*topic).or_default().push(*partition);
    }
    topics
}

/// ConsumerGroupDescribe.
pub(super) fn describe(
    broker: &Broker,
    caller: &Caller<'_>,
    mut request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    once_each(&mut request.group_ids, Clone::clone);
    let groups = request.group_ids.into_iter().map(|id| {
        let described = match describe_one(broker, caller, &id) {
            Ok(described) => described,
            Err(Refusal { error, message }) => DescribedGroup::default()
                .with_error_code(error.code())
                .with_error_message(Some(text(message)).filter(|message| !message.is_empty())),
        };
        let may_tell = request.include_authorized_operations && described.error_code == 0;
        let described = if may_tell {
            let operations = authorized_operations(broker, caller, ResourceKind::Group, &id.0);
            described.with_authorized_operations(operations)
        } else {
            described
        };
        described.with_group_id(id)
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe_one(broker: &Broker, caller: &Caller<'_>, id: &GroupId) -> Result<DescribedGroup, Refusal> {
    if broker.groups.consumer_settings().is_none() {
        return Err(Refusal::new(ResponseError::UnsupportedVersion, ""));
    }
    if !broker.allows(&caller.principal, ResourceKind::Group, &id.0, Operation::Describe) {
        return Err(Refusal::new(ResponseError::GroupAuthorizationFailed, ""));
    }
    let names: BTreeMap<Uuid, TopicName> =
        broker.topics.all().iter().map(|topic| (topic.id, TopicName(text(&topic.name)))).collect();
    let described = broker.groups.with(&id.0, false, |entry| {
        let why_not = if entry.is_some() { "is not a consumer group" } else { "not found" };
        let group = entry
            .as_ref()
            .and_then(|entry| entry.group.consumer())
            .ok_or_else(|| Refusal::new(ResponseError::GroupIdNotFound, format!("Group {} {why_not}.", &*id.0)))?;
        Ok(DescribedGroup::default()
            .with_group_state(text(group.state_name()))
            .with_group_epoch(group.epoch())
            .with_assignment_epoch(group.target_epoch())
            .with_assignor_name(text(group.assignor_name()))
            .with_members(group.views().map(|member| describe_member(&member, &names)).collect()))
    })?;
    let told = described.members.iter().flat_map(|member| {
        let assignments = [&member.assignment, &member.target_assignment].into_iter();
        let assigned = assignments.flat_map(|assignment| &assignment.topic_partitions).map(|topic| &topic.topic_name);
        member.subscribed_topic_names.iter().chain(assigned)
    });
    for topic in told {
        if !broker.may_see(&caller.principal, ResourceKind::Topic, &topic.0) {
            let message = "The group has described topic(s) that the client is not authorized to describe.";
            return Err(Refusal::new(ResponseError::TopicAuthorizationFailed, message));
        }
    }
    Ok(described)
}

fn describe_member(member: &MemberView<'_>, names: &BTreeMap<Uuid, TopicName>) -> DescribedMember {
    let describe = |partitions: &Partitions| {
        let topics = by_topic(partitions).into_iter().filter_map(|(topic, partitions)| {
            let described = DescribedTopic::default().with_topic_id(topic).with_partitions(partitions);
            Some(described.with_topic_name(names.get(&topic)?.clone()))
        });
        DescribedAssignment::default().with_topic_partitions(topics.collect())
    };
    DescribedMember::default()
        .with_member_id(text(member.id))
        .with_instance_id(member.instance_id.map(text))
        .with_rack_id(member.rack_id.map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(member.topics.iter().map(|name| TopicName(text(name))).collect())
        .with_subscribed_topic_regex(member.regex.map(text))
        .with_assignment(describe(&member.assigned))
        .with_target_assignment(describe(&member.target))
        .with_member_type(if member.is_classic { SPEAKS_CLASSIC_PROTOCOL } else { SPEAKS_CONSUMER_PROTOCOL })
}
