//! Offsets of records in partitions, and deleting records below one. Both are asked of each partition's leader.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, DeleteRecordsRequest, ListOffsetsRequest};
use tokio::time::Instant;

use super::{Admin, check, topic_name};
use crate::cluster::{ClusterError, Lane};
use crate::consumer::TopicPartition;
use crate::error::ErrorCode;

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that is still there.
    Earliest,
    /// The one that the next record gets (high watermark).
    Latest,
    /// The first that is later than every finished transaction's records (last stable offset).
    LatestCommitted,
    /// The record with the highest timestamp.
    MaxTimestamp,
    /// The first record at or after this time, in milliseconds since the epoch.
    Timestamp(i64),
}

/// An offset that a partition's leader named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// -1 if no record matches.
    pub offset: i64,
    /// The record's timestamp, where one was asked for.
    pub timestamp: Option<i64>,
    /// The leader epoch of the record, if known.
    pub leader_epoch: Option<i32>,
}

/// What is left to ask and what is answered, while leaders move.
struct Progress<T> {
    left: HashMap<TopicPartition, i64>,
    answered: BTreeMap<TopicPartition, Result<T, ClusterError>>,
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            Self::Latest | Self::LatestCommitted => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(at) => at,
        }
    }

    fn isolation(self) -> i8 {
        i8::from(self == Self::LatestCommitted)
    }
}

