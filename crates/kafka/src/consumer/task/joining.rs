//! The way into the group: which protocol, and which topics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use regex_lite::Regex;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Done, Task};
use crate::cluster::{Cluster, ClusterError};
use crate::consumer::config::{ConsumerConfig, GroupProtocol};
use crate::consumer::error::ConsumerError;
use crate::group::GroupError;
use crate::group::incremental::{Incremental, IncrementalConfig, Wanted};
use crate::group::member::Member;
use crate::group::membership::{Membership, MembershipConfig};

/// How soon to ask again whether the protocol is offered, or which topics match, when that could not be found out.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Task {
    /// Joins by the classic protocol if that is settled, else asks what the broker offers.
    pub(super) fn begin_to_join(&mut self, now: Instant) {
        if !self.config.is_member() {
            return;
        }
        let classic_key = self.config.classic_only_key();
        match (self.config.group_protocol, classic_key) {
            (Some(GroupProtocol::Classic), _) => self.join_classic("group.protocol says so", now),
            (None, Some(key)) => {
                self.join_classic(&format!("group.protocol is not set and {key} is of the classic one"), now)
            }
            _ => self.ask_for_protocol(Duration::ZERO),
        }
    }

    fn ask_for_protocol(&self, wait: Duration) {
        let Some(group) = &self.group else { return };
        let (calls, patterns) = (group.calls.clone(), self.config.pattern.is_some());
        self.start(async move {
            tokio::time::sleep(wait).await;
            Done::Offered(calls.offers_consumer_protocol(patterns).await)
        });
    }

    /// Which protocol it is, once the coordinator has said what it offers.
    pub(super) fn offered(&mut self, offer: Result<Result<(), String>, ClusterError>, now: Instant) {
        match offer {
            Ok(Ok(())) => self.join_incremental(now),
            Ok(Err(reason)) => self.not_offered(reason, now),
            Err(error) => {
                if error.is_fatal() {
                    self.shared.fail(ConsumerError::Cluster(error));
                }
                self.ask_for_protocol(ASK_AGAIN);
            }
        }
    }

    /// The consumer protocol cannot be had: the classic one will do unless the consumer protocol was asked for.
    pub(super) fn not_offered(&mut self, reason: String, now: Instant) {
        if self.config.group_protocol.is_none() {
            return self.join_classic(&format!("group.protocol is not set and {reason}"), now);
        }
        let group = self.config.group_id.clone().unwrap_or_default();
        let error = GroupError::NotOffered { group, reason };
        tracing::error!("{error}");
        self.shared.expel(error);
    }

    fn join_incremental(&mut self, now: Instant) {
        let why = if self.config.group_protocol.is_some() {
            "group.protocol says so"
        } else {
            "group.protocol is not set and the broker offers it"
        };
        let wanted = match &self.config.pattern {
            Some(pattern) => Wanted::Matching(Arc::from(pattern.as_str())),
            None => Wanted::Topics(names(&self.config.topics)),
        };
        let settings = IncrementalConfig {
            group: self.config.group_id.clone().unwrap_or_default(),
            instance_id: self.config.group_instance_id.clone(),
            rack: self.config.client_rack.clone(),
            assignor: self.config.group_remote_assignor.clone(),
            session_timeout: self.config.session_timeout,
            max_poll_interval: self.config.max_poll_interval,
            retry: self.retry,
        };
        tracing::info!(group = settings.group, why, "joining by the consumer protocol (KIP-848)");
        let mut member = Incremental::new(settings, wanted, self.rng.fork(), now);
        let known = self.cluster.metadata();
        member.metadata_changed(known.topics().map(|topic| (topic.id, Arc::clone(&topic.name))), now);
        self.set_member(Member::Incremental(Box::new(member)));
    }

    fn join_classic(&mut self, why: &str, now: Instant) {
        let group = self.config.group_id.clone().unwrap_or_default();
        tracing::info!(group, why, "joining by the classic protocol");
        if self.config.pattern.is_some() {
            return self.look_for_matches(Duration::ZERO);
        }
        let topics = names(&self.config.topics);
        let member = membership(&self.config, group, topics, self.retry, &mut self.rng, now);
        self.set_member(Member::Classic(Box::new(member)));
    }

    fn set_member(&mut self, member: Member) {
        if let Some(group) = &mut self.group {
            group.member = Some(member);
        }
    }

    /// In the classic protocol it is the member that finds out which topics match.
    fn look_for_matches(&self, wait: Duration) {
        let pattern = self.config.pattern.as_deref().and_then(|pattern| whole_name(pattern).ok());
        let (cluster, Some(pattern)) = (self.cluster.clone(), pattern) else { return };
        self.start(async move {
            tokio::time::sleep(wait).await;
            Done::Matched(matches(&cluster, &pattern).await)
        });
    }

    /// Which topics match now: the first time they are joined with, later they are a reason for a rebalance.
    pub(super) fn matched(&mut self, topics: Result<BTreeSet<Arc<str>>, ClusterError>, now: Instant) {
        let topics = match topics {
            Ok(topics) => topics,
            Err(error) => {
                if error.is_fatal() {
                    self.shared.fail(ConsumerError::Cluster(error));
                }
                return self.look_for_matches(ASK_AGAIN);
            }
        };
        self.look_for_matches(self.cluster.config().metadata_max_age);
        let interesting: Vec<String> = topics.iter().map(ToString::to_string).collect();
        self.learn(interesting);
        let Some(group) = &self.group else { return };
        if group.member.is_none() {
            let group = self.config.group_id.clone().unwrap_or_default();
            let member = membership(&self.config, group, topics, self.retry, &mut self.rng, now);
            self.set_member(Member::Classic(Box::new(member)));
        } else {
            self.with_classic(|member| member.subscribe(topics, now));
        }
    }

    /// Finds out what the topics are called that the coordinator has named by their ids.
    pub(super) fn resolve(&self, ids: BTreeSet<Uuid>) {
        let cluster = self.cluster.clone();
        self.start(async move {
            let Ok(topics) = cluster.admin().list_topics().await else { return Done::Answered };
            let found: Vec<&str> =
                topics.iter().filter(|(_, topic)| ids.contains(&topic.id)).map(|(name, _)| name.as_str()).collect();
            // What cannot be found out now is asked for again with the next heartbeat.
            let _ = cluster.topic_metadata(&found).await;
            Done::Resolved
        });
    }
}

