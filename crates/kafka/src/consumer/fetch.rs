//! One Fetch to one broker, and what its answer means for each partition (versions 4 to 17).
//!
//! From version 13 a topic goes by its id, so that a topic that was deleted and made anew is not taken for the old one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use uuid::Uuid;

use super::aborted::{Aborted, AbortedTransaction};
use super::budget::Reservation;
use super::calls::{millis, topic_name};
use super::config::IsolationLevel;
use super::fetch_sessions::Ask;
use super::positions::Position;
use crate::TopicPartition;
use crate::cluster::{Cluster, ClusterError, ConsumerId, Lane};
use crate::error::ErrorCode;

/// The last version that knows topics by name.
const LAST_BY_NAME: i16 = 12;
/// The highest version that a consumer has a use for; 18 is for brokers.
const HIGHEST: i16 = 17;
/// In the place of a session's epoch: it ends.
const FINAL: i32 = -1;
/// How long a broker has to hear that a session ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// A fetch on its way.
pub(super) struct Fetch {
    pub(super) broker: i32,
    pub(super) consumer: ConsumerId,
    pub(super) ask: Ask,
    pub(super) max_wait: Duration,
    pub(super) min_bytes: usize,
    pub(super) max_partition_bytes: usize,
    pub(super) isolation_level: IsolationLevel,
    pub(super) room: Reservation,
}

/// What came of a fetch.
pub(super) struct Fetched {
    pub(super) broker: i32,
    pub(super) outcome: Outcome,
    /// Room for what came.
    pub(super) held: Arc<Reservation>,
}

/// How a fetch ended.
pub(super) enum Outcome {
    Answered {
        session_id: i32,
        topics: Vec<TopicOutcome>,
    },
    /// The broker has lost the session, or does not think that this is its next fetch.
    SessionLost(ErrorCode),
    Failed(ClusterError),
}

/// What a broker answered for a topic.
pub(super) struct TopicOutcome {
    /// Nil in versions that know topics by name.
    pub(super) id: Uuid,
    pub(super) name: TopicName,
    pub(super) partitions: Vec<PartitionOutcome>,
}

/// What a broker answered for one partition.
#[derive(Debug)]
pub(super) struct PartitionOutcome {
    pub(super) partition: i32,
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
    pub(super) async fn run(mut self, cluster: Cluster, patience: Duration) -> Fetched {
        let outcome = self.ask(&cluster, patience).await.unwrap_or_else(Outcome::Failed);
        let Self { broker, mut room, .. } = self;
        let came = match &outcome {
            Outcome::Answered { topics, .. } => {
                let partitions = topics.iter().flat_map(|topic| &topic.partitions);
                partitions.map(|partition| partition.records.len()).sum()
            }
            _ => 0,
        };
        room.resize(came);
        Fetched { broker, outcome, held: Arc::new(room) }
    }

    async fn ask(&mut self, cluster: &Cluster, patience: Duration) -> Result<Outcome, ClusterError> {
        let connection = cluster.broker(self.broker, Lane::Fetch(self.consumer)).await?;
        let version = if self.ask.by_id { HIGHEST } else { LAST_BY_NAME };
        let answer = connection.send_capped(self.request(), version, self.max_wait + patience).await?.await?;
        match ErrorCode::check(answer.error_code) {
            Ok(()) => Ok(read(answer, self.isolation_level)),
            Err(code) if code.ends_fetch_session() => Ok(Outcome::SessionLost(code)),
            Err(code) => Err(ClusterError::refused(format!("fetch from broker {}", connection.broker()), code, None)),
        }
    }

