//! One open connection a broker and lane, made when first asked for and again after it ended.
//!
//! Lock order: `slots`, then a slot's `current`; neither is held across an await. A slot's `dialing` is an async lock that
//! makes connecting single flight: whoever comes while someone dials waits, and shares his failure instead of dialling
//! once more behind him.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kafka_protocol::messages::ApiKey;
use tokio::time::Instant;
use tokio_rustls::rustls;
use tracing::{debug, info, warn};

use super::ClusterError;
use super::outage::{Notice, Outage};
use crate::config::{ClientConfig, Endpoint, Transport};
use crate::connection::{CloseReason, Connection, ConnectionOptions, Silence, dial};
use crate::retry::RetryPolicy;
use crate::sasl::{AuthenticationError, Login, keep_authenticated};
use crate::{ConfigError, Sasl};

/// What a connection is for. Brokers answer one request after the other on each, so what may be held back there (a long
/// poll, a join) must not share a socket with what is urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Metadata, lookups, admin.
    General,
    /// Record batches out.
    Produce,
    /// Record batches in, for one consumer: a long poll of one must not hold back another's.
    Fetch(ConsumerId),
    /// A consumer's Join and Sync, which wait for the other members. Two consumers on one socket would wait for each other.
    Join(ConsumerId),
    /// Groups and transactions: what is answered at once.
    Coordinator,
}

/// Tells the consumers of a process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConsumerId(u64);

impl ConsumerId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// An entry of `bootstrap.servers`, before its id is known.
    Bootstrap(Endpoint),
    /// A broker of the cluster.
    Broker(i32),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap(endpoint) => write!(f, "bootstrap server {endpoint}"),
            Self::Broker(id) => write!(f, "broker {id}"),
        }
    }
}

#[derive(Default)]
struct Slot {
    current: Mutex<Current>,
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    connection: Option<(Endpoint, Arc<Connection>)>,
    /// Attempts that ended, for those who waited while one was made.
    attempts: u64,
    failure: Option<(u32, Instant, ClusterError)>,
    outage: Outage,
}

/// The connections of one client.
pub(super) struct Pool {
    slots: Mutex<HashMap<(Target, Lane), Arc<Slot>>>,
    tls: Option<Arc<rustls::ClientConfig>>,
    login: Option<Arc<Login>>,
    options: ConnectionOptions,
    connect_timeout: std::time::Duration,
    reconnect: RetryPolicy,
    /// `bootstrap.servers`, for messages.
    bootstrap: String,
}

