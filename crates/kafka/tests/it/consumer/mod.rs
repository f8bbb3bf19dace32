//! Consumers and groups against a whole broker.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::time::Duration;

use kafka::{Cluster, Consumer, ConsumerConfig, GroupProtocol, NewTopic, OffsetReset, ProducerConfig, Record};
use tokio::time::timeout;

use crate::target::{connect, eventually, unique};

mod consumer_protocol;
mod groups;
mod isolation;
mod patterns;
mod reading;

/// No wait of these tests is longer; a broker delays a group's first rebalance by 3 s.
const PATIENCE: Duration = Duration::from_secs(40);

/// A topic of its own for one test.
struct Topic {
    cluster: Cluster,
    name: String,
}

impl Topic {
    async fn new(name: &str, partitions: i32) -> Self {
        let cluster = connect().await;
        let name = unique(name);
        let new = NewTopic::new(&name).partitions(partitions).replication(1);
        cluster.admin().create_topics([new]).await.unwrap().remove(&name).unwrap().unwrap();
        Self { cluster, name }
    }

    /// Writes the numbers as values, to all partitions.
    async fn write(&self, numbers: std::ops::Range<u32>) {
        let producer = self.cluster.producer(ProducerConfig::default()).unwrap();
        let texts: Vec<String> = numbers.map(|number| number.to_string()).collect();
        let records =
            texts.iter().map(|text| Record::to(self.name.as_str()).key(text.as_bytes()).value(text.as_bytes()));
        producer.send_all(records).await.unwrap();
        producer.close(PATIENCE).await.unwrap();
    }

    /// A group's settings that are quick to notice things.
    fn member_of(&self, group: &str) -> ConsumerConfig {
        let mut config = ConsumerConfig::group(group, [&self.name]);
        config.auto_offset_reset = OffsetReset::Earliest;
        config.heartbeat_interval = Duration::from_millis(300);
        config.session_timeout = Duration::from_secs(6);
        config
    }

    /// A group's settings in the consumer protocol, in which the broker says how often members are heard of.
    fn member_by_epochs(&self, group: &str) -> ConsumerConfig {
        let mut config = ConsumerConfig::group(group, [&self.name]);
        config.auto_offset_reset = OffsetReset::Earliest;
        config.group_protocol = Some(GroupProtocol::Consumer);
        config
    }

    /// Whether this broker offers the consumer protocol: Kafka does from 4.0 on.
    async fn offers_epochs(&self) -> bool {
        let consumer = self.consumer(self.member_by_epochs(&unique("offer"))).await;
        let offered = timeout(PATIENCE, consumer.in_group()).await.unwrap().is_some();
        consumer.close().await.unwrap();
        if !offered {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            println!("skipped: {test}: this broker does not offer the consumer protocol");
        }
        offered
    }

    async fn consumer(&self, config: ConsumerConfig) -> Consumer {
        self.cluster.consumer_with(config).await.unwrap()
    }

    /// A member's place in its group as the coordinator describes it, once it is stable.
    async fn describes_its_member_by(&self, protocol: GroupProtocol, mut config: ConsumerConfig) {
        let group = config.group_id.clone().unwrap();
        config.group_instance_id = Some("till-7".to_owned());
        let consumer = self.consumer(config).await;
        timeout(PATIENCE, consumer.in_group()).await.unwrap().unwrap();
        let admin = self.cluster.admin();
        let describe = async || admin.describe_groups([&group]).await.unwrap().remove(&group).unwrap().unwrap();
        let stable = async || Some(describe().await).filter(|described| described.state == "Stable");
        let described = eventually("the group is stable", stable).await;
        assert_eq!(described.protocol, protocol);
        let [member] = described.members.as_slice() else { panic!("{described:?}") };
        assert_eq!((member.instance_id.as_deref(), member.client_id.as_str()), (Some("till-7"), "grocery"));
        assert_eq!(member.assignment.iter().cloned().collect::<Vec<_>>(), consumer.assignment());
        assert_eq!(member.assignment.len(), 2);
        consumer.close().await.unwrap();
    }

    async fn delete(self) {
        self.cluster.admin().delete_topics([self.name]).await.unwrap();
    }
}

/// Reads at least so many records, and returns their values.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    let mut values = Vec::new();
    while values.len() < count {
        let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("records in time").unwrap().unwrap();
        values.extend(batch.iter().map(|record| number(record.value())));
    }
    values
}

fn number(value: Option<&[u8]>) -> u32 {
    std::str::from_utf8(value.unwrap()).unwrap().parse().unwrap()
}
