//! Writers and readers of both versions of the schemas on one sandbox, as in the middle of a roll-out.

use std::collections::BTreeMap;
use std::time::Duration;

use grocery_events::{Event, EventVersion, GroceryOrder, GroceryPicklist};
use kafka::{ConsumerConfig, IsolationLevel, StartFrom, TopicPartition};
use sandbox::Sandbox;
use schema_registry::{AvroDeserializer, RegistryClient, RegistryConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::alone::{cluster, sandbox, service};

/// Orders of each version that meet each version of fulfilment.
const ORDERS: usize = 10;

/// What a program that knows version 1 only has of an order.
#[derive(Deserialize)]
#[serde(rename = "GroceryOrder")]
struct FirstOrder {
    order_id: String,
    items: Vec<String>,
}

/// What a program that knows version 1 only has of a pick list.
#[derive(Deserialize)]
#[serde(rename = "GroceryPicklist")]
struct FirstPicklist {
    order_id: String,
    items_to_pick: Vec<String>,
}

fn registry(sandbox: &Sandbox) -> RegistryClient {
    RegistryClient::new(&RegistryConfig::new([sandbox.endpoints().open_registry_url.clone().unwrap()])).unwrap()
}

/// Reads `count` records of a topic, each with the schema id that it was written with.
async fn read<T: DeserializeOwned>(
    sandbox: &Sandbox,
    topic: &str,
    count: usize,
    reader: &AvroDeserializer<T>,
) -> Vec<(i32, T)> {
    let partitions = (0..3).map(|number| (TopicPartition::new(topic, number), StartFrom::Earliest));
    let mut config = ConsumerConfig::assigned(partitions);
    config.isolation_level = IsolationLevel::ReadCommitted;
    let mut consumer = cluster(sandbox).await.consumer_with(config).await.unwrap();
    let mut events = Vec::new();
    let reading = async {
        while events.len() < count {
            let batch = consumer.next_batch().await.unwrap().unwrap();
            for record in &batch {
                let value = record.value().unwrap();
                let id = i32::from_be_bytes(value[1..5].try_into().unwrap());
                events.push((id, reader.read(None, value).await.unwrap()));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap();
    events
}

#[tokio::test]
async fn every_mix_of_writers_and_readers_gives_the_same_lists() {
    let sandbox = sandbox().await;
    let mut device = service(&sandbox, "picklist-consumer", &["--format", "json"]);
    let mut total = 0;
    for fulfilment in ["1", "2"] {
        let mut picking = service(&sandbox, "fulfillment-service", &["--event-version", fulfilment]);
        for orders in ["1", "2"] {
            // By the key once and by the flag once.
            let version = if orders == "1" { ["--set", "event.version=1"] } else { ["--event-version", "2"] };
            let count = ORDERS.to_string();
            let arguments = [&["--orders", &count, "--rate", "max", "--store", "store-7"], &version[..]].concat();
            let ended = service(&sandbox, "order-producer", &arguments).ended().await;
            assert_eq!(ended.code, Some(0), "{}", ended.said);
            total += ORDERS;
        }
        picking.says(&format!("{} in all", 2 * ORDERS)).await;
        picking.signal("TERM");
        assert_eq!(picking.ended().await.code, Some(0));
    }
    let registry = registry(&sandbox);
    let orders = read(&sandbox, GroceryOrder::TOPIC, total, &GroceryOrder::reader(&registry).unwrap()).await;
    let lists = read(&sandbox, GroceryPicklist::TOPIC, total, &GroceryPicklist::reader(&registry).unwrap()).await;

    // Each service has written under the id of its version, also where that is not the latest.
    for (ids, subject) in [
        (orders.iter().map(|(id, _)| *id).collect::<Vec<_>>(), GroceryOrder::SUBJECT),
        (lists.iter().map(|(id, _)| *id).collect(), GroceryPicklist::SUBJECT),
    ] {
        for version in EventVersion::ALL {
            let number = schema_registry::Version::Number(version.number());
            let registered = registry.version(subject, number).await.unwrap().id;
            let count = ids.iter().filter(|id| **id == registered).count();
            assert_eq!(count, total / 2, "{subject}, version {version}");
        }
    }

    let first =
        AvroDeserializer::<FirstOrder>::new(&registry, GroceryOrder::SUBJECT, GroceryOrder::VERSIONS[0]).unwrap();
    let of_version_1 = read(&sandbox, GroceryOrder::TOPIC, total, &first).await.into_iter();
    let of_version_1: BTreeMap<String, Vec<String>> =
        of_version_1.map(|(_, order)| (order.order_id, order.items)).collect();
    let first =
        AvroDeserializer::<FirstPicklist>::new(&registry, GroceryPicklist::SUBJECT, GroceryPicklist::VERSIONS[0])
            .unwrap();
    let device_of_version_1 = read(&sandbox, GroceryPicklist::TOPIC, total, &first).await.into_iter();
    let device_of_version_1: BTreeMap<String, Vec<String>> =
        device_of_version_1.map(|(_, list)| (list.order_id, list.items_to_pick)).collect();
    let lists: BTreeMap<String, GroceryPicklist> =
        lists.into_iter().map(|(_, list)| (list.order_id.clone(), list)).collect();
    assert_eq!((of_version_1.len(), lists.len()), (total, total));
    for (_, order) in &orders {
        assert_eq!(order.validate(), Ok(()));
        let list = &lists[&order.order_id];
        assert_eq!(list.validate(), Ok(()));
        assert_eq!(list.items_to_pick, order.items);
        assert_eq!(of_version_1[&order.order_id], order.items);
        assert_eq!(device_of_version_1[&order.order_id], order.items);
        let of_version_2 = !order.lines.is_empty();
        assert_eq!(order.store_id, if of_version_2 { "store-7" } else { "" });
        assert!(!of_version_2 || order.lines.len() == GroceryOrder::lines_of(&order.items).len());
    }
    let with_lines = lists.values().filter(|list| !list.lines.is_empty()).count();
    assert_eq!(with_lines, total / 2);

    // The device has shown all of them, those of either version by aisle.
    device.says(&format!("{total} in all")).await;
    device.signal("TERM");
    let shown = device.ended().await;
    assert_eq!(shown.code, Some(0), "{}", shown.said);
    let shown: Vec<serde_json::Value> = shown
        .said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(shown.len(), total);
    for instructions in shown {
        let items = &device_of_version_1[instructions["order_id"].as_str().unwrap()];
        let picks =
            instructions["aisles"].as_array().unwrap().iter().flat_map(|aisle| aisle["items"].as_array().unwrap());
        let pieces: u64 = picks.map(|pick| pick["count"].as_u64().unwrap()).sum();
        assert_eq!(pieces as usize, items.len());
        assert_ne!(instructions["aisles"][0]["aisle"], "");
    }
}

#[tokio::test]
async fn a_version_that_is_not_registered_ends_a_writer_with_what_to_do() {
    let mut config = grocery::grocery_sandbox().unwrap();
    config.subjects.retain(|(_, text)| text == GroceryOrder::VERSIONS[0]);
    let sandbox = Sandbox::start(config).await.unwrap();
    let refused = service(&sandbox, "order-producer", &["--orders", "1"]).ended().await;
    assert_eq!(refused.code, Some(6), "{}", refused.said);
    let last = refused.said.lines().last().unwrap();
    for part in ["grocery.orders.v1-value", "40403", "grocery schemas register", "--event-version"] {
        assert!(last.contains(part), "{part}: {last}");
    }
    let taken = service(&sandbox, "order-producer", &["--orders", "1", "--event-version", "1"]).ended().await;
    assert_eq!(taken.code, Some(0), "{}", taken.said);
    let unknown = service(&sandbox, "order-producer", &["--set", "event.version=3"]).ended().await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.said);
    assert!(unknown.said.contains("event.version") && unknown.said.contains("1 or 2"), "{}", unknown.said);
}
