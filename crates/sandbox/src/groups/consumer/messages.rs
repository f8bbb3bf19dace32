//! What goes into a consumer group and what comes out of it.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::assignor::Assignor;

/// Partitions, each by its topic's id and its index.
pub(crate) type Partitions = BTreeSet<(Uuid, i32)>;

/// The epoch of a member that comes in.
pub(super) const JOIN: i32 = 0;
/// The epoch of a member that leaves.
pub(super) const LEAVE: i32 = -1;
/// The epoch of a static member that leaves and will be back.
pub(super) const LEAVE_FOR_A_WHILE: i32 = -2;

/// ConsumerGroupHeartbeat: members choose their own ids.
const FIRST_VERSION_WITH_OWN_IDS: i16 = 1;

/// What the broker's configuration says of consumer groups. The defaults are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.heartbeat.interval.ms`: how often members are told to send a heartbeat; 5 s.
    pub heartbeat_interval: Duration,
    /// `group.consumer.session.timeout.ms`: a member that is silent for longer is out; 45 s.
    pub session_timeout: Duration,
    /// `group.consumer.assignment.interval.ms`: the least time between two target assignments of a group; 1 s.
    pub assignment_interval: Duration,
    /// The least time between two looks at which topics a subscribed pattern matches; 10 s, which Kafka has no setting for.
    pub regex_interval: Duration,
    /// `group.consumer.max.size`: how many members a group may have. Kafka has no bound, the sandbox 1000.
    pub max_size: usize,
}

impl Default for ConsumerGroupSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            session_timeout: Duration::from_secs(45),
            assignment_interval: Duration::from_secs(1),
            regex_interval: Duration::from_secs(10),
            max_size: 1000,
        }
    }
}

/// A ConsumerGroupHeartbeat. What is `None` has not changed since the member said it last.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    pub(crate) member_id: String,
    pub(crate) member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topics: Option<BTreeSet<String>>,
    pub(crate) regex: Option<String>,
    pub(crate) assignor: Option<String>,
    /// What the member holds now, which is how it acknowledges that it has given something up.
    pub(crate) owned: Option<Partitions>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
}

/// Why a heartbeat is refused, in words for the client's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) member_id: String,
    pub(crate) member_epoch: i32,
    /// What the member may hold, where it has changed or the member asked for all.
    pub(crate) assignment: Option<Partitions>,
}

/// A member as administrators see it.
#[derive(Debug)]
pub(crate) struct MemberView<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) rack_id: Option<&'a str>,
    pub(crate) epoch: i32,
    pub(crate) is_classic: bool,
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
    pub(crate) topics: &'a BTreeSet<String>,
    pub(crate) regex: Option<&'a str>,
    pub(crate) assigned: Partitions,
    pub(crate) target: Partitions,
}

impl Heartbeat {
    /// Whether the member comes in, which makes the group where there is none.
    pub(crate) fn is_join(&self) -> bool {
        self.member_epoch == JOIN
    }

    /// Checks what can be checked without knowing the group.
    pub(crate) fn check(&self, group: &str, version: i16) -> Result<(), Refusal> {
        let is_blank = |value: &str| value.trim().is_empty();
        let invalid = |message: &str| Err(Refusal::new(ResponseError::InvalidRequest, message));
        let needs_id = version >= FIRST_VERSION_WITH_OWN_IDS || self.member_epoch > JOIN || self.member_epoch == LEAVE;
        if needs_id && is_blank(&self.member_id) {
            return invalid("MemberId can't be empty.");
        }
        if is_blank(group) {
            return invalid("GroupId can't be empty.");
        }
        if self.instance_id.as_deref().is_some_and(is_blank) {
            return invalid("InstanceId can't be empty.");
        }
        if self.rack_id.as_deref().is_some_and(is_blank) {
            return invalid("RackId can't be empty.");
        }
        match self.member_epoch {
            JOIN if self.rebalance_timeout.is_none() => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            JOIN if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            JOIN if self.topics.is_none() && self.regex.is_none() => {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            LEAVE_FOR_A_WHILE if self.instance_id.is_none() => return invalid("InstanceId can't be null."),
            epoch if epoch < LEAVE_FOR_A_WHILE => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        match self.assignor.as_deref() {
            Some(name) if Assignor::by_name(name).is_none() => Err(Refusal::new(
                ResponseError::UnsupportedAssignor,
                format!("ServerAssignor {name} is not supported. Supported assignors: uniform, range."),
            )),
            _ => Ok(()),
        }
    }
}
