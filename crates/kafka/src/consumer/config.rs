//! What a consumer can be told, by the names of Kafka's own clients.

use std::sync::Arc;
use std::time::Duration;

use super::error::ConsumerError;
use super::task::whole_name;
use crate::TopicPartition;
use crate::group::Assignor;

/// How the members of a group come to share its partitions (`group.protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// `classic`: one member divides the partitions, by [`partition_assignment_strategy`](ConsumerConfig::partition_assignment_strategy).
    Classic,
    /// `consumer`: the broker divides them, and a rebalance stops only the partitions that move (KIP-848; brokers from 4.0).
    Consumer,
}

/// Where to begin when a group has no committed offset for a partition, or when that offset is no longer in the log
/// (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// `earliest`: with the oldest record there is.
    Earliest,
    /// `latest`: with what is written from now on.
    #[default]
    Latest,
    /// `none`: with an error.
    None,
}

/// Where to begin in a partition that is assigned by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// The oldest record there is.
    Earliest,
    /// What is written from now on.
    Latest,
    /// This offset.
    Offset(i64),
    /// The first record of this time or later, in milliseconds since 1970.
    Timestamp(i64),
    /// What the group has committed, else as `auto.offset.reset` says. Needs a group.
    Committed,
}

/// Which records of transactions to read (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// Every record as soon as it is replicated.
    #[default]
    ReadUncommitted,
    /// Records of transactions only once these are committed, and nothing beyond the first that is still open (the last stable
    /// offset). The group's own positions are waited for in the same way (KIP-447).
    ReadCommitted,
}

impl IsolationLevel {
    pub(super) fn on_wire(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

const STRATEGY: &[Assignor] = &[Assignor::CooperativeSticky];
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// The settings of a consumer. [`ConsumerConfig::group`] and [`ConsumerConfig::assigned`] make one with Kafka's defaults,
/// except that offsets are committed by the application unless [`enable_auto_commit`](Self::enable_auto_commit) is set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// `group.id`. Without one, partitions are assigned by hand and nothing can be committed.
    pub group_id: Option<String>,
    /// `group.protocol`. Unless it is set, it is the consumer protocol where the broker offers it and no setting of the classic one
    /// ([`partition_assignment_strategy`](Self::partition_assignment_strategy), [`session_timeout`](Self::session_timeout),
    /// [`heartbeat_interval`](Self::heartbeat_interval)) is changed; the log says which it is and why.
    pub group_protocol: Option<GroupProtocol>,
    /// `group.remote.assignor`: `uniform` or `range`, by which the broker divides the partitions in the consumer protocol. The
    /// broker's choice unless it is set.
    pub group_remote_assignor: Option<String>,
    /// `group.instance.id`: a name that this process keeps over restarts. Its partitions wait for it for
    /// [`session_timeout`](Self::session_timeout) instead of being given to others (KIP-345).
    pub group_instance_id: Option<String>,
    /// The topics that the group reads.
    pub topics: Vec<String>,
    /// A regular expression for the topics that the group reads, instead of their names: those whose whole name matches, but
    /// not Kafka's own, now and later. In the consumer protocol the broker looks for them; in the classic one
    /// every member does, each [`metadata_max_age`](crate::ClientConfig::metadata_max_age).
    pub pattern: Option<String>,
    /// Partitions that this consumer reads without asking a group.
    pub assignment: Vec<(TopicPartition, StartFrom)>,
    /// `partition.assignment.strategy`, in order of preference. All members of a group must share one. The default is
    /// cooperative-sticky alone: with `range` in the list every rebalance stops every member.
    pub partition_assignment_strategy: Vec<Assignor>,
    /// `auto.offset.reset`, `latest` as in Kafka.
    pub auto_offset_reset: OffsetReset,
    /// `enable.auto.commit`. Here `false`: the application says what it has done. When set, a batch counts as done when the
    /// next one is asked for, and what is done is committed every [`auto_commit_interval`](Self::auto_commit_interval).
    pub enable_auto_commit: bool,
    /// `auto.commit.interval.ms`, 5 s.
    pub auto_commit_interval: Duration,
    /// `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// Whether to wait for transactions that are about to commit positions of the group before one is begun at (KIP-447). Always
    /// so with [`IsolationLevel::ReadCommitted`]; an application that commits its positions in transactions needs it too,
    /// or it would do again what a transaction of its predecessor has not quite finished.
    pub require_stable: bool,
    /// `session.timeout.ms`, 45 s: how long the coordinator waits for a sign of life before it gives the partitions away.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`, 3 s.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`, 5 min: how long the application may be busy with what it was given before this consumer leaves
    /// the group on its behalf. It is also how long a rebalance waits for it.
    pub max_poll_interval: Duration,
    /// `max.poll.records`, 500: the most records of one [`RecordBatch`](super::RecordBatch).
    pub max_poll_records: usize,
    /// `fetch.min.bytes`, 1: a broker answers once it has so much, or after [`fetch_max_wait`](Self::fetch_max_wait).
    pub fetch_min_bytes: usize,
    /// `fetch.max.wait.ms`, 500 ms.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`, 16 MiB: the most of one answer. A single larger batch still comes whole. Java's default is 50 MiB; an answer
    /// of that size is memory that the system has to find and clear each time, and costs twice as much a record.
    pub fetch_max_bytes: usize,
    /// `max.partition.fetch.bytes`, 1 MiB.
    pub max_partition_fetch_bytes: usize,
    /// `queued.max.messages.kbytes` (librdkafka's name) in bytes, 64 MiB: the one budget for everything that is fetched or
    /// being fetched and that the application has not finished with, over all partitions.
    pub queued_max_bytes: usize,
    /// `client.rack`.
    pub client_rack: Option<String>,
    /// How long [`close`](super::Consumer::close) may take to commit and to leave (`default.api.timeout.ms` of Java's close),
    /// 30 s.
    pub close_timeout: Duration,
}

impl ConsumerConfig {
    /// A member of `group` that shares `topics` with the group's other members.
    pub fn group(group: impl Into<String>, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { group_id: Some(group.into()), topics: topics.into_iter().map(Into::into).collect(), ..Self::defaults() }
    }

