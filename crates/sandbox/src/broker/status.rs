//! What the broker can tell of itself, for a status page.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tracing::warn;

use super::Broker;
use crate::access::{Operation, Principal, ResourceKind};

const REMEMBERED_DENIALS: usize = 50;

/// A request that the access rules refused.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Denial {
    /// Who asked.
    pub principal: String,
    /// What kind of thing it was about.
    pub resource: String,
    /// Its name.
    pub name: String,
    /// The operation that no rule allows.
    pub operation: String,
}

/// One topic.
#[derive(Debug, Clone, Serialize)]
pub struct TopicStatus {
    /// Its name.
    pub name: String,
    /// The first offset of each partition that is still kept.
    pub start_offsets: Vec<i64>,
    /// The next offset of each partition.
    pub end_offsets: Vec<i64>,
    /// Bytes kept.
    pub size_bytes: usize,
}

/// One consumer group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupStatus {
    /// Its id.
    pub group: String,
    /// As Kafka names them: Empty, PreparingRebalance, CompletingRebalance, Stable.
    pub state: String,
    /// How many members it has.
    pub members: usize,
    /// Records between the committed offsets and the ends of their partitions.
    pub lag: i64,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct BrokerStatus {
    /// Open connections.
    pub connections: usize,
    /// Requests answered since the start.
    pub requests: u64,
    /// Requests refused by the access rules since the start.
    pub denied: u64,
    /// The latest of those, oldest first.
    pub denials: Vec<Denial>,
    /// Topics by name.
    pub topics: Vec<TopicStatus>,
    /// Groups by id.
    pub groups: Vec<GroupStatus>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    denied: AtomicU64,
    denials: Mutex<VecDeque<Denial>>,
}

impl Counters {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn denied(&self, principal: &Principal, resource: ResourceKind, name: &str, operation: Operation) {
        self.denied.fetch_add(1, Ordering::Relaxed);
        let denial = Denial {
            principal: principal.name.clone(),
            resource: resource.to_string(),
            name: name.to_owned(),
            operation: operation.to_string(),
        };
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        // A client that retries would fill the log with one line.
        if denials.back() != Some(&denial) {
            warn!(
                principal = denial.principal,
                // The name is the client's, and may hold what a terminal would obey.
                "denied {operation} on {resource} '{}': no rule of the access file allows it",
                name.escape_debug()
            );
            if denials.len() == REMEMBERED_DENIALS {
                denials.pop_front();
            }
            denials.push_back(denial);
        }
    }
}

impl Broker {
    /// A snapshot; each part is true at its own instant.
    pub(crate) fn status(&self) -> BrokerStatus {
        let topics = self.topics.all();
        let topic_statuses = topics.iter().map(|topic| {
            let mut status = TopicStatus {
                name: topic.name.to_string(),
                start_offsets: Vec::new(),
                end_offsets: Vec::new(),
                size_bytes: 0,
            };
            for partition in &topic.partitions {
                let log = partition.log();
                status.start_offsets.push(log.start());
                status.end_offsets.push(log.end());
                status.size_bytes += log.size_bytes();
            }
            status
        });
        BrokerStatus {
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.counters.requests.load(Ordering::Relaxed),
            denied: self.counters.denied.load(Ordering::Relaxed),
            denials: self.counters.denials.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
            topics: topic_statuses.collect(),
            groups: self.groups.status(&self.topics),
        }
    }
}
