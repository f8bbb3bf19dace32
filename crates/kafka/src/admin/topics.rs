//! Creating, deleting and describing topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest};
use uuid::Uuid;

use super::{Admin, At, check, complete, first_retriable, text, topic_name};
use crate::cluster::{ClusterError, Metadata, Topic};
use crate::connection::Connection;
use crate::error::ErrorCode;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    name: String,
    partitions: i32,
    replication: i16,
    configs: BTreeMap<String, String>,
}

/// A topic that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it got; -1 if the principal may not know.
    pub partitions: i32,
    /// How many copies of each; -1 if the principal may not know.
    pub replication: i16,
}

impl NewTopic {
    /// A topic with as many partitions and copies as the cluster's defaults say (`num.partitions`,
    /// `default.replication.factor`).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: -1, replication: -1, configs: BTreeMap::new() }
    }

    /// With so many partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// With so many copies of each partition.
    #[must_use]
    pub fn replication(mut self, replication: i16) -> Self {
        self.replication = replication;
        self
    }

    /// With a setting such as `retention.ms`.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }

    fn to_message(&self) -> CreatableTopic {
        let config = |(key, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        CreatableTopic::default()
            .with_name(topic_name(&self.name))
            .with_num_partitions(self.partitions)
            .with_replication_factor(self.replication)
            .with_configs(self.configs.iter().map(config).collect())
    }
}

impl Admin {
    /// Creates topics (CreateTopics).
    ///
    /// # Errors
    /// For each topic: `TOPIC_ALREADY_EXISTS`, a refused setting, a missing right. Outside: an outage.
    pub async fn create_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
    ) -> Result<BTreeMap<String, Result<CreatedTopic, ClusterError>>, ClusterError> {
        let topics: Vec<NewTopic> = topics.into_iter().collect();
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(NewTopic::to_message).collect())
            .with_timeout_ms(self.request_timeout_ms());
        let answer = self
            .ask(At::Controller, request, |answer| first_retriable(answer.topics.iter().map(|topic| topic.error_code)))
            .await?;
        let outcome = |topic: &kafka_protocol::messages::create_topics_response::CreatableTopicResult| {
            check(format!("topic {}", topic.name.as_str()), topic.error_code, topic.error_message.as_deref())?;
            let (id, partitions, replication) = (topic.topic_id, topic.num_partitions, topic.replication_factor);
            Ok(CreatedTopic { id, partitions, replication })
        };
        let answered = answer.topics.iter().map(|topic| (topic.name.to_string(), outcome(topic))).collect();
        Ok(complete(answered, &names))
    }

    /// Deletes topics by name (DeleteTopics).
    ///
    /// # Errors
    /// For each topic: `UNKNOWN_TOPIC_OR_PARTITION`, a missing right. Outside: an outage.
    pub async fn delete_topics(
        &self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<(), ClusterError>>, ClusterError> {
        /// From here on topics are named or identified one by one.
        const STATES_VERSION: i16 = 6;
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let request = DeleteTopicsRequest::default().with_timeout_ms(self.request_timeout_ms());
        let state = |name: &String| DeleteTopicState::default().with_name(Some(topic_name(name)));
        let states = request.clone().with_topics(names.iter().map(state).collect());
        let plain = request.with_topic_names(names.iter().map(|name| topic_name(name)).collect());
        let attempt = |connection: Arc<Connection>| {
            let version = connection.negotiated::<DeleteTopicsRequest>();
            let request =
                if version.is_some_and(|version| version >= STATES_VERSION) { &states } else { &plain }.clone();
            async move { connection.call(request).await }
        };
        let code =
            |answer: &DeleteTopicsResponse| first_retriable(answer.responses.iter().map(|topic| topic.error_code));
        let answer = self.retrying(At::Controller, attempt, code).await?;
        let mut answered = BTreeMap::new();
        for topic in &answer.responses {
            let Some(name) = &topic.name else { continue };
            let outcome = check(format!("topic {}", name.as_str()), topic.error_code, topic.error_message.as_deref());
            answered.insert(name.to_string(), outcome);
        }
        Ok(complete(answered, &names))
    }

    /// Describes topics: id, partitions, leaders, replicas (Metadata).
    ///
    /// # Errors
    /// For each topic: `UNKNOWN_TOPIC_OR_PARTITION`, a missing right. Outside: an outage.
    pub async fn describe_topics(
        &self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<Arc<Topic>, ClusterError>>, ClusterError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let named = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            .with_topics(Some(names.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.ask(At::Any, request, |answer| answer.error_code).await?;
        check("metadata", answer.error_code, None)?;
        let described = Metadata::default().updated(&answer);
        let outcome = |name: &String| match (described.topic(name), described.topic_error(name)) {
            (Some(topic), _) => Ok(Arc::clone(topic)),
            (None, code) => {
                let code = code.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                Err(ClusterError::refused(format!("topic {name}"), code, None).needing("Describe"))
            }
        };
        Ok(names.iter().map(|name| (name.clone(), outcome(name))).collect())
    }

    /// Every topic that this principal may describe, by name; Kafka's own are marked as internal.
    ///
    /// # Errors
    /// An outage.
    pub async fn list_topics(&self) -> Result<BTreeMap<String, Arc<Topic>>, ClusterError> {
        // No list means all of them, as an empty one means none.
        let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        let answer = self.ask(At::Any, request, |answer| answer.error_code).await?;
        check("topics", answer.error_code, None)?;
        let all = Metadata::default().updated(&answer);
        Ok(all.topics().map(|topic| (topic.name.to_string(), Arc::clone(topic))).collect())
    }
}
