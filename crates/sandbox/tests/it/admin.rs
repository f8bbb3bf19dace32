//! Topics, settings and groups as their administrator sees them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DescribeConfigsRequest, GroupId,
    IncrementalAlterConfigsRequest, JoinGroupRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Broker, Wire};

/// The type of a resource that has settings.
const TOPIC: i8 = 2;

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A group that no other test uses.
fn group(broker: &Broker) -> GroupId {
    GroupId(StrBytes::from_string(format!("readers-{}", broker.run)))
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
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    let config =
        |value| CreatableTopicConfig::default().with_name(StrBytes::from_static_str("retention.ms")).with_value(value);
    let assignment = |index, broker| {
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(vec![BrokerId(broker)])
    };
    let assigned = |name, assignments| topic(name, -1).with_replication_factor(-1).with_assignments(assignments);
    let error = |error: ResponseError| error.code();
    if broker.sandbox.is_some() {
        let many = create(&mut wire, vec![topic("many", 101)]).await;
        assert_eq!(many, [("many".to_owned(), ResponseError::InvalidPartitions.code(), -1)]);
    }
    for (asked, expected) in [
        (topic("hundred", 100), (0, 100)),
        (assigned("assigned", vec![assignment(1, 1), assignment(0, 1)]), (0, 2)),
        (topic("none", 0), (error(ResponseError::InvalidPartitions), -1)),
        (topic("copies", 1).with_replication_factor(3), (error(ResponseError::InvalidReplicationFactor), -1)),
        (topic("not a name", 1), (error(ResponseError::InvalidTopicException), -1)),
        (topic("orders", 3), (error(ResponseError::TopicAlreadyExists), -1)),
        (topic("null", 1).with_configs(vec![config(None)]), (error(ResponseError::InvalidConfig), -1)),
        (assigned("gap", vec![assignment(1, 1)]), (error(ResponseError::InvalidReplicaAssignment), -1)),
        (assigned("elsewhere", vec![assignment(0, 2)]), (error(ResponseError::InvalidReplicaAssignment), -1)),
    ] {
        // Names of this test's own, but for the one that must be there already.
        let own = if &*asked.name.0 == "orders" {
            broker.orders.clone()
        } else {
            format!("{}-{}", &*asked.name.0, broker.run)
        };
        let (asked, label) = (asked.with_name(name(&own)), own);
        assert_eq!(create(&mut wire, vec![asked]).await, [(label, expected.0, expected.1)]);
    }
    let twice = create(&mut wire, vec![topic("twice", 1), topic("twice", 1)]).await;
    assert_eq!(twice, [("twice".to_owned(), ResponseError::InvalidRequest.code(), -1)], "answered once");
}

#[tokio::test]
async fn metadata_tells_a_bad_name_from_an_unknown_one_and_answers_each_once() {
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    let asked = [&broker.orders, &broker.orders, "unknown", "not a name"]
        .map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))));
    let answer = wire.call(&MetadataRequest::default().with_topics(Some(asked.to_vec())), 9).await.unwrap();
    let errors: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
    let (unknown, bad) = (ResponseError::UnknownTopicOrPartition.code(), ResponseError::InvalidTopicException.code());
    assert_eq!(errors, [0, unknown, bad]);
}

fn commit(broker: &Broker, topic: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group(broker))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

async fn exists(wire: &mut Wire, broker: &Broker) -> bool {
    let answer = wire.call(&ListGroupsRequest::default(), 4).await.unwrap();
    answer.groups.iter().any(|listed| listed.group_id == group(broker))
}

#[tokio::test]
async fn a_refused_request_makes_no_group() {
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    wire.call(&commit(&broker, "unknown"), 8).await.unwrap();
    let join = JoinGroupRequest::default().with_group_id(group(&broker)).with_session_timeout_ms(1);
    wire.call(&join, 5).await.unwrap();
    assert!(!exists(&mut wire, &broker).await);
    wire.call(&commit(&broker, &broker.orders), 8).await.unwrap();
    assert!(exists(&mut wire, &broker).await);
}

