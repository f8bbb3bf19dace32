//! One partition's batches between the first attempt and the last word, in the order of their sequences.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::identity::ProducerIdentity;
use super::{LinkId, RequestId};
use crate::producer::accumulator::BatchId;
use crate::producer::delivery::Outcome;
use crate::records::{Sequence, resequence};
use crate::retry::RetryPolicy;

/// A batch with a place in the sequence.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: BatchId,
    pub(super) outcome: Arc<Outcome>,
    pub(super) bytes: Bytes,
    pub(super) records: i32,
    pub(super) created: Instant,
    pub(super) charged_bytes: usize,
    /// Where it stands among the partition's batches; the parts of a split one share it.
    pub(super) ordinal: u64,
    pub(super) attempts: u32,
    pub(super) place: Place,
    /// An attempt ended without an answer that rules out that it was written.
    pub(super) unknown: bool,
    /// Its owner has been told that it timed out; only the sequence still cares for the answer.
    pub(super) abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    InFlight(RequestId, LinkId),
    Waiting,
}

/// What a partition can do on a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send this one again.
    Again(usize),
    /// Take a new batch.
    Fresh,
    /// Begin a new sequence first.
    Renumber,
    Wait,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) identity: Option<ProducerIdentity>,
    next_sequence: i32,
    pub(super) sent: VecDeque<Sent>,
    next_ordinal: u64,
    /// The latest batch that left without an acknowledgement. Until a later one is acknowledged nobody knows whether the
    /// broker expects the sequence that follows.
    missing: Option<u64>,
    /// The broker has said that it does not expect the sequence of the first batch.
    refused: bool,
    /// The connection on which a batch under `identity` has been acknowledged.
    ///
    /// A broker that has no record of an identity takes whatever sequence comes first. If the first of five requests were
    /// refused and the second taken, their order would be lost without an error. So a partition has one batch in flight
    /// until one is acknowledged, which proves that the broker at the other end counts along.
    proven: Option<LinkId>,
    /// Batches up to this one prove nothing: what acknowledges them may be the log before the one that the next are for.
    of_before: u64,
    failures: u32,
    retry_at: Option<Instant>,
    /// What the latest failure was, for messages.
    pub(super) trouble: Option<Arc<str>>,
}

impl Line {
    pub(super) fn turn(&self, link: LinkId, max_in_flight: usize, now: Instant) -> Turn {
        let in_flight = self.sent.iter().filter(|batch| batch.place != Place::Waiting).count();
        let waiting = self.sent.iter().position(|batch| batch.place == Place::Waiting);
        let first_waits = waiting == Some(0);
        // Answers for batches behind the first come before it is sent again, so that it meets no younger one on the way.
        if (first_waits && in_flight > 0) || self.retry_at.is_some_and(|at| at > now) {
            return Turn::Wait;
        }
        let lost = self.missing.is_some() && !self.sent.front().is_some_and(|first| first.unknown);
        if in_flight == 0 && (self.refused || lost) {
            return Turn::Renumber;
        }
        let before = waiting.unwrap_or(self.sent.len());
        let ordered = before == 0
            || (self.proven == Some(link)
                && before == in_flight
                && in_flight < max_in_flight
                && self.sent.iter().take(before).all(|b| matches!(b.place, Place::InFlight(_, on) if on == link)));
        match waiting {
            _ if !ordered => Turn::Wait,
            Some(at) => Turn::Again(at),
            None if self.missing.is_some() || self.refused => Turn::Wait,
            None => Turn::Fresh,
        }
    }

    /// Whether a batch waits to be sent again at `now`.
    pub(super) fn wants_again(&self, now: Instant) -> bool {
        self.waits() && self.retry_at.is_none_or(|at| at <= now)
    }

    /// Whether a batch is to be sent again, now or later.
    pub(super) fn waits(&self) -> bool {
        self.sent.iter().any(|batch| batch.place == Place::Waiting)
    }

    /// When to look again, if not before.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The sequence of the next new batch.
    pub(super) fn next(&self, identity: ProducerIdentity) -> Sequence {
        sequence(identity, self.next_sequence)
    }

