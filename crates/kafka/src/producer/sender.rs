//! The task behind a producer: it lets the state machine decide, and carries requests and answers.
//!
//! Each leader has a link: a connection and a task that writes to it, so that a slow broker holds up nobody else. A link
//! writes in the order in which it was given requests, which is the order of the partitions' sequences.

mod alarm;
mod requests;
mod transactional;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceResponse, ProducerId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use self::alarm::Alarm;
use self::requests::{Asked, Encoded, read_answers};
pub(super) use self::transactional::{Command, Reply, Transactional};
use super::accumulator::{PartitionKey, Ready};
use super::coordination::{Answer as Coordinated, Call};
use super::pipeline::{Effect, LinkId, Pipeline, ProducerIdentity, RequestId, Settings};
use super::shared::Shared;
use crate::cluster::{Cluster, ClusterError, Lane, Metadata};
use crate::connection::{Answer, Connection, ConnectionError};
use crate::error::{ErrorCode, Written};
use crate::retry::RetryPolicy;

enum Event {
    Connected { broker: i32, connection: Result<Arc<Connection>, ClusterError> },
    Answered { request: RequestId, answer: Result<ProduceResponse, ConnectionError> },
    Identity(Result<ProducerIdentity, ClusterError>),
    Coordinated { call: Call, answer: Coordinated },
}

/// What a link's writer reports.
enum Report {
    Sent(RequestId, Answer<ProduceResponse>),
    NotSent(RequestId, ConnectionError),
}

enum Link {
    Connecting,
    /// Until then nobody tries again.
    Failed {
        until: Instant,
    },
    Open(OpenLink),
}

struct OpenLink {
    id: LinkId,
    connection: Arc<Connection>,
    requests: mpsc::UnboundedSender<Encoded>,
    /// The broker has asked for a pause (KIP-219).
    muted_until: Option<Instant>,
}

pub(super) struct Sender {
    cluster: Cluster,
    shared: Arc<Shared>,
    pipeline: Pipeline,
    links: HashMap<i32, Link>,
    next_link: u64,
    asked: HashMap<RequestId, Asked>,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    metadata: watch::Receiver<Arc<Metadata>>,
    identity: IdentityRequest,
    /// `None` for a producer that is idempotent only.
    transactional: Option<Transactional>,
    retry: RetryPolicy,
    /// What the broker gives its followers to catch up: less than the connection gives the broker, so that its answer
    /// comes first.
    replication_timeout: Duration,
    delivery_timeout: Duration,
    /// Dropped with the sender, which is how `close` knows.
    _ended: watch::Sender<()>,
}

