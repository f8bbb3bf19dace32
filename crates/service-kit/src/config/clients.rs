//! From keys to the settings of producers and consumers.

use std::time::Duration;

use kafka::{
    Assignor, Compression, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset, ProducerConfig,
    TransactionConfig,
};

use super::{Config, ConfigError};

const COMPRESSIONS: &[(&str, Compression)] = &[
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

const OFFSET_RESETS: &[(&str, OffsetReset)] = &[
    ("earliest", OffsetReset::Earliest),
    ("smallest", OffsetReset::Earliest),
    ("beginning", OffsetReset::Earliest),
    ("latest", OffsetReset::Latest),
    ("largest", OffsetReset::Latest),
    ("end", OffsetReset::Latest),
    ("none", OffsetReset::None),
    ("error", OffsetReset::None),
];

const ASSIGNORS: &[(&str, Assignor)] = &[
    ("cooperative-sticky", Assignor::CooperativeSticky),
    ("org.apache.kafka.clients.consumer.CooperativeStickyAssignor", Assignor::CooperativeSticky),
    ("range", Assignor::Range),
    ("org.apache.kafka.clients.consumer.RangeAssignor", Assignor::Range),
];

const ISOLATION_LEVELS: &[(&str, IsolationLevel)] =
    &[("read_committed", IsolationLevel::ReadCommitted), ("read_uncommitted", IsolationLevel::ReadUncommitted)];

/// Much shorter than Kafka's five minutes: a service is back for more within seconds, and for so long a member that has gone
/// silent in the middle of a rebalance holds up all others of a classic group.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Longer than a broker's failover takes, so that a transaction outlives it, and much shorter than Kafka's own minute: for so
/// long may an instance that never comes back hold up readers of committed records.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);

const GROUP_PROTOCOLS: &[(&str, GroupProtocol)] =
    &[("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];

/// Keys by which a member of a classic group decides what the broker decides in the consumer protocol.
const CLASSIC_ONLY: &[&str] = &["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];

impl Config {
    /// A producer's settings.
    ///
    /// # Errors
    /// A value that its key does not take.
    pub fn producer(&self) -> Result<ProducerConfig, ConfigError> {
        let mut producer = ProducerConfig::default();
        producer.compression = self.choice("compression.type", COMPRESSIONS)?.unwrap_or(producer.compression);
        let sizes: [(&str, &mut usize); 3] = [
            ("batch.size", &mut producer.batch_bytes),
            ("max.request.size", &mut producer.max_request_bytes),
            ("buffer.memory", &mut producer.buffer_bytes),
        ];
        for (key, size) in sizes {
            *size = self.bytes(key)?.unwrap_or(*size);
        }
        let waits: [(&str, &mut Duration); 3] = [
            ("linger.ms", &mut producer.linger),
            ("max.block.ms", &mut producer.max_block),
            ("delivery.timeout.ms", &mut producer.delivery_timeout),
        ];
        for (key, wait) in waits {
            *wait = self.milliseconds(key)?.unwrap_or(*wait);
        }
        let in_flight = self.parsed("max.in.flight.requests.per.connection", "a number from 1 to 5")?;
        producer.max_in_flight = in_flight.unwrap_or(producer.max_in_flight);
        Ok(producer)
    }

    /// A transactional producer's settings. Unless `transactional.id` says, its id is made of the service's name and
    /// `group.instance.id`, which is another name that belongs to one instance alone; without either it is a random one, with which
    /// a crash holds readers up until `transaction.timeout.ms` has passed.
    ///
    /// # Errors
    /// A value that its key does not take.
    pub fn transactions(&self, service: &str) -> Result<TransactionConfig, ConfigError> {
        let id = match (self.text("transactional.id"), self.text("group.instance.id")) {
            (Some(id), _) => id.to_owned(),
            (None, Some(instance)) if instance.starts_with(service) => instance.to_owned(),
            (None, Some(instance)) => format!("{service}-{instance}"),
            (None, None) => format!("{service}-{}", uuid::Uuid::new_v4()),
        };
        let mut transactions = TransactionConfig::new(id);
        transactions.timeout = self.milliseconds("transaction.timeout.ms")?.unwrap_or(TRANSACTION_TIMEOUT);
        transactions.producer = self.producer()?;
        Ok(transactions)
    }

    /// A consumer's settings. `group` is the group when `group.id` does not say; without a committed offset a service
    /// begins at the start of the topic (`auto.offset.reset`), since what is there has not been worked on. It
    /// reads committed records only (`isolation.level`).
    ///
    /// # Errors
    /// A value that its key does not take, or a key that means nothing in the `group.protocol` that is set.
    pub fn consumer(&self, group: &str, topics: &[&str]) -> Result<ConsumerConfig, ConfigError> {
        let group = self.text("group.id").unwrap_or(group);
        let mut consumer = ConsumerConfig::group(group, topics.iter().copied());
        consumer.auto_offset_reset = self.choice("auto.offset.reset", OFFSET_RESETS)?.unwrap_or(OffsetReset::Earliest);
        consumer.max_poll_interval = MAX_POLL_INTERVAL;
        consumer.group_instance_id = self.text("group.instance.id").map(str::to_owned);
        consumer.group_protocol = self.group_protocol()?;
        consumer.group_remote_assignor = self.text("group.remote.assignor").map(str::to_owned);
        if let Some(assignor) = self.choice("partition.assignment.strategy", ASSIGNORS)? {
            consumer.partition_assignment_strategy = vec![assignor];
        }
        consumer.isolation_level =
            self.choice("isolation.level", ISOLATION_LEVELS)?.unwrap_or(IsolationLevel::ReadCommitted);
        let sizes: [(&str, &mut usize); 4] = [
            ("fetch.min.bytes", &mut consumer.fetch_min_bytes),
            ("fetch.max.bytes", &mut consumer.fetch_max_bytes),
            ("max.partition.fetch.bytes", &mut consumer.max_partition_fetch_bytes),
            ("max.poll.records", &mut consumer.max_poll_records),
        ];
        for (key, size) in sizes {
            *size = self.bytes(key)?.unwrap_or(*size);
        }
        if let Some(kilobytes) = self.bytes("queued.max.messages.kbytes")? {
            consumer.queued_max_bytes = kilobytes.saturating_mul(1024);
        }
        let waits: [(&str, &mut Duration); 4] = [
            ("fetch.max.wait.ms", &mut consumer.fetch_max_wait),
            ("session.timeout.ms", &mut consumer.session_timeout),
            ("heartbeat.interval.ms", &mut consumer.heartbeat_interval),
            ("max.poll.interval.ms", &mut consumer.max_poll_interval),
        ];
        for (key, wait) in waits {
            *wait = self.milliseconds(key)?.unwrap_or(*wait);
        }
        Ok(consumer)
    }

    fn group_protocol(&self) -> Result<Option<GroupProtocol>, ConfigError> {
        let protocol = self.choice("group.protocol", GROUP_PROTOCOLS)?;
        let (keys, reason): (&[&str], _) = match protocol {
            Some(GroupProtocol::Consumer) => {
                (CLASSIC_ONLY, "in the consumer protocol the broker decides it; leave it out")
            }
            Some(GroupProtocol::Classic) => (
                &["group.remote.assignor"],
                "in the classic protocol it is partition.assignment.strategy; leave it out",
            ),
            None => (&[], ""),
        };
        match keys.iter().find(|key| self.text(key).is_some()) {
            Some(key) => Err(self.contradiction(key, "group.protocol", reason)),
            None => Ok(protocol),
        }
    }
}
