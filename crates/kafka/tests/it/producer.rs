//! Producers against a whole broker, which checks what they send: lengths, checksums, codecs, sequences.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::time::Duration;

use futures::FutureExt;
use kafka::{
    Cluster, Compression, ConsumerConfig, ConsumerRecord, DeliveryError, NewTopic, ProducerConfig, ProducerError,
    Record, StartFrom, TopicPartition,
};
use tokio::time::timeout;

use crate::target::{connect, eventually, unique};

const PATIENCE: Duration = Duration::from_secs(40);

async fn topic(cluster: &Cluster, name: &str, settings: &[(&str, &str)]) -> String {
    let name = unique(name);
    let new = NewTopic::new(&name).partitions(1).replication(1);
    let new = settings.iter().fold(new, |new, (key, value)| new.config(*key, *value));
    cluster.admin().create_topics([new]).await.unwrap().remove(&name).unwrap().unwrap();
    name
}

/// The first `count` records of partition 0.
async fn first(cluster: &Cluster, topic: &str, count: usize) -> Vec<ConsumerRecord> {
    let config = ConsumerConfig::assigned([(TopicPartition::new(topic, 0), StartFrom::Earliest)]);
    let mut consumer = cluster.consumer_with(config).await.unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("records in time").unwrap().unwrap();
        records.extend(batch.owned());
    }
    records
}

