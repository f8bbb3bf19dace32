//! The benchmark's works, done with this project's own client and its fulfilment service; `bench/README.md` says what each work is.

mod fulfil;
mod latency;
mod transactions;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bench_common::{Orders, report};
use clap::{Args, Parser, Subcommand};
use kafka::{ClientConfig, Cluster, Compression, ConsumerConfig, ProducerConfig, Record, StartFrom, TopicPartition, Transport};

#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    Produce {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        orders: PathBuf,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        records: u64,
    },
    Consume {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        partitions: i32,
        #[arg(long)]
        records: u64,
    },
    Transactions(transactions::Arguments),
    Fulfil(fulfil::Arguments),
    Latency(latency::Arguments),
    Watch(latency::WatchArguments),
}

/// Where the cluster is, and how it is talked to.
#[derive(Args)]
struct Server {
    #[arg(long)]
    bootstrap: String,
    /// TLS, and the CA to trust.
    #[arg(long)]
    ca: Option<PathBuf>,
    #[arg(long, default_value = "none")]
    compression: Compression,
}

impl Server {
    async fn connect(&self) -> Result<Cluster, Box<dyn Error>> {
        let mut config = ClientConfig::new([self.bootstrap.as_str()]);
        if let Some(ca) = &self.ca {
            config.transport = Transport::Tls(tls::TlsOptions { ca_file: Some(ca.clone()), ..Default::default() });
        }
        Ok(Cluster::connect(config).await?)
    }

    fn producer(&self) -> ProducerConfig {
        ProducerConfig { compression: self.compression, ..ProducerConfig::default() }
    }
}

fn main() -> ExitCode {
    let work = Command::parse().work;
    // The service brings its own runtime.
    if let Work::Fulfil(arguments) = work {
        return fulfil::run(arguments);
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        match work {
            Work::Produce { server, orders, topic, records } => produce(&server, &Orders::read(&orders)?, &topic, records).await,
            Work::Consume { server, topic, partitions, records } => consume(&server, &topic, partitions, records).await,
            Work::Transactions(arguments) => transactions::run(arguments).await,
            Work::Latency(arguments) => latency::run(arguments).await,
            Work::Watch(arguments) => latency::watch(arguments).await,
            Work::Fulfil(_) => Ok(()),
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

async fn produce(server: &Server, orders: &Orders, topic: &str, records: u64) -> Result<(), Box<dyn Error>> {
    let cluster = server.connect().await?;
    let producer = cluster.producer(server.producer())?;
    let started = Instant::now();
    let all = orders.cycle().take(records as usize);
    let acknowledged = producer.send_all(all.map(|(key, value)| Record::to(topic).key(key).value(value))).await?;
    report(&[("records", acknowledged as f64), ("seconds", started.elapsed().as_secs_f64())]);
    Ok(())
}

async fn consume(server: &Server, topic: &str, partitions: i32, records: u64) -> Result<(), Box<dyn Error>> {
    let cluster = server.connect().await?;
    let all = (0..partitions).map(|partition| (TopicPartition::new(topic, partition), StartFrom::Earliest));
    let mut consumer = cluster.consumer_with(ConsumerConfig::assigned(all)).await?;
    let (mut count, mut bytes, mut started) = (0, 0, None);
    while count < records {
        let Some(batch) = consumer.next_batch().await? else { break };
        started.get_or_insert_with(Instant::now);
        for record in &batch {
            bytes += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
        }
        count += batch.len() as u64;
    }
    let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
    report(&[("records", count as f64), ("bytes", bytes as f64), ("seconds", seconds)]);
    Ok(())
}
