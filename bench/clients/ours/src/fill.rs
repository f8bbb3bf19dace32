//! Topics filled for other clients to read: at once, or record by record.

use std::error::Error;
use std::time::{Duration, Instant};

use bench_common::cli::Produce;
use bench_common::{Orders, report};
use kafka::{ProducerConfig, Record};
use tokio::time::interval;

use crate::{connect, producer};

#[derive(clap::Args)]
pub(crate) struct FillArguments {
    #[command(flatten)]
    produce: Produce,
    /// What a batch grows to, of however many partitions.
    #[arg(long)]
    batch_bytes: usize,
}

/// Longer than a batch takes to fill, so that all have the same size but for the last of each partition.
const LINGER: Duration = Duration::from_secs(3);

/// Room for an open batch of 100 kB in each of 1,000 partitions, and for those under way.
const BUFFER_BYTES: usize = 256 << 20;

/// Fills a topic with batches of one size.
pub(crate) async fn fill(arguments: FillArguments) -> Result<(), Box<dyn Error>> {
    let FillArguments { produce: Produce { server, orders, topic, records }, batch_bytes } = arguments;
    let orders = Orders::read(&orders)?;
    let config = ProducerConfig { batch_bytes, linger: LINGER, buffer_bytes: BUFFER_BYTES, ..producer(&server)? };
    let producer = connect(&server).await?.producer(config)?;
    let started = Instant::now();
    let all = orders.cycle().take(records as usize);
    let all = all.map(|(key, value)| Record::to(topic.as_str()).key(key).value(value));
    let acknowledged = producer.send_all(all).await?;
    report(&[("records", acknowledged as f64), ("seconds", started.elapsed().as_secs_f64())]);
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct SteadyArguments {
    #[command(flatten)]
    produce: Produce,
    /// The only one that has records.
    #[arg(long, default_value_t = 0)]
    partition: i32,
    /// Records a second.
    #[arg(long)]
    rate: u32,
}

/// Sends records to one partition at a steady rate.
pub(crate) async fn steady(arguments: SteadyArguments) -> Result<(), Box<dyn Error>> {
    let SteadyArguments { produce: Produce { server, orders, topic, records }, partition, rate } = arguments;
    let orders = Orders::read(&orders)?;
    let producer = connect(&server).await?.producer(ProducerConfig { linger: Duration::ZERO, ..producer(&server)? })?;
    let mut all = orders.cycle().take(records as usize);
    let mut ticks = interval(Duration::from_millis(1));
    let (began, mut sent) = (Instant::now(), 0);
    while sent < records {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let now = all.by_ref().take(due.saturating_sub(sent) as usize);
        let now = now.map(|(key, value)| Record::to(topic.as_str()).partition(partition).key(key).value(value));
        sent += producer.send_all(now).await?;
    }
    report(&[("records", sent as f64), ("seconds", began.elapsed().as_secs_f64())]);
    Ok(())
}
