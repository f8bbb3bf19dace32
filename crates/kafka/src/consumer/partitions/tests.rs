use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::looking::Wants;
use super::*;
use crate::consumer::aborted::Aborted;
use crate::consumer::budget::Budget;
use crate::consumer::fetch_sessions::Wish;

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

fn led_by_one(_: &TopicPartition) -> Option<Leader> {
    Some(Leader { broker: 1, epoch: 4, topic_id: Uuid::nil() })
}

fn look(partitions: &mut Partitions, now: Instant) -> Wants {
    partitions.look(now, FULL, led_by_one)
}

/// What is to be fetched of each partition, of those to which something has happened.
fn wishes(partitions: &mut Partitions) -> Vec<(i32, Wish)> {
    let wishes = look(partitions, Instant::now()).wishes;
    wishes.into_iter().map(|(partition, wish)| (partition.partition, wish)).collect()
}

fn is_fetched(partitions: &mut Partitions, number: i32) -> Option<bool> {
    let wishes = wishes(partitions);
    wishes.iter().find(|(of, _)| *of == number).map(|(_, wish)| matches!(wish, Wish::From { .. }))
}

/// A fetch brings so many bytes for a partition.
fn fetch(partitions: &mut Partitions, number: i32, bytes: usize) {
    let want = want(partitions, number);
    let Place::At(from) = partitions.partitions[&want.partition].place else { panic!("not to be fetched") };
    assert!(partitions.awaits(&want, from));
    partitions.queue(chunk(&want, from, bytes), Position::at(from.offset + 1));
}

