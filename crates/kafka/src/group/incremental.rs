//! Membership in a group of the consumer rebalance protocol (KIP-848), as a state machine without I/O.
//!
//! The coordinator divides the partitions and each member works towards what it was given, on its own: one request, the
//! heartbeat, carries what the member wants and has, and its answer what it should have.
//!
//! ```text
//! Idle ──poll──▶ Outside ──epoch 0──▶ Joining ──▶ Inside ──fenced──▶ Outside …
//!                  ▲ │                   │
//!                  │ └─ fenced: Leaving ─┤
//!                  └──── Releasing ◀─────┘ the instance id is held by a member that may be dead
//! ```
//!
//! What is easy to get wrong:
//! - A partition is only ours to give up until we report that we no longer have it: first the application is done with it and
//!   its position is committed, then the heartbeat says so. What is added is ours at once, since the coordinator
//!   does not assign what somebody else still holds; so a rebalance stops nothing but the partitions that move.
//! - A member that was fenced and is still on the coordinator's books is fenced again when it joins with epoch 0, until its
//!   session ends. So it leaves first.
//! - The coordinator does not say how long a session is. This side counts one of its own, from when it *sent* the last heartbeat
//!   that was answered, and lets go when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::membership::{Effect, Failure, GroupError, Identity, Ticket};
use crate::TopicPartition;
use crate::retry::RetryPolicy;

mod answers;
mod messages;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub(crate) use messages::{Beat, BeatAnswer, TopicsById, Wanted};

/// The epochs that say something other than how far a member has come.
pub(crate) const JOINING: i32 = 0;
pub(crate) const LEAVING: i32 = -1;
pub(crate) const LEAVING_FOR_A_WHILE: i32 = -2;

/// How often in a row the place of an instance id is taken from another member before that is an error: two processes with
/// one instance id would do it to each other for ever.
const MOST_RELEASES: u32 = 3;

/// The settings of one member.
#[derive(Debug, Clone)]
pub(crate) struct IncrementalConfig {
    pub(crate) group: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack: Option<String>,
    /// `group.remote.assignor`; the broker's choice if absent.
    pub(crate) assignor: Option<String>,
    /// After so long without an answer, others are taken to have our partitions.
    pub(crate) session_timeout: Duration,
    /// How long the application may go without asking for records; also how long it may take to give partitions up.
    pub(crate) max_poll_interval: Duration,
    pub(crate) retry: RetryPolicy,
}

/// A partition as the coordinator names it.
type Key = (Uuid, i32);

/// One member of one group.
#[derive(Debug)]
pub(crate) struct Incremental {
    config: IncrementalConfig,
    wanted: Wanted,
    state: State,
    member_id: String,
    epoch: i32,
    /// What the coordinator wants this member to have.
    target: BTreeSet<Key>,
    owned: BTreeMap<Key, TopicPartition>,
    /// What the application was asked to give up and has not yet.
    revoking: BTreeSet<Key>,
    /// What the coordinator knows this member to own; nothing before it has been told.
    reported: Option<BTreeSet<Key>>,
    names: BTreeMap<Uuid, Arc<str>>,
    /// Whether the next heartbeat repeats what the coordinator should know already.
    full: bool,
    /// The coordinator may still have this member on its books, under an epoch that it does not know.
    must_leave: bool,
    releases: u32,
    in_flight: Option<InFlight>,
    next_beat: Instant,
    interval: Duration,
    /// When the heartbeat was sent whose answer last showed that the coordinator knows us.
    last_seen: Instant,
    application: Application,
    failures: u32,
    next_ticket: u64,
    rng: fastrand::Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The application stopped asking for records.
    Idle,
    Outside {
        not_before: Instant,
    },
    Leaving,
    Releasing {
        ticket: Ticket,
    },
    Joining,
    Inside,
    Closed,
}

#[derive(Debug)]
struct InFlight {
    ticket: Ticket,
    sent: Instant,
    /// What the heartbeat says that we own, if it does.
    owned: Option<BTreeSet<Key>>,
}

#[derive(Debug, Clone, Copy)]
enum Application {
    Polling,
    Processing { since: Instant },
}

