//! Fetch sessions (KIP-227): what a client fetches and what it was told of it, so that a fetch names only what changes.
//!
//! A session belongs to the broker and not to a connection or a principal. It remembers no right to read: whoever uses it is
//! authorized for each partition of each fetch. One fetch is two calls, [`FetchSessions::begin`] and, when there is something to tell,
//! [`FetchSessions::open`] or [`FetchSessions::answered`]; in between it may wait, and others may use the table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::topics::MAX_PARTITIONS_IN_ALL;

/// What an answer carries that belongs to no session.
pub(crate) const NO_SESSION: i32 = 0;
/// A full fetch that asks for a session.
const INITIAL_EPOCH: i32 = 0;
/// A full fetch that wants none.
const FINAL_EPOCH: i32 = -1;
/// The offset of what is not known, in requests and answers.
const UNKNOWN_OFFSET: i64 = -1;

/// `max.incremental.fetch.session.cache.slots`
const MAX_SESSIONS: usize = 1000;
/// `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`
const EVICTION: Duration = Duration::from_secs(120);
/// What all sessions together may hold, names and all; Kafka has no such bound. It is 130,000 partitions by their topics' ids.
const MAX_BYTES: usize = 32 << 20;
/// About what a partition takes in a session, its topic's name aside.
const PARTITION_BYTES: usize = 256;

/// How a request names a topic. A session keeps to one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    /// Up to version 12.
    Name(Arc<str>),
    /// From version 13 on (KIP-516).
    Id(Uuid),
}

/// A partition as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PartitionKey {
    pub(crate) topic: TopicKey,
    pub(crate) index: i32,
}

/// What a client wants of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) offset: i64,
    pub(crate) max_bytes: usize,
    /// The leader epoch that the client believes in, or -1.
    pub(crate) leader_epoch: i32,
}

/// What a fetch found in a partition, as far as it decides whether the client is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
    pub(crate) has_records: bool,
    pub(crate) has_error: bool,
}

/// A partition of a fetch.
#[derive(Debug, Clone)]
pub(crate) struct FetchedPartition {
    pub(crate) key: PartitionKey,
    /// The topic's name. An id that is unknown has none yet; once found it stays, so that a topic that was deleted is known by name.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) wanted: Wanted,
    /// What the client was told last.
    high_watermark: i64,
    log_start: i64,
}

impl FetchedPartition {
    fn new(key: PartitionKey, wanted: Wanted) -> Self {
        let name = match &key.topic {
            TopicKey::Name(name) => Some(Arc::clone(name)),
            TopicKey::Id(_) => None,
        };
        Self { key, name, wanted, high_watermark: UNKNOWN_OFFSET, log_start: UNKNOWN_OFFSET }
    }

    fn find_name(&mut self, name_of: &dyn Fn(Uuid) -> Option<Arc<str>>) {
        if let (None, TopicKey::Id(id)) = (&self.name, &self.key.topic) {
            self.name = name_of(*id);
        }
    }

    /// Whether a client that remembers the last answer has to be told of this.
    pub(crate) fn is_news(&self, found: &Found) -> bool {
        found.has_records
            || found.has_error
            || found.high_watermark != self.high_watermark
            || found.log_start != self.log_start
    }

    /// Remembers that the client is told. After an error it knows nothing, so that it is told again when the error has gone.
    fn remember(&mut self, found: &Found) {
        self.high_watermark = if found.has_error { UNKNOWN_OFFSET } else { found.high_watermark };
        self.log_start = found.log_start;
    }
}

/// The partitions of one fetch or session, in the order in which they take their turns.
#[derive(Debug, Default)]
struct Partitions {
    turns: HashMap<PartitionKey, u64>,
    in_turn: BTreeMap<u64, FetchedPartition>,
    next_turn: u64,
    bytes: usize,
}

impl Partitions {
    fn of(named: &[(PartitionKey, Wanted)]) -> Self {
        let mut partitions = Self::default();
        partitions.want(named);
        partitions
    }

