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
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::consumer;
use crate::transactional::Transactional;

/// How long pick lists wait for more in the producer: batches instead of single records, and over before the positions are
/// sent, which takes two requests one after the other.
const LINGER_MS: u32 = 1;

pub(crate) fn run(arguments: &Fulfil) -> Result<(), Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop))?;
    let picking = Picking::new(arguments.schema_id);
    let mut producer = Transactional::new(&arguments.server, &arguments.transactional_id, LINGER_MS)?;
    let mut config = consumer(&arguments.server);
    config
        .set("group.id", &arguments.group)
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&arguments.topic])?;
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(first) = consumer.poll(Duration::from_millis(100)) else { continue };
        let until = Instant::now() + Duration::from_millis(arguments.linger_ms.into());
        producer.begin()?;
        let mut message = first?;
        let mut orders = 0;
        loop {
            let (key, value) = picking.pick(message.payload().unwrap_or_default())?;
            producer.send(&arguments.out, key.as_bytes(), &value)?;
            orders += 1;
            if orders == arguments.max_orders {
                break;
            }
            match consumer.poll(whole_milliseconds(until.saturating_duration_since(Instant::now()))) {
                Some(next) => message = next?,
                None => break,
            }
        }
        let mut positions = TopicPartitionList::new();
        for position in consumer.position()?.elements_for_topic(&arguments.topic) {
            if let Offset::Offset(_) = position.offset() {
                positions.add_partition_offset(&arguments.topic, position.partition(), position.offset())?;
            }
        }
        let group = consumer.group_metadata().ok_or("no group")?;
        producer.commit(&positions, &group)?;
        done += u64::from(orders);
    }
    report(&[("records", done as f64)]);
    Ok(())
}

/// Rounds a wait up: rdkafka cuts off what is less than a millisecond, and asks over and over, without a pause, until it is over.
fn whole_milliseconds(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX))
}
