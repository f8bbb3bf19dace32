//! Metadata, DescribeCluster, FindCoordinator: what there is and where.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    MetadataRequest, MetadataResponse, TopicName,
};

use super::super::topics::Topic;
use super::super::{Broker, NODE_ID};
use super::{Caller, once_each, text};
use crate::access::{CLUSTER_NAME, Operation, ResourceKind};
use crate::log::LEADER_EPOCH;

/// Kafka's numbers for operations, as bits of `authorized operations`.
const OPERATION_BITS: [(Operation, u8); 9] = [
    (Operation::Read, 3),
    (Operation::Write, 4),
    (Operation::Create, 5),
    (Operation::Delete, 6),
    (Operation::Alter, 7),
    (Operation::Describe, 8),
    (Operation::DescribeConfigs, 10),
    (Operation::AlterConfigs, 11),
    (Operation::IdempotentWrite, 12),
];

/// Metadata by topic id; versions 10 and 11 have the field and may not use it.
const FIRST_VERSION_WITH_IDS: i16 = 12;

const CLUSTER_ACTION_BIT: u8 = 9;

/// The operations that the caller may do, as Kafka packs them.
pub(super) fn authorized_operations(broker: &Broker, caller: &Caller<'_>, resource: ResourceKind, name: &str) -> i32 {
    use Operation::{Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read, Write};
    let applies: &[Operation] = match resource {
        ResourceKind::Topic => &[Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs],
        ResourceKind::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
        ResourceKind::Cluster => &[Create, Alter, Describe, DescribeConfigs, AlterConfigs, IdempotentWrite],
        ResourceKind::TransactionalId => &[Describe, Write],
        ResourceKind::Subject => &[],
    };
    let bits = OPERATION_BITS
        .iter()
        .filter(|(operation, _)| applies.contains(operation))
        .filter(|(operation, _)| broker.rules.allows(&caller.principal, resource, name, *operation))
        .fold(0, |bits, (_, bit)| bits | 1 << bit);
    // No rule can give ClusterAction, which is what brokers do to each other.
    if resource == ResourceKind::Cluster && caller.principal.is_super_user {
        bits | 1 << CLUSTER_ACTION_BIT
    } else {
        bits
    }
}

/// Metadata: everything that the caller may see, or the topics it names, by name or by id.
pub(super) fn metadata(
    broker: &Broker,
    caller: &Caller<'_>,
    request: MetadataRequest,
    version: i16,
) -> MetadataResponse {
    let see = |topic: &str| broker.may_see(&caller.principal, ResourceKind::Topic, topic);
    let asked = match request.topics {
        // Version 0 knows no null and says "all" by naming none.
        Some(mut topics) if !(topics.is_empty() && version == 0) => {
            once_each(&mut topics, |topic| (topic.name.clone(), topic.topic_id));
            Some(topics)
        }
        _ => None,
    };
    let found: Vec<MetadataResponseTopic> = match asked {
        None => broker.topics.all().iter().filter(|topic| see(&topic.name)).map(describe_topic).collect(),
        Some(topics) => topics
            .into_iter()
            .map(|topic| match topic.name {
                Some(name) if !see(&name.0) => {
                    broker.allows(&caller.principal, ResourceKind::Topic, &name.0, Operation::Describe);
                    failed(Some(name), uuid::Uuid::nil(), ResponseError::TopicAuthorizationFailed)
                }
                Some(name) => match broker.topics.get(&name.0) {
                    Some(topic) => describe_topic(&topic),
                    None if super::super::topics::check_name(&name.0).is_err() => {
                        failed(Some(name), uuid::Uuid::nil(), ResponseError::InvalidTopicException)
                    }
                    None => failed(Some(name), uuid::Uuid::nil(), ResponseError::UnknownTopicOrPartition),
                },
                None if version < FIRST_VERSION_WITH_IDS => {
                    failed(Some(TopicName::default()), topic.topic_id, ResponseError::UnsupportedVersion)
                }
                // An id that the caller may not see is answered like one that does not exist.
                None => match broker.topics.by_id(topic.topic_id).filter(|topic| see(&topic.name)) {
                    Some(topic) => describe_topic(&topic),
                    None => failed(None, topic.topic_id, ResponseError::UnknownTopicId),
                },
            })
            .collect(),
    };
    let found = found.into_iter().map(|mut topic| {
        if request.include_topic_authorized_operations && topic.error_code == 0 {
            let name = topic.name.as_ref().map(|name| name.0.to_string()).unwrap_or_default();
            topic.topic_authorized_operations = authorized_operations(broker, caller, ResourceKind::Topic, &name);
        }
        topic
    });
    let mut response = MetadataResponse::default()
        .with_brokers(vec![
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(NODE_ID))
                .with_host(text(&caller.advertised.0))
                .with_port(i32::from(caller.advertised.1)),
        ])
        .with_cluster_id(Some(text(&broker.cluster_id)))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(found.collect());
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations =
            authorized_operations(broker, caller, ResourceKind::Cluster, CLUSTER_NAME);
    }
    response
}

