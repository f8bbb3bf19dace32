//! The producer's state machines under random schedules: requests and answers lost, late and out of order, leaders on the
//! move, refusals, splits and time running out, against [`model`]. A failing run prints its seed.

mod coordinator;
mod fate;
mod flight;
mod model;
mod transactions;
mod turns;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use self::model::{ModelLog, numbers};
use super::accumulator::{Accumulator, PartitionKey};
use super::delivery::{Delivery, RecordMetadata};
use super::error::DeliveryError;
use super::pipeline::{Effect, LinkId, PartitionAnswer, Pipeline, ProducerIdentity, RequestId, Settings};
use super::record::Record;
use crate::cluster::{Partition, Topic};
use crate::error::{ErrorCode, Written};
use crate::records::Compression;
use crate::retry::RetryPolicy;

const FIRST_PRODUCER_ID: i64 = 1000;
const TOPIC: &str = "grocery.orders.v1";

/// A request on its way to a broker, or its answer on the way back.
struct InFlight {
    id: RequestId,
    /// The topic's id when it was sent.
    topic: Uuid,
    batches: Vec<(PartitionKey, Bytes)>,
    answer: Option<Vec<(PartitionKey, PartitionAnswer)>>,
}

/// A connection: what is under way on it. One that is cut may still deliver what was sent.
struct Link {
    id: LinkId,
    broker: i32,
    queue: VecDeque<InFlight>,
    cut: bool,
}

struct Sent {
    partition: i32,
    delivery: Option<Delivery>,
    result: Option<Result<RecordMetadata, DeliveryError>>,
}

