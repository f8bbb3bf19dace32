//! Finding out where to begin: what the group has committed, else what `auto.offset.reset` says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Done, Task};
use crate::TopicPartition;
use crate::cluster::{ClusterError, Metadata};
use crate::consumer::calls::{PerPartition, list_offsets};
use crate::consumer::error::ConsumerError;
use crate::consumer::partitions::{ListedAt, Place, Want};
use crate::consumer::positions::Position;
use crate::error::ErrorCode;
use crate::group::member::Member;

/// How often a position is asked for that an open transaction is about to commit. Whoever waits for it cannot do anything
/// else, and the transaction's end is a matter of milliseconds unless its producer has died.
pub(super) const UNSTABLE: Duration = Duration::from_millis(100);

impl Task {
    /// Asks for the places that are not known yet.
    pub(super) fn locate(&mut self, committed: Vec<Want>, listed: Vec<(Want, ListedAt)>, now: Instant) {
        if !committed.is_empty() {
            self.ask_coordinator(committed);
        }
        let metadata = self.cluster.metadata();
        let mut by_leader: BTreeMap<i32, Vec<(Want, ListedAt)>> = BTreeMap::new();
        for (want, at) in listed {
            match metadata.leader(&want.partition.topic, want.partition.partition) {
                Some((leader, _)) => by_leader.entry(leader).or_default().push((want, at)),
                None => {
                    self.cluster.metadata_is_stale();
                    self.try_again_at_once(&want, now);
                }
            }
        }
        for (leader, wants) in by_leader {
            let (cluster, isolation_level) = (self.cluster.clone(), self.config.isolation_level);
            self.start(async move {
                let answer = list_offsets(&cluster, leader, &wants, isolation_level).await;
                Done::Listed(wants, answer)
            });
        }
    }

    fn ask_coordinator(&self, wants: Vec<Want>) {
        let Some(group) = &self.group else { return };
        let calls = group.calls.clone();
        // Only a member of the consumer protocol signs its questions.
        let incremental = group.member.as_ref().filter(|member| matches!(member, Member::Incremental(_)));
        let asks = incremental.and_then(Member::signature);
        let require_stable = self.config.requires_stable();
        self.start(async move {
            let partitions: Vec<TopicPartition> = wants.iter().map(|want| want.partition.clone()).collect();
            let answer = calls.committed(&partitions, require_stable, asks.as_ref()).await;
            Done::Located(wants, answer)
        });
    }

