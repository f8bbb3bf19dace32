//! The benchmark's works through krafka; `bench/README.md` says what each work is.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench_common::cli::{Command, Consume, Fulfil, Produce, Server, Transact, WARM_UP, Work};
use bench_common::picking::Picking;
use bench_common::{Orders, Times, report};
use bytes::Bytes;
use clap::Parser as _;
use krafka::auth::{AuthConfig, TlsConfig};
use krafka::consumer::{AutoOffsetReset, IsolationLevel};
use krafka::producer::{Acks, ProducerBuilder, TopicPartitionOffset, TransactionalProducer};
use krafka::{Compression, Kafka, Record};
use tokio::signal::unix::{SignalKind, signal};

type Outcome = Result<(), Box<dyn Error>>;

/// Records whose outcome is not asked for yet: what is kept of each is more than the record.
const OUTSTANDING: usize = 100_000;

/// Records that a consumer keeps beyond what a poll returns. What an answer has beyond that is thrown away and fetched again,
/// so this is more than an answer of 1 MiB a partition has.
const BUFFERED: i32 = 50_000;

/// How long pick lists wait for more: batches instead of single records, and no longer than the positions take.
const LINGER: Duration = Duration::from_millis(1);

/// The most orders of one poll in the fulfilment, which cannot ask for fewer when its transaction is nearly full. As the service.
const POLLED: u32 = 500;

fn main() -> ExitCode {
    // Its examples have several threads, with which each work took longer and a third more of the processors.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        match Command::parse().work {
            Work::Produce(arguments) => produce(&arguments).await,
            Work::Consume(arguments) => consume(&arguments).await,
            Work::Transactions(arguments) => transactions(&arguments).await,
            Work::Fulfil(arguments) => fulfil(&arguments).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn connect(server: &Server) -> Result<Kafka, Box<dyn Error>> {
    let mut builder = Kafka::builder(server.bootstrap.as_str());
    if let Some(ca) = &server.ca {
        builder = builder.security(AuthConfig::ssl(TlsConfig::new().with_ca_cert(ca.display().to_string())));
    }
    Ok(builder.connect().await?)
}

fn producer(kafka: &Kafka, server: &Server) -> Result<ProducerBuilder, Box<dyn Error>> {
    let compression = match server.compression.as_str() {
        "none" => Compression::None,
        "lz4" => Compression::Lz4,
        other => return Err(format!("no compression {other}").into()),
    };
    Ok(kafka
        .producer()
        .acks(Acks::All)
        .compression(compression)
        .batch_size(1_000_000)
        .max_request_size(1_048_576)
        .buffer_memory(32 << 20)
        .linger(Duration::from_millis(5)))
}

/// Asks again soon when the transaction before is not quite over.
async fn transactional(
    kafka: &Kafka,
    server: &Server,
    id: &str,
    linger: Duration,
) -> Result<TransactionalProducer, Box<dyn Error>> {
    let builder = producer(kafka, server)?.linger(linger).retry_backoff(Duration::from_millis(1));
    Ok(builder.build_transactional(id).await?)
}

/// The orders as shared bytes, which is what this library sends without a copy.
fn shared(orders: &Orders) -> Vec<(Bytes, Bytes)> {
    orders
        .cycle()
        .take(orders.len())
        .map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))
        .collect()
}

fn record(topic: &str, (key, value): &(Bytes, Bytes)) -> Record {
    Record::new(topic, value.clone()).key(key.clone())
}

async fn produce(arguments: &Produce) -> Outcome {
    let orders = shared(&Orders::read(&arguments.orders)?);
    let kafka = connect(&arguments.server).await?;
    let producer = producer(&kafka, &arguments.server)?.build().await?;
    let started = Instant::now();
    let mut handles = VecDeque::with_capacity(OUTSTANDING);
    for order in orders.iter().cycle().take(arguments.records as usize) {
        if handles.len() == OUTSTANDING {
            // All at once, so that the producer is not waited for at every record from then on.
            for handle in handles.drain(..OUTSTANDING / 2) {
                let _ = handle.await?;
            }
        }
        handles.push_back(producer.enqueue(record(&arguments.topic, order)).await?);
    }
    for handle in handles {
        let _ = handle.await?;
    }
    let records = arguments.records;
    report(&[("records", records as f64), ("seconds", started.elapsed().as_secs_f64())]);
    producer.close().await?;
    Ok(())
}

