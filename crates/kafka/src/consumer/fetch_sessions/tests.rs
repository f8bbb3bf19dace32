use super::*;

const BROKER: i32 = 1;
const TOPIC: Uuid = Uuid::from_u128(7);

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn start(offset: i64) -> Start {
    Start { stamp: 1, position: Position::at(offset), leader_epoch: 4, topic_id: TOPIC, served: 0 }
}

fn from(offset: i64) -> Wish {
    Wish::From { leader: BROKER, start: start(offset) }
}

/// Wants partitions 0.. from offset 0.
fn sessions(count: i32) -> FetchSessions {
    let mut sessions = FetchSessions::default();
    (0..count).for_each(|number| sessions.wish(name(number), from(0)));
    sessions
}

/// Fetches everything once, under a session of this number from then on.
fn established(count: i32, session_id: i32) -> FetchSessions {
    let mut sessions = sessions(count);
    sessions.begin(BROKER);
    sessions.ended(BROKER, Ended::Answered { session_id });
    sessions
}

fn named(ask: &Ask) -> Vec<(i32, i64)> {
    ask.named.iter().map(|(partition, start)| (partition.partition, start.position.offset)).collect()
}

fn forgotten(ask: &Ask) -> Vec<i32> {
    ask.forgotten.iter().map(|(partition, _)| partition.partition).collect()
}

#[test]
fn the_first_fetch_names_everything_and_asks_for_a_session() {
    let mut sessions = sessions(3);
    assert_eq!(sessions.idle().collect::<Vec<_>>(), [(BROKER, 3)]);
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch, ask.by_id, ask.partitions), (0, 0, true, 3));
    assert_eq!(named(&ask), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(sessions.idle().count(), 0, "one fetch at a time");
}

#[test]
fn the_next_names_what_has_changed_and_nothing_else() {
    let mut sessions = established(1000, 9);
    sessions.wish(name(5), from(10));
    sessions.wish(name(6), from(0));
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch, ask.partitions), (9, 1, 1000));
    assert_eq!((named(&ask), forgotten(&ask)), (vec![(5, 10)], vec![]));
    sessions.ended(BROKER, Ended::Answered { session_id: 9 });
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_epoch, named(&ask)), (2, vec![]));
}

#[test]
fn what_is_not_to_be_fetched_now_is_forgotten_and_named_again_later() {
    let mut sessions = established(2, 9);
    sessions.wish(name(0), Wish::Later { leader: BROKER });
    let ask = sessions.begin(BROKER);
    assert_eq!((named(&ask), forgotten(&ask), ask.partitions, ask.some_later), (vec![], vec![0], 1, true));
    sessions.ended(BROKER, Ended::Answered { session_id: 9 });
    sessions.wish(name(0), from(0));
    let ask = sessions.begin(BROKER);
    assert_eq!((named(&ask), forgotten(&ask), ask.some_later), (vec![(0, 0)], vec![], false));
}

#[test]
fn what_was_given_up_and_wanted_again_in_between_was_never_gone() {
    let mut sessions = established(1, 9);
    sessions.wish(name(0), Wish::Nothing);
    sessions.wish(name(0), from(0));
    let ask = sessions.begin(BROKER);
    assert_eq!((named(&ask), forgotten(&ask)), (vec![], vec![]));
}

#[test]
fn a_seek_to_the_same_place_is_told_to_nobody_but_its_answer_is_of_the_new_stamp() {
    let mut sessions = established(1, 9);
    let sought = Start { stamp: 2, ..start(0) };
    sessions.wish(name(0), Wish::From { leader: BROKER, start: sought });
    assert!(named(&sessions.begin(BROKER)).is_empty());
    assert_eq!(sessions.asked(BROKER, (TOPIC, ""), 0).unwrap().1.stamp, 2);
}

#[test]
fn an_answer_is_of_what_was_asked_whatever_has_been_wished_since() {
    let mut sessions = established(1, 9);
    sessions.wish(name(0), from(10));
    sessions.begin(BROKER);
    sessions.wish(name(0), from(20));
    assert_eq!(sessions.asked(BROKER, (TOPIC, ""), 0).unwrap().1.position.offset, 10);
    assert_eq!(sessions.asked(BROKER, (TOPIC, ""), 1), None, "what nobody asked for");
    assert_eq!(sessions.asked(BROKER, (Uuid::from_u128(8), ""), 0), None);
    sessions.ended(BROKER, Ended::Answered { session_id: 9 });
    assert_eq!(named(&sessions.begin(BROKER)), [(0, 20)]);
}

#[test]
fn a_partition_moves_to_its_new_leader() {
    let mut sessions = established(2, 9);
    sessions.wish(name(0), Wish::From { leader: 2, start: start(0) });
    let ask = sessions.begin(2);
    assert_eq!((ask.session_id, named(&ask)), (0, vec![(0, 0)]));
    assert_eq!(forgotten(&sessions.begin(BROKER)), [0]);
}

#[test]
fn a_topic_that_was_made_anew_is_another_partition_to_the_broker() {
    let mut sessions = established(1, 9);
    let anew = Uuid::from_u128(8);
    sessions.wish(name(0), Wish::From { leader: BROKER, start: Start { topic_id: anew, ..start(0) } });
    let ask = sessions.begin(BROKER);
    assert_eq!((named(&ask), &ask.forgotten[..]), (vec![(0, 0)], &[(name(0), TOPIC)][..]));
    assert!(sessions.asked(BROKER, (anew, ""), 0).is_some());
}

