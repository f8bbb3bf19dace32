//! The Kafka-protocol broker: one node that leads every partition and coordinates every group.
//!
//! [`Broker`] owns the state; [`listener`] feeds it requests, one connection at a time and in order, as Kafka does. Requests that
//! must wait (a fetch for data, a join for its group) park on their own connection's task and disturb nobody else.
//!
//! Lock order: the transactions, then the topic map, then one partition's log; or the transactions, then the groups; or the fetch
//! sessions, then the topic map. The groups' lock is taken with neither the topic map nor a log held. No lock is held across an await.

mod api;
mod fetch_sessions;
mod groups;
pub(crate) mod listener;
mod partition;
mod sasl;
mod settings;
mod status;
mod topics;
mod transactions;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::access::{AccessRules, Operation, Principal, ResourceKind};
use crate::issuer::VerifiedToken;
use crate::transactions::TransactionSettings;

use self::fetch_sessions::FetchSessions;
pub(crate) use self::groups::Groups;
pub(crate) use self::settings::TopicSettings;
pub use self::status::{BrokerStatus, Denial, GroupStatus, TopicStatus};
pub(crate) use self::topics::{CreateError, Topics};
pub(crate) use self::transactions::Transactions;

/// The only broker's node id.
pub(crate) const NODE_ID: i32 = 1;

/// Tells whose token this is; the text says why it is refused.
pub(crate) type VerifyToken = dyn Fn(&str, SystemTime) -> Result<VerifiedToken, String> + Send + Sync;

/// What a broker is made of.
pub(crate) struct BrokerConfig {
    pub(crate) cluster_id: String,
    /// The bound over all logs together, in bytes; past it the oldest batches go, whatever retention says.
    pub(crate) max_log_bytes: usize,
    pub(crate) group_settings: crate::groups::Settings,
    pub(crate) transactions: TransactionSettings,
    pub(crate) rules: Arc<AccessRules>,
    pub(crate) verify: Arc<VerifyToken>,
}

/// The broker's state, shared by all connections.
pub(crate) struct Broker {
    pub(crate) cluster_id: String,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    fetch_sessions: Mutex<FetchSessions>,
    max_log_bytes: usize,
    rules: Arc<AccessRules>,
    verify: Arc<VerifyToken>,
    connections: AtomicUsize,
    counters: status::Counters,
}

impl Broker {
    /// Starts the broker's own three tasks, group timers, transactions and retention; all end with `shutdown`.
    pub(crate) fn start(config: BrokerConfig, shutdown: &CancellationToken) -> Arc<Self> {
        let broker = Arc::new(Self {
            cluster_id: config.cluster_id,
            topics: Topics::default(),
            groups: Groups::new(config.group_settings),
            transactions: Transactions::new(config.transactions),
            fetch_sessions: Mutex::default(),
            max_log_bytes: config.max_log_bytes,
            rules: config.rules,
            verify: config.verify,
            connections: AtomicUsize::new(0),
            counters: status::Counters::default(),
        });
        let timers = Arc::clone(&broker);
        let ends = shutdown.clone();
        tokio::spawn(async move { ends.run_until_cancelled(timers.groups.keep_time()).await });
        let transactions = Arc::clone(&broker);
        let ends = shutdown.clone();
        tokio::spawn(async move {
            ends.run_until_cancelled(transactions.transactions.keep_time(&transactions)).await;
        });
        let retention = Arc::clone(&broker);
        let ends = shutdown.clone();
        tokio::spawn(async move { ends.run_until_cancelled(retention.topics.keep_retention()).await });
        broker
    }

    /// Locks the fetch sessions. Nothing may await while the guard lives.
    fn fetch_sessions(&self) -> MutexGuard<'_, FetchSessions> {
        self.fetch_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the access rules, and remembers a refusal for the status page and the log.
    fn allows(&self, principal: &Principal, resource: ResourceKind, name: &str, operation: Operation) -> bool {
        let allowed = self.rules.allows(principal, resource, name, operation);
        if !allowed {
            self.counters.denied(principal, resource, name, operation);
        }
        allowed
    }

    /// Like [`allows`](Self::allows), for questions whose "no" only hides something.
    fn may_see(&self, principal: &Principal, resource: ResourceKind, name: &str) -> bool {
        self.rules.allows(principal, resource, name, Operation::Describe)
    }

    /// Kafka lets an idempotent producer in that may write to the cluster or to any topic.
    fn allows_idempotent_write(&self, principal: &Principal) -> bool {
        self.rules.allows(principal, ResourceKind::Cluster, crate::access::CLUSTER_NAME, Operation::IdempotentWrite)
            || self.rules.allows_any(principal, ResourceKind::Topic, Operation::Write)
    }
}

/// Milliseconds since 1970, as Kafka counts.
fn epoch_ms(now: SystemTime) -> i64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
