//! The cluster as one client sees it: its metadata, a connection to each broker, and who coordinates what.
//!
//! [`Cluster`] is a handle; all of them share one [`Inner`]. The metadata is a snapshot that one task replaces
//! ([`refresher`]), connections are made when asked for ([`pool`]), coordinators are looked up and remembered until
//! someone finds them wrong ([`coordinators`]).

mod coordinators;
mod error;
mod metadata;
mod outage;
mod pool;
mod refresher;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

pub(crate) use coordinators::CoordinatorKind;
pub use error::ClusterError;
pub use metadata::{BrokerInfo, Metadata, Partition, Topic};
pub(crate) use pool::{ConsumerId, Lane};

use self::coordinators::Coordinators;
use self::pool::{Pool, Target};
use self::refresher::Demand;
use crate::config::{ClientConfig, Endpoint};
use crate::connection::{Connection, ConnectionError};
use crate::error::ErrorCode;

/// A Kafka cluster: connections, metadata and coordinators of one client. Cheap to clone; the connections end with the
/// last clone and the producers and consumers made from it.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    config: ClientConfig,
    bootstrap: Vec<Endpoint>,
    metadata: watch::Sender<Arc<Metadata>>,
    demand: Arc<Demand>,
    pool: Pool,
    coordinators: Coordinators,
}

