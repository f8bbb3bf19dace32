//! What the broker's configuration says of transactions.

use std::time::Duration;

/// How the broker coordinates transactions.
#[derive(Debug, Clone, Copy)]
pub struct TransactionSettings {
    /// The finalized feature `transaction.version`, from 0 to 2. From 2 on, clients that can do so leave it to the broker to add
    /// partitions and take a new epoch from each end of a transaction (KIP-890). 0 is what a Kafka of before 4.0 has; the feature
    /// is then not told to clients.
    pub version: u8,
    /// How long after the end of a transaction was answered its markers are written. Kafka needs a millisecond or more; until then
    /// the next transaction meets CONCURRENT_TRANSACTIONS.
    pub marker_delay: Duration,
    /// `transaction.max.timeout.ms`: a producer that asks for a longer timeout is refused.
    pub max_timeout: Duration,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self { version: 2, marker_delay: Duration::ZERO, max_timeout: Duration::from_secs(900) }
    }
}

impl TransactionSettings {
    /// The newest of [`version`](Self::version).
    pub const MAX_VERSION: u8 = 2;
}
