//! Membership in a classic consumer group, as a state machine without I/O (KIP-62, KIP-345, KIP-394, KIP-429, KIP-814).
//!
//! Answers, the application's signs of life and the clock go in; [`Effect`]s come out, and the shell carries them out.
//! A member is here:
//!
//! ```text
//! Idle ──poll──▶ Unjoined ──Join──▶ Joining ──(leads: Describing)──▶ Syncing ──▶ Stable ──27──▶ Unjoined …
//!                   ▲                                                             │ gives partitions up
//!                   └──────────────── revoked ◀── Revoking ◀──────────────────────┘ (eager: all, before it joins)
//! ```
//!
//! Two things that are easy to get wrong:
//! - *Revoked* and *lost* differ. What is revoked is still ours until we say so, and its positions can be committed. What is
//!   lost may already belong to somebody else: it is dropped without a commit.
//! - A broker forgets a member one session timeout after it last heard from it. This side counts from when it *sent* the last
//!   heartbeat that was answered, which is earlier, so it lets go before anybody else can be given the partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::assignor::{Assignor, Member, PartitionCounts};
use super::subscription::{self, NO_GENERATION, Subscription};
use crate::TopicPartition;
use crate::retry::RetryPolicy;

mod answers;
mod messages;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use messages::GroupError;
pub(crate) use messages::{Effect, Failure, Identity, Join, Joined, Sync, Ticket};

/// The settings of one member.
#[derive(Debug, Clone)]
pub(crate) struct MembershipConfig {
    pub(crate) group: String,
    pub(crate) instance_id: Option<String>,
    /// In order of preference; cooperative only if every one of them is.
    pub(crate) assignors: Vec<Assignor>,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    /// How long the application may go without asking for records; also how long others wait for us in a rebalance.
    pub(crate) max_poll_interval: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) rack: Option<String>,
}

impl MembershipConfig {
    fn cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }
}

/// One member of one group.
#[derive(Debug)]
pub(crate) struct Membership {
    config: MembershipConfig,
    topics: BTreeSet<Arc<str>>,
    state: State,
    member_id: String,
    generation: i32,
    owned: BTreeSet<TopicPartition>,
    /// What the application was asked to give up and has not yet.
    revoking: BTreeSet<TopicPartition>,
    /// On the member that leads: what the last assignment was made from.
    led: Option<Led>,
    /// Another rebalance is due as soon as this member may take part: why, and in which generation that was. A Join alone is none: a
    /// static member that comes back is let into the generation that it left.
    rejoin: Option<(&'static str, i32)>,
    heartbeat: Heartbeat,
    /// When the request was sent whose answer last showed that the coordinator knows us.
    last_seen: Instant,
    /// When the clock was last looked at: a long gap means that this process stood still.
    awake: Instant,
    application: Application,
    failures: u32,
    next_ticket: u64,
    rng: fastrand::Rng,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not in the group: closed, or the application stopped asking for records.
    Idle,
    Unjoined {
        not_before: Instant,
    },
    /// The eager protocol gives everything up before it joins.
    RevokingAll,
    Joining {
        ticket: Ticket,
        sent: Instant,
    },
    Describing {
        ticket: Ticket,
        members: Vec<Member>,
        protocol: Assignor,
        assign: bool,
    },
    Syncing {
        ticket: Ticket,
        sent: Instant,
    },
    Stable,
    Closed,
}

#[derive(Debug)]
struct Led {
    topics: BTreeSet<Arc<str>>,
    counts: PartitionCounts,
}

#[derive(Debug, Default)]
struct Heartbeat {
    in_flight: Option<(Ticket, Instant)>,
    next: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Application {
    /// Waits for records, or was never asked for its attention.
    Polling,
    Processing {
        since: Instant,
    },
}

impl Membership {
    /// A member that has not joined yet and will at the first [`tick`](Self::tick).
    pub(crate) fn new(config: MembershipConfig, topics: BTreeSet<Arc<str>>, rng: fastrand::Rng, now: Instant) -> Self {
        Self {
            config,
            topics,
            state: State::Unjoined { not_before: now },
            member_id: String::new(),
            generation: NO_GENERATION,
            owned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            led: None,
            rejoin: None,
            heartbeat: Heartbeat::default(),
            last_seen: now,
            awake: now,
            application: Application::Processing { since: now },
            failures: 0,
            next_ticket: 0,
            rng,
        }
    }

    /// Says when [`tick`](Self::tick) has something to do, if nothing else happens before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let mut deadlines = vec![self.poll_deadline(), self.session_deadline()];
        if let State::Unjoined { not_before } = self.state {
            deadlines.push(Some(not_before));
        }
        if self.sends_heartbeats() && self.heartbeat.in_flight.is_none() {
            deadlines.push(self.heartbeat.next);
        }
        if self.awaits_coordinator() {
            deadlines.push(Some(self.awake + self.config.heartbeat_interval));
        }
        deadlines.into_iter().flatten().min()
    }