impl Cluster {
    /// Connects to the first broker of `bootstrap_servers` that answers, logs in and learns the cluster's brokers.
    ///
    /// Wrong settings and a refused login are reported at once. While no broker can be reached this waits, says so in
    /// the log, and gives up after [`api_timeout`](ClientConfig::api_timeout) with an error that
    /// [is retriable](ClusterError::is_retriable).
    ///
    /// Cancel safe: dropping it closes what was opened. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ClusterError::Config`], [`ClusterError::Authentication`] or [`ClusterError::Unreachable`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), kafka::ClusterError> {
    /// let cluster = kafka::Cluster::connect(kafka::ClientConfig::new(["localhost:9092"])).await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect(config: ClientConfig) -> Result<Self, ClusterError> {
        Self::connecting(config).await
    }

    /// Boxed here, so that the client's machinery is compiled in this crate and not anew in each that connects.
    fn connecting(config: ClientConfig) -> BoxFuture<'static, Result<Self, ClusterError>> {
        Box::pin(async move {
            let bootstrap = config.validate()?;
            let pool = Pool::new(&config)?;
            let (retry, max_age, waited) = (config.retry, config.metadata_max_age, config.api_timeout);
            let inner = Arc::new(Inner {
                bootstrap,
                metadata: watch::Sender::default(),
                demand: Arc::new(Demand::new()),
                pool,
                coordinators: Coordinators::default(),
                config,
            });
            let cluster = Self { inner };
            let demand = Arc::clone(&cluster.inner.demand);
            demand.refresh();
            let silence = cluster.inner.pool.silence();
            tokio::spawn(refresher::run(Arc::downgrade(&cluster.inner), demand, silence, retry, max_age));
            let known = |metadata: &Metadata| metadata.brokers().next().is_some().then_some(());
            cluster.wait_for(waited, known, |last| cluster.unreachable(waited, last)).await?;
            Ok(cluster)
        })
    }

    /// The settings that this client runs with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// What is known of the cluster now.
    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        self.inner.metadata.borrow().clone()
    }

    /// What is known of the cluster, as it changes.
    pub(crate) fn watch_metadata(&self) -> watch::Receiver<Arc<Metadata>> {
        self.inner.metadata.subscribe()
    }

    /// Makes these topics part of every refresh from now on and waits until all of them are known.
    ///
    /// Cancel safe: dropping it leaves the topics in the interest.
    ///
    /// # Errors
    /// An unknown topic after `topic_wait`; at once what waiting cannot mend; an outage after `api_timeout`.
    pub(crate) async fn topic_metadata(&self, names: &[&str]) -> Result<Arc<Metadata>, ClusterError> {
        self.inner.demand.add_topics(names);
        let began = Instant::now();
        let topic_wait = self.inner.config.topic_wait;
        let bound = self.inner.config.api_timeout;
        let check = |metadata: &Metadata| {
            let missing = |name: &&&str| metadata.topic(name).is_none();
            let Some(name) = names.iter().find(missing) else { return Some(Ok(())) };
            let code = metadata.topic_error(name)?;
            let what = || format!("topic {name}");
            if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION && began.elapsed() >= topic_wait {
                return Some(Err(ClusterError::UnknownTopic { topic: (*name).to_owned(), waited: topic_wait, code }));
            }
            (!code.is_retriable()).then(|| Err(ClusterError::refused(what(), code, None).needing("Describe")))
        };
        self.wait_for(bound, check, |last| self.unreachable(bound, last)).await??;
        Ok(self.metadata())
    }

    /// Says that a broker's answer contradicts the metadata. Many calls make one refresh, at a pace that spares brokers.
    pub(crate) fn metadata_is_stale(&self) {
        self.inner.demand.refresh();
    }

    /// Takes over a newer leader from a Produce or Fetch answer (KIP-951); older news is ignored.
    pub(crate) fn leader_hint(&self, topic: &str, partition: i32, leader: i32, leader_epoch: i32) {
        self.inner.publish(|known| known.with_leader(topic, partition, leader, leader_epoch));
        if self.metadata().broker(leader).is_none() {
            self.metadata_is_stale();
        }
    }

    /// The connection to a broker for one purpose, made if there is none.
    ///
    /// Cancel safe. A single attempt: after a failure the next call waits out the reconnect backoff first.
    ///
    /// # Errors
    /// [`ClusterError::UnknownBroker`] if metadata has no such broker, else why it could not be reached.
    pub(crate) async fn broker(&self, id: i32, lane: Lane) -> Result<Arc<Connection>, ClusterError> {
        self.inner.broker(id, lane).await
    }

    /// A connection to whichever broker can be reached, for requests that any of them answers.
    ///
    /// Cancel safe. Tries each broker once, then `bootstrap.servers`.
    ///
    /// # Errors
    /// What the last one said.
    pub(crate) async fn any_broker(&self) -> Result<Arc<Connection>, ClusterError> {
        self.inner.any_broker().await
    }

    /// The connection to the coordinator of `key`, which is looked up if it is not known.
    ///
    /// Cancel safe. Waits out elections and outages up to `api_timeout`.
    ///
    /// # Errors
    /// At once what waiting cannot mend, else [`ClusterError::NoCoordinator`].
    pub(crate) async fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<Arc<Connection>, ClusterError> {
        self.coordinator_on(kind, key, Lane::Coordinator).await
    }

    /// [`coordinator`](Self::coordinator) on another lane, for requests that the coordinator holds back.
    pub(crate) async fn coordinator_on(
        &self,
        kind: CoordinatorKind,
        key: &str,
        lane: Lane,
    ) -> Result<Arc<Connection>, ClusterError> {
        let waited = self.inner.config.api_timeout;
        let mut backoff = self.inner.config.retry.until(Instant::now() + waited);
        loop {
            let attempt = timeout_at(backoff.deadline(), self.inner.coordinator(kind, key, lane));
            let last = match attempt.await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if error.is_fatal() => return Err(error),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            self.inner.coordinators.forget(kind, key);
            debug!(what = kind.describe(key), error = last, "no coordinator yet");
            if !backoff.sleep_after_failure().await {
                return Err(ClusterError::NoCoordinator { what: kind.describe(key), waited, last });
            }
        }
    }

    /// Says that the coordinator answered that it is not it, or is gone: the next call looks it up again.
    pub(crate) fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        self.inner.coordinators.forget(kind, key);
    }

    /// Closes the connections that a consumer had to itself.
    pub(crate) fn release(&self, consumer: ConsumerId) {
        self.inner.pool.release(consumer);
    }

    /// Waits until `check` finds what it looks for in a snapshot, asking for refreshes meanwhile.
    async fn wait_for<T>(
        &self,
        bound: Duration,
        check: impl Fn(&Metadata) -> Option<T>,
        timed_out: impl FnOnce(Option<ClusterError>) -> ClusterError,
    ) -> Result<T, ClusterError> {
        let deadline = Instant::now() + bound;
        let mut attempts = self.inner.demand.attempts.subscribe();
        let mut last = None;
        loop {
            if let Some(found) = check(&self.metadata()) {
                return Ok(found);
            }
            self.inner.demand.refresh();
            match timeout_at(deadline, attempts.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(ClusterError::Closed),
                Err(_) => return Err(timed_out(last)),
            }
            match attempts.borrow_and_update().error.clone() {
                Some(error) if error.is_fatal() => return Err(error),
                error => last = error,
            }
        }
    }

    fn unreachable(&self, waited: Duration, last: Option<ClusterError>) -> ClusterError {
        let bootstrap = self.inner.config.bootstrap_servers.join(",");
        let none = || {
            let (broker, problem) = (bootstrap.clone(), "no answer yet".into());
            ClusterError::Connection(ConnectionError::Connect { broker, problem })
        };
        let last = Box::new(last.unwrap_or_else(none));
        ClusterError::Unreachable { bootstrap, waited, last }
    }
}