/// The pattern, of a topic's whole name.
pub(in crate::consumer) fn whole_name(pattern: &str) -> Result<Regex, regex_lite::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

async fn matches(cluster: &Cluster, pattern: &Regex) -> Result<BTreeSet<Arc<str>>, ClusterError> {
    let topics = cluster.admin().list_topics().await?;
    let matching = topics.values().filter(|topic| !topic.is_internal && pattern.is_match(&topic.name));
    Ok(matching.map(|topic| Arc::clone(&topic.name)).collect())
}

fn names(topics: &[String]) -> BTreeSet<Arc<str>> {
    topics.iter().map(|topic| Arc::from(topic.as_str())).collect()
}

fn membership(
    config: &ConsumerConfig,
    group: String,
    topics: BTreeSet<Arc<str>>,
    retry: crate::retry::RetryPolicy,
    rng: &mut fastrand::Rng,
    now: Instant,
) -> Membership {
    let settings = MembershipConfig {
        group,
        instance_id: config.group_instance_id.clone(),
        assignors: config.partition_assignment_strategy.clone(),
        session_timeout: config.session_timeout,
        heartbeat_interval: config.heartbeat_interval,
        max_poll_interval: config.max_poll_interval,
        retry,
        rack: config.client_rack.clone(),
    };
    Membership::new(settings, topics, rng.fork(), now)
}
