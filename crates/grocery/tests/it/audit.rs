//! `grocery audit`.

use grocery_events::{Event, GroceryPicklist};
use kafka::{Cluster, ConsumerConfig, ProducerConfig, Record, StartFrom, TopicPartition};
use sandbox::Sandbox;

use super::alone::{cluster, sandbox, service, with_login_of};
use super::process::Ended;

async fn audit(sandbox: &Sandbox, more: &[&str]) -> Ended {
    with_login_of("operator", sandbox, "audit", more).ended().await
}

/// Key and value of some pick list.
async fn a_list(cluster: &Cluster) -> (Vec<u8>, Vec<u8>) {
    let all = (0..3).map(|number| (TopicPartition::new(GroceryPicklist::TOPIC, number), StartFrom::Earliest));
    let mut consumer = cluster.consumer_with(ConsumerConfig::assigned(all)).await.unwrap();
    let batch = consumer.next_batch().await.unwrap().unwrap();
    let record = (&batch).into_iter().next().unwrap();
    (record.key().unwrap().to_vec(), record.value().unwrap().to_vec())
}

#[tokio::test]
async fn an_audit_passes_when_every_order_has_its_list_and_names_what_is_missing_doubled_or_unreadable() {
    let sandbox = sandbox().await;
    let orders = service(&sandbox, "order-producer", &["--orders", "300", "--rate", "max"]).ended().await;
    assert_eq!(orders.code, Some(0), "{}", orders.said);

    // Nobody has fulfilled them yet.
    let early = audit(&sandbox, &["--within", "1s"]).await;
    assert_eq!(early.code, Some(1), "{}", early.said);
    for words in
        ["300  orders", "300  violations", "fulfilment had not read 300 records", "has no pick list", "and 280 more"]
    {
        assert!(early.said.contains(words), "{words:?} in:\n{}", early.said);
    }

    let mut fulfilment = service(&sandbox, "fulfillment-service", &[]);
    let clean = audit(&sandbox, &["--within", "60s"]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.said);
    assert!(clean.said.contains("300  pick lists") && clean.said.contains("0  violations"), "{}", clean.said);

    fulfilment.says("300 in all").await;
    let cluster = cluster(&sandbox).await;
    let (key, value) = a_list(&cluster).await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for value in [&value[..], b"no list"] {
        let record = Record::to(GroceryPicklist::TOPIC).key(key.as_slice()).value(value);
        producer.send(record).await.unwrap().await.unwrap();
    }
    let doubled = audit(&sandbox, &[]).await;
    assert_eq!(doubled.code, Some(1), "{}", doubled.said);
    let order = String::from_utf8(key).unwrap();
    assert!(doubled.said.contains(&format!("doubled: order {order} at")), "{}", doubled.said);
    assert!(doubled.said.contains("unreadable, so left out: grocery.picklist.v1 "), "{}", doubled.said);

    // An hour from now there will have been no orders since.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let later = audit(&sandbox, &["--since", &format!("@{}", now + 3600)]).await;
    assert_eq!(later.code, Some(0), "{}", later.said);
    assert!(later.said.contains("0  orders"), "{}", later.said);

    let unclear = audit(&sandbox, &["--since", "yesterday"]).await;
    assert_eq!(unclear.code, Some(2), "{}", unclear.said);
    fulfilment.signal("TERM");
    assert_eq!(fulfilment.ended().await.code, Some(0));
}
