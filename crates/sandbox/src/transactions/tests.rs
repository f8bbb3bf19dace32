use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::*;

const TIMEOUT_MS: i32 = 60_000;

fn coordinator(version: u8, marker_delay_ms: u64) -> Coordinator {
    let marker_delay = Duration::from_millis(marker_delay_ms);
    Coordinator::new(TransactionSettings { version, marker_delay, ..TransactionSettings::default() })
}

fn orders() -> TopicPartition {
    (Arc::from("orders"), 0)
}

#[test]
fn until_the_markers_are_written_nothing_begins() {
    let mut coordinator = coordinator(2, 50);
    let first = coordinator.init("a", TIMEOUT_MS, None, 0).unwrap();
    coordinator.add("a", first, [orders()], Protocol::V2, 0).unwrap();
    let second = coordinator.end("a", first, Outcome::Commit, Protocol::V2, 100).unwrap();
    assert_eq!(second, Producer { epoch: first.epoch + 1, ..first });
    assert_eq!(coordinator.next_deadline(), Some(150));
    assert!(coordinator.tick(149).is_empty());
    let concurrent = Err(ResponseError::ConcurrentTransactions);
    assert_eq!(coordinator.add("a", second, [orders()], Protocol::V2, 149), concurrent);
    assert_eq!(coordinator.init("a", TIMEOUT_MS, None, 149), concurrent.map(|()| second));

    let ending =
        Ending { producer: second, outcome: Outcome::Commit, protocol: Protocol::V2, partitions: [orders()].into() };
    assert_eq!(coordinator.tick(150), [ending]);
    assert_eq!(coordinator.next_deadline(), None);
    assert_eq!(coordinator.add("a", second, [orders()], Protocol::V2, 150), Ok(()));
}

#[test]
fn a_transaction_is_aborted_when_its_time_is_over_and_its_epoch_is_worth_nothing() {
    for (version, protocol) in [(1, Protocol::V1), (2, Protocol::V2)] {
        let mut coordinator = coordinator(version, 0);
        let producer = coordinator.init("a", TIMEOUT_MS, None, 0).unwrap();
        coordinator.add("a", producer, [orders()], protocol, 1_000).unwrap();
        assert!(coordinator.tick(61_000).is_empty());
        let endings = coordinator.tick(61_001);
        assert_eq!((endings.len(), endings[0].outcome), (1, Outcome::Abort));
        assert_eq!(endings[0].producer.epoch, producer.epoch + 1);
        assert_eq!(coordinator.add("a", producer, [orders()], protocol, 61_002), Err(ResponseError::ProducerFenced));
        let end = coordinator.end("a", producer, Outcome::Commit, protocol, 61_002);
        assert!(matches!(end, Err(ResponseError::ProducerFenced | ResponseError::InvalidTxnState)), "{end:?}");
    }
}

#[test]
fn a_producer_id_whose_epochs_are_used_up_is_replaced() {
    let mut coordinator = coordinator(2, 0);
    let mut producer = coordinator.init("a", TIMEOUT_MS, None, 0).unwrap();
    let first_id = producer.id;
    let mut ended = producer;
    while producer.id == first_id {
        coordinator.add("a", producer, [orders()], Protocol::V2, 0).unwrap();
        ended = producer;
        producer = coordinator.end("a", producer, Outcome::Commit, Protocol::V2, 0).unwrap();
        let endings = coordinator.tick(0);
        assert_eq!(endings[0].producer, Producer { id: first_id, epoch: ended.epoch + 1 });
    }
    assert_eq!((ended.epoch, producer.epoch), (i16::MAX - 1, 0));
    assert_eq!(coordinator.end("a", ended, Outcome::Commit, Protocol::V2, 0), Ok(producer), "a retry");
    assert_eq!(coordinator.end("a", ended, Outcome::Abort, Protocol::V2, 0), Err(ResponseError::InvalidTxnState));
    assert_eq!(coordinator.add("a", producer, [orders()], Protocol::V2, 0), Ok(()));
}

#[test]
fn taking_over_again_and_again_uses_up_epochs_and_goes_on_with_another_id() {
    let mut coordinator = coordinator(2, 0);
    let first = coordinator.init("a", TIMEOUT_MS, None, 0).unwrap();
    let last =
        (0..i32::from(i16::MAX) - 1).map(|_| coordinator.init("a", TIMEOUT_MS, None, 0).unwrap()).last().unwrap();
    assert_eq!(last, Producer { epoch: i16::MAX - 1, ..first });
    let next = coordinator.init("a", TIMEOUT_MS, Some(last), 0).unwrap();
    assert_eq!((next.id != first.id, next.epoch), (true, 0));
    assert_eq!(coordinator.init("a", TIMEOUT_MS, Some(last), 0), Ok(next), "a retry");
}

#[test]
fn a_timeout_that_is_none_or_too_long_is_refused() {
    let mut coordinator = coordinator(2, 0);
    let refused = Err(ResponseError::InvalidTransactionTimeout);
    assert_eq!(coordinator.init("a", 0, None, 0), refused);
    assert_eq!(coordinator.init("a", 900_001, None, 0), refused);
    assert!(coordinator.init("a", 900_000, None, 0).is_ok());
}

#[test]
fn no_more_ids_are_remembered_than_the_bound_and_none_that_is_at_work_is_forgotten() {
    let mut coordinator = coordinator(2, 0);
    let oldest = coordinator.init("at work", TIMEOUT_MS, None, 0).unwrap();
    coordinator.add("at work", oldest, [orders()], Protocol::V2, 0).unwrap();
    for number in 0..10_000 {
        coordinator.init(&number.to_string(), TIMEOUT_MS, None, number).unwrap();
    }
    assert_eq!(coordinator.iter().count(), 10_000);
    assert!(coordinator.get("at work").is_some());
    assert!(coordinator.get("0").is_none());
}