    pub(super) fn located(
        &mut self,
        wants: Vec<Want>,
        answer: Result<PerPartition<Option<Position>>, ClusterError>,
        now: Instant,
    ) {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.not_located(&wants, error, now),
        };
        for want in wants {
            match answer.remove(&want.partition) {
                Some(Ok(Some(position))) => {
                    tracing::debug!(partition = %want.partition, offset = position.offset, "begins where the group left off");
                    self.shared.lock().partitions.locate(&want, Place::At(position));
                }
                Some(Ok(None)) => match ListedAt::of(self.config.auto_offset_reset) {
                    Some(at) => self.shared.lock().partitions.locate(&want, Place::Listed(at)),
                    None => {
                        let group = self.config.group_id.clone().unwrap_or_default();
                        self.halt(&want, ConsumerError::NoOffset { group, partition: want.partition.clone() });
                    }
                },
                Some(Err(ErrorCode::UNSTABLE_OFFSET_COMMIT)) => {
                    tracing::debug!(partition = %want.partition, "waits for a transaction that commits its position to end");
                    self.shared.lock().partitions.retry(&want, now, |_| UNSTABLE);
                }
                Some(Err(code)) if code.is_retriable() => self.try_again(&want, now),
                Some(Err(code)) => self.refuse(&want, 0, code),
                None => self.try_again(&want, now),
            }
        }
    }

    pub(super) fn listed(
        &mut self,
        wants: Vec<(Want, ListedAt)>,
        answer: Result<PerPartition<Option<Position>>, ClusterError>,
        now: Instant,
    ) {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let wants: Vec<Want> = wants.into_iter().map(|(want, _)| want).collect();
                return self.not_located(&wants, error, now);
            }
        };
        for (want, at) in wants {
            match answer.remove(&want.partition) {
                Some(Ok(Some(position))) => {
                    // The epoch that ListOffsets returns is of the record at the offset, not of the one before it.
                    let place = Place::At(Position::at(position.offset));
                    tracing::debug!(partition = %want.partition, offset = position.offset, ?at, "begins by offset reset");
                    self.shared.lock().partitions.locate(&want, place);
                }
                // No record is so late: go on with what comes next.
                Some(Ok(None)) => self.shared.lock().partitions.locate(&want, Place::Listed(ListedAt::Latest)),
                Some(Err(code)) if code.is_retriable() => {
                    if code.refreshes_metadata() {
                        self.cluster.metadata_is_stale();
                    }
                    self.try_again(&want, now);
                }
                Some(Err(code)) => self.refuse(&want, 0, code),
                None => self.try_again(&want, now),
            }
        }
    }

    fn not_located(&mut self, wants: &[Want], error: ClusterError, now: Instant) {
        let epoch = |code| matches!(code, ErrorCode::STALE_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID);
        if error.is_retriable() || error.code().is_some_and(epoch) {
            tracing::debug!("positions are not known yet: {error}");
            if let Some(group) = self.group.as_ref().filter(|_| error.code().is_none_or(ErrorCode::moves_coordinator)) {
                group.calls.forget_coordinator();
            }
        } else {
            self.shared.fail(ConsumerError::Cluster(error));
        }
        for want in wants {
            self.try_again(want, now);
        }
    }

    /// A topic that was deleted and created again has another log: where the application stood in the old one means nothing there.
    pub(super) fn leave_deleted_logs(&mut self, metadata: &Metadata) {
        for topic in metadata.topics().filter(|topic| !topic.id.is_nil()) {
            let before = self.topic_ids.insert(Arc::clone(&topic.name), topic.id);
            if before.is_none_or(|before| before == topic.id) {
                continue;
            }
            let reset = self.config.auto_offset_reset;
            let place = ListedAt::of(reset).map_or(Place::Halted, Place::Listed);
            // By itself: in the head of the loop the lock would be held through it.
            let stood = self.shared.lock().partitions.new_log(&topic.name, place);
            for (partition, stood) in stood {
                tracing::warn!(
                    %partition, offset = stood, auto_offset_reset = ?reset,
                    "the topic was deleted and created again; going on as auto.offset.reset says"
                );
                if place == Place::Halted {
                    self.shared.fail(ConsumerError::OffsetOutOfRange { partition, offset: stood, log_start: -1 });
                }
            }
        }
    }

    pub(super) fn try_again(&mut self, want: &Want, now: Instant) {
        let (retry, jitter) = (self.retry, self.rng.f64());
        self.shared.lock().partitions.retry(want, now, |failures| retry.wait(failures, jitter));
    }

    /// As [`try_again`](Self::try_again), but hardly waits at first: a consumer that begins knows no leader yet, and will within
    /// a round trip.
    fn try_again_at_once(&mut self, want: &Want, now: Instant) {
        const AT_ONCE_MS: [u64; 4] = [5, 10, 20, 40];
        let (retry, jitter) = (self.retry, self.rng.f64());
        let wait = |failures: u32| match AT_ONCE_MS.get(failures.saturating_sub(1) as usize) {
            Some(wait) => Duration::from_millis(*wait),
            None => retry.wait(failures - AT_ONCE_MS.len() as u32, jitter),
        };
        self.shared.lock().partitions.retry(want, now, wait);
    }

    /// Stops a partition and says why, once.
    pub(super) fn halt(&mut self, want: &Want, error: ConsumerError) {
        if self.shared.lock().partitions.halt(want) {
            tracing::warn!(partition = %want.partition, "{error}");
            self.shared.fail(error);
        }
    }

    pub(super) fn refuse(&mut self, want: &Want, offset: i64, code: ErrorCode) {
        let partition = want.partition.clone();
        let error = if code.is_authorization() {
            ConsumerError::NotAuthorized { topic: partition.topic }
        } else {
            ConsumerError::Refused { partition, offset, code }
        };
        self.halt(want, error);
    }
}