fn failed(name: Option<TopicName>, id: uuid::Uuid, error: ResponseError) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(error.code()).with_name(name).with_topic_id(id)
}

fn describe_topic(topic: &Arc<Topic>) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions.len() as i32).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)])
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}

/// DescribeCluster. Anybody who is logged in may see the one broker.
pub(super) fn describe(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    const BROKERS: i8 = 1;
    const CONTROLLERS: i8 = 2;
    if request.endpoint_type != BROKERS {
        let (error, message) = if request.endpoint_type == CONTROLLERS {
            (ResponseError::MismatchedEndpointType, "This is a broker's endpoint, not a controller's.")
        } else {
            (ResponseError::UnsupportedEndpointType, "There are endpoints of brokers (1) and of controllers (2) only.")
        };
        return DescribeClusterResponse::default()
            .with_endpoint_type(request.endpoint_type)
            .with_error_code(error.code())
            .with_error_message(Some(text(message)));
    }
    let mut response = DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_cluster_id(text(&broker.cluster_id))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(NODE_ID))
                .with_host(text(&caller.advertised.0))
                .with_port(i32::from(caller.advertised.1)),
        ]);
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations =
            authorized_operations(broker, caller, ResourceKind::Cluster, CLUSTER_NAME);
    }
    response
}

/// FindCoordinator: this broker, for whoever may describe the group or the transactional id.
pub(super) fn find_coordinator(
    broker: &Broker,
    caller: &Caller<'_>,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    const GROUP: i8 = 0;
    const TRANSACTION: i8 = 1;
    let find = |key: &str| match request.key_type {
        GROUP if broker.allows(&caller.principal, ResourceKind::Group, key, Operation::Describe) => Ok(()),
        GROUP => Err((ResponseError::GroupAuthorizationFailed, "Not allowed to describe this group.")),
        TRANSACTION if broker.allows(&caller.principal, ResourceKind::TransactionalId, key, Operation::Describe) => {
            Ok(())
        }
        TRANSACTION => {
            Err((ResponseError::TransactionalIdAuthorizationFailed, "Not allowed to describe this transactional id."))
        }
        _ => Err((ResponseError::InvalidRequest, "The sandbox coordinates groups and transactions only.")),
    };
    if version < 4 {
        let response = FindCoordinatorResponse::default();
        return match find(&request.key) {
            Ok(()) => response
                .with_node_id(BrokerId(NODE_ID))
                .with_host(text(&caller.advertised.0))
                .with_port(i32::from(caller.advertised.1)),
            Err((error, message)) => response
                .with_error_code(error.code())
                .with_error_message(Some(text(message)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        };
    }
    let coordinators = request.coordinator_keys.iter().map(|key| {
        let coordinator = Coordinator::default().with_key(key.clone());
        match find(key) {
            Ok(()) => coordinator
                .with_node_id(BrokerId(NODE_ID))
                .with_host(text(&caller.advertised.0))
                .with_port(i32::from(caller.advertised.1)),
            Err((error, message)) => coordinator
                .with_error_code(error.code())
                .with_error_message(Some(text(message)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        }
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