    /// Appends a new batch, whose bytes carry [`Self::next`], and returns its index.
    pub(super) fn push(&mut self, mut batch: Sent) -> usize {
        self.next_ordinal += 1;
        batch.ordinal = self.next_ordinal;
        self.next_sequence = after(self.next_sequence, batch.records);
        self.sent.push_back(batch);
        self.sent.len() - 1
    }

    pub(super) fn position(&self, id: BatchId, request: RequestId) -> Option<usize> {
        let sent_with = |batch: &Sent| matches!(batch.place, Place::InFlight(with, _) if with == request);
        self.sent.iter().position(|batch| batch.id == id && sent_with(batch))
    }

    /// Takes out an acknowledged batch: the broker counts along, and all before it is written.
    pub(super) fn acknowledged(&mut self, at: usize, link: LinkId) -> Option<Sent> {
        let batch = self.sent.remove(at)?;
        if batch.ordinal > self.of_before {
            self.proven = Some(link);
        }
        self.failures = 0;
        self.retry_at = None;
        self.trouble = None;
        self.refused &= at != 0;
        if self.missing.is_some_and(|missing| missing < batch.ordinal) {
            self.missing = None;
        }
        Some(batch)
    }

    /// Takes out a batch that is given up.
    pub(super) fn give_up(&mut self, at: usize) -> Option<Sent> {
        let batch = self.sent.remove(at)?;
        self.missing = self.missing.max(Some(batch.ordinal));
        // Without the first there is no telling about the next.
        self.refused &= at != 0;
        Some(batch)
    }

    /// The first batch was refused for its sequence although nothing before it is open.
    pub(super) fn sequence_refused(&mut self) {
        self.refused = true;
    }

    /// Waits before the next attempt, longer each time. Failures of requests that were in flight together count once.
    pub(super) fn back_off(&mut self, policy: RetryPolicy, now: Instant, jitter: f64) {
        if self.retry_at.is_none_or(|at| at <= now) {
            self.failures += 1;
            self.retry_at = Some(now + policy.wait(self.failures, jitter));
        }
    }

    /// There is a new leader, or a topic made anew: no need to wait. Either may know nothing of the sequence.
    pub(super) fn new_leader(&mut self) {
        self.retry_at = None;
        self.proven = None;
        self.of_before = self.next_ordinal;
    }

    /// Begins a new sequence under `identity`, which no batch of this partition has been sent under. Nothing is in flight.
    /// Those whose outcome is unknown are taken out and returned: under another sequence they could be written twice.
    pub(super) fn renumber(&mut self, identity: ProducerIdentity) -> Vec<Sent> {
        let (unknown, known): (Vec<_>, Vec<_>) = self.sent.drain(..).partition(|batch| batch.unknown);
        self.identity = Some(identity);
        self.next_sequence = 0;
        self.missing = None;
        self.refused = false;
        self.proven = None;
        for mut batch in known {
            batch.bytes = resequence(batch.bytes, self.next(identity));
            self.next_sequence = after(self.next_sequence, batch.records);
            self.sent.push_back(batch);
        }
        unknown
    }

    /// Begins the first sequence.
    pub(super) fn begin(&mut self, identity: ProducerIdentity) {
        if self.identity.is_none() {
            self.identity = Some(identity);
        }
    }

    /// Replaces a batch by its parts, which take the same stretch of the sequence.
    pub(super) fn replace(&mut self, at: usize, parts: impl DoubleEndedIterator<Item = Sent>) -> Option<Sent> {
        let whole = self.sent.remove(at)?;
        for part in parts.rev() {
            self.sent.insert(at, part);
        }
        Some(whole)
    }
}

pub(super) fn sequence(identity: ProducerIdentity, base_sequence: i32) -> Sequence {
    Sequence { producer_id: identity.id, producer_epoch: identity.epoch, base_sequence }
}

/// The sequence `records` further on; 2147483647 is followed by 0 (`DefaultRecordBatch.incrementSequence`).
pub(super) fn after(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(after(i32::MAX, 1), 0);
        assert_eq!(after(i32::MAX - 1, 5), 3);
        assert_eq!(after(10, 5), 15);
    }
}