/// How the search for a producer id stands.
#[derive(Default)]
struct IdentityRequest {
    pending: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Sender {
    pub(super) fn new(
        cluster: Cluster,
        shared: Arc<Shared>,
        settings: Settings,
        transactional: Option<Transactional>,
        ended: watch::Sender<()>,
    ) -> Self {
        let config = cluster.config();
        Self {
            metadata: cluster.watch_metadata(),
            links: HashMap::new(),
            next_link: 0,
            asked: HashMap::new(),
            events: FuturesUnordered::new(),
            reports: mpsc::unbounded_channel(),
            identity: IdentityRequest::default(),
            transactional,
            retry: config.retry,
            replication_timeout: config.request_timeout.mul_f64(0.9),
            delivery_timeout: settings.delivery_timeout,
            pipeline: Pipeline::new(settings),
            shared,
            cluster,
            _ended: ended,
        }
    }

    pub(super) async fn run(mut self) {
        let mut alarm = Alarm::default();
        while !self.shared.is_stopped() {
            let now = Instant::now();
            let wake_at = self.send_what_can_go(now);
            self.apply_effects();
            let wake_at = wake_at.into_iter().chain(self.coordinate(now)).min();
            let wake_at = wake_at.unwrap_or_else(|| now + Duration::from_secs(3600));
            let markers_at = self.transactional.as_ref().and_then(|transactional| transactional.markers_at(now));
            tokio::select! {
                () = self.shared.wake.notified() => {}
                Some(command) = transactional::next_command(&mut self.transactional) => self.commanded(command),
                Some(event) = self.events.next() => self.happened(event),
                Some(report) = self.reports.1.recv() => self.reported(report),
                Ok(()) = self.metadata.changed() => self.leaders_may_have_changed(),
                () = alarm.until(markers_at) => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Gives up what is too old and sends what can go; returns when to do so again.
    fn send_what_can_go(&mut self, now: Instant) -> Option<Instant> {
        let shared = Arc::clone(&self.shared);
        let oldest = now.checked_sub(self.delivery_timeout);
        let (unsent, oldest) = {
            let mut accumulator = shared.accumulator();
            match oldest {
                Some(latest) => accumulator.take_created_until(latest),
                None => (Vec::new(), None),
            }
        };
        let leader_of = |key| shared.accumulator().leader(key);
        let expires = self.pipeline.expire(now, unsent, leader_of);
        let pressed = shared.waiting.load(Ordering::Relaxed) > 0;
        let mut ready = shared.accumulator().ready(now, pressed);
        self.pipeline.add_retries(&mut ready, leader_of, now);
        if let Some(transactional) = &mut self.transactional {
            transactional.admit(&mut ready, now);
        }
        let Ready { by_leader, leaderless, next_at } = ready;
        let mut wake_at = [next_at, expires, oldest.map(|created| created + self.delivery_timeout)];
        if leaderless {
            self.cluster.metadata_is_stale();
            wake_at[0] = wake_at[0].into_iter().chain([now + self.retry.initial]).min();
        }
        for (broker, keys) in by_leader {
            let look_again = self.send_to(broker, &keys, now);
            wake_at[0] = wake_at[0].into_iter().chain(look_again).min();
        }
        let look_again = self.ask_for_identity(now);
        wake_at.into_iter().flatten().chain(look_again).min()
    }

    /// Sends what a broker leads, as far as its link takes it; returns when it may take more.
    fn send_to(&mut self, broker: i32, keys: &[PartitionKey], now: Instant) -> Option<Instant> {
        if let Some(Link::Open(link)) = self.links.get(&broker)
            && link.connection.closed().is_some()
        {
            self.links.remove(&broker);
        }
        match self.links.get_mut(&broker) {
            Some(Link::Connecting) => None,
            Some(Link::Failed { until }) if *until > now => Some(*until),
            Some(Link::Failed { .. }) | None => {
                self.links.insert(broker, Link::Connecting);
                let cluster = self.cluster.clone();
                self.events.push(Box::pin(async move {
                    Event::Connected { broker, connection: cluster.broker(broker, Lane::Produce).await }
                }));
                None
            }
            Some(Link::Open(link)) => {
                if let Some(until) = link.muted_until.filter(|&until| until > now) {
                    return Some(until);
                }
                let (id, connection, requests) = (link.id, Arc::clone(&link.connection), link.requests.clone());
                let shared = Arc::clone(&self.shared);
                while let Some(outgoing) = self.pipeline.next_request(
                    id,
                    keys,
                    now,
                    |key| shared.accumulator().first_len(key),
                    |key| shared.accumulator().take(key),
                ) {
                    let (request, asked) = self.encode(&connection, broker, id, &outgoing);
                    self.asked.insert(outgoing.id, asked);
                    if let Some(transactional) = &mut self.transactional {
                        transactional.batch_sent();
                    }
                    // A writer that has ended has reported what it did not send, and the rest is lost like it.
                    if requests.send(request).is_err() {
                        self.asked.remove(&outgoing.id);
                        self.pipeline.lost(outgoing.id, Written::No, "the connection ended", now, fastrand::f64());
                    }
                }
                None
            }
        }
    }

    /// Starts a request for a producer id if one is wanted; returns when to try again.
    fn ask_for_identity(&mut self, now: Instant) -> Option<Instant> {
        if self.transactional.is_some() || !self.pipeline.wants_identity() || self.identity.pending {
            return None;
        }
        if let Some(at) = self.identity.not_before.filter(|&at| at > now) {
            return Some(at);
        }
        self.identity.pending = true;
        let cluster = self.cluster.clone();
        self.events.push(Box::pin(async move { Event::Identity(init_producer_id(&cluster).await) }));
        None
    }

    fn happened(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Connected { broker, connection: Ok(connection) } => {
                self.pipeline.reachable(broker);
                let (requests, queue) = mpsc::unbounded_channel();
                let timeout = self.cluster.config().request_timeout;
                tokio::spawn(write_requests(Arc::clone(&connection), queue, timeout, self.reports.0.clone()));
                let id = LinkId(self.next_link);
                self.next_link += 1;
                let link = OpenLink { id, connection, requests, muted_until: None };
                self.links.insert(broker, Link::Open(link));
            }
            Event::Connected { broker, connection: Err(error) } => {
                debug!(broker, %error, "leader cannot be reached");
                self.pipeline.unreachable(broker, error.to_string().into());
                self.links.insert(broker, Link::Failed { until: now + self.retry.wait(1, fastrand::f64()) });
                self.cluster.metadata_is_stale();
            }
            Event::Identity(Ok(identity)) => {
                debug!(producer_id = identity.id, "producer id granted");
                self.identity = IdentityRequest::default();
                self.pipeline.identity_granted(identity);
            }
            Event::Identity(Err(error)) => self.identity_failed(&error, now),
            Event::Answered { request, answer } => self.answered(request, answer, now),
            Event::Coordinated { call, answer } => self.coordinated(&call, answer, now),
        }
    }

    fn identity_failed(&mut self, error: &ClusterError, now: Instant) {
        self.identity.pending = false;
        self.identity.failures = self.identity.failures.saturating_add(1);
        self.identity.not_before = Some(now + self.retry.wait(self.identity.failures, fastrand::f64()));
        if error.is_fatal() {
            warn!(%error, "no producer id granted; records are refused");
            let (unsent, _) = self.shared.accumulator().take_created_until(now);
            self.pipeline.identity_refused(error, unsent);
        } else {
            debug!(%error, "no producer id yet");
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Sent(request, answer) => {
                self.events.push(Box::pin(async move { Event::Answered { request, answer: answer.await } }));
            }
            Report::NotSent(request, error) => self.answered(request, Err(error), Instant::now()),
        }
    }

    fn answered(&mut self, id: RequestId, answer: Result<ProduceResponse, ConnectionError>, now: Instant) {
        let Some(asked) = self.asked.remove(&id) else { return };
        match answer {
            Ok(response) => {
                let answers = read_answers(&asked, &response);
                if let Some(Link::Open(link)) = self.links.get_mut(&asked.broker)
                    && link.id == asked.link
                    && response.throttle_time_ms > 0
                {
                    let pause = Duration::from_millis(response.throttle_time_ms.unsigned_abs().into());
                    link.muted_until = Some(now + pause);
                }
                self.pipeline.answered(id, &answers, now, fastrand::f64());
            }
            Err(error) => {
                debug!(broker = asked.broker, %error, "produce request failed");
                if matches!(self.links.get(&asked.broker), Some(Link::Open(link)) if link.id == asked.link) {
                    self.links.remove(&asked.broker);
                }
                self.pipeline.lost(id, error.written(), &error.to_string(), now, fastrand::f64());
            }
        }
    }

    fn leaders_may_have_changed(&mut self) {
        let metadata = Arc::clone(&self.metadata.borrow_and_update());
        let mut accumulator = self.shared.accumulator();
        let mut changed = false;
        for name in accumulator.topic_names() {
            if let Some(topic) = metadata.topic(&name) {
                changed |= accumulator.update(topic);
            }
        }
        drop(accumulator);
        if changed {
            self.pipeline.leaders_changed();
        }
        self.links.retain(|broker, link| !matches!(link, Link::Failed { .. }) || metadata.broker(*broker).is_some());
    }

    fn apply_effects(&mut self) {
        let effects = self.pipeline.take_effects();
        self.shared.gauges.set(self.pipeline.counters(), self.pipeline.in_flight_requests());
        if effects.is_empty() {
            return;
        }
        let mut refresh = false;
        for effect in effects {
            match effect {
                Effect::Settled { id, outcome, result, records, charged_bytes } => {
                    match &result {
                        Ok(_) => self.shared.gauges.acknowledged(records, charged_bytes),
                        Err(error) => {
                            self.shared.gauges.failed(records);
                            if let Some(transactional) = &mut self.transactional {
                                transactional.batch_failed(error);
                            }
                        }
                    }
                    self.shared.accumulator().settled(id);
                    outcome.settle(result);
                    self.shared.room.add_permits(charged_bytes);
                }
                Effect::Split { id, outcome, parts } => {
                    debug!(topic = %outcome.topic, partition = outcome.partition, "batch split: the broker finds it too large");
                    let mut accumulator = self.shared.accumulator();
                    accumulator.settled(id);
                    for (part, _, outcome) in &parts {
                        accumulator.unsettled(*part, outcome);
                    }
                    outcome.split(parts.into_iter().map(|(_, first, outcome)| (first, outcome)).collect());
                }
                Effect::RefreshMetadata => refresh = true,
                Effect::Leader { key, leader, epoch } => {
                    let topic = self.shared.accumulator().topic(key.topic);
                    if let Some((name, _)) = topic {
                        self.cluster.leader_hint(&name, key.partition, leader, epoch);
                    }
                }
                // Unless the writer still holds it, this is the buffer that the batch was built in.
                Effect::Spare(bytes) => {
                    if let Ok(buffer) = bytes.try_into_mut() {
                        self.shared.accumulator().keep_spare(Vec::from(buffer));
                    }
                }
            }
        }
        if refresh {
            self.cluster.metadata_is_stale();
        }
    }
}

impl Drop for Sender {
    /// Whatever ends the sender, nobody is left waiting.
    fn drop(&mut self) {
        let unsent = self.shared.accumulator().close_and_take();
        self.pipeline.close(unsent);
        self.apply_effects();
        self.shared.room.close();
    }
}

/// Writes a link's requests in order until there will be no more.
async fn write_requests(
    connection: Arc<Connection>,
    mut requests: mpsc::UnboundedReceiver<Encoded>,
    timeout: Duration,
    reports: mpsc::UnboundedSender<Report>,
) {
    while let Some(Encoded { id, request, newest }) = requests.recv().await {
        let report = match connection.send_capped(request, newest, timeout).await {
            Ok(answer) => Report::Sent(id, answer),
            Err(error) => Report::NotSent(id, error),
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

/// InitProducerId without a transactional id: any broker grants one.
async fn init_producer_id(cluster: &Cluster) -> Result<ProducerIdentity, ClusterError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = cluster.any_broker().await?.call(request).await?;
    match ErrorCode::check(answer.error_code) {
        Ok(()) => Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch }),
        Err(code) => Err(ClusterError::refused("a producer id", code, None)),
    }
}
