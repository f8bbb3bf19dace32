//! Who may commit and read positions.

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::group::ConsumerGroup;
use super::member::Held;

/// OffsetCommit: the generation may be a member's epoch.
const FIRST_COMMIT_WITH_EPOCH: i16 = 9;

/// What a commit that was let in may cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommitRight {
    /// Any partition.
    Any,
    /// It comes under an older epoch, so only what was the member's then and is still (KIP-1251).
    Since {
        /// The epoch of the commit.
        epoch: i32,
        /// What the member holds, and since when.
        held: Held,
    },
}

impl CommitRight {
    /// Whether the commit may cover these partitions. One that it may not cover is a reason to refuse all.
    pub(crate) fn check(&self, mut partitions: impl Iterator<Item = (Uuid, i32)>) -> Result<(), ResponseError> {
        let Self::Since { epoch, held } = self else { return Ok(()) };
        let all = partitions.all(|partition| held.get(&partition).is_some_and(|since| since <= epoch));
        if all { Ok(()) } else { Err(ResponseError::StaleMemberEpoch) }
    }
}

impl ConsumerGroup {
    /// Whether an OffsetCommit of this version is from a member, or from anybody while there is none.
    pub(crate) fn may_commit(&self, member_id: &str, epoch: i32, version: i16) -> Result<CommitRight, ResponseError> {
        if epoch < 0 && self.is_empty() {
            return Ok(CommitRight::Any);
        }
        let member = self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?;
        if version < FIRST_COMMIT_WITH_EPOCH && member.classic.is_none() {
            return Err(ResponseError::UnsupportedVersion);
        }
        self.at_epoch(member_id, epoch)
    }

    /// Whether a TxnOffsetCommit is from a member. Clients of before KIP-447 name none.
    pub(crate) fn may_commit_in_transaction(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        epoch: i32,
    ) -> Result<CommitRight, ResponseError> {
        let is_anonymous = epoch < 0 && (self.is_empty() || (member_id.is_empty() && instance_id.is_none()));
        if is_anonymous {
            return Ok(CommitRight::Any);
        }
        // Clients know what to do about a generation of the past, whichever kind of group it is.
        self.at_epoch(member_id, epoch).map_err(|error| match error {
            ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
            other => other,
        })
    }

    fn at_epoch(&self, member_id: &str, epoch: i32) -> Result<CommitRight, ResponseError> {
        let member = self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?;
        if epoch == member.epoch {
            return Ok(CommitRight::Any);
        }
        if member.classic.is_some() {
            return Err(ResponseError::IllegalGeneration);
        }
        if epoch > member.epoch || epoch < 0 {
            return Err(ResponseError::StaleMemberEpoch);
        }
        Ok(CommitRight::Since { epoch, held: member.assigned.clone() })
    }

    /// Whether an OffsetFetch (version 9 or later) is from a member, or names none.
    pub(crate) fn may_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = member_id.and_then(|id| self.members.get(id)).ok_or(ResponseError::UnknownMemberId)?;
        if member.epoch == epoch { Ok(()) } else { Err(ResponseError::StaleMemberEpoch) }
    }
}
