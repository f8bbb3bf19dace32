//! A topic read once to an end that is fixed before, without a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grocery_events::Event;
use kafka::{
    Admin, Cluster, Consumer, ConsumerConfig, IsolationLevel, OffsetSpec, RecordBatch, StartFrom, TopicPartition,
};
use schema_registry::{AvroDeserializer, DeserializeError, RegistryClient};
use service_kit::ServiceError;

use super::Place;
use crate::operator::offsets;

/// A partition may end in records that a reader never gets to see: markers, or an aborted transaction. So the position is looked at
/// though no batch came.
const LOOK: Duration = Duration::from_millis(100);

/// What was read.
#[derive(Debug)]
pub struct Reading<T> {
    /// The events in each partition's order.
    pub events: Vec<(Place, T)>,
    /// Records that are none, with the reason: the services set those aside.
    pub unreadable: Vec<(Place, String)>,
}

/// Where each partition of a topic ends now: behind the last record that a `read_committed` reader may see.
///
/// # Errors
/// The topic does not exist, or the cluster does not answer in time.
pub async fn ends(cluster: &Cluster, topic: &str) -> Result<BTreeMap<TopicPartition, i64>, ServiceError> {
    let admin = cluster.admin();
    offsets(&admin, &partitions(&admin, &[topic]).await?, OffsetSpec::LatestCommitted).await
}

/// The partitions of these topics.
pub(crate) async fn partitions(admin: &Admin, topics: &[&str]) -> Result<Vec<TopicPartition>, ServiceError> {
    let mut partitions = Vec::new();
    for topic in admin.describe_topics(topics.iter().copied()).await?.into_values() {
        let topic = topic?;
        let of_topic = topic.partitions.iter().map(|partition| partition.index);
        partitions.extend(of_topic.map(|index| TopicPartition::new(Arc::clone(&topic.name), index)));
    }
    Ok(partitions)
}

/// Reads the committed events of a topic up to `ends`.
///
/// Dropping it stops the reading; nothing is left behind, since there is no group.
///
/// # Errors
/// The topic cannot be read. A record that is no event of this kind is not an error but in [`Reading::unreadable`].
pub async fn read<T: Event>(
    cluster: &Cluster,
    registry: &RegistryClient,
    from: StartFrom,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Result<Reading<T>, ServiceError> {
    let events = T::reader(registry).map_err(ServiceError::Internal)?;
    let mut config = ConsumerConfig::assigned(ends.keys().map(|partition| (partition.clone(), from)));
    config.isolation_level = IsolationLevel::ReadCommitted;
    let mut consumer = cluster.consumer_with(config).await?;
    let mut reading = Reading { events: Vec::new(), unreadable: Vec::new() };
    while !reached(&consumer, ends) {
        let Ok(next) = tokio::time::timeout(LOOK, consumer.next_batch()).await else { continue };
        let Some(batch) = next? else {
            return Err(ServiceError::Internal(format!("the reader of {} has ended before the topic", T::TOPIC)));
        };
        take(&events, &batch, ends, &mut reading).await?;
    }
    Ok(reading)
}

/// Whether a reader has come to all of these ends.
pub(crate) fn reached(consumer: &Consumer, ends: &BTreeMap<TopicPartition, i64>) -> bool {
    ends.iter().all(|(partition, end)| {
        *end == 0 || consumer.position(partition).is_some_and(|position| position.offset >= *end)
    })
}

async fn take<T: Event>(
    events: &AvroDeserializer<T>,
    batch: &RecordBatch,
    ends: &BTreeMap<TopicPartition, i64>,
    reading: &mut Reading<T>,
) -> Result<(), ServiceError> {
    let partition = TopicPartition::new(batch.topic(), batch.partition());
    let end = ends.get(&partition).copied().unwrap_or_default();
    for record in batch {
        // A batch is fetched whole, and may go on beyond the end.
        if record.offset() >= end {
            break;
        }
        let at = Place { partition: batch.partition(), offset: record.offset() };
        let Some(value) = record.value() else {
            reading.unreadable.push((at, "the record has no value".to_owned()));
            continue;
        };
        match events.read(None, value).await {
            Ok(event) => reading.events.push((at, event)),
            Err(DeserializeError::Registry(error)) => return Err(error.into()),
            Err(error) => reading.unreadable.push((at, error.to_string())),
        }
    }
    Ok(())
}
