//! What every service that reads or writes Avro records does alike: wait out an outage, set a record aside, tell its lag.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka::{Cluster, Consumer, RecordRef, TopicPartition};
use schema_registry::{
    AvroDeserializer, AvroSerializer, DeserializeError, RegistryClient, SerializeError, SerializerOptions, wire,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ServiceError;
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::readiness::Condition;
use crate::run::Context;
use crate::waiting::wait_out;

/// Between two looks at assignment and lag.
pub const LOOK: Duration = Duration::from_millis(500);

impl Context {
    /// Connects to the cluster, however long it is away. `None` if a shutdown came first.
    ///
    /// # Errors
    /// What waiting does not mend: configuration, authentication, access.
    pub async fn connect(&self) -> Result<Option<Cluster>, ServiceError> {
        let settings = self.config.kafka()?;
        if matches!(settings.sasl, Some(kafka::Sasl::OauthBearer { .. })) {
            let tokens = self.config.tokens()?;
            self.metrics.watch_token("kafka", move || tokens.expires_at());
        }
        let mut outage = Outage::of("the Kafka cluster", "bootstrap.servers");
        let attempt = || Cluster::connect(settings.clone());
        Ok(wait_out(&mut outage, &self.shutdown, kafka::ClusterError::is_retriable, attempt).await?)
    }

    /// Finds the schema's id in the registry, however long that is away. `None` if a shutdown came first.
    ///
    /// # Errors
    /// What waiting does not mend: the subject or schema is unknown, authentication, access.
    pub async fn serializer<T: Serialize>(
        &self,
        registry: &RegistryClient,
        subject: &str,
        schema: &str,
    ) -> Result<Option<AvroSerializer<T>>, ServiceError> {
        let use_latest_version = self.config.boolean("use.latest.version")?.unwrap_or(false);
        let options = SerializerOptions { use_latest_version, ..SerializerOptions::default() };
        let mut outage = Outage::of("the schema registry", "schema.registry.url");
        let mends = |error: &SerializeError| matches!(error, SerializeError::Registry(error) if error.is_retriable());
        let attempt = || AvroSerializer::prepare(registry, subject, schema, &options);
        wait_out(&mut outage, &self.shutdown, mends, attempt).await.map_err(|error: SerializeError| match error {
            SerializeError::Registry(error) if error.is_not_found() => ServiceError::Resource(format!(
                "{error}; `grocery schemas register` registers it, and --event-version (event.version) chooses another version"
            )),
            error => error.into(),
        })
    }

    /// A registry client of this configuration.
    ///
    /// # Errors
    /// A key that is missing or cannot work.
    pub fn registry(&self) -> Result<RegistryClient, ServiceError> {
        Ok(RegistryClient::new(&self.config.registry()?)?)
    }

    /// Reads a record's value, however long the registry is away. `None` means that the record was set aside, with its
    /// position in the log output, or that a shutdown came first.
    ///
    /// # Errors
    /// What waiting does not mend about the registry: configuration, authentication, access.
    pub async fn read<T: DeserializeOwned>(
        &self,
        deserializer: &AvroDeserializer<T>,
        at: &TopicPartition,
        record: RecordRef<'_>,
    ) -> Result<Option<T>, ServiceError> {
        let Some(value) = record.value() else {
            self.set_aside(at, record.offset(), "it has no value");
            return Ok(None);
        };
        let headers = record.headers().filter(|(name, _)| *name == wire::VALUE_SCHEMA_HEADER);
        let header = headers.last().and_then(|(_, schema)| schema);
        // Schemas that were met before need nothing to be waited for.
        if let Ok(read) = deserializer.decode(header, value) {
            return Ok(Some(read));
        }
        let mut outage = Outage::of("the schema registry", "schema.registry.url");
        let mends =
            |error: &DeserializeError| matches!(error, DeserializeError::Registry(error) if error.is_retriable());
        match wait_out(&mut outage, &self.shutdown, mends, || deserializer.read(header, value)).await {
            Ok(read) => Ok(read),
            Err(DeserializeError::Registry(error)) => Err(error.into()),
            Err(error) if error.is_about_the_record() => {
                self.set_aside(at, record.offset(), &error.to_string());
                Ok(None)
            }
            Err(error) => Err(ServiceError::Resource(error.to_string())),
        }
    }

    /// Says where a record is that cannot be worked on, counts it, and goes on.
    pub fn set_aside(&self, at: &TopicPartition, offset: i64, reason: &str) {
        self.metrics.set_aside();
        tracing::warn!(topic = %at.topic, partition = at.partition, offset, "set a record aside: {reason}");
    }
}

/// Tells a consumer's lag and whether its group has given it something to read.
#[derive(Debug)]
pub struct Lag {
    metrics: Metrics,
    assigned: Condition,
    told: BTreeSet<TopicPartition>,
}

impl Lag {
    /// Nothing is assigned yet: the service is not ready.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        let assigned = context.readiness.condition("partitions of the consumer group");
        Self { metrics: context.metrics.clone(), assigned, told: BTreeSet::new() }
    }

    /// Looks at the consumer. A member with no partition of its own is ready too once it had one: the group may have more
    /// members than partitions.
    pub fn look(&mut self, consumer: &Consumer) {
        let now: BTreeSet<TopicPartition> = consumer.assignment().into_iter().collect();
        for gone in self.told.difference(&now) {
            self.metrics.forget_lag(&gone.topic, gone.partition);
        }
        for partition in &now {
            if let Some(lag) = consumer.lag(partition) {
                self.metrics.lag(&partition.topic, partition.partition, lag);
            }
        }
        if !now.is_empty() {
            self.assigned.met();
        }
        self.told = now;
    }
}
