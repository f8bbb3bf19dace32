//! The table of sessions, step by step. What clients see of it is in the tests on the wire.

use super::*;

const LATER: Duration = Duration::from_secs(121);

fn key(topic: &str, index: i32) -> PartitionKey {
    PartitionKey { topic: TopicKey::Name(topic.into()), index }
}

const fn at(offset: i64) -> Wanted {
    Wanted { offset, max_bytes: 1 << 20, leader_epoch: -1 }
}

/// The first `count` partitions of a topic.
fn first(topic: &str, count: i32) -> Vec<(PartitionKey, Wanted)> {
    let topic = TopicKey::Name(topic.into());
    (0..count).map(|index| (PartitionKey { topic: topic.clone(), index }, at(0))).collect()
}

fn empty_log() -> Found {
    Found { high_watermark: 0, log_start: 0, has_records: false, has_error: false }
}

fn records() -> Found {
    Found { high_watermark: 1, has_records: true, ..empty_log() }
}

fn error() -> Found {
    Found { high_watermark: -1, log_start: -1, has_error: true, ..empty_log() }
}

fn indexes(begun: &Begun) -> Vec<i32> {
    begun.partitions.iter().map(|partition| partition.key.index).collect()
}

/// The sessions, their clock, and what is random.
struct Table {
    sessions: FetchSessions,
    now: Instant,
    next_id: i32,
}

impl Table {
    fn new() -> Self {
        Self { sessions: FetchSessions::default(), now: Instant::now(), next_id: 1 }
    }

    /// With as many sessions of `partitions` as there may be. Their ids begin at 1.
    fn full(partitions: i32) -> Self {
        let mut table = Self::new();
        for id in 1..=MAX_SESSIONS as i32 {
            assert_eq!(table.open(&first("orders", partitions)), id);
        }
        table
    }

    fn begin(
        &mut self,
        id: i32,
        epoch: i32,
        named: &[(PartitionKey, Wanted)],
        forgotten: &[PartitionKey],
    ) -> Result<Begun, ResponseError> {
        let request = SessionRequest { id, epoch, uses_topic_ids: false };
        self.sessions.begin(request, named, forgotten, &|_| None, self.now)
    }

    /// A full fetch of empty logs.
    fn open(&mut self, named: &[(PartitionKey, Wanted)]) -> i32 {
        let begun = self.begin(NO_SESSION, INITIAL_EPOCH, named, &[]).unwrap();
        assert_eq!(begun.answering, Answering::Full);
        let told = begun.partitions.into_iter().map(|partition| (partition, empty_log())).collect();
        let next_id = &mut self.next_id;
        let random = || std::mem::replace(next_id, *next_id + 1);
        self.sessions.open(false, told, self.now, random)
    }

    /// The partitions of the next fetch, which changes nothing.
    fn next(&mut self, id: i32, epoch: i32) -> Vec<i32> {
        indexes(&self.begin(id, epoch, &[], &[]).unwrap())
    }

    fn is_gone(&mut self, id: i32) -> bool {
        !self.sessions.0.contains_key(&id)
    }
}

#[test]
fn epochs_go_up_and_from_the_largest_back_to_one() {
    let mut table = Table::new();
    let id = table.open(&first("orders", 1));
    table.sessions.0.get_mut(&id).unwrap().epoch = i32::MAX - 1;
    for (epoch, after) in [(i32::MAX - 1, i32::MAX), (i32::MAX, 1), (1, 2)] {
        let begun = table.begin(id, epoch, &[], &[]).unwrap();
        assert_eq!(begun.answering, Answering::Incremental { id, epoch: after });
    }
}

#[test]
fn a_request_that_is_refused_changes_nothing() {
    let mut table = Table::new();
    let id = table.open(&first("orders", 2));
    let refused = table.begin(id, 2, &[(key("orders", 7), at(0))], &[key("orders", 0)]);
    assert_eq!(refused.unwrap_err(), ResponseError::InvalidFetchSessionEpoch);
    let by_id = SessionRequest { id, epoch: 1, uses_topic_ids: true };
    let refused = table.sessions.begin(by_id, &[], &[key("orders", 0)], &|_| None, table.now);
    assert_eq!(refused.unwrap_err(), ResponseError::FetchSessionTopicIdError);
    assert_eq!(table.next(id, 1), [0, 1]);
}

