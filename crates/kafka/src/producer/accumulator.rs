//! Records that wait to be sent: a queue of batches for each partition, the last of which is being filled.
//!
//! `send` encodes a record here while it holds the lock; the sender takes whole batches out. A batch stays here, and
//! grows, until there is a connection with room for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::delivery::{Outcome, Span};
use super::partitioner::{Sticky, partition_of_key};
use super::record::Record;
use crate::cluster::Topic;
use crate::records::{BatchBuilder, NewRecord};

/// A partition, by the topic's place in the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PartitionKey {
    pub(super) topic: usize,
    pub(super) partition: i32,
}

/// Identifies a batch from its first record until it is settled.
pub(super) type BatchId = u64;

/// A batch that can still grow, or waits behind others.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) id: BatchId,
    pub(super) outcome: Arc<Outcome>,
    pub(super) builder: BatchBuilder,
    /// When its first record came; linger and delivery timeout count from here.
    pub(super) created: Instant,
    /// Bytes of `buffer.memory` that it holds.
    pub(super) charged_bytes: usize,
    /// The `send_all` that put the latest record here, and the place of its span.
    last_span: (u64, usize),
}

#[derive(Debug, Default)]
struct PartitionQueue {
    /// What the batch before came to, up to [`MOST_AT_ONCE_BYTES`]: room for as much is taken for the next at once, or it would be
    /// copied as it grows.
    usual_bytes: usize,
    /// `None` during an election, or if the topic has lost the partition.
    leader: Option<i32>,
    batches: VecDeque<OpenBatch>,
}

#[derive(Debug)]
struct TopicQueues {
    name: Arc<str>,
    id: Uuid,
    /// Partitions that keys are spread over. The queues may be more: those of a topic since created anew.
    partitions: usize,
    queues: Vec<PartitionQueue>,
    /// Partitions with a leader, in order.
    available: Vec<i32>,
    sticky: Sticky,
}

/// Where an appended record is.
pub(super) struct Appended<'a> {
    pub(super) outcome: &'a Arc<Outcome>,
    pub(super) index: i32,
    /// Whether the sender has something new to think about: a batch that goes before it looks again.
    pub(super) wakes: bool,
}

/// Why a record was not appended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAppended {
    UnknownTopic,
    UnknownPartition { partition: i32, partitions: usize },
    Closed,
}

/// The spans of one `send_all` so far.
#[derive(Debug, Default)]
pub(super) struct Spans {
    call: u64,
    pub(super) spans: Vec<Span>,
}

/// Batches that can go, by the broker that leads their partition, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) by_leader: BTreeMap<i32, Vec<PartitionKey>>,
    /// Something is ready and its partition has no leader.
    pub(super) leaderless: bool,
    pub(super) next_at: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Accumulator {
    batch_bytes: usize,
    linger: Duration,
    topics: Vec<TopicQueues>,
    by_name: HashMap<Arc<str>, usize>,
    /// Partitions that have a batch: what is done on each wake-up is done for these, however many others there are.
    occupied: BTreeSet<PartitionKey>,
    /// The topic of the record before, which is likely that of the next.
    last_topic: usize,
    /// When the sender looks at what lingers, if not before.
    looks_again_at: Option<Instant>,
    next_batch: BatchId,
    next_call: u64,
    /// Batches below this do not linger: somebody waits for them.
    flush_below: BatchId,
    closed: bool,
    /// All that is not settled, here or with the sender.
    unsettled: BTreeMap<BatchId, Arc<Outcome>>,
    /// Buffers of acknowledged batches, to be filled again.
    spare: Vec<Vec<u8>>,
    random: fastrand::Rng,
}

/// A burst's batch must not make every small one after it a large one.
const MOST_AT_ONCE_BYTES: usize = 64 * 1024;

/// Buffers kept for later. More would keep memory that a burst needed.
const SPARE_BUFFERS: usize = 8;

impl Accumulator {
    pub(super) fn new(batch_bytes: usize, linger: Duration, random: fastrand::Rng) -> Self {
        Self {
            batch_bytes,
            linger,
            topics: Vec::new(),
            by_name: HashMap::new(),
            occupied: BTreeSet::new(),
            last_topic: 0,
            looks_again_at: None,
            next_batch: 0,
            next_call: 1,
            flush_below: 0,
            closed: false,
            unsettled: BTreeMap::new(),
            spare: Vec::new(),
            random,
        }
    }