    /// Does what the clock calls for.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        // A session that began while this process stood still, in the middle of a rebalance, may be over again, and the
        // answer that waits to be read may be of a generation that has passed.
        let stood_still = self.awaits_coordinator() && now - self.awake > self.config.session_timeout / 2;
        self.awake = now;
        if stood_still || self.session_deadline().is_some_and(|deadline| deadline <= now) {
            tracing::warn!(
                group = self.config.group,
                stood_still,
                "no contact with the coordinator within session.timeout.ms ({:?}): another member may have our partitions \
                 by now, so they are dropped",
                self.config.session_timeout
            );
            effects.extend(self.lose_everything());
            self.generation = NO_GENERATION;
            self.state = State::Unjoined { not_before: now };
            effects.push(Effect::ForgetCoordinator);
        }
        if self.poll_deadline().is_some_and(|deadline| deadline <= now) {
            tracing::warn!(
                group = self.config.group,
                "the application has not asked for records for max.poll.interval.ms ({:?}): leaving the group until it \
                 does; raise that key or lower max.poll.records if processing a batch takes this long",
                self.config.max_poll_interval
            );
            effects.extend(self.leave("consumer poll timeout has expired"));
            self.state = State::Idle;
        }
        if let State::Unjoined { not_before } = self.state
            && not_before <= now
        {
            effects.extend(self.begin_rebalance(now));
        }
        if self.sends_heartbeats()
            && self.heartbeat.in_flight.is_none()
            && self.heartbeat.next.is_none_or(|at| at <= now)
        {
            let ticket = self.ticket();
            self.heartbeat.in_flight = Some((ticket, now));
            effects.push(Effect::Heartbeat { ticket, identity: self.identity() });
        }
        effects
    }

    /// The application asks for records (`true`), or got some and is busy with them (`false`).
    pub(crate) fn application_polls(&mut self, polling: bool, now: Instant) {
        self.application = if polling { Application::Polling } else { Application::Processing { since: now } };
        if polling && self.state == State::Idle {
            self.state = State::Unjoined { not_before: now };
        }
    }

    /// The application has given up what [`Effect::Revoke`] named, and its positions are committed as far as they can be.
    pub(crate) fn revoked(&mut self, now: Instant) {
        if self.revoking.is_empty() {
            return;
        }
        for partition in std::mem::take(&mut self.revoking) {
            self.owned.remove(&partition);
        }
        if matches!(self.state, State::Stable | State::RevokingAll) {
            self.state = State::Unjoined { not_before: now };
        }
    }