impl Admin {
    /// One offset of each partition (ListOffsets).
    ///
    /// # Errors
    /// For each partition: it is unknown, has no leader in time, or a right is missing.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, Result<ListedOffset, ClusterError>>, ClusterError> {
        let wanted = partitions.into_iter().map(|partition| (partition, spec.timestamp())).collect();
        self.at_leaders(wanted, move |leader, partitions: Vec<(TopicPartition, i64)>| async move {
            let mut topics: BTreeMap<String, Vec<ListOffsetsPartition>> = BTreeMap::new();
            for (partition, timestamp) in &partitions {
                let wanted = ListOffsetsPartition::default()
                    .with_partition_index(partition.partition)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(*timestamp);
                topics.entry(partition.topic.to_string()).or_default().push(wanted);
            }
            let topic = |(name, partitions): (String, Vec<_>)| {
                ListOffsetsTopic::default().with_name(topic_name(&name)).with_partitions(partitions)
            };
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_isolation_level(spec.isolation())
                .with_timeout_ms(self.request_timeout_ms())
                .with_topics(topics.into_iter().map(topic).collect());
            let answer = self.cluster.broker(leader, Lane::General).await?.call(request).await?;
            let mut answers = Vec::new();
            for topic in &answer.topics {
                for partition in &topic.partitions {
                    let listed = ListedOffset {
                        offset: partition.offset,
                        timestamp: (partition.timestamp >= 0).then_some(partition.timestamp),
                        leader_epoch: (partition.leader_epoch >= 0).then_some(partition.leader_epoch),
                    };
                    let named = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    answers.push((named, partition.error_code, listed));
                }
            }
            Ok(answers)
        })
        .await
    }

    /// Deletes the records of each partition below an offset (-1: all there are) and answers with the first offset that
    /// is left (DeleteRecords).
    ///
    /// # Errors
    /// For each partition: `OFFSET_OUT_OF_RANGE`, it is unknown, has no leader in time, or a right is missing.
    pub async fn delete_records(
        &self,
        before: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Result<i64, ClusterError>>, ClusterError> {
        self.at_leaders(
            before.into_iter().collect(),
            move |leader, partitions: Vec<(TopicPartition, i64)>| async move {
                let mut topics: BTreeMap<String, Vec<DeleteRecordsPartition>> = BTreeMap::new();
                for (partition, offset) in &partitions {
                    let below = DeleteRecordsPartition::default()
                        .with_partition_index(partition.partition)
                        .with_offset(*offset);
                    topics.entry(partition.topic.to_string()).or_default().push(below);
                }
                let topic = |(name, partitions): (String, Vec<_>)| {
                    DeleteRecordsTopic::default().with_name(topic_name(&name)).with_partitions(partitions)
                };
                let request = DeleteRecordsRequest::default()
                    .with_timeout_ms(self.request_timeout_ms())
                    .with_topics(topics.into_iter().map(topic).collect());
                let answer = self.cluster.broker(leader, Lane::General).await?.call(request).await?;
                let mut answers = Vec::new();
                for topic in &answer.topics {
                    for partition in &topic.partitions {
                        let named = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                        answers.push((named, partition.error_code, partition.low_watermark));
                    }
                }
                Ok(answers)
            },
        )
        .await
    }

    /// Asks every partition's leader, and again those that moved or were away, until time is up.
    async fn at_leaders<T, F>(
        &self,
        wanted: HashMap<TopicPartition, i64>,
        ask: impl Fn(i32, Vec<(TopicPartition, i64)>) -> F,
    ) -> Result<BTreeMap<TopicPartition, Result<T, ClusterError>>, ClusterError>
    where
        F: Future<Output = Result<Vec<(TopicPartition, i16, T)>, ClusterError>>,
    {
        let config = self.cluster.config();
        let mut backoff = config.retry.until(Instant::now() + config.api_timeout);
        let mut progress = Progress { left: wanted, answered: BTreeMap::new() };
        loop {
            let mut last = HashMap::new();
            for (leader, partitions) in self.by_leader(&mut progress, &mut last).await {
                match ask(leader, partitions.clone()).await {
                    Ok(answers) => {
                        for (partition, code, answer) in answers {
                            progress.note(partition, code, answer, &mut last);
                        }
                    }
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => last.extend(partitions.into_iter().map(|(partition, _)| (partition, error.clone()))),
                }
            }
            if progress.left.is_empty() {
                return Ok(progress.answered);
            }
            self.cluster.metadata_is_stale();
            if !backoff.sleep_after_failure().await {
                for partition in std::mem::take(&mut progress.left).into_keys() {
                    let error = last.remove(&partition).unwrap_or_else(|| self.timed_out());
                    progress.answered.insert(partition, Err(error));
                }
                return Ok(progress.answered);
            }
        }
    }

    /// What is left to ask, by whom to ask. A topic that cannot be known is answered with that; a partition without a
    /// leader stays left.
    async fn by_leader<T>(
        &self,
        progress: &mut Progress<T>,
        last: &mut HashMap<TopicPartition, ClusterError>,
    ) -> HashMap<i32, Vec<(TopicPartition, i64)>> {
        let mut leaders: HashMap<i32, Vec<(TopicPartition, i64)>> = HashMap::new();
        for (partition, value) in progress.left.clone() {
            let metadata = match self.cluster.topic_metadata(&[&partition.topic]).await {
                Ok(metadata) => metadata,
                Err(error) => {
                    progress.left.remove(&partition);
                    progress.answered.insert(partition, Err(error));
                    continue;
                }
            };
            let exists = metadata.topic(&partition.topic).is_some_and(|t| t.partition(partition.partition).is_some());
            match metadata.leader(&partition.topic, partition.partition) {
                Some((leader, _)) => leaders.entry(leader).or_default().push((partition, value)),
                None => {
                    let code =
                        if exists { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
                    let error = ClusterError::refused(partition.to_string(), code, None);
                    last.insert(partition.clone(), error.clone());
                    if !exists {
                        progress.left.remove(&partition);
                        progress.answered.insert(partition, Err(error));
                    }
                }
            }
        }
        leaders
    }
}

impl<T> Progress<T> {
    fn note(
        &mut self,
        partition: TopicPartition,
        code: i16,
        answer: T,
        last: &mut HashMap<TopicPartition, ClusterError>,
    ) {
        let outcome = check(partition.to_string(), code, None);
        match outcome {
            Err(error) if error.is_retriable() => {
                last.insert(partition, error);
            }
            outcome => {
                // Only what was asked for: an answer about anything else is nobody's.
                if self.left.remove(&partition).is_some() {
                    self.answered.insert(partition, outcome.map(|()| answer));
                }
            }
        }
    }
}
