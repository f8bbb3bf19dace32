//! The task's fetches: one at a time to each broker, within the budget.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Done, Task};
use crate::TopicPartition;
use crate::consumer::budget::Reservation;
use crate::consumer::config::OffsetReset;
use crate::consumer::error::ConsumerError;
use crate::consumer::fetch::{Fetch, Fetched, Outcome, PartitionOutcome, TopicOutcome};
use crate::consumer::fetch_sessions::Ended;
use crate::consumer::partitions::{Leader, ListedAt, Place, Want};
use crate::consumer::positions::Position;
use crate::consumer::reading::{Chunk, next_fetch};
use crate::consumer::shared::Application;
use crate::error::ErrorCode;

/// How long a fetch may be held back while other partitions of the broker are left out of it: they are taken in as soon as the
/// application has made room, and must not wait a whole `fetch.max.wait.ms` for it.
const SHORT_WAIT: Duration = Duration::from_millis(50);

impl Task {
    /// Looks at the partitions to which something has happened: asks what must be known of them, and changes what is to be fetched.
    pub(super) fn look(&mut self, now: Instant) {
        let metadata = self.cluster.metadata();
        let leader = |partition: &TopicPartition| {
            let topic = metadata.topic(&partition.topic)?;
            let known = topic.partition(partition.partition)?;
            Some(Leader { broker: known.leader?, epoch: known.leader_epoch, topic_id: topic.id })
        };
        let (wants, leaderless) = {
            let mut state = self.shared.lock();
            let wants = state.partitions.look(now, self.config.max_partition_fetch_bytes, leader);
            (wants, state.partitions.any_without_leader())
        };
        if leaderless {
            self.cluster.metadata_is_stale();
        }
        for (partition, wish) in wants.wishes {
            self.fetches.wish(partition, wish);
        }
        self.locate(wants.committed, wants.listed, now);
        self.check_epochs(wants.unchecked);
    }

    /// Starts a fetch to every broker that is free and leads a partition with room.
    pub(super) fn fetch(&mut self, now: Instant) {
        self.away.retain(|broker, (_, at)| *at > now || self.fetches.is_under_way(*broker));
        let idle: Vec<(i32, usize)> =
            self.fetches.idle().filter(|(broker, _)| !self.away.contains_key(broker)).collect();
        for (broker, partitions) in idle {
            let Some(room) = self.room(partitions) else { break };
            let ask = self.fetches.begin(broker);
            let fetch = Fetch {
                broker,
                consumer: self.consumer,
                max_wait: if ask.some_later {
                    self.config.fetch_max_wait.min(SHORT_WAIT)
                } else {
                    self.config.fetch_max_wait
                },
                ask,
                min_bytes: self.config.fetch_min_bytes,
                max_partition_bytes: self.config.max_partition_fetch_bytes,
                isolation_level: self.config.isolation_level,
                room,
            };
            let (cluster, patience) = (self.cluster.clone(), self.cluster.config().request_timeout);
            self.start(async move { Done::Fetched(fetch.run(cluster, patience).await) });
        }
    }

    /// Room for the answer to one fetch of so many partitions.
    fn room(&self, partitions: usize) -> Option<Reservation> {
        let each = self.config.max_partition_fetch_bytes;
        let wanted = each.saturating_mul(partitions).min(self.config.fetch_max_bytes);
        let least = each.min(wanted);
        self.budget.reserve(wanted, least).or_else(|| {
            let state = self.shared.lock();
            let starving = state.application == Application::Polling && state.partitions.is_drained();
            (starving && !self.fetches.any_under_way()).then(|| self.budget.reserve_anyway(least))
        })
    }

    pub(super) fn fetched(&mut self, fetched: Fetched, now: Instant) {
        let Fetched { broker, outcome, held } = fetched;
        let (session_id, topics) = match outcome {
            Outcome::Answered { session_id, topics } => (session_id, topics),
            Outcome::SessionLost(code) => {
                tracing::debug!(broker, %code, "the broker has lost the fetch session");
                let unknown = code == ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
                if !self.fetches.ended(broker, if unknown { Ended::Unknown } else { Ended::Failed }) {
                    self.back_off(broker, now);
                }
                return;
            }
            Outcome::Failed(error) => {
                tracing::debug!(broker, "fetch failed: {error}");
                self.fetches.ended(broker, Ended::Failed);
                self.back_off(broker, now);
                self.cluster.metadata_is_stale();
                if error.is_fatal() {
                    self.shared.fail(ConsumerError::Cluster(error));
                }
                return;
            }
        };
        self.away.remove(&broker);
        let mut came = false;
        for TopicOutcome { id, name, partitions } in topics {
            for outcome in partitions {
                // What nobody asked for is ignored.
                let asked = self.fetches.asked(broker, (id, name.as_str()), outcome.partition);
                let Some((partition, start)) = asked else { continue };
                let (want, from) = (Want { partition, stamp: start.stamp }, start.position);
                came |= self.take_outcome(&want, from, outcome, &held, now);
            }
        }
        self.fetches.ended(broker, Ended::Answered { session_id });
        if came {
            self.shared.application.notify_one();
        }
    }

    /// Leaves a broker alone for a while.
    fn back_off(&mut self, broker: i32, now: Instant) {
        let failures = self.away.get(&broker).map_or(0, |(failures, _)| *failures) + 1;
        self.away.insert(broker, (failures, now + self.retry.wait(failures, self.rng.f64())));
    }

