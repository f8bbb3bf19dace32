//! How fast this client produces: keyed records to one topic, all acknowledged.
//!
//!     cargo run --release -p kafka --example produce_rate -- 127.0.0.1:9092 orders 1000000 172 none

use std::time::{Duration, Instant};

use kafka::{ClientConfig, Cluster, ProducerConfig, Record};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let bootstrap = args.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let topic = args.next().unwrap_or_else(|| "orders".into());
    let records: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let value_bytes: usize = args.next().map_or(Ok(172), |n| n.parse())?;
    let compression = args.next().map_or(Ok(kafka::Compression::None), |name| name.parse())?;

    let cluster = Cluster::connect(ClientConfig::new([bootstrap])).await?;
    let producer = cluster.producer(ProducerConfig { compression, ..ProducerConfig::default() })?;
    let value: Vec<u8> = (0..value_bytes).map(|at| b'a' + (at * 7 % 26) as u8).collect();
    // The topic's metadata and the producer id are not what is measured.
    producer.send(Record::to(topic.as_str()).key("first").value(&value)).await?.await?;

    let started = Instant::now();
    let mut deliveries = Vec::with_capacity(records as usize);
    let mut key = String::new();
    for number in 0..records {
        use std::fmt::Write as _;
        key.clear();
        write!(key, "order-{number}")?;
        deliveries.push(producer.send(Record::to(topic.as_str()).key(&key).value(&value)).await?);
    }
    for delivery in deliveries {
        delivery.await?;
    }
    let one_by_one = started.elapsed();

    let started = Instant::now();
    let all = (0..records).map(|number| Record::to(topic.as_str()).key(format!("order-{number}")).value(&value));
    let acknowledged = producer.send_all(all).await?;
    let together = started.elapsed();

    let rate = |elapsed: Duration| records as f64 / elapsed.as_secs_f64();
    println!("a delivery each: {records} records in {one_by_one:?}, {:.0} records/s", rate(one_by_one));
    println!("send_all: {acknowledged} records in {together:?}, {:.0} records/s", rate(together));
    println!("{:?}", producer.metrics());
    producer.close(Duration::from_secs(10)).await?;
    Ok(())
}
