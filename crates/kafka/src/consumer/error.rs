//! How reading and committing fail.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::TopicPartition;
use crate::cluster::ClusterError;
use crate::error::ErrorCode;
use crate::group::GroupError;

/// Why the next records are not there. Errors about one partition stop that partition only: the next call goes on with the
/// others, and a [`seek`](super::Consumer::seek) sets the partition going again.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The settings cannot work.
    #[error("{key} {problem}")]
    Config {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with it.
        problem: Arc<str>,
    },
    /// The group does not take this member.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The cluster cannot be used, and waiting does not change that.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is no committed offset, and no rule where to begin.
    #[error(
        "group {group} has committed no offset for {partition} and auto.offset.reset is none: commit one, seek, or set \
         auto.offset.reset to earliest or latest"
    )]
    NoOffset {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },
    /// The log does not reach the offset any more, or not yet, and there is no rule where to go on.
    #[error(
        "offset {offset} of {partition} is not in the log, which begins at {log_start}, and auto.offset.reset is none: seek, \
         or set auto.offset.reset to earliest or latest"
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        offset: i64,
        /// The first offset in the log; -1 if the broker did not say.
        log_start: i64,
    },
    /// An election cut off the log behind the offset, and there is no rule where to go on. Records that were read beyond
    /// `log_end` are no more.
    #[error(
        "the log of {partition} was read up to {offset} and now ends at {log_end}: an election cut it off, and auto.offset.reset \
         is none: seek, or set auto.offset.reset to earliest or latest"
    )]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// Where the next record was expected.
        offset: i64,
        /// Where the log ends that is left of what was read.
        log_end: i64,
    },
    /// The principal may not read the topic.
    #[error("not authorized to read topic {topic}: the principal needs Read on it (TOPIC_AUTHORIZATION_FAILED)")]
    NotAuthorized {
        /// The topic.
        topic: Arc<str>,
    },
    /// A batch of the log does not pass its checks. The partition stands still until the application seeks: to
    /// `next_offset` to leave the batch out, or to `offset` to try once more.
    #[error("the batch of {partition} at offset {offset} is corrupt: {problem}; seek to {next_offset} to leave it out")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The first offset that is not read.
        offset: i64,
        /// The first offset after the batch, as far as its header can be believed.
        next_offset: i64,
        /// What does not fit.
        problem: Arc<str>,
    },
    /// The broker refuses to serve a partition.
    #[error("{partition} cannot be read at offset {offset}: {code}")]
    Refused {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        offset: i64,
        /// The broker's code.
        code: ErrorCode,
    },
    /// This consumer does not read that partition.
    #[error("{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// The consumer's task has ended.
    #[error("the consumer is closed")]
    Closed,
}

impl ConsumerError {
    /// Whether waiting or asking again may mend it.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Cluster(error) if error.is_retriable())
    }

    /// Whether this consumer will never give records again.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::Group(_) | Self::Closed)
            || matches!(self, Self::Cluster(error) if error.is_fatal())
    }

    /// The partition it is about, if it is about one.
    pub fn partition(&self) -> Option<&TopicPartition> {
        match self {
            Self::NoOffset { partition, .. }
            | Self::OffsetOutOfRange { partition, .. }
            | Self::Truncated { partition, .. }
            | Self::Corrupt { partition, .. }
            | Self::Refused { partition, .. }
            | Self::NotAssigned { partition } => Some(partition),
            _ => None,
        }
    }
}

/// Why positions are not committed. None of these undoes anything: what was committed before stays.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The consumer has no `group.id`.
    #[error("nothing can be committed without group.id")]
    NoGroup,
    /// The partitions went to another member in the meantime. Whoever has them reads on from the last commit, so the records
    /// since then are processed again; go on with `next_batch`.
    #[error("group {group} has rebalanced: {} no longer ours, and what was read is read again by the new owner", list(.partitions))]
    Rebalanced {
        /// The group.
        group: String,
        /// The partitions that were not committed.
        partitions: Vec<TopicPartition>,
    },
    /// The principal may not read with this group, or not this topic.
    #[error("group {group}: not authorized to commit ({code}); the principal needs Read on the group and on the topic")]
    NotAuthorized {
        /// The group.
        group: String,
        /// The broker's code.
        code: ErrorCode,
    },
    /// The broker does not take some of the positions; those not named are committed.
    #[error("group {group}: {} not committed", refusals(.failed))]
    Refused {
        /// The group.
        group: String,
        /// What was refused and why.
        failed: Vec<(TopicPartition, ErrorCode)>,
    },
    /// The coordinator could not be reached in time; the commit may or may not have happened.
    #[error("group {group}: no commit within {waited:?}: {last}")]
    Unreachable {
        /// The group.
        group: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt ended with.
        last: String,
    },
    /// The consumer's task has ended.
    #[error("the consumer is closed")]
    Closed,
}

impl CommitError {
    /// Whether the same commit may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the partitions have a new owner; nothing is wrong with this consumer then.
    pub fn is_rebalance(&self) -> bool {
        matches!(self, Self::Rebalanced { .. })
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

fn refusals(failed: &[(TopicPartition, ErrorCode)]) -> String {
    failed.iter().map(|(partition, code)| format!("{partition}: {code}")).collect::<Vec<_>>().join(", ")
}
