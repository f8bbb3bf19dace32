//! A consumer against a broker whose answers to fetches a test writes: what goes over the wire of a fetch session.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, FetchResponse, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::connection::scripted::{ScriptedBroker, body};
use crate::records::{BatchBuilder, Compression, NewRecord, Sequence};
use crate::{ClientConfig, Cluster};

const TOPIC: Uuid = Uuid::from_u128(7);
const PARTITIONS: i32 = 100;
const PATIENCE: Duration = Duration::from_secs(20);

/// A fetch that waits for its answer.
type Fetched = (FetchRequest, oneshot::Sender<FetchResponse>);

/// A broker that leads all partitions of one topic and hands fetches over.
async fn broker() -> (Cluster, mpsc::UnboundedReceiver<Fetched>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (fetches, arriving) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, port, fetches.clone()));
        }
    });
    let config = ClientConfig::new([format!("127.0.0.1:{port}")]);
    (Cluster::connect(config).await.unwrap(), arriving)
}

async fn serve(stream: TcpStream, port: u16, fetches: mpsc::UnboundedSender<Fetched>) {
    let mut broker = ScriptedBroker::over(stream);
    broker.answer_versions().await;
    while let Some(arrived) = broker.next().await {
        match arrived.key {
            ApiKey::Metadata => broker.answer(&arrived, &metadata(port)).await,
            ApiKey::Fetch => {
                let (answer, answered) = oneshot::channel();
                fetches.send((body(&arrived), answer)).unwrap();
                let Ok(answer) = answered.await else { return };
                broker.answer(&arrived, &answer).await;
            }
            other => panic!("{other:?} is not a consumer's of this test"),
        }
    }
}

fn metadata(port: u16) -> MetadataResponse {
    let host = StrBytes::from_static_str("127.0.0.1");
    let broker = MetadataResponseBroker::default().with_node_id(BrokerId(1)).with_host(host).with_port(i32::from(port));
    let partition = |index| {
        let partition = MetadataResponsePartition::default().with_partition_index(index).with_leader_id(BrokerId(1));
        partition.with_leader_epoch(4)
    };
    let topic = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
        .with_topic_id(TOPIC)
        .with_partitions((0..PARTITIONS).map(partition).collect());
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
}

/// Partitions and offsets that a fetch names.
fn named(fetch: &FetchRequest) -> Vec<(i32, i64)> {
    let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
}

fn of_session(session_id: i32, partitions: Vec<PartitionData>) -> FetchResponse {
    let topic = FetchableTopicResponse::default().with_topic_id(TOPIC).with_partitions(partitions);
    FetchResponse::default().with_session_id(session_id).with_responses(vec![topic])
}

fn one_record(partition: i32) -> PartitionData {
    let mut builder = BatchBuilder::new(Vec::new());
    let headers = std::iter::empty::<(&str, Option<&[u8]>)>();
    builder.append(NewRecord { timestamp: 1, key: None, value: Some(b"order"), headers });
    let records: Bytes = builder.finish(Sequence::NONE, Compression::None, false).unwrap();
    PartitionData::default().with_partition_index(partition).with_high_watermark(1).with_records(Some(records))
}

async fn next(fetches: &mut mpsc::UnboundedReceiver<Fetched>) -> Fetched {
    timeout(PATIENCE, fetches.recv()).await.expect("a fetch in time").unwrap()
}

#[tokio::test]
async fn a_fetch_names_what_has_changed_a_lost_session_is_begun_anew_and_closing_ends_it() {
    let (cluster, mut fetches) = broker().await;
    let all = (0..PARTITIONS).map(|number| (TopicPartition::new("t", number), StartFrom::Offset(0)));
    let mut consumer = cluster.consumer_with(ConsumerConfig::assigned(all)).await.unwrap();

    let (fetch, answer) = next(&mut fetches).await;
    assert_eq!((fetch.session_id, fetch.session_epoch, named(&fetch).len()), (0, 0, PARTITIONS as usize));
    let nothing = |index| PartitionData::default().with_partition_index(index).with_records(Some(Bytes::new()));
    answer.send(of_session(77, (0..PARTITIONS).map(nothing).collect())).unwrap();

    let (fetch, answer) = next(&mut fetches).await;
    assert_eq!((fetch.session_id, fetch.session_epoch, named(&fetch)), (77, 1, vec![]));
    answer.send(of_session(77, vec![one_record(42)])).unwrap();
    let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("a record in time").unwrap().unwrap();
    assert_eq!((batch.topic_partition().partition, batch.len()), (42, 1));

    let (fetch, answer) = next(&mut fetches).await;
    assert_eq!((fetch.session_epoch, named(&fetch), fetch.forgotten_topics_data.len()), (2, vec![(42, 1)], 0));
    answer.send(FetchResponse::default().with_error_code(70)).unwrap();

    let (fetch, answer) = next(&mut fetches).await;
    assert_eq!((fetch.session_id, fetch.session_epoch), (0, 0));
    let everything = named(&fetch);
    assert_eq!(everything.len(), PARTITIONS as usize);
    assert!(everything.contains(&(42, 1)), "from where it was: {everything:?}");
    assert_eq!(everything.last(), Some(&(42, 1)), "who was served is named last");
    answer.send(of_session(78, Vec::new())).unwrap();

    let (fetch, _waits) = next(&mut fetches).await;
    assert_eq!((fetch.session_id, fetch.session_epoch), (78, 1));
    let closing = tokio::spawn(consumer.close());
    let (farewell, answer) = next(&mut fetches).await;
    assert_eq!((farewell.session_id, farewell.session_epoch, farewell.topics.len()), (78, -1, 0));
    answer.send(FetchResponse::default()).unwrap();
    timeout(PATIENCE, closing).await.expect("closed in time").unwrap().unwrap();
}

#[tokio::test]
async fn a_paused_partition_is_forgotten_and_named_again_when_it_goes_on() {
    let (cluster, mut fetches) = broker().await;
    let both = [0, 1].map(|number| (TopicPartition::new("t", number), StartFrom::Offset(0)));
    let consumer = cluster.consumer_with(ConsumerConfig::assigned(both)).await.unwrap();
    let (_, answer) = next(&mut fetches).await;
    let first = [TopicPartition::new("t", 0)];
    consumer.pause(&first).unwrap();
    answer.send(of_session(5, Vec::new())).unwrap();

    let (fetch, answer) = next(&mut fetches).await;
    let [forgotten] = &fetch.forgotten_topics_data[..] else { panic!("{fetch:?}") };
    assert_eq!((forgotten.topic_id, &forgotten.partitions[..], named(&fetch)), (TOPIC, &[0][..], vec![]));
    consumer.resume(&first).unwrap();
    answer.send(of_session(5, Vec::new())).unwrap();

    let (fetch, _answer) = next(&mut fetches).await;
    assert_eq!((fetch.session_epoch, named(&fetch), fetch.forgotten_topics_data.len()), (2, vec![(0, 0)], 0));
}
