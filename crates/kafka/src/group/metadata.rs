//! Who a member is to its coordinator.

/// How a member of a group signs what it commits, at one moment.
///
/// A transaction that commits positions carries it (KIP-447): the coordinator refuses the positions of a member whose
/// partitions have gone to others since. So it must be taken from [`Consumer::group_metadata`](crate::Consumer::group_metadata)
/// when the positions are committed, not when the transaction begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: String,
    /// The generation of a classic group, or the member epoch (KIP-848); -1 for a consumer that chose its partitions itself.
    pub generation: i32,
    /// The member's id; empty for a consumer that chose its partitions itself.
    pub member_id: String,
    /// `group.instance.id`, of a static member.
    pub instance_id: Option<String>,
}
