//! Transactions as a client sees them, whichever broker and whichever `transaction.version` it has.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::time::Duration;

use kafka::{
    AbortCause, ClientConfig, Cluster, ConsumerConfig, GroupMetadata, IsolationLevel, NewTopic, OffsetReset,
    OffsetSpec, Position, Positions, ProducerConfig, Record, StartFrom, TopicPartition, TransactionConfig,
    TransactionError, Transactions,
};
use tokio::time::timeout;

use crate::target::{connect, eventually, run_sandbox, unique};

const PATIENCE: Duration = Duration::from_secs(40);

async fn topic(cluster: &Cluster, partitions: i32) -> String {
    let name = unique("transactions");
    let new = NewTopic::new(&name).partitions(partitions).replication(1);
    cluster.admin().create_topics([new]).await.unwrap().remove(&name).unwrap().unwrap();
    name
}

async fn transactions(cluster: &Cluster, id: &str) -> Transactions {
    cluster.transactions(TransactionConfig::new(id)).await.unwrap()
}

/// Writes `values` to partition 0 in one transaction, and commits it or not.
async fn write(transactions: &mut Transactions, topic: &str, values: &[&str], commit: bool) {
    let mut transaction = transactions.begin().await.unwrap();
    for value in values {
        transaction.send(Record::to(topic).partition(0).value(*value)).await.unwrap();
    }
    if commit { transaction.commit().await.unwrap() } else { transaction.abort().await.unwrap() }
}

/// The values in partition 0, up to and including `last`.
async fn values_until(cluster: &Cluster, topic: &str, isolation: IsolationLevel, last: &str) -> Vec<String> {
    let mut config = ConsumerConfig::assigned([(TopicPartition::new(topic, 0), StartFrom::Earliest)]);
    config.isolation_level = isolation;
    let mut consumer = cluster.consumer_with(config).await.unwrap();
    let mut values = Vec::new();
    while values.last().is_none_or(|value| value != last) {
        let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("records in time").unwrap().unwrap();
        values.extend(batch.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()));
    }
    values
}

/// How a consumer signs that has chosen its partitions itself.
async fn of_nobody(cluster: &Cluster, group: &str, topic: &str) -> GroupMetadata {
    let mut config = ConsumerConfig::assigned([(TopicPartition::new(topic, 0), StartFrom::Earliest)]);
    config.group_id = Some(group.to_owned());
    cluster.consumer_with(config).await.unwrap().group_metadata().unwrap()
}

fn place(topic: &str, offset: i64) -> Positions {
    [(TopicPartition::new(topic, 0), Position::at(offset))].into_iter().collect()
}

async fn committed_offset(cluster: &Cluster, group: &str, topic: &str) -> Option<i64> {
    let offsets = cluster.admin().list_group_offsets(group).await.unwrap();
    offsets.get(&TopicPartition::new(topic, 0)).map(|committed| committed.as_ref().unwrap().offset)
}

#[tokio::test]
async fn readers_of_committed_records_see_what_was_committed_and_nothing_else() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let mut transactions = transactions(&cluster, &unique("id")).await;
    write(&mut transactions, &topic, &["a", "b"], true).await;
    write(&mut transactions, &topic, &["never", "either"], false).await;
    write(&mut transactions, &topic, &["c"], true).await;
    let read = values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "c").await;
    assert_eq!(read, ["a", "b", "c"]);
    // What was aborted may have been thrown away before it was sent.
    let all = values_until(&cluster, &topic, IsolationLevel::ReadUncommitted, "c").await;
    assert!(all.len() >= 3, "{all:?}");
}

#[tokio::test]
async fn a_dropped_transaction_is_aborted_and_an_empty_one_commits() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let mut transactions = transactions(&cluster, &unique("id")).await;
    let mut dropped = transactions.begin().await.unwrap();
    dropped.send(Record::to(&topic).value("never")).await.unwrap();
    drop(dropped);
    transactions.begin().await.unwrap().commit().await.unwrap();
    transactions.begin().await.unwrap().abort().await.unwrap();
    write(&mut transactions, &topic, &["seen"], true).await;
    assert_eq!(values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "seen").await, ["seen"]);
}

#[tokio::test]
async fn an_open_transaction_holds_up_readers_of_committed_records_only() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let mut transactions = transactions(&cluster, &unique("id")).await;
    let mut open = transactions.begin().await.unwrap();
    open.send(Record::to(&topic).value("first")).await.unwrap();
    // Until it is there, nothing is held up.
    let written = |uncommitted: Vec<String>| uncommitted == ["first"];
    assert!(written(values_until(&cluster, &topic, IsolationLevel::ReadUncommitted, "first").await));
    producer.send(Record::to(&topic).value("second")).await.unwrap().await.unwrap();
    let all = values_until(&cluster, &topic, IsolationLevel::ReadUncommitted, "second").await;
    assert_eq!(all, ["first", "second"]);
    let mut config = ConsumerConfig::assigned([(TopicPartition::new(topic.as_str(), 0), StartFrom::Earliest)]);
    config.isolation_level = IsolationLevel::ReadCommitted;
    let mut reader = cluster.consumer_with(config).await.unwrap();
    let nothing = timeout(Duration::from_millis(700), reader.next_batch()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    open.commit().await.unwrap();
    let all = values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "second").await;
    assert_eq!(all, ["first", "second"]);
}

