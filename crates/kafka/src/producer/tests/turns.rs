//! Which batches go together, when, and whose turn it is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::{Partition, Topic};
use crate::producer::accumulator::{Accumulator, PartitionKey};
use crate::producer::pipeline::{LinkId, PartitionAnswer, Pipeline, ProducerIdentity, Settings};
use crate::producer::record::Record;
use crate::records::Compression;
use crate::retry::RetryPolicy;

const TOPIC: &str = "grocery.orders.v1";
const LINGER: Duration = Duration::from_millis(5);

/// A topic whose partitions are led by the brokers of this list.
fn accumulator(leaders: &[i32]) -> Accumulator {
    let each = |(index, leader): (usize, &i32)| Partition {
        index: index as i32,
        leader: Some(*leader),
        leader_epoch: 0,
        replicas: vec![*leader],
        in_sync: vec![*leader],
        offline: Vec::new(),
    };
    let topic = Topic {
        name: TOPIC.into(),
        id: Uuid::from_u128(1),
        is_internal: false,
        partitions: leaders.iter().enumerate().map(each).collect(),
    };
    let mut accumulator = Accumulator::new(10_000, LINGER, fastrand::Rng::with_seed(1));
    accumulator.update(&topic);
    accumulator
}

/// Appends a record of 100 bytes; says whether the sender is woken.
fn append(accumulator: &mut Accumulator, partition: i32, now: Instant) -> bool {
    let record = Record::to(TOPIC).value(&[7; 100][..]).partition(partition);
    accumulator.append(&record, 0, record.bytes_at_most(), || now, None).unwrap_or_else(|e| panic!("{e:?}")).wakes
}

fn partitions(keys: &[PartitionKey]) -> Vec<i32> {
    keys.iter().map(|key| key.partition).collect()
}

#[test]
fn a_leader_that_something_goes_to_gets_all_there_is_for_it_and_others_wait() {
    let mut accumulator = accumulator(&[1, 2, 1]);
    let began = Instant::now();
    append(&mut accumulator, 0, began);
    append(&mut accumulator, 1, began + Duration::from_millis(2));
    append(&mut accumulator, 2, began + Duration::from_millis(4));
    let ready = accumulator.ready(began + Duration::from_millis(4), false);
    assert!(ready.by_leader.is_empty());
    assert_eq!(ready.next_at, Some(began + LINGER));
    let ready = accumulator.ready(began + LINGER, false);
    let to: BTreeMap<i32, Vec<i32>> =
        ready.by_leader.iter().map(|(leader, keys)| (*leader, partitions(keys))).collect();
    assert_eq!(to, BTreeMap::from([(1, vec![0, 2])]));
    assert_eq!(ready.next_at, Some(began + Duration::from_millis(2) + LINGER));
}

#[test]
fn the_sender_is_woken_by_what_goes_before_it_looks_again() {
    let mut accumulator = accumulator(&[1, 1]);
    let now = Instant::now();
    assert!(append(&mut accumulator, 0, now), "the first");
    accumulator.ready(now, false);
    assert!(!append(&mut accumulator, 0, now), "into the same batch");
    assert!(!append(&mut accumulator, 1, now), "a batch that lingers no shorter");
    accumulator.ready(now + LINGER, false);
    let key = |partition| PartitionKey { topic: 0, partition };
    assert!(accumulator.take(key(0)).is_some() && accumulator.take(key(1)).is_some());
    accumulator.ready(now + LINGER, false);
    assert!(append(&mut accumulator, 1, now + LINGER), "the sender looks at nothing by itself");
    let fills = (0..100).any(|_| append(&mut accumulator, 1, now + LINGER));
    assert!(fills, "a full batch does not linger");
}

#[test]
fn partitions_that_a_request_has_no_room_for_come_first_in_the_next() {
    const PARTITIONS: i32 = 10;
    let mut accumulator = accumulator(&[1; PARTITIONS as usize]);
    let mut pipeline = Pipeline::new(Settings {
        compression: Compression::None,
        delivery_timeout: Duration::from_secs(100),
        max_in_flight: 5,
        // Three batches of one record.
        max_request_bytes: 700,
        retry: RetryPolicy { initial: Duration::from_millis(10), max: Duration::from_millis(100) },
        transactional: false,
    });
    pipeline.identity_granted(ProducerIdentity { id: 7, epoch: 0 });
    let now = Instant::now();
    let mut turns = BTreeMap::new();
    for _ in 0..PARTITIONS {
        for partition in 0..PARTITIONS {
            if accumulator.first_len(PartitionKey { topic: 0, partition }).is_none() {
                append(&mut accumulator, partition, now);
            }
        }
        let keys = accumulator.ready(now + LINGER, false).by_leader.remove(&1).unwrap();
        let accumulator = RefCell::new(&mut accumulator);
        let first_len = |key| accumulator.borrow().first_len(key);
        let take = |key| accumulator.borrow_mut().take(key);
        let outgoing = pipeline.next_request(LinkId(0), &keys, now, first_len, take).unwrap();
        assert_eq!(outgoing.batches.len(), 3);
        let ok = PartitionAnswer {
            error: None,
            message: None,
            base_offset: 0,
            append_time: None,
            log_start_offset: 0,
            leader: None,
        };
        let mut answers: Vec<_> = outgoing.batches.iter().map(|(key, _)| (*key, ok.clone())).collect();
        answers.reverse();
        pipeline.answered(outgoing.id, &answers, now, 0.5);
        for (key, _) in outgoing.batches {
            *turns.entry(key.partition).or_insert(0) += 1;
        }
    }
    assert_eq!(turns, (0..PARTITIONS).map(|partition| (partition, 3)).collect::<BTreeMap<_, _>>());
}
