//! Fulfilment: the service itself, as it is shipped.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    ca: Option<PathBuf>,
    #[arg(long, default_value = "none")]
    compression: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    out: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    transactional_id: String,
    /// The service has its schemas from a registry, and no option to do without.
    #[arg(long)]
    registry: String,
    #[arg(long, default_value_t = 1_000)]
    max_orders: u32,
    #[arg(long, default_value_t = 5)]
    linger_ms: u32,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { bootstrap, ca, compression, topic, out, group, transactional_id, registry, max_orders, linger_ms } =
        arguments;
    let mut settings = vec![
        format!("bootstrap.servers={bootstrap}"),
        format!("schema.registry.url={registry}"),
        format!("compression.type={compression}"),
        format!("group.id={group}"),
        format!("transactional.id={transactional_id}"),
        format!("orders.topic={topic}"),
        format!("picklists.topic={out}"),
        "auto.offset.reset=earliest".to_owned(),
    ];
    match ca {
        Some(ca) => {
            settings.push("security.protocol=SSL".to_owned());
            settings.push(format!("ssl.ca.location={}", ca.display()));
        }
        None => settings.push("security.protocol=PLAINTEXT".to_owned()),
    }
    let mut words = vec!["fulfillment-service".to_owned(), "--log-level=warn".to_owned()];
    words.push(format!("--transaction-orders={max_orders}"));
    words.push(format!("--transaction-linger-ms={linger_ms}"));
    words.extend(settings.into_iter().map(|setting| format!("--set={setting}")));
    match fulfillment_service::Command::try_parse_from(words) {
        Ok(command) => fulfillment_service::main(command),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