#[tokio::test]
async fn offsets_become_the_groups_with_the_transaction_or_not_at_all() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let group = unique("group");
    let signed = of_nobody(&cluster, &group, &topic).await;
    let mut transactions = transactions(&cluster, &unique("id")).await;
    let mut transaction = transactions.begin().await.unwrap();
    transaction.send(Record::to(&topic).value("a")).await.unwrap();
    transaction.commit_with(&place(&topic, 7), &signed).await.unwrap();
    eventually("the offset is the group's", async || {
        (committed_offset(&cluster, &group, &topic).await == Some(7)).then_some(())
    })
    .await;
    // Without a record, and by a member that is none.
    let transaction = transactions.begin().await.unwrap();
    transaction.commit_with(&place(&topic, 8), &signed).await.unwrap();
    eventually("the offset is the group's", async || {
        (committed_offset(&cluster, &group, &topic).await == Some(8)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_member_whose_place_is_gone_cannot_commit_offsets() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let group = unique("group");
    let mut config = ConsumerConfig::group(&group, [topic.as_str()]);
    config.auto_offset_reset = OffsetReset::Earliest;
    let mut transactions = transactions(&cluster, &unique("id")).await;
    write(&mut transactions, &topic, &["order"], true).await;
    let mut consumer = cluster.consumer_with(config.clone()).await.unwrap();
    let batch = timeout(PATIENCE, consumer.next_batch()).await.unwrap().unwrap().unwrap();
    let before = consumer.in_group().await.unwrap();
    let positions = consumer.positions_of(&batch);
    consumer.close().await.unwrap();
    let mut heir = cluster.consumer_with(config).await.unwrap();
    timeout(PATIENCE, heir.next_batch()).await.unwrap().unwrap().unwrap();
    let mut transaction = transactions.begin().await.unwrap();
    transaction.send(Record::to(&topic).value("never")).await.unwrap();
    let error = transaction.commit_with(&positions, &before).await.unwrap_err();
    let membership = matches!(&error, TransactionError::Aborted { cause: AbortCause::Membership { .. }, .. });
    assert!(membership && error.is_retriable() && !error.is_fatal(), "{error}");
    assert!(error.to_string().contains(&group), "{error}");
    write(&mut transactions, &topic, &["seen"], true).await;
    let read = values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "seen").await;
    assert_eq!(read, ["order", "seen"]);
    assert_eq!(committed_offset(&cluster, &group, &topic).await, None);
}

#[tokio::test]
async fn whoever_comes_last_with_a_transactional_id_has_it() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let id = unique("id");
    let mut first = transactions(&cluster, &id).await;
    let mut open = first.begin().await.unwrap();
    open.send(Record::to(&topic).value("never")).await.unwrap();
    values_until(&cluster, &topic, IsolationLevel::ReadUncommitted, "never").await;
    let mut second = transactions(&cluster, &id).await;
    let error = open.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::Fenced { .. }) && error.is_fatal(), "{error}");
    assert!(error.to_string().contains(&format!("transactional.id={id}")), "{error}");
    let error = first.begin().await.unwrap_err();
    assert!(matches!(error, TransactionError::Fenced { .. }), "and stays so: {error}");
    write(&mut second, &topic, &["seen"], true).await;
    assert_eq!(values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "seen").await, ["seen"]);
}

#[tokio::test]
async fn a_transaction_with_a_record_that_failed_cannot_be_committed() {
    let cluster = connect().await;
    let name = unique("transactions");
    let new = NewTopic::new(&name).partitions(1).replication(1).config("max.message.bytes", "2000");
    cluster.admin().create_topics([new]).await.unwrap().remove(&name).unwrap().unwrap();
    let mut transactions = transactions(&cluster, &unique("id")).await;
    let mut transaction = transactions.begin().await.unwrap();
    transaction.send(Record::to(&name).value("small")).await.unwrap();
    transaction.send(Record::to(&name).value(vec![b'x'; 5000])).await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::Aborted { .. }), "{error}");
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    let mut transaction = transactions.begin().await.unwrap();
    let error = transaction.send(Record::to(&name).value(vec![b'x'; 5_000_000])).await.unwrap_err();
    assert!(error.requires_abort(), "{error}");
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::Aborted { .. }), "{error}");
    write(&mut transactions, &name, &["seen"], true).await;
    assert_eq!(values_until(&cluster, &name, IsolationLevel::ReadCommitted, "seen").await, ["seen"]);
}

