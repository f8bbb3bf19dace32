//! The consumer rebalance protocol (KIP-848), on brokers that offer it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka::{Consumer, ConsumerError, ConsumerEvent, GroupError, GroupProtocol};
use tokio::time::timeout;

use super::groups::{given_up_only_after_a_commit, members_come_and_go};
use super::{PATIENCE, Topic, number, read};
use crate::target::unique;

#[tokio::test]
async fn members_come_and_go_under_traffic_without_loss_or_double_work() {
    let topic = Topic::new("traffic", 6).await;
    if topic.offers_epochs().await {
        let settings = topic.member_by_epochs("");
        let member_of = |group: &str| {
            let mut config = settings.clone();
            config.group_id = Some(group.to_owned());
            config
        };
        members_come_and_go(topic, member_of).await;
    }
}

#[tokio::test]
async fn a_partition_is_given_up_only_after_the_application_has_committed() {
    let topic = Topic::new("revoke", 2).await;
    if topic.offers_epochs().await {
        let config = topic.member_by_epochs(&unique("revoke"));
        given_up_only_after_a_commit(topic, config).await;
    }
}

#[tokio::test]
async fn an_administrator_sees_the_members_of_a_consumer_group_and_their_partitions() {
    let topic = Topic::new("described", 2).await;
    if topic.offers_epochs().await {
        let config = topic.member_by_epochs(&unique("described"));
        topic.describes_its_member_by(GroupProtocol::Consumer, config).await;
        topic.delete().await;
    }
}

/// Reads on until an event is found, and returns it with the values that came before.
async fn until<T>(consumer: &mut Consumer, wanted: impl Fn(ConsumerEvent) -> Option<T>) -> (T, Vec<u32>) {
    let mut values = Vec::new();
    let waiting = async {
        loop {
            let event = consumer.next_event().await.unwrap().unwrap();
            if let ConsumerEvent::Batch(batch) = &event {
                values.extend(batch.iter().map(|record| number(record.value())));
            }
            if let Some(found) = wanted(event) {
                break found;
            }
        }
    };
    let found = timeout(PATIENCE, waiting).await.unwrap();
    (found, values)
}

fn revocation(event: ConsumerEvent) -> Option<kafka::Revocation> {
    if let ConsumerEvent::Revoking(revocation) = event { Some(revocation) } else { None }
}

#[tokio::test]
async fn what_is_not_given_up_flows_on_while_the_application_takes_its_time_to_give_up_the_rest() {
    let topic = Topic::new("flows", 2).await;
    if !topic.offers_epochs().await {
        return;
    }
    let config = topic.member_by_epochs(&unique("flows"));
    let mut first = topic.consumer(config.clone()).await;
    topic.write(0..100).await;
    assert_eq!(read(&mut first, 100).await.len(), 100);
    let second = topic.consumer(config).await;
    let (revocation, _) = until(&mut first, revocation).await;
    let [leaving] = revocation.partitions() else { panic!("{revocation:?}") };
    let leaving = leaving.clone();

    topic.write(100..300).await;
    let stays = async |event: ConsumerEvent| match event {
        ConsumerEvent::Batch(batch) => {
            assert_ne!(*batch.topic_partition(), leaving, "it is being given up");
            batch.len()
        }
        other => panic!("{other:?}"),
    };
    let mut came = 0;
    while came < 60 {
        came += stays(timeout(PATIENCE, first.next_event()).await.unwrap().unwrap().unwrap()).await;
    }
    assert!(second.assignment().is_empty(), "nobody has the other meanwhile");
    assert_eq!(first.assignment().len(), 2);
    drop(revocation);
    let mut second = second;
    assert!(!read(&mut second, 1).await.is_empty());
    assert_eq!(second.assignment(), [leaving]);
    topic.delete().await;
}

