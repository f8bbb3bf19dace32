//! What transactions can be told. Each field names the property of Kafka's own clients that it stands for.

use std::time::Duration;

use super::TransactionError;
use crate::producer::ProducerConfig;

/// Whose transactions they are, and how long one may take.
///
/// ```
/// let config = kafka::TransactionConfig::new("fulfillment-service-1");
/// ```
#[derive(Clone, Debug)]
pub struct TransactionConfig {
    /// `transactional.id`: names this instance, and only this one, also after a restart: whoever comes with the same id ends
    /// the open transaction of the one before and shuts it out.
    pub transactional_id: String,
    /// `transaction.timeout.ms`: how long a transaction may be open before the broker aborts it, which is also how long a
    /// crash may hold up readers of committed records. 60 s by default; at most the broker's `transaction.max.timeout.ms`.
    pub timeout: Duration,
    /// How records are batched and sent within a transaction. `delivery.timeout.ms` also bounds the wait for an outcome.
    pub producer: ProducerConfig,
}

impl TransactionConfig {
    /// The defaults for this `transactional.id`.
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self {
            transactional_id: transactional_id.into(),
            timeout: Duration::from_secs(60),
            producer: ProducerConfig::default(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), TransactionError> {
        let check = |holds: bool, key: &'static str, problem: &str| {
            if holds { Ok(()) } else { Err(TransactionError::Config { key, problem: problem.to_owned() }) }
        };
        check(!self.transactional_id.is_empty(), "transactional.id", "a name that no other instance has")?;
        let bounds = Duration::from_millis(1)..=Duration::from_millis(i32::MAX as u64);
        check(bounds.contains(&self.timeout), "transaction.timeout.ms", "1 to 2147483647")
    }
}
