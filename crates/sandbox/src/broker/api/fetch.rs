//! Fetch: what is there, or what comes within the wait.
//!
//! Which partitions a fetch is about and which of them it tells is the [sessions'](super::super::fetch_sessions) to say.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::fetch_sessions::{
    Answering, Begun, FetchedPartition, Found, PartitionKey, SessionRequest, TopicKey, Wanted,
};
use super::super::partition::Partition;
use super::super::topics::Topic;
use super::super::{Broker, NODE_ID};
use super::{Caller, text};
use crate::access::{Operation, ResourceKind};
use crate::log::{Aborted, Isolation, LEADER_EPOCH, PartitionLog};

const FIRST_VERSION_WITH_IDS: i16 = 13;
/// A client may ask for a wait; nobody needs a longer one.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// `fetch.max.bytes` of a broker.
const MAX_BYTES: usize = 55 << 20;

/// One partition of the fetch, looked up and authorized.
struct Lookup {
    asked: FetchedPartition,
    found: Result<Arc<Partition>, ResponseError>,
}

/// Answers when `min_bytes` are there, when the wait is over, or at once when a partition cannot be read as it is asked for. `None`
/// when the client left.
pub(super) async fn fetch(
    broker: &Broker,
    caller: &Caller<'_>,
    request: FetchRequest,
    version: i16,
) -> Option<FetchResponse> {
    let uses_topic_ids = version >= FIRST_VERSION_WITH_IDS;
    let Begun { answering, partitions } = match begin(broker, &request, uses_topic_ids) {
        Ok(begun) => begun,
        Err(error) => return Some(FetchResponse::default().with_error_code(error.code())),
    };
    let isolation = Isolation::of(request.isolation_level);
    let partitions = look_up(broker, caller, partitions);
    wait(caller, &request, &partitions, isolation).await?;

    let max_bytes = usize::try_from(request.max_bytes).unwrap_or_default().min(MAX_BYTES);
    let answer = read(partitions, answering, max_bytes, isolation);
    Some(match answering {
        Answering::Sessionless => FetchResponse::default().with_responses(answer.topics),
        Answering::Full => {
            let now = Instant::now().into_std();
            let random = || fastrand::i32(1..i32::MAX);
            let id = broker.fetch_sessions().open(uses_topic_ids, answer.told, now, random);
            FetchResponse::default().with_session_id(id).with_responses(answer.topics)
        }
        Answering::Incremental { id, epoch } => {
            let response = FetchResponse::default().with_session_id(id);
            match broker.fetch_sessions().answered(id, epoch, &answer.told) {
                Ok(()) => response.with_responses(answer.topics),
                Err(error) => response.with_error_code(error.code()),
            }
        }
    })
}

fn begin(broker: &Broker, request: &FetchRequest, uses_topic_ids: bool) -> Result<Begun, ResponseError> {
    let topic = |name: &TopicName, id: Uuid| {
        if uses_topic_ids { TopicKey::Id(id) } else { TopicKey::Name(name.as_str().into()) }
    };
    let mut named = Vec::new();
    for asked in &request.topics {
        let topic = topic(&asked.topic, asked.topic_id);
        named.extend(asked.partitions.iter().map(|partition| {
            let wanted = Wanted {
                offset: partition.fetch_offset,
                max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or_default(),
                leader_epoch: partition.current_leader_epoch,
            };
            (PartitionKey { topic: topic.clone(), index: partition.partition }, wanted)
        }));
    }
    let mut forgotten = Vec::new();
    for asked in &request.forgotten_topics_data {
        let topic = topic(&asked.topic, asked.topic_id);
        forgotten.extend(asked.partitions.iter().map(|&index| PartitionKey { topic: topic.clone(), index }));
    }
    let session = SessionRequest { id: request.session_id, epoch: request.session_epoch, uses_topic_ids };
    let name_of = |id| broker.topics.by_id(id).map(|topic| Arc::clone(&topic.name));
    broker.fetch_sessions().begin(session, &named, &forgotten, &name_of, Instant::now().into_std())
}

fn look_up(broker: &Broker, caller: &Caller<'_>, partitions: Vec<FetchedPartition>) -> Vec<Lookup> {
    let mut lookups = Vec::with_capacity(partitions.len());
    let mut last: Option<(TopicKey, Result<Arc<Topic>, ResponseError>)> = None;
    for partition in partitions {
        // Partitions of a topic mostly stand together.
        let topic = match &last {
            Some((key, topic)) if *key == partition.key.topic => topic.clone(),
            _ => look_up_topic(broker, caller, &partition),
        };
        let found = topic.as_ref().map_err(|error| *error).and_then(|topic| {
            topic.partition(partition.key.index).cloned().ok_or(ResponseError::UnknownTopicOrPartition)
        });
        last = Some((partition.key.topic.clone(), topic));
        lookups.push(Lookup { asked: partition, found });
    }
    // As in Kafka, what is refused goes to the end, unknown ids first.
    lookups.sort_by_key(|lookup| (lookup.is_refused(), lookup.asked.name.is_some()));
    lookups
}

fn look_up_topic(
    broker: &Broker,
    caller: &Caller<'_>,
    partition: &FetchedPartition,
) -> Result<Arc<Topic>, ResponseError> {
    let name = partition.name.as_ref().ok_or(ResponseError::UnknownTopicId)?;
    if !broker.allows(&caller.principal, ResourceKind::Topic, name, Operation::Read) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let topic = broker.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    match partition.key.topic {
        // The topic was deleted and made again.
        TopicKey::Id(id) if id != topic.id => Err(ResponseError::InconsistentTopicId),
        _ => Ok(topic),
    }
}

