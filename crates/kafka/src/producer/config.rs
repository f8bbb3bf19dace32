//! What a producer can be told. Each field names the property of Kafka's own clients that it stands for.

use std::time::Duration;

use super::error::ProducerError;
use crate::records::Compression;

/// How a producer batches, waits and gives up. Idempotence and `acks=all` are not in question: what is acknowledged is
/// written, once and in order.
///
/// ```
/// use std::time::Duration;
/// use kafka::{Compression, ProducerConfig};
///
/// let config = ProducerConfig { compression: Compression::Lz4, linger: Duration::ZERO, ..ProducerConfig::default() };
/// ```
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// `compression.type`: none by default.
    pub compression: Compression,
    /// `batch.size`: a batch goes out when it has grown to so many bytes. 1,000,000 by default, which is what fits under a
    /// broker's default `max.message.bytes` of 1,048,588: bytes are taken only as records come, a request then carries
    /// thousands of records, and under light load [`linger`](Self::linger) sends the batch long before.
    pub batch_bytes: usize,
    /// `max.request.size`: bound on one record and on one request. 1,048,576 by default.
    pub max_request_bytes: usize,
    /// `linger.ms`: how long a batch that is not full waits for more records. 5 ms by default.
    pub linger: Duration,
    /// `buffer.memory`: bytes of records accepted and not yet settled. `send` waits for room. 32 MiB by default.
    pub buffer_bytes: usize,
    /// `max.block.ms`: the longest that `send` waits for room or for a topic to be known. 60 s by default.
    pub max_block: Duration,
    /// `delivery.timeout.ms`: a record is acknowledged or given up within this time from `send`. 120 s by default.
    pub delivery_timeout: Duration,
    /// `max.in.flight.requests.per.connection`: 1 to 5, which is as far back as brokers recognise a repeated batch.
    pub max_in_flight: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            batch_bytes: 1_000_000,
            max_request_bytes: 1_048_576,
            linger: Duration::from_millis(5),
            buffer_bytes: 32 * 1024 * 1024,
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            max_in_flight: 5,
        }
    }
}

impl ProducerConfig {
    /// Checks the values against each other and against the client's `request.timeout.ms`.
    ///
    /// # Errors
    /// The first that cannot work, by its property's name.
    pub fn validate(&self, request_timeout: Duration) -> Result<(), ProducerError> {
        let check = |holds: bool, key: &'static str, problem: String| {
            if holds { Ok(()) } else { Err(ProducerError::Config { key, problem }) }
        };
        check((1..=5).contains(&self.max_in_flight), "max.in.flight.requests.per.connection", "1 to 5".into())?;
        check(self.batch_bytes > 0, "batch.size", "at least 1".into())?;
        let request_bound = || "at least 1,024 and at most 1 GiB".into();
        check((1024..=1 << 30).contains(&self.max_request_bytes), "max.request.size", request_bound())?;
        let fits = self.batch_bytes <= self.max_request_bytes;
        check(fits, "batch.size", format!("at most max.request.size ({})", self.max_request_bytes))?;
        let fits = (self.max_request_bytes..=u32::MAX as usize).contains(&self.buffer_bytes);
        check(fits, "buffer.memory", format!("at least max.request.size ({}), at most 4 GiB", self.max_request_bytes))?;
        let least = self.linger + request_timeout;
        let problem = || format!("at least linger.ms + request.timeout.ms ({} ms)", least.as_millis());
        check(self.delivery_timeout >= least, "delivery.timeout.ms", problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_value_is_named_by_its_property() {
        let timeout = Duration::from_secs(30);
        assert!(ProducerConfig::default().validate(timeout).is_ok());
        let config = ProducerConfig { delivery_timeout: Duration::from_secs(10), ..ProducerConfig::default() };
        let message = config.validate(timeout).unwrap_err().to_string();
        assert!(message.contains("delivery.timeout.ms") && message.contains("30005 ms"), "{message}");
    }
}
