//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, for topics. The broker's own configuration is empty.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
    incremental_alter_configs_response,
};

use super::super::settings::Setting;
use super::super::{Broker, TopicSettings};
use super::topics::{SOURCE_DEFAULT, SOURCE_TOPIC};
use super::{Caller, once_each, text};
use crate::access::{CLUSTER_NAME, Operation, ResourceKind};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

type Refusal = (ResponseError, String);

fn unsupported(resource_type: i8) -> Refusal {
    (
        ResponseError::InvalidRequest,
        format!("The sandbox has configuration for topics only, not for resource type {resource_type}."),
    )
}

/// DescribeConfigs.
pub(super) fn describe(
    broker: &Broker,
    caller: &Caller<'_>,
    mut request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    once_each(&mut request.resources, |resource| (resource.resource_type, resource.resource_name.clone()));
    let synonyms = request.include_synonyms;
    let results = request.resources.into_iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        let wanted =
            |name: &str| resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| &**key == name));
        let described = match resource.resource_type {
            TOPIC
                if !broker.allows(
                    &caller.principal,
                    ResourceKind::Topic,
                    &resource.resource_name,
                    Operation::DescribeConfigs,
                ) =>
            {
                Err((ResponseError::TopicAuthorizationFailed, "Topic authorization failed.".to_owned()))
            }
            TOPIC => broker
                .topics
                .get(&resource.resource_name)
                .map(|topic| {
                    topic
                        .settings
                        .all()
                        .filter(|setting| wanted(setting.name))
                        .map(|setting| line(&setting, synonyms))
                        .collect()
                })
                .ok_or((ResponseError::UnknownTopicOrPartition, "There is no such topic.".to_owned())),
            BROKER
                if !broker.allows(
                    &caller.principal,
                    ResourceKind::Cluster,
                    CLUSTER_NAME,
                    Operation::DescribeConfigs,
                ) =>
            {
                Err((ResponseError::ClusterAuthorizationFailed, "Cluster authorization failed.".to_owned()))
            }
            BROKER => Ok(Vec::new()),
            other => Err(unsupported(other)),
        };
        match described {
            Ok(configs) => result.with_error_message(None).with_configs(configs),
            Err((error, message)) => result.with_error_code(error.code()).with_error_message(Some(text(message))),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn line(setting: &Setting<'_>, synonyms: bool) -> DescribeConfigsResourceResult {
    let mut all = Vec::new();
    if synonyms && !setting.is_default {
        let value = Some(text(setting.value));
        all.push(
            DescribeConfigsSynonym::default().with_name(text(setting.name)).with_value(value).with_source(SOURCE_TOPIC),
        );
    }
    if synonyms {
        let value = Some(text(setting.default));
        all.push(
            DescribeConfigsSynonym::default()
                .with_name(text(setting.name))
                .with_value(value)
                .with_source(SOURCE_DEFAULT),
        );
    }
    DescribeConfigsResourceResult::default()
        .with_name(text(setting.name))
        .with_value(Some(text(setting.value)))
        .with_config_source(if setting.is_default { SOURCE_DEFAULT } else { SOURCE_TOPIC })
        .with_config_type(setting.config_type)
        .with_documentation(None)
        .with_synonyms(all)
}

fn change(
    broker: &Broker,
    caller: &Caller<'_>,
    resource: (i8, &str),
    validate_only: bool,
    change: impl FnOnce(&mut TopicSettings) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (resource_type, name) = resource;
    if resource_type != TOPIC {
        return Err(unsupported(resource_type));
    }
    if !broker.allows(&caller.principal, ResourceKind::Topic, name, Operation::AlterConfigs) {
        return Err((ResponseError::TopicAuthorizationFailed, "Topic authorization failed.".to_owned()));
    }
    broker
        .topics
        .configure(name, validate_only, change)
        .ok_or((ResponseError::UnknownTopicOrPartition, "There is no such topic.".to_owned()))?
}

fn invalid(message: String) -> Refusal {
    (ResponseError::InvalidConfig, message)
}

/// The value that a setting is to have; none is no way to say "the default".
fn set_value<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Refusal> {
    value.ok_or_else(|| (ResponseError::InvalidRequest, format!("Null value not supported for : {name}")))
}

/// AlterConfigs: what is not named goes back to its default.
pub(super) fn alter(broker: &Broker, caller: &Caller<'_>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let changed = change(
            broker,
            caller,
            (resource.resource_type, &resource.resource_name),
            request.validate_only,
            |settings| {
                *settings = TopicSettings::default();
                for config in &resource.configs {
                    settings.set(&config.name, set_value(&config.name, config.value.as_deref())?).map_err(invalid)?;
                }
                Ok(())
            },
        );
        let response = alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match changed {
            Ok(()) => response.with_error_message(None),
            Err((error, message)) => response.with_error_code(error.code()).with_error_message(Some(text(message))),
        }
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// IncrementalAlterConfigs: set, delete, append, subtract (KIP-339).
pub(super) fn alter_incrementally(
    broker: &Broker,
    caller: &Caller<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let changed = change(
            broker,
            caller,
            (resource.resource_type, &resource.resource_name),
            request.validate_only,
            |settings| {
                for config in &resource.configs {
                    let value = || set_value(&config.name, config.value.as_deref());
                    match config.config_operation {
                        0 => settings.set(&config.name, value()?),
                        1 => settings.reset(&config.name),
                        2 => settings.change_list(&config.name, value()?, true),
                        3 => settings.change_list(&config.name, value()?, false),
                        other => Err(format!("Unknown operation {other} for {}.", &*config.name)),
                    }
                    .map_err(invalid)?;
                }
                Ok(())
            },
        );
        let response = incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match changed {
            Ok(()) => response.with_error_message(None),
            Err((error, message)) => response.with_error_code(error.code()).with_error_message(Some(text(message))),
        }
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}
