//! Fetch sessions (KIP-227) as a pedantic client sees them: what is told, what is not, and when a session is over.

use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest, FetchResponse, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use sandbox::TopicSpec;
use uuid::Uuid;

use crate::wire::{Broker, Wire, batch, sandbox_with};

const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;
/// The last version that names topics, and one that has ids for them.
const NAMES: i16 = 12;
const IDS: i16 = 17;
const BOTH: [i16; 2] = [NAMES, IDS];

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(30);

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A partition and the offset to fetch from.
fn from(index: i32, offset: i64) -> FetchPartition {
    FetchPartition::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(1 << 20)
}

/// What an answer says of a partition.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Records(i32),
    /// No records; the log's start and its end.
    Offsets(i32, i64, i64),
    Error(i32, ResponseError),
}

use Told::{Error, Offsets, Records};

fn told(answer: &FetchResponse) -> Vec<Told> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| {
            let index = partition.partition_index;
            let has_records = partition.records.as_ref().is_some_and(|records| !records.is_empty());
            match ResponseError::try_from_code(partition.error_code) {
                Some(error) => Error(index, error),
                None if has_records => Records(index),
                None => Offsets(index, partition.log_start_offset, partition.high_watermark),
            }
        })
        .collect()
}

/// A client that keeps to the protocol of sessions, and fetches from the broker's topic of three partitions.
struct Reader {
    broker: Broker,
    wire: Wire,
    version: i16,
    topic: (String, Uuid),
    id: i32,
    epoch: i32,
    /// What the next fetch asks for, its session and topics aside.
    limits: FetchRequest,
}

impl Reader {
    async fn new(version: i16) -> Self {
        let broker = Broker::start().await;
        let limits = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_min_bytes(1)
            .with_max_wait_ms(SHORT.as_millis() as i32);
        let (wire, topic) = (Wire::open(&broker).await, (broker.orders.clone(), broker.orders_id));
        Self { broker, wire, version, topic, id: 0, epoch: INITIAL_EPOCH, limits }
    }

    /// With a session that has these partitions.
    async fn with_session(version: i16, partitions: &[FetchPartition]) -> Self {
        let mut reader = Self::new(version).await;
        reader.begin(partitions).await;
        reader
    }

    /// A full fetch that gets a session, in place of the one before.
    async fn begin(&mut self, partitions: &[FetchPartition]) -> Vec<Told> {
        self.epoch = INITIAL_EPOCH;
        let answer = self.call(partitions, &[]).await;
        assert!(answer.error_code == 0 && answer.session_id > 0 && answer.session_id != self.id, "{answer:?}");
        (self.id, self.epoch) = (answer.session_id, 1);
        told(&answer)
    }

    fn is_by_id(&self) -> bool {
        self.version >= 13
    }

    fn request(&self, partitions: &[FetchPartition], forgotten: &[i32]) -> FetchRequest {
        let mut request = self.limits.clone().with_session_id(self.id).with_session_epoch(self.epoch);
        if !partitions.is_empty() {
            let topic = FetchTopic::default().with_partitions(partitions.to_vec());
            let by_name = || topic.clone().with_topic(name(&self.topic.0));
            request.topics = vec![if self.is_by_id() { topic.clone().with_topic_id(self.topic.1) } else { by_name() }];
        }
        if !forgotten.is_empty() {
            let topic = ForgottenTopic::default().with_partitions(forgotten.to_vec());
            let by_name = || topic.clone().with_topic(name(&self.topic.0));
            request.forgotten_topics_data =
                vec![if self.is_by_id() { topic.clone().with_topic_id(self.topic.1) } else { by_name() }];
        }
        request
    }

    /// One fetch, as the session now is.
    async fn call(&mut self, partitions: &[FetchPartition], forgotten: &[i32]) -> FetchResponse {
        let request = self.request(partitions, forgotten);
        self.wire.call(&request, self.version).await.unwrap()
    }

    /// The next incremental fetch, which changes the session by these partitions.
    async fn changes(&mut self, partitions: &[FetchPartition], forgotten: &[i32]) -> Vec<Told> {
        let answer = self.call(partitions, forgotten).await;
        assert_eq!((answer.error_code, answer.session_id), (0, self.id), "epoch {} of {}", self.epoch, self.version);
        self.epoch += 1;
        told(&answer)
    }

    /// The next incremental fetch, of what the session has.
    async fn next(&mut self) -> Vec<Told> {
        self.changes(&[], &[]).await
    }

    /// The error of the next fetch, which has no session and tells nothing.
    async fn refused(&mut self) -> Option<ResponseError> {
        let answer = self.call(&[], &[]).await;
        assert_eq!((answer.session_id, answer.responses.len()), (0, 0));
        ResponseError::try_from_code(answer.error_code)
    }