    /// Queues what came for a partition, or does what its error calls for; says whether something was queued.
    fn take_outcome(
        &mut self,
        want: &Want,
        from: Position,
        outcome: PartitionOutcome,
        held: &Arc<Reservation>,
        now: Instant,
    ) -> bool {
        if !self.shared.lock().partitions.awaits(want, from) {
            return false;
        }
        if let Some(code) = outcome.code {
            self.partition_failed(want, from, &outcome, code, now);
            return false;
        }
        if let Some(end) = outcome.diverged {
            self.truncated(want, from, end);
            return false;
        }
        let mut state = self.shared.lock();
        state.partitions.reached(want, outcome.readable_end);
        if outcome.records.is_empty() {
            return false;
        }
        let Some(next) = next_fetch(&outcome.records) else {
            drop(state);
            let partition = want.partition.clone();
            let problem = format!("{} bytes came and no whole batch in them", outcome.records.len()).into();
            let (offset, next_offset) = (from.offset, from.offset.saturating_add(1));
            self.halt(want, ConsumerError::Corrupt { partition, offset, next_offset, problem });
            return false;
        };
        let chunk = Chunk {
            partition: want.partition.clone(),
            stamp: want.stamp,
            records: outcome.records,
            from,
            high_watermark: outcome.high_watermark,
            aborted: outcome.aborted,
            held: Arc::clone(held),
        };
        // A broker that sent what lies behind us would have us ask for the same again and again.
        let next =
            if next.offset > from.offset { next } else { Position { offset: from.offset.saturating_add(1), ..next } };
        state.partitions.queue(chunk, next);
        true
    }

    fn partition_failed(
        &mut self,
        want: &Want,
        from: Position,
        outcome: &PartitionOutcome,
        code: ErrorCode,
        now: Instant,
    ) {
        let partition = &want.partition;
        tracing::debug!(%partition, offset = from.offset, %code, "fetch");
        if let Some((leader, epoch)) = outcome.leader {
            self.cluster.leader_hint(&partition.topic, partition.partition, leader, epoch);
        }
        match code {
            ErrorCode::OFFSET_OUT_OF_RANGE => self.out_of_range(want, from, outcome.log_start),
            ErrorCode::CORRUPT_MESSAGE => {
                let (offset, next_offset) = (from.offset, from.offset.saturating_add(1));
                let problem = "the broker cannot read it either (CORRUPT_MESSAGE)".into();
                self.halt(want, ConsumerError::Corrupt { partition: partition.clone(), offset, next_offset, problem });
            }
            code if code.is_retriable() => {
                if code.refreshes_metadata() {
                    self.cluster.metadata_is_stale();
                }
                self.try_again(want, now);
            }
            code => self.refuse(want, from.offset, code),
        }
    }

    fn out_of_range(&mut self, want: &Want, from: Position, log_start: i64) {
        let partition = &want.partition;
        match ListedAt::of(self.config.auto_offset_reset) {
            Some(at) => {
                tracing::warn!(
                    %partition, offset = from.offset, log_start, auto_offset_reset = ?at,
                    "the offset is not in the log; going on as auto.offset.reset says"
                );
                self.shared.lock().partitions.locate(want, Place::Listed(at));
            }
            None => {
                let (partition, offset) = (partition.clone(), from.offset);
                self.halt(want, ConsumerError::OffsetOutOfRange { partition, offset, log_start });
            }
        }
    }

    /// The log was cut off behind us by an election (KIP-320): what was read beyond its end is no more.
    pub(super) fn truncated(&mut self, want: &Want, from: Position, end: Position) {
        let mut state = self.shared.lock();
        let application = state.partitions.position(&want.partition);
        let reset = self.config.auto_offset_reset != OffsetReset::None;
        let Some(position) = after_truncation(application, from, end, reset) else {
            drop(state);
            let (partition, offset) = (want.partition.clone(), from.offset);
            return self.halt(want, ConsumerError::Truncated { partition, offset, log_end: end.offset });
        };
        tracing::warn!(
            partition = %want.partition, read_to = from.offset, log_end = end.offset,
            "the log was truncated; reading on from its new end"
        );
        if state.partitions.is_current(&want.partition, want.stamp) {
            state.partitions.seek(&want.partition, Place::At(position));
        }
    }
}

/// Where to read on in a log that ends at `end` after it was fetched up to `from`; `None` if that is the application's to say,
/// because it has records that are gone and `auto.offset.reset` is none (Java's `LogTruncationException`).
///
/// What is queued may be of the part that is gone, so it is dropped and fetched again from where the application stands. That
/// goes without an epoch: the one of the part that is gone would only be answered with the same end again.
fn after_truncation(application: Option<Position>, from: Position, end: Position, reset: bool) -> Option<Position> {
    match application.filter(|at| at.offset <= end.offset) {
        Some(at) => Some(Position::at(at.offset)),
        None if end.offset >= from.offset => Some(Position::at(from.offset)),
        None => reset.then_some(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_cut_off_is_read_on_from_what_is_left_unless_records_are_gone_and_there_is_no_rule() {
        let at = Position::at;
        let (from, end) = (at(20), at(10));
        let of_a_lost_epoch = Position::from_wire(8, 5);
        assert_eq!(
            after_truncation(Some(of_a_lost_epoch), from, end, false),
            Some(at(8)),
            "only what is queued is gone"
        );
        assert_eq!(after_truncation(Some(at(15)), from, end, true), Some(end));
        assert_eq!(after_truncation(Some(at(15)), from, end, false), None);
        assert_eq!(after_truncation(Some(at(20)), from, at(20), false), Some(at(20)), "nothing is gone");
    }
}
