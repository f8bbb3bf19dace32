//! A partition's log behind its lock, and the fetches that wait for it to grow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::log::PartitionLog;

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    log: Mutex<PartitionLog>,
    /// Parked fetches. An entry whose fetch is over is dropped at the next registration.
    waiting: Mutex<Vec<Arc<Notify>>>,
}

impl Partition {
    /// Locks the log. Nothing may await while the guard lives.
    pub(crate) fn log(&self) -> MutexGuard<'_, PartitionLog> {
        // The log is consistent between statements that can panic, so a poisoned lock is usable.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for `notify` to be woken by the next append. Register before looking at the log: an append in between is then not missed.
    pub(crate) fn wake_on_append(&self, notify: &Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|parked| Arc::strong_count(parked) > 1);
        if !waiting.iter().any(|parked| Arc::ptr_eq(parked, notify)) {
            waiting.push(Arc::clone(notify));
        }
    }

    /// Wakes every parked fetch; they register again if they still wait.
    pub(crate) fn wake_all(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for parked in waiting {
            parked.notify_one();
        }
    }
}
