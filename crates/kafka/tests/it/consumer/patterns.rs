//! Topics by a pattern instead of their names.

use std::time::{Duration, Instant};

use kafka::{ClientConfig, Cluster, Consumer, ConsumerConfig, GroupProtocol, NewTopic, OffsetReset};
use tokio::time::timeout;

use super::{PATIENCE, Topic};
use crate::target::{bootstrap, unique};

async fn by_pattern(protocol: GroupProtocol) {
    let topic = Topic::new("pattern", 2).await;
    if protocol == GroupProtocol::Consumer && !topic.offers_epochs().await {
        return;
    }
    let mut client = ClientConfig::new([bootstrap()]);
    client.metadata_max_age = Duration::from_secs(1);
    let cluster = Cluster::connect(client).await.unwrap();
    let mut config = ConsumerConfig::group_matching(unique("pattern"), format!("{}(-more.*)?", topic.name));
    config.auto_offset_reset = OffsetReset::Earliest;
    config.group_protocol = Some(protocol);
    let mut consumer = cluster.consumer_with(config).await.unwrap();
    assigned(&mut consumer, 2).await;

    let (more, other) = (format!("{}-more-of-it", topic.name), format!("not-{}", topic.name));
    let new = [&more, &other].map(|name| NewTopic::new(name).partitions(3).replication(1));
    topic.cluster.admin().create_topics(new).await.unwrap();
    if protocol == GroupProtocol::Classic {
        assigned(&mut consumer, 5).await;
        assert!(consumer.assignment().iter().all(|partition| *partition.topic != *other));
    } else {
        // A broker looks for new matches when it pleases, Kafka every ten minutes; another pattern makes it look at once.
        let mut config = ConsumerConfig::group_matching(unique("pattern"), format!("{}.*", topic.name));
        config.group_protocol = Some(protocol);
        assigned(&mut cluster.consumer_with(config).await.unwrap(), 5).await;
    }
    consumer.close().await.unwrap();
    topic.cluster.admin().delete_topics([more, other]).await.unwrap();
    topic.delete().await;
}

async fn assigned(consumer: &mut Consumer, partitions: usize) {
    let began = Instant::now();
    while consumer.assignment().len() != partitions {
        assert!(began.elapsed() < PATIENCE, "{:?}", consumer.assignment());
        if let Ok(event) = timeout(Duration::from_millis(20), consumer.next_event()).await {
            event.unwrap();
        }
    }
}

#[tokio::test]
async fn a_member_finds_the_topics_that_match_a_pattern_also_later_ones() {
    by_pattern(GroupProtocol::Classic).await;
}

#[tokio::test]
async fn the_broker_finds_the_topics_that_match_a_pattern() {
    by_pattern(GroupProtocol::Consumer).await;
}