impl Pool {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let client_id: Arc<str> = Arc::from(config.client_id.as_str());
        let tls = match &config.transport {
            Transport::Plaintext => None,
            Transport::Tls(options) => {
                Some(options.client_config().map_err(|error| ConfigError::Tls(error.to_string()))?)
            }
        };
        if let (None, Some(Sasl::Plain { .. })) = (&tls, &config.sasl) {
            warn!("security.protocol=SASL_PLAINTEXT sends the password of sasl.mechanism=PLAIN in the clear");
        }
        Ok(Self {
            slots: Mutex::default(),
            tls,
            login: config.sasl.clone().map(|sasl| Arc::new(Login::new(sasl, Arc::clone(&client_id)))),
            options: ConnectionOptions {
                client_id,
                request_timeout: config.request_timeout,
                max_frame_bytes: config.max_frame_bytes,
                silence: Arc::default(),
            },
            connect_timeout: config.connect_timeout,
            reconnect: config.reconnect,
            bootstrap: config.bootstrap_servers.join(","),
        })
    }

    /// The open connection to `target`, which listens at `endpoint`; made if there is none.
    ///
    /// After a failure the next attempt waits for the reconnect backoff first, so a caller may simply ask again.
    /// Cancel safe: an attempt that is dropped is given up, and whoever waits for it makes the next.
    pub(super) async fn get(
        &self,
        target: &Target,
        endpoint: &Endpoint,
        lane: Lane,
    ) -> Result<Arc<Connection>, ClusterError> {
        let slot = self.slot(target, lane);
        let attempts_before = match slot.live(endpoint, self.options.silence.since()) {
            Ok(connection) => return Ok(connection),
            Err(attempts) => attempts,
        };
        let _dialing = slot.dialing.lock().await;
        let attempts_now = match slot.live(endpoint, self.options.silence.since()) {
            Ok(connection) => return Ok(connection),
            Err(attempts) => attempts,
        };
        let failure = slot.current().failure.clone();
        if let Some((failures, at, error)) = failure {
            if attempts_now != attempts_before {
                return Err(error);
            }
            tokio::time::sleep_until(at + self.reconnect.wait(failures, fastrand::f64())).await;
        }
        let outcome = self.open(target, endpoint).await;
        let (notice, outcome) = slot.note(endpoint, outcome);
        self.say(target, endpoint, notice, &outcome);
        outcome
    }

    /// An open connection to `target`, if there is one.
    pub(super) fn existing(&self, target: &Target, endpoint: &Endpoint, lane: Lane) -> Option<Arc<Connection>> {
        self.slot(target, lane).live(endpoint, self.options.silence.since()).ok()
    }

    /// What the connections have noticed of brokers that do not answer.
    pub(super) fn silence(&self) -> Arc<Silence> {
        Arc::clone(&self.options.silence)
    }

    /// Drops what is no longer in the cluster, and the bootstrap connections once brokers are known.
    ///
    /// A broker that left is not waited for: it may be stopped, and its partitions have other leaders.
    pub(super) fn retain(&self, wanted: impl Fn(&Target) -> bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(target, _), slot| {
            let wanted = wanted(target);
            if !wanted && let (Target::Broker(_), Some((_, connection))) = (target, &slot.current().connection) {
                connection.close(CloseReason::Gone);
            }
            wanted
        });
    }

    /// Drops the connections that were made for this consumer alone.
    pub(super) fn release(&self, consumer: ConsumerId) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(_, lane), _| !matches!(lane, Lane::Fetch(of) | Lane::Join(of) if *of == consumer));
    }

    fn slot(&self, target: &Target, lane: Lane) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((target.clone(), lane)).or_default())
    }

    fn say(
        &self,
        target: &Target,
        endpoint: &Endpoint,
        notice: Option<Notice>,
        outcome: &Result<Arc<Connection>, ClusterError>,
    ) {
        match (notice, outcome) {
            // Whoever asked reports it, once.
            (_, Err(error)) if error.is_fatal() => debug!(%target, %endpoint, %error, "cannot connect"),
            (Some(Notice::Began), Err(error)) => {
                warn!("waiting for {target} at {endpoint} (bootstrap.servers={}): {error}", self.bootstrap);
            }
            (Some(Notice::GoesOn(lasted)), Err(error)) => {
                let seconds = lasted.as_secs();
                warn!(
                    "still waiting for {target} at {endpoint} after {seconds} s (bootstrap.servers={}): {error}",
                    self.bootstrap
                );
            }
            (Some(Notice::Ended(lasted)), Ok(_)) => {
                info!("{target} at {endpoint} is back after {} s", lasted.as_secs())
            }
            (_, Err(error)) => debug!(%target, %endpoint, %error, "cannot connect"),
            (_, Ok(_)) => debug!(%target, %endpoint, "connected"),
        }
    }

    /// Connects and logs in. A refused token is worth one more try with another, since it may only have been stale.
    async fn open(&self, target: &Target, endpoint: &Endpoint) -> Result<Arc<Connection>, ClusterError> {
        match self.open_once(target, endpoint).await {
            Err(ClusterError::Authentication(AuthenticationError::Refused {
                mechanism: "OAUTHBEARER",
                status,
                ..
            })) => {
                debug!(%target, %status, "token refused, trying a new one");
                self.open_once(target, endpoint).await
            }
            other => other,
        }
    }

    async fn open_once(&self, target: &Target, endpoint: &Endpoint) -> Result<Arc<Connection>, ClusterError> {
        // Before the socket: a broker gives a connection only so long to log in.
        let token = match &self.login {
            Some(login) => login.prepare(Login::min_life(None)).await?,
            None => None,
        };
        let stream = dial(endpoint, self.tls.as_ref(), self.connect_timeout).await?;
        let name = match target {
            Target::Bootstrap(_) => endpoint.to_string(),
            Target::Broker(id) => format!("{id} ({endpoint})"),
        };
        let connection = Arc::new(Connection::open(stream, name, &self.options).await?);
        if let Some(login) = &self.login {
            let outcome = login.authenticate(&connection.hold().await, token.as_ref()).await;
            match outcome {
                Ok(session) => keep_authenticated(&connection, Arc::clone(login), session),
                Err(error) => {
                    if let (AuthenticationError::Refused { .. }, Some(token)) = (&error, &token) {
                        login.refused(token);
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(connection)
    }
}

impl Slot {
    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it is open, leads to `endpoint` and is not one of those that fell silent with a request elsewhere that
    /// has had no answer `since`; else how many attempts have been made so far.
    fn live(&self, endpoint: &Endpoint, since: Option<Instant>) -> Result<Arc<Connection>, u64> {
        let mut current = self.current();
        let Some((leads_to, connection)) = &current.connection else { return Err(current.attempts) };
        match connection.closed() {
            None if leads_to == endpoint && since.is_none_or(|since| !connection.is_doubtful(since)) => {
                return Ok(Arc::clone(connection));
            }
            None if leads_to == endpoint => {
                debug!(broker = connection.broker(), "silent as long as another connection")
            }
            None => debug!(broker = connection.broker(), %endpoint, "the broker moved"),
            // Brokers end idle connections; that is no news to anybody.
            Some(CloseReason::EndOfStream) => debug!(broker = connection.broker(), "the broker closed the connection"),
            // Nor is it news when the other members take their time.
            Some(reason @ CloseReason::Unanswered { api: ApiKey::JoinGroup | ApiKey::SyncGroup, .. }) => {
                debug!(broker = connection.broker(), %reason, "the connection ended");
            }
            Some(reason) => warn!(broker = connection.broker(), %reason, "the connection ended"),
        }
        current.connection = None;
        Err(current.attempts)
    }

    fn note(
        &self,
        endpoint: &Endpoint,
        outcome: Result<Arc<Connection>, ClusterError>,
    ) -> (Option<Notice>, Result<Arc<Connection>, ClusterError>) {
        let now = Instant::now();
        let mut current = self.current();
        current.attempts += 1;
        match &outcome {
            Ok(connection) => {
                current.connection = Some((endpoint.clone(), Arc::clone(connection)));
                current.failure = None;
                (current.outage.reached(now), outcome)
            }
            Err(error) => {
                let failures = current.failure.as_ref().map_or(0, |(failures, ..)| *failures).saturating_add(1);
                current.failure = Some((failures, now, error.clone()));
                (current.outage.failed(now), outcome)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::MetadataRequest;

    use super::*;
    use crate::connection::ConnectionError;
    use crate::connection::scripted::{ScriptedBroker, connected, connected_with};

    #[tokio::test]
    async fn a_request_to_a_broker_that_left_the_cluster_is_given_up_at_once() {
        let pool = Pool::new(&ClientConfig::new(["localhost:9092"])).unwrap();
        let (connection, mut broker) = connected().await;
        let endpoint = Endpoint { host: "localhost".to_owned(), port: 9092 };
        let slot = pool.slot(&Target::Broker(7), Lane::Produce);
        slot.current().connection = Some((endpoint, Arc::clone(&connection)));
        let answer = connection.send(MetadataRequest::default()).await.unwrap();
        broker.expect(ApiKey::Metadata).await;
        pool.retain(|_| false);
        let error = answer.await.err().unwrap();
        assert!(matches!(error, ConnectionError::Closed { reason: CloseReason::Gone, .. }), "{error}");
        assert_eq!(error.written(), crate::error::Written::Maybe);
    }

    fn endpoint() -> Endpoint {
        Endpoint { host: "localhost".to_owned(), port: 9092 }
    }

    /// An open connection in a lane of broker 7.
    async fn in_lane(pool: &Pool, lane: Lane) -> (Arc<Connection>, ScriptedBroker) {
        let (connection, broker) = connected_with(&pool.options).await;
        let slot = pool.slot(&Target::Broker(7), lane);
        slot.current().connection = Some((endpoint(), Arc::clone(&connection)));
        (connection, broker)
    }

    async fn ask(connection: &Arc<Connection>) -> tokio::task::JoinHandle<bool> {
        let answer = connection.send(MetadataRequest::default()).await.unwrap();
        tokio::spawn(async move { answer.await.is_ok() })
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_fell_silent_with_an_unanswered_one_are_not_used_again() {
        let pool = Pool::new(&ClientConfig::new(["localhost:9092"])).unwrap();
        let (producing, _swallows) = in_lane(&pool, Lane::Produce).await;
        let (_idle, _silent) = in_lane(&pool, Lane::Coordinator).await;
        let (general, mut answers) = in_lane(&pool, Lane::General).await;
        let join = Lane::Join(ConsumerId::next());
        let (joining, _holds_back) = in_lane(&pool, join).await;
        let is_used = |lane| pool.existing(&Target::Broker(7), &endpoint(), lane).is_some();
        let still_waits = ask(&joining).await;
        tokio::time::advance(std::time::Duration::from_millis(10)).await;

        let unanswered = ask(&producing).await;
        assert!(is_used(Lane::Coordinator), "nothing is wrong yet");
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
        let asked = ask(&general).await;
        let arrived = answers.expect(ApiKey::Metadata).await;
        answers.answer(&arrived, &kafka_protocol::messages::MetadataResponse::default()).await;
        assert!(asked.await.unwrap());

        // That of the join, and that of the produce request.
        pool.silence().noticed().await;
        pool.silence().noticed().await;
        assert!(!is_used(Lane::Coordinator), "it has been silent as long");
        assert!(is_used(Lane::General), "it has answered since");
        assert!(is_used(Lane::Produce) && is_used(join), "what waits for an answer has a bound of its own");
        assert!(!still_waits.is_finished() && !unanswered.is_finished());
    }
}
