//! What each client of `tf/access.json` may do: the sandbox decides by the rules, Apache Kafka by the ACLs that `scripts/acls` makes of
//! them, and what Kafka decided is on file (`kafka-access.txt`, recorded as `recorded` says).

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};

use crate::recorded::compare;
use crate::wire::{Wire, read_answer, sandbox};

const CLIENTS: [&str; 4] = ["order-producer", "fulfillment-service", "picklist-consumer", "operator"];
const TOPICS: [&str; 2] = ["grocery.orders.v1", "grocery.picklist.v1"];
const GROUPS: [&str; 2] = ["fulfillment-service-group", "picklist-consumer-group"];
const TOPIC_RESOURCE: i8 = 2;

/// TOPIC_, GROUP_, CLUSTER_ and TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
const REFUSALS: [i16; 4] = [29, 30, 31, 53];

/// A request as it is named in the file.
struct Question {
    name: &'static str,
    api: i16,
    version: i16,
    body: Bytes,
    read: fn(Bytes, i16) -> String,
}

fn question<R: Request<Response: std::fmt::Debug>>(name: &'static str, version: i16, request: &R) -> Question {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    Question { name, api: R::KEY, version, body: body.freeze(), read: read_answer::<R> }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Whatever is about a topic. Nothing of it changes anything, should it be allowed: the batch is no batch.
fn of_topic(topic: &str) -> Vec<Question> {
    let name = || TopicName(text(topic));
    let batch = PartitionProduceData::default().with_records(Some(Bytes::from_static(b"no batch")));
    let produced = TopicProduceData::default().with_name(name()).with_partition_data(vec![batch]);
    let fetched = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let fetched = FetchTopic::default().with_topic(name()).with_partitions(vec![fetched]);
    let listed = ListOffsetsPartition::default().with_timestamp(-1);
    let listed = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![listed]);
    let epoch =
        OffsetForLeaderTopic::default().with_topic(name()).with_partitions(vec![OffsetForLeaderPartition::default()]);
    let deleted = DeleteRecordsTopic::default()
        .with_name(name())
        .with_partitions(vec![DeleteRecordsPartition::default().with_partition_index(99)]);
    let config = DescribeConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(text(topic))
        .with_configuration_keys(None);
    let asked = MetadataRequestTopic::default().with_name(Some(name()));
    vec![
        question("Metadata", 9, &MetadataRequest::default().with_topics(Some(vec![asked]))),
        question(
            "Produce",
            9,
            &ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![produced]),
        ),
        question("Fetch", 12, &FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![fetched])),
        question("ListOffsets", 7, &ListOffsetsRequest::default().with_topics(vec![listed])),
        question("OffsetForLeaderEpoch", 4, &OffsetForLeaderEpochRequest::default().with_topics(vec![epoch])),
        question("DeleteRecords", 2, &DeleteRecordsRequest::default().with_topics(vec![deleted])),
        question("DescribeConfigs", 4, &DescribeConfigsRequest::default().with_resources(vec![config])),
    ]
}

/// Whatever is about a group, as somebody whom the group does not know.
fn of_group(group: &str) -> Vec<Question> {
    let id = || GroupId(text(group));
    let member = text("nobody");
    let committed = |topic: &str| {
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![OffsetCommitRequestPartition::default()])
    };
    let commit = |topic| {
        let request = OffsetCommitRequest::default().with_group_id(id()).with_member_id(text("nobody"));
        request.with_generation_id_or_member_epoch(1).with_topics(vec![committed(topic)])
    };
    let sync = SyncGroupRequest::default()
        .with_group_id(id())
        .with_member_id(member.clone())
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")));
    let fetched = OffsetFetchRequestGroup::default().with_group_id(id()).with_topics(None);
    vec![
        question("FindCoordinator", 4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)])),
        question("Heartbeat", 4, &HeartbeatRequest::default().with_group_id(id()).with_member_id(member)),
        question("SyncGroup", 5, &sync),
        question("OffsetCommit of orders", 8, &commit(TOPICS[0])),
        question("OffsetCommit of pick lists", 8, &commit(TOPICS[1])),
        question("OffsetFetch", 8, &OffsetFetchRequest::default().with_groups(vec![fetched])),
        question("DescribeGroups", 5, &DescribeGroupsRequest::default().with_groups(vec![id()])),
    ]
}

fn of_transactions(id: &str) -> Vec<Question> {
    let found = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(id)]);
    vec![question("FindCoordinator", 4, &found)]
}

fn of_cluster() -> Vec<Question> {
    let topic = CreatableTopic::default().with_name(TopicName(text("another"))).with_num_partitions(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic.with_replication_factor(1)]);
    let producer = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    vec![
        question("DescribeCluster", 1, &DescribeClusterRequest::default()),
        question("ListGroups", 4, &ListGroupsRequest::default()),
        question("CreateTopics to try", 7, &create.with_validate_only(true).with_timeout_ms(5_000)),
        question("InitProducerId", 4, &producer),
    ]
}

/// Asks and returns the names of those that are allowed.
async fn allowed(wire: &mut Wire, questions: Vec<Question>) -> String {
    let mut allowed = Vec::new();
    for Question { name, api, version, body, read } in questions {
        let answer =
            wire.exchange(api, version, &body).await.unwrap_or_else(|| panic!("{name}: the connection was closed"));
        let answer = read(answer, version);
        if !REFUSALS.iter().any(|code| answer.contains(&format!("error_code: {code},"))) {
            allowed.push(name);
        }
    }
    if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }
}

#[tokio::test]
async fn each_client_may_do_what_kafka_allows_it_by_the_same_rules() {
    let sandbox = sandbox().await;
    let mut lines = String::new();
    for client in CLIENTS {
        let mut wire = Wire::log_in(&sandbox, client).await;
        let mut about = Vec::new();
        about.extend(TOPICS.map(|topic| (format!("topic {topic}"), of_topic(topic))));
        about.extend(GROUPS.map(|group| (format!("group {group}"), of_group(group))));
        about.extend(
            ["fulfillment-service-1", "other"].map(|id| (format!("transactional id {id}"), of_transactions(id))),
        );
        about.push(("the cluster".to_owned(), of_cluster()));
        for (resource, questions) in about {
            lines += &format!("{client} on {resource}: {}\n", allowed(&mut wire, questions).await);
        }
    }
    compare(&lines, "kafka-access.txt", include_str!("kafka-access.txt"));
    sandbox.shutdown().await;
}
