//! Transactions back to back.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use bench_common::{Orders, Times};
use kafka::{ConsumerConfig, Position, Positions, Record, StartFrom, TopicPartition, TransactionConfig};

use crate::Server;

/// Transactions that are not counted: connections, the first producer id, and how long this broker's markers take.
const WARM_UP: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    orders: PathBuf,
    #[arg(long)]
    topic: String,
    /// The topic whose positions are part of each transaction.
    #[arg(long)]
    input: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    transactional_id: String,
    /// Records of one transaction.
    #[arg(long)]
    size: usize,
    #[arg(long)]
    count: usize,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { server, orders, topic, input, group, transactional_id, size, count } = arguments;
    let orders = Orders::read(&orders)?;
    let cluster = server.connect().await?;
    let input = TopicPartition::new(input.as_str(), 0);
    let mut config = ConsumerConfig::assigned([(input.clone(), StartFrom::Latest)]);
    config.group_id = Some(group);
    let group = cluster.consumer_with(config).await?.group_metadata().ok_or("no group")?;
    let config = TransactionConfig { producer: server.producer(), ..TransactionConfig::new(transactional_id) };
    let mut transactions = cluster.transactions(config).await?;
    let mut records = orders.cycle();
    let mut times = Times::default();
    let mut before = Instant::now();
    for number in 0..WARM_UP + count {
        let mut transaction = transactions.begin().await?;
        for (key, value) in records.by_ref().take(size) {
            transaction.send(Record::to(topic.as_str()).key(key).value(value)).await?;
        }
        let mut positions = Positions::new();
        positions.insert(input.clone(), Position::at(number as i64));
        transaction.commit_with(&positions, &group).await?;
        let now = Instant::now();
        if number >= WARM_UP {
            times.add(now - before);
        }
        before = now;
    }
    times.report(size * count);
    Ok(())
}
