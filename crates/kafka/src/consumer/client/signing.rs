//! For those who commit positions by another way than [`Consumer::commit`].

use std::sync::Arc;

use super::Consumer;
use crate::GroupMetadata;
use crate::consumer::positions::Positions;
use crate::consumer::shared::Standing;
use crate::group::membership::Identity;

impl Consumer {
    /// Who this consumer is to its group now, for a transaction that commits positions.
    ///
    /// `None` without a group, and while this consumer is no member: before it has joined, while a classic group is between two
    /// generations, after it lost its place. Also while [`next_event`](Self::next_event) has still to tell of
    /// partitions that were lost: they may be ours again by now, and somebody else may have worked on them meanwhile. What has
    /// to be committed waits for [`in_group`](Self::in_group), and is only committed if its partitions are still
    /// [assigned](Self::assignment).
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        let identity = self.shared.standing.borrow().identity.clone();
        metadata_of(self.config.group_id.as_deref(), identity.filter(|_| !self.shared.has_untold_loss()))
    }

    /// Waits until [`group_metadata`](Self::group_metadata) is known. `None` if waiting does not help: without a group, when the
    /// consumer has ended or the group does not take it, and when [`next_event`](Self::next_event) must be asked
    /// first, because partitions were lost or because this consumer has left the group after `max.poll.interval.ms`. What
    /// was not committed is done again then.
    ///
    /// Borrows nothing, so that the application can read on meanwhile. Cancel safe. Bounded by the group: a member that
    /// cannot reach its coordinator waits as long as that lasts.
    pub fn in_group(&self) -> impl Future<Output = Option<GroupMetadata>> + Send + 'static + use<> {
        let (group, shared) = (self.config.group_id.clone(), Arc::clone(&self.shared));
        async move {
            let group = group?;
            let mut standings = shared.standing.subscribe();
            loop {
                let Standing { identity, left } = standings.borrow_and_update().clone();
                if left || shared.is_over() || shared.has_untold_loss() {
                    return None;
                }
                if identity.is_some() {
                    return metadata_of(Some(&group), identity);
                }
                if standings.changed().await.is_err() {
                    return None;
                }
            }
        }
    }

    /// Says that these positions are done and were committed by another way, as by a transaction: nothing that was
    /// [stored](Self::store) at or before them is committed over them when a partition is given up or the consumer is closed.
    /// Positions of partitions that are not ours are ignored.
    pub fn committed_elsewhere(&self, positions: &Positions) {
        self.shared.lock().partitions.committed(positions);
    }
}

fn metadata_of(group: Option<&str>, identity: Option<Identity>) -> Option<GroupMetadata> {
    let (group, Identity { generation, member_id, instance_id }) = (group?, identity?);
    Some(GroupMetadata { group_id: group.to_owned(), generation, member_id, instance_id })
}
