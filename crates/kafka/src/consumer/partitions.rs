//! Which partitions this consumer reads, where it stands in each and what of them is at hand.
//!
//! Plain state behind one lock that the application's side and the task share; neither holds it across an await. Every
//! assignment and every seek gives a partition a new stamp: an answer, a chunk or a batch with another stamp is of the past
//! and changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::time::Instant;

use super::config::OffsetReset;
use super::positions::{Position, Positions};
use super::reading::Chunk;
use crate::TopicPartition;

/// Where a partition's next fetch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the group left off: to be asked from the coordinator.
    Committed,
    /// At the time or the end of the log that ListOffsets names.
    Listed(ListedAt),
    At(Position),
    /// Nowhere, until the application seeks.
    Halted,
}

/// What ListOffsets is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListedAt {
    Earliest,
    Latest,
    Timestamp(i64),
}

impl ListedAt {
    pub(super) fn of(reset: OffsetReset) -> Option<Self> {
        match reset {
            OffsetReset::Earliest => Some(Self::Earliest),
            OffsetReset::Latest => Some(Self::Latest),
            OffsetReset::None => None,
        }
    }

    pub(super) fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// One assigned partition.
#[derive(Debug)]
struct Partition {
    stamp: u64,
    place: Place,
    /// Where the application stands: the next record it gets.
    position: Option<Position>,
    /// What the application has done with; committed by itself before the partition is given up.
    done: Option<Position>,
    committed: Option<Position>,
    paused: bool,
    /// The group wants it back: nothing more is handed out of it.
    revoking: bool,
    /// A request about it is on its way.
    asked: bool,
    /// The leader epoch under which the place is known to be in the log, once there was one.
    checked_epoch: Option<i32>,
    retry_at: Option<Instant>,
    failures: u32,
    chunks: VecDeque<Chunk>,
    queued_bytes: usize,
    /// When it was last part of a fetch; the one that waited longest comes first.
    fetched: u64,
    /// Where what may be read ended at the last fetch.
    end: Option<i64>,
}

/// A partition that wants something, and the stamp it wants it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) partition: TopicPartition,
    pub(super) stamp: u64,
}

/// A place that a new leader is to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unchecked {
    pub(super) want: Want,
    pub(super) position: Position,
    pub(super) leader: i32,
    /// The leader's epoch.
    pub(super) epoch: i32,
}

/// What a fetch from one broker may ask for.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) wants: Vec<(Want, Position)>,
    /// Partitions of the broker that are left out because enough of them is queued: the fetch must not wait long, or they
    /// would wait with it.
    pub(super) left_out: bool,
}

/// All assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Those with chunks at hand, in the order in which they get their turn.
    ready: VecDeque<TopicPartition>,
    last_stamp: u64,
    fetches: u64,
}

impl Partitions {
    pub(super) fn assign(&mut self, partition: TopicPartition, place: Place) {
        self.last_stamp += 1;
        let position = if let Place::At(position) = place { Some(position) } else { None };
        let state = Partition {
            stamp: self.last_stamp,
            place,
            position,
            done: None,
            committed: None,
            paused: false,
            revoking: false,
            asked: false,
            checked_epoch: None,
            retry_at: None,
            failures: 0,
            chunks: VecDeque::new(),
            queued_bytes: 0,
            fetched: 0,
            end: None,
        };
        self.partitions.insert(partition, state);
    }