    /// Takes over what metadata says of a topic, and returns whether a leader has changed or the topic was created anew.
    pub(super) fn update(&mut self, topic: &Topic) -> bool {
        let slot = match self.by_name.get(&topic.name) {
            Some(&slot) => slot,
            None => {
                self.by_name.insert(Arc::clone(&topic.name), self.topics.len());
                self.topics.push(TopicQueues {
                    name: Arc::clone(&topic.name),
                    id: topic.id,
                    partitions: 0,
                    queues: Vec::new(),
                    available: Vec::new(),
                    sticky: Sticky::new(),
                });
                self.topics.len() - 1
            }
        };
        let known = &mut self.topics[slot];
        let mut changed = known.id != topic.id;
        known.id = topic.id;
        known.partitions = topic.partitions.last().map_or(0, |last| last.index as usize + 1);
        if known.queues.len() < known.partitions {
            known.queues.resize_with(known.partitions, PartitionQueue::default);
        }
        known.available.clear();
        for (index, queue) in known.queues.iter_mut().enumerate() {
            let leader = topic.partition(index as i32).and_then(|partition| partition.leader);
            changed |= queue.leader != leader;
            queue.leader = leader;
            if leader.is_some() {
                known.available.push(index as i32);
            }
        }
        changed
    }

    /// The topics that records have been sent to.
    pub(super) fn topic_names(&self) -> Vec<Arc<str>> {
        self.topics.iter().map(|topic| Arc::clone(&topic.name)).collect()
    }

    /// Name and id of the topic in this place.
    pub(super) fn topic(&self, slot: usize) -> Option<(Arc<str>, Uuid)> {
        self.topics.get(slot).map(|topic| (Arc::clone(&topic.name), topic.id))
    }

    pub(super) fn leader(&self, key: PartitionKey) -> Option<i32> {
        self.queue(key)?.leader
    }

    fn queue(&self, key: PartitionKey) -> Option<&PartitionQueue> {
        self.topics.get(key.topic)?.queues.get(usize::try_from(key.partition).ok()?)
    }

    fn queue_mut(&mut self, key: PartitionKey) -> Option<&mut PartitionQueue> {
        queue_of(&mut self.topics, key)
    }

    /// Begins a `send_all`.
    pub(super) fn begin_spans(&mut self) -> Spans {
        self.next_call += 1;
        Spans { call: self.next_call, spans: Vec::new() }
    }