impl Inner {
    /// Replaces the snapshot unless `next` has no news.
    fn publish(&self, next: impl FnOnce(&Metadata) -> Option<Metadata>) {
        let changed = self.metadata.send_if_modified(|known| match next(known) {
            Some(next) if next != **known => {
                *known = Arc::new(next);
                true
            }
            _ => false,
        });
        if changed {
            let known = self.metadata.borrow().clone();
            let any = known.brokers().next().is_some();
            self.pool.retain(|target| match target {
                Target::Bootstrap(_) => !any,
                Target::Broker(id) => known.broker(*id).is_some(),
            });
        }
    }

    /// Forgets the brokers, so that the next request goes to `bootstrap.servers` (KIP-1102).
    fn rebootstrap(&self) {
        self.metadata.send_modify(|known| *known = Arc::new(known.without_brokers()));
    }

    async fn broker(&self, id: i32, lane: Lane) -> Result<Arc<Connection>, ClusterError> {
        let endpoint = self.metadata.borrow().broker(id).map(|broker| broker.endpoint.clone());
        let Some(endpoint) = endpoint else {
            self.demand.refresh();
            return Err(ClusterError::UnknownBroker { id });
        };
        let outcome = self.pool.get(&Target::Broker(id), &endpoint, lane).await;
        if outcome.is_err() {
            // It may have moved, or its partitions have.
            self.demand.refresh();
        }
        outcome
    }

    async fn any_broker(&self) -> Result<Arc<Connection>, ClusterError> {
        let mut targets: Vec<_> = self
            .metadata
            .borrow()
            .brokers()
            .map(|broker| (Target::Broker(broker.id), broker.endpoint.clone()))
            .collect();
        fastrand::shuffle(&mut targets);
        for (target, endpoint) in &targets {
            if let Some(connection) = self.pool.existing(target, endpoint, Lane::General) {
                return Ok(connection);
            }
        }
        let mut bootstrap: Vec<_> =
            self.bootstrap.iter().map(|endpoint| (Target::Bootstrap(endpoint.clone()), endpoint.clone())).collect();
        fastrand::shuffle(&mut bootstrap);
        let mut last = None;
        for (target, endpoint) in targets.iter().chain(&bootstrap) {
            match self.pool.get(target, endpoint, Lane::General).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(ClusterError::Closed))
    }

    async fn coordinator(&self, kind: CoordinatorKind, key: &str, lane: Lane) -> Result<Arc<Connection>, ClusterError> {
        let id = match self.coordinators.get(kind, key) {
            Some(id) => id,
            None => {
                let connection = self.any_broker().await?;
                let found = coordinators::find(&connection, kind, key).await?;
                let id = found.id;
                self.publish(|known| known.broker(id).is_none().then(|| known.with_broker(found)));
                self.coordinators.remember(kind, key, id);
                id
            }
        };
        self.broker(id, lane).await
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("bootstrap_servers", &self.inner.config.bootstrap_servers)
            .finish_non_exhaustive()
    }
}
