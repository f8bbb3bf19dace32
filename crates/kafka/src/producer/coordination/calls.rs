//! The requests to coordinators: from our terms into messages and back. Each is one attempt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, GroupId,
    InitProducerIdRequest, ProducerId, TopicName, TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Call, Offsets, TransactionError, Version};
use crate::cluster::{Cluster, ClusterError, CoordinatorKind};
use crate::connection::{Connection, ConnectionError};
use crate::error::{ErrorCode, Written};
use crate::producer::accumulator::PartitionKey;
use crate::producer::pipeline::ProducerIdentity;

/// The finalized feature that says how transactions are spoken, and its level from which on they are spoken KIP-890's way.
const FEATURE: &str = "transaction.version";
const VERSION_TWO: i16 = 2;

/// The newest versions of the first protocol; later ones mean the second (KIP-890).
const OFFSETS_VERSION_ONE: i16 = 4;
const END_VERSION_ONE: i16 = 4;

/// What requests are made with.
#[derive(Clone)]
pub(in crate::producer) struct Calls {
    pub(in crate::producer) cluster: Cluster,
    pub(in crate::producer) transactional_id: Arc<str>,
    /// `transaction.timeout.ms`
    pub(in crate::producer) timeout: Duration,
}

/// An attempt that brought no answer.
struct Failed {
    written: Written,
    error: ClusterError,
}

impl From<ConnectionError> for Failed {
    fn from(error: ConnectionError) -> Self {
        Self { written: error.written(), error: error.into() }
    }
}

impl Calls {
    /// Makes one attempt. `names` are the topics of the partitions in `call`.
    pub(in crate::producer) async fn make(&self, call: &Call, names: &BTreeMap<usize, Arc<str>>) -> Answer {
        let group = match call {
            Call::CommitOffsets { offsets, .. } => Some(offsets.group.group_id.clone()),
            _ => None,
        };
        let (kind, key) = match &group {
            Some(group) => (CoordinatorKind::Group, &**group),
            None => (CoordinatorKind::Transaction, &*self.transactional_id),
        };
        let answer = match self.cluster.coordinator(kind, key).await {
            Ok(connection) => self.ask(&connection, call, names).await,
            Err(error) => Err(Failed { written: Written::No, error }),
        };
        let moved = match &answer {
            Ok(Answer::Refused(code)) => code.moves_coordinator(),
            Ok(Answer::Partitions(refused)) => refused.iter().any(|(_, code)| code.moves_coordinator()),
            Ok(_) => false,
            Err(_) => true,
        };
        if moved {
            self.cluster.forget_coordinator(kind, key);
        }
        answer.unwrap_or_else(|Failed { written, error }| {
            let why = error.to_string().into();
            Answer::Lost { written, why, fatal: error.is_fatal().then(|| self.fatal(error)) }
        })
    }

    fn fatal(&self, error: ClusterError) -> TransactionError {
        match error {
            ClusterError::NotAuthorized { code, .. } => {
                TransactionError::NotAuthorized { transactional_id: Arc::clone(&self.transactional_id), code }
            }
            error => TransactionError::Cluster(error),
        }
    }