#[test]
fn an_id_is_positive_and_that_of_no_other_session() {
    let mut table = Table::new();
    let taken = table.open(&first("orders", 1));
    let mut random = [-1, 0, i32::MIN, taken, 7].into_iter();
    let id = table.sessions.open(false, Vec::new(), table.now, || random.next().unwrap());
    assert_eq!(id, 7);
}

#[test]
fn a_partition_is_told_when_something_of_it_has_changed() {
    let mut partition = FetchedPartition::new(key("orders", 0), at(0));
    assert!(partition.is_news(&empty_log()), "nothing was told before");
    partition.remember(&empty_log());
    assert!(!partition.is_news(&empty_log()));
    assert!(partition.is_news(&Found { high_watermark: 1, ..empty_log() }));
    assert!(partition.is_news(&Found { log_start: 1, ..empty_log() }));
    partition.remember(&records());
    assert!(partition.is_news(&records()), "records are always told");
    assert!(!partition.is_news(&Found { has_records: false, ..records() }));
}

#[test]
fn an_error_is_always_told_and_what_follows_it_too() {
    let mut partition = FetchedPartition::new(key("orders", 0), at(0));
    // Even one that comes with the offsets of before.
    let error_with_offsets = Found { has_error: true, ..empty_log() };
    for error in [error(), error_with_offsets] {
        partition.remember(&error);
        assert!(partition.is_news(&error) && partition.is_news(&empty_log()));
    }
}

#[test]
fn partitions_with_records_go_to_the_end_of_the_queue_and_those_with_errors_do_not() {
    let mut table = Table::new();
    let id = table.open(&first("orders", 4));
    let begun = table.begin(id, 1, &[], &[]).unwrap();
    let found = [records(), error(), records(), empty_log()];
    let told: Vec<_> = begun.partitions.into_iter().zip(found).collect();
    assert_eq!(table.sessions.answered(id, 2, &told[..3]), Ok(()));
    assert_eq!(table.next(id, 2), [1, 3, 0, 2]);
    assert_eq!(indexes(&table.begin(id, 3, &[(key("orders", 9), at(0))], &[key("orders", 3)]).unwrap()), [1, 0, 2, 9]);
}

#[test]
fn an_answer_that_was_overtaken_is_refused_and_one_whose_session_is_gone_is_not() {
    let mut table = Table::new();
    let id = table.open(&first("orders", 1));
    table.next(id, 1);
    table.next(id, 2);
    assert_eq!(table.sessions.answered(id, 2, &[]), Err(ResponseError::InvalidFetchSessionEpoch));
    table.begin(id, FINAL_EPOCH, &[], &[]).unwrap();
    assert_eq!(table.sessions.answered(id, 3, &[]), Ok(()));
}

#[test]
fn a_topic_id_is_looked_up_until_it_is_known_and_its_name_is_kept() {
    let mut table = Table::new();
    let key = PartitionKey { topic: TopicKey::Id(Uuid::from_u128(7)), index: 0 };
    let mut fetch = |id, epoch, named: &[_], name: Option<&str>| {
        let request = SessionRequest { id, epoch, uses_topic_ids: true };
        let begun = table.sessions.begin(request, named, &[], &|_| name.map(Arc::from), table.now).unwrap();
        let partition = begun.partitions.into_iter().next().unwrap();
        let name = partition.name.as_deref().map(str::to_owned);
        let told = vec![(partition, error())];
        let id = if epoch == 0 { table.sessions.open(true, told, table.now, || 1) } else { id };
        (id, name)
    };
    let (id, unknown) = fetch(0, 0, &[(key.clone(), at(0))], None);
    assert_eq!(unknown, None);
    assert_eq!(fetch(id, 1, &[], None).1, None);
    assert_eq!(fetch(id, 2, &[], Some("orders")).1.as_deref(), Some("orders"));
    assert_eq!(fetch(id, 3, &[(key, at(5))], None).1.as_deref(), Some("orders"), "the topic was deleted");
}

