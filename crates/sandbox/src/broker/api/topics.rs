//! CreateTopics, DeleteTopics, CreatePartitions.

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::super::{Broker, CreateError, TopicSettings};
use super::{Caller, once_each, text};
use crate::access::{CLUSTER_NAME, Operation, ResourceKind};

/// What a topic gets whose creator leaves it to the broker (`num.partitions`).
const DEFAULT_PARTITIONS: i32 = 3;
/// The one broker can hold one replica of anything.
const REPLICATION_FACTOR: i16 = 1;
/// `ConfigSource`: set for the topic, or the broker's default.
pub(super) const SOURCE_TOPIC: i8 = 1;
pub(super) const SOURCE_DEFAULT: i8 = 5;

type Refusal = (ResponseError, String);

fn refusal(error: CreateError) -> Refusal {
    let code = match error {
        CreateError::Exists(_) => ResponseError::TopicAlreadyExists,
        CreateError::Name(_) => ResponseError::InvalidTopicException,
        CreateError::Partitions(_) => ResponseError::InvalidPartitions,
    };
    (code, error.to_string())
}

/// CreateTopics.
pub(super) fn create(broker: &Broker, caller: &Caller<'_>, mut request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: HashMap<TopicName, usize> = HashMap::new();
    request.topics.iter().for_each(|topic| *times.entry(topic.name.clone()).or_default() += 1);
    once_each(&mut request.topics, |topic| topic.name.clone());
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        let name = topic.name.0.clone();
        let repeated = times.get(&topic.name).is_some_and(|times| *times > 1);
        match create_one(broker, caller, topic, repeated, request.validate_only) {
            Err((error, message)) => result
                .with_error_code(error.code())
                .with_error_message(Some(text(message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_configs(None),
            Ok(_)
                if !broker.rules.allows(&caller.principal, ResourceKind::Topic, &name, Operation::DescribeConfigs) =>
            {
                result
                    .with_topic_config_error_code(ResponseError::TopicAuthorizationFailed.code())
                    .with_num_partitions(-1)
                    .with_replication_factor(-1)
                    .with_configs(None)
            }
            Ok(created) => {
                let configs = created.settings.all().map(|setting| {
                    CreatableTopicConfigs::default()
                        .with_name(text(setting.name))
                        .with_value(Some(text(setting.value)))
                        .with_config_source(if setting.is_default { SOURCE_DEFAULT } else { SOURCE_TOPIC })
                });
                result
                    .with_error_message(None)
                    .with_topic_id(if request.validate_only { Uuid::nil() } else { created.id })
                    .with_num_partitions(created.partitions.len() as i32)
                    .with_replication_factor(REPLICATION_FACTOR)
                    .with_configs(Some(configs.collect()))
            }
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_one(
    broker: &Broker,
    caller: &Caller<'_>,
    topic: CreatableTopic,
    repeated: bool,
    validate_only: bool,
) -> Result<std::sync::Arc<super::super::topics::Topic>, Refusal> {
    let name = &topic.name.0;
    let may_create = broker.rules.allows(&caller.principal, ResourceKind::Cluster, CLUSTER_NAME, Operation::Create)
        || broker.allows(&caller.principal, ResourceKind::Topic, name, Operation::Create);
    if !may_create {
        return Err((ResponseError::TopicAuthorizationFailed, "Authorization failed.".to_owned()));
    }
    if repeated {
        return Err((ResponseError::InvalidRequest, "Duplicate topic name.".to_owned()));
    }
    let partitions = if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, -1 | REPLICATION_FACTOR) {
            let message = format!(
                "Unable to replicate the partition {} time(s): the sandbox has one broker. Use replication factor 1 or -1.",
                topic.replication_factor
            );
            return Err((ResponseError::InvalidReplicationFactor, message));
        }
        if topic.num_partitions == -1 { DEFAULT_PARTITIONS } else { topic.num_partitions }
    } else {
        let given = topic.num_partitions != -1 || topic.replication_factor != -1;
        if given || !is_whole_assignment(&topic.assignments) {
            let message = "A manual assignment names broker 1 for each partition from 0 on, and neither a number of partitions nor a replication factor.";
            return Err((ResponseError::InvalidReplicaAssignment, message.to_owned()));
        }
        topic.assignments.len() as i32
    };
    let mut settings = TopicSettings::default();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let message = format!("Null value not supported for topic configs: {}", &*config.name);
            return Err((ResponseError::InvalidConfig, message));
        };
        settings.set(&config.name, value).map_err(|message| (ResponseError::InvalidConfig, message))?;
    }
    broker.topics.create(name, partitions, settings, validate_only).map_err(refusal)
}

/// Whether each partition from 0 on is given once, to the one broker.
fn is_whole_assignment(assignments: &[CreatableReplicaAssignment]) -> bool {
    let mut partitions: Vec<_> = assignments.iter().map(|assignment| assignment.partition_index).collect();
    partitions.sort_unstable();
    partitions.into_iter().eq(0..assignments.len() as i32)
        && assignments.iter().all(|assignment| assignment.broker_ids == [BrokerId(super::super::NODE_ID)])
}

/// DeleteTopics, by name or by id.
pub(super) fn delete(
    broker: &Broker,
    caller: &Caller<'_>,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let asked = if version >= 6 {
        request.topics
    } else {
        request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name))).collect()
    };
    let mut asked = asked;
    once_each(&mut asked, |asked| (asked.name.clone(), asked.topic_id));
    let responses = asked.into_iter().map(|asked| {
        let by_id = asked.name.is_none();
        let topic = match &asked.name {
            Some(name) => broker.topics.get(&name.0),
            None => broker.topics.by_id(asked.topic_id),
        };
        let name = asked.name.or_else(|| topic.as_ref().map(|topic| TopicName(text(&topic.name))));
        let result = DeletableTopicResult::default().with_name(name.clone()).with_topic_id(asked.topic_id);
        let failed = |error: ResponseError| {
            result.clone().with_error_code(error.code()).with_error_message(Some(text(error.to_string())))
        };
        let unknown = if by_id { ResponseError::UnknownTopicId } else { ResponseError::UnknownTopicOrPartition };
        let Some(name) = name else {
            return failed(unknown);
        };
        if by_id && !broker.may_see(&caller.principal, ResourceKind::Topic, &name.0) {
            // Nobody learns a name that they may not see.
            let error = ResponseError::TopicAuthorizationFailed;
            return failed(error).with_name(None);
        }
        if !broker.allows(&caller.principal, ResourceKind::Topic, &name.0, Operation::Delete) {
            return failed(ResponseError::TopicAuthorizationFailed);
        }
        match broker.topics.delete(&name.0) {
            None => failed(unknown),
            Some(topic) => {
                broker.groups.topic_deleted(&topic.name);
                result.with_topic_id(topic.id)
            }
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

/// CreatePartitions.
pub(super) fn create_partitions(
    broker: &Broker,
    caller: &Caller<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        let grown = if broker.allows(&caller.principal, ResourceKind::Topic, &topic.name.0, Operation::Alter) {
            match broker.topics.grow(&topic.name.0, topic.count, request.validate_only) {
                Some(grown) => grown.map_err(refusal),
                None => Err((ResponseError::UnknownTopicOrPartition, "There is no such topic.".to_owned())),
            }
        } else {
            Err((ResponseError::TopicAuthorizationFailed, "Authorization failed.".to_owned()))
        };
        match grown {
            Ok(()) => result,
            Err((error, message)) => result.with_error_code(error.code()).with_error_message(Some(text(message))),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}