impl Incremental {
    /// A member that has not joined yet and will at the first [`tick`](Self::tick).
    pub(crate) fn new(config: IncrementalConfig, wanted: Wanted, mut rng: fastrand::Rng, now: Instant) -> Self {
        let member_id = uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid().to_string();
        Self {
            config,
            wanted,
            state: State::Outside { not_before: now },
            member_id,
            epoch: JOINING,
            target: BTreeSet::new(),
            owned: BTreeMap::new(),
            revoking: BTreeSet::new(),
            reported: None,
            names: BTreeMap::new(),
            full: true,
            must_leave: false,
            releases: 0,
            in_flight: None,
            next_beat: now,
            interval: Duration::from_secs(5),
            last_seen: now,
            application: Application::Processing { since: now },
            failures: 0,
            next_ticket: 0,
            rng,
        }
    }

    /// Says when [`tick`](Self::tick) has something to do, if nothing else happens before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let next = match self.state {
            State::Outside { not_before } => Some(not_before),
            State::Inside if self.in_flight.is_none() => Some(self.next_beat),
            _ => None,
        };
        [next, self.session_deadline(), self.poll_deadline()].into_iter().flatten().min()
    }

    /// Does what the clock calls for.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.session_deadline().is_some_and(|deadline| deadline <= now) {
            tracing::warn!(
                group = self.config.group,
                "no contact with the coordinator for {:?}: another member may have our partitions by now, so they are dropped",
                self.config.session_timeout
            );
            effects.extend(self.start_over(now));
            effects.push(Effect::ForgetCoordinator);
        }
        if self.poll_deadline().is_some_and(|deadline| deadline <= now) {
            tracing::warn!(
                group = self.config.group,
                "the application has not asked for records for max.poll.interval.ms ({:?}): leaving the group until it \
                 does; raise that key or lower max.poll.records if processing a batch takes this long",
                self.config.max_poll_interval
            );
            // The answer is not waited for: if it is lost, the next join finds that out.
            effects.extend(self.leave_beat());
            effects.extend(self.lose_everything());
            self.must_leave = false;
            self.state = State::Idle;
        }
        match self.state {
            State::Outside { not_before } if not_before <= now => {
                let epoch = if self.must_leave { self.leaving() } else { JOINING };
                self.state = if self.must_leave { State::Leaving } else { State::Joining };
                self.full = true;
                effects.push(self.beat(epoch, now));
            }
            State::Inside if self.in_flight.is_none() && self.next_beat <= now => {
                effects.push(self.beat(self.epoch, now));
            }
            _ => {}
        }
        effects
    }

    /// The application asks for records (`true`), or got some and is busy with them (`false`).
    pub(crate) fn application_polls(&mut self, polling: bool, now: Instant) {
        self.application = if polling { Application::Polling } else { Application::Processing { since: now } };
        if polling && self.state == State::Idle {
            self.state = State::Outside { not_before: now };
        }
    }

    /// The application has given up what [`Effect::Revoke`] named, and its positions are committed as far as they can be.
    pub(crate) fn revoked(&mut self, now: Instant) -> Vec<Effect> {
        for key in std::mem::take(&mut self.revoking) {
            self.owned.remove(&key);
        }
        self.reconcile(now)
    }

    /// The cluster's topics have become known, or others have.
    pub(crate) fn metadata_changed(
        &mut self,
        topics: impl Iterator<Item = (Uuid, Arc<str>)>,
        now: Instant,
    ) -> Vec<Effect> {
        self.names.extend(topics.filter(|(id, _)| !id.is_nil()));
        if self.state == State::Inside { self.reconcile(now) } else { Vec::new() }
    }

    /// Asks for the coordinator's answer now: somebody else has learned that our epoch is not its.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.failures == 0 {
            self.next_beat = self.next_beat.min(now);
        }
    }

    /// Leaves the group; a static member says that it will be back (KIP-345).
    pub(crate) fn close(&mut self) -> Vec<Effect> {
        let effects = self.leave_beat().into_iter().collect();
        self.lose_everything();
        self.state = State::Closed;
        effects
    }

    /// Returns how a commit must sign, or `None` while this member is in no group.
    pub(crate) fn signature(&self) -> Option<Identity> {
        (self.state == State::Inside).then(|| Identity {
            generation: self.epoch,
            member_id: self.member_id.clone(),
            instance_id: self.config.instance_id.clone(),
        })
    }

    /// Whether this member owns the partition, be it that it is giving it up.
    pub(crate) fn owns(&self, partition: &TopicPartition) -> bool {
        self.owned.values().any(|owned| owned == partition)
    }

    /// Moves towards what the coordinator wants: begins at once with what was added, asks the application for what was taken.
    fn reconcile(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let unknown: BTreeSet<Uuid> =
            self.target.iter().map(|(id, _)| *id).filter(|id| !self.names.contains_key(id)).collect();
        if !unknown.is_empty() {
            effects.push(Effect::Resolve(unknown));
        }
        let mut added = BTreeSet::new();
        for (id, partition) in self.target.iter().filter(|key| !self.owned.contains_key(key)) {
            let Some(topic) = self.names.get(id) else { continue };
            let name = TopicPartition { topic: Arc::clone(topic), partition: *partition };
            // A topic that was created again goes by the same name: first the old one is given up.
            if !self.owned.values().any(|owned| *owned == name) {
                added.insert(((*id, *partition), name));
            }
        }
        let taken: BTreeSet<Key> = self.owned.keys().filter(|key| !self.target.contains(key)).copied().collect();
        if !added.is_empty() {
            self.owned.extend(added.iter().cloned());
            effects.push(Effect::Assigned(added.into_iter().map(|(_, name)| name).collect()));
        }
        if self.revoking.is_empty() && !taken.is_empty() {
            self.revoking = taken;
            let names = self.revoking.iter().filter_map(|key| self.owned.get(key)).cloned();
            effects.push(Effect::Revoke(names.collect()));
        }
        if self.state == State::Inside && self.has_news() {
            self.hurry(now);
            effects.extend(self.tick(now));
        }
        effects
    }

    /// Whether the coordinator believes us to own something else than we do.
    fn has_news(&self) -> bool {
        self.reported.as_ref().is_none_or(|reported| !reported.iter().eq(self.owned.keys()))
    }

    fn beat(&mut self, epoch: i32, now: Instant) -> Effect {
        let ticket = self.ticket();
        let full = self.full && epoch >= JOINING;
        let owned = match epoch {
            JOINING => Some(BTreeSet::new()),
            _ if full || (epoch > JOINING && self.has_news()) => Some(self.owned.keys().copied().collect()),
            _ => None,
        };
        let mut beat = Beat {
            ticket,
            member_id: self.member_id.clone(),
            epoch,
            instance_id: self.config.instance_id.clone(),
            rack: None,
            rebalance_timeout: None,
            wanted: None,
            assignor: None,
            owned: owned.as_ref().map(by_topic),
        };
        if full {
            beat.rack = self.config.rack.clone();
            beat.rebalance_timeout = Some(self.config.max_poll_interval);
            beat.wanted = Some(self.wanted.clone());
            beat.assignor = self.config.assignor.clone();
        }
        self.in_flight = Some(InFlight { ticket, sent: now, owned });
        Effect::Beat(beat)
    }

    /// A heartbeat that says goodbye, if there may be somebody to say it to.
    fn leave_beat(&mut self) -> Option<Effect> {
        let may_be_member = matches!(self.state, State::Inside | State::Joining | State::Leaving) || self.must_leave;
        let epoch = self.leaving();
        may_be_member.then(|| self.beat(epoch, self.last_seen))
    }

    fn leaving(&self) -> i32 {
        if self.config.instance_id.is_some() { LEAVING_FOR_A_WHILE } else { LEAVING }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Whether this member has left because the application stopped asking for records.
    pub(crate) fn has_left(&self) -> bool {
        self.state == State::Idle
    }

    fn session_deadline(&self) -> Option<Instant> {
        (self.state == State::Inside).then(|| self.last_seen + self.config.session_timeout)
    }

    fn poll_deadline(&self) -> Option<Instant> {
        match (self.state, self.application) {
            (State::Idle | State::Closed, _) | (_, Application::Polling) => None,
            (_, Application::Processing { since }) => Some(since + self.config.max_poll_interval),
        }
    }

    fn backoff(&mut self, now: Instant) -> Instant {
        self.failures += 1;
        now + self.config.retry.wait(self.failures, self.rng.f64())
    }

    /// Drops everything without a commit, and joins again as somebody whom the coordinator may still have on its books.
    fn start_over(&mut self, now: Instant) -> Option<Effect> {
        let lost = self.lose_everything();
        self.must_leave = true;
        self.state = State::Outside { not_before: now };
        lost
    }

    /// Somebody else may own our partitions.
    fn lose_everything(&mut self) -> Option<Effect> {
        self.epoch = JOINING;
        self.target.clear();
        self.revoking.clear();
        self.reported = None;
        self.full = true;
        self.in_flight = None;
        let lost: BTreeSet<_> = std::mem::take(&mut self.owned).into_values().collect();
        (!lost.is_empty()).then_some(Effect::Lost(lost))
    }
}

fn by_topic(keys: &BTreeSet<Key>) -> TopicsById {
    let mut topics = TopicsById::new();
    for (id, partition) in keys {
        topics.entry(*id).or_default().push(*partition);
    }
    topics
}