async fn consume(arguments: &Consume) -> Outcome {
    let kafka = connect(&arguments.server).await?;
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .max_poll_records(5_000)
        .max_buffered_records(BUFFERED)
        .build()
        .await?;
    consumer.assign(&arguments.topic, (0..arguments.partitions).collect()).await?;
    let (mut records, mut bytes, mut started) = (0, 0, None);
    while records < arguments.records {
        let polled = consumer.poll(Duration::from_secs(60)).await?;
        started.get_or_insert_with(Instant::now);
        for record in &polled {
            bytes += record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
        }
        records += polled.len() as u64;
    }
    let seconds = started.map_or(0.0, |started: Instant| started.elapsed().as_secs_f64());
    report(&[("records", records as f64), ("bytes", bytes as f64), ("seconds", seconds)]);
    Ok(())
}

async fn transactions(arguments: &Transact) -> Outcome {
    let orders = shared(&Orders::read(&arguments.orders)?);
    let kafka = connect(&arguments.server).await?;
    let producer = transactional(&kafka, &arguments.server, &arguments.transactional_id, Duration::ZERO).await?;
    // This library commits positions for members only, so this is one.
    let consumer = kafka.consumer(arguments.group.as_str()).enable_auto_commit(false).build().await?;
    consumer.subscribe([arguments.input.as_str()]).await?;
    let group = loop {
        let _ = consumer.poll(Duration::from_millis(100)).await?;
        if let Some(group) = consumer.group_metadata().await {
            break group;
        }
    };
    let mut records = orders.iter().cycle();
    let mut times = Times::default();
    for number in 0..WARM_UP + arguments.count {
        if arguments.rest_ms > 0 {
            tokio::time::sleep(Duration::from_millis(arguments.rest_ms)).await;
        }
        let began = Instant::now();
        producer.begin()?;
        for order in records.by_ref().take(arguments.size) {
            // The transaction tells whether it was written.
            drop(producer.enqueue(record(&arguments.topic, order)).await?);
        }
        let offset = TopicPartitionOffset::new(arguments.input.as_str(), 0, number as i64);
        producer.send_offsets(&[offset], &group).await?;
        producer.commit().await?;
        if number >= WARM_UP {
            times.add(began.elapsed());
        }
    }
    times.report(arguments.size * arguments.count);
    consumer.close().await?;
    Ok(())
}

async fn fulfil(arguments: &Fulfil) -> Outcome {
    let picking = Picking::new(arguments.schema_id);
    let kafka = connect(&arguments.server).await?;
    let producer = transactional(&kafka, &arguments.server, &arguments.transactional_id, LINGER).await?;
    let polled = POLLED.min(arguments.max_orders);
    let consumer = kafka
        .consumer(arguments.group.as_str())
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation_level(IsolationLevel::ReadCommitted)
        .enable_auto_commit(false)
        .max_poll_records(i32::try_from(polled)?)
        .max_buffered_records(BUFFERED)
        .build()
        .await?;
    consumer.subscribe([arguments.topic.as_str()]).await?;
    let topic = arguments.topic.as_str();
    let most = (arguments.max_orders - polled) as usize;
    let mut stop = signal(SignalKind::terminate())?;
    let mut done = 0;
    loop {
        let mut orders = tokio::select! {
            biased;
            _ = stop.recv() => break,
            orders = consumer.poll(Duration::from_millis(100)) => orders?,
        };
        if orders.is_empty() {
            continue;
        }
        let until = Instant::now() + Duration::from_millis(arguments.linger_ms.into());
        producer.begin()?;
        let (mut next, mut taken) = (HashMap::new(), 0);
        loop {
            for order in &orders {
                let (key, value) = picking.pick(order.value.as_deref().unwrap_or_default())?;
                drop(producer.enqueue(Record::new(arguments.out.as_str(), value).key(key.into_bytes())).await?);
                next.insert(order.partition, order.offset + 1);
            }
            taken += orders.len();
            let left = until.saturating_duration_since(Instant::now());
            if taken > most || left.is_zero() {
                break;
            }
            orders = consumer.poll(left).await?;
        }
        let offsets: Vec<_> =
            next.into_iter().map(|(partition, offset)| TopicPartitionOffset::new(topic, partition, offset)).collect();
        let group = consumer.group_metadata().await.ok_or("no member of its group")?;
        producer.send_offsets(&offsets, &group).await?;
        producer.commit().await?;
        done += taken;
    }
    report(&[("records", done as f64)]);
    consumer.close().await?;
    Ok(())
}
