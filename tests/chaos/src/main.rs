//! Faults on a running pipeline, and the audit of what became of every order.
//!
//! Three brokers of Apache Kafka, an identity provider and a registry from `scripts/peers`, a proxy of ours before each, the three
//! services as processes under load. [`plan`] says which faults strike, [`faults`] does it, [`flow`] sees when the pipeline moves again,
//! `grocery::audit` compares the books at the end. `scripts/chaos` runs it.

mod faults;
mod fleet;
mod flow;
mod place;
mod plan;
mod processes;
mod proxy;
mod run;
mod table;
mod witness;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::fleet::{GroupProtocol, Shape};
use crate::run::{Report, Settings, run};

/// Examples of each kind of violation that are printed; all of them are in the run's folder.
const EXAMPLES: usize = 5;

/// What each instance of fulfilment is told: an id for its transactions that stays over restarts, and how long a transaction that
/// nobody ends may hold up the readers (60 s by default).
const FULFILLMENT: [&str; 2] = ["transactional.id=fulfillment-service-{n}", "transaction.timeout.ms=10000"];

/// A run was not possible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChaosError {
    /// A server cannot be started, or does not come back.
    #[error("{0}")]
    Place(String),
    /// A tool is missing; the message says which package has it.
    #[error("{0}")]
    MissingTool(String),
    /// The topics cannot be read.
    #[error("reading the topics: {0}")]
    Witness(String),
    /// The cluster does not answer the tool's own client.
    #[error("{0}")]
    Cluster(#[from] kafka::ClusterError),
    /// A file, a port or a process.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Ctrl-C, or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

/// Injects faults into a running pipeline on Apache Kafka and audits every order
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
struct Args {
    /// How many faults
    #[arg(long, value_name = "N", default_value_t = 200)]
    faults: usize,

    /// The same seed makes the same plan; without it any
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Brokers of the cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=9))]
    brokers: u8,

    /// Instances of fulfillment-service when nothing storms
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    instances: u8,

    /// Orders a second
    #[arg(long, value_name = "R", default_value_t = 200.0)]
    rate: f64,

    /// How the groups of fulfilment and of the device agree on who reads what
    #[arg(long, value_name = "NAME", default_value = "consumer")]
    group_protocol: GroupProtocol,

    /// A further setting for each instance of fulfilment, in which {n} is its number; may be given again
    #[arg(long, value_name = "KEY=VALUE", default_values_t = FULFILLMENT.map(str::to_owned))]
    set: Vec<String>,

    /// The executable with the services
    #[arg(long, value_name = "FILE")]
    executable: PathBuf,

    /// The checkout whose scripts/peers start the servers
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,

    /// A new folder for everything that the run writes; it is left where it is when something is violated
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Print the plan and do nothing
    #[arg(long)]
    plan: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let settings = Settings {
        root: args.root,
        executable: args.executable,
        dir: args.dir,
        faults: args.faults,
        seed,
        brokers: args.brokers.into(),
        fleet: Shape {
            rate: args.rate,
            instances: args.instances.into(),
            protocol: args.group_protocol,
            settings: args.set,
        },
    };
    if args.plan {
        for step in plan::plan(seed, settings.faults, settings.size()) {
            let faults: Vec<String> = step.faults.iter().map(|(at, fault)| format!("{fault} (after {at:?})")).collect();
            println!("{:?} of peace, then {}", step.pause, faults.join(" and "));
        }
        return ExitCode::SUCCESS;
    }
    println!("chaos: {} faults, seed {seed}, logs in {}", settings.faults, settings.dir.display());
    match run(&settings).await {
        Ok(report) => print(&report, &settings),
        Err(error) => {
            eprintln!("chaos: {error} (seed {seed}, logs in {})", settings.dir.display());
            ExitCode::from(if matches!(error, ChaosError::MissingTool(_)) { 3 } else { 1 })
        }
    }
}

fn print(report: &Report, settings: &Settings) -> ExitCode {
    let (acknowledged, orders, lists) = report.counts;
    println!("\n{}", report.table);
    println!("seed {}, {} faults in {:.0} s", settings.seed, report.table.faults(), report.took.as_secs_f64());
    println!("{acknowledged} orders acknowledged, {orders} orders on the topic, {lists} pick lists on the topic");
    report.notes.iter().for_each(|note| println!("note: {note}"));
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for violation in &report.violations {
        let count = kinds.entry(violation.split([':', ' ']).next().unwrap_or_default()).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            println!("VIOLATION: {violation}");
        }
    }
    if report.violations.is_empty() {
        println!(
            "0 missing, 0 doubled, 0 reordered, 0 changed; Java's read_committed consumer saw the same {lists} pick lists"
        );
        return ExitCode::SUCCESS;
    }
    let all = settings.dir.join("violations");
    if let Err(error) = std::fs::write(&all, report.violations.join("\n")) {
        eprintln!("chaos: {}: {error}", all.display());
    }
    println!("{} violations {kinds:?}, all in {}; logs are beside it", report.violations.len(), all.display());
    ExitCode::FAILURE
}
