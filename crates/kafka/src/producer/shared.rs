//! What a producer's handles and its sender share.
//!
//! There is one lock, around the accumulator; a second one, around what is told of a transaction, is taken alone. Outcomes have
//! their own, taken while none or that one is held, never the
//! other way round. None is held across `.await`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::accumulator::Accumulator;
use super::coordination::AbortCause;
use super::pipeline::Counters;

#[derive(Debug)]
pub(super) struct Shared {
    accumulator: Mutex<Accumulator>,
    /// Bytes of `buffer.memory` that are free. Fair: whoever waits longest is served first.
    pub(super) room: Semaphore,
    /// How many wait for room.
    pub(super) waiting: AtomicUsize,
    /// Something has happened that the sender should look at.
    pub(super) wake: Notify,
    /// The last handle is gone, or `close` has run out of time.
    stopped: AtomicBool,
    pub(super) gauges: Gauges,
    transaction: Mutex<TransactionState>,
    /// Whether `transaction` has a failure, to look at for each record.
    failed: AtomicBool,
}

/// What the application's side needs to know of the open transaction.
#[derive(Debug, Default)]
struct TransactionState {
    /// Why it cannot be committed any more.
    failure: Option<AbortCause>,
    /// What the last attempt of a request to its coordinator ended with.
    trouble: Option<Arc<str>>,
}

/// What [`ProducerMetrics`] is read from; only the sender writes.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    records_acknowledged: AtomicU64,
    bytes_acknowledged: AtomicU64,
    records_failed: AtomicU64,
    batches: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    requests_in_flight: AtomicUsize,
}

/// What a producer has done since it was made, and what it holds now. Cheap to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerMetrics {
    /// Records that brokers have acknowledged.
    pub records_acknowledged: u64,
    /// Their bytes as they count against `buffer.memory`.
    pub bytes_acknowledged: u64,
    /// Records whose deliveries failed.
    pub records_failed: u64,
    /// Batches sent, each attempt counted.
    pub batches_sent: u64,
    /// Produce requests sent.
    pub requests_sent: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Produce requests without an answer so far.
    pub requests_in_flight: usize,
    /// Bytes of records accepted and not settled, of `buffer.memory`.
    pub buffered_bytes: usize,
}

impl Shared {
    pub(super) fn new(accumulator: Accumulator, buffer_bytes: usize) -> Self {
        Self {
            accumulator: Mutex::new(accumulator),
            room: Semaphore::new(buffer_bytes),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
            stopped: AtomicBool::new(false),
            gauges: Gauges::default(),
            transaction: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// Not poisoned in any way that matters: a panic while it is held is a bug that ends the sender, which settles
    /// everything on its way out.
    pub(super) fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the sender give up what is left and end.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn transaction(&self) -> MutexGuard<'_, TransactionState> {
        self.transaction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open transaction cannot be committed any more, or a new one begins.
    pub(super) fn transaction_failed(&self, failure: Option<AbortCause>) {
        let failed = failure.is_some();
        self.transaction().failure = failure;
        self.failed.store(failed, Ordering::Release);
    }

    /// Why the open transaction cannot be committed any more, if so.
    pub(super) fn transaction_failure(&self) -> Option<AbortCause> {
        self.failed.load(Ordering::Acquire).then(|| self.transaction().failure.clone()).flatten()
    }

    pub(super) fn transaction_trouble(&self, trouble: Option<Arc<str>>) {
        self.transaction().trouble = trouble;
    }

    /// What the coordinator's requests last ended with, for messages.
    pub(super) fn last_trouble(&self) -> Arc<str> {
        self.transaction().trouble.clone().unwrap_or_else(|| "no answer yet".into())
    }

    pub(super) fn metrics(&self, buffer_bytes: usize) -> ProducerMetrics {
        let gauges = &self.gauges;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProducerMetrics {
            records_acknowledged: get(&gauges.records_acknowledged),
            bytes_acknowledged: get(&gauges.bytes_acknowledged),
            records_failed: get(&gauges.records_failed),
            batches_sent: get(&gauges.batches),
            requests_sent: get(&gauges.requests),
            retries: get(&gauges.retries),
            requests_in_flight: gauges.requests_in_flight.load(Ordering::Relaxed),
            buffered_bytes: buffer_bytes.saturating_sub(self.room.available_permits()),
        }
    }
}

impl Gauges {
    pub(super) fn acknowledged(&self, records: u32, bytes: usize) {
        self.records_acknowledged.fetch_add(u64::from(records), Ordering::Relaxed);
        self.bytes_acknowledged.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, records: u32) {
        self.records_failed.fetch_add(u64::from(records), Ordering::Relaxed);
    }

    pub(super) fn set(&self, counters: Counters, requests_in_flight: usize) {
        self.batches.store(counters.batches, Ordering::Relaxed);
        self.requests.store(counters.requests, Ordering::Relaxed);
        self.retries.store(counters.retries, Ordering::Relaxed);
        self.requests_in_flight.store(requests_in_flight, Ordering::Relaxed);
    }
}