    /// Adds what is not there and changes what is. What is named twice is wanted as it was named last.
    fn want(&mut self, named: &[(PartitionKey, Wanted)]) {
        for (key, wanted) in named {
            match self.turns.get(key).and_then(|turn| self.in_turn.get_mut(turn)) {
                Some(partition) => partition.wanted = *wanted,
                None => self.push(FetchedPartition::new(key.clone(), *wanted)),
            }
        }
    }

    /// Adds a partition that is not there, at the end.
    fn push(&mut self, partition: FetchedPartition) {
        self.bytes += Self::bytes_of(&partition.key);
        self.turns.insert(partition.key.clone(), self.next_turn);
        self.in_turn.insert(self.next_turn, partition);
        self.next_turn += 1;
    }

    fn remove(&mut self, key: &PartitionKey) -> Option<FetchedPartition> {
        let partition = self.in_turn.remove(&self.turns.remove(key)?)?;
        self.bytes -= Self::bytes_of(key);
        Some(partition)
    }

    fn forget(&mut self, keys: &[PartitionKey]) {
        for key in keys {
            self.remove(key);
        }
        // Or what was forgotten would still take its room here, uncounted.
        self.turns.shrink_to(2 * self.turns.len());
    }

    /// Clients can name what does not exist, with names of any length.
    fn bytes_of(key: &PartitionKey) -> usize {
        match &key.topic {
            TopicKey::Name(name) => PARTITION_BYTES + name.len(),
            TopicKey::Id(_) => PARTITION_BYTES,
        }
    }

    /// Looks up the names that are not known yet and returns all partitions, in turn.
    fn look_up(&mut self, name_of: &dyn Fn(Uuid) -> Option<Arc<str>>) -> Vec<FetchedPartition> {
        let mut found = Vec::with_capacity(self.in_turn.len());
        found.extend(self.in_turn.values_mut().map(|partition| {
            partition.find_name(name_of);
            partition.clone()
        }));
        found
    }

    fn len(&self) -> usize {
        self.in_turn.len()
    }
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next fetch has to come with.
    epoch: i32,
    uses_topic_ids: bool,
    partitions: Partitions,
    created: Instant,
    last_used: Instant,
}

/// What a Fetch says of its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_topic_ids: bool,
}

/// How a fetch is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answering {
    /// All is told, and nothing is remembered.
    Sessionless,
    /// All is told, and a session is asked for.
    Full,
    /// Only news is told. `epoch` is the one that the session has now.
    Incremental { id: i32, epoch: i32 },
}

/// A fetch that may be carried out.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) answering: Answering,
    /// In the order in which they are to be read.
    pub(crate) partitions: Vec<FetchedPartition>,
}

/// All sessions of a broker.
#[derive(Debug, Default)]
pub(crate) struct FetchSessions(HashMap<i32, Session>);

impl FetchSessions {
    /// Begins a fetch that names `named` and wants no more of `forgotten`. `name_of` finds the name of a topic id.
    ///
    /// # Errors
    ///
    /// The session does not exist (any more), expects another epoch, or names topics the other way.
    pub(crate) fn begin(
        &mut self,
        request: SessionRequest,
        named: &[(PartitionKey, Wanted)],
        forgotten: &[PartitionKey],
        name_of: &dyn Fn(Uuid) -> Option<Arc<str>>,
        now: Instant,
    ) -> Result<Begun, ResponseError> {
        let SessionRequest { id, epoch, uses_topic_ids } = request;
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.0.remove(&id);
            let answering = if epoch == FINAL_EPOCH { Answering::Sessionless } else { Answering::Full };
            return Ok(Begun { answering, partitions: Partitions::of(named).look_up(name_of) });
        }
        let session = self.0.get_mut(&id).ok_or(ResponseError::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        let bytes_before = session.partitions.bytes;
        session.partitions.want(named);
        session.partitions.forget(forgotten);
        if session.partitions.len() == 0 {
            self.0.remove(&id);
            return Ok(Begun { answering: Answering::Sessionless, partitions: Partitions::of(named).look_up(name_of) });
        }
        session.last_used = now;
        session.epoch = next_epoch(epoch);
        let (epoch, size) = (session.epoch, session.partitions.len());
        let has_grown = session.partitions.bytes > bytes_before;
        let partitions = session.partitions.look_up(name_of);
        if has_grown && !self.make_room(0, size, 0, now) {
            // As if it had been evicted: the client begins anew, and is told that there is no session for so much.
            self.0.remove(&id);
            return Err(ResponseError::FetchSessionIdNotFound);
        }
        Ok(Begun { answering: Answering::Incremental { id, epoch }, partitions })
    }

