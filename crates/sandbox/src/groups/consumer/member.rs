//! One member, and its way from what it holds to what it is to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::assignor::Assignor;
use super::classic::ClassicMember;
use super::messages::{Heartbeat, LEAVE_FOR_A_WHILE, Partitions};

/// Where a member is on its way to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has what its epoch gives it.
    Stable,
    /// It has to give something up and has not said that it did.
    Revoking,
    /// It waits for what others have to give up first.
    Waiting,
}

/// Partitions, each with the epoch in which its holder got it (KIP-1251).
pub(super) type Held = BTreeMap<(Uuid, i32), i32>;

#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Member {
    pub(in super::super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(in super::super) client_id: String,
    pub(in super::super) client_host: String,
    pub(in super::super) rebalance_timeout: Duration,
    pub(super) topics: BTreeSet<String>,
    pub(super) regex: Option<String>,
    pub(super) assignor: Option<Assignor>,
    /// Where it speaks the classic protocol.
    pub(in super::super) classic: Option<ClassicMember>,
    pub(super) epoch: i32,
    /// The epoch before: its holder may not have heard of the newer one.
    pub(super) previous_epoch: i32,
    pub(super) progress: Progress,
    pub(super) assigned: Held,
    /// What is no longer assigned to it, and nobody else's before it says that it has given it up.
    pub(super) revoking: Held,
    pub(in super::super) session_ends: Instant,
    /// When it must have given up what it is to give up.
    pub(super) revocation_ends: Option<Instant>,
}

/// What a member is led to.
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    /// What the target gives it of the topics that it still subscribes to.
    pub(super) target: Partitions,
    /// What somebody holds, this member included.
    pub(super) held: &'a Partitions,
    /// The topics that it subscribes to.
    pub(super) topics: &'a BTreeSet<Uuid>,
    /// What it says that it holds.
    pub(super) owned: Option<&'a Partitions>,
}

impl Goal<'_> {
    /// Whether the member may still hold one of these. One that does not say what it holds may hold everything.
    fn still_owns(&self, partitions: &Held) -> bool {
        self.owned.is_none_or(|owned| owned.iter().any(|partition| partitions.contains_key(partition)))
    }
}

impl Member {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: Duration::ZERO,
            topics: BTreeSet::new(),
            regex: None,
            assignor: None,
            classic: None,
            epoch: 0,
            previous_epoch: -1,
            progress: Progress::Stable,
            assigned: Held::new(),
            revoking: Held::new(),
            session_ends: now,
            revocation_ends: None,
        }
    }

    /// A static member that is back under another id, or after it left for a while, begins anew and with what it had.
    pub(super) fn comes_back(&mut self) {
        self.epoch = 0;
        self.previous_epoch = 0;
        self.revocation_ends = None;
    }

    /// A static member leaves and will be back: what it has stays its own, what it was to give up is free.
    pub(super) fn goes_for_a_while(&mut self) {
        self.epoch = LEAVE_FOR_A_WHILE;
        self.revoking.clear();
        self.revocation_ends = None;
    }

    /// Takes over what the heartbeat says of the member itself.
    pub(super) fn update(&mut self, beat: &Heartbeat) {
        let taken = |new: &Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        taken(&beat.instance_id, &mut self.instance_id);
        taken(&beat.rack_id, &mut self.rack_id);
        taken(&beat.regex, &mut self.regex);
        if let Some(topics) = &beat.topics {
            self.topics.clone_from(topics);
        }
        if let Some(timeout) = beat.rebalance_timeout {
            self.rebalance_timeout = timeout;
        }
        if let Some(name) = &beat.assignor {
            self.assignor = Assignor::by_name(name);
        }
        self.classic = None;
        self.client_id.clone_from(&beat.client_id);
        self.client_host.clone_from(&beat.client_host);
    }

    /// The pattern that it subscribes to, unless it is the empty one.
    pub(super) fn pattern(&self) -> Option<&str> {
        self.regex.as_deref().filter(|pattern| !pattern.is_empty())
    }

    /// When it is out if nothing more is heard of it.
    pub(super) fn ends(&self) -> Instant {
        let classic = self.classic.as_ref().map(|classic| [classic.join_ends, classic.sync_ends]);
        let bounds = [self.revocation_ends].into_iter().chain(classic.into_iter().flatten()).flatten();
        bounds.fold(self.session_ends, Instant::min)
    }

    pub(super) fn is_away(&self) -> bool {
        self.epoch == LEAVE_FOR_A_WHILE
    }

    pub(super) fn is_settled(&self, epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == epoch
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = (Uuid, i32)> {
        self.assigned.keys().chain(self.revoking.keys()).copied()
    }

    /// Takes the next step to the goal, as Kafka's `CurrentAssignmentBuilder` does.
    pub(super) fn advance(&mut self, goal: &Goal<'_>, now: Instant) {
        let before = self.clone();
        match self.progress {
            Progress::Stable if self.epoch == goal.epoch => self.drop_unsubscribed(goal),
            Progress::Stable | Progress::Waiting => self.go_on(self.epoch, goal),
            Progress::Revoking if goal.still_owns(&self.revoking) => self.drop_unsubscribed(goal),
            // Each acknowledgement is worth one epoch, so that the member commits under one that its partitions know.
            Progress::Revoking => self.go_on((self.epoch + 1).min(goal.epoch), goal),
        }
        // Members of the classic protocol have to join again, which has a bound of its own.
        if self.progress != Progress::Revoking || self.classic.is_some() {
            self.revocation_ends = None;
        } else if *self != before {
            self.revocation_ends = Some(now + self.rebalance_timeout);
        }
    }

    /// Within its epoch a member only loses what it no longer subscribes to.
    fn drop_unsubscribed(&mut self, goal: &Goal<'_>) {
        let (kept, dropped): (Held, Held) =
            std::mem::take(&mut self.assigned).into_iter().partition(|((topic, _), _)| goal.topics.contains(topic));
        self.assigned = kept;
        if !dropped.is_empty() {
            self.revoking.extend(dropped);
            self.progress = Progress::Revoking;
        }
    }

    fn go_on(&mut self, epoch: i32, goal: &Goal<'_>) {
        let (kept, lost): (Held, Held) =
            self.assigned.clone().into_iter().partition(|(partition, _)| goal.target.contains(partition));
        let gained: Vec<_> = goal.target.iter().filter(|partition| !kept.contains_key(*partition)).copied().collect();
        self.previous_epoch = self.epoch;
        self.assigned = kept;
        if !lost.is_empty() && goal.still_owns(&lost) {
            self.epoch = epoch;
            self.revoking = lost;
            self.progress = Progress::Revoking;
            return;
        }
        let (taken, free): (Vec<_>, Vec<_>) = gained.into_iter().partition(|partition| goal.held.contains(partition));
        self.epoch = goal.epoch;
        self.revoking.clear();
        self.assigned.extend(free.into_iter().map(|partition| (partition, goal.epoch)));
        self.progress = if taken.is_empty() { Progress::Stable } else { Progress::Waiting };
    }
}