struct World {
    random: fastrand::Rng,
    now: Instant,
    accumulator: Accumulator,
    pipeline: Pipeline,
    delivery_timeout: Duration,
    topic: Topic,
    logs: BTreeMap<i32, ModelLog>,
    /// Of the topic's earlier lives.
    deleted: Vec<(i32, ModelLog)>,
    links: Vec<Link>,
    next_link: u64,
    sent: HashMap<u64, Sent>,
    next_number: u64,
    next_producer_id: i64,
    /// Share of requests that meet with trouble, in percent.
    trouble: u8,
    /// The most records that a broker takes in one batch.
    most_records: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let partitions = (0..random.i32(1..=3))
            .map(|index| Partition {
                index,
                leader: Some(index % 2),
                leader_epoch: 0,
                replicas: vec![0, 1],
                in_sync: vec![0, 1],
                offline: Vec::new(),
            })
            .collect();
        let topic = Topic { name: TOPIC.into(), id: Uuid::from_u128(1), is_internal: false, partitions };
        let mut accumulator = Accumulator::new(random.usize(100..2000), Duration::from_millis(5), random.fork());
        accumulator.update(&topic);
        let delivery_timeout = Duration::from_millis([60, 150, 500, 3000][random.usize(..4)]);
        let settings = Settings {
            compression: if random.bool() { Compression::None } else { Compression::Lz4 },
            delivery_timeout,
            max_in_flight: random.usize(1..=5),
            max_request_bytes: 4000,
            retry: RetryPolicy { initial: Duration::from_millis(10), max: Duration::from_millis(100) },
            transactional: false,
        };
        Self {
            now: Instant::now() + Duration::from_secs(1000),
            accumulator,
            pipeline: Pipeline::new(settings),
            delivery_timeout,
            logs: topic.partitions.iter().map(|partition| (partition.index, ModelLog::default())).collect(),
            topic,
            deleted: Vec::new(),
            links: Vec::new(),
            next_link: 0,
            sent: HashMap::new(),
            next_number: 0,
            next_producer_id: FIRST_PRODUCER_ID,
            trouble: random.u8(0..40),
            most_records: if random.u8(..) < 64 { random.usize(1..10) } else { usize::MAX },
            random,
        }
    }

    fn send_record(&mut self) {
        let number = self.next_number;
        self.next_number += 1;
        let value = number.to_be_bytes();
        let partition = self.random.i32(0..self.topic.partitions.len() as i32);
        let record = Record::to(TOPIC).value(&value).partition(partition);
        let now = self.now;
        let appended = self.accumulator.append(&record, 0, record.bytes_at_most(), || now, None);
        let appended = appended.unwrap_or_else(|error| panic!("{error:?}"));
        let delivery = Delivery::new(Arc::clone(appended.outcome), appended.index, 0);
        self.sent.insert(number, Sent { partition, delivery: Some(delivery), result: None });
    }

    /// What the sender task does on each wake.
    fn drive(&mut self) {
        let now = self.now;
        let (unsent, _) = self.accumulator.take_created_until(now - self.delivery_timeout);
        let Self { accumulator, pipeline, .. } = self;
        pipeline.expire(now, unsent, |key| accumulator.leader(key));
        let mut ready = accumulator.ready(now, false);
        pipeline.add_retries(&mut ready, |key| accumulator.leader(key), now);
        for (broker, keys) in ready.by_leader {
            let link = self.link_to(broker);
            let accumulator = std::cell::RefCell::new(&mut self.accumulator);
            while let Some(outgoing) = self.pipeline.next_request(
                link,
                &keys,
                now,
                |key| accumulator.borrow().first_len(key),
                |key| accumulator.borrow_mut().take(key),
            ) {
                let open = self.links.iter_mut().find(|open| open.id == link).unwrap();
                let topic = self.topic.id;
                open.queue.push_back(InFlight { id: outgoing.id, topic, batches: outgoing.batches, answer: None });
            }
        }
        if self.pipeline.wants_identity() {
            self.next_producer_id += 1;
            // Near its end, so that ids run out of epochs as well.
            let epoch = if self.random.u8(..4) > 0 { 0 } else { i16::MAX - 1 };
            self.pipeline.identity_granted(ProducerIdentity { id: self.next_producer_id, epoch });
        }
        for effect in self.pipeline.take_effects() {
            match effect {
                Effect::Settled { outcome, result, .. } => outcome.settle(result),
                Effect::Split { outcome, parts, .. } => {
                    outcome.split(parts.into_iter().map(|(_, first, outcome)| (first, outcome)).collect());
                }
                Effect::RefreshMetadata | Effect::Leader { .. } | Effect::Spare(_) => {}
            }
        }
    }

    fn link_to(&mut self, broker: i32) -> LinkId {
        if let Some(link) = self.links.iter().find(|link| link.broker == broker && !link.cut) {
            return link.id;
        }
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.links.push(Link { id, broker, queue: VecDeque::new(), cut: false });
        id
    }

    /// A broker takes the oldest request of a connection that it has not looked at.
    fn process_one(&mut self) {
        let with_work: Vec<usize> =
            (0..self.links.len()).filter(|&at| self.links[at].queue.iter().any(|r| r.answer.is_none())).collect();
        let Some(&at) = with_work.get(self.random.usize(..with_work.len().max(1))) else { return };
        let broker = self.links[at].broker;
        let oldest = self.links[at].queue.iter().position(|request| request.answer.is_none()).unwrap();
        let batches = self.links[at].queue[oldest].batches.clone();
        let topic = self.links[at].queue[oldest].topic;
        let answer = batches.iter().map(|(key, batch)| (*key, self.answer(broker, topic, *key, batch))).collect();
        self.links[at].queue[oldest].answer = Some(answer);
        if self.links[at].cut {
            // Nobody hears it.
            self.links[at].queue.remove(oldest);
        }
    }

    fn answer(&mut self, broker: i32, topic: Uuid, key: PartitionKey, batch: &Bytes) -> PartitionAnswer {
        let mut answer = PartitionAnswer {
            error: None,
            message: None,
            base_offset: -1,
            append_time: None,
            log_start_offset: 0,
            leader: None,
        };
        let (_, records) = numbers(batch);
        let leads = self.topic.partition(key.partition).unwrap().leader == Some(broker);
        let troubled = self.random.u8(..100) < self.trouble;
        let kind = self.random.u8(..10);
        answer.error = if topic != self.topic.id {
            Some(ErrorCode::UNKNOWN_TOPIC_ID)
        } else if !leads {
            Some(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        } else if records.len() > self.most_records {
            Some(ErrorCode::MESSAGE_TOO_LARGE)
        } else if troubled && kind < 4 {
            Some(ErrorCode::NOT_ENOUGH_REPLICAS)
        } else if troubled && kind == 4 {
            Some(ErrorCode::INVALID_TOPIC_EXCEPTION)
        } else {
            match self.logs.get_mut(&key.partition).unwrap().append(batch) {
                Err(code) => Some(code),
                // Appended, and then the leader lost its office or patience.
                Ok(_) if troubled && kind < 7 => Some(ErrorCode::NOT_LEADER_OR_FOLLOWER),
                Ok(_) if troubled && kind < 9 => Some(ErrorCode::REQUEST_TIMED_OUT),
                Ok(_) if troubled => Some(ErrorCode::UNKNOWN_SERVER_ERROR),
                Ok(offset) => {
                    answer.base_offset = offset;
                    None
                }
            }
        };
        answer
    }

    /// An answer arrives: mostly the oldest, but answers of one connection may be handled out of order.
    fn deliver_one(&mut self) {
        let answered: Vec<(usize, usize)> = (0..self.links.len())
            .filter(|&at| !self.links[at].cut)
            .flat_map(|at| (0..self.links[at].queue.len()).map(move |place| (at, place)))
            .filter(|&(at, place)| self.links[at].queue[place].answer.is_some())
            .collect();
        if answered.is_empty() {
            return;
        }
        let pick = if self.random.u8(..10) == 0 { self.random.usize(..answered.len()) } else { 0 };
        let (at, place) = answered[pick];
        let request = self.links[at].queue.remove(place).unwrap();
        self.pipeline.answered(request.id, &request.answer.unwrap(), self.now, 0.5);
    }

    /// A connection ends. The broker may or may not get to see what it had not looked at, sooner or later.
    fn cut_one(&mut self) {
        let open: Vec<usize> = (0..self.links.len()).filter(|&at| !self.links[at].cut).collect();
        let Some(&at) = open.get(self.random.usize(..open.len().max(1))) else { return };
        self.links[at].cut = true;
        let ids: Vec<RequestId> = self.links[at].queue.iter().map(|request| request.id).collect();
        for id in ids {
            self.pipeline.lost(id, Written::Maybe, "cut", self.now, 0.5);
        }
        let survivors = self.random.usize(..=self.links[at].queue.len());
        self.links[at].queue.retain(|request| request.answer.is_none());
        self.links[at].queue.truncate(survivors);
    }

    fn move_a_leader(&mut self) {
        let at = self.random.usize(..self.topic.partitions.len());
        self.topic.partitions[at].leader = match self.random.u8(..6) {
            0 => None,
            other => Some(i32::from(other % 2)),
        };
        self.accumulator.update(&self.topic);
        self.pipeline.leaders_changed();
    }

    /// Somebody deletes the topic and creates it again: empty, and without a memory of its producers.
    fn recreate_the_topic(&mut self) {
        self.topic.id = Uuid::from_u128(self.topic.id.as_u128() + 1);
        let emptied = self.logs.iter_mut().map(|(partition, log)| (*partition, std::mem::take(log)));
        self.deleted.extend(emptied);
        self.accumulator.update(&self.topic);
        self.pipeline.leaders_changed();
    }

    fn step(&mut self) {
        match self.random.u8(..100) {
            0..=24 => self.send_record(),
            25..=44 => self.drive(),
            45..=64 => self.process_one(),
            65..=84 => self.deliver_one(),
            85..=95 => self.now += Duration::from_millis(self.random.u64(1..30)),
            96 => self.move_a_leader(),
            97 => self.cut_one(),
            98 if self.random.u8(..100) == 0 => self.now += self.delivery_timeout,
            99 if self.random.u8(..20) == 0 => self.recreate_the_topic(),
            _ => {}
        }
    }

    /// Takes the results that are there.
    fn collect(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for sent in self.sent.values_mut() {
            let Some(delivery) = &mut sent.delivery else { continue };
            if let Poll::Ready(result) = pin!(delivery).as_mut().poll(&mut context) {
                sent.result = Some(result);
                sent.delivery = None;
            }
        }
    }

    /// Ends all trouble and lets everything be settled.
    fn heal(&mut self, seed: u64) {
        self.trouble = 0;
        for partition in &mut self.topic.partitions {
            partition.leader.get_or_insert(0);
        }
        self.accumulator.update(&self.topic);
        for _ in 0..3000 {
            self.now += Duration::from_millis(2);
            self.drive();
            self.process_one();
            self.deliver_one();
        }
        self.collect();
        let open: Vec<_> = self.sent.iter().filter(|(_, sent)| sent.result.is_none()).map(|(n, _)| n).collect();
        assert!(open.is_empty(), "seed {seed}: never settled: {open:?}");
        assert_eq!(self.pipeline.in_flight_requests(), 0, "seed {seed}");
    }

    fn check(&self, seed: u64) -> (usize, usize) {
        let (mut acknowledged, mut failed) = (0, 0);
        let lives = || self.logs.iter().chain(self.deleted.iter().map(|(partition, log)| (partition, log)));
        for (partition, log) in lives() {
            // An epoch fences the one before it, a new id does not: where an id has run out of epochs, a batch that was
            // given up may still come in late. That is after 32,767 gaps.
            let fenced = self.next_producer_id <= FIRST_PRODUCER_ID + 1;
            let counts = |number: &&u64| fenced || matches!(self.sent[number].result, Some(Ok(_)));
            let records: Vec<u64> = log.records.iter().filter(counts).copied().collect();
            let sorted = records.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(sorted, "seed {seed}: partition {partition} is out of order or has duplicates: {records:?}");
            let distinct: HashSet<u64> = log.records.iter().copied().collect();
            assert_eq!(distinct.len(), log.records.len(), "seed {seed}: partition {partition} has duplicates");
        }
        for (number, sent) in &self.sent {
            let place = lives()
                .filter(|(partition, _)| **partition == sent.partition)
                .find_map(|(_, log)| log.records.iter().position(|written| written == number));
            match sent.result.as_ref().unwrap() {
                Ok(metadata) => {
                    acknowledged += 1;
                    let acknowledged_at = usize::try_from(metadata.offset).ok();
                    let there =
                        lives().any(|(_, log)| acknowledged_at.and_then(|at| log.records.get(at)) == Some(number));
                    assert!(there, "seed {seed}: record {number} is acknowledged");
                }
                Err(error) => {
                    failed += 1;
                    let possible = error.written() == Written::Maybe || place.is_none();
                    assert!(possible, "seed {seed}: record {number} is in the log although '{error}'");
                }
            }
        }
        (acknowledged, failed)
    }
}

#[test]
fn acknowledged_records_are_in_the_log_once_and_in_order_whatever_happens() {
    let seeds = crate::seeds::seeds(0, 60);
    let (mut acknowledged, mut failed) = (0, 0);
    for seed in seeds.clone() {
        let mut world = World::new(seed);
        for _ in 0..1200 {
            world.step();
        }
        world.heal(seed);
        let (ok, err) = world.check(seed);
        acknowledged += ok;
        failed += err;
    }
    assert!(
        failed * 2 < acknowledged,
        "{failed} of {} failed: the schedule is too hard to show anything",
        acknowledged
    );
    println!("{acknowledged} acknowledged, {failed} failed");
}
