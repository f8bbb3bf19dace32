use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::consumer::aborted::Aborted;
use crate::consumer::budget::Budget;

const FULL: usize = 100;

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// Partitions 0.. at offset 0, all led by broker 1.
fn partitions(count: i32) -> Partitions {
    let mut partitions = Partitions::default();
    (0..count).for_each(|number| partitions.assign(name(number), Place::At(Position::at(0))));
    partitions
}

fn plan(partitions: &mut Partitions) -> Option<Plan> {
    partitions.plan(Instant::now(), FULL, |_| Some(1), |_| true).remove(&1)
}

fn wanted(partitions: &mut Partitions) -> Vec<i32> {
    plan(partitions).map_or(Vec::new(), |plan| plan.wants.iter().map(|(want, _)| want.partition.partition).collect())
}

/// Fetches what is wanted; the named partitions get as many bytes as said.
fn fetch(partitions: &mut Partitions, came: &[(i32, usize)]) {
    let plan = plan(partitions).unwrap();
    partitions.fetching(&plan.wants);
    for (want, from) in &plan.wants {
        partitions.fetch_ended(want);
        if let Some((_, bytes)) = came.iter().find(|(number, _)| *number == want.partition.partition) {
            partitions.queue(chunk(want, *from, *bytes), Position::at(from.offset + 1));
        }
    }
}

fn chunk(want: &Want, from: Position, bytes: usize) -> Chunk {
    let held = Arc::new(Budget::new(0, Arc::default()).reserve_anyway(bytes));
    let (partition, stamp, records) = (want.partition.clone(), want.stamp, Bytes::from(vec![0; bytes]));
    Chunk { partition, stamp, records, from, high_watermark: 10, aborted: Aborted::default(), held }
}

fn take(partitions: &mut Partitions) -> Option<i32> {
    partitions.take().map(|chunk| chunk.partition.partition)
}

#[test]
fn a_partition_with_enough_at_hand_is_not_fetched_again_until_it_is_read() {
    let mut partitions = partitions(2);
    fetch(&mut partitions, &[(0, FULL)]);
    let next = plan(&mut partitions).unwrap();
    assert!(next.left_out, "the next fetch must not wait long");
    assert_eq!(wanted(&mut partitions), [1]);
    assert_eq!(take(&mut partitions), Some(0));
    assert_eq!(wanted(&mut partitions).len(), 2);
}

#[test]
fn a_partition_is_in_one_fetch_at_a_time() {
    let mut partitions = partitions(2);
    let plan = plan(&mut partitions).unwrap();
    partitions.fetching(&plan.wants);
    assert!(wanted(&mut partitions).is_empty());
    partitions.fetch_ended(&plan.wants[0].0);
    assert_eq!(wanted(&mut partitions), [plan.wants[0].0.partition.partition]);
}

#[test]
fn partitions_take_turns_in_fetches_and_with_the_application() {
    let mut partitions = partitions(3);
    fetch(&mut partitions, &[(0, 10)]);
    assert_eq!(wanted(&mut partitions), [1, 2, 0], "who got something comes last");
    fetch(&mut partitions, &[(0, 10), (1, 10), (2, 10)]);
    let turns: Vec<i32> = std::iter::from_fn(|| take(&mut partitions)).collect();
    assert_eq!(turns, [0, 1, 2, 0]);
}

#[test]
fn a_paused_partition_keeps_what_it_has_and_is_passed_over() {
    let mut partitions = partitions(2);
    fetch(&mut partitions, &[(0, 10), (1, 10)]);
    assert!(partitions.pause(&name(0), true));
    assert_eq!(take(&mut partitions), Some(1));
    assert_eq!(take(&mut partitions), None);
    assert!(partitions.is_drained());
    assert_eq!(wanted(&mut partitions), [1]);
    partitions.pause(&name(0), false);
    assert_eq!(take(&mut partitions), Some(0));
}

#[test]
fn an_answer_to_a_question_from_before_a_seek_changes_nothing() {
    let mut partitions = partitions(1);
    let plan = plan(&mut partitions).unwrap();
    partitions.fetching(&plan.wants);
    let (want, from) = &plan.wants[0];
    assert!(partitions.seek(&name(0), Place::At(Position::at(50))));
    partitions.queue(chunk(want, *from, 10), Position::at(1));
    assert_eq!(take(&mut partitions), None);
    partitions.locate(want, Place::At(Position::at(7)));
    assert!(!partitions.halt(want));
    assert_eq!(partitions.position(&name(0)), Some(Position::at(50)));
    assert!(!partitions.handed_out(&name(0), want.stamp, Position::at(1)));
}