    /// Encodes a record into its partition's last batch, or into a new one. `charged_bytes` is what it holds of
    /// `buffer.memory`, and at least what it takes.
    pub(super) fn append(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        charged_bytes: usize,
        now: impl FnOnce() -> Instant,
        spans: Option<&mut Spans>,
    ) -> Result<Appended<'_>, NotAppended> {
        if self.closed {
            return Err(NotAppended::Closed);
        }
        let slot = match self.topics.get(self.last_topic) {
            Some(topic) if *topic.name == *record.topic => self.last_topic,
            _ => *self.by_name.get(&*record.topic).ok_or(NotAppended::UnknownTopic)?,
        };
        self.last_topic = slot;
        let topic = &mut self.topics[slot];
        let partitions = topic.partitions;
        let partition = match (record.partition, record.key_bytes()) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, partitions),
            (None, None) => topic.sticky.choose(charged_bytes, &topic.available, partitions, &mut self.random),
        };
        let place = usize::try_from(partition).ok().filter(|&place| place < partitions);
        let Some(place) = place else { return Err(NotAppended::UnknownPartition { partition, partitions }) };
        let queue = &mut topic.queues[place];

        let fits = |batch: &OpenBatch| batch.builder.len() + charged_bytes <= self.batch_bytes;
        let opens = !queue.batches.back().is_some_and(fits);
        let mut wakes = false;
        if opens {
            let buffer = match self.spare.pop() {
                Some(buffer) => buffer,
                None => Vec::with_capacity(queue.usual_bytes),
            };
            let outcome = Outcome::new(Arc::clone(&topic.name), partition);
            let id = self.next_batch;
            self.next_batch += 1;
            self.unsettled.insert(id, Arc::clone(&outcome));
            if queue.batches.is_empty() {
                self.occupied.insert(PartitionKey { topic: slot, partition });
            }
            let created = now();
            // One behind another may let that one go; else it is early enough to look at it when its time comes.
            let until = created + self.linger;
            wakes = !queue.batches.is_empty() || self.looks_again_at.is_none_or(|at| until < at);
            if wakes {
                self.looks_again_at = Some(until);
            }
            queue.batches.push_back(OpenBatch {
                id,
                outcome,
                builder: BatchBuilder::new(buffer),
                created,
                charged_bytes: 0,
                last_span: (0, 0),
            });
        }
        let last = queue.batches.len() - 1;
        let batch = &mut queue.batches[last];
        let index = batch.builder.append(NewRecord {
            timestamp,
            key: record.key_bytes(),
            value: record.value_bytes(),
            headers: record.header_bytes(),
        });
        batch.charged_bytes += charged_bytes;
        if let Some(spans) = spans {
            match (batch.last_span == (spans.call, batch.last_span.1)).then_some(batch.last_span.1) {
                Some(at) if spans.spans[at].to == index => spans.spans[at].to = index + 1,
                _ => {
                    batch.last_span = (spans.call, spans.spans.len());
                    spans.spans.push(Span { outcome: Arc::clone(&batch.outcome), from: index, to: index + 1 });
                }
            }
        }
        wakes |= batch.builder.len() >= self.batch_bytes;
        Ok(Appended { outcome: &batch.outcome, index, wakes })
    }

    /// What can go at `now`. `pressed` means that senders wait for room, so that nothing lingers. A leader that something goes to is
    /// sent all that there is for it.
    pub(super) fn ready(&mut self, now: Instant, pressed: bool) -> Ready {
        let mut ready = Ready::default();
        let mut lingering: BTreeMap<i32, (Instant, bool)> = BTreeMap::new();
        for key in &self.occupied {
            let Some(queue) = self.queue(*key) else { continue };
            let Some(first) = queue.batches.front() else { continue };
            let lingers_until = first.created + self.linger;
            let goes = pressed
                || self.closed
                || queue.batches.len() > 1
                || first.id < self.flush_below
                || first.builder.len() >= self.batch_bytes
                || lingers_until <= now;
            let Some(leader) = queue.leader else {
                ready.leaderless |= goes;
                if !goes {
                    ready.next_at = Some(ready.next_at.map_or(lingers_until, |at| at.min(lingers_until)));
                }
                continue;
            };
            ready.by_leader.entry(leader).or_default().push(*key);
            let (until, any_goes) = lingering.entry(leader).or_insert((lingers_until, false));
            (*until, *any_goes) = ((*until).min(lingers_until), *any_goes || goes);
        }
        for (leader, (until, _)) in lingering.into_iter().filter(|(_, (_, goes))| !goes) {
            ready.by_leader.remove(&leader);
            ready.next_at = Some(ready.next_at.map_or(until, |at| at.min(until)));
        }
        self.looks_again_at = ready.next_at;
        ready
    }

    /// The size that the first batch of a partition has now.
    pub(super) fn first_len(&self, key: PartitionKey) -> Option<usize> {
        self.queue(key)?.batches.front().map(|batch| batch.builder.len())
    }

    /// Takes the first batch of a partition.
    pub(super) fn take(&mut self, key: PartitionKey) -> Option<OpenBatch> {
        let queue = self.queue_mut(key)?;
        let batch = queue.batches.pop_front();
        if let Some(batch) = &batch {
            queue.usual_bytes = batch.builder.len().min(MOST_AT_ONCE_BYTES);
        }
        if queue.batches.is_empty() {
            self.occupied.remove(&key);
        }
        batch
    }

    /// Takes the batches whose first record came at or before `latest`, and returns when the next one will have.
    pub(super) fn take_created_until(&mut self, latest: Instant) -> (Vec<(PartitionKey, OpenBatch)>, Option<Instant>) {
        let mut taken = Vec::new();
        let mut oldest: Option<Instant> = None;
        let mut emptied = Vec::new();
        for key in &self.occupied {
            let Some(queue) = queue_of(&mut self.topics, *key) else { continue };
            while let Some(batch) = queue.batches.pop_front_if(|batch| batch.created <= latest) {
                taken.push((*key, batch));
            }
            match queue.batches.front() {
                Some(first) => oldest = Some(oldest.map_or(first.created, |at| at.min(first.created))),
                None => emptied.push(*key),
            }
        }
        for key in emptied {
            self.occupied.remove(&key);
        }
        (taken, oldest)
    }

    /// Takes all batches, and accepts no more records.
    pub(super) fn close_and_take(&mut self) -> Vec<(PartitionKey, OpenBatch)> {
        self.closed = true;
        self.take_all()
    }

    /// Takes all batches.
    pub(super) fn take_all(&mut self) -> Vec<(PartitionKey, OpenBatch)> {
        let mut taken = Vec::new();
        for key in mem::take(&mut self.occupied) {
            if let Some(queue) = self.queue_mut(key) {
                taken.extend(queue.batches.drain(..).map(|batch| (key, batch)));
            }
        }
        taken
    }

    /// Accepts no more records; those that are here go at once.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Lets all batches go at once and returns everything that is not settled.
    pub(super) fn flush(&mut self) -> Vec<Span> {
        self.flush_below = self.next_batch;
        let whole = |outcome: &Arc<Outcome>| Span { outcome: Arc::clone(outcome), from: 0, to: i32::MAX };
        self.unsettled.values().map(whole).collect()
    }

    /// Whether everything that was accepted is settled.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Forgets a batch that has been settled.
    pub(super) fn settled(&mut self, id: BatchId) {
        self.unsettled.remove(&id);
    }

    /// Remembers a part of a batch that was split.
    pub(super) fn unsettled(&mut self, id: BatchId, outcome: &Arc<Outcome>) {
        self.unsettled.insert(id, Arc::clone(outcome));
    }

    /// Keeps a buffer for a later batch, unless it is small or there are enough.
    pub(super) fn keep_spare(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && buffer.capacity() >= self.batch_bytes / 4 {
            self.spare.push(buffer);
        }
    }
}

fn queue_of(topics: &mut [TopicQueues], key: PartitionKey) -> Option<&mut PartitionQueue> {
    topics.get_mut(key.topic)?.queues.get_mut(usize::try_from(key.partition).ok()?)
}
