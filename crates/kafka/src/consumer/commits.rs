//! Commits, one after the other, and what each answer means for the one that is open.
//!
//! A commit that comes while the group rebalances is not lost: partitions that stay with a cooperative member may be committed
//! as soon as it knows its new generation. So an answer that only says "not in this generation" is held until there is
//! another, and an error only if the partitions went away.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls::PerPartition;
use super::error::CommitError;
use super::positions::Positions;
use crate::TopicPartition;
use crate::cluster::ClusterError;
use crate::error::ErrorCode;
use crate::group::membership::Identity;
use crate::retry::RetryPolicy;

/// Positions to commit, and who wants to know.
#[derive(Debug)]
pub(super) struct Commit {
    positions: Positions,
    /// What succeeded so far: a retry is about the rest.
    committed: Positions,
    purpose: Purpose,
    asked_at: Instant,
    deadline: Instant,
    failures: u32,
    not_before: Option<Instant>,
    /// The generation that the broker did not accept.
    refused_generation: Option<i32>,
    last: String,
}

/// Why positions are committed.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The application asked.
    Application(oneshot::Sender<Result<(), CommitError>>),
    /// Time has come to commit what is done.
    Interval,
    /// Before partitions are given up: the number of the revocation.
    Revocation(u64),
    Close,
}

/// What became of a commit.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) committed: Positions,
    pub(super) purpose: Purpose,
    pub(super) result: Result<(), CommitError>,
}

/// The commits of one consumer.
#[derive(Debug)]
pub(super) struct Commits {
    group: String,
    retry: RetryPolicy,
    bound: Duration,
    waiting: VecDeque<Commit>,
    in_flight: bool,
}

/// What is needed to send the next commit.
pub(super) enum Next {
    Send(Positions),
    Finished(Finished),
    Wait,
}

impl Commits {
    pub(super) fn new(group: String, retry: RetryPolicy, bound: Duration) -> Self {
        Self { group, retry, bound, waiting: VecDeque::new(), in_flight: false }
    }

    pub(super) fn push(&mut self, positions: Positions, purpose: Purpose, now: Instant) {
        self.waiting.push_back(Commit {
            positions,
            committed: Positions::new(),
            purpose,
            asked_at: now,
            deadline: now + self.bound,
            failures: 0,
            not_before: None,
            refused_generation: None,
            last: "the group is rebalancing".to_owned(),
        });
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the broker did not accept the generation, or epoch, in which the open commit was signed.
    pub(super) fn waits_for_another_generation(&self) -> bool {
        self.waiting.front().is_some_and(|commit| commit.refused_generation.is_some())
    }

    /// When the open commit is to be tried again or given up.
    pub(super) fn next_attempt(&self, now: Instant) -> Option<Instant> {
        let commit = self.waiting.front().filter(|_| !self.in_flight)?;
        Some(commit.not_before.filter(|at| *at > now).unwrap_or(commit.deadline))
    }

    /// What is next, given how this member signs now (`None`: it is between two generations) and what it owns.
    pub(super) fn next(
        &mut self,
        identity: Option<&Identity>,
        owned: impl Fn(&TopicPartition) -> bool,
        now: Instant,
    ) -> Next {
        if self.in_flight {
            return Next::Wait;
        }
        let Some(commit) = self.waiting.front_mut() else { return Next::Wait };
        if commit.positions.is_empty() {
            return Next::Finished(self.finish(Ok(())));
        }
        let gone: Vec<TopicPartition> =
            commit.positions.iter().map(|(name, _)| name).filter(|name| !owned(name)).cloned().collect();
        // What is still ours is committed all the same; once it is, the rest is what went away.
        if gone.len() == commit.positions.len() {
            let group = self.group.clone();
            return Next::Finished(self.finish(Err(CommitError::Rebalanced { group, partitions: gone })));
        }
        if now >= commit.deadline {
            let (waited, last) = (now - commit.asked_at, commit.last.clone());
            let group = self.group.clone();
            return Next::Finished(self.finish(Err(CommitError::Unreachable { group, waited, last })));
        }
        if commit.not_before.is_some_and(|at| at > now) {
            return Next::Wait;
        }
        match identity {
            Some(identity) if commit.refused_generation != Some(identity.generation) => {
                self.in_flight = true;
                let mut ours = commit.positions.clone();
                ours.retain(|name| !gone.contains(name));
                Next::Send(ours)
            }
            _ => Next::Wait,
        }
    }

    /// Takes the answer to the commit that is open. Returns it if that was its last, and whether the coordinator must be
    /// looked up again.
    pub(super) fn answered(
        &mut self,
        generation: i32,
        answer: Result<PerPartition<()>, ClusterError>,
        now: Instant,
        jitter: f64,
    ) -> (Option<Finished>, bool) {
        self.in_flight = false;
        let Some(commit) = self.waiting.front_mut() else { return (None, false) };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_retriable() => {
                commit.last = error.to_string();
                commit.back_off(self.retry, now, jitter);
                return (None, true);
            }
            Err(error) => {
                let error = match error.code() {
                    Some(code) if code.is_authorization() => {
                        CommitError::NotAuthorized { group: self.group.clone(), code }
                    }
                    _ => CommitError::Unreachable {
                        group: self.group.clone(),
                        waited: now - commit.asked_at,
                        last: error.to_string(),
                    },
                };
                return (Some(self.finish(Err(error))), false);
            }
        };
        let mut failed: Vec<(TopicPartition, ErrorCode)> = Vec::new();
        for (name, outcome) in answer {
            match outcome {
                Ok(()) => {
                    if let Some(position) = commit.positions.get(&name) {
                        commit.committed.insert(name.clone(), position);
                        commit.positions.retain(|waiting| *waiting != name);
                    }
                }
                Err(code) => failed.push((name, code)),
            }
        }
        let Some((_, first)) = failed.first().cloned() else { return (None, false) };
        commit.last = first.to_string();
        let names = || failed.iter().map(|(name, _)| name.clone()).collect();
        let error = match first {
            ErrorCode::REBALANCE_IN_PROGRESS => {
                commit.back_off(self.retry, now, jitter);
                return (None, false);
            }
            ErrorCode::ILLEGAL_GENERATION | ErrorCode::STALE_MEMBER_EPOCH => {
                commit.refused_generation = Some(generation);
                return (None, false);
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID | ErrorCode::FENCED_MEMBER_EPOCH => {
                CommitError::Rebalanced { group: self.group.clone(), partitions: names() }
            }
            code if code.is_authorization() => CommitError::NotAuthorized { group: self.group.clone(), code },
            code if code.is_retriable() => {
                commit.back_off(self.retry, now, jitter);
                return (None, code.moves_coordinator());
            }
            _ => CommitError::Refused { group: self.group.clone(), failed },
        };
        (Some(self.finish(Err(error))), false)
    }

    fn finish(&mut self, result: Result<(), CommitError>) -> Finished {
        match self.waiting.pop_front() {
            Some(commit) => Finished { committed: commit.committed, purpose: commit.purpose, result },
            None => Finished { committed: Positions::new(), purpose: Purpose::Interval, result },
        }
    }
}

impl Commit {
    fn back_off(&mut self, retry: RetryPolicy, now: Instant, jitter: f64) {
        self.failures += 1;
        self.not_before = Some(now + retry.wait(self.failures, jitter));
    }
}

#[cfg(test)]
mod tests;
