//! Fulfilment: the service itself, as it is shipped.

use std::process::ExitCode;

use bench_common::cli::{Fulfil, Server};
use clap::Parser as _;

pub(crate) fn run(arguments: &Fulfil) -> ExitCode {
    let Fulfil { server, topic, out, group, transactional_id, max_orders, linger_ms, registry, .. } = arguments;
    let Server { bootstrap, ca, compression } = server;
    let Some(registry) = registry else {
        eprintln!("the service has its schemas from a registry: --registry");
        return ExitCode::FAILURE;
    };
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
    // The version that the peers' programs write: the same work for all.
    let mut words = ["fulfillment-service", "--log-level=warn", "--event-version=1"].map(str::to_owned).to_vec();
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
