//! What readers of committed records see of transactions.

use std::time::Duration;

use kafka::{
    Consumer, ConsumerConfig, IsolationLevel, Record, StartFrom, TopicPartition, Transaction, TransactionConfig,
    Transactions,
};
use tokio::time::timeout;

use super::{PATIENCE, Topic, read};
use crate::target::{eventually, unique};

/// A consumer of partition 0 that reads committed records only.
async fn committed(topic: &Topic, from: StartFrom) -> Consumer {
    let mut config = ConsumerConfig::assigned([(partition(topic), from)]);
    config.isolation_level = IsolationLevel::ReadCommitted;
    topic.consumer(config).await
}

fn partition(topic: &Topic) -> TopicPartition {
    TopicPartition::new(topic.name.as_str(), 0)
}

async fn transactions(topic: &Topic) -> Transactions {
    topic.cluster.transactions(TransactionConfig::new(unique("isolation"))).await.unwrap()
}

async fn send(topic: &Topic, transaction: &mut Transaction<'_>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let record = number.to_string();
        transaction.send(Record::to(topic.name.as_str()).value(record.as_bytes())).await.unwrap();
    }
}

#[tokio::test]
async fn committed_records_are_read_and_aborted_ones_are_not() {
    let topic = Topic::new("isolation", 1).await;
    let (mut first, mut second) = (transactions(&topic).await, transactions(&topic).await);
    let everything = ConsumerConfig::assigned([(partition(&topic), StartFrom::Earliest)]);
    let mut everything = topic.consumer(everything).await;
    let mut kept = Vec::new();
    for turn in 0..6 {
        let numbers = |which: u32| (turn * 100 + which * 50)..(turn * 100 + which * 50 + 10);
        let mut one = first.begin().await.unwrap();
        let mut other = second.begin().await.unwrap();
        send(&topic, &mut one, numbers(0)).await;
        send(&topic, &mut other, numbers(1)).await;
        assert_eq!(
            read(&mut everything, 20).await.len(),
            20,
            "whoever does not ask for committed records gets all at once"
        );
        if turn % 2 == 0 {
            one.commit().await.unwrap();
            other.abort().await.unwrap();
            kept.extend(numbers(0));
        } else {
            one.abort().await.unwrap();
            other.commit().await.unwrap();
            kept.extend(numbers(1));
        }
    }
    topic.write(1000..1001).await;
    kept.push(1000);

    let mut reader = committed(&topic, StartFrom::Earliest).await;
    assert_eq!(read(&mut reader, kept.len()).await, kept);
    let nothing_more = timeout(Duration::from_millis(500), reader.next_batch()).await;
    assert!(nothing_more.is_err(), "{nothing_more:?}");
    assert_eq!(reader.lag(&partition(&topic)), Some(0), "markers are no records to wait for");
    topic.delete().await;
}

#[tokio::test]
async fn nothing_behind_an_open_transaction_is_read_before_that_has_ended() {
    let topic = Topic::new("open", 1).await;
    topic.write(0..10).await;
    let mut open = transactions(&topic).await;
    let mut transaction = open.begin().await.unwrap();
    send(&topic, &mut transaction, 10..20).await;
    let mut everything = topic.consumer(ConsumerConfig::assigned([(partition(&topic), StartFrom::Earliest)])).await;
    assert_eq!(read(&mut everything, 20).await.len(), 20, "the records are in the log");
    topic.write(20..30).await;

    let mut reader = committed(&topic, StartFrom::Earliest).await;
    assert_eq!(read(&mut reader, 10).await, (0..10).collect::<Vec<_>>());
    let held_back = timeout(Duration::from_secs(1), reader.next_batch()).await;
    assert!(held_back.is_err(), "{held_back:?}");
    assert_eq!(reader.lag(&partition(&topic)), Some(0), "there is nothing to read for it");
    let mut at_the_end = committed(&topic, StartFrom::Latest).await;
    let nothing = timeout(Duration::from_secs(1), at_the_end.next_batch()).await;
    assert!(nothing.is_err(), "{nothing:?}");

    transaction.commit().await.unwrap();
    assert_eq!(read(&mut reader, 20).await, (10..30).collect::<Vec<_>>());
    assert_eq!(read(&mut at_the_end, 20).await[0], 10, "the end of what may be read was before the open transaction");
    topic.delete().await;
}

#[tokio::test]
async fn positions_that_a_transaction_commits_are_the_groups_and_are_not_committed_over() {
    let topic = Topic::new("positions", 1).await;
    let group = unique("positions");
    topic.write(0..30).await;
    let mut config = topic.member_of(&group);
    config.isolation_level = IsolationLevel::ReadCommitted;
    config.max_poll_records = 10;
    let mut member = topic.consumer(config.clone()).await;
    let first = timeout(PATIENCE, member.next_batch()).await.unwrap().unwrap().unwrap();
    let mut batches = vec![first];
    while batches.last().unwrap().last_offset() < 19 {
        batches.push(timeout(PATIENCE, member.next_batch()).await.unwrap().unwrap().unwrap());
    }
    member.store(&batches[0]);

    let mut transactions = transactions(&topic).await;
    let (done, metadata) = (member.positions_of(batches.last().unwrap()), member.in_group().await.unwrap());
    let mut transaction = transactions.begin().await.unwrap();
    send(&topic, &mut transaction, 100..101).await;
    transaction.commit_with(&done, &metadata).await.unwrap();
    member.committed_elsewhere(&done);
    member.close().await.unwrap();

    let next = topic.consumer(config).await;
    let at = eventually("the position is committed", async || {
        next.committed(&[partition(&topic)]).await.unwrap().get(&partition(&topic))
    });
    assert_eq!(at.await.offset, 20, "and closing did not commit what was stored before over it");
    topic.delete().await;
}
