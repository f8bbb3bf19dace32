//! Settings of topics, brokers and groups.

use std::collections::HashMap;
use std::fmt;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Admin, At, check, first_retriable, text};
use crate::cluster::ClusterError;
use crate::error::ErrorCode;

/// Something that has settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    /// A topic by name.
    Topic(String),
    /// A broker by id.
    Broker(i32),
    /// A group by id.
    Group(String),
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Such as `retention.ms`.
    pub name: String,
    /// `None` if it has none or is sensitive.
    pub value: Option<String>,
    /// Where the value was set.
    pub source: ConfigSource,
    /// Whether it cannot be altered.
    pub is_read_only: bool,
    /// Whether the value is withheld.
    pub is_sensitive: bool,
}

/// Where a setting's value was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// On this topic.
    Topic,
    /// On this broker, while it ran.
    Broker,
    /// For all brokers, while they ran.
    DefaultBroker,
    /// In the broker's file.
    StaticBroker,
    /// Nowhere: the built-in default.
    Default,
    /// On this group.
    Group,
    /// Somewhere that this client has no name for.
    Other(i8),
}

/// What to do to a setting (KIP-339); settings that are not named stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set to this value.
    Set(String),
    /// Back to the default.
    Delete,
    /// Add to a list.
    Append(String),
    /// Take out of a list.
    Subtract(String),
}

impl ConfigResource {
    fn key(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::Group(name) => (32, name.clone()),
        }
    }

    /// A broker's own settings are asked of it; the rest anybody knows.
    fn at(&self) -> At<'_> {
        match self {
            Self::Broker(id) => At::Broker(*id),
            Self::Topic(_) | Self::Group(_) => At::Any,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl Admin {
    /// All settings of each resource, defaults included (DescribeConfigs).
    ///
    /// # Errors
    /// For each resource: it is unknown, or a right is missing. Outside: an outage.
    pub async fn describe_configs(
        &self,
        resources: impl IntoIterator<Item = ConfigResource>,
    ) -> Result<HashMap<ConfigResource, Result<Vec<ConfigEntry>, ClusterError>>, ClusterError> {
        let mut described = HashMap::new();
        for resource in resources {
            let (kind, name) = resource.key();
            let wanted = DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(&name))
                .with_configuration_keys(None);
            let request = DescribeConfigsRequest::default().with_resources(vec![wanted]);
            let answer = self.ask(resource.at(), request, |_| 0).await?;
            let outcome = match answer.results.first() {
                Some(result) => check(resource.to_string(), result.error_code, result.error_message.as_deref())
                    .map(|()| result.configs.iter().map(entry).collect()),
                None => Err(unmentioned(&resource)),
            };
            described.insert(resource, outcome);
        }
        Ok(described)
    }

    /// Changes single settings of one resource (IncrementalAlterConfigs).
    ///
    /// # Errors
    /// A refused value, an unknown resource, a missing right, an outage.
    pub async fn alter_configs(
        &self,
        resource: ConfigResource,
        changes: impl IntoIterator<Item = (impl Into<String>, ConfigChange)>,
    ) -> Result<(), ClusterError> {
        let change = |(name, change): (_, ConfigChange)| {
            let (operation, value) = match change {
                ConfigChange::Set(value) => (0, Some(value)),
                ConfigChange::Delete => (1, None),
                ConfigChange::Append(value) => (2, Some(value)),
                ConfigChange::Subtract(value) => (3, Some(value)),
            };
            let name: String = name;
            AlterableConfig::default()
                .with_name(name.into())
                .with_config_operation(operation)
                .with_value(value.map(Into::into))
        };
        let (kind, name) = resource.key();
        let altered = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(&name))
            .with_configs(changes.into_iter().map(|(name, kind)| change((name.into(), kind))).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![altered]);
        let at = match resource {
            ConfigResource::Broker(id) => At::Broker(id),
            _ => At::Controller,
        };
        let code = |answer: &kafka_protocol::messages::IncrementalAlterConfigsResponse| {
            first_retriable(answer.responses.iter().map(|response| response.error_code))
        };
        let answer = self.ask(at, request, code).await?;
        match answer.responses.first() {
            Some(response) => check(resource.to_string(), response.error_code, response.error_message.as_deref()),
            None => Err(unmentioned(&resource)),
        }
    }
}

fn unmentioned(resource: &ConfigResource) -> ClusterError {
    let message = Some("the broker's answer does not mention it".to_owned());
    ClusterError::Refused { what: resource.to_string(), code: ErrorCode::UNKNOWN_SERVER_ERROR, message }
}

fn entry(answer: &DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: answer.name.to_string(),
        value: answer.value.as_ref().map(ToString::to_string),
        source: match answer.config_source {
            1 => ConfigSource::Topic,
            2 => ConfigSource::Broker,
            3 => ConfigSource::DefaultBroker,
            4 => ConfigSource::StaticBroker,
            5 => ConfigSource::Default,
            8 => ConfigSource::Group,
            other => ConfigSource::Other(other),
        },
        is_read_only: answer.read_only,
        is_sensitive: answer.is_sensitive,
    }
}