#[tokio::test]
async fn offsets_are_deleted_but_of_topics_that_a_member_reads() {
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    let other = format!("other-{}", broker.run);
    broker.create_topic(&other, 1).await;
    wire.call(&commit(&broker, &broker.orders), 8).await.unwrap();
    wire.call(&commit(&broker, &other), 8).await.unwrap();
    // Version 1 of a subscription: one topic, no user data, no owned partitions.
    let mut metadata = vec![0, 1, 0, 0, 0, 1, 0, broker.orders.len() as u8];
    metadata.extend(broker.orders.as_bytes());
    metadata.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(metadata.into());
    let join = JoinGroupRequest::default()
        .with_group_id(group(&broker))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    assert_eq!(wire.call(&join, 3).await.unwrap().error_code, 0);
    let asked = [&broker.orders, &other, "unknown"].map(|topic| {
        let partitions = vec![OffsetDeleteRequestPartition::default()];
        OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(partitions)
    });
    let request = OffsetDeleteRequest::default().with_group_id(group(&broker)).with_topics(asked.to_vec());
    let answer = wire.call(&request, 0).await.unwrap();
    let error = |topic: &str| {
        answer
            .topics
            .iter()
            .find(|answered| &*answered.name.0 == topic)
            .map(|answered| answered.partitions[0].error_code)
    };
    assert_eq!(error(&broker.orders), Some(ResponseError::GroupSubscribedToTopic.code()));
    assert_eq!(error(&other), Some(0));
    assert_eq!(error("unknown"), Some(ResponseError::UnknownTopicOrPartition.code()));
}

/// The error of each change, made with IncrementalAlterConfigs.
async fn alter(wire: &mut Wire, topic: &str, operation: i8, setting: &str, value: Option<&str>) -> i16 {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_string(setting.to_owned()))
        .with_config_operation(operation)
        .with_value(value.map(|value| StrBytes::from_string(value.to_owned())));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(name(topic).0)
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    wire.call(&request, 1).await.unwrap().responses[0].error_code
}

async fn setting(wire: &mut Wire, topic: &str, setting: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(name(topic).0)
        .with_configuration_keys(Some(vec![StrBytes::from_string(setting.to_owned())]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let config = wire.call(&request, 4).await.unwrap().results.remove(0).configs.remove(0);
    (config.value.unwrap().to_string(), config.config_source)
}

#[tokio::test]
async fn settings_are_set_reset_extended_and_checked() {
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    let orders = broker.orders.clone();
    let (set, reset, append, subtract) = (0, 1, 2, 3);
    let invalid = ResponseError::InvalidConfig.code();
    for (operation, key, value, expected) in [
        (set, "retention.ms", Some("1000"), 0),
        (set, "retention.ms", Some("soon"), invalid),
        (set, "retention.ms", Some("-2"), invalid),
        (set, "retention.days", Some("7"), invalid),
        (set, "retention.ms", None, ResponseError::InvalidRequest.code()),
        (set, "compression.type", Some("brotli"), invalid),
        (append, "cleanup.policy", Some("compact"), 0),
        (append, "retention.ms", Some("1"), invalid),
        (subtract, "cleanup.policy", Some("delete"), 0),
        (set, "min.cleanable.dirty.ratio", Some("2"), invalid),
    ] {
        assert_eq!(alter(&mut wire, &orders, operation, key, value).await, expected, "{operation} {key} {value:?}");
    }
    // What was asked for comes to be a moment later where the controller is another process.
    while setting(&mut wire, &orders, "cleanup.policy").await.0 != "compact" {
        tokio::task::yield_now().await;
    }
    assert_eq!(setting(&mut wire, &orders, "retention.ms").await, ("1000".to_owned(), 1));
    assert_eq!(alter(&mut wire, &orders, reset, "retention.ms", None).await, 0);
    while setting(&mut wire, &orders, "retention.ms").await != ("604800000".to_owned(), 5) {
        tokio::task::yield_now().await;
    }
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(alter(&mut wire, "unknown", set, "retention.ms", Some("1")).await, unknown);
    broker.shutdown().await;
}

#[tokio::test]
async fn partitions_are_added_and_never_taken() {
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    let (invalid, unknown) = (ResponseError::InvalidPartitions, ResponseError::UnknownTopicOrPartition);
    for (topic, count, expected) in [
        (broker.orders.as_str(), 2, invalid.code()),
        (broker.orders.as_str(), 3, invalid.code()),
        (broker.orders.as_str(), 0, invalid.code()),
        (broker.orders.as_str(), 5, 0),
        ("unknown", 5, unknown.code()),
    ] {
        let asked = CreatePartitionsTopic::default().with_name(name(topic)).with_count(count).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![asked]).with_timeout_ms(5_000);
        let answer = wire.call(&request, 3).await.unwrap();
        assert_eq!(answer.results[0].error_code, expected, "{topic} {count}");
    }
    broker.shutdown().await;
}