#[test]
fn while_all_sessions_are_in_use_there_is_no_further_one() {
    let mut table = Table::full(1);
    table.now += EVICTION;
    assert_eq!(table.open(&first("orders", 5)), NO_SESSION);
    table.begin(5, FINAL_EPOCH, &[], &[]).unwrap();
    assert_ne!(table.open(&first("orders", 1)), NO_SESSION);
    assert_eq!(table.open(&first("orders", 1)), NO_SESSION);
}

#[test]
fn the_session_that_was_unused_for_longest_makes_room() {
    let mut table = Table::full(1);
    table.now += Duration::from_secs(1);
    for id in (1..=MAX_SESSIONS as i32).filter(|id| *id != 500) {
        table.next(id, 1);
    }
    table.now += EVICTION;
    assert_ne!(table.open(&first("orders", 1)), NO_SESSION);
    assert!(table.is_gone(500));
    assert_eq!(table.open(&first("orders", 1)), NO_SESSION, "the others were used two minutes ago and not longer");
}

#[test]
fn a_larger_session_takes_the_place_of_a_smaller_one_that_was_used_for_long() {
    let mut table = Table::full(3);
    // Before a session has been used for two minutes it has its place for certain.
    table.next(7, 1);
    assert_eq!(table.open(&first("orders", 100)), NO_SESSION);
    table.now += LATER;
    for id in 1..=MAX_SESSIONS as i32 {
        table.next(id, if id == 7 { 2 } else { 1 });
    }
    table.begin(9, 2, &[], &[key("orders", 0)]).unwrap();
    assert_eq!(table.open(&first("orders", 2)), NO_SESSION, "as large is not larger");
    assert_ne!(table.open(&first("orders", 3)), NO_SESSION);
    assert!(table.is_gone(9), "it was the smallest");
    assert_eq!(table.open(&first("orders", 3)), NO_SESSION);
}

#[test]
fn all_sessions_together_hold_so_many_partitions_and_no_more() {
    const MANY: i32 = MAX_PARTITIONS_IN_ALL as i32;
    let mut table = Table::new();
    let small = table.open(&first("orders", 1));
    let mut opened = 0;
    while table.open(&first("orders", MANY)) != NO_SESSION {
        opened += 1;
    }
    assert_eq!(opened, MAX_BYTES / (MAX_PARTITIONS_IN_ALL * (PARTITION_BYTES + "orders".len())));
    // Who makes a session larger than there is room for has none any more.
    let grown = table.begin(small, 1, &first("orders", MANY), &[]);
    assert_eq!(grown.unwrap_err(), ResponseError::FetchSessionIdNotFound);
    assert!(table.is_gone(small));
    assert_ne!(table.open(&first("orders", 1)), NO_SESSION);
    // What is not used makes room here as well.
    table.now += LATER;
    assert_ne!(table.open(&first("orders", MANY)), NO_SESSION);
}

#[test]
fn no_session_holds_more_partitions_than_a_broker() {
    const MANY: i32 = MAX_PARTITIONS_IN_ALL as i32;
    let mut table = Table::new();
    assert_eq!(table.open(&first("orders", MANY + 1)), NO_SESSION);
    let id = table.open(&first("orders", MANY));
    let grown = table.begin(id, 1, &first("more", 1), &[]);
    assert_eq!(grown.unwrap_err(), ResponseError::FetchSessionIdNotFound);
}

#[test]
fn what_is_forgotten_takes_no_room() {
    let mut table = Table::new();
    let id = table.open(&first("orders", 10_000));
    let forgotten: Vec<_> = first("orders", 10_000).into_iter().skip(1).map(|(key, _)| key).collect();
    table.begin(id, 1, &[], &forgotten).unwrap();
    let partitions = &table.sessions.0[&id].partitions;
    assert_eq!(partitions.bytes, PARTITION_BYTES + "orders".len());
    assert!(partitions.turns.capacity() < 10);
}

#[test]
fn long_names_count_for_what_they_take() {
    let mut table = Table::new();
    let long = "x".repeat(1 << 20);
    assert_eq!(table.open(&first(&long, 32)), NO_SESSION);
    assert_ne!(table.open(&first(&long, 31)), NO_SESSION);
    assert_eq!(table.open(&first(&long, 1)), NO_SESSION);
}
