//! Finding out whether a new leader's log still holds what was read (KIP-320).
//!
//! A fetch finds that out as well, by the epoch of the record before it; this asks as soon as the metadata names a higher leader
//! epoch, also where nothing is fetched for the time being, because the partition is paused or enough of it is queued.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Done, Task};
use crate::cluster::ClusterError;
use crate::consumer::calls::{PerPartition, epoch_ends};
use crate::consumer::error::ConsumerError;
use crate::consumer::partitions::{ListedAt, Place, Unchecked};
use crate::consumer::positions::Position;

impl Task {
    /// Asks new leaders where the epochs end in which the last records were written.
    pub(super) fn check_epochs(&mut self, unchecked: Vec<Unchecked>) {
        let mut by_leader: BTreeMap<i32, Vec<Unchecked>> = BTreeMap::new();
        for partition in unchecked {
            by_leader.entry(partition.leader).or_default().push(partition);
        }
        for (leader, unchecked) in by_leader {
            let cluster = self.cluster.clone();
            self.start(async move {
                let answer = epoch_ends(&cluster, leader, &unchecked).await;
                Done::Checked(unchecked, answer)
            });
        }
    }

    pub(super) fn checked(
        &mut self,
        unchecked: Vec<Unchecked>,
        answer: Result<PerPartition<Option<Position>>, ClusterError>,
        now: Instant,
    ) {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!("the new leader has not said where epochs end: {error}");
                self.cluster.metadata_is_stale();
                return unchecked.iter().for_each(|partition| self.try_again(&partition.want, now));
            }
        };
        for Unchecked { want, position, epoch, .. } in unchecked {
            match answer.remove(&want.partition) {
                Some(Ok(Some(end))) if end.offset < position.offset => self.truncated(&want, position, end),
                Some(Ok(Some(end))) => {
                    tracing::debug!(partition = %want.partition, epoch, end = end.offset, "the new leader has what was read");
                    self.shared.lock().partitions.checked(&want, epoch);
                }
                Some(Ok(None)) => self.unknown_to_leader(&want, position),
                Some(Err(code)) if code.is_retriable() => {
                    if code.refreshes_metadata() {
                        self.cluster.metadata_is_stale();
                    }
                    self.try_again(&want, now);
                }
                // The next fetch finds out, or is refused for the same reason.
                Some(Err(_)) => self.shared.lock().partitions.checked(&want, epoch),
                None => self.try_again(&want, now),
            }
        }
    }

    /// The leader knows of no epoch so early: nothing tells how much of what was read is left.
    fn unknown_to_leader(&mut self, want: &crate::consumer::partitions::Want, position: Position) {
        let (partition, offset) = (want.partition.clone(), position.offset);
        match ListedAt::of(self.config.auto_offset_reset) {
            Some(at) => {
                tracing::warn!(
                    %partition, offset, auto_offset_reset = ?at,
                    "the log was truncated to before what its leader knows; going on as auto.offset.reset says"
                );
                let mut state = self.shared.lock();
                if state.partitions.is_current(&partition, want.stamp) {
                    state.partitions.seek(&partition, Place::Listed(at));
                }
            }
            None => self.halt(want, ConsumerError::Truncated { partition, offset, log_end: -1 }),
        }
    }
}
