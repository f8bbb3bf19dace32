//! What an application believes of its transactions.

/// What the application knows of one of its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    Aborted,
    /// It was told that nobody knows.
    Unknown,
}

pub(super) struct Transaction {
    pub(super) records: Vec<(i32, u64)>,
    pub(super) fate: Fate,
}