impl Lookup {
    /// Whether no log was found that may be read. This does not end the wait for the other partitions' records, while an error of
    /// reading does: a session tells the same refusal with every fetch, and its client would go round in circles.
    fn is_refused(&self) -> bool {
        self.found.as_ref().is_err_and(|error| *error != ResponseError::InconsistentTopicId)
    }

    /// Why `log` cannot be read as it is asked for.
    fn error_in(&self, log: &PartitionLog) -> Option<ResponseError> {
        let Wanted { offset, leader_epoch, .. } = self.asked.wanted;
        let out_of_range = offset < log.start() || offset > log.end();
        check_epoch(leader_epoch).err().or(out_of_range.then_some(ResponseError::OffsetOutOfRange))
    }
}

/// Waits until the answer may be given; `None` when the client left.
async fn wait(caller: &Caller<'_>, request: &FetchRequest, partitions: &[Lookup], isolation: Isolation) -> Option<()> {
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or_default();
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default()).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let grown = Arc::new(Notify::new());
    while Instant::now() < deadline && !is_ready(partitions, min_bytes, isolation, &grown) {
        tokio::select! {
            () = grown.notified() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = caller.gone.cancelled() => return None,
        }
    }
    Some(())
}

/// Whether there is enough, or nothing to wait for. `grown` is rung when that may have changed.
fn is_ready(partitions: &[Lookup], min_bytes: usize, isolation: Isolation, grown: &Arc<Notify>) -> bool {
    let mut available: usize = 0;
    let mut is_waited_for = false;
    for lookup in partitions.iter().filter(|lookup| !lookup.is_refused()) {
        let Ok(partition) = &lookup.found else { return true };
        is_waited_for = true;
        partition.wake_on_append(grown);
        let log = partition.log();
        if lookup.error_in(&log).is_some() {
            return true;
        }
        let Wanted { offset, max_bytes, .. } = lookup.asked.wanted;
        available = available.saturating_add(log.bytes_from(offset, max_bytes.max(1), isolation));
    }
    !is_waited_for || available >= min_bytes
}

/// A client that believes in another leader epoch than ours is told so (KIP-320); -1 believes nothing.
pub(super) fn check_epoch(current_leader_epoch: i32) -> Result<(), ResponseError> {
    match current_leader_epoch {
        -1 => Ok(()),
        epoch if epoch > LEADER_EPOCH => Err(ResponseError::UnknownLeaderEpoch),
        epoch if epoch < LEADER_EPOCH => Err(ResponseError::FencedLeaderEpoch),
        _ => Ok(()),
    }
}

/// What a client is told.
#[derive(Default)]
struct Answer {
    topics: Vec<FetchableTopicResponse>,
    /// The partitions in `topics`.
    told: Vec<(FetchedPartition, Found)>,
}

impl Answer {
    fn tell(&mut self, partition: FetchedPartition, found: Found, data: PartitionData) {
        let is_same = |(last, _): &(FetchedPartition, Found)| last.key.topic == partition.key.topic;
        match self.topics.last_mut().filter(|_| self.told.last().is_some_and(is_same)) {
            Some(topic) => topic.partitions.push(data),
            None => {
                let topic = FetchableTopicResponse::default().with_partitions(vec![data]);
                self.topics.push(match &partition.key.topic {
                    TopicKey::Name(name) => topic.with_topic(TopicName(text(name))),
                    TopicKey::Id(id) => topic.with_topic_id(*id),
                });
            }
        }
        self.told.push((partition, found));
    }
}

fn read(lookups: Vec<Lookup>, answering: Answering, max_bytes: usize, isolation: Isolation) -> Answer {
    let mut answer = Answer::default();
    let mut left = max_bytes;
    let mut empty_so_far = true;
    for lookup in lookups {
        let data = match &lookup.found {
            Err(error) => failed(*error),
            Ok(partition) => {
                let log = partition.log();
                match lookup.error_in(&log) {
                    Some(error) => failed(error),
                    None => read_log(&log, lookup.asked.wanted, left, empty_so_far, isolation),
                }
            }
        };
        let data = data.with_partition_index(lookup.asked.key.index);
        let bytes = data.records.as_ref().map_or(0, Bytes::len);
        empty_so_far &= bytes == 0;
        left = left.saturating_sub(bytes);
        let found = Found {
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
            has_records: bytes > 0,
            has_error: data.error_code != 0,
        };
        if !matches!(answering, Answering::Incremental { .. }) || lookup.asked.is_news(&found) {
            answer.tell(lookup.asked, found, data);
        }
    }
    answer
}

/// The first batch of an answer, `is_first`, is given however large it is, or nobody could ever read it.
fn read_log(log: &PartitionLog, wanted: Wanted, left: usize, is_first: bool, isolation: Isolation) -> PartitionData {
    let records = log.read(wanted.offset, wanted.max_bytes.min(left), is_first, isolation).unwrap_or_default();
    let aborted = (isolation == Isolation::ReadCommitted)
        .then(|| log.aborted_in(wanted.offset, &records).into_iter().map(aborted).collect());
    PartitionData::default()
        .with_high_watermark(log.end())
        .with_last_stable_offset(log.stable_end())
        .with_log_start_offset(log.start())
        .with_aborted_transactions(aborted)
        .with_records(Some(records))
}

fn aborted(transaction: Aborted) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(ProducerId(transaction.producer_id))
        .with_first_offset(transaction.first_offset)
}

fn failed(error: ResponseError) -> PartitionData {
    let data = PartitionData::default()
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()));
    match error {
        ResponseError::FencedLeaderEpoch => data.with_current_leader(
            LeaderIdAndEpoch::default().with_leader_id(BrokerId(NODE_ID)).with_leader_epoch(LEADER_EPOCH),
        ),
        _ => data,
    }
}
