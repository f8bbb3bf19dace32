//! The way of a record into the accumulator: room first, then its batch. One by one, or a stretch of records at the cost of one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::TryAcquireError;
use tokio::time::{Instant, timeout, timeout_at};

use super::accumulator::{NotAppended, Spans};
use super::delivery::Delivery;
use super::error::ProducerError;
use super::record::Record;
use super::shared::Shared;
use super::{Handle, Producer};
use crate::cluster::Metadata;
use crate::records::HEADER_BYTES;

/// Records that are taken from the application before they are appended together: enough to share a lock and a look at the
/// clock, few enough to stay in the processor's nearest cache.
const STRETCH: usize = 32;

/// Takes the next records of an iterator into `stretch`, in place of those before; `false` at its end.
pub(super) fn next_stretch<'a>(records: &mut impl Iterator<Item = Record<'a>>, stretch: &mut Vec<Record<'a>>) -> bool {
    stretch.clear();
    stretch.extend(records.take(STRETCH));
    !stretch.is_empty()
}

impl Producer {
    /// Appends records in their order, waiting for room where there is none. Their outcomes go into `spans`, if there are.
    ///
    /// # Errors
    /// How many were appended before one was refused, and why.
    pub(super) async fn accept_stretch(
        &self,
        records: &[Record<'_>],
        spans: &mut Option<Spans>,
    ) -> Result<(), (usize, ProducerError)> {
        tokio::task::consume_budget().await;
        let done = self.append_now(records, spans.as_mut());
        for (at, record) in records.iter().enumerate().skip(done) {
            self.accept(record, spans).await.map_err(|error| (at, error))?;
        }
        Ok(())
    }

    /// Appends records for as long as nothing stands in the way, and says how many that were.
    fn append_now(&self, records: &[Record<'_>], mut spans: Option<&mut Spans>) -> usize {
        let Handle { shared, config, .. } = &*self.handle;
        let fits = |record: &&Record<'_>| record.bytes_at_most() + HEADER_BYTES <= config.max_request_bytes;
        let charges: usize = records.iter().take_while(fits).map(Record::bytes_at_most).sum();
        // So much room may never be free at once; one record's may.
        let Some(mut room) = u32::try_from(charges).ok().and_then(|charges| shared.room.try_acquire_many(charges).ok())
        else {
            return 0;
        };
        let timestamp = now_ms();
        let (mut done, mut charged_bytes, mut wakes) = (0, 0, false);
        let mut accumulator = shared.accumulator();
        for record in records.iter().take_while(fits) {
            let bytes = record.bytes_at_most();
            let timestamp = record.timestamp.unwrap_or(timestamp);
            let Ok(appended) = accumulator.append(record, timestamp, bytes, Instant::now, spans.as_deref_mut()) else {
                break;
            };
            wakes |= appended.wakes;
            charged_bytes += bytes;
            done += 1;
        }
        drop(accumulator);
        // The sender gives it back when the records are settled; what was not needed goes back here.
        if let Some(used) = room.split(charged_bytes) {
            used.forget();
        }
        if wakes {
            shared.wake.notify_one();
        }
        done
    }

    /// Appends a record as soon as there is room. Returns its delivery, unless it goes into `spans`.
    pub(super) async fn accept(
        &self,
        record: &Record<'_>,
        spans: &mut Option<Spans>,
    ) -> Result<Option<Delivery>, ProducerError> {
        let Handle { shared, config, .. } = &*self.handle;
        let bytes = record.bytes_at_most();
        let limit_bytes = config.max_request_bytes;
        if bytes + HEADER_BYTES > limit_bytes {
            return Err(ProducerError::RecordTooLarge { topic: record.topic.to_string(), bytes, limit_bytes });
        }
        // Within max_request_bytes, which is at most 1 GiB.
        let permits = bytes as u32;
        let mut give_up_at = None;
        loop {
            let room = match shared.room.try_acquire_many(permits) {
                Ok(room) => room,
                Err(TryAcquireError::Closed) => return Err(ProducerError::Closed),
                Err(TryAcquireError::NoPermits) => {
                    let until = *give_up_at.get_or_insert_with(|| Instant::now() + config.max_block);
                    self.wait_for_room(permits, until).await?
                }
            };
            let timestamp = record.timestamp.unwrap_or_else(now_ms);
            let appended = {
                let mut accumulator = shared.accumulator();
                let appended = accumulator.append(record, timestamp, bytes, Instant::now, spans.as_mut());
                appended.map(|appended| {
                    let single = spans.is_none();
                    let delivery =
                        single.then(|| Delivery::new(Arc::clone(appended.outcome), appended.index, timestamp));
                    (delivery, appended.wakes)
                })
            };
            match appended {
                Ok((delivery, wakes)) => {
                    // The sender gives it back when the record is settled.
                    room.forget();
                    if wakes {
                        shared.wake.notify_one();
                    }
                    return Ok(delivery);
                }
                Err(NotAppended::Closed) => return Err(ProducerError::Closed),
                Err(NotAppended::UnknownPartition { partition, partitions }) => {
                    let topic = record.topic.to_string();
                    return Err(ProducerError::UnknownPartition { topic, partition, partitions });
                }
                Err(NotAppended::UnknownTopic) => {
                    drop(room);
                    let until = *give_up_at.get_or_insert_with(|| Instant::now() + config.max_block);
                    self.learn_topic(&record.topic, until).await?;
                }
            }
        }
    }

    async fn wait_for_room(
        &self,
        permits: u32,
        until: Instant,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, ProducerError> {
        /// Counts one who waits, for as long as he does.
        struct Waiting<'a>(&'a Shared);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let Handle { shared, config, .. } = &*self.handle;
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(shared);
        // Nothing lingers while someone waits.
        shared.wake.notify_one();
        match timeout_at(until, shared.room.acquire_many(permits)).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(ProducerError::Closed),
            Err(_) => Err(ProducerError::NoRoom {
                bytes: permits as usize,
                waited: config.max_block,
                buffer_bytes: config.buffer_bytes,
            }),
        }
    }

    async fn learn_topic(&self, topic: &str, until: Instant) -> Result<(), ProducerError> {
        let Handle { cluster, shared, config, .. } = &*self.handle;
        let names = [topic];
        let learnt = timeout(until.saturating_duration_since(Instant::now()), cluster.topic_metadata(&names)).await;
        let metadata: Arc<Metadata> = match learnt {
            Ok(Ok(metadata)) => metadata,
            Ok(Err(cause)) => return Err(ProducerError::Topic { topic: topic.to_owned(), cause: Box::new(cause) }),
            Err(_) => {
                return Err(ProducerError::TopicTimeout { topic: topic.to_owned(), waited: config.max_block });
            }
        };
        match metadata.topic(topic) {
            Some(known) => {
                shared.accumulator().update(known);
                Ok(())
            }
            None => Err(ProducerError::TopicTimeout { topic: topic.to_owned(), waited: config.max_block }),
        }
    }
}

/// Milliseconds since 1970, as records carry them.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
