//! The transaction that is open or being ended: what it holds, and what it needs next.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::{AbortCause, Call, Offsets, Version};
use crate::error::ErrorCode;
use crate::producer::accumulator::PartitionKey;
use crate::producer::pipeline::ProducerIdentity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Abort,
}

/// The transaction that is open or being ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) since: Instant,
    /// Brokers may know of it, so it has to be ended there.
    pub(super) begun: bool,
    /// Partitions that the coordinator knows of, and those that it has to be told of first (version 1).
    pub(super) added: BTreeSet<PartitionKey>,
    pub(super) wanted: BTreeSet<PartitionKey>,
    pub(super) offsets: Option<Arc<Offsets>>,
    pub(super) offsets_added: bool,
    pub(super) offsets_committed: bool,
    pub(super) failed: Option<AbortCause>,
    pub(super) end: Option<End>,
    /// An EndTxn that would commit has been sent and not refused: only the coordinator knows.
    pub(super) commit_unknown: bool,
    /// The code with which an abort was refused as if somebody else had the transactional id. Under version 2 a coordinator says so
    /// too while the markers of the transaction before are being written: the epoch is then the next one's.
    pub(super) doubted: Option<ErrorCode>,
}

/// What an open transaction needs next.
pub(super) enum Step {
    Call(Call),
    Wait,
    /// Nothing: it is over.
    Nothing,
}

impl Open {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            begun: false,
            added: BTreeSet::new(),
            wanted: BTreeSet::new(),
            offsets: None,
            offsets_added: false,
            offsets_committed: false,
            failed: None,
            end: None,
            commit_unknown: false,
            doubted: None,
        }
    }

    /// The request that brings it further.
    pub(super) fn next(&mut self, identity: ProducerIdentity, version: Version, drained: bool) -> Step {
        let aborting = self.failed.is_some() || self.end == Some(End::Abort);
        if !aborting && !self.wanted.is_empty() {
            self.begun = true;
            return Step::Call(Call::AddPartitions { identity, partitions: self.wanted.iter().copied().collect() });
        }
        let Some(end) = self.end else { return Step::Wait };
        // A write that is still under way could land behind the marker. Under version 2 the marker's epoch fences it. Offsets wait
        // for the records too, although they need not: a coordinator takes one addition to a transaction at a time, and
        // refuses another for some 20 or 100 ms (CONCURRENT_TRANSACTIONS), which a write and offsets at once often are.
        if !drained && (end == End::Commit || version == Version::One) {
            return Step::Wait;
        }
        if end == End::Commit
            && let Some(offsets) = self.offsets.clone().filter(|offsets| !offsets.positions.is_empty())
            && !self.offsets_committed
        {
            self.begun = true;
            if version == Version::One && !self.offsets_added {
                return Step::Call(Call::AddOffsets { identity, group_id: offsets.group.group_id.clone() });
            }
            return Step::Call(Call::CommitOffsets { identity, offsets, version });
        }
        if !self.begun {
            return Step::Nothing;
        }
        if self.doubted.is_some() {
            return Step::Call(Call::Describe);
        }
        let commit = end == End::Commit;
        Step::Call(Call::End { identity, commit, version })
    }
}