    /// A member of `group` that shares all topics whose whole name matches `pattern` with the group's other members.
    pub fn group_matching(group: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self { group_id: Some(group.into()), pattern: Some(pattern.into()), ..Self::defaults() }
    }

    /// A consumer of exactly these partitions, without a group.
    pub fn assigned(partitions: impl IntoIterator<Item = (TopicPartition, StartFrom)>) -> Self {
        Self { assignment: partitions.into_iter().collect(), ..Self::defaults() }
    }

    fn defaults() -> Self {
        Self {
            group_id: None,
            group_protocol: None,
            group_remote_assignor: None,
            group_instance_id: None,
            topics: Vec::new(),
            pattern: None,
            assignment: Vec::new(),
            partition_assignment_strategy: STRATEGY.to_vec(),
            auto_offset_reset: OffsetReset::default(),
            enable_auto_commit: false,
            auto_commit_interval: Duration::from_secs(5),
            isolation_level: IsolationLevel::default(),
            require_stable: false,
            session_timeout: SESSION_TIMEOUT,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            max_poll_interval: Duration::from_secs(300),
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 16 << 20,
            max_partition_fetch_bytes: 1 << 20,
            queued_max_bytes: 64 << 20,
            client_rack: None,
            close_timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn requires_stable(&self) -> bool {
        self.require_stable || self.isolation_level == IsolationLevel::ReadCommitted
    }

    /// Whether partitions are shared with other members of a group.
    pub(super) fn is_member(&self) -> bool {
        !self.topics.is_empty() || self.pattern.is_some()
    }

    /// The first key that only the classic protocol knows and that is not as it is by default.
    pub(super) fn classic_only_key(&self) -> Option<&'static str> {
        let changed = [
            ("partition.assignment.strategy", self.partition_assignment_strategy != STRATEGY),
            ("session.timeout.ms", self.session_timeout != SESSION_TIMEOUT),
            ("heartbeat.interval.ms", self.heartbeat_interval != HEARTBEAT_INTERVAL),
        ];
        changed.into_iter().find(|(_, changed)| *changed).map(|(key, _)| key)
    }

    fn validate_protocol(&self) -> Result<(), ConsumerError> {
        let refuse = |key, problem: String| Err(ConsumerError::Config { key, problem: Arc::from(problem) });
        match self.group_protocol {
            Some(GroupProtocol::Consumer) => {
                if let Some(key) = self.classic_only_key() {
                    let problem = "cannot be set together with group.protocol=consumer, in which the broker decides it";
                    return refuse(key, problem.to_owned());
                }
            }
            Some(GroupProtocol::Classic) if self.group_remote_assignor.is_some() => {
                let problem = "cannot be set together with group.protocol=classic, which divides partitions by \
                               partition.assignment.strategy";
                return refuse("group.remote.assignor", problem.to_owned());
            }
            _ => {}
        }
        if let (Some(pattern), false) = (&self.pattern, self.group_protocol == Some(GroupProtocol::Consumer))
            && let Err(error) = whole_name(pattern)
        {
            return refuse("topics", format!("match no pattern that can be read: {error}"));
        }
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<(), ConsumerError> {
        let refuse = |key: &'static str, problem: &str| Err(ConsumerError::Config { key, problem: Arc::from(problem) });
        if [self.topics.is_empty(), self.pattern.is_none(), self.assignment.is_empty()]
            .iter()
            .filter(|no| !**no)
            .count()
            != 1
        {
            return refuse(
                "topics",
                "a consumer needs either topics that it shares with a group, by their names or by a pattern, or partitions of its \
                 own",
            );
        }
        if self.is_member() && self.group_id.as_deref().unwrap_or_default().is_empty() {
            return refuse("group.id", "is missing: a consumer of topics belongs to a group");
        }
        if self.partition_assignment_strategy.is_empty() {
            return refuse("partition.assignment.strategy", "is empty; use cooperative-sticky or range");
        }
        self.validate_protocol()?;
        if self.heartbeat_interval >= self.session_timeout {
            return refuse("heartbeat.interval.ms", "must be below session.timeout.ms, usually a third of it");
        }
        if self.max_poll_records == 0 {
            return refuse("max.poll.records", "must be at least 1");
        }
        if self.max_partition_fetch_bytes == 0 || self.fetch_max_bytes == 0 {
            return refuse("max.partition.fetch.bytes", "and fetch.max.bytes must be at least 1");
        }
        if self.queued_max_bytes < self.max_partition_fetch_bytes {
            return refuse("queued.max.messages.kbytes", "must be at least max.partition.fetch.bytes");
        }
        if self.group_id.is_none() && self.assignment.iter().any(|(_, from)| *from == StartFrom::Committed) {
            return refuse("group.id", "is missing: only a group has committed offsets");
        }
        Ok(())
    }
}
