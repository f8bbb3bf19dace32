//! What has been sent and not yet settled: sequences, requests in flight, retries, and when to give up.
//!
//! A plain state machine. The sender tells it what happened and when; it says what to send and what became of batches
//! ([`Effect`]). Its promises, which the simulation in `producer/tests.rs` holds it to:
//! - a batch that is acknowledged is in the log once, and a partition's batches are there in the order in which they were
//!   accepted;
//! - a batch whose outcome is unknown is only ever sent again under the same sequence, where the broker recognises it;
//! - a batch that fails with [`Written::No`] is not in the log and will not get there.

mod answers;
mod expiry;
mod identity;
mod line;
mod lines;
mod split;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::identity::Identities;
pub(crate) use self::identity::ProducerIdentity;
use self::line::{Line, Place, Sent, Turn};
use self::lines::Lines;
use super::accumulator::{BatchId, OpenBatch, PartitionKey, Ready};
use super::delivery::{Acknowledged, Outcome};
use super::error::DeliveryError;
use crate::cluster::ClusterError;
use crate::error::{ErrorCode, Written};
use crate::records::Compression;
use crate::retry::RetryPolicy;

/// A connection to a leader, told apart from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LinkId(pub(super) u64);

/// A produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RequestId(pub(super) u64);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) compression: Compression,
    pub(super) delivery_timeout: Duration,
    pub(super) max_in_flight: usize,
    pub(super) max_request_bytes: usize,
    pub(super) retry: RetryPolicy,
    /// Batches belong to transactions: their identity comes from a coordinator, and a gap in a sequence ends the transaction
    /// rather than the sequence.
    pub(super) transactional: bool,
}

/// What the sender is to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// Tell the owners, free the room.
    Settled {
        id: BatchId,
        outcome: Arc<Outcome>,
        result: Result<Acknowledged, DeliveryError>,
        records: u32,
        charged_bytes: usize,
    },
    /// Send who waits for the batch on to its parts.
    Split { id: BatchId, outcome: Arc<Outcome>, parts: Vec<(BatchId, i32, Arc<Outcome>)> },
    /// Ask for metadata.
    RefreshMetadata,
    /// Take over a leader that a broker has named.
    Leader { key: PartitionKey, leader: i32, epoch: i32 },
    /// These bytes are no longer needed.
    Spare(Bytes),
}

/// A request to send: one batch for each of its partitions.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: RequestId,
    pub(super) batches: Vec<(PartitionKey, Bytes)>,
}

/// What a broker answers for one partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionAnswer {
    pub(super) error: Option<ErrorCode>,
    pub(super) message: Option<Arc<str>>,
    pub(super) base_offset: i64,
    pub(super) append_time: Option<i64>,
    pub(super) log_start_offset: i64,
    /// The leader and its epoch, as the broker that is not it knows them.
    pub(super) leader: Option<(i32, i32)>,
}

/// Counters for [`ProducerMetrics`](super::ProducerMetrics).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: u64,
    pub(super) batches: u64,
    pub(super) retries: u64,
}

#[derive(Debug)]
struct Request {
    link: LinkId,
    batches: Vec<(PartitionKey, BatchId)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pipeline {
    settings: Settings,
    identities: Identities,
    lines: Lines,
    /// The lines that have a batch, and perhaps some that had one.
    busy: BTreeSet<PartitionKey>,
    /// Those with a batch that is to be sent again, and perhaps some that had one.
    again: BTreeSet<PartitionKey>,
    /// Nothing is given up for its age before this.
    expires_at: Option<Instant>,
    requests: HashMap<RequestId, Request>,
    next_request: u64,
    next_part: BatchId,
    /// The partition that the last request on a connection had no room for: the next one begins with it, so that partitions take turns
    /// and their batches grow meanwhile.
    turns: BTreeMap<LinkId, PartitionKey>,
    /// Why a broker cannot be reached, for messages.
    unreachable: HashMap<i32, Arc<str>>,
    effects: Vec<Effect>,
    counters: Counters,
}

/// What a partition has for a request.
enum NextBatch {
    /// This one of its line.
    At(usize),
    /// One that the request has no room for.
    NoRoom,
    None,
}

/// Connections whose turn is remembered; that of one that has ended is not worth more.
const MOST_TURNS: usize = 64;

/// Ids of parts are above those of whole batches.
const FIRST_PART: BatchId = 1 << 63;

/// What a partition takes in a request beside its batch.
const PARTITION_OVERHEAD_BYTES: usize = 32;

impl Pipeline {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            identities: Identities::default(),
            lines: Lines::default(),
            busy: BTreeSet::new(),
            again: BTreeSet::new(),
            expires_at: None,
            requests: HashMap::new(),
            next_request: 0,
            next_part: FIRST_PART,
            turns: BTreeMap::new(),
            unreachable: HashMap::new(),
            effects: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// What there is to do since the last call.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn wants_identity(&self) -> bool {
        self.identities.wanted()
    }