#[tokio::test]
async fn a_static_member_that_left_or_was_killed_has_its_partitions_back_at_once() {
    let topic = Topic::new("static", 4).await;
    if !topic.offers_epochs().await {
        return;
    }
    let group = unique("static");
    let join = async |instance: &str| {
        let mut config = topic.member_by_epochs(&group);
        config.group_instance_id = Some(instance.to_owned());
        topic.consumer(config).await
    };
    let (mut a, mut b) = (join("a").await, join("b").await);
    let began = Instant::now();
    while a.assignment().len() != 2 || b.assignment().len() != 2 {
        assert!(began.elapsed() < PATIENCE);
        for consumer in [&mut a, &mut b] {
            let _ = timeout(Duration::from_millis(20), consumer.next_event()).await;
        }
    }
    let before: BTreeSet<_> = b.assignment().into_iter().collect();
    for killed in [false, true] {
        if killed {
            // Nobody says goodbye, as after a SIGKILL.
            drop(b);
        } else {
            b.close().await.unwrap();
        }
        let began = Instant::now();
        b = join("b").await;
        let ((), _) = until(&mut b, |event| matches!(event, ConsumerEvent::Assigned(_)).then_some(())).await;
        println!("killed {killed}: back after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(b.assignment().into_iter().collect::<BTreeSet<_>>(), before);
    }
    while let Ok(event) = timeout(Duration::from_millis(200), a.next_event()).await {
        let event = event.unwrap().unwrap();
        assert!(!matches!(event, ConsumerEvent::Revoking(_) | ConsumerEvent::Lost(_)), "a noticed: {event:?}");
    }

    let mut rival = join("b").await;
    let fenced = async {
        loop {
            tokio::select! {
                event = b.next_event() => if let Err(error) = event { break error },
                event = rival.next_event() => drop(event.unwrap()),
            }
        }
    };
    let error = timeout(PATIENCE, fenced).await.unwrap();
    assert!(error.is_fatal() && error.to_string().contains("group.instance.id b"), "{error}");
    topic.delete().await;
}

#[tokio::test]
async fn an_application_that_is_busy_for_too_long_loses_its_partitions_and_gets_them_back() {
    let topic = Topic::new("busy", 1).await;
    if !topic.offers_epochs().await {
        return;
    }
    topic.write(0..10).await;
    let mut config = topic.member_by_epochs(&unique("busy"));
    config.max_poll_interval = Duration::from_secs(3);
    let mut consumer = topic.consumer(config).await;
    read(&mut consumer, 10).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(consumer.assignment().is_empty());
    assert_eq!(consumer.group_metadata(), None);
    let waited = timeout(Duration::from_secs(5), consumer.in_group()).await;
    assert_eq!(waited, Ok(None), "whoever wants to commit must not wait for a group that waits for him");
    assert_eq!(read(&mut consumer, 10).await.len(), 10, "nothing was committed, so it comes again");
    topic.delete().await;
}

#[tokio::test]
async fn an_assignor_that_the_broker_lacks_is_named_with_its_key() {
    let topic = Topic::new("assignor", 1).await;
    if !topic.offers_epochs().await {
        return;
    }
    let mut config = topic.member_by_epochs(&unique("assignor"));
    config.group_remote_assignor = Some("by-the-moon".to_owned());
    let mut consumer = topic.consumer(config).await;
    let error = timeout(PATIENCE, consumer.next_event()).await.unwrap().unwrap_err();
    assert!(matches!(&error, ConsumerError::Group(GroupError::UnsupportedAssignor { .. })), "{error}");
    assert!(error.to_string().contains("group.remote.assignor"), "{error}");
    topic.delete().await;
}

#[tokio::test]
async fn a_broker_without_the_protocol_is_an_error_only_if_it_was_asked_for() {
    let topic = Topic::new("unset", 2).await;
    topic.write(0..10).await;
    let mut config = topic.member_by_epochs(&unique("unset"));
    let mut asked_for = topic.consumer(config.clone()).await;
    if timeout(PATIENCE, asked_for.in_group()).await.unwrap().is_none() {
        let error = timeout(PATIENCE, asked_for.next_event()).await.unwrap().unwrap_err();
        assert!(matches!(&error, ConsumerError::Group(GroupError::NotOffered { .. })), "{error}");
        assert!(error.to_string().contains("group.protocol"), "{error}");
    }
    asked_for.close().await.unwrap();
    config.group_protocol = None;
    let mut either = topic.consumer(config).await;
    assert_eq!(read(&mut either, 10).await.len(), 10);
    topic.delete().await;
}
