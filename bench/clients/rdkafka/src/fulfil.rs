//! Orders to pick lists, exactly once.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench_common::cli::Fulfil;
use bench_common::picking::Picking;
use bench_common::report;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{Counts, PATIENCE, client, producer, send};

pub(crate) fn run(arguments: &Fulfil) -> Result<(), Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop))?;
    let picking = Picking::new(arguments.schema_id);
    let mut config = producer(&arguments.server);
    config.set("transactional.id", &arguments.transactional_id).set("linger.ms", "0");
    let producer: BaseProducer<Counts> = config.create_with_context(Counts::default())?;
    producer.init_transactions(PATIENCE)?;
    let mut config = client(&arguments.server);
    config
        .set("group.id", &arguments.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&arguments.topic])?;
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(first) = consumer.poll(Duration::from_millis(100)) else { continue };
        let until = Instant::now() + Duration::from_millis(arguments.linger_ms.into());
        producer.begin_transaction()?;
        let mut message = first?;
        let mut orders = 0;
        loop {
            let (key, value) = picking.pick(message.payload().unwrap_or_default())?;
            send(&producer, &arguments.out, key.as_bytes(), &value)?;
            orders += 1;
            if orders == arguments.max_orders {
                break;
            }
            match consumer.poll(until.saturating_duration_since(Instant::now())) {
                Some(next) => message = next?,
                None => break,
            }
        }
        let mut offsets = TopicPartitionList::new();
        for position in consumer.position()?.elements_for_topic(&arguments.topic) {
            if let Offset::Offset(_) = position.offset() {
                offsets.add_partition_offset(&arguments.topic, position.partition(), position.offset())?;
            }
        }
        let group = consumer.group_metadata().ok_or("no group")?;
        producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
        producer.commit_transaction(PATIENCE)?;
        done += u64::from(orders);
    }
    report(&[("records", done as f64)]);
    Ok(())
}
