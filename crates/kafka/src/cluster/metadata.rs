//! What is known of brokers, topics, partitions and their leaders: an immutable snapshot, and how the next one is made.
//!
//! A snapshot is made from a broker's answer and the snapshot before it, because brokers learn of changes at different
//! times: an answer may be older than what is known. A partition's leader epoch only rises, so an answer with a lower one
//! for the same topic id is not believed for that partition. A topic that was deleted and created again has a new id, and
//! its epochs begin anew.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use uuid::Uuid;

use crate::config::Endpoint;
use crate::error::ErrorCode;

/// A snapshot of the cluster, as far as this client has asked about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    cluster_id: Option<String>,
    controller: Option<i32>,
    brokers: HashMap<i32, BrokerInfo>,
    topics: HashMap<Arc<str>, Arc<Topic>>,
    ids: HashMap<Uuid, Arc<str>>,
    /// Topics that were asked for and answered with an error.
    errors: HashMap<Arc<str>, ErrorCode>,
}

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// `node.id`.
    pub id: i32,
    /// Where it listens for this client.
    pub endpoint: Endpoint,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, which a topic of the same name created later does not share.
    pub id: Uuid,
    /// Whether it is Kafka's own, such as `__consumer_offsets`.
    pub is_internal: bool,
    /// In the order of their index, which need not be without gaps while a topic is being created.
    pub partitions: Vec<Partition>,
}

/// A partition and who leads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// The broker to produce to and fetch from; none during an election.
    pub leader: Option<i32>,
    /// Rises with each election; -1 if the broker did not say.
    pub leader_epoch: i32,
    /// The brokers that hold a copy.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
    /// Those of them that are offline.
    pub offline: Vec<i32>,
}

impl Topic {
    /// The partition with this index.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        let position = self.partitions.binary_search_by_key(&index, |partition| partition.index).ok()?;
        self.partitions.get(position)
    }
}

impl Metadata {
    /// The cluster's id, if a broker has told.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The broker that takes requests for the controller.
    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// All brokers, in no order.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerInfo> {
        self.brokers.values()
    }

    /// The broker with this id.
    pub fn broker(&self, id: i32) -> Option<&BrokerInfo> {
        self.brokers.get(&id)
    }

    /// All topics known to this client, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics.get(self.ids.get(&id)?)
    }

    /// What the brokers answered for a topic instead of its partitions.
    pub fn topic_error(&self, name: &str) -> Option<ErrorCode> {
        self.errors.get(name).copied()
    }

    /// The leader of a partition and its epoch, unless an election is going on or the partition is unknown.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let partition = self.topic(topic)?.partition(partition)?;
        partition.leader.map(|leader| (leader, partition.leader_epoch))
    }

    /// The snapshot after a broker's answer about the topics of this client's interest.
    pub(crate) fn updated(&self, answer: &MetadataResponse) -> Self {
        let mut next = Self {
            cluster_id: answer.cluster_id.as_ref().map(ToString::to_string).or_else(|| self.cluster_id.clone()),
            controller: (answer.controller_id.0 >= 0).then_some(answer.controller_id.0),
            brokers: answer.brokers.iter().filter_map(broker_of).map(|broker| (broker.id, broker)).collect(),
            ..Self::default()
        };
        for topic in &answer.topics {
            let Some(name) = topic.name.as_ref().map(|name| Arc::<str>::from(name.as_str())) else { continue };
            match ErrorCode::check(topic.error_code) {
                Ok(()) => next.insert(Arc::new(topic_of(&name, topic, self.topic(&name)))),
                Err(code) => {
                    next.errors.insert(name, code);
                }
            }
        }
        next
    }

    /// The snapshot after a Produce or Fetch answer named a newer leader (KIP-951), or `None` if that is no news.
    pub(crate) fn with_leader(&self, topic: &str, partition: i32, leader: i32, leader_epoch: i32) -> Option<Self> {
        let known = self.topic(topic)?;
        if leader < 0 || known.partition(partition)?.leader_epoch >= leader_epoch {
            return None;
        }
        let mut changed = Topic::clone(known);
        let position = changed.partitions.binary_search_by_key(&partition, |partition| partition.index).ok()?;
        let partition = changed.partitions.get_mut(position)?;
        partition.leader = Some(leader);
        partition.leader_epoch = leader_epoch;
        let mut next = self.clone();
        next.insert(Arc::new(changed));
        Some(next)
    }

    /// The snapshot with a broker that an answer other than Metadata's told of.
    pub(crate) fn with_broker(&self, broker: BrokerInfo) -> Self {
        let mut next = self.clone();
        next.brokers.insert(broker.id, broker);
        next
    }

    /// The snapshot with its topics and no broker to ask.
    pub(crate) fn without_brokers(&self) -> Self {
        Self { brokers: HashMap::new(), controller: None, ..self.clone() }
    }

    fn insert(&mut self, topic: Arc<Topic>) {
        if !topic.id.is_nil() {
            self.ids.insert(topic.id, Arc::clone(&topic.name));
        }
        self.topics.insert(Arc::clone(&topic.name), topic);
    }
}

