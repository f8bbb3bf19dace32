use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kafka::{ConsumerConfig, ConsumerError, OffsetReset, StartFrom, TopicPartition};
use tokio::time::timeout;

use super::{PATIENCE, Topic, number, read};
use crate::target::unique;

/// A consumer of partition 0 of the topic.
fn assigned(topic: &Topic, from: StartFrom) -> ConsumerConfig {
    ConsumerConfig::assigned([(TopicPartition::new(topic.name.as_str(), 0), from)])
}

#[tokio::test]
async fn a_partition_is_read_from_where_one_says() {
    let topic = Topic::new("start", 1).await;
    topic.write(0..10).await;
    for (from, expected) in [(StartFrom::Earliest, 0), (StartFrom::Offset(7), 7), (StartFrom::Timestamp(0), 0)] {
        let mut consumer = topic.consumer(assigned(&topic, from)).await;
        assert_eq!(read(&mut consumer, 1).await[0], expected, "{from:?}");
        consumer.close().await.unwrap();
    }
    let mut latest = topic.consumer(assigned(&topic, StartFrom::Latest)).await;
    let nothing = timeout(Duration::from_secs(1), latest.next_batch()).await;
    assert!(nothing.is_err(), "nothing new yet: {nothing:?}");
    topic.write(10..11).await;
    assert_eq!(read(&mut latest, 1).await, [10]);
    topic.delete().await;
}

#[tokio::test]
async fn a_seek_goes_back_and_on_and_a_paused_partition_stands_still() {
    let topic = Topic::new("seek", 1).await;
    topic.write(0..100).await;
    let partition = TopicPartition::new(topic.name.as_str(), 0);
    let mut config = assigned(&topic, StartFrom::Earliest);
    config.max_poll_records = 10;
    let mut consumer = topic.consumer(config).await;
    assert_eq!(read(&mut consumer, 10).await, (0..10).collect::<Vec<_>>());
    assert_eq!(consumer.position(&partition).unwrap().offset, 10);
    assert_eq!(consumer.lag(&partition), Some(90));

    consumer.seek(&partition, StartFrom::Offset(95)).unwrap();
    assert_eq!(read(&mut consumer, 5).await, (95..100).collect::<Vec<_>>());
    consumer.seek(&partition, StartFrom::Earliest).unwrap();
    assert_eq!(read(&mut consumer, 1).await[0], 0);

    consumer.pause(std::slice::from_ref(&partition)).unwrap();
    assert!(timeout(Duration::from_secs(1), consumer.next_batch()).await.is_err());
    consumer.resume(std::slice::from_ref(&partition)).unwrap();
    assert_eq!(read(&mut consumer, 1).await[0], 10, "nothing is lost by a pause in the middle");

    let elsewhere = TopicPartition::new("elsewhere", 0);
    assert!(matches!(consumer.seek(&elsewhere, StartFrom::Earliest), Err(ConsumerError::NotAssigned { .. })));
    topic.delete().await;
}

#[tokio::test]
async fn an_offset_that_is_not_in_the_log_is_reset_as_configured() {
    let topic = Topic::new("range", 1).await;
    topic.write(0..5).await;
    let partition = TopicPartition::new(topic.name.as_str(), 0);

    let mut config = assigned(&topic, StartFrom::Offset(1000));
    config.auto_offset_reset = OffsetReset::Earliest;
    let mut earliest = topic.consumer(config).await;
    assert_eq!(read(&mut earliest, 1).await[0], 0);

    let mut config = assigned(&topic, StartFrom::Offset(1000));
    config.auto_offset_reset = OffsetReset::None;
    let mut none = topic.consumer(config).await;
    let error = timeout(PATIENCE, none.next_batch()).await.unwrap().unwrap_err();
    assert!(matches!(error, ConsumerError::OffsetOutOfRange { offset: 1000, .. }), "{error}");
    assert!(error.to_string().contains("auto.offset.reset"));
    none.seek(&partition, StartFrom::Offset(3)).unwrap();
    assert_eq!(read(&mut none, 1).await[0], 3, "a seek sets it going again");

    let mut config = topic.member_of(&unique("none"));
    config.auto_offset_reset = OffsetReset::None;
    let mut member = topic.consumer(config).await;
    let error = timeout(PATIENCE, member.next_batch()).await.unwrap().unwrap_err();
    assert!(matches!(error, ConsumerError::NoOffset { .. }), "{error}");
    topic.delete().await;
}

#[tokio::test]
async fn deleted_records_are_skipped_by_a_reset() {
    let topic = Topic::new("deleted", 1).await;
    topic.write(0..50).await;
    let partition = TopicPartition::new(topic.name.as_str(), 0);
    topic.cluster.admin().delete_records([(partition, 30)]).await.unwrap();
    let mut config = assigned(&topic, StartFrom::Offset(5));
    config.auto_offset_reset = OffsetReset::Earliest;
    let mut consumer = topic.consumer(config).await;
    assert_eq!(read(&mut consumer, 20).await, (30..50).collect::<Vec<_>>());
    topic.delete().await;
}

#[tokio::test]
async fn the_stream_gives_every_record_once() {
    let topic = Topic::new("stream", 3).await;
    topic.write(0..300).await;
    let consumer = topic.consumer(topic.member_of(&unique("stream"))).await;
    let records = pin!(consumer.into_stream().take(300));
    let values = timeout(PATIENCE, records.map(|record| number(record.unwrap().value.as_deref())).collect::<Vec<_>>());
    let values = values.await.unwrap();
    assert_eq!(values.len(), 300);
    assert_eq!(values.into_iter().collect::<BTreeSet<_>>(), (0..300).collect());
    topic.delete().await;
}

#[tokio::test]
async fn a_small_budget_slows_reading_down_and_loses_nothing() {
    let topic = Topic::new("budget", 3).await;
    topic.write(0..20_000).await;
    let mut config = topic.member_of(&unique("budget"));
    config.max_partition_fetch_bytes = 4096;
    config.queued_max_bytes = 8192;
    let mut consumer = topic.consumer(config).await;
    let mut values = read(&mut consumer, 20_000).await;
    values.sort_unstable();
    assert_eq!(values, (0..20_000).collect::<Vec<_>>());
    topic.delete().await;
}

#[tokio::test]
async fn an_application_that_keeps_all_its_batches_is_still_given_more() {
    let topic = Topic::new("hoard", 1).await;
    topic.write(0..5_000).await;
    let mut config = assigned(&topic, StartFrom::Earliest);
    config.max_partition_fetch_bytes = 4096;
    config.queued_max_bytes = 4096;
    let mut consumer = topic.consumer(config).await;
    let mut kept = Vec::new();
    while kept.iter().map(kafka::RecordBatch::len).sum::<usize>() < 5_000 {
        kept.push(timeout(PATIENCE, consumer.next_batch()).await.expect("more in time").unwrap().unwrap());
    }
    let values: Vec<u32> = kept.iter().flatten().map(|record| number(record.value())).collect();
    assert_eq!(values, (0..5_000).collect::<Vec<_>>());
    topic.delete().await;
}

/// Not on one runtime: the consumer's task ends with the first, as it would by a panic.
#[test]
fn an_application_whose_consumer_has_ended_is_told_so() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let mut consumer = first.block_on(async {
        let topic = Topic::new("ended", 1).await;
        topic.consumer(assigned(&topic, StartFrom::Earliest)).await
    });
    drop(first);
    let outcome = runtime().block_on(async { timeout(Duration::from_secs(10), consumer.next_batch()).await });
    assert!(matches!(outcome, Ok(Err(ConsumerError::Closed))), "{outcome:?}");
}
