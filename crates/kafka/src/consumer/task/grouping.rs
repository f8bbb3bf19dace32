//! The task as a member of a group: carries out what the membership calls for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Done, Revocation, Task};
use crate::cluster::{Cluster, ClusterError, Metadata};
use crate::consumer::commits::Purpose;
use crate::consumer::error::ConsumerError;
use crate::consumer::partitions::Place;
use crate::consumer::shared::{Application, News, Shared, Standing, list};
use crate::error::ErrorCode;
use crate::group::assignor::PartitionCounts;
use crate::group::incremental::Incremental;
use crate::group::member::Member;
use crate::group::membership::{Effect, Failure, Membership};

/// How often a topic that does not exist is asked for, and how often that is said.
const LOOK_FOR_TOPICS: Duration = Duration::from_secs(2);
const SAY_MISSING: Duration = Duration::from_secs(30);
/// How long a leader waits for the partition counts of topics that it did not know before.
const DESCRIBE: Duration = Duration::from_secs(5);

impl Task {
    /// Lets the membership look at the clock and at the application.
    pub(super) fn tend_membership(&mut self, now: Instant) {
        let application = self.shared.lock().application;
        self.with_member(|member| {
            match application {
                Application::Polling => member.application_polls(true, now),
                Application::Processing { since } => member.application_polls(false, since),
            }
            member.tick(now)
        });
    }

    pub(super) fn with_classic(&mut self, step: impl FnOnce(&mut Membership) -> Vec<Effect>) {
        self.with_member(|member| member.classic().map(step).unwrap_or_default());
    }

    pub(super) fn with_incremental(&mut self, step: impl FnOnce(&mut Incremental) -> Vec<Effect>) {
        self.with_member(|member| member.incremental().map(step).unwrap_or_default());
    }

    pub(super) fn with_member(&mut self, step: impl FnOnce(&mut Member) -> Vec<Effect>) {
        let Some(member) = self.group.as_mut().and_then(|group| group.member.as_mut()) else { return };
        let effects = step(member);
        self.shared.stands(Standing { identity: member.signature(), left: member.has_left() });
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let Some(group) = &mut self.group else { return };
        let calls = group.calls.clone();
        let shared = Arc::clone(&self.shared);
        match effect {
            Effect::Join(join) => {
                self.start(async move { Done::Joined(join.ticket, settle(calls.join(&join).await, &shared)) });
            }
            Effect::Sync(sync) => {
                self.start(async move { Done::Synced(sync.ticket, settle(calls.sync(&sync).await, &shared)) });
            }
            Effect::Heartbeat { ticket, identity } => {
                // Shorter than a session, so that a coordinator that moved is found while there is time.
                let bound = self.config.session_timeout / 3;
                self.start(async move {
                    let answer = match timeout(bound, calls.heartbeat(&identity)).await {
                        Ok(answer) => settle(answer, &shared),
                        Err(_) => Err(Failure::Unreachable(format!("no answer to a heartbeat within {bound:?}"))),
                    };
                    Done::Heartbeat(ticket, answer)
                });
            }
            Effect::Leave { identity, reason } => self.start(async move {
                if let Err(error) = calls.leave(&identity, reason).await {
                    tracing::debug!(group = calls.group, "could not leave the group: {error}");
                }
                Done::Left
            }),
            Effect::Describe { ticket, topics } => {
                let cluster = self.cluster.clone();
                self.start(async move { Done::Described(ticket, describe(&cluster, &topics).await) });
            }
            Effect::Beat(beat) => {
                let bound = self.config.session_timeout / 3;
                self.start(async move {
                    let answer = match timeout(bound, calls.beat(&beat)).await {
                        Ok(answer) => settle(answer, &shared),
                        Err(_) => Err(Failure::Unreachable(format!("no answer to a heartbeat within {bound:?}"))),
                    };
                    Done::Beat(beat.ticket, answer)
                });
            }
            Effect::Release { ticket, instance_id } => {
                self.start(async move { Done::Released(ticket, settle(calls.release(&instance_id).await, &shared)) });
            }
            Effect::Resolve(ids) => self.resolve(ids),
            Effect::NotOffered(code) => {
                group.member = None;
                let reason = format!("the coordinator does not let us in by the consumer protocol ({code})");
                self.not_offered(reason, Instant::now());
            }
            Effect::ForgetCoordinator => calls.forget_coordinator(),
            Effect::Revoke(partitions) => {
                group.revocations += 1;
                let number = group.revocations;
                tracing::info!(group = calls.group, partitions = ?names(&partitions), "giving partitions up");
                self.shared.lock().partitions.revoke(&partitions);
                self.shared.tell(News::Revoking { number, partitions: list(&partitions) });
                group.revocation = Some(Revocation { number, partitions, committing: false });
            }
            Effect::Lost(partitions) => {
                tracing::warn!(group = calls.group, partitions = ?names(&partitions), "partitions lost without a commit");
                group.revocation = None;
                self.shared.lock().partitions.remove(&partitions);
                self.shared.tell(News::Lost(list(&partitions)));
            }
            Effect::Assigned(partitions) => {
                let mut state = self.shared.lock();
                for partition in &partitions {
                    state.partitions.assign(partition.clone(), Place::Committed);
                }
                drop(state);
                self.shared.tell(News::Assigned(list(&partitions)));
            }
            Effect::Failed(error) => {
                tracing::error!("{error}");
                self.shared.expel(error);
            }
        }
    }

