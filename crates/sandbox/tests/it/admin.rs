//! Topics, settings and groups as their administrator sees them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, GroupId, JoinGroupRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Wire, sandbox};

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("readers"))
}

fn topic(topic: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(1)
}

async fn create(wire: &mut Wire, topics: Vec<CreatableTopic>) -> Vec<(String, i16, i32)> {
    let answer = wire.call(&CreateTopicsRequest::default().with_topics(topics), 7).await.unwrap();
    let line = |topic: &kafka_protocol::messages::create_topics_response::CreatableTopicResult| {
        (topic.name.0.to_string(), topic.error_code, topic.num_partitions)
    };
    answer.topics.iter().map(line).collect()
}

#[tokio::test]
async fn topics_have_up_to_100_partitions_and_what_is_wrong_is_said() {
    let sandbox = sandbox().await;
    let mut wire = Wire::open(&sandbox).await;
    let config =
        |value| CreatableTopicConfig::default().with_name(StrBytes::from_static_str("retention.ms")).with_value(value);
    let assignment = |index, broker| {
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(vec![BrokerId(broker)])
    };
    let assigned = |name, assignments| topic(name, -1).with_replication_factor(-1).with_assignments(assignments);
    let error = |error: ResponseError| error.code();
    for (asked, expected) in [
        (topic("hundred", 100), (0, 100)),
        (topic("default", -1), (0, 3)),
        (assigned("assigned", vec![assignment(1, 1), assignment(0, 1)]), (0, 2)),
        (topic("many", 101), (error(ResponseError::InvalidPartitions), -1)),
        (topic("none", 0), (error(ResponseError::InvalidPartitions), -1)),
        (topic("copies", 1).with_replication_factor(3), (error(ResponseError::InvalidReplicationFactor), -1)),
        (topic("not a name", 1), (error(ResponseError::InvalidTopicException), -1)),
        (topic("orders", 3), (error(ResponseError::TopicAlreadyExists), -1)),
        (topic("null", 1).with_configs(vec![config(None)]), (error(ResponseError::InvalidConfig), -1)),
        (assigned("gap", vec![assignment(1, 1)]), (error(ResponseError::InvalidReplicaAssignment), -1)),
        (assigned("elsewhere", vec![assignment(0, 2)]), (error(ResponseError::InvalidReplicaAssignment), -1)),
    ] {
        let label = asked.name.0.to_string();
        assert_eq!(create(&mut wire, vec![asked]).await, [(label, expected.0, expected.1)]);
    }
    let twice = create(&mut wire, vec![topic("twice", 1), topic("twice", 1)]).await;
    assert_eq!(twice, [("twice".to_owned(), ResponseError::InvalidRequest.code(), -1)], "answered once");
}

#[tokio::test]
async fn metadata_tells_a_bad_name_from_an_unknown_one_and_answers_each_once() {
    let sandbox = sandbox().await;
    let mut wire = Wire::open(&sandbox).await;
    let asked = ["orders", "orders", "unknown", "not a name"]
        .map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))));
    let answer = wire.call(&MetadataRequest::default().with_topics(Some(asked.to_vec())), 9).await.unwrap();
    let errors: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
    let (unknown, bad) = (ResponseError::UnknownTopicOrPartition.code(), ResponseError::InvalidTopicException.code());
    assert_eq!(errors, [0, unknown, bad]);
}

fn commit(topic: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

async fn listed(wire: &mut Wire) -> Vec<String> {
    let answer = wire.call(&ListGroupsRequest::default(), 4).await.unwrap();
    answer.groups.iter().map(|group| group.group_id.0.to_string()).collect()
}

#[tokio::test]
async fn a_refused_request_makes_no_group() {
    let sandbox = sandbox().await;
    let mut wire = Wire::open(&sandbox).await;
    wire.call(&commit("unknown"), 8).await.unwrap();
    let join = JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(1);
    wire.call(&join, 5).await.unwrap();
    assert_eq!(listed(&mut wire).await, Vec::<String>::new());
    wire.call(&commit("orders"), 8).await.unwrap();
    assert_eq!(listed(&mut wire).await, ["readers"]);
}

#[tokio::test]
async fn offsets_are_deleted_but_of_topics_that_a_member_reads() {
    let sandbox = sandbox().await;
    let mut wire = Wire::open(&sandbox).await;
    create(&mut wire, vec![topic("other", 1)]).await;
    wire.call(&commit("orders"), 8).await.unwrap();
    wire.call(&commit("other"), 8).await.unwrap();
    // Version 1 of a subscription: one topic, no user data, no owned partitions.
    let mut metadata = vec![0, 1, 0, 0, 0, 1, 0, 6];
    metadata.extend(b"orders");
    metadata.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(metadata.into());
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    assert_eq!(wire.call(&join, 3).await.unwrap().error_code, 0);
    let asked = ["orders", "other", "unknown"].map(|topic| {
        let partitions = vec![OffsetDeleteRequestPartition::default()];
        OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(partitions)
    });
    let request = OffsetDeleteRequest::default().with_group_id(group()).with_topics(asked.to_vec());
    let answer = wire.call(&request, 0).await.unwrap();
    let errors: Vec<_> = answer.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    let (read, unknown) = (ResponseError::GroupSubscribedToTopic, ResponseError::UnknownTopicOrPartition);
    assert_eq!(errors, [read.code(), 0, unknown.code()]);
}