fn broker_of(broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker) -> Option<BrokerInfo> {
    let port = u16::try_from(broker.port).ok().filter(|port| *port != 0)?;
    let endpoint = Endpoint { host: broker.host.to_string(), port };
    Some(BrokerInfo { id: broker.node_id.0, endpoint, rack: broker.rack.as_ref().map(ToString::to_string) })
}

fn topic_of(name: &Arc<str>, answer: &MetadataResponseTopic, known: Option<&Arc<Topic>>) -> Topic {
    let known = known.filter(|known| known.id == answer.topic_id);
    let mut partitions: Vec<_> = answer
        .partitions
        .iter()
        .map(|partition| {
            let fresh = partition_of(partition);
            match known.and_then(|known| known.partition(fresh.index)) {
                Some(known) if known.leader_epoch > fresh.leader_epoch => known.clone(),
                _ => fresh,
            }
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    partitions.dedup_by_key(|partition| partition.index);
    Topic { name: Arc::clone(name), id: answer.topic_id, is_internal: answer.is_internal, partitions }
}

fn partition_of(answer: &MetadataResponsePartition) -> Partition {
    let ids = |brokers: &[kafka_protocol::messages::BrokerId]| brokers.iter().map(|broker| broker.0).collect();
    Partition {
        index: answer.partition_index,
        leader: (answer.leader_id.0 >= 0).then_some(answer.leader_id.0),
        leader_epoch: answer.leader_epoch,
        replicas: ids(&answer.replica_nodes),
        in_sync: ids(&answer.isr_nodes),
        offline: ids(&answer.offline_replicas),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::messages::{BrokerId, TopicName};

    use super::*;

    const ORDERS: Uuid = Uuid::from_u128(1);

    fn answer(id: Uuid, leaders: &[(i32, i32)]) -> MetadataResponse {
        let partitions = leaders.iter().enumerate().map(|(index, (leader, epoch))| {
            MetadataResponsePartition::default()
                .with_partition_index(index as i32)
                .with_leader_id(BrokerId(*leader))
                .with_leader_epoch(*epoch)
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName("orders".to_owned().into())))
            .with_topic_id(id)
            .with_partitions(partitions.collect());
        let broker = MetadataResponseBroker::default().with_node_id(BrokerId(1)).with_host("b".into()).with_port(9092);
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
    }

    #[test]
    fn an_answer_with_an_older_leader_epoch_is_not_believed_for_that_partition() {
        let known = Metadata::default().updated(&answer(ORDERS, &[(1, 5), (1, 5)]));
        let next = known.updated(&answer(ORDERS, &[(2, 4), (2, 6)]));
        assert_eq!(next.leader("orders", 0), Some((1, 5)));
        assert_eq!(next.leader("orders", 1), Some((2, 6)));
    }

    #[test]
    fn a_topic_created_again_begins_anew() {
        let known = Metadata::default().updated(&answer(ORDERS, &[(1, 5)]));
        let next = known.updated(&answer(Uuid::from_u128(2), &[(2, 0)]));
        assert_eq!(next.leader("orders", 0), Some((2, 0)));
        assert!(next.topic_by_id(ORDERS).is_none());
    }

    #[test]
    fn a_leader_hint_counts_only_if_its_epoch_is_newer() {
        let known = Metadata::default().updated(&answer(ORDERS, &[(1, 5)]));
        assert_eq!(known.with_leader("orders", 0, 2, 5), None);
        assert_eq!(known.with_leader("orders", 7, 2, 6), None);
        let hinted = known.with_leader("orders", 0, 2, 6).unwrap();
        assert_eq!(hinted.leader("orders", 0), Some((2, 6)));
        assert_eq!(hinted.updated(&answer(ORDERS, &[(1, 5)])).leader("orders", 0), Some((2, 6)));
    }

    #[test]
    fn a_partition_in_election_has_no_leader() {
        let known = Metadata::default().updated(&answer(ORDERS, &[(-1, 7)]));
        assert_eq!(known.leader("orders", 0), None);
        assert_eq!(known.topic("orders").unwrap().partition(0).unwrap().leader_epoch, 7);
    }

    #[test]
    fn a_topic_that_answers_with_an_error_is_known_by_that_error() {
        let mut refused = answer(ORDERS, &[]);
        refused.topics[0].error_code = 29;
        let known = Metadata::default().updated(&answer(ORDERS, &[(1, 5)])).updated(&refused);
        assert!(known.topic("orders").is_none());
        assert_eq!(known.topic_error("orders"), Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    }

    #[test]
    fn partitions_in_any_order_are_found_by_index() {
        let mut shuffled = answer(ORDERS, &[(1, 1), (1, 1), (1, 1)]);
        shuffled.topics[0].partitions.reverse();
        let known = Metadata::default().updated(&shuffled);
        assert_eq!(known.topic("orders").unwrap().partition(2).unwrap().index, 2);
    }
}