    fn wait_for(&mut self, wait: Duration) {
        self.limits.max_wait_ms = wait.as_millis() as i32;
    }

    async fn produce(&self, partition: i32) {
        produce(&self.broker, &self.topic.0, partition).await;
    }
}

/// A batch of one record of this moment: Kafka would delete an older one before long, which is news.
fn record() -> Bytes {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut bytes = BytesMut::from(batch(None, &[b"value"]).as_ref());
    bytes[27..35].copy_from_slice(&now.to_be_bytes());
    bytes[35..43].copy_from_slice(&now.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// Writes one record, on a connection of its own.
async fn produce(broker: &Broker, topic: &str, partition: i32) {
    let records = PartitionProduceData::default().with_index(partition).with_records(Some(record()));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![records]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
    let answer = Wire::open(broker).await.call(&request, 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

async fn delete(broker: &Broker, topic: &str) {
    let topics = vec![DeleteTopicState::default().with_name(Some(name(topic)))];
    let request = DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(5_000);
    assert_eq!(Wire::open(broker).await.call(&request, 6).await.unwrap().responses[0].error_code, 0);
}

#[tokio::test]
async fn a_fetch_of_a_session_in_which_nothing_has_changed_waits_and_names_no_partition() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0), from(1, 0), from(2, 0)]).await;
        for _ in 0..2 {
            let began = Instant::now();
            assert_eq!(reader.next().await, []);
            assert!(began.elapsed() >= SHORT);
        }
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn only_the_partition_with_records_is_told_and_a_change_of_position_is_taken_over() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0), from(1, 0), from(2, 0)]).await;
        reader.produce(1).await;
        assert_eq!(reader.next().await, [Records(1)]);
        assert_eq!(reader.next().await, [Records(1)], "the position is where it was");
        assert_eq!(reader.changes(&[from(1, 1)], &[]).await, []);
        assert_eq!(reader.changes(&[from(1, 0)], &[]).await, [Records(1)]);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn records_in_any_partition_of_the_session_end_the_wait() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0), from(1, 0), from(2, 0)]).await;
        reader.wait_for(LONG);
        let began = Instant::now();
        let parked = reader.request(&[], &[]);
        let (answer, ()) = tokio::join!(
            reader.wire.call(&parked, version),
            // Whichever arrives first, the answer has the record.
            produce(&reader.broker, &reader.topic.0, 2),
        );
        assert_eq!(told(&answer.unwrap()), [Records(2)]);
        assert!(began.elapsed() < LONG);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn partitions_are_added_and_forgotten() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0), from(1, 0)]).await;
        reader.produce(0).await;
        reader.produce(2).await;
        assert_eq!(reader.changes(&[], &[0]).await, []);
        assert_eq!(reader.changes(&[from(2, 0)], &[]).await, [Records(2)]);
        assert_eq!(reader.changes(&[from(2, 1)], &[]).await, []);
        assert_eq!(reader.changes(&[from(0, 1)], &[]).await, [Offsets(0, 0, 1)], "what is added is told once");
        assert_eq!(reader.changes(&[], &[7]).await, [], "what was never there is forgotten");
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_session_without_partitions_is_over() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0)]).await;
        let answer = reader.call(&[], &[0]).await;
        assert_eq!((answer.error_code, answer.session_id, told(&answer)), (0, 0, vec![]));
        reader.epoch += 1;
        assert_eq!(reader.refused().await, Some(ResponseError::FetchSessionIdNotFound));

        // It can be had, but not used.
        assert_eq!(reader.begin(&[]).await, []);
        assert_eq!(reader.refused().await, None);
        assert_eq!(reader.refused().await, Some(ResponseError::FetchSessionIdNotFound));

        // Whoever adds and forgets in one request is answered all the same.
        let mut reader = Reader::with_session(version, &[from(0, 0)]).await;
        let answer = reader.call(&[from(1, 0)], &[0, 1]).await;
        assert_eq!((answer.error_code, answer.session_id, told(&answer)), (0, 0, vec![Offsets(1, 0, 0)]));
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn who_comes_with_another_session_or_epoch_is_told_so_at_once() {
    let mut reader = Reader::with_session(IDS, &[from(0, 0)]).await;
    reader.wait_for(LONG);
    let began = Instant::now();
    for wrong in [2, 5, i32::MAX, -2] {
        reader.epoch = wrong;
        assert_eq!(reader.refused().await, Some(ResponseError::InvalidFetchSessionEpoch), "epoch {wrong}");
    }
    let id = std::mem::replace(&mut reader.id, 0);
    reader.epoch = 1;
    assert_eq!(reader.refused().await, Some(ResponseError::FetchSessionIdNotFound));
    assert!(began.elapsed() < LONG);
    reader.id = id;
    reader.wait_for(SHORT);
    assert_eq!(reader.next().await, [], "none of that did the session any harm");
    reader.epoch -= 1;
    assert_eq!(reader.refused().await, Some(ResponseError::InvalidFetchSessionEpoch), "an epoch is good once");
    reader.broker.shutdown().await;
}

