//! Runs every client's works in turn on one Kafka, and writes the table; `bench/README.md` says what each work is.
//!
//! The clients of a work follow each other within a round, and what is told of two of them is the ratio in the same round: a
//! machine that is slower for a minute is slower for all of them.

mod clients;
mod measure;
mod place;
mod table;
mod works;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

/// Where everything is, and how much of it to do.
#[derive(Parser)]
struct Arguments {
    /// Kafka's plaintext listener
    #[arg(long)]
    bootstrap: String,
    /// Its TLS listener
    #[arg(long)]
    bootstrap_tls: String,
    /// The CA of that
    #[arg(long)]
    ca: PathBuf,
    /// The script that runs Kafka's own tools
    #[arg(long)]
    kafka_tool: Option<PathBuf>,
    /// Where the clients' programs are
    #[arg(long)]
    programs: PathBuf,
    /// How often each work is done by each client
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Records to produce and to consume
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    /// Only these works: produce, consume, partitions, idle, transactions, fulfil, latency, start
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these clients: ours, franz-go, rdkafka, krafka, java
    #[arg(long, value_delimiter = ',')]
    clients: Vec<String>,
    /// Where the tables go
    #[arg(long)]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let place = place::Place::prepare(&arguments).await?;
    let bench = works::Bench::new(&arguments, &place);
    let tables = bench.run().await?;
    std::fs::write(&arguments.out, &tables)?;
    println!("{tables}");
    Ok(())
}
