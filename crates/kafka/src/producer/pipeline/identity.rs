//! Who a producer is to the brokers: an id and an epoch, under which each partition has its own sequence.
//!
//! An idempotent producer is granted an id by any broker and raises the epoch itself (KIP-360); a transactional one gets
//! both from its coordinator. Only this module knows which.

/// A producer id with an epoch. A higher epoch of the same id fences the lower one, partition by partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// The identity that partitions begin their sequences under.
#[derive(Debug, Default)]
pub(super) struct Identities {
    current: Option<ProducerIdentity>,
    /// Somebody could not go on for want of one.
    wanted: bool,
}

impl Identities {
    /// The identity for a partition's first sequence, if there is one.
    pub(super) fn current(&mut self) -> Option<ProducerIdentity> {
        self.wanted |= self.current.is_none();
        self.current
    }

    /// An identity that no sequence of this partition has been sent under. Raises the epoch unless another partition has
    /// done so since; the last epoch of an id needs another id.
    pub(super) fn newer_than(&mut self, used: Option<ProducerIdentity>) -> Option<ProducerIdentity> {
        if self.current == used {
            self.current = used.and_then(|ProducerIdentity { id, epoch }| {
                epoch.checked_add(1).map(|epoch| ProducerIdentity { id, epoch })
            });
        }
        self.current()
    }

    /// A broker has granted one, or a coordinator has for the next transaction.
    pub(super) fn granted(&mut self, identity: ProducerIdentity) {
        self.current = Some(identity);
        self.wanted = false;
    }

    /// Whether a broker should be asked for one.
    pub(super) fn wanted(&self) -> bool {
        self.wanted && self.current.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: ProducerIdentity = ProducerIdentity { id: 7, epoch: 0 };

    #[test]
    fn two_partitions_in_need_share_one_raised_epoch() {
        let mut identities = Identities::default();
        assert_eq!(identities.current(), None);
        assert!(identities.wanted());
        identities.granted(FIRST);
        let second = ProducerIdentity { id: 7, epoch: 1 };
        assert_eq!(identities.newer_than(Some(FIRST)), Some(second));
        assert_eq!(identities.newer_than(Some(FIRST)), Some(second));
        assert_eq!(identities.newer_than(Some(second)), Some(ProducerIdentity { id: 7, epoch: 2 }));
    }

    #[test]
    fn after_the_last_epoch_comes_another_id() {
        let mut identities = Identities::default();
        let last = ProducerIdentity { id: 7, epoch: i16::MAX };
        identities.granted(last);
        assert_eq!(identities.newer_than(Some(last)), None);
        assert!(identities.wanted());
        identities.granted(ProducerIdentity { id: 8, epoch: 0 });
        assert_eq!(identities.newer_than(Some(last)), Some(ProducerIdentity { id: 8, epoch: 0 }));
    }
}