#[tokio::test]
async fn every_codec_is_taken_by_the_broker_and_comes_back_as_it_was() {
    let cluster = connect().await;
    let text: String = (0..400).map(|number| format!("basket {number}, ")).collect();
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let name = topic(&cluster, compression.name(), &[]).await;
        let producer = cluster.producer(ProducerConfig { compression, ..ProducerConfig::default() }).unwrap();
        let records = (0..100).map(|number| {
            let record = Record::to(name.as_str()).value(&text).header("number", number.to_string());
            let record = record.null_header("nothing").timestamp(1_757_341_800_000 + number);
            if number % 2 == 0 { record.key(number.to_string()) } else { record }
        });
        assert_eq!(producer.send_all(records).await.unwrap(), 100, "{compression:?}");
        for (number, record) in first(&cluster, &name, 100).await.iter().enumerate() {
            assert_eq!(record.value.as_deref().unwrap(), text.as_bytes(), "{compression:?}");
            assert_eq!(record.key.is_some(), number % 2 == 0);
            assert_eq!((record.offset, record.timestamp), (number as i64, 1_757_341_800_000 + number as i64));
            let headers: Vec<_> =
                record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            assert_eq!(headers, [("number", Some(number.to_string().as_bytes())), ("nothing", None)]);
        }
        cluster.admin().delete_topics([name]).await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_topic_goes_in_parts_and_a_record_that_is_fails() {
    let cluster = connect().await;
    let name = topic(&cluster, "small", &[("max.message.bytes", "4000")]).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let value = vec![7; 1000];
    let records = (0..20).map(|number| Record::to(name.as_str()).key(number.to_string()).value(&value));
    assert_eq!(producer.send_all(records).await.unwrap(), 20);
    let keys: Vec<_> =
        first(&cluster, &name, 20).await.iter().map(|record| record.key.as_deref().unwrap().to_vec()).collect();
    assert_eq!(keys, (0..20).map(|number| number.to_string().into_bytes()).collect::<Vec<_>>(), "in order, each once");

    let large = producer.send(Record::to(name.as_str()).value(vec![7; 5000])).await.unwrap();
    let error = large.await.unwrap_err();
    assert!(matches!(error, DeliveryError::RecordTooLarge { .. }) && error.is_fatal(), "{error}");
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    let next = producer.send(Record::to(name.as_str()).value("goes on")).await.unwrap();
    assert_eq!(next.await.unwrap().offset, 20);
    cluster.admin().delete_topics([name]).await.unwrap();
}

#[tokio::test]
async fn the_broker_sets_the_time_where_the_topic_says_so() {
    let cluster = connect().await;
    let name = topic(&cluster, "time", &[("message.timestamp.type", "LogAppendTime")]).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let sent = producer.send(Record::to(name.as_str()).value("x").timestamp(1000)).await.unwrap();
    let written = sent.await.unwrap();
    assert!(written.timestamp > 1_700_000_000_000, "{written:?}");
    assert_eq!(first(&cluster, &name, 1).await[0].timestamp, written.timestamp);
    cluster.admin().delete_topics([name]).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_what_to_change() {
    let mut config = kafka::ClientConfig::new([crate::target::bootstrap()]);
    config.topic_wait = Duration::from_millis(300);
    let cluster = Cluster::connect(config).await.unwrap();
    let name = topic(&cluster, "refused", &[]).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();

    let error = producer.send(Record::to(unique("nowhere")).value("x")).await.unwrap_err();
    assert!(matches!(error, ProducerError::Topic { .. }), "{error}");
    let error = producer.send(Record::to(name.as_str()).partition(3).value("x")).await.unwrap_err();
    assert!(matches!(error, ProducerError::UnknownPartition { partition: 3, partitions: 1, .. }), "{error}");
    let error = producer.send(Record::to(name.as_str()).value(vec![0; 2 << 20])).await.unwrap_err();
    assert!(error.to_string().contains("max.request.size"), "{error}");
    producer.close(PATIENCE).await.unwrap();
    let error = producer.send(Record::to(name.as_str()).value("x")).await.unwrap_err();
    assert!(matches!(error, ProducerError::Closed), "{error}");
    cluster.admin().delete_topics([name]).await.unwrap();
}

#[tokio::test]
async fn a_send_that_is_given_up_while_it_waits_for_room_sends_nothing() {
    let cluster = connect().await;
    let name = topic(&cluster, "room", &[]).await;
    let config = ProducerConfig {
        buffer_bytes: 20_000,
        batch_bytes: 20_000,
        max_request_bytes: 20_000,
        linger: Duration::from_millis(500),
        ..ProducerConfig::default()
    };
    let producer = cluster.producer(config).unwrap();
    let value = vec![7; 15_000];
    let kept = producer.send(Record::to(name.as_str()).value(&value)).await.unwrap();
    // Polled once: the first record still lingers, so there is no room and this one is queued for it.
    assert!(producer.send(Record::to(name.as_str()).value(&value)).now_or_never().is_none());
    kept.await.unwrap();
    let last = producer.send(Record::to(name.as_str()).value("last")).await.unwrap();
    producer.flush().await;
    assert_eq!(last.await.unwrap().offset, 1);
    assert_eq!(producer.metrics().records_acknowledged, 2);
    cluster.admin().delete_topics([name]).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_made_again_is_written_to_and_read_on() {
    let cluster = connect().await;
    let name = topic(&cluster, "again", &[]).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let old = producer.send(Record::to(name.as_str()).value("old")).await.unwrap();
    old.await.unwrap();
    let partition = TopicPartition::new(name.as_str(), 0);
    let mut config = ConsumerConfig::assigned([(partition, StartFrom::Earliest)]);
    config.auto_offset_reset = kafka::OffsetReset::None;
    let mut careful = cluster.consumer_with(config.clone()).await.unwrap();
    timeout(PATIENCE, careful.next_batch()).await.unwrap().unwrap().unwrap();
    config.auto_offset_reset = kafka::OffsetReset::Earliest;
    let mut consumer = cluster.consumer_with(config).await.unwrap();
    let records = |text: &'static str| (0..50).map(|_| Record::to(name.clone()).value(text)).collect::<Vec<_>>();
    assert_eq!(producer.send_all(records("old")).await.unwrap(), 50);
    let mut seen = 0;
    while seen < 51 {
        seen += timeout(PATIENCE, consumer.next_batch()).await.unwrap().unwrap().unwrap().len();
    }

    let admin = cluster.admin();
    admin.delete_topics([&name]).await.unwrap().remove(&name).unwrap().unwrap();
    let create = async || {
        let new = NewTopic::new(&name).partitions(1).replication(1);
        admin.create_topics([new]).await.unwrap().remove(&name).unwrap().ok()
    };
    eventually("the name is free again", create).await;
    let written = timeout(PATIENCE, producer.send_all(records("new"))).await.expect("in time").unwrap();
    assert_eq!(written, 50);
    let mut values = Vec::new();
    while values.len() < 50 {
        let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("records in time").unwrap().unwrap();
        values.extend(batch.iter().map(|record| record.value().unwrap().to_vec()));
    }
    assert!(values.iter().all(|value| value == b"new") && values.len() == 50, "{} records", values.len());

    let error = loop {
        match timeout(PATIENCE, careful.next_batch()).await.expect("a word in time") {
            Ok(batch) => assert!(batch.unwrap().iter().all(|record| record.value() == Some(b"old"))),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("auto.offset.reset"), "{error}");
    cluster.admin().delete_topics([name]).await.unwrap();
}