    pub(super) fn identity_granted(&mut self, identity: ProducerIdentity) {
        self.identities.granted(identity);
    }

    /// A transaction begins: all partitions go on under `identity`, from sequence 0 unless it is the one that they have.
    pub(super) fn begin_transaction(&mut self, identity: ProducerIdentity) {
        self.identities.granted(identity);
        for line in self.lines.iter_mut().filter(|line| line.identity != Some(identity)) {
            *line = Line::default();
        }
    }

    /// The open transaction will not be committed: settles all of it. What is under way may still be written. Returns whether
    /// a sequence may have a gap from it.
    pub(super) fn abandon(&mut self, unsent: Vec<(PartitionKey, OpenBatch)>) -> bool {
        let gap = !self.is_drained();
        let aborted = |outcome: &Outcome, written| DeliveryError::Aborted {
            topic: Arc::clone(&outcome.topic),
            partition: outcome.partition,
            written,
        };
        for line in self.lines.iter_mut() {
            let mut at = 0;
            while let Some(batch) = line.sent.get_mut(at) {
                let waits = batch.place == Place::Waiting;
                let written = if waits && !batch.unknown { Written::No } else { Written::Maybe };
                if !batch.abandoned {
                    let error = aborted(&batch.outcome, written);
                    self.effects.push(settled(batch, Err(error)));
                    batch.abandoned = true;
                }
                if waits {
                    line.give_up(at);
                } else {
                    at += 1;
                }
            }
        }
        for (_, batch) in unsent {
            let error = aborted(&batch.outcome, Written::No);
            self.effects.push(settled_unsent(batch, error));
        }
        gap
    }

    /// Requests in flight on a connection.
    pub(super) fn in_flight(&self, link: LinkId) -> usize {
        self.requests.values().filter(|request| request.link == link).count()
    }

    /// Whether no batch of a partition's present sequence waits or is under way.
    pub(super) fn is_drained(&self) -> bool {
        self.busy.iter().all(|key| self.lines.get(*key).is_none_or(|line| line.sent.is_empty()))
    }

    pub(super) fn in_flight_requests(&self) -> usize {
        self.requests.len()
    }

    /// Adds what waits to be sent again to what the accumulator has ready.
    pub(super) fn add_retries(
        &mut self,
        ready: &mut Ready,
        leader_of: impl Fn(PartitionKey) -> Option<i32>,
        now: Instant,
    ) {
        let mut again: BTreeMap<i32, Vec<PartitionKey>> = BTreeMap::new();
        let Self { lines, again: waiting, .. } = self;
        waiting.retain(|&key| {
            let Some(line) = lines.get(key) else { return false };
            let backs_off = line.retry_at().filter(|&at| at > now);
            if let Some(at) = backs_off {
                ready.next_at = Some(ready.next_at.map_or(at, |next| next.min(at)));
            }
            if line.wants_again(now) {
                match leader_of(key) {
                    Some(leader) => again.entry(leader).or_default().push(key),
                    None => ready.leaderless = true,
                }
            }
            backs_off.is_some() || line.waits()
        });
        for (leader, mut keys) in again {
            let known = ready.by_leader.entry(leader).or_default();
            keys.retain(|key| !known.contains(key));
            known.extend(keys);
            known.sort_unstable();
        }
    }

