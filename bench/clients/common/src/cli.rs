//! The command line of every client; `bench/README.md` says what each work is.

use std::path::PathBuf;

/// Where the cluster is, and how it is talked to.
#[derive(Clone, Debug, clap::Args)]
pub struct Server {
    /// Its first broker, `host:port`.
    #[arg(long)]
    pub bootstrap: String,
    /// TLS, and the CA to trust; plaintext without.
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// Of what is produced: none or lz4.
    #[arg(long, default_value = "none")]
    pub compression: String,
}

/// Records to a topic, as fast as they are acknowledged.
#[derive(Clone, Debug, clap::Args)]
pub struct Produce {
    /// The cluster.
    #[command(flatten)]
    pub server: Server,
    /// The file of keys and values.
    #[arg(long)]
    pub orders: PathBuf,
    /// Where they go.
    #[arg(long)]
    pub topic: String,
    /// How many.
    #[arg(long)]
    pub records: u64,
}

/// Records of a topic, from its beginning.
#[derive(Clone, Debug, clap::Args)]
pub struct Consume {
    /// The cluster.
    #[command(flatten)]
    pub server: Server,
    /// What is read.
    #[arg(long)]
    pub topic: String,
    /// Its partitions.
    #[arg(long)]
    pub partitions: i32,
    /// How many records.
    #[arg(long)]
    pub records: u64,
}

/// Transactions one after the other.
#[derive(Clone, Debug, clap::Args)]
pub struct Transact {
    /// The cluster.
    #[command(flatten)]
    pub server: Server,
    /// The file of keys and values.
    #[arg(long)]
    pub orders: PathBuf,
    /// Where they go.
    #[arg(long)]
    pub topic: String,
    /// The topic of whose partition 0 an offset is part of each transaction.
    #[arg(long)]
    pub input: String,
    /// The group whose offset it is.
    #[arg(long)]
    pub group: String,
    /// `transactional.id`
    #[arg(long)]
    pub transactional_id: String,
    /// Records of one transaction.
    #[arg(long)]
    pub size: usize,
    /// How many transactions are counted, after [`WARM_UP`] that are not.
    #[arg(long)]
    pub count: usize,
    /// Milliseconds of rest before each transaction, which are not counted; 0 is back to back.
    #[arg(long, default_value_t = 0)]
    pub rest_ms: u64,
}

/// Transactions that are not counted: connections, the first producer id, and how long this broker's markers take.
pub const WARM_UP: usize = 20;

/// Orders to pick lists, exactly once, until SIGTERM.
#[derive(Clone, Debug, clap::Args)]
pub struct Fulfil {
    /// The cluster.
    #[command(flatten)]
    pub server: Server,
    /// Where orders come from.
    #[arg(long)]
    pub topic: String,
    /// Where pick lists go.
    #[arg(long)]
    pub out: String,
    /// The consumer group.
    #[arg(long)]
    pub group: String,
    /// `transactional.id`
    #[arg(long)]
    pub transactional_id: String,
    /// The most orders of one transaction.
    #[arg(long, default_value_t = 2_000)]
    pub max_orders: u32,
    /// How long a transaction waits for more.
    #[arg(long, default_value_t = 3)]
    pub linger_ms: u32,
    /// A registry that knows the schemas; only the service itself asks one.
    #[arg(long)]
    pub registry: Option<String>,
    /// The schema id that pick lists are written with, by clients that ask no registry.
    #[arg(long, default_value_t = 2)]
    pub schema_id: u32,
}

/// What a client can be told to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Work {
    /// See [`Produce`].
    Produce(Produce),
    /// See [`Consume`].
    Consume(Consume),
    /// See [`Transact`].
    Transactions(Transact),
    /// See [`Fulfil`].
    Fulfil(Fulfil),
}

/// A client's command line.
#[derive(Clone, Debug, clap::Parser)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub work: Work,
}