    async fn ask(
        &self,
        connection: &Connection,
        call: &Call,
        names: &BTreeMap<usize, Arc<str>>,
    ) -> Result<Answer, Failed> {
        match call {
            Call::Init { identity } => self.init(connection, *identity).await,
            Call::AddPartitions { identity, partitions } => {
                self.add_partitions(connection, *identity, partitions, names).await
            }
            Call::AddOffsets { identity, group_id } => {
                let request = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(self.id())
                    .with_producer_id(ProducerId(identity.id))
                    .with_producer_epoch(identity.epoch)
                    .with_group_id(group(group_id));
                let answer = connection.call(request).await?;
                Ok(ErrorCode::check(answer.error_code).map_or_else(Answer::Refused, |()| Answer::Added))
            }
            Call::CommitOffsets { identity, offsets, version } => {
                self.commit_offsets(connection, *identity, offsets, *version).await
            }
            Call::End { identity, commit, version } => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(self.id())
                    .with_producer_id(ProducerId(identity.id))
                    .with_producer_epoch(identity.epoch)
                    .with_committed(*commit);
                let answer = connection.call_capped(request, cap(*version, END_VERSION_ONE)).await?;
                if let Err(code) = ErrorCode::check(answer.error_code) {
                    return Ok(Answer::Refused(code));
                }
                let next = ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch };
                Ok(Answer::Ended { next: (*version == Version::Two && next.id >= 0).then_some(next) })
            }
            Call::Describe | Call::Markers => self.describe(connection).await,
            Call::Features => Ok(Answer::Features { version: version(connection.ask_feature(FEATURE).await?) }),
        }
    }

    async fn init(&self, connection: &Connection, identity: Option<ProducerIdentity>) -> Result<Answer, Failed> {
        let ProducerIdentity { id, epoch } = identity.unwrap_or(ProducerIdentity { id: -1, epoch: -1 });
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id()))
            .with_transaction_timeout_ms(i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX))
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch);
        let answer = connection.call(request).await?;
        if let Err(code) = ErrorCode::check(answer.error_code) {
            return Ok(Answer::Refused(code));
        }
        let identity = ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch };
        Ok(Answer::Identity { identity, version: version(connection.feature(FEATURE)) })
    }

    async fn describe(&self, connection: &Connection) -> Result<Answer, Failed> {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![self.id()]);
        let answer = connection.call(request).await?;
        let Some(state) = answer.transaction_states.first() else {
            return Ok(Answer::Refused(ErrorCode::COORDINATOR_NOT_AVAILABLE));
        };
        if let Err(code) = ErrorCode::check(state.error_code) {
            return Ok(Answer::Refused(code));
        }
        let identity = ProducerIdentity { id: state.producer_id.0, epoch: state.producer_epoch };
        match state.transaction_state.as_str() {
            "PrepareCommit" | "PrepareAbort" => Ok(Answer::Refused(ErrorCode::CONCURRENT_TRANSACTIONS)),
            name => Ok(Answer::Described { identity, aborted: name == "CompleteAbort" }),
        }
    }

    async fn add_partitions(
        &self,
        connection: &Connection,
        identity: ProducerIdentity,
        partitions: &[PartitionKey],
        names: &BTreeMap<usize, Arc<str>>,
    ) -> Result<Answer, Failed> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for key in partitions {
            if let Some(name) = names.get(&key.topic) {
                topics.entry(name).or_default().push(key.partition);
            }
        }
        let topic = |(name, partitions): (&str, Vec<i32>)| {
            AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id())
            .with_v3_and_below_producer_id(ProducerId(identity.id))
            .with_v3_and_below_producer_epoch(identity.epoch)
            .with_v3_and_below_topics(topics.into_iter().map(topic).collect());
        let answer = connection.call(request).await?;
        let refused = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| {
            topic.results_by_partition.iter().filter_map(|partition| {
                let code = ErrorCode::check(partition.partition_error_code).err()?;
                Some((format!("partition {}-{}", topic.name.as_str(), partition.partition_index).into(), code))
            })
        });
        Ok(Answer::Partitions(refused.collect()))
    }

    async fn commit_offsets(
        &self,
        connection: &Connection,
        identity: ProducerIdentity,
        offsets: &Offsets,
        version: Version,
    ) -> Result<Answer, Failed> {
        let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, position) in offsets.positions.iter() {
            let place = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(position.offset)
                .with_committed_leader_epoch(position.wire_epoch())
                .with_committed_metadata(Some(StrBytes::from_static_str("")));
            topics.entry(&partition.topic).or_default().push(place);
        }
        let topic = |(name, partitions): (&str, Vec<_>)| {
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        let member = &offsets.group;
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.id())
            .with_group_id(group(&member.group_id))
            .with_producer_id(ProducerId(identity.id))
            .with_producer_epoch(identity.epoch)
            .with_generation_id(member.generation)
            .with_member_id(StrBytes::from_string(member.member_id.clone()))
            .with_group_instance_id(member.instance_id.clone().map(StrBytes::from_string))
            .with_topics(topics.into_iter().map(topic).collect());
        let answer = connection.call_capped(request, cap(version, OFFSETS_VERSION_ONE)).await?;
        let refused = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().filter_map(|partition| {
                let code = ErrorCode::check(partition.error_code).err()?;
                let place = (topic.name.as_str(), partition.partition_index);
                Some((format!("the offset of {}-{} in group {}", place.0, place.1, member.group_id).into(), code))
            })
        });
        Ok(Answer::Partitions(refused.collect()))
    }

    fn id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.transactional_id.to_string()))
    }
}

fn version(feature: Option<i16>) -> Version {
    if feature.is_some_and(|level| level >= VERSION_TWO) { Version::Two } else { Version::One }
}

fn cap(version: Version, newest_of_version_one: i16) -> i16 {
    match version {
        Version::One => newest_of_version_one,
        Version::Two => i16::MAX,
    }
}

fn group(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