fn want(partitions: &Partitions, number: i32) -> Want {
    Want { partition: name(number), stamp: partitions.partitions[&name(number)].stamp }
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
fn only_partitions_to_which_something_has_happened_are_looked_at() {
    let mut partitions = partitions(1000);
    assert_eq!(wishes(&mut partitions).len(), 1000);
    assert!(wishes(&mut partitions).is_empty(), "nothing has happened since");
    fetch(&mut partitions, 7, 10);
    let wishes = wishes(&mut partitions);
    let [(7, Wish::From { leader: 1, start })] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(start.position.offset, 1);
    partitions.stir_all();
    assert_eq!(self::wishes(&mut partitions).len(), 1000);
}

#[test]
fn a_partition_with_enough_at_hand_is_not_fetched_again_until_it_is_read() {
    let mut partitions = partitions(2);
    fetch(&mut partitions, 0, FULL);
    let wishes = wishes(&mut partitions);
    assert!(wishes.contains(&(0, Wish::Later { leader: 1 })), "the next fetch must not wait long: {wishes:?}");
    assert_eq!(take(&mut partitions), Some(0));
    assert_eq!(is_fetched(&mut partitions, 0), Some(true));
}

#[test]
fn what_two_brokers_bring_of_one_place_is_taken_once() {
    let mut partitions = partitions(1);
    let (want, from) = (want(&partitions, 0), Position::at(0));
    assert!(partitions.awaits(&want, from));
    partitions.queue(chunk(&want, from, 10), Position::at(5));
    assert!(!partitions.awaits(&want, from), "the old leader's answer came after the new one's");
    assert!(partitions.awaits(&want, Position::at(5)));
}

#[test]
fn partitions_take_turns_with_the_application_and_where_a_broker_keeps_no_session() {
    let mut partitions = partitions(3);
    wishes(&mut partitions);
    fetch(&mut partitions, 0, 10);
    let served = |partitions: &mut Partitions, number: i32| match &wishes(partitions)[..] {
        [(of, Wish::From { start, .. })] if *of == number => start.served,
        other => panic!("{other:?}"),
    };
    let first = served(&mut partitions, 0);
    assert!(first > 0, "who got something is named after who got nothing");
    fetch(&mut partitions, 1, 10);
    assert!(served(&mut partitions, 1) > first);
    fetch(&mut partitions, 0, 10);
    fetch(&mut partitions, 2, 10);
    let turns: Vec<i32> = std::iter::from_fn(|| take(&mut partitions)).collect();
    assert_eq!(turns, [0, 1, 2, 0]);
}

#[test]
fn a_paused_partition_keeps_what_it_has_and_is_passed_over() {
    let mut partitions = partitions(2);
    fetch(&mut partitions, 0, 10);
    fetch(&mut partitions, 1, 10);
    assert!(partitions.pause(&name(0), true));
    assert_eq!(take(&mut partitions), Some(1));
    assert_eq!(take(&mut partitions), None);
    assert!(partitions.is_drained());
    assert_eq!(is_fetched(&mut partitions, 0), Some(false));
    partitions.pause(&name(0), false);
    assert_eq!(is_fetched(&mut partitions, 0), Some(true));
    assert_eq!(take(&mut partitions), Some(0));
}

#[test]
fn an_answer_to_a_question_from_before_a_seek_changes_nothing() {
    let mut partitions = partitions(1);
    let (want, from) = (&want(&partitions, 0), Position::at(0));
    assert!(partitions.seek(&name(0), Place::At(Position::at(50))));
    assert!(!partitions.awaits(want, from));
    partitions.queue(chunk(want, from, 10), Position::at(1));
    assert_eq!(take(&mut partitions), None);
    partitions.locate(want, Place::At(Position::at(7)));
    assert!(!partitions.halt(want));
    assert_eq!(partitions.position(&name(0)), Some(Position::at(50)));
    assert!(!partitions.handed_out(&name(0), want.stamp, Position::at(1)));
}

#[test]
fn what_is_being_given_up_is_neither_fetched_nor_handed_out_but_still_committed() {
    let mut partitions = partitions(2);
    fetch(&mut partitions, 0, 10);
    fetch(&mut partitions, 1, 10);
    partitions.done(&[(name(0), Position::at(3))].into_iter().collect());
    partitions.revoke(&[name(0)].into());
    assert_eq!(take(&mut partitions), Some(1));
    assert_eq!(is_fetched(&mut partitions, 0), Some(false));
    assert_eq!(partitions.uncommitted().get(&name(0)), Some(Position::at(3)));
    partitions.remove(&[name(0)]);
    assert!(partitions.uncommitted().is_empty());
    assert_eq!(wishes(&mut partitions), [(0, Wish::Nothing)], "nor is one that is gone");
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
    let wants = look(&mut partitions, now).committed;
    partitions.stir_all();
    assert!(look(&mut partitions, now).committed.is_empty(), "asked once at a time");
    partitions.retry(&wants[0], now, |failures| Duration::from_secs(u64::from(failures)));
    assert!(look(&mut partitions, now).committed.is_empty());
    assert_eq!(partitions.next_retry(), Some(now + Duration::from_secs(1)));
    assert_eq!(look(&mut partitions, now + Duration::from_secs(1)).committed, wants);
    assert_eq!(partitions.next_retry(), None);
}

#[test]
fn a_halted_partition_stands_still_until_a_seek_and_is_reported_once() {
    let mut partitions = partitions(1);
    let want = want(&partitions, 0);
    assert!(partitions.halt(&want));
    assert!(!partitions.halt(&want));
    assert_eq!(is_fetched(&mut partitions, 0), Some(false));
    partitions.seek(&name(0), Place::At(Position::at(9)));
    assert_eq!(is_fetched(&mut partitions, 0), Some(true));
}

#[test]
fn a_partition_without_a_leader_is_known_until_it_has_one() {
    let mut partitions = partitions(2);
    let none = |partition: &TopicPartition| (partition.partition == 0).then(|| led_by_one(partition)).flatten();
    partitions.look(Instant::now(), FULL, none);
    assert!(partitions.any_without_leader());
    partitions.stir_all();
    look(&mut partitions, Instant::now());
    assert!(!partitions.any_without_leader());
    partitions.stir_all();
    partitions.look(Instant::now(), FULL, none);
    partitions.remove(&[name(1)]);
    look(&mut partitions, Instant::now());
    assert!(!partitions.any_without_leader(), "it is not ours any more");
}

#[test]
fn a_new_leader_is_asked_whether_it_has_what_was_read_before_it_is_fetched_from() {
    let mut partitions = partitions(2);
    let of_epoch = |partitions: &mut Partitions, epoch| {
        partitions.stir_all();
        let leader = |_: &TopicPartition| Some(Leader { broker: 1, epoch, topic_id: Uuid::nil() });
        partitions.look(Instant::now(), FULL, leader)
    };
    assert!(of_epoch(&mut partitions, 4).unchecked.is_empty(), "the first leader is asked by the fetch");
    let at = Position { offset: 5, leader_epoch: Some(4) };
    partitions.seek(&name(0), Place::At(at));
    assert!(of_epoch(&mut partitions, 4).unchecked.is_empty());

    let Wants { unchecked, wishes, .. } = of_epoch(&mut partitions, 5);
    let [Unchecked { want, position, epoch: 5, .. }] = &unchecked[..] else { panic!("{unchecked:?}") };
    assert_eq!((want.partition.partition, *position), (0, at), "of the other nothing was read");
    let fetched =
        |wishes: &[(TopicPartition, Wish)]| wishes.iter().filter(|(_, wish)| matches!(wish, Wish::From { .. })).count();
    assert_eq!(fetched(&wishes), 1);
    assert!(of_epoch(&mut partitions, 5).unchecked.is_empty(), "asked once");
    partitions.checked(want, 5);
    let after = of_epoch(&mut partitions, 5);
    assert_eq!((fetched(&after.wishes), after.unchecked.len()), (2, 0));
}

#[test]
fn lag_is_what_lies_between_the_application_and_the_end_of_the_log() {
    let mut partitions = partitions(1);
    let want = want(&partitions, 0);
    assert_eq!(partitions.lag(&name(0)), None);
    partitions.reached(&want, 10);
    partitions.handed_out(&name(0), want.stamp, Position::at(4));
    assert_eq!(partitions.lag(&name(0)), Some(6));
}

#[test]
fn a_topic_that_was_created_again_leaves_nothing_of_the_old_log() {
    let mut partitions = partitions(1);
    fetch(&mut partitions, 0, FULL);
    partitions.done(&[(name(0), Position::at(7))].into_iter().collect());
    partitions.assign(name(1), Place::Committed);
    let moved = partitions.new_log("t", Place::Listed(ListedAt::Earliest));
    assert_eq!(moved, [(name(0), 0)], "the other had not begun");
    assert_eq!((take(&mut partitions), partitions.uncommitted().len()), (None, 0));
    assert_eq!(look(&mut partitions, Instant::now()).listed.len(), 1);
    assert!(partitions.new_log("another", Place::Halted).is_empty());
}
