use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kafka::{
    Assignor, CommitError, Consumer, ConsumerConfig, ConsumerEvent, GroupProtocol, NewTopic, Position, Positions,
    TopicPartition,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{PATIENCE, Topic, number, read};
use crate::target::unique;

/// What all members of a group have processed, and who works on which partition.
#[derive(Default)]
struct Board {
    processed: Vec<u32>,
    at_work: BTreeMap<TopicPartition, usize>,
    clashes: usize,
}

/// A member that commits after each batch, until it is told to stop; then it closes.
fn member(number_of: usize, mut consumer: Consumer, board: Arc<Mutex<Board>>) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, mut stopped) = watch::channel(false);
    let work = async move {
        loop {
            let batch = tokio::select! {
                batch = consumer.next_batch() => batch.unwrap().unwrap(),
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            let partition = batch.topic_partition().clone();
            {
                let mut board = board.lock().unwrap();
                if board.at_work.insert(partition.clone(), number_of).is_some() {
                    board.clashes += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            {
                let mut board = board.lock().unwrap();
                board.processed.extend(batch.iter().map(|record| number(record.value())));
                board.at_work.remove(&partition);
            }
            match consumer.commit(&consumer.positions_of(&batch)).await {
                Err(error) if !error.is_rebalance() => panic!("{error}"),
                _ => {}
            }
        }
        consumer.close().await.unwrap();
    };
    (stop, tokio::spawn(work))
}

#[tokio::test]
async fn an_administrator_sees_the_members_of_a_classic_group_and_their_partitions() {
    let topic = Topic::new("described", 2).await;
    let mut config = topic.member_of(&unique("described"));
    config.group_protocol = Some(GroupProtocol::Classic);
    topic.describes_its_member_by(GroupProtocol::Classic, config).await;
    topic.delete().await;
}

pub(super) async fn members_come_and_go(topic: Topic, settings: impl Fn(&str) -> ConsumerConfig) {
    let group = unique("traffic");
    let board = Arc::new(Mutex::new(Board::default()));
    let join = async |number| {
        let mut config = settings(&group);
        config.max_poll_records = 50;
        member(number, topic.consumer(config).await, Arc::clone(&board))
    };
    let mut members = vec![join(0).await];
    let mut written = 0;
    for step in 1..10 {
        topic.write(written..written + 600).await;
        written += 600;
        match step {
            1..4 => members.push(join(step).await),
            6 | 7 => {
                let (stop, ended) = members.remove(0);
                stop.send(true).unwrap();
                ended.await.unwrap();
            }
            _ => tokio::time::sleep(Duration::from_millis(700)).await,
        }
    }
    let began = Instant::now();
    let all = || board.lock().unwrap().processed.iter().copied().collect::<BTreeSet<_>>().len();
    while all() < written as usize && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (stop, ended) in members {
        stop.send(true).unwrap();
        ended.await.unwrap();
    }
    let Board { processed, clashes, .. } = std::mem::take(&mut *board.lock().unwrap());
    let seen: BTreeSet<u32> = processed.iter().copied().collect();
    assert_eq!(seen, (0..written).collect(), "nothing is lost");
    assert_eq!(clashes, 0, "no partition was worked on by two members at once");
    assert_eq!(processed.len(), seen.len(), "orderly leaving and joining repeats nothing");
    topic.delete().await;
}

async fn classic_members_come_and_go(assignors: &[Assignor]) {
    let topic = Topic::new("traffic", 6).await;
    let settings = topic.member_of("");
    let member_of = |group: &str| {
        let mut config = settings.clone();
        config.group_id = Some(group.to_owned());
        config.partition_assignment_strategy = assignors.to_vec();
        config
    };
    members_come_and_go(topic, member_of).await;
}

#[tokio::test]
async fn cooperative_members_come_and_go_under_traffic_without_loss_or_double_work() {
    classic_members_come_and_go(&[Assignor::CooperativeSticky]).await;
}

#[tokio::test]
async fn eager_members_come_and_go_under_traffic_without_loss_or_double_work() {
    classic_members_come_and_go(&[Assignor::Range]).await;
}

#[tokio::test]
async fn a_member_that_dies_is_replaced_after_its_session() {
    let topic = Topic::new("dies", 2).await;
    let group = unique("dies");
    topic.write(0..100).await;
    let mut first = topic.consumer(topic.member_of(&group)).await;
    read(&mut first, 1).await;
    drop(first);
    let mut second = topic.consumer(topic.member_of(&group)).await;
    let values: BTreeSet<u32> = read(&mut second, 100).await.into_iter().collect();
    assert_eq!(values, (0..100).collect(), "the first had committed nothing");
    topic.delete().await;
}

#[tokio::test]
async fn a_group_goes_on_where_it_left_off() {
    let topic = Topic::new("resume", 1).await;
    let group = unique("resume");
    topic.write(0..10).await;
    let partition = TopicPartition::new(topic.name.as_str(), 0);

    let mut first = topic.consumer(topic.member_of(&group)).await;
    read(&mut first, 10).await;
    let four: Positions = [(partition.clone(), Position::at(4))].into_iter().collect();
    first.commit(&four).await.unwrap();
    let committed = first.committed(std::slice::from_ref(&partition)).await.unwrap();
    assert_eq!(committed.get(&partition).unwrap().offset, 4);
    first.close().await.unwrap();

    let mut second = topic.consumer(topic.member_of(&group)).await;
    let batch = timeout(PATIENCE, second.next_batch()).await.unwrap().unwrap().unwrap();
    assert_eq!(batch.first_offset(), 4);
    second.store(&batch);
    second.close().await.unwrap();

    let third = topic.consumer(topic.member_of(&group)).await;
    let committed = third.committed(std::slice::from_ref(&partition)).await.unwrap().get(&partition).unwrap();
    assert_eq!(committed.offset, 10, "what is stored is committed on close");
    assert_eq!(committed.leader_epoch, Some(0), "with the leader epoch of the last record");
    topic.delete().await;
}

#[tokio::test]
async fn enable_auto_commit_commits_what_was_asked_past() {
    let topic = Topic::new("auto", 1).await;
    let group = unique("auto");
    topic.write(0..20).await;
    let partition = TopicPartition::new(topic.name.as_str(), 0);
    let mut config = topic.member_of(&group);
    config.enable_auto_commit = true;
    config.auto_commit_interval = Duration::from_millis(100);
    config.max_poll_records = 10;
    let mut consumer = topic.consumer(config).await;
    read(&mut consumer, 20).await;
    let committed = async || {
        let committed = consumer.committed(std::slice::from_ref(&partition)).await.unwrap();
        committed.get(&partition).map(|position| position.offset)
    };
    let began = Instant::now();
    while committed().await != Some(10) {
        assert!(began.elapsed() < PATIENCE, "the second batch is in hand, the first is done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    topic.delete().await;
}

#[tokio::test]
async fn a_partition_is_given_up_only_after_the_application_has_committed() {
    let topic = Topic::new("revoke", 2).await;
    let config = topic.member_of(&unique("revoke"));
    given_up_only_after_a_commit(topic, config).await;
}

pub(super) async fn given_up_only_after_a_commit(topic: Topic, config: ConsumerConfig) {
    topic.write(0..100).await;
    let mut first = topic.consumer(config.clone()).await;
    let mut read_to = Positions::new();
    let mut count = 0;
    while count < 100 {
        if let Some(ConsumerEvent::Batch(batch)) = timeout(PATIENCE, first.next_event()).await.unwrap().unwrap() {
            count += batch.len();
            read_to.advance(&first.positions_of(&batch));
        }
    }
    let second = topic.consumer(config).await;
    let revocation = loop {
        match timeout(PATIENCE, first.next_event()).await.unwrap().unwrap().unwrap() {
            ConsumerEvent::Revoking(revocation) => break revocation,
            other => println!("{other:?}"),
        }
    };
    assert_eq!(revocation.partitions().len(), 1);
    first.commit(&read_to).await.expect("what is being given up can still be committed");
    drop(revocation);

    let began = Instant::now();
    while second.assignment().len() + first.assignment().len() < 2 || second.assignment().is_empty() {
        assert!(began.elapsed() < PATIENCE);
        // The first must be asked for the group to go on.
        let _ = timeout(Duration::from_millis(20), first.next_event()).await;
    }
    let mut second = second;
    let repeated = timeout(Duration::from_secs(2), second.next_batch()).await;
    assert!(repeated.is_err(), "everything was committed before: {repeated:?}");
    let gone = first.commit(&read_to).await.unwrap_err();
    assert!(matches!(&gone, CommitError::Rebalanced { partitions, .. } if partitions.len() == 1), "{gone}");
    topic.delete().await;
}

#[tokio::test]
async fn a_static_member_restarts_without_a_rebalance() {
    let topic = Topic::new("static", 4).await;
    let group = unique("static");
    let join = async |instance: &str| {
        let mut config = topic.member_of(&group);
        config.group_instance_id = Some(instance.to_owned());
        topic.consumer(config).await
    };
    let settled = async |consumers: &mut [&mut Consumer]| {
        let began = Instant::now();
        while consumers.iter().any(|consumer| consumer.assignment().len() != 2) {
            assert!(began.elapsed() < PATIENCE);
            for consumer in consumers.iter_mut() {
                let _ = timeout(Duration::from_millis(20), consumer.next_event()).await;
            }
        }
    };
    let (mut a, mut b) = (join("a").await, join("b").await);
    settled(&mut [&mut a, &mut b]).await;
    let (before_a, before_b) = (a.assignment(), b.assignment());
    for killed in [false, true] {
        if killed {
            // Nobody says goodbye, as after a SIGKILL.
            drop(b);
        } else {
            b.close().await.unwrap();
        }
        let began = Instant::now();
        b = join("b").await;
        settled(&mut [&mut a, &mut b]).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!((a.assignment(), b.assignment()), (before_a.clone(), before_b.clone()));
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
async fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let topic = Topic::new("early", 1).await;
    let later = unique("later");
    let mut config = topic.member_of(&unique("early"));
    config.topics.push(later.clone());
    let mut consumer = topic.consumer(config).await;
    topic.write(0..1).await;
    read(&mut consumer, 1).await;
    let created = NewTopic::new(&later).partitions(2).replication(1);
    topic.cluster.admin().create_topics([created]).await.unwrap();
    let began = Instant::now();
    while consumer.assignment().len() < 3 {
        assert!(began.elapsed() < PATIENCE, "{:?}", consumer.assignment());
        let _ = timeout(Duration::from_millis(50), consumer.next_event()).await;
    }
    topic.cluster.admin().delete_topics([later]).await.unwrap();
    topic.delete().await;
}

#[tokio::test]
async fn an_application_that_is_busy_for_too_long_loses_its_partitions_and_gets_them_back() {
    let topic = Topic::new("busy", 1).await;
    let group = unique("busy");
    topic.write(0..10).await;
    let mut config = topic.member_of(&group);
    config.max_poll_interval = Duration::from_secs(7);
    let mut consumer = topic.consumer(config).await;
    read(&mut consumer, 10).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(consumer.assignment().is_empty());
    let waited = timeout(Duration::from_secs(5), consumer.in_group()).await;
    assert_eq!(waited, Ok(None), "whoever wants to commit must not wait for a group that waits for him");
    assert_eq!(read(&mut consumer, 10).await.len(), 10, "nothing was committed, so it comes again");
    topic.delete().await;
}

#[tokio::test]
async fn a_member_can_say_who_it_is_to_its_group_and_only_while_it_is_a_member() {
    let topic = Topic::new("metadata", 2).await;
    let group = unique("metadata");
    topic.write(0..10).await;
    let mut first = topic.consumer(topic.member_of(&group)).await;
    assert_eq!(first.group_metadata(), None, "it has not joined");
    read(&mut first, 1).await;
    let alone = timeout(PATIENCE, first.in_group()).await.unwrap().unwrap();
    assert_eq!(first.group_metadata().as_ref(), Some(&alone));
    assert_eq!((&alone.group_id, alone.instance_id.as_deref()), (&group, None));
    assert!(alone.generation >= 0 && !alone.member_id.is_empty(), "{alone:?}");

    let second = topic.consumer(topic.member_of(&group)).await;
    let began = Instant::now();
    while second.assignment().is_empty() {
        assert!(began.elapsed() < PATIENCE);
        let _ = timeout(Duration::from_millis(20), first.next_event()).await;
    }
    let later = timeout(PATIENCE, first.in_group()).await.unwrap().unwrap();
    assert_eq!(later.member_id, alone.member_id);
    assert!(later.generation > alone.generation, "{later:?}");

    first.close().await.unwrap();
    let by_hand = kafka::ConsumerConfig::assigned([(TopicPartition::new(&*topic.name, 0), kafka::StartFrom::Earliest)]);
    let outside = topic.consumer(by_hand.clone()).await;
    assert_eq!(timeout(PATIENCE, outside.in_group()).await.unwrap(), None, "no group");
    let mut standalone = by_hand;
    standalone.group_id = Some(unique("standalone"));
    let standalone = topic.consumer(standalone).await.group_metadata().unwrap();
    assert_eq!((standalone.generation, standalone.member_id.as_str()), (-1, ""));
    topic.delete().await;
}
