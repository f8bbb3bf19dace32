//! The task's commits.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::locating::UNSTABLE;
use super::{Done, Group, Task};
use crate::TopicPartition;
use crate::cluster::{ClusterError, CoordinatorKind};
use crate::consumer::calls::PerPartition;
use crate::consumer::commits::{Finished, Next, Purpose};
use crate::consumer::error::{CommitError, ConsumerError};
use crate::consumer::positions::Positions;
use crate::error::ErrorCode;
use crate::group::member::Member;
use crate::group::membership::Identity;
use crate::group::subscription::NO_GENERATION;

impl Task {
    pub(super) fn commit(
        &mut self,
        positions: Positions,
        reply: oneshot::Sender<Result<(), CommitError>>,
        now: Instant,
    ) {
        match &mut self.group {
            Some(group) => group.commits.push(positions, Purpose::Application(reply), now),
            // The application may no longer wait for it.
            None => drop(reply.send(Err(CommitError::NoGroup))),
        }
    }

    pub(super) fn ask_committed(
        &self,
        partitions: Vec<TopicPartition>,
        reply: oneshot::Sender<Result<Positions, ConsumerError>>,
    ) {
        let Some(group) = &self.group else {
            let problem = "is missing: only a group has committed offsets".into();
            drop(reply.send(Err(ConsumerError::Config { key: "group.id", problem })));
            return;
        };
        let calls = group.calls.clone();
        let (require_stable, bound) = (self.config.requires_stable(), self.cluster.config().api_timeout);
        self.start(async move {
            let deadline = Instant::now() + bound;
            let unstable = |outcome: &Result<_, ErrorCode>| *outcome == Err(ErrorCode::UNSTABLE_OFFSET_COMMIT);
            let answer = loop {
                let answer = calls.committed(&partitions, require_stable, None).await;
                if !answer.as_ref().is_ok_and(|answer| answer.values().any(unstable)) {
                    break answer;
                }
                if Instant::now() >= deadline {
                    let what = CoordinatorKind::Group.describe(&calls.group);
                    break Err(ClusterError::refused(what, ErrorCode::UNSTABLE_OFFSET_COMMIT, None));
                }
                tokio::time::sleep(UNSTABLE).await;
            };
            let read = |answer: PerPartition<_>| {
                answer.into_iter().filter_map(|(name, place)| Some((name, place.ok()??))).collect()
            };
            let _ = reply.send(answer.map(read).map_err(ConsumerError::Cluster));
            Done::Answered
        });
    }

    /// Sends the next commit, if one can be sent.
    pub(super) fn tend_commits(&mut self, now: Instant) {
        loop {
            let automatic = self.config.enable_auto_commit && self.closing.is_none();
            let Some(group) = &mut self.group else { return };
            if automatic && now >= group.next_auto_commit {
                group.next_auto_commit = now + self.config.auto_commit_interval;
                let done = self.shared.lock().partitions.uncommitted();
                if !done.is_empty() {
                    group.commits.push(done, Purpose::Interval, now);
                }
            }
            let identity = identity(group, self.config.is_member());
            let (member, shares) = (group.member.as_ref(), self.config.is_member());
            let owned = |partition: &TopicPartition| member.map_or(!shares, |member| member.owns(partition));
            match group.commits.next(identity.as_ref(), owned, now) {
                Next::Wait => return,
                Next::Finished(finished) => self.commit_finished(finished, now),
                Next::Send(positions) => {
                    let Some(identity) = identity else { return };
                    let calls = group.calls.clone();
                    self.start(async move {
                        let answer = calls.commit(&identity, &positions).await;
                        Done::Committed(identity.generation, answer)
                    });
                    return;
                }
            }
        }
    }

    pub(super) fn next_commit(&self, group: &Group, now: Instant) -> Option<Instant> {
        let automatic = self.config.enable_auto_commit.then_some(group.next_auto_commit);
        group.commits.next_attempt(now).into_iter().chain(automatic).min()
    }

    pub(super) fn commit_answered(
        &mut self,
        generation: i32,
        answer: Result<PerPartition<()>, ClusterError>,
        now: Instant,
    ) {
        let jitter = self.rng.f64();
        let Some(group) = &mut self.group else { return };
        let (finished, coordinator_moved) = group.commits.answered(generation, answer, now, jitter);
        if group.commits.waits_for_another_generation()
            && let Some(member) = group.member.as_mut().and_then(Member::incremental)
        {
            // The next heartbeat's answer says which epoch it is.
            member.hurry(now);
        }
        if coordinator_moved {
            group.calls.forget_coordinator();
        }
        if let Some(finished) = finished {
            self.commit_finished(finished, now);
        }
    }

    fn commit_finished(&mut self, finished: Finished, now: Instant) {
        let Finished { committed, purpose, result } = finished;
        self.shared.lock().partitions.committed(&committed);
        let group = self.config.group_id.as_deref().unwrap_or_default();
        match (purpose, result) {
            // The application may no longer wait for it.
            (Purpose::Application(reply), result) => drop(reply.send(result)),
            (Purpose::Revocation(number), result) => {
                if let Err(error) = result {
                    tracing::warn!(group, "giving partitions up without a commit: {error}");
                }
                self.revoked(number, now);
            }
            (Purpose::Interval | Purpose::Close, Err(error)) => tracing::warn!(group, "not committed: {error}"),
            (Purpose::Interval | Purpose::Close, Ok(())) => tracing::debug!(group, ?committed, "committed"),
        }
    }
}

/// How a commit is signed now; a consumer that assigns its own partitions signs with no generation.
fn identity(group: &Group, shares: bool) -> Option<Identity> {
    match &group.member {
        Some(member) => member.commit_identity(),
        None if shares => None,
        None => Some(Identity { generation: NO_GENERATION, member_id: String::new(), instance_id: None }),
    }
}
