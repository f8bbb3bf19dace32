//! One Fetch to one broker, and what its answer means for each partition (versions 4 to 17, without fetch sessions).
//!
//! From version 13 a topic goes by its id, so that a topic that was deleted and made anew is not taken for the old one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::aborted::{Aborted, AbortedTransaction};
use super::budget::Reservation;
use super::calls::millis;
use super::config::IsolationLevel;
use super::partitions::Want;
use super::positions::Position;
use crate::TopicPartition;
use crate::cluster::{Cluster, ClusterError, ConsumerId, Lane, Metadata};
use crate::error::ErrorCode;

/// The last version that knows topics by name.
const LAST_BY_NAME: i16 = 12;
/// The highest version that a consumer has a use for; 18 is for brokers.
const HIGHEST: i16 = 17;

/// A fetch on its way.
pub(super) struct Fetch {
    pub(super) broker: i32,
    pub(super) consumer: ConsumerId,
    pub(super) wants: Vec<(Want, Position)>,
    pub(super) max_wait: Duration,
    pub(super) min_bytes: usize,
    pub(super) max_partition_bytes: usize,
    pub(super) isolation_level: IsolationLevel,
    pub(super) room: Reservation,
}

/// What came of a fetch.
pub(super) struct Fetched {
    pub(super) broker: i32,
    pub(super) wants: Vec<(Want, Position)>,
    pub(super) outcome: Result<Vec<PartitionOutcome>, ClusterError>,
    /// Room for what came.
    pub(super) held: Arc<Reservation>,
}

/// What a broker answered for one partition.
#[derive(Debug)]
pub(super) struct PartitionOutcome {
    /// Which of the wants it answers.
    pub(super) want: usize,
    pub(super) code: Option<ErrorCode>,
    pub(super) records: Bytes,
    pub(super) high_watermark: i64,
    /// Where what may be read ends: the high watermark or, for committed records, the last stable offset.
    pub(super) readable_end: i64,
    pub(super) aborted: Aborted,
    pub(super) log_start: i64,
    /// The leader and its epoch, if the broker says that it is another.
    pub(super) leader: Option<(i32, i32)>,
    /// Our log ends here: what we read beyond was truncated.
    pub(super) diverged: Option<Position>,
}

impl Fetch {
    /// Sends the request and waits for the answer, which the broker holds back until it has something to say.
    pub(super) async fn run(self, cluster: Cluster, patience: Duration) -> Fetched {
        let Self { broker, wants, mut room, .. } = self;
        let plan = Outline {
            consumer: self.consumer,
            max_wait: self.max_wait,
            min_bytes: self.min_bytes,
            max_bytes: room.bytes(),
            max_partition_bytes: self.max_partition_bytes,
            isolation_level: self.isolation_level,
        };
        let outcome = plan.ask(&cluster, broker, &wants, patience).await;
        let came = outcome.iter().flatten().map(|partition| partition.records.len()).sum();
        room.resize(came);
        Fetched { broker, wants, outcome, held: Arc::new(room) }
    }
}

struct Outline {
    consumer: ConsumerId,
    max_wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    max_partition_bytes: usize,
    isolation_level: IsolationLevel,
}

impl Outline {
    async fn ask(
        &self,
        cluster: &Cluster,
        broker: i32,
        wants: &[(Want, Position)],
        patience: Duration,
    ) -> Result<Vec<PartitionOutcome>, ClusterError> {
        let connection = cluster.broker(broker, Lane::Fetch(self.consumer)).await?;
        let metadata = cluster.metadata();
        let ids_known = wants.iter().all(|(want, _)| topic_id(&metadata, &want.partition.topic).is_some());
        let version = if ids_known { HIGHEST } else { LAST_BY_NAME };
        let request = self.request(wants, &metadata);
        let answer = connection.send_capped(request, version, self.max_wait + patience).await?.await?;
        if let Err(code) = ErrorCode::check(answer.error_code) {
            return Err(ClusterError::refused(format!("fetch from broker {}", connection.broker()), code, None));
        }
        Ok(read(answer, wants, &metadata, self.isolation_level))
    }

    fn request(&self, wants: &[(Want, Position)], metadata: &Metadata) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (want, position) in wants {
            let TopicPartition { topic, partition } = &want.partition;
            let place = *places.entry(topic).or_insert_with(|| {
                let name = TopicName(StrBytes::from_string(topic.to_string()));
                let id = topic_id(metadata, topic).unwrap_or_default();
                topics.push(FetchTopic::default().with_topic(name).with_topic_id(id));
                topics.len() - 1
            });
            let leader_epoch = metadata.leader(topic, *partition).map_or(-1, |(_, epoch)| epoch);
            topics[place].partitions.push(
                FetchPartition::default()
                    .with_partition(*partition)
                    .with_current_leader_epoch(leader_epoch)
                    .with_fetch_offset(position.offset)
                    .with_last_fetched_epoch(position.wire_epoch())
                    .with_partition_max_bytes(bytes_on_wire(self.max_partition_bytes)),
            );
        }
        FetchRequest::default()
            .with_max_wait_ms(millis(self.max_wait))
            .with_min_bytes(bytes_on_wire(self.min_bytes))
            .with_max_bytes(bytes_on_wire(self.max_bytes))
            .with_isolation_level(self.isolation_level.on_wire())
            .with_topics(topics)
    }
}

fn topic_id(metadata: &Metadata, topic: &str) -> Option<Uuid> {
    metadata.topic(topic).map(|topic| topic.id).filter(|id| !id.is_nil())
}

fn bytes_on_wire(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Matches the answer with what was asked; partitions that nobody asked for are ignored.
fn read(
    answer: FetchResponse,
    wants: &[(Want, Position)],
    metadata: &Metadata,
    isolation_level: IsolationLevel,
) -> Vec<PartitionOutcome> {
    let index: HashMap<(&str, i32), usize> = wants
        .iter()
        .enumerate()
        .map(|(index, (want, _))| ((&*want.partition.topic, want.partition.partition), index))
        .collect();
    let mut outcomes = Vec::with_capacity(wants.len());
    for topic in answer.responses {
        let by_id = metadata.topic_by_id(topic.topic_id).map(|topic| Arc::clone(&topic.name));
        let name: &str = by_id.as_deref().unwrap_or(topic.topic.as_str());
        for partition in topic.partitions {
            if let Some(want) = index.get(&(name, partition.partition_index)) {
                outcomes.push(outcome(*want, partition, isolation_level));
            }
        }
    }
    outcomes
}

fn outcome(want: usize, partition: PartitionData, isolation_level: IsolationLevel) -> PartitionOutcome {
    let diverging = &partition.diverging_epoch;
    let leader = &partition.current_leader;
    let committed = isolation_level == IsolationLevel::ReadCommitted;
    let aborted = partition.aborted_transactions.unwrap_or_default().into_iter().filter(|_| committed);
    PartitionOutcome {
        want,
        code: ErrorCode::check(partition.error_code).err(),
        high_watermark: partition.high_watermark,
        readable_end: if committed { partition.last_stable_offset } else { partition.high_watermark },
        aborted: Aborted::new(aborted.map(|transaction| AbortedTransaction {
            first_offset: transaction.first_offset,
            producer_id: transaction.producer_id.0,
        })),
        log_start: partition.log_start_offset,
        leader: (leader.leader_id.0 >= 0).then_some((leader.leader_id.0, leader.leader_epoch)),
        diverged: (diverging.end_offset >= 0).then(|| Position::from_wire(diverging.end_offset, diverging.epoch)),
        records: partition.records.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