    pub(super) fn remove<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for partition in partitions {
            self.partitions.remove(partition);
            self.ready.retain(|ready| ready != partition);
        }
    }

    /// The group wants these back: what is queued of them is dropped and nothing more is fetched or handed out.
    pub(super) fn revoke(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for partition in partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.revoking = true;
                state.drop_queue();
            }
        }
        self.ready.retain(|ready| !partitions.contains(ready));
    }

    pub(super) fn names(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    pub(super) fn is_current(&self, partition: &TopicPartition, stamp: u64) -> bool {
        self.partitions.get(partition).is_some_and(|state| state.stamp == stamp && !state.revoking)
    }

    /// As [`is_current`](Self::is_current), but also while the partition is being given up: positions still count then.
    pub(super) fn is_assigned(&self, partition: &TopicPartition, stamp: u64) -> bool {
        self.partitions.get(partition).is_some_and(|state| state.stamp == stamp)
    }

    pub(super) fn is_paused(&self, partition: &TopicPartition) -> bool {
        self.partitions.get(partition).is_some_and(|state| state.paused)
    }

    /// Pauses or resumes; says whether the partition is assigned.
    pub(super) fn pause(&mut self, partition: &TopicPartition, paused: bool) -> bool {
        let Some(state) = self.partitions.get_mut(partition) else { return false };
        state.paused = paused;
        true
    }

    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.partitions.get(partition)?.position
    }

    pub(super) fn positions(&self) -> Positions {
        let position = |(name, state): (&TopicPartition, &Partition)| Some((name.clone(), state.position?));
        self.partitions.iter().filter_map(position).collect()
    }

    /// Records between where the application stands and the end of what it may read, as far as both are known.
    pub(super) fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = self.partitions.get(partition)?;
        Some(state.end?.saturating_sub(state.position?.offset).max(0))
    }

    /// Sets where to read on. Everything that is queued or on its way is of the past; says whether it is assigned.
    pub(super) fn seek(&mut self, partition: &TopicPartition, place: Place) -> bool {
        let Some(state) = self.partitions.get_mut(partition) else { return false };
        self.last_stamp += 1;
        state.stamp = self.last_stamp;
        state.place = place;
        state.position = if let Place::At(position) = place { Some(position) } else { None };
        state.asked = false;
        state.retry_at = None;
        state.failures = 0;
        state.drop_queue();
        self.ready.retain(|ready| ready != partition);
        true
    }

    /// The partitions of a topic have another log, to be read from `place`: what was read, done and committed was of the old
    /// one. Returns where each stood; one that had not begun has nothing to leave.
    pub(super) fn new_log(&mut self, topic: &str, place: Place) -> Vec<(TopicPartition, i64)> {
        let began = |(name, state): (&TopicPartition, &Partition)| {
            let in_old_log = &*name.topic == topic && !state.revoking;
            in_old_log.then_some(()).and(state.position).map(|position| (name.clone(), position.offset))
        };
        let began: Vec<_> = self.partitions.iter().filter_map(began).collect();
        for (name, _) in &began {
            self.seek(name, place);
            if let Some(state) = self.partitions.get_mut(name) {
                (state.done, state.committed, state.end) = (None, None, None);
            }
        }
        began
    }

    /// Partitions whose committed offset must be asked for, which they count as from now on.
    pub(super) fn ask_committed(&mut self, now: Instant) -> Vec<Want> {
        self.ask(now, |place| (place == Place::Committed).then_some(())).into_iter().map(|(want, ())| want).collect()
    }

    /// Partitions whose place must be asked from the leader's log.
    pub(super) fn ask_listed(&mut self, now: Instant) -> Vec<(Want, ListedAt)> {
        self.ask(now, |place| if let Place::Listed(at) = place { Some(at) } else { None })
    }

    fn ask<T>(&mut self, now: Instant, wanted: impl Fn(Place) -> Option<T>) -> Vec<(Want, T)> {
        let due = |state: &Partition| !state.asked && !state.revoking && state.retry_at.is_none_or(|at| at <= now);
        let mut asked = Vec::new();
        for (partition, state) in self.partitions.iter_mut().filter(|(_, state)| due(state)) {
            if let Some(what) = wanted(state.place) {
                state.asked = true;
                asked.push((Want { partition: partition.clone(), stamp: state.stamp }, what));
            }
        }
        asked
    }

    /// Places whose leader's epoch has risen since they were known to be in the log. They are not fetched from until the new leader
    /// has been [asked](Self::checked). The first leader is asked by the fetch itself.
    pub(super) fn ask_unchecked(
        &mut self,
        now: Instant,
        leader: impl Fn(&TopicPartition) -> Option<(i32, i32)>,
    ) -> Vec<Unchecked> {
        let due = |state: &Partition| !state.asked && !state.revoking && state.retry_at.is_none_or(|at| at <= now);
        let mut unchecked = Vec::new();
        for (partition, state) in self.partitions.iter_mut().filter(|(_, state)| due(state)) {
            let (Place::At(position), Some((leader, epoch))) = (state.place, leader(partition)) else { continue };
            let before = *state.checked_epoch.get_or_insert(epoch);
            if epoch > before && position.leader_epoch.is_some() {
                state.asked = true;
                let want = Want { partition: partition.clone(), stamp: state.stamp };
                unchecked.push(Unchecked { want, position, leader, epoch });
            }
        }
        unchecked
    }

    /// The leader of this epoch has what was read, or a fetch will tell.
    pub(super) fn checked(&mut self, want: &Want, epoch: i32) {
        if let Some(state) = self.current(want) {
            state.asked = false;
            state.failures = 0;
            state.checked_epoch = Some(epoch);
        }
    }

    /// What to fetch from each broker that `idle` says is free. `full_bytes` queued are enough.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        full_bytes: usize,
        leader: impl Fn(&TopicPartition) -> Option<i32>,
        idle: impl Fn(i32) -> bool,
    ) -> BTreeMap<i32, Plan> {
        let mut plans: BTreeMap<i32, Plan> = BTreeMap::new();
        for (partition, state) in &self.partitions {
            let Place::At(position) = state.place else { continue };
            let due = state.retry_at.is_none_or(|at| at <= now);
            if state.paused || state.revoking || state.asked || !due {
                continue;
            }
            let Some(broker) = leader(partition).filter(|broker| idle(*broker)) else { continue };
            let plan = plans.entry(broker).or_default();
            if state.queued_bytes >= full_bytes {
                plan.left_out = true;
                continue;
            }
            plan.wants.push((Want { partition: partition.clone(), stamp: state.stamp }, position));
        }
        plans.retain(|_, plan| !plan.wants.is_empty());
        for plan in plans.values_mut() {
            plan.wants.sort_by_key(|(want, _)| self.partitions[&want.partition].fetched);
        }
        plans
    }

    /// Whether a partition that could be fetched has nobody to fetch it from.
    pub(super) fn any_without_leader(&self, led: impl Fn(&TopicPartition) -> bool) -> bool {
        self.partitions.iter().any(|(name, state)| matches!(state.place, Place::At(_)) && !state.revoking && !led(name))
    }

    /// These are being fetched.
    pub(super) fn fetching(&mut self, wants: &[(Want, Position)]) {
        self.fetches += 1;
        for (want, _) in wants {
            if let Some(state) = self.current(want) {
                state.asked = true;
            }
        }
    }

    /// The fetch has ended, whatever came of it.
    pub(super) fn fetch_ended(&mut self, want: &Want) {
        if let Some(state) = self.current(want) {
            state.asked = false;
        }
    }

    /// Queues what came, to go on at `next`.
    pub(super) fn queue(&mut self, chunk: Chunk, next: Position) {
        let fetches = self.fetches;
        let want = Want { partition: chunk.partition.clone(), stamp: chunk.stamp };
        let Some(state) = self.current(&want) else { return };
        state.place = Place::At(next);
        state.failures = 0;
        state.fetched = fetches;
        state.queued_bytes += chunk.records.len();
        state.chunks.push_back(chunk);
        if !self.ready.contains(&want.partition) {
            self.ready.push_back(want.partition);
        }
    }

    /// A fetch was answered, and said where what may be read ends.
    pub(super) fn reached(&mut self, want: &Want, end: i64) {
        if let Some(state) = self.current(want)
            && end >= 0
        {
            state.failures = 0;
            state.end = Some(end);
        }
    }

    /// The place is known now.
    pub(super) fn locate(&mut self, want: &Want, place: Place) {
        if let Some(state) = self.current(want) {
            state.asked = false;
            state.failures = 0;
            state.retry_at = None;
            state.place = place;
            if let Place::At(position) = place {
                state.position = Some(position);
            }
        }
    }

    /// Something did not work that will be tried again after `wait(failures in a row)`.
    pub(super) fn retry(&mut self, want: &Want, now: Instant, wait: impl FnOnce(u32) -> std::time::Duration) {
        if let Some(state) = self.current(want) {
            state.asked = false;
            state.failures += 1;
            state.retry_at = Some(now + wait(state.failures));
        }
    }

    /// The partition stands still until the application seeks; says whether it did not already.
    pub(super) fn halt(&mut self, want: &Want) -> bool {
        let Some(state) = self.current(want) else { return false };
        state.asked = false;
        state.drop_queue();
        let was_running = std::mem::replace(&mut state.place, Place::Halted) != Place::Halted;
        self.ready.retain(|ready| *ready != want.partition);
        was_running
    }

    /// When the next of the waits ends that [`retry`](Self::retry) began.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Instant> {
        self.partitions.values().filter_map(|state| state.retry_at).filter(|at| *at > now).min()
    }

    /// The next chunk for the application: partitions take turns, paused ones are passed over.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        for _ in 0..self.ready.len() {
            let partition = self.ready.pop_front()?;
            let Some(state) = self.partitions.get_mut(&partition) else { continue };
            if state.paused {
                self.ready.push_back(partition);
                continue;
            }
            let chunk = state.chunks.pop_front();
            if !state.chunks.is_empty() {
                self.ready.push_back(partition);
            }
            if let Some(chunk) = chunk {
                state.queued_bytes -= chunk.records.len();
                return Some(chunk);
            }
        }
        None
    }

    /// Whether nothing is queued that the application could have.
    pub(super) fn is_drained(&self) -> bool {
        self.ready.iter().all(|partition| self.is_paused(partition))
    }

    /// The application has got everything before `position`; `false` if the partition is not (that) assigned any more.
    pub(super) fn handed_out(&mut self, partition: &TopicPartition, stamp: u64, position: Position) -> bool {
        let want = Want { partition: partition.clone(), stamp };
        let Some(state) = self.current(&want).filter(|state| !state.revoking) else { return false };
        state.position = Some(position);
        true
    }

    /// The application has done with everything before these positions. Those of partitions that are gone are ignored.
    pub(super) fn done(&mut self, positions: &Positions) {
        for (partition, position) in positions.iter() {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.done = Some(position);
            }
        }
    }

    /// These are committed, by this consumer or by a transaction. What was done before them is not committed over them.
    pub(super) fn committed(&mut self, positions: &Positions) {
        for (partition, position) in positions.iter() {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.committed = Some(position);
                if state.done.is_none_or(|done| done.offset <= position.offset) {
                    state.done = Some(position);
                }
            }
        }
    }

    /// What is done and not committed.
    pub(super) fn uncommitted(&self) -> Positions {
        let dirty = |(name, state): (&TopicPartition, &Partition)| {
            let done = state.done.filter(|done| state.committed != Some(*done))?;
            Some((name.clone(), done))
        };
        self.partitions.iter().filter_map(dirty).collect()
    }

    fn current(&mut self, want: &Want) -> Option<&mut Partition> {
        self.partitions.get_mut(&want.partition).filter(|state| state.stamp == want.stamp)
    }
}

impl Partition {
    fn drop_queue(&mut self) {
        self.chunks.clear();
        self.queued_bytes = 0;
    }
}

#[cfg(test)]
mod tests;