#[tokio::test]
async fn a_transaction_that_outlives_its_timeout_is_ended_by_the_broker_and_the_next_one_works() {
    let cluster = connect().await;
    let topic = topic(&cluster, 1).await;
    let mut config = TransactionConfig::new(unique("id"));
    config.timeout = Duration::from_millis(300);
    let mut transactions = cluster.transactions(config).await.unwrap();
    let mut transaction = transactions.begin().await.unwrap();
    transaction.send(Record::to(&topic).partition(0).value("never")).await.unwrap();
    values_until(&cluster, &topic, IsolationLevel::ReadUncommitted, "never").await;
    // Brokers look for overdue transactions now and then (every 10 s by default): its marker moves the end of what is stable.
    let stable = async || {
        let partition = TopicPartition::new(topic.as_str(), 0);
        let ends = cluster.admin().list_offsets([partition.clone()], OffsetSpec::Latest).await.unwrap();
        (ends[&partition].as_ref().unwrap().offset > 1).then_some(())
    };
    for _ in 0..3 {
        if timeout(Duration::from_secs(9), eventually("the broker ends it", stable)).await.is_ok() {
            break;
        }
    }
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(&error, TransactionError::Aborted { cause: AbortCause::TookTooLong { .. }, .. }), "{error}");
    assert!(error.is_retriable() && error.to_string().contains("transaction.timeout.ms"), "{error}");
    write(&mut transactions, &topic, &["seen"], true).await;
    assert_eq!(values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "seen").await, ["seen"]);
}

#[tokio::test]
async fn a_timeout_beyond_the_brokers_maximum_is_named_with_its_key() {
    let cluster = connect().await;
    let mut config = TransactionConfig::new(unique("id"));
    config.timeout = Duration::from_secs(100_000);
    let error = cluster.transactions(config).await.unwrap_err();
    assert!(matches!(error, TransactionError::TimeoutNotAllowed { .. }) && error.is_fatal(), "{error}");
    let text = error.to_string();
    assert!(text.contains("transaction.timeout.ms") && text.contains("transaction.max.timeout.ms"), "{text}");
    let error = cluster.transactions(TransactionConfig::new("")).await.unwrap_err();
    assert!(error.to_string().contains("transactional.id"), "{error}");
}

/// To a coordinator that is still writing the markers of a commit, an abort of the next transaction looks as if it came from nowhere:
/// Kafka answers PRODUCER_FENCED.
#[tokio::test]
async fn a_transaction_may_be_aborted_right_behind_a_commit() {
    let sandbox = run_sandbox(|config| {
        config.open = Some(([127, 0, 0, 1], 0).into());
        config.transactions.marker_delay = Duration::from_millis(200);
    });
    let open = sandbox.lock().unwrap().endpoints().open.clone().unwrap();
    let cluster = Cluster::connect(ClientConfig::new([open])).await.unwrap();
    let topic = topic(&cluster, 1).await;
    let mut transactions = transactions(&cluster, "hasty").await;
    for yields in [0, 10, 100, 1000] {
        write(&mut transactions, &topic, &["kept"], true).await;
        let mut hasty = transactions.begin().await.unwrap();
        hasty.send(Record::to(&topic).partition(0).value("thrown away")).await.unwrap();
        // However far it has got meanwhile.
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        hasty.abort().await.unwrap();
    }
    write(&mut transactions, &topic, &["last"], true).await;
    let seen = values_until(&cluster, &topic, IsolationLevel::ReadCommitted, "last").await;
    assert_eq!(seen, ["kept", "kept", "kept", "kept", "last"]);
}

#[tokio::test]
async fn hundreds_of_transactions_back_to_back_over_several_partitions_are_whole() {
    let cluster = connect().await;
    let topic = topic(&cluster, 3).await;
    let mut transactions = transactions(&cluster, &unique("id")).await;
    let mut times = Vec::new();
    for number in 0..200 {
        let began = std::time::Instant::now();
        let mut transaction = transactions.begin().await.unwrap();
        for record in 0..30 {
            let key = record.to_string();
            transaction.send(Record::to(&topic).key(&key).value(format!("{number}"))).await.unwrap();
        }
        if number % 7 == 3 {
            transaction.abort().await.unwrap()
        } else {
            transaction.commit().await.unwrap()
        }
        times.push(began.elapsed());
    }
    times.sort();
    println!("a transaction: p50 {:?}, p99 {:?}", times[100], times[197]);
    let all = (0..3).map(|partition| (TopicPartition::new(topic.as_str(), partition), StartFrom::Earliest));
    let mut config = ConsumerConfig::assigned(all);
    config.isolation_level = IsolationLevel::ReadCommitted;
    let mut consumer = cluster.consumer_with(config).await.unwrap();
    let committed = (0..200).filter(|number| number % 7 != 3).count();
    let mut seen = std::collections::HashMap::<(Vec<u8>, i32), usize>::new();
    let mut count = 0;
    while count < committed * 30 {
        let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("records in time").unwrap().unwrap();
        for record in &batch {
            let number: i32 = std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap();
            assert_ne!(number % 7, 3, "an aborted record");
            *seen.entry((record.key().unwrap().to_vec(), number)).or_default() += 1;
            count += 1;
        }
    }
    assert_eq!((seen.len(), seen.values().max()), (committed * 30, Some(&1)));
}
