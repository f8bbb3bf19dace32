//! What partitions want, looked at only where something has happened that may have changed it.
//!
//! Whatever touches a partition stirs it; a look turns each stirred one into questions and a wish of what to fetch. So the others cost
//! nothing, however many they are.

use tokio::time::Instant;
use uuid::Uuid;

use super::{ListedAt, Partition, Partitions, Place, Want};
use crate::TopicPartition;
use crate::consumer::fetch_sessions::{Start, Wish};
use crate::consumer::positions::Position;

/// A place that a new leader is to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consumer) struct Unchecked {
    pub(in crate::consumer) want: Want,
    pub(in crate::consumer) position: Position,
    pub(in crate::consumer) leader: i32,
    /// The leader's epoch.
    pub(in crate::consumer) epoch: i32,
}

/// A partition's leader as the metadata has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consumer) struct Leader {
    pub(in crate::consumer) broker: i32,
    pub(in crate::consumer) epoch: i32,
    /// The topic's; nil if it is not known.
    pub(in crate::consumer) topic_id: Uuid,
}

/// What partitions want that something has happened to.
#[derive(Debug, Default)]
pub(in crate::consumer) struct Wants {
    /// Their committed offsets must be asked for, which they count as from now on; and so with the next two.
    pub(in crate::consumer) committed: Vec<Want>,
    /// Their places must be asked from the leader's log.
    pub(in crate::consumer) listed: Vec<(Want, ListedAt)>,
    /// Their leader's epoch has risen since they were known to be in the log. They are not fetched from until the new leader has
    /// been [asked](Partitions::checked). The first leader is asked by the fetch itself.
    pub(in crate::consumer) unchecked: Vec<Unchecked>,
    pub(in crate::consumer) wishes: Vec<(TopicPartition, Wish)>,
}

impl Partitions {
    /// Something has happened to the partition.
    pub(super) fn stir(&mut self, partition: &TopicPartition) {
        if let Some(state) = self.partitions.get_mut(partition)
            && !std::mem::replace(&mut state.stirred, true)
        {
            self.stirred.push(partition.clone());
        }
    }

    /// Something has happened to all, such as other metadata.
    pub(in crate::consumer) fn stir_all(&mut self) {
        for (partition, state) in self.partitions.iter_mut().filter(|(_, state)| !state.stirred) {
            state.stirred = true;
            self.stirred.push(partition.clone());
        }
    }

    /// Looks at the partitions to which something has happened. `full_bytes` queued are enough.
    pub(in crate::consumer) fn look(
        &mut self,
        now: Instant,
        full_bytes: usize,
        leader: impl Fn(&TopicPartition) -> Option<Leader>,
    ) -> Wants {
        while self.retries.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, partition)) = self.retries.pop_first()
        {
            self.stir(&partition);
        }
        let mut wants = Wants::default();
        for partition in std::mem::take(&mut self.stirred) {
            self.leaderless.remove(&partition);
            let wish = match self.partitions.get_mut(&partition) {
                None => Wish::Nothing,
                Some(state) => {
                    state.stirred = false;
                    state.full = false;
                    let fetchable = matches!(state.place, Place::At(_)) && !state.revoking;
                    let leader = if fetchable { leader(&partition) } else { None };
                    if fetchable && leader.is_none() {
                        self.leaderless.insert(partition.clone());
                    }
                    state.look(&partition, now, full_bytes, leader, &mut wants)
                }
            };
            wants.wishes.push((partition, wish));
        }
        wants
    }

    /// Whether a partition that could be fetched has nobody to fetch it from.
    pub(in crate::consumer) fn any_without_leader(&self) -> bool {
        !self.leaderless.is_empty()
    }
}

impl Partition {
    /// What this one wants. A question about it that is under way stirs it when it is answered.
    fn look(
        &mut self,
        name: &TopicPartition,
        now: Instant,
        full_bytes: usize,
        leader: Option<Leader>,
        wants: &mut Wants,
    ) -> Wish {
        let due = self.retry_at.is_none_or(|at| at <= now);
        if self.revoking || self.asked || !due {
            return Wish::Nothing;
        }
        let want = Want { partition: name.clone(), stamp: self.stamp };
        let position = match self.place {
            Place::Halted => return Wish::Nothing,
            Place::Committed => {
                self.asked = true;
                wants.committed.push(want);
                return Wish::Nothing;
            }
            Place::Listed(at) => {
                self.asked = true;
                wants.listed.push((want, at));
                return Wish::Nothing;
            }
            Place::At(position) => position,
        };
        let Some(Leader { broker, epoch, topic_id }) = leader else { return Wish::Nothing };
        let before = *self.checked_epoch.get_or_insert(epoch);
        if epoch > before && position.leader_epoch.is_some() {
            self.asked = true;
            wants.unchecked.push(Unchecked { want, position, leader: broker, epoch });
            return Wish::Nothing;
        }
        if self.paused {
            return Wish::Nothing;
        }
        if self.queued_bytes >= full_bytes {
            self.full = true;
            return Wish::Later { leader: broker };
        }
        let start = Start { stamp: self.stamp, position, leader_epoch: epoch, topic_id, served: self.served };
        Wish::From { leader: broker, start }
    }
}