#[tokio::test]
async fn a_full_fetch_ends_the_session_that_it_names() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0), from(1, 0)]).await;
        let first = reader.id;
        assert_eq!(reader.begin(&[from(1, 0)]).await, [Offsets(1, 0, 0)]);
        let second = std::mem::replace(&mut reader.id, first);
        assert_eq!(reader.refused().await, Some(ResponseError::FetchSessionIdNotFound));

        (reader.id, reader.epoch) = (second, FINAL_EPOCH);
        let last = reader.call(&[from(0, 0), from(2, 0)], &[]).await;
        assert_eq!((last.error_code, last.session_id), (0, 0));
        assert_eq!(told(&last), [Offsets(0, 0, 0), Offsets(2, 0, 0)]);
        reader.epoch = 1;
        assert_eq!(reader.refused().await, Some(ResponseError::FetchSessionIdNotFound));
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_session_belongs_to_no_connection() {
    let mut reader = Reader::with_session(IDS, &[from(0, 0)]).await;
    reader.wire = Wire::open(&reader.broker).await;
    reader.produce(0).await;
    assert_eq!(reader.next().await, [Records(0)]);
    reader.broker.shutdown().await;
}

#[tokio::test]
async fn the_fetch_that_waits_is_refused_when_another_has_used_its_session() {
    let mut reader = Reader::with_session(IDS, &[from(0, 0)]).await;
    let mut other = Wire::open(&reader.broker).await;
    let parked = reader.request(&[], &[]).with_max_wait_ms(LONG.as_millis() as i32);
    let overtaking = reader.request(&[], &[]).with_session_epoch(2);
    let (answer, ()) = tokio::join!(reader.wire.call(&parked, IDS), async {
        // Until the first has arrived, this one is too early.
        while other.call(&overtaking, IDS).await.unwrap().error_code != 0 {}
        produce(&reader.broker, &reader.topic.0, 0).await;
    });
    let answer = answer.unwrap();
    assert_eq!(answer.error_code, ResponseError::InvalidFetchSessionEpoch.code());
    assert_eq!((answer.session_id, told(&answer)), (reader.id, vec![]));
    reader.epoch = 3;
    assert_eq!(reader.next().await, [Records(0)]);
    reader.broker.shutdown().await;
}

