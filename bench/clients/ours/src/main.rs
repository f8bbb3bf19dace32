//! The benchmark's works, done with this project's own client and its fulfilment service; `bench/README.md` says what each work is.

mod fill;
mod fulfil;
mod latency;
mod transactions;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use bench_common::cli::{Consume, Produce, Server, Work};
use bench_common::{Orders, report};
use clap::{Parser, Subcommand};
use kafka::{ClientConfig, Cluster, ConsumerConfig, ProducerConfig, Record, StartFrom, TopicPartition, Transport};

#[derive(Parser)]
#[command(subcommand_precedence_over_arg = true)]
struct Command {
    #[command(subcommand)]
    work: Ours,
}

/// What all clients do, and what only this one does for all.
#[derive(Subcommand)]
enum Ours {
    #[command(flatten)]
    Shared(Work),
    Fill(fill::FillArguments),
    Steady(fill::SteadyArguments),
    Latency(latency::Arguments),
    Watch(latency::WatchArguments),
}

async fn connect(server: &Server) -> Result<Cluster, Box<dyn Error>> {
    let mut config = ClientConfig::new([server.bootstrap.as_str()]);
    if let Some(ca) = &server.ca {
        config.transport = Transport::Tls(tls::TlsOptions { ca_file: Some(ca.clone()), ..Default::default() });
    }
    Ok(Cluster::connect(config).await?)
}

fn producer(server: &Server) -> Result<ProducerConfig, Box<dyn Error>> {
    Ok(ProducerConfig { compression: server.compression.parse()?, ..ProducerConfig::default() })
}

fn main() -> ExitCode {
    let work = Command::parse().work;
    // The service brings its own runtime.
    if let Ours::Shared(Work::Fulfil(arguments)) = &work {
        return fulfil::run(arguments);
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        match work {
            Ours::Shared(Work::Produce(arguments)) => produce(&arguments).await,
            Ours::Shared(Work::Consume(arguments)) => consume(&arguments).await,
            Ours::Shared(Work::Transactions(arguments)) => transactions::run(&arguments).await,
            Ours::Shared(Work::Fulfil(_)) => Ok(()),
            Ours::Fill(arguments) => fill::fill(arguments).await,
            Ours::Steady(arguments) => fill::steady(arguments).await,
            Ours::Latency(arguments) => latency::run(arguments).await,
            Ours::Watch(arguments) => latency::watch(arguments).await,
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

async fn produce(arguments: &Produce) -> Result<(), Box<dyn Error>> {
    let orders = Orders::read(&arguments.orders)?;
    let cluster = connect(&arguments.server).await?;
    let producer = cluster.producer(producer(&arguments.server)?)?;
    let started = Instant::now();
    let topic = arguments.topic.as_str();
    let all = orders.cycle().take(arguments.records as usize);
    let acknowledged = producer.send_all(all.map(|(key, value)| Record::to(topic).key(key).value(value))).await?;
    report(&[("records", acknowledged as f64), ("seconds", started.elapsed().as_secs_f64())]);
    Ok(())
}

async fn consume(arguments: &Consume) -> Result<(), Box<dyn Error>> {
    let cluster = connect(&arguments.server).await?;
    let partition = |partition| (TopicPartition::new(arguments.topic.as_str(), partition), StartFrom::Earliest);
    let mut consumer =
        cluster.consumer_with(ConsumerConfig::assigned((0..arguments.partitions).map(partition))).await?;
    let (mut records, mut bytes, mut started) = (0, 0, None);
    while records < arguments.records {
        let Some(batch) = consumer.next_batch().await? else { break };
        started.get_or_insert_with(Instant::now);
        for record in &batch {
            bytes += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
        }
        records += batch.len() as u64;
    }
    let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
    report(&[("records", records as f64), ("bytes", bytes as f64), ("seconds", seconds)]);
    Ok(())
}
