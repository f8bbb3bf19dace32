//! The services alone, beside a sandbox that has its outages when the test says so.

use grocery_events::{Event, GroceryOrder};
use kafka::{ClientConfig, Cluster, OffsetSpec, ProducerConfig, Record, TopicPartition};
use sandbox::{Part, Sandbox};

use super::process::{Ended, Process};

/// A sandbox as `grocery sandbox --open` runs it.
pub(crate) async fn sandbox() -> Sandbox {
    let mut config = grocery::grocery_sandbox().unwrap();
    config.open = Some(([127, 0, 0, 1], 0).into());
    Sandbox::start(config).await.unwrap()
}

/// A client of the listener without a login.
pub(crate) async fn cluster(sandbox: &Sandbox) -> Cluster {
    Cluster::connect(ClientConfig::new([sandbox.endpoints().open.clone().unwrap()])).await.unwrap()
}

async fn orders_on_the_topic(sandbox: &Sandbox) -> i64 {
    let partitions = (0..3).map(|number| TopicPartition::new(GroceryOrder::TOPIC, number));
    let ends = cluster(sandbox).await.admin().list_offsets(partitions, OffsetSpec::Latest).await.unwrap();
    ends.into_values().map(|end| end.unwrap().offset).sum()
}

/// A service with the login of its own.
pub(crate) fn service(sandbox: &Sandbox, name: &str, more: &[&str]) -> Process {
    with_login_of(name, sandbox, name, more)
}

/// A command with the login of a client.
pub(crate) fn with_login_of(client: &str, sandbox: &Sandbox, command: &str, more: &[&str]) -> Process {
    let properties = sandbox.client_properties(client);
    let common = [command, "--config", properties.to_str().unwrap()];
    Process::start(common.iter().chain(more))
}

#[tokio::test]
async fn orders_become_pick_lists_and_what_is_no_order_is_set_aside_with_its_place() {
    let sandbox = sandbox().await;
    let producer = cluster(&sandbox).await.producer(ProducerConfig::default()).unwrap();
    let bad: [Option<&[u8]>; 4] = [Some(b"not avro"), Some(b"\0\0\0\x03\xe7junk"), Some(b"\0\0\0\0\x01junk"), None];
    for value in bad {
        let record = Record::to(GroceryOrder::TOPIC).key(b"the same partition".as_slice());
        let record = if let Some(value) = value { record.value(value) } else { record };
        producer.send(record).await.unwrap().await.unwrap();
    }
    let mut fulfilment = service(&sandbox, "fulfillment-service", &[]);
    let mut consumer = service(&sandbox, "picklist-consumer", &["--format", "quiet"]);
    for reason in ["starts with byte 0x6e", "schema id 999 is unknown", "body does not fit", "no value"] {
        let line = fulfilment.says("set a record aside").await;
        assert!(line.contains(reason) && line.contains("offset="), "{line}");
    }
    let orders = service(&sandbox, "order-producer", &["--orders", "200", "--rate", "max"]).ended().await;
    assert_eq!(orders.code, Some(0), "{}", orders.said);
    fulfilment.says("200 in all").await;
    consumer.says("200 in all").await;
    for process in [fulfilment, consumer] {
        process.signal("TERM");
        let ended = process.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
}

#[tokio::test]
async fn an_outage_of_the_registry_is_waited_out_and_spoken_of() {
    let sandbox = sandbox().await;
    sandbox.pause(Part::Registry);
    let mut orders = service(&sandbox, "order-producer", &["--orders", "10", "--rate", "max"]);
    let line = orders.says("the schema registry is down").await;
    assert!(line.contains("schema.registry.url"), "{line}");
    sandbox.resume(Part::Registry);
    orders.says("the schema registry is back").await;
    let ended = orders.ended().await;
    assert_eq!((ended.code, orders_on_the_topic(&sandbox).await), (Some(0), 10), "{}", ended.said);
}

#[tokio::test]
async fn an_outage_of_the_broker_loses_and_doubles_nothing() {
    let sandbox = sandbox().await;
    let mut orders = service(&sandbox, "order-producer", &["--orders", "600", "--rate", "200"]);
    orders.says("orders acknowledged").await;
    sandbox.pause(Part::Broker);
    orders.says("waiting for broker 1").await;
    sandbox.resume(Part::Broker);
    let ended = orders.ended().await;
    assert_eq!((ended.code, orders_on_the_topic(&sandbox).await), (Some(0), 600), "{}", ended.said);
}

#[tokio::test]
async fn orders_that_surely_were_not_written_are_sent_again_after_an_outage_longer_than_their_delivery_timeout() {
    let sandbox = sandbox().await;
    let times = ["request.timeout.ms=500", "delivery.timeout.ms=1000"].map(|time| ["--set", time]);
    let arguments = [&["--orders", "600", "--rate", "200"], times.as_flattened()].concat();
    let mut orders = service(&sandbox, "order-producer", &arguments);
    orders.says("orders acknowledged").await;
    sandbox.pause(Part::Broker);
    orders.says("the order is sent again").await;
    sandbox.resume(Part::Broker);
    let ended = orders.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    // What was on its way in the moment of the outage may be there or not, and is told.
    let doubtful = ended.said.matches("may be on the topic").count() as i64;
    let there = orders_on_the_topic(&sandbox).await;
    assert!((600 - doubtful..=600).contains(&there), "{there} with {doubtful} in doubt:\n{}", ended.said);
}

#[tokio::test]
async fn what_waiting_cannot_mend_ends_a_service_with_a_line_and_a_code_of_its_own() {
    let sandbox = sandbox().await;
    let set = |setting: &'static str| vec!["--orders", "1", "--set", setting];
    let pool = "sasl.oauthbearer.extensions=logicalCluster=lkc-sandbox,identityPoolId=pool-nobody";
    let cases: [(Vec<&str>, i32, &[&str]); 5] = [
        (set("bootstrap.server=x"), 2, &["bootstrap.server", "bootstrap.servers"]),
        (set("sasl.oauthbearer.client.secret=wrong"), 3, &["order-producer", "sasl.oauthbearer.client.secret"]),
        (set(pool), 3, &["pool-nobody", "identityPoolId"]),
        (set("bearer.auth.client.secret=wrong"), 3, &["bearer.auth.client.secret"]),
        (set("orders.topic=no.such.topic"), 4, &["no.such.topic", "the operation Describe", "order-producer"]),
    ];
    for (arguments, code, parts) in cases {
        let Ended { code: ended, said } = service(&sandbox, "order-producer", &arguments).ended().await;
        assert_eq!(ended, Some(code), "{arguments:?}:\n{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(parts.iter().all(|part| last.contains(part)), "{arguments:?}: {last}");
        assert_eq!(said.matches("ERROR").count(), 1, "{said}");
        assert!(!said.contains("WARN"), "{said}");
    }
}