#[tokio::test]
async fn a_session_names_topics_in_one_way() {
    for (version, other) in [(NAMES, IDS), (IDS, NAMES)] {
        let mut reader = Reader::with_session(version, &[from(0, 0)]).await;
        reader.version = other;
        assert_eq!(reader.refused().await, Some(ResponseError::FetchSessionTopicIdError));
        reader.version = version;
        assert_eq!(reader.next().await, []);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn an_error_is_told_at_once_and_each_time_and_so_is_its_end() {
    for version in BOTH {
        let mut reader = Reader::with_session(version, &[from(0, 0), from(1, 9)]).await;
        reader.wait_for(LONG);
        let began = Instant::now();
        for _ in 0..2 {
            assert_eq!(reader.next().await, [Error(1, ResponseError::OffsetOutOfRange)]);
        }
        let other_epoch = from(1, 0).with_current_leader_epoch(9);
        assert_eq!(reader.changes(&[other_epoch], &[]).await, [Error(1, ResponseError::UnknownLeaderEpoch)]);
        assert!(began.elapsed() < LONG);
        reader.wait_for(SHORT);
        assert_eq!(reader.changes(&[from(1, 0)], &[]).await, [Offsets(1, 0, 0)]);
        assert_eq!(reader.next().await, []);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn what_does_not_exist_is_told_each_time_and_the_others_are_waited_for() {
    for (version, topic_error) in
        [(NAMES, ResponseError::UnknownTopicOrPartition), (IDS, ResponseError::UnknownTopicId)]
    {
        let mut reader = Reader::with_session(version, &[from(9, 0), from(0, 0)]).await;
        for _ in 0..2 {
            let began = Instant::now();
            assert_eq!(reader.next().await, [Error(9, ResponseError::UnknownTopicOrPartition)]);
            assert!(began.elapsed() >= SHORT);
        }
        reader.topic = (format!("later-{}", reader.broker.run), Uuid::from_u128(7));
        let mut both = [Error(9, ResponseError::UnknownTopicOrPartition), Error(1, topic_error)];
        if version == IDS {
            // Kafka names unknown ids first.
            both.reverse();
        }
        assert_eq!(reader.changes(&[from(1, 0)], &[]).await, both);
        reader.topic = (reader.broker.orders.clone(), reader.broker.orders_id);
        let began = Instant::now();
        reader.wait_for(LONG);
        assert_eq!(reader.changes(&[], &[0]).await, both, "there is nothing to wait for");
        assert!(began.elapsed() < LONG);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_topic_that_is_made_later_is_told() {
    let mut reader = Reader::new(NAMES).await;
    reader.topic.0 = format!("later-{}", reader.broker.run);
    assert_eq!(reader.begin(&[from(0, 0)]).await, [Error(0, ResponseError::UnknownTopicOrPartition)]);
    reader.broker.create_topic(&reader.topic.0, 1).await;
    assert_eq!(reader.next().await, [Offsets(0, 0, 0)]);
    assert_eq!(reader.next().await, []);
    reader.broker.shutdown().await;
}

#[tokio::test]
async fn a_deleted_topic_is_told_each_time_and_its_successor_is_another() {
    for (version, successor) in [(NAMES, Offsets(0, 0, 0)), (IDS, Error(0, ResponseError::InconsistentTopicId))] {
        let mut reader = Reader::with_session(version, &[from(0, 0)]).await;
        delete(&reader.broker, &reader.topic.0).await;
        // A Kafka needs a moment, in which its leader goes away first.
        let on_the_way = [ResponseError::NotLeaderOrFollower, ResponseError::KafkaStorageError];
        let is_on_the_way = |told: &Told| on_the_way.iter().any(|error| *told == Error(0, *error));
        let mut news = reader.next().await;
        while news.iter().all(is_on_the_way) {
            news = reader.next().await;
        }
        for _ in 0..2 {
            assert_eq!(news, [Error(0, ResponseError::UnknownTopicOrPartition)], "version {version}");
            news = reader.next().await;
        }
        reader.broker.create_topic(&reader.topic.0, 1).await;
        assert_eq!(reader.next().await, [successor]);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_log_that_begins_later_is_told() {
    let mut reader = Reader::new(IDS).await;
    reader.produce(0).await;
    assert_eq!(reader.begin(&[from(0, 1)]).await, [Offsets(0, 0, 1)]);
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(1);
    let topic = DeleteRecordsTopic::default().with_name(name(&reader.topic.0)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    assert_eq!(reader.wire.call(&request, 2).await.unwrap().topics[0].partitions[0].error_code, 0);
    assert_eq!(reader.next().await, [Offsets(0, 1, 1)]);
    assert_eq!(reader.next().await, []);
    reader.broker.shutdown().await;
}

#[tokio::test]
async fn partitions_take_turns_when_an_answer_has_room_for_one() {
    for version in BOTH {
        let mut reader = Reader::new(version).await;
        for partition in 0..3 {
            reader.produce(partition).await;
        }
        reader.limits.max_bytes = 1;
        let first = reader.begin(&[from(0, 0), from(1, 0), from(2, 0)]).await;
        assert_eq!(first, [Records(0), Offsets(1, 0, 1), Offsets(2, 0, 1)]);
        for expected in [0, 1, 2, 0, 1] {
            assert_eq!(reader.next().await, [Records(expected)]);
        }
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_named_twice_is_told_once_as_it_was_named_last() {
    for version in BOTH {
        let mut reader = Reader::new(version).await;
        reader.produce(0).await;
        let first = reader.begin(&[from(0, 0), from(1, 0), from(0, 1)]).await;
        assert_eq!(first, [Offsets(0, 0, 1), Offsets(1, 0, 0)]);
        reader.broker.shutdown().await;
    }
}

#[tokio::test]
async fn who_uses_anothers_session_reads_no_more_than_it_may() {
    let orders = "grocery.orders.v1";
    let sandbox = sandbox_with(|config| {
        config.topics = vec![TopicSpec { name: orders.to_owned(), partitions: 3, settings: Vec::new() }];
    })
    .await;
    let topic = FetchTopic::default().with_topic(name(orders)).with_partitions(vec![from(0, 0)]);
    let request = FetchRequest::default().with_session_epoch(INITIAL_EPOCH).with_topics(vec![topic]);
    let mut owner = Wire::log_in(&sandbox, "fulfillment-service").await;
    let granted = owner.call(&request, NAMES).await.unwrap();
    assert_eq!((granted.error_code, granted.responses[0].partitions[0].error_code), (0, 0));

    let request = FetchRequest::default().with_session_id(granted.session_id).with_session_epoch(1);
    let mut other = Wire::log_in(&sandbox, "picklist-consumer").await;
    let answer = other.call(&request, NAMES).await.unwrap();
    assert_eq!(told(&answer), [Error(0, ResponseError::TopicAuthorizationFailed)]);
    sandbox.shutdown().await;
}
