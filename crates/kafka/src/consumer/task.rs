//! The task behind a consumer: it owns the membership, the fetches and the commits, and carries out what they call for.
//!
//! One loop: let the clock and the state say what is to be done, start it, wait for whatever comes first. Requests are
//! futures of this task, so that dropping it drops them. The application is spoken to through [`Shared`], never waited for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::budget::Budget;
use super::calls::{GroupCalls, PerPartition};
use super::commits::Commits;
use super::config::ConsumerConfig;
use super::error::{CommitError, ConsumerError};
use super::fetch::{Fetched, end_session};
use super::fetch_sessions::FetchSessions;
use super::partitions::{ListedAt, Unchecked, Want};
use super::positions::{Position, Positions};
use super::shared::Shared;
use crate::TopicPartition;
use crate::cluster::{Cluster, ClusterError, ConsumerId, Metadata};
use crate::group::assignor::PartitionCounts;
use crate::group::incremental::BeatAnswer;
use crate::group::member::Member;
use crate::group::membership::{Effect, Failure, Joined, Ticket};
use crate::retry::RetryPolicy;

mod checking;
mod committing;
mod fetching;
mod grouping;
mod joining;
mod locating;

pub(super) use joining::whole_name;

/// What the application asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Commit(Positions, oneshot::Sender<Result<(), CommitError>>),
    Committed(Vec<TopicPartition>, oneshot::Sender<Result<Positions, ConsumerError>>),
    Close(oneshot::Sender<()>),
}

/// A request of the task that has ended.
enum Done {
    Joined(Ticket, Result<Joined, Failure>),
    Synced(Ticket, Result<Bytes, Failure>),
    Heartbeat(Ticket, Result<(), Failure>),
    Described(Ticket, PartitionCounts),
    Offered(Result<Result<(), String>, ClusterError>),
    Matched(Result<BTreeSet<Arc<str>>, ClusterError>),
    Beat(Ticket, Result<BeatAnswer, Failure>),
    Released(Ticket, Result<(), Failure>),
    Resolved,
    Left,
    Topics(Result<(), ClusterError>),
    Committed(i32, Result<PerPartition<()>, ClusterError>),
    Located(Vec<Want>, Result<PerPartition<Option<Position>>, ClusterError>),
    Listed(Vec<(Want, ListedAt)>, Result<PerPartition<Option<Position>>, ClusterError>),
    Checked(Vec<Unchecked>, Result<PerPartition<Option<Position>>, ClusterError>),
    Fetched(Fetched),
    Answered,
}

pub(super) struct Task {
    config: ConsumerConfig,
    cluster: Cluster,
    consumer: ConsumerId,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    metadata: watch::Receiver<Arc<Metadata>>,
    retry: RetryPolicy,
    rng: fastrand::Rng,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    group: Option<Group>,
    budget: Arc<Budget>,
    fetches: FetchSessions,
    /// Brokers that did not answer, and when to ask them again.
    away: BTreeMap<i32, (u32, Instant)>,
    missing_topics: MissingTopics,
    /// Under which id each topic was last seen.
    topic_ids: HashMap<Arc<str>, Uuid>,
    closing: Option<Closing>,
}

/// The part of the task that only a member of a group has.
struct Group {
    calls: GroupCalls,
    /// None for a consumer that commits with a group but does not share its partitions, and before the protocol is settled.
    member: Option<Member>,
    commits: Commits,
    revocation: Option<Revocation>,
    revocations: u64,
    next_auto_commit: Instant,
}

/// Partitions on their way out: first the application finishes with them, then its positions are committed.
struct Revocation {
    number: u64,
    partitions: BTreeSet<TopicPartition>,
    committing: bool,
}

struct MissingTopics {
    next_look: Instant,
    next_warning: Instant,
}

struct Closing {
    reply: oneshot::Sender<()>,
    deadline: Instant,
    committing: bool,
}

impl Drop for Task {
    /// Whatever ends the task, nobody is left waiting for records. One that was closed has said so before.
    fn drop(&mut self) {
        self.cluster.release(self.consumer);
        if self.shared.end() {
            self.shared.fail(ConsumerError::Closed);
        }
    }
}

impl Task {
    pub(super) fn new(
        config: ConsumerConfig,
        cluster: Cluster,
        shared: Arc<Shared>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let now = Instant::now();
        let consumer = ConsumerId::next();
        let rng = fastrand::Rng::new();
        let retry = cluster.config().retry;
        let group = config.group_id.clone().map(|group| Group {
            calls: GroupCalls {
                cluster: cluster.clone(),
                group: group.clone(),
                consumer,
                session_timeout: config.session_timeout,
                rebalance_timeout: config.max_poll_interval,
            },
            member: None,
            commits: Commits::new(group, retry, cluster.config().api_timeout),
            revocation: None,
            revocations: 0,
            next_auto_commit: now + config.auto_commit_interval,
        });
        let budget = Budget::new(config.queued_max_bytes, Arc::clone(&shared.task));
        let mut metadata = cluster.watch_metadata();
        let topic_ids =
            metadata.borrow_and_update().topics().map(|topic| (Arc::clone(&topic.name), topic.id)).collect();
        Self {
            config,
            cluster,
            consumer,
            shared,
            commands,
            metadata,
            retry,
            rng,
            running: FuturesUnordered::new(),
            group,
            budget,
            fetches: FetchSessions::default(),
            away: BTreeMap::new(),
            missing_topics: MissingTopics { next_look: now, next_warning: now + Duration::from_secs(3) },
            topic_ids,
            closing: None,
        }
    }

