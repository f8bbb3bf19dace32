//! Transactions back to back.

use std::error::Error;
use std::time::{Duration, Instant};

use bench_common::cli::{Transact, WARM_UP};
use bench_common::{Orders, Times};
use kafka::{
    ConsumerConfig, Position, Positions, ProducerConfig, Record, StartFrom, TopicPartition, TransactionConfig,
};

use crate::{connect, producer};

pub(crate) async fn run(arguments: &Transact) -> Result<(), Box<dyn Error>> {
    let Transact { server, orders, topic, input, group, transactional_id, size, count, rest_ms } = arguments;
    let orders = Orders::read(orders)?;
    let cluster = connect(server).await?;
    let input = TopicPartition::new(input.as_str(), 0);
    let mut config = ConsumerConfig::assigned([(input.clone(), StartFrom::Latest)]);
    config.group_id = Some(group.clone());
    let group = cluster.consumer_with(config).await?.group_metadata().ok_or("no group")?;
    let producer = ProducerConfig { linger: Duration::ZERO, ..producer(server)? };
    let config = TransactionConfig { producer, ..TransactionConfig::new(transactional_id) };
    let mut transactions = cluster.transactions(config).await?;
    let mut records = orders.cycle();
    let mut times = Times::default();
    for number in 0..WARM_UP + count {
        if *rest_ms > 0 {
            tokio::time::sleep(Duration::from_millis(*rest_ms)).await;
        }
        let began = Instant::now();
        let mut transaction = transactions.begin().await?;
        let all = records.by_ref().take(*size);
        transaction.send_all(all.map(|(key, value)| Record::to(topic.as_str()).key(key).value(value))).await?;
        let mut positions = Positions::new();
        positions.insert(input.clone(), Position::at(number as i64));
        transaction.commit_with(&positions, &group).await?;
        if number >= WARM_UP {
            times.add(began.elapsed());
        }
    }
    times.report(size * count);
    Ok(())
}