    /// Takes a revocation further: once the application agrees, what it has done with is committed, and then the partitions go.
    pub(super) fn tend_revocation(&mut self, now: Instant) {
        let closing = self.closing.is_some();
        let Some(group) = &mut self.group else { return };
        let Some(revocation) = group.revocation.as_mut().filter(|revocation| !revocation.committing) else { return };
        let state = self.shared.lock();
        if state.gave_up < revocation.number && !closing {
            return;
        }
        let mut done = state.partitions.uncommitted();
        drop(state);
        done.retain(|partition| revocation.partitions.contains(partition));
        revocation.committing = true;
        // Even without positions it takes its turn: commits of the application that came before it go first.
        group.commits.push(done, Purpose::Revocation(revocation.number), now);
    }

    /// The positions of partitions that are given up are committed, as far as that was possible.
    pub(super) fn revoked(&mut self, number: u64, now: Instant) {
        let Some(group) = &mut self.group else { return };
        let Some(revocation) = group.revocation.take_if(|revocation| revocation.number == number) else { return };
        self.shared.lock().partitions.remove(&revocation.partitions);
        self.with_member(|member| member.revoked(now));
    }

    pub(super) fn metadata_changed(&mut self) {
        let metadata = Arc::clone(&self.metadata.borrow_and_update());
        self.leave_deleted_logs(&metadata);
        self.shared.lock().partitions.stir_all();
        let counts = counts(&metadata);
        let now = Instant::now();
        self.with_member(|member| match member {
            Member::Classic(member) => member.metadata_changed(&counts, now),
            Member::Incremental(member) => {
                member.metadata_changed(metadata.topics().map(|topic| (topic.id, Arc::clone(&topic.name))), now)
            }
        });
    }

    pub(super) fn learn_topics(&self) {
        let assigned = self.config.assignment.iter().map(|(partition, _)| partition.topic.to_string());
        let topics: BTreeSet<String> = self.config.topics.iter().cloned().chain(assigned).collect();
        self.learn(topics);
    }

    /// Makes these topics part of every metadata refresh, and reports those that this principal may not read.
    pub(super) fn learn(&self, topics: impl IntoIterator<Item = String>) {
        for topic in topics {
            let cluster = self.cluster.clone();
            self.start(async move {
                match cluster.topic_metadata(&[&topic]).await {
                    Err(error) if error.is_fatal() => Done::Topics(Err(error)),
                    _ => Done::Topics(Ok(())),
                }
            });
        }
    }

    /// A topic that does not exist yet is waited for, and that is said now and then.
    pub(super) fn look_for_topics(&mut self, now: Instant) {
        if now < self.missing_topics.next_look {
            return;
        }
        self.missing_topics.next_look = now + LOOK_FOR_TOPICS;
        let metadata = self.metadata.borrow();
        let missing: Vec<&String> = self.config.topics.iter().filter(|name| metadata.topic(name).is_none()).collect();
        if missing.is_empty() {
            return;
        }
        self.cluster.metadata_is_stale();
        if now >= self.missing_topics.next_warning {
            self.missing_topics.next_warning = now + SAY_MISSING;
            tracing::warn!(topics = ?missing, "waiting for topics that do not exist, or that this principal may not describe");
        }
    }
}

fn names(partitions: &BTreeSet<crate::TopicPartition>) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}

/// A failure as the membership knows it. What waiting cannot mend (a setting, a secret, a rule) is also told to the
/// application, which may give up; the membership goes on trying, in case somebody mends it.
fn settle<T>(answer: Result<Result<T, Failure>, ClusterError>, shared: &Shared) -> Result<T, Failure> {
    match answer {
        Ok(answer) => answer,
        Err(error) if error.code() == Some(ErrorCode::GROUP_AUTHORIZATION_FAILED) => {
            Err(Failure::code(ErrorCode::GROUP_AUTHORIZATION_FAILED))
        }
        Err(error) => {
            let failure = Failure::Unreachable(error.to_string());
            if error.is_fatal() {
                shared.fail(ConsumerError::Cluster(error));
            }
            Err(failure)
        }
    }
}

fn counts(metadata: &Metadata) -> PartitionCounts {
    metadata
        .topics()
        .map(|topic| (Arc::clone(&topic.name), i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)))
        .collect()
}

/// The partition counts of these topics, as far as they can be had in a short time.
async fn describe(cluster: &Cluster, topics: &BTreeSet<Arc<str>>) -> PartitionCounts {
    let known = cluster.metadata();
    for topic in topics.iter().filter(|topic| known.topic(topic).is_none()) {
        // One that does not exist is left out of this assignment; when it appears, the leader calls for another.
        let _ = timeout(DESCRIBE, cluster.topic_metadata(&[topic])).await;
    }
    let mut counts = counts(&cluster.metadata());
    counts.retain(|topic, _| topics.contains(topic));
    counts
}
