//! The coordinator of transactions behind its lock, and the clock that writes markers and ends what takes too long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tracing::warn;

use super::groups::OFFSETS_TOPIC;
use super::{Broker, epoch_ms};
use crate::transactions::{Coordinator, Ending, TransactionSettings};

/// The coordinator of all transactions.
pub(crate) struct Transactions {
    pub(crate) settings: TransactionSettings,
    coordinator: Mutex<Coordinator>,
    /// Rung when a deadline may have moved closer.
    deadlines_changed: Notify,
}

impl Transactions {
    pub(crate) fn new(settings: TransactionSettings) -> Self {
        Self { settings, coordinator: Mutex::new(Coordinator::new(settings)), deadlines_changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `with` with the coordinator and the time, in milliseconds since 1970. Until `with` returns no marker is written, so
    /// what it asks and what it appends because of the answer belong together.
    pub(crate) fn with<T>(&self, with: impl FnOnce(&mut Coordinator, i64) -> T) -> T {
        let out = with(&mut self.lock(), epoch_ms(SystemTime::now()));
        self.deadlines_changed.notify_one();
        out
    }

    /// Writes markers and aborts what has taken too long, at the time it is due, for ever.
    pub(crate) async fn keep_time(&self, broker: &Broker) {
        loop {
            let next = self.lock().next_deadline();
            let changed = self.deadlines_changed.notified();
            let Some(deadline) = next else {
                changed.await;
                continue;
            };
            let wait = deadline - epoch_ms(SystemTime::now());
            if let Ok(wait @ 1..) = u64::try_from(wait) {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                }
                continue;
            }
            self.write_due_markers(broker);
        }
    }

    fn write_due_markers(&self, broker: &Broker) {
        let mut coordinator = self.lock();
        let now_ms = epoch_ms(SystemTime::now());
        for ending in coordinator.tick(now_ms) {
            write_markers(broker, &ending, now_ms);
        }
    }
}

/// Writes a transaction's marker into each of its partitions. Those that were deleted meanwhile need none.
fn write_markers(broker: &Broker, ending: &Ending, now_ms: i64) {
    let Ending { producer, outcome, protocol, partitions } = ending;
    for (topic, index) in partitions {
        if &**topic == OFFSETS_TOPIC {
            broker.groups.end_transaction(*index, producer.id, *outcome);
            continue;
        }
        let Some(topic) = broker.topics.get(topic) else { continue };
        let Some(partition) = topic.partition(*index).map(Arc::clone) else { continue };
        let timestamps = topic.settings.timestamp_type();
        let written = partition.log().append_marker(*producer, *outcome, *protocol, timestamps, now_ms);
        if let Err(error) = written {
            warn!(topic = &*topic.name, partition = index, "could not write a transaction marker: {error}");
        }
        partition.wake_all();
    }
}