#[test]
fn what_is_being_given_up_is_neither_fetched_nor_handed_out_but_still_committed() {
    let mut partitions = partitions(2);
    fetch(&mut partitions, &[(0, 10), (1, 10)]);
    partitions.done(&[(name(0), Position::at(3))].into_iter().collect());
    partitions.revoke(&[name(0)].into());
    assert_eq!(take(&mut partitions), Some(1));
    assert_eq!(wanted(&mut partitions), [1]);
    assert_eq!(partitions.uncommitted().get(&name(0)), Some(Position::at(3)));
    partitions.remove(&[name(0)]);
    assert!(partitions.uncommitted().is_empty());
}

#[test]
fn what_is_committed_is_not_committed_again() {
    let mut partitions = partitions(1);
    let three: Positions = [(name(0), Position::at(3))].into_iter().collect();
    partitions.done(&three);
    partitions.committed(&three);
    assert!(partitions.uncommitted().is_empty());
    let back: Positions = [(name(0), Position::at(1))].into_iter().collect();
    partitions.done(&back);
    assert_eq!(partitions.uncommitted(), back, "after a seek back");
}

#[test]
fn what_a_transaction_committed_is_not_committed_over() {
    let mut partitions = partitions(1);
    let stored: Positions = [(name(0), Position::at(3))].into_iter().collect();
    partitions.done(&stored);
    partitions.committed(&[(name(0), Position::at(5))].into_iter().collect());
    assert!(partitions.uncommitted().is_empty(), "what is stored lies behind it");
}

#[test]
fn a_failure_is_tried_again_after_its_wait() {
    let mut partitions = partitions(1);
    partitions.seek(&name(0), Place::Committed);
    let now = Instant::now();
    let wants = partitions.ask_committed(now);
    assert!(partitions.ask_committed(now).is_empty(), "asked once at a time");
    partitions.retry(&wants[0], now, |failures| Duration::from_secs(u64::from(failures)));
    assert!(partitions.ask_committed(now).is_empty());
    assert_eq!(partitions.next_retry(now), Some(now + Duration::from_secs(1)));
    assert_eq!(partitions.ask_committed(now + Duration::from_secs(1)), wants);
}

#[test]
fn a_halted_partition_stands_still_until_a_seek_and_is_reported_once() {
    let mut partitions = partitions(1);
    let want = plan(&mut partitions).unwrap().wants.remove(0).0;
    assert!(partitions.halt(&want));
    assert!(!partitions.halt(&want));
    assert!(wanted(&mut partitions).is_empty());
    partitions.seek(&name(0), Place::At(Position::at(9)));
    assert_eq!(wanted(&mut partitions), [0]);
}

#[test]
fn a_new_leader_is_asked_whether_it_has_what_was_read_before_it_is_fetched_from() {
    let mut partitions = partitions(2);
    let now = Instant::now();
    let of_epoch = |epoch| move |_: &TopicPartition| Some((1, epoch));
    assert!(partitions.ask_unchecked(now, of_epoch(4)).is_empty(), "the first leader is asked by the fetch");
    let at = Position { offset: 5, leader_epoch: Some(4) };
    partitions.seek(&name(0), Place::At(at));
    assert!(partitions.ask_unchecked(now, of_epoch(4)).is_empty());

    let unchecked = partitions.ask_unchecked(now, of_epoch(5));
    let [Unchecked { want, position, epoch: 5, .. }] = &unchecked[..] else { panic!("{unchecked:?}") };
    assert_eq!((want.partition.partition, *position), (0, at), "of the other nothing was read");
    assert_eq!(wanted(&mut partitions), [1]);
    assert!(partitions.ask_unchecked(now, of_epoch(5)).is_empty(), "asked once");
    partitions.checked(want, 5);
    assert_eq!(wanted(&mut partitions).len(), 2);
    assert!(partitions.ask_unchecked(now, of_epoch(5)).is_empty());
}

#[test]
fn lag_is_what_lies_between_the_application_and_the_end_of_the_log() {
    let mut partitions = partitions(1);
    let want = plan(&mut partitions).unwrap().wants.remove(0).0;
    assert_eq!(partitions.lag(&name(0)), None);
    partitions.reached(&want, 10);
    partitions.handed_out(&name(0), want.stamp, Position::at(4));
    assert_eq!(partitions.lag(&name(0)), Some(6));
}

#[test]
fn a_topic_that_was_created_again_leaves_nothing_of_the_old_log() {
    let mut partitions = partitions(1);
    fetch(&mut partitions, &[(0, FULL)]);
    partitions.done(&[(name(0), Position::at(7))].into_iter().collect());
    partitions.assign(name(1), Place::Committed);
    let moved = partitions.new_log("t", Place::Listed(ListedAt::Earliest));
    assert_eq!(moved, [(name(0), 0)], "the other had not begun");
    assert_eq!((take(&mut partitions), partitions.uncommitted().len()), (None, 0));
    assert_eq!(partitions.ask_listed(Instant::now()).len(), 1);
    assert!(partitions.new_log("another", Place::Halted).is_empty());
}