    /// The next request for a leader over its connection, out of the partitions `keys`; `None` if nothing can go now.
    ///
    /// `first_len` and `take` reach into the accumulator: the size of a partition's first batch, and the batch.
    pub(super) fn next_request(
        &mut self,
        link: LinkId,
        keys: &[PartitionKey],
        now: Instant,
        first_len: impl Fn(PartitionKey) -> Option<usize>,
        mut take: impl FnMut(PartitionKey) -> Option<OpenBatch>,
    ) -> Option<Outgoing> {
        if keys.is_empty() || self.in_flight(link) >= self.settings.max_in_flight {
            return None;
        }
        let id = RequestId(self.next_request);
        let mut outgoing = Outgoing { id, batches: Vec::new() };
        let mut request = Request { link, batches: Vec::new() };
        let mut bytes = 0;
        let start = self.turns.get(&link).map_or(0, |first| keys.partition_point(|key| key < first));
        let mut left_out = None;
        for &key in keys[start..].iter().chain(&keys[..start]) {
            let room = (bytes > 0).then(|| self.settings.max_request_bytes.saturating_sub(bytes));
            let at = match self.next_batch(key, link, now, room, &first_len, &mut take) {
                NextBatch::At(at) => at,
                NextBatch::None => continue,
                NextBatch::NoRoom => {
                    left_out = Some(key);
                    break;
                }
            };
            let Some(batch) = self.lines.get_mut(key).and_then(|line| line.sent.get_mut(at)) else { continue };
            batch.place = Place::InFlight(id, link);
            self.counters.retries += u64::from(batch.attempts > 0);
            self.counters.batches += 1;
            batch.attempts += 1;
            bytes += batch.bytes.len() + PARTITION_OVERHEAD_BYTES;
            outgoing.batches.push((key, batch.bytes.clone()));
            request.batches.push((key, batch.id));
        }
        if outgoing.batches.is_empty() {
            return None;
        }
        match left_out {
            Some(first) => drop(self.turns.insert(link, first)),
            None => drop(self.turns.remove(&link)),
        }
        if self.turns.len() > MOST_TURNS {
            self.turns.pop_first();
        }
        self.next_request += 1;
        self.counters.requests += 1;
        self.requests.insert(id, request);
        Some(outgoing)
    }

    /// Finds or makes the batch of a partition that goes next, if it fits into `room`.
    fn next_batch(
        &mut self,
        key: PartitionKey,
        link: LinkId,
        now: Instant,
        room: Option<usize>,
        first_len: &impl Fn(PartitionKey) -> Option<usize>,
        take: &mut impl FnMut(PartitionKey) -> Option<OpenBatch>,
    ) -> NextBatch {
        let max_in_flight = self.settings.max_in_flight;
        let mut turn = self.lines.of(key).turn(link, max_in_flight, now);
        if turn == Turn::Renumber && !self.settings.transactional {
            let line = self.lines.of(key);
            let Some(identity) = self.identities.newer_than(line.identity) else { return NextBatch::None };
            let unknown = line.renumber(identity);
            turn = line.turn(link, max_in_flight, now);
            self.again.insert(key);
            for batch in unknown {
                self.lose(batch);
            }
        }
        let fits = |len: usize| room.is_none_or(|room| len + PARTITION_OVERHEAD_BYTES <= room);
        let line = self.lines.of(key);
        match turn {
            Turn::Again(at) if fits(line.sent[at].bytes.len()) => NextBatch::At(at),
            Turn::Again(_) => NextBatch::NoRoom,
            Turn::Fresh => {
                match first_len(key) {
                    None => return NextBatch::None,
                    Some(len) if !fits(len) => return NextBatch::NoRoom,
                    Some(_) => {}
                }
                let Some(identity) = line.identity.or_else(|| self.identities.current()) else {
                    return NextBatch::None;
                };
                line.begin(identity);
                let sealed = take(key).and_then(|batch| self.seal(key, identity, batch));
                sealed.map_or(NextBatch::None, NextBatch::At)
            }
            Turn::Renumber | Turn::Wait => NextBatch::None,
        }
    }

