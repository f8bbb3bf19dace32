//! Which partitions this consumer reads, where it stands in each and what of them is at hand.
//!
//! Plain state behind one lock that the application's side and the task share; neither holds it across an await. Every
//! assignment and every seek gives a partition a new stamp: an answer, a chunk or a batch with another stamp is of the past
//! and changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use tokio::time::Instant;

use super::config::OffsetReset;
use super::positions::{Position, Positions};
use super::reading::Chunk;
use crate::TopicPartition;

mod looking;

pub(super) use looking::{Leader, Unchecked};

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
    /// Whether it is among those that are to be looked at.
    stirred: bool,
    /// It was not to be fetched at the last look, because enough of it is queued.
    full: bool,
    retry_at: Option<Instant>,
    failures: u32,
    chunks: VecDeque<Chunk>,
    queued_bytes: usize,
    /// When something last came of it, counted in chunks.
    served: u64,
    /// Where what may be read ended at the last fetch.
    end: Option<i64>,
}

/// A partition that wants something, and the stamp it wants it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) partition: TopicPartition,
    pub(super) stamp: u64,
}

/// All assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Those with chunks at hand, in the order in which they get their turn.
    ready: VecDeque<TopicPartition>,
    /// Those to which something has happened that may change what they want. The others are not looked at.
    stirred: Vec<TopicPartition>,
    /// When partitions are to be looked at again.
    retries: BTreeSet<(Instant, TopicPartition)>,
    /// Those that could be fetched if somebody led them.
    leaderless: HashSet<TopicPartition>,
    last_stamp: u64,
    chunks: u64,
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
            stirred: true,
            full: false,
            retry_at: None,
            failures: 0,
            chunks: VecDeque::new(),
            queued_bytes: 0,
            served: 0,
            end: None,
        };
        self.stirred.push(partition.clone());
        self.partitions.insert(partition, state);
    }

    pub(super) fn remove<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for partition in partitions {
            self.partitions.remove(partition);
            self.stirred.push(partition.clone());
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
            self.stir(partition);
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
        self.stir(partition);
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
        self.stir(partition);
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

    /// Whether what a fetch from here brings is still wanted, and was not brought by another.
    pub(super) fn awaits(&self, want: &Want, from: Position) -> bool {
        let state = self.partitions.get(&want.partition);
        state.is_some_and(|state| state.stamp == want.stamp && !state.revoking && state.place == Place::At(from))
    }

    /// The leader of this epoch has what was read, or a fetch will tell.
    pub(super) fn checked(&mut self, want: &Want, epoch: i32) {
        if let Some(state) = self.current(want) {
            state.asked = false;
            state.failures = 0;
            state.checked_epoch = Some(epoch);
            self.stir(&want.partition);
        }
    }

    /// Queues what came, to go on at `next`.
    pub(super) fn queue(&mut self, chunk: Chunk, next: Position) {
        self.chunks += 1;
        let served = self.chunks;
        let want = Want { partition: chunk.partition.clone(), stamp: chunk.stamp };
        let Some(state) = self.current(&want) else { return };
        state.place = Place::At(next);
        state.failures = 0;
        state.served = served;
        state.queued_bytes += chunk.records.len();
        let is_first = state.chunks.is_empty();
        state.chunks.push_back(chunk);
        self.stir(&want.partition);
        if is_first {
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
            self.stir(&want.partition);
        }
    }

    /// Something did not work that will be tried again after `wait(failures in a row)`.
    pub(super) fn retry(&mut self, want: &Want, now: Instant, wait: impl FnOnce(u32) -> std::time::Duration) {
        if let Some(state) = self.current(want) {
            state.asked = false;
            state.failures += 1;
            let at = now + wait(state.failures);
            state.retry_at = Some(at);
            self.retries.insert((at, want.partition.clone()));
            self.stir(&want.partition);
        }
    }

    /// The partition stands still until the application seeks; says whether it did not already.
    pub(super) fn halt(&mut self, want: &Want) -> bool {
        let Some(state) = self.current(want) else { return false };
        state.asked = false;
        state.drop_queue();
        let was_running = std::mem::replace(&mut state.place, Place::Halted) != Place::Halted;
        self.stir(&want.partition);
        self.ready.retain(|ready| *ready != want.partition);
        was_running
    }

    /// When the next of the waits ends that [`retry`](Self::retry) began.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
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
            let Some(chunk) = chunk else { continue };
            state.queued_bytes -= chunk.records.len();
            if state.full {
                let partition = chunk.partition.clone();
                self.stir(&partition);
            }
            return Some(chunk);
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
