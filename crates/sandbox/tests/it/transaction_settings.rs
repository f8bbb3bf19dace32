//! Transactions under settings that only a sandbox lets a test choose: markers that take their time, and older clusters.

use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::StrBytes;

use crate::payments::Payments;
use crate::wire::{Broker, Wire};

const NOT_ENOUGH_REPLICAS: i16 = 19;
const CONCURRENT_TRANSACTIONS: i16 = 51;

#[tokio::test]
async fn a_producer_is_held_until_the_markers_of_its_transaction_before_are_written() {
    const DELAY: Duration = Duration::from_millis(50);
    let broker = Broker::start_with(|config| config.transactions.marker_delay = DELAY).await;
    let mut payments = Payments::start(&broker).await;
    payments.produce(b"one", 12).await;
    let ended = Instant::now();
    payments.end(true).await;
    assert_eq!(payments.try_produce(b"two", 12).await, 0);
    assert!(ended.elapsed() >= DELAY);
    broker.shutdown().await;
}

#[tokio::test]
async fn markers_that_take_too_long_are_not_waited_for() {
    let broker = Broker::start_with(|config| config.transactions.marker_delay = Duration::from_secs(60)).await;
    let mut payments = Payments::start(&broker).await;
    payments.produce(b"one", 12).await;
    payments.end(true).await;
    assert_eq!(payments.try_produce(b"two", 12).await, CONCURRENT_TRANSACTIONS);
    assert_eq!(payments.try_produce(b"two", 11).await, NOT_ENOUGH_REPLICAS);
    assert_eq!(payments.try_add(3).await, CONCURRENT_TRANSACTIONS);
    assert_eq!(payments.try_initialize(None, 4).await.0, CONCURRENT_TRANSACTIONS);
    assert_eq!(payments.read(0, 1).await.last_stable_offset, 0);
    broker.shutdown().await;
}

#[tokio::test]
async fn an_older_cluster_has_an_older_version_of_transactions() {
    for (version, told) in [(1, Some(1)), (0, None)] {
        let broker = Broker::start_with(|config| config.transactions.version = version).await;
        let mut wire = Wire::open(&broker).await;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("a-client"))
            .with_client_software_version(StrBytes::from_static_str("1.0"));
        let features = wire.call(&request, 4).await.unwrap().finalized_features;
        let level = features.iter().find(|feature| &*feature.name == "transaction.version");
        assert_eq!(level.map(|level| level.max_version_level), told);

        // Whoever is fenced here loses one epoch, and the newcomer takes the next.
        let mut payments = Payments::start(&broker).await;
        payments.add().await;
        payments.produce(b"one", 11).await;
        let later = broker.initialize(&payments.id.0).await;
        assert_eq!(later, (payments.producer, payments.epoch + 2));
        let data = payments.read_stable(2).await;
        assert_eq!(data.aborted_transactions.unwrap().len(), 1);
        broker.shutdown().await;
    }
}