    fn request(&mut self) -> FetchRequest {
        let max_bytes = bytes_on_wire(self.max_partition_bytes);
        let mut topics = ByTopic::default();
        for (partition, start) in std::mem::take(&mut self.ask.named) {
            let asked = FetchPartition::default()
                .with_partition(partition.partition)
                .with_current_leader_epoch(start.leader_epoch)
                .with_fetch_offset(start.position.offset)
                .with_last_fetched_epoch(start.position.wire_epoch())
                .with_partition_max_bytes(max_bytes);
            topics.add(partition, start.topic_id, asked);
        }
        let mut forgotten = ByTopic::default();
        for (partition, id) in std::mem::take(&mut self.ask.forgotten) {
            let number = partition.partition;
            forgotten.add(partition, id, number);
        }
        let topic = |(topic, id, partitions): (Arc<str>, _, _)| {
            FetchTopic::default().with_topic(topic_name(&topic)).with_topic_id(id).with_partitions(partitions)
        };
        let forgot = |(topic, id, partitions): (Arc<str>, _, _)| {
            ForgottenTopic::default().with_topic(topic_name(&topic)).with_topic_id(id).with_partitions(partitions)
        };
        FetchRequest::default()
            .with_max_wait_ms(millis(self.max_wait))
            .with_min_bytes(bytes_on_wire(self.min_bytes))
            .with_max_bytes(bytes_on_wire(self.room.bytes()))
            .with_isolation_level(self.isolation_level.on_wire())
            .with_session_id(self.ask.session_id)
            .with_session_epoch(self.ask.session_epoch)
            .with_topics(topics.0.into_iter().map(topic).collect())
            .with_forgotten_topics_data(forgotten.0.into_iter().map(forgot).collect())
    }
}

/// Tells a broker that it need not keep a session any longer, so that others find room. On a connection of its own: that of the
/// fetches may be held back by one.
pub(super) async fn end_session(cluster: Cluster, broker: i32, session_id: i32) {
    let request = FetchRequest::default().with_session_id(session_id).with_session_epoch(FINAL);
    let say = async {
        let connection = cluster.broker(broker, Lane::General).await?;
        connection.send_capped(request, HIGHEST, FAREWELL).await?.await?;
        Ok::<_, ClusterError>(())
    };
    match tokio::time::timeout(FAREWELL, say).await {
        Ok(Ok(())) => {}
        // It forgets by itself, after two minutes.
        Ok(Err(error)) => tracing::debug!(broker, "could not end a fetch session: {error}"),
        Err(_) => tracing::debug!(broker, "could not end a fetch session in {FAREWELL:?}"),
    }
}

/// Partitions by their topic, in the order in which topics come.
struct ByTopic<T>(Vec<(Arc<str>, Uuid, Vec<T>)>, HashMap<(Arc<str>, Uuid), usize>);

impl<T> Default for ByTopic<T> {
    fn default() -> Self {
        Self(Vec::new(), HashMap::new())
    }
}

impl<T> ByTopic<T> {
    fn add(&mut self, partition: TopicPartition, id: Uuid, what: T) {
        let TopicPartition { topic, .. } = partition;
        let place = *self.1.entry((Arc::clone(&topic), id)).or_insert_with(|| {
            self.0.push((topic, id, Vec::new()));
            self.0.len() - 1
        });
        self.0[place].2.push(what);
    }
}

fn bytes_on_wire(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

fn read(answer: FetchResponse, isolation_level: IsolationLevel) -> Outcome {
    let topic = |topic: FetchableTopicResponse| TopicOutcome {
        id: topic.topic_id,
        name: topic.topic,
        partitions: topic.partitions.into_iter().map(|partition| outcome(partition, isolation_level)).collect(),
    };
    Outcome::Answered { session_id: answer.session_id, topics: answer.responses.into_iter().map(topic).collect() }
}

fn outcome(partition: PartitionData, isolation_level: IsolationLevel) -> PartitionOutcome {
    let diverging = &partition.diverging_epoch;
    let leader = &partition.current_leader;
    let committed = isolation_level == IsolationLevel::ReadCommitted;
    let aborted = partition.aborted_transactions.unwrap_or_default().into_iter().filter(|_| committed);
    PartitionOutcome {
        partition: partition.partition_index,
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