    /// Gives a batch its sequence and its final form.
    fn seal(&mut self, key: PartitionKey, identity: ProducerIdentity, batch: OpenBatch) -> Option<usize> {
        let line = self.lines.get_mut(key)?;
        let OpenBatch { id, outcome, builder, created, charged_bytes, .. } = batch;
        let records = builder.count();
        self.busy.insert(key);
        let expires = created + self.settings.delivery_timeout;
        self.expires_at = Some(self.expires_at.map_or(expires, |at| at.min(expires)));
        match builder.finish(line.next(identity), self.settings.compression, self.settings.transactional) {
            Ok(bytes) => Some(line.push(Sent {
                id,
                outcome,
                bytes,
                records,
                created,
                charged_bytes,
                ordinal: 0,
                attempts: 0,
                place: Place::Waiting,
                unknown: false,
                abandoned: false,
            })),
            Err(error) => {
                let (topic, partition) = (Arc::clone(&outcome.topic), outcome.partition);
                let result = Err(DeliveryError::Unencodable { topic, partition, problem: error.to_string().into() });
                let records = records.unsigned_abs();
                self.effects.push(Effect::Settled { id, outcome, result, records, charged_bytes });
                None
            }
        }
    }

    /// A leader's connection could not be made.
    pub(super) fn unreachable(&mut self, broker: i32, why: Arc<str>) {
        self.unreachable.insert(broker, why);
    }

    pub(super) fn reachable(&mut self, broker: i32) {
        self.unreachable.remove(&broker);
    }

    /// Leaders have changed: what waits for its turn need not wait for the clock as well.
    pub(super) fn leaders_changed(&mut self) {
        self.lines.iter_mut().for_each(Line::new_leader);
    }

    /// No producer id will be granted: nothing of this can ever be sent.
    pub(super) fn identity_refused(&mut self, cause: &ClusterError, unsent: Vec<(PartitionKey, OpenBatch)>) {
        for (_, batch) in unsent {
            let topic = Arc::clone(&batch.outcome.topic);
            let error = DeliveryError::NoProducerId { topic, cause: Box::new(cause.clone()) };
            self.effects.push(settled_unsent(batch, error));
        }
    }

    /// The producer ends: settles everything, as far as it is known.
    pub(super) fn close(&mut self, unsent: Vec<(PartitionKey, OpenBatch)>) {
        let closed = |outcome: &Outcome, written| DeliveryError::Closed {
            topic: Arc::clone(&outcome.topic),
            partition: outcome.partition,
            written,
        };
        for mut line in self.lines.take() {
            for batch in line.sent.iter_mut().filter(|batch| !batch.abandoned) {
                let known = batch.place == Place::Waiting && !batch.unknown;
                let written = if known { Written::No } else { Written::Maybe };
                let error = closed(&batch.outcome, written);
                self.effects.push(settled(batch, Err(error)));
            }
        }
        for (_, batch) in unsent {
            let error = closed(&batch.outcome, Written::No);
            self.effects.push(settled_unsent(batch, error));
        }
        self.requests.clear();
    }
}

/// The effect that settles `batch`; what it held of the buffer is given back with it.
fn settled(batch: &mut Sent, result: Result<Acknowledged, DeliveryError>) -> Effect {
    Effect::Settled {
        id: batch.id,
        outcome: Arc::clone(&batch.outcome),
        result,
        records: batch.records.unsigned_abs(),
        charged_bytes: std::mem::take(&mut batch.charged_bytes),
    }
}

fn settled_unsent(batch: OpenBatch, error: DeliveryError) -> Effect {
    let OpenBatch { id, outcome, builder, charged_bytes, .. } = batch;
    Effect::Settled { id, outcome, result: Err(error), records: builder.count().unsigned_abs(), charged_bytes }
}
