//! The figures that every service has, and the registry to which a service adds its own.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::VERSION;

type Seconds = Gauge<f64, AtomicU64>;
type TokenExpiry = Box<dyn Fn() -> Option<SystemTime> + Send + Sync>;

/// What `/metrics` shows. Cheap to clone; counting takes no lock.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Mutex<Registry>,
    records_in: Counter,
    records_out: Counter,
    set_aside: Counter,
    errors: Family<ErrorLabels, Counter>,
    lag: Family<PartitionLabels, Gauge>,
    token_seconds: Family<TokenLabels, Seconds>,
    tokens: Mutex<Vec<(String, TokenExpiry)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    of: String,
}

impl Metrics {
    /// The common figures, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let shared = Shared {
            records_in: Counter::default(),
            records_out: Counter::default(),
            set_aside: Counter::default(),
            errors: Family::default(),
            lag: Family::default(),
            token_seconds: Family::default(),
            tokens: Mutex::default(),
            registry: Mutex::default(),
        };
        let started: Seconds = Gauge::default();
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        registry.register("build", "Which build this is", Info::new([("version", VERSION)]));
        registry.register("process_start_time_seconds", "When the process started, in Unix time", started);
        registry.register("records_in", "Records read and worked on", shared.records_in.clone());
        registry.register("records_out", "Records acknowledged by the broker, or shown", shared.records_out.clone());
        registry.register("records_set_aside", "Records that could not be decoded or used", shared.set_aside.clone());
        registry.register("errors", "Errors, by what failed", shared.errors.clone());
        registry.register("consumer_lag", "Records not yet read, by partition", shared.lag.clone());
        registry.register("token_seconds", "Life left of the access token", shared.token_seconds.clone());
        *shared.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        Self { shared: Arc::new(shared) }
    }

    /// Counts records read and worked on.
    pub fn records_in(&self, count: u64) {
        self.shared.records_in.inc_by(count);
    }

    /// Counts records that reached their end: acknowledged by the broker, or shown.
    pub fn records_out(&self, count: u64) {
        self.shared.records_out.inc_by(count);
    }

    /// Counts one record that could not be decoded or used.
    pub fn set_aside(&self) {
        self.shared.set_aside.inc();
    }

    /// Counts an error; `kind` is a short fixed word such as `fetch`, never a message.
    pub fn error(&self, kind: &str) {
        self.shared.errors.get_or_create(&ErrorLabels { kind: kind.to_owned() }).inc();
    }

    /// Sets how many records of a partition are not yet read.
    pub fn lag(&self, topic: &str, partition: i32, records: i64) {
        self.shared.lag.get_or_create(&PartitionLabels { topic: topic.to_owned(), partition }).set(records.max(0));
    }

    /// Forgets a partition's lag: it belongs to another member now.
    pub fn forget_lag(&self, topic: &str, partition: i32) {
        self.shared.lag.remove(&PartitionLabels { topic: topic.to_owned(), partition });
    }

    /// Shows the life left of a token, asked for at each scrape; `of` names who it is shown to (`kafka`).
    pub fn watch_token(&self, of: &str, expires_at: impl Fn() -> Option<SystemTime> + Send + Sync + 'static) {
        let mut tokens = self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push((of.to_owned(), Box::new(expires_at)));
    }

    /// Adds a service's own figures.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Everything in OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        for (of, expires_at) in self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(at) = expires_at() {
                let left = at.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64();
                self.shared.token_seconds.get_or_create(&TokenLabels { of: of.clone() }).set(left.floor());
            }
        }
        let mut text = String::new();
        let registry = self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes any text");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_show_in_the_scrape() {
        let metrics = Metrics::new();
        metrics.records_in(3);
        metrics.records_out(2);
        metrics.error("fetch");
        metrics.lag("grapes", 1, 7);
        metrics.watch_token("kafka", || Some(SystemTime::now() + Duration::from_secs(90)));
        let text = metrics.encode();
        for line in [
            "records_in_total 3",
            "records_out_total 2",
            "errors_total{kind=\"fetch\"} 1",
            "consumer_lag{topic=\"grapes\",partition=\"1\"} 7",
            "build_info{version=\"",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(text.contains("token_seconds{of=\"kafka\"} 89"), "{text}");
        metrics.forget_lag("grapes", 1);
        assert!(!metrics.encode().contains("grapes"));
    }
}
