//! Transactions back to back.

use std::error::Error;
use std::time::{Duration, Instant};

use bench_common::cli::{Transact, WARM_UP};
use bench_common::{Orders, Times};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client;
use crate::transactional::Transactional;

pub(crate) fn run(arguments: &Transact) -> Result<(), Box<dyn Error>> {
    let orders = Orders::read(&arguments.orders)?;
    let mut config = client(&arguments.server);
    config.set("group.id", &arguments.group);
    let group: BaseConsumer = config.create()?;
    let group = group.group_metadata().ok_or("no group")?;
    let mut producer = Transactional::new(&arguments.server, &arguments.transactional_id, 0)?;
    let mut records = orders.cycle();
    let mut times = Times::default();
    for number in 0..WARM_UP + arguments.count {
        std::thread::sleep(Duration::from_millis(arguments.rest_ms));
        let began = Instant::now();
        producer.begin()?;
        for (key, value) in records.by_ref().take(arguments.size) {
            producer.send(&arguments.topic, key, value)?;
        }
        let mut position = TopicPartitionList::new();
        position.add_partition_offset(&arguments.input, 0, Offset::Offset(number as i64))?;
        producer.commit(&position, &group)?;
        if number >= WARM_UP {
            times.add(began.elapsed());
        }
    }
    times.report(arguments.size * arguments.count);
    Ok(())
}
