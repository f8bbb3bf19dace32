//! The benchmark's works through krafka; `bench/README.md` says what each work is.

use std::collections::HashMap;
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
use krafka::producer::{Acks, ProducerBuilder, TopicPartitionOffset};
use krafka::{Compression, Kafka, Record};
use tokio::signal::unix::{SignalKind, signal};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    // As its examples do: on one thread it was slower.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
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
        .buffer_memory(256 << 20)
        .linger(Duration::from_millis(5)))
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
    let mut handles = Vec::with_capacity(arguments.records as usize);
    for order in orders.iter().cycle().take(arguments.records as usize) {
        handles.push(producer.enqueue(record(&arguments.topic, order)).await?);
    }
    let records = handles.len();
    for handle in handles {
        let _ = handle.await?;
    }
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
    let producer = producer(&kafka, &arguments.server)?
        .linger(Duration::ZERO)
        .build_transactional(arguments.transactional_id.as_str())
        .await?;
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
    let producer = producer(&kafka, &arguments.server)?
        .linger(Duration::ZERO)
        .build_transactional(arguments.transactional_id.as_str())
        .await?;
    let consumer = kafka
        .consumer(arguments.group.as_str())
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation_level(IsolationLevel::ReadCommitted)
        .enable_auto_commit(false)
        .max_poll_records(i32::try_from(arguments.max_orders)?)
        .build()
        .await?;
    consumer.subscribe([arguments.topic.as_str()]).await?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut done = 0;
    loop {
        let polled = tokio::select! {
            biased;
            _ = stop.recv() => break,
            polled = consumer.poll(Duration::from_millis(100)) => polled?,
        };
        if polled.is_empty() {
            continue;
        }
        producer.begin()?;
        let mut next = HashMap::new();
        for order in &polled {
            let (key, value) = picking.pick(order.value.as_deref().unwrap_or_default())?;
            drop(producer.enqueue(Record::new(arguments.out.as_str(), value).key(key.into_bytes())).await?);
            next.insert(order.partition, order.offset + 1);
        }
        let topic = arguments.topic.as_str();
        let offsets: Vec<_> =
            next.into_iter().map(|(partition, offset)| TopicPartitionOffset::new(topic, partition, offset)).collect();
        let group = consumer.group_metadata().await.ok_or("no member of its group")?;
        producer.send_offsets(&offsets, &group).await?;
        producer.commit().await?;
        done += polled.len();
    }
    report(&[("records", done as f64)]);
    consumer.close().await?;
    Ok(())
}