    /// Makes a session of what a full fetch has told, and returns its id, or [`NO_SESSION`] when there is no room. `random` is to be a
    /// positive number.
    pub(crate) fn open(
        &mut self,
        uses_topic_ids: bool,
        told: Vec<(FetchedPartition, Found)>,
        now: Instant,
        mut random: impl FnMut() -> i32,
    ) -> i32 {
        let mut partitions = Partitions::default();
        for (mut partition, found) in told {
            partition.remember(&found);
            partitions.push(partition);
        }
        if !self.make_room(1, partitions.len(), partitions.bytes, now) {
            return NO_SESSION;
        }
        let id = loop {
            let id = random();
            if id > NO_SESSION && !self.0.contains_key(&id) {
                break id;
            }
        };
        let epoch = next_epoch(INITIAL_EPOCH);
        self.0.insert(id, Session { epoch, uses_topic_ids, partitions, created: now, last_used: now });
        id
    }

    /// Notes what an incremental fetch tells its client. What came with records is at the end of the queue now, so that all
    /// partitions get their turn although an answer has room for few.
    ///
    /// # Errors
    ///
    /// Another request has used the session meanwhile. If it was closed instead, the answer is still good.
    pub(crate) fn answered(
        &mut self,
        id: i32,
        epoch: i32,
        told: &[(FetchedPartition, Found)],
    ) -> Result<(), ResponseError> {
        let Some(session) = self.0.get_mut(&id) else { return Ok(()) };
        if session.epoch != epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        let Partitions { turns, in_turn, .. } = &mut session.partitions;
        for (partition, found) in told {
            if let Some(partition) = turns.get(&partition.key).and_then(|turn| in_turn.get_mut(turn)) {
                partition.remember(found);
            }
        }
        for (partition, _) in told.iter().filter(|(_, found)| found.has_records) {
            if let Some(partition) = session.partitions.remove(&partition.key) {
                session.partitions.push(partition);
            }
        }
        Ok(())
    }

    /// Evicts sessions until there is room for so many more, of so many bytes, on behalf of one of `size` partitions. There is none
    /// for more partitions than the broker can have: a small request would be answered with all of them.
    fn make_room(&mut self, sessions: usize, size: usize, bytes: usize, now: Instant) -> bool {
        if size > MAX_PARTITIONS_IN_ALL || bytes > MAX_BYTES {
            return false;
        }
        let mut kept: usize = self.0.values().map(|session| session.partitions.bytes).sum();
        while self.0.len() + sessions > MAX_SESSIONS || kept + bytes > MAX_BYTES {
            let Some(evicted) = self.evictable(size, now).and_then(|id| self.0.remove(&id)) else {
                return false;
            };
            kept -= evicted.partitions.bytes;
        }
        true
    }

    /// The session to go first for one of `size` partitions: one that has long not been used, or else the smallest of those that have
    /// been used for long, if it is smaller.
    fn evictable(&self, size: usize, now: Instant) -> Option<i32> {
        let (id, oldest) = self.0.iter().min_by_key(|(id, session)| (session.last_used, **id))?;
        if now.saturating_duration_since(oldest.last_used) > EVICTION {
            return Some(*id);
        }
        let established = self.0.iter().filter(|(_, session)| session.last_used - session.created > EVICTION);
        let (id, smallest) = established.min_by_key(|(id, session)| (session.partitions.len(), **id))?;
        (smallest.partitions.len() < size).then_some(*id)
    }
}

const fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;