    /// Other topics are wanted from now on, as when a pattern matches others; the group is called together for it.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Arc<str>>, now: Instant) -> Vec<Effect> {
        if self.topics == topics {
            return Vec::new();
        }
        self.topics = topics;
        self.request_rejoin("the topics that match the subscription have changed", now)
    }

    /// The cluster's partition counts may have changed; the leader calls for a rebalance if so.
    pub(crate) fn metadata_changed(&mut self, counts: &PartitionCounts, now: Instant) -> Vec<Effect> {
        let Some(led) = &self.led else { return Vec::new() };
        // A topic that is missing for a moment, as during a broker's restart, is no reason to stop everybody.
        let same = |topic| counts.get(topic).is_none_or(|count| led.counts.get(topic) == Some(count));
        if led.topics.iter().all(same) {
            return Vec::new();
        }
        self.led = None;
        self.request_rejoin("the number of partitions of a subscribed topic has changed", now)
    }

    /// Leaves the group, unless this is a static member: that one comes back and finds its partitions waiting (KIP-345).
    pub(crate) fn close(&mut self) -> Vec<Effect> {
        let mut effects = self.leave("the consumer is being closed");
        self.state = State::Closed;
        effects.retain(|effect| !matches!(effect, Effect::Lost(_)));
        effects
    }

    /// Returns how a commit must sign, or `None` while this member is between two generations and a commit must wait.
    pub(crate) fn commit_identity(&self) -> Option<Identity> {
        match self.state {
            State::Describing { .. } | State::Syncing { .. } => None,
            _ => Some(self.identity()),
        }
    }

    /// Returns how this member signs now, or `None` while it is not in a generation that it has an assignment of.
    pub(crate) fn signature(&self) -> Option<Identity> {
        match self.state {
            State::Describing { .. } | State::Syncing { .. } | State::Idle | State::Closed => None,
            _ => (self.generation != NO_GENERATION).then(|| self.identity()),
        }
    }

    /// Returns what this member owns, including what it is giving up.
    pub(crate) fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    fn identity(&self) -> Identity {
        Identity {
            generation: self.generation,
            member_id: self.member_id.clone(),
            instance_id: self.config.instance_id.clone(),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn sends_heartbeats(&self) -> bool {
        let in_generation = match self.state {
            State::Stable | State::RevokingAll | State::Describing { .. } => true,
            // A Join that waits is a sign of life to the coordinator, but none to us: what it was sent on may swallow everything.
            // Whoever goes on with partitions meanwhile must know.
            State::Joining { .. } => !self.owned.is_empty(),
            _ => false,
        };
        in_generation && self.generation != NO_GENERATION
    }

    fn awaits_coordinator(&self) -> bool {
        matches!(self.state, State::Joining { .. } | State::Syncing { .. })
    }

    /// Whether this member has left because the application stopped asking for records.
    pub(crate) fn has_left(&self) -> bool {
        self.state == State::Idle
    }

    fn session_deadline(&self) -> Option<Instant> {
        let pending = match &self.state {
            State::Syncing { .. } | State::Closed | State::Idle => return None,
            State::Unjoined { .. } | State::Joining { .. } if self.owned.is_empty() => return None,
            State::Unjoined { .. }
            | State::Joining { .. }
            | State::RevokingAll
            | State::Describing { .. }
            | State::Stable => self.last_seen,
        };
        (self.generation != NO_GENERATION).then(|| pending + self.config.session_timeout)
    }

    fn poll_deadline(&self) -> Option<Instant> {
        match (&self.state, self.application) {
            (State::Idle | State::Closed, _) | (_, Application::Polling) => None,
            (_, Application::Processing { since }) => Some(since + self.config.max_poll_interval),
        }
    }

    fn backoff(&mut self, now: Instant) -> Instant {
        self.failures += 1;
        now + self.config.retry.wait(self.failures, self.rng.f64())
    }

    /// Joins, or in the eager protocol first gives up everything.
    fn begin_rebalance(&mut self, now: Instant) -> Vec<Effect> {
        if !self.config.cooperative() && !self.owned.is_empty() {
            self.state = State::RevokingAll;
            self.revoking = self.owned.clone();
            return vec![Effect::Revoke(self.revoking.clone())];
        }
        let ticket = self.ticket();
        self.state = State::Joining { ticket, sent: now };
        let reason = self.rejoin.map(|(reason, _)| reason);
        vec![Effect::Join(Join { ticket, identity: self.identity(), protocols: self.protocols(), reason })]
    }

    fn protocols(&self) -> Vec<(Assignor, Bytes)> {
        let subscription = Subscription {
            topics: self.topics.clone(),
            owned: self.owned.clone(),
            generation: self.generation,
            rack: self.config.rack.clone(),
        };
        let blob = subscription.encode();
        self.config.assignors.iter().map(|assignor| (*assignor, blob.clone())).collect()
    }

    fn request_rejoin(&mut self, reason: &'static str, now: Instant) -> Vec<Effect> {
        self.rejoin = Some((reason, self.generation));
        if self.state == State::Stable && self.revoking.is_empty() {
            self.state = State::Unjoined { not_before: now };
            return self.tick(now);
        }
        Vec::new()
    }

    fn leave(&mut self, reason: &'static str) -> Vec<Effect> {
        let mut effects = Vec::new();
        // A static member stays on the books until its session ends: it may only be restarting (KIP-345).
        if !self.member_id.is_empty() && self.config.instance_id.is_none() {
            effects.push(Effect::Leave { identity: self.identity(), reason });
        }
        effects.extend(self.lose_everything());
        self.member_id.clear();
        self.generation = NO_GENERATION;
        effects
    }

    /// Somebody else may own our partitions: drops them without a commit.
    fn lose_everything(&mut self) -> Option<Effect> {
        self.revoking.clear();
        self.heartbeat = Heartbeat::default();
        self.led = None;
        let lost = std::mem::take(&mut self.owned);
        (!lost.is_empty()).then_some(Effect::Lost(lost))
    }

    /// The leader's part: divides the partitions and hands the result to the coordinator.
    pub(crate) fn described(&mut self, ticket: Ticket, counts: PartitionCounts, now: Instant) -> Vec<Effect> {
        let (members, protocol, assign) = match &self.state {
            State::Describing { ticket: current, members, protocol, assign } if *current == ticket => {
                (members.clone(), *protocol, *assign)
            }
            _ => return Vec::new(),
        };
        let topics =
            members.iter().flat_map(|member| &member.subscription.topics).chain(&self.topics).cloned().collect();
        let assignments: BTreeMap<String, Bytes> = if assign {
            let divided = protocol.assign(&members, &counts);
            divided.iter().map(|(id, partitions)| (id.clone(), subscription::encode_assignment(partitions))).collect()
        } else {
            BTreeMap::new()
        };
        self.led = Some(Led { topics, counts });
        self.sync(protocol, assignments, now)
    }

    fn sync(&mut self, protocol: Assignor, assignments: BTreeMap<String, Bytes>, now: Instant) -> Vec<Effect> {
        let ticket = self.ticket();
        self.state = State::Syncing { ticket, sent: now };
        vec![Effect::Sync(Sync { ticket, identity: self.identity(), protocol, assignments })]
    }
}