    /// Runs until the consumer is closed or dropped.
    pub(super) async fn run(mut self) {
        self.learn_topics();
        self.begin_to_join(Instant::now());
        loop {
            let now = Instant::now();
            self.advance(now);
            if self.closing.is_some() && self.closed(now).await {
                break;
            }
            let deadline = self.next_deadline(now);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(done) = self.running.next() => {
                    self.take(done);
                    // Whatever else is ready is taken as well before the state is looked at again.
                    while let Some(Some(done)) = self.running.next().now_or_never() {
                        self.take(done);
                    }
                }
                () = self.shared.task.notified() => {}
                Ok(()) = self.metadata.changed() => self.metadata_changed(),
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        if self.closing.is_some() {
            let kept = self.fetches.kept();
            join_all(kept.map(|(broker, session)| end_session(self.cluster.clone(), broker, session))).await;
        }
        self.shared.end();
        if let Some(closing) = self.closing.take() {
            // The application may no longer wait for it.
            let _ = closing.reply.send(());
        }
    }

    /// Does what the time and the state call for.
    fn advance(&mut self, now: Instant) {
        // Before any fetch: it would go by the new metadata already.
        if self.metadata.has_changed().unwrap_or(false) {
            self.metadata_changed();
        }
        self.tend_membership(now);
        self.tend_revocation(now);
        self.tend_commits(now);
        if self.closing.is_none() {
            self.look(now);
            self.fetch(now);
            self.look_for_topics(now);
        }
    }

    fn next_deadline(&self, now: Instant) -> Instant {
        /// Nothing is so far off that it is not worth a look now and then.
        const IDLE: Duration = Duration::from_secs(5);
        let member = self.group.as_ref().and_then(|group| group.member.as_ref());
        let candidates = [
            member.and_then(Member::next_deadline),
            self.shared.lock().partitions.next_retry().filter(|_| self.closing.is_none()),
            self.away.values().map(|(_, at)| *at).filter(|at| *at > now).min(),
            self.group.as_ref().and_then(|group| self.next_commit(group, now)),
            self.closing.as_ref().map(|closing| closing.deadline),
            Some(now + IDLE),
        ];
        candidates.into_iter().flatten().min().unwrap_or(now + IDLE).max(now)
    }

    fn start(&self, future: impl Future<Output = Done> + Send + 'static) {
        self.running.push(future.boxed());
    }

    fn take(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Joined(ticket, answer) => self.with_classic(|member| member.joined(ticket, answer, now)),
            Done::Synced(ticket, answer) => self.with_classic(|member| member.synced(ticket, answer, now)),
            Done::Heartbeat(ticket, answer) => self.with_classic(|member| member.heartbeat(ticket, answer, now)),
            Done::Described(ticket, counts) => self.with_classic(|member| member.described(ticket, counts, now)),
            Done::Offered(offer) => self.offered(offer, now),
            Done::Matched(topics) => self.matched(topics, now),
            Done::Beat(ticket, answer) => self.with_incremental(|member| member.answered(ticket, answer, now)),
            Done::Released(ticket, answer) => self.with_incremental(|member| member.released(ticket, answer, now)),
            Done::Resolved => self.metadata_changed(),
            Done::Committed(generation, answer) => self.commit_answered(generation, answer, now),
            Done::Located(wants, answer) => self.located(wants, answer, now),
            Done::Listed(wants, answer) => self.listed(wants, answer, now),
            Done::Checked(unchecked, answer) => self.checked(unchecked, answer, now),
            Done::Fetched(fetched) => self.fetched(fetched, now),
            Done::Topics(Err(error)) => self.shared.fail(ConsumerError::Cluster(error)),
            Done::Topics(Ok(())) | Done::Left | Done::Answered => {}
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Commit(positions, reply) => self.commit(positions, reply, now),
            Command::Committed(partitions, reply) => self.ask_committed(partitions, reply),
            Command::Close(reply) => {
                let deadline = now + self.config.close_timeout;
                self.closing = Some(Closing { reply, deadline, committing: false });
            }
        }
    }

    /// Goes on with closing; says whether it is done.
    async fn closed(&mut self, now: Instant) -> bool {
        let Some(closing) = &mut self.closing else { return false };
        let Some(group) = &mut self.group else { return true };
        if !closing.committing {
            closing.committing = true;
            let done = self.shared.lock().partitions.uncommitted();
            if !done.is_empty() {
                group.commits.push(done, super::commits::Purpose::Close, now);
            }
            self.tend_commits(now);
            return false;
        }
        if !group.commits.is_idle() && now < closing.deadline {
            return false;
        }
        let left = closing.deadline.saturating_duration_since(now).max(Duration::from_secs(1));
        for effect in group.member.iter_mut().flat_map(Member::close) {
            let calls = &group.calls;
            let leave = async {
                match effect {
                    Effect::Leave { identity, reason } => calls.leave(&identity, reason).await,
                    Effect::Beat(beat) => calls.beat(&beat).await.map(drop),
                    _ => Ok(()),
                }
            };
            match tokio::time::timeout(left, leave).await {
                Ok(Ok(())) => tracing::info!(group = calls.group, "left the group"),
                Ok(Err(error)) => tracing::warn!(group = calls.group, "could not leave the group: {error}"),
                Err(_) => tracing::warn!(group = calls.group, "could not leave the group in {left:?}"),
            }
        }
        true
    }
}