#[test]
fn a_broker_that_keeps_no_session_is_told_everything_each_time_and_partitions_take_turns() {
    let mut sessions = established(2, 0);
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch, named(&ask).len()), (0, 0, 2));
    sessions.ended(BROKER, Ended::Answered { session_id: 0 });
    sessions.wish(name(0), Wish::From { leader: BROKER, start: Start { served: 1, ..start(5) } });
    assert_eq!(named(&sessions.begin(BROKER)), [(1, 0), (0, 5)]);
    assert_eq!(sessions.kept().count(), 0);
}

#[test]
fn a_session_that_was_lost_is_begun_anew_at_once_and_one_that_fails_after_a_while() {
    let mut sessions = established(2, 9);
    sessions.begin(BROKER);
    assert!(sessions.ended(BROKER, Ended::Unknown), "at once");
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch, named(&ask).len()), (0, 0, 2));
    assert!(!sessions.ended(BROKER, Ended::Failed), "that was a full fetch already");

    let mut sessions = established(2, 9);
    sessions.begin(BROKER);
    sessions.ended(BROKER, Ended::Failed);
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch), (9, 0), "the old one is ended by the new one");
    sessions.ended(BROKER, Ended::Answered { session_id: 10 });
    assert_eq!(sessions.kept().collect::<Vec<_>>(), [(BROKER, 10)]);
}

#[test]
fn a_session_that_the_broker_closed_is_begun_anew() {
    let mut sessions = established(1, 9);
    sessions.begin(BROKER);
    sessions.ended(BROKER, Ended::Answered { session_id: 0 });
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch, named(&ask).len()), (0, 0, 1));
}

#[test]
fn epochs_go_round() {
    let mut sessions = established(1, 9);
    sessions.sessions.get_mut(&BROKER).unwrap().epoch = i32::MAX;
    assert_eq!(sessions.begin(BROKER).session_epoch, i32::MAX);
    sessions.ended(BROKER, Ended::Answered { session_id: 9 });
    assert_eq!(sessions.begin(BROKER).session_epoch, 1);
}

#[test]
fn a_topic_whose_id_is_not_known_makes_all_go_by_name() {
    let mut sessions = established(1, 9);
    sessions.wish(name(1), Wish::From { leader: BROKER, start: Start { topic_id: Uuid::nil(), ..start(0) } });
    let ask = sessions.begin(BROKER);
    assert_eq!((ask.session_id, ask.session_epoch, ask.by_id, named(&ask).len()), (9, 0, false, 2));
    assert!(sessions.asked(BROKER, (Uuid::nil(), "t"), 1).is_some());
}

/// Against a broker that keeps what it is told: after each fetch it fetches just what is wanted.
#[test]
fn the_broker_knows_what_is_wanted_whatever_happens() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sessions = FetchSessions::default();
    let mut wanted: BTreeMap<TopicPartition, Start> = BTreeMap::new();
    let mut told: BTreeMap<(TopicPartition, Uuid), Start> = BTreeMap::new();
    let mut session_id = 0;
    for _ in 0..1_000 {
        for _ in 0..random.usize(..4) {
            let partition = name(random.i32(..12));
            if random.u8(..3) == 0 {
                wanted.remove(&partition);
                let later = random.bool();
                sessions.wish(partition, if later { Wish::Later { leader: BROKER } } else { Wish::Nothing });
            } else {
                let topic_id = Uuid::from_u128(u128::from(random.u8(7..9)));
                let start = Start { topic_id, stamp: random.u64(..3), ..start(random.i64(..5)) };
                wanted.insert(partition.clone(), start.clone());
                sessions.wish(partition, Wish::From { leader: BROKER, start });
            }
        }
        if sessions.idle().next().is_none() {
            continue;
        }
        let ask = sessions.begin(BROKER);
        if ask.session_epoch == 0 {
            told.clear();
            session_id = random.i32(0..3);
        }
        told.extend(ask.named.iter().map(|(partition, start)| ((partition.clone(), start.topic_id), start.clone())));
        for gone in &ask.forgotten {
            assert!(told.remove(gone).is_some(), "seed {seed}: {gone:?} was never told");
        }
        let places = |start: &Start| (start.position, start.topic_id);
        let known: BTreeMap<_, _> = told.iter().map(|((p, _), start)| (p.clone(), places(start))).collect();
        let right: BTreeMap<_, _> = wanted.iter().map(|(p, start)| (p.clone(), places(start))).collect();
        assert_eq!(known, right, "seed {seed}");
        assert_eq!(ask.partitions, wanted.len(), "seed {seed}");
        for (partition, start) in &wanted {
            let asked = sessions.asked(BROKER, (start.topic_id, ""), partition.partition);
            assert_eq!(asked, Some((partition.clone(), start)), "seed {seed}");
        }
        let how = match random.u8(..20) {
            0 => Ended::Unknown,
            1 => Ended::Failed,
            _ => Ended::Answered { session_id },
        };
        sessions.ended(BROKER, how);
    }
}
