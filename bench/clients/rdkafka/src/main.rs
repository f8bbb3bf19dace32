//! The benchmark's works through rdkafka; `bench/README.md` says what each work is.

mod fulfil;
mod transactional;
mod transactions;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_common::cli::{Command, Consume, Produce, Server, Work};
use bench_common::{Orders, report};
use clap::Parser as _;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long reports are served when the producer's queue is full, of which it sends a small part meanwhile. rdkafka cuts what
/// is left of a wait to whole milliseconds and asks over and over, without a pause, in the last one: a wait of one
/// millisecond is a busy loop.
const MAKE_ROOM: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let done = match Command::parse().work {
        Work::Produce(arguments) => produce(&arguments),
        Work::Consume(arguments) => consume(&arguments),
        Work::Transactions(arguments) => transactions::run(&arguments),
        Work::Fulfil(arguments) => fulfil::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn client(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &server.bootstrap);
    if let Some(ca) = &server.ca {
        config.set("security.protocol", "SSL").set("ssl.ca.location", ca.display().to_string());
    }
    config
}

/// As large batches as a broker takes, and room for as many as ours has.
///
/// No more requests on their way than partitions, less one. An idempotent producer of this library sends one batch of a partition
/// at a time, and while it waits for the answer to that with a full one ready behind it, its thread goes round without a pause,
/// unless there is a request that has to wait for another's answer (which is what holds further batches back). That cost
/// several times the work itself with a broker that is slower than the producer.
fn producer(server: &Server) -> ClientConfig {
    let mut config = client(server);
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("max.in.flight", "2")
        .set("compression.type", &server.compression)
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "32768");
    config
}

/// Reads ahead as far as it does by default, and looks soon whether there is room again, not after a second.
fn consumer(server: &Server) -> ClientConfig {
    let mut config = client(server);
    config.set("enable.auto.commit", "false").set("check.crcs", "true").set("fetch.queue.backoff.ms", "5");
    config
}

/// Counts what is acknowledged, and what is not.
#[derive(Clone, Default)]
struct Counts {
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Counts {}

impl ProducerContext for Counts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.acknowledged } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Queues a record, making room for it where there is none.
fn send(producer: &BaseProducer<Counts>, topic: &str, key: &[u8], value: &[u8]) -> Result<(), KafkaError> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                producer.poll(MAKE_ROOM);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn produce(arguments: &Produce) -> Result<(), Box<dyn Error>> {
    let orders = Orders::read(&arguments.orders)?;
    let counts = Counts::default();
    let producer: BaseProducer<Counts> = producer(&arguments.server).create_with_context(counts.clone())?;
    let started = Instant::now();
    for (number, (key, value)) in orders.cycle().take(arguments.records as usize).enumerate() {
        send(&producer, &arguments.topic, key, value)?;
        if number % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE)?;
    let seconds = started.elapsed().as_secs_f64();
    let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
    if acknowledged != arguments.records {
        return Err(format!("{acknowledged} acknowledged, {} failed", counts.failed.load(Ordering::Relaxed)).into());
    }
    report(&[("records", acknowledged as f64), ("seconds", seconds)]);
    Ok(())
}

fn consume(arguments: &Consume) -> Result<(), Box<dyn Error>> {
    let mut config = consumer(&arguments.server);
    // It wants one, and does not ask it for anything.
    config.set("group.id", "unused");
    let consumer: BaseConsumer = config.create()?;
    // A partition whose leader is not known yet when it is assigned waits for half a second before it asks for its beginning.
    consumer.fetch_metadata(Some(&arguments.topic), PATIENCE)?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..arguments.partitions {
        partitions.add_partition_offset(&arguments.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let (mut records, mut bytes, mut started) = (0, 0, None);
    while records < arguments.records {
        let message = consumer.poll(PATIENCE).ok_or("no more records")??;
        started.get_or_insert_with(Instant::now);
        bytes += message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len);
        records += 1;
    }
    let seconds = started.map_or(0.0, |started: Instant| started.elapsed().as_secs_f64());
    report(&[("records", records as f64), ("bytes", bytes as f64), ("seconds", seconds)]);
    Ok(())
}
