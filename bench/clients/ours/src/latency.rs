//! How long an order takes from its acknowledgement until its pick list is seen, and how fast pick lists come.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench_common::cli::Server;
use bench_common::{Orders, Times, report};
use futures::stream::{FuturesUnordered, StreamExt as _};
use kafka::{Cluster, Consumer, ConsumerConfig, IsolationLevel, ProducerConfig, Record, StartFrom, TopicPartition};
use tokio::time::{interval, sleep_until};

use crate::{connect, producer};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    orders: PathBuf,
    /// Where orders go.
    #[arg(long)]
    topic: String,
    /// Where pick lists come out.
    #[arg(long)]
    out: String,
    #[arg(long)]
    partitions: i32,
    /// Orders a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Seconds that are not counted.
    #[arg(long, default_value_t = 5)]
    warm_up: u32,
    /// Seconds that are counted.
    #[arg(long, default_value_t = 14)]
    seconds: u32,
}

/// After the last order, for the last pick list.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends orders at a steady rate and watches the pick lists come.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { server, orders, topic, out, partitions, rate, warm_up, seconds } = arguments;
    let orders = Orders::read(&orders)?;
    let total = (rate * (warm_up + seconds)) as usize;
    if total > orders.len() {
        return Err(format!("{total} orders are wanted, each of its own key, and the file has {}", orders.len()).into());
    }
    let cluster = connect(&server).await?;
    let mut consumer = committed(&cluster, &out, partitions, StartFrom::Earliest).await?;
    let producer = cluster.producer(ProducerConfig { linger: Duration::ZERO, ..producer(&server)? })?;
    let mut acknowledgements = FuturesUnordered::new();
    let mut acknowledged: HashMap<Vec<u8>, Instant> = HashMap::with_capacity(total);
    let mut seen: HashMap<Vec<u8>, Instant> = HashMap::with_capacity(total);
    let mut ticks = interval(Duration::from_millis(1));
    let mut records = orders.cycle().take(total);
    let (began, mut sent) = (Instant::now(), 0);
    let give_up = sleep_until((began + Duration::from_secs((warm_up + seconds).into()) + PATIENCE).into());
    tokio::pin!(give_up);
    while seen.len() < total {
        tokio::select! {
            _ = ticks.tick(), if sent < total => {
                let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as usize;
                for (key, value) in records.by_ref().take(due.saturating_sub(sent)) {
                    let delivery = producer.send(Record::to(topic.as_str()).key(key).value(value)).await?;
                    acknowledgements.push(async move { (key, delivery.await) });
                    sent += 1;
                }
            }
            Some((key, outcome)) = acknowledgements.next() => {
                outcome?;
                acknowledged.insert(key.to_vec(), Instant::now());
            }
            batch = consumer.next_batch() => {
                let Some(batch) = batch? else { break };
                let now = Instant::now();
                for record in &batch {
                    seen.entry(record.key().unwrap_or_default().to_vec()).or_insert(now);
                }
            }
            () = &mut give_up => {
                return Err(format!("{} of {total} pick lists came", seen.len()).into());
            }
        }
    }
    let mut times = Times::default();
    for (key, _) in orders.cycle().take(total).skip((rate * warm_up) as usize) {
        if let (Some(acknowledged), Some(seen)) = (acknowledged.get(key), seen.get(key)) {
            times.add(seen.saturating_duration_since(*acknowledged));
        }
    }
    times.report((rate * seconds) as usize);
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct WatchArguments {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partitions: i32,
    #[arg(long)]
    records: u64,
}

/// Waits until so many committed records are there, and tells in what time they came.
pub(crate) async fn watch(arguments: WatchArguments) -> Result<(), Box<dyn Error>> {
    let WatchArguments { server, topic, partitions, records } = arguments;
    let cluster = connect(&server).await?;
    let mut consumer = committed(&cluster, &topic, partitions, StartFrom::Earliest).await?;
    let (mut count, mut first) = (0, None);
    while count < records {
        let Some(batch) = consumer.next_batch().await? else { break };
        count += batch.len() as u64;
        // The rate is of what came after the first batch.
        first.get_or_insert_with(|| (Instant::now(), count));
    }
    let (began, already) = first.unwrap_or((Instant::now(), 0));
    report(&[("records", (count - already) as f64), ("seconds", began.elapsed().as_secs_f64())]);
    Ok(())
}

async fn committed(
    cluster: &Cluster,
    topic: &str,
    partitions: i32,
    from: StartFrom,
) -> Result<Consumer, Box<dyn Error>> {
    let all = (0..partitions).map(|partition| (TopicPartition::new(topic, partition), from));
    let mut config = ConsumerConfig::assigned(all);
    config.isolation_level = IsolationLevel::ReadCommitted;
    Ok(cluster.consumer_with(config).await?)
}
