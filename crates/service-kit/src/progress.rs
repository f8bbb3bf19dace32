//! A line now and then on how the work goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// At most one line in this time: each event of a slow service has its own, a fast one does not fill the log.
const EVERY: Duration = Duration::from_secs(1);

/// Counts something and logs the count when it has grown. Stops logging when dropped.
#[derive(Debug)]
pub struct Progress {
    count: Arc<AtomicU64>,
    teller: JoinHandle<()>,
}

impl Progress {
    /// Counts `what`, a plural such as `orders acknowledged`. Has to be called within a tokio runtime.
    #[must_use]
    pub fn of(what: &'static str) -> Self {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let teller = tokio::spawn(async move {
            let mut told = 0;
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let total = counted.load(Ordering::Relaxed);
                if total > told {
                    tracing::info!("{} {what}, {total} in all", total - told);
                    told = total;
                }
            }
        });
        Self { count, teller }
    }

    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.count.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.teller.abort();
    }
}
