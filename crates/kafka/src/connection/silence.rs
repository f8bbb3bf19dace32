//! What one unanswered request says about the other connections of a client.
//!
//! A network that swallows packets (a changed address, a forgotten entry of a firewall) ends no connection. Each would be found out by a
//! request of its own, one after the other as they are needed, and each after the request's whole bound. So the first request that is
//! not answered soon is told to all: asks who is still there, and what has been silent as long and waits for nothing is not
//! used again.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The silence that the connections of one client have noticed.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    noticed: Notify,
    since: Mutex<Option<Instant>>,
}

impl Silence {
    /// A request that was written at `since` is not answered yet.
    pub(super) fn notice(&self, since: Instant) {
        let mut latest = self.lock();
        *latest = (*latest).max(Some(since));
        drop(latest);
        self.noticed.notify_one();
    }

    /// Waits for the next request that is not answered soon. Cancel safe.
    pub(crate) async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// When the latest of those requests was written.
    pub(crate) fn since(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
