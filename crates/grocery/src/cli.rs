//! The commands of the one binary.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_kit::VERSION;

use crate::{audit, demo, healthcheck, operator, rewind, sandbox_command, schemas};

/// A grocery order pipeline on Kafka, all of it in one program
#[derive(Debug, Parser)]
#[command(name = "grocery", version = VERSION, about, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole pipeline on this machine: sandbox, three services, dashboard
    Demo(demo::Args),
    /// Run the sandbox alone: a Kafka broker, a Schema Registry and an OpenID issuer in one process
    Sandbox(sandbox_command::Args),
    /// Make grocery orders and send them to grocery.orders.v1
    OrderProducer(order_producer::Command),
    /// Turn each order into one pick list
    FulfillmentService(fulfillment_service::Command),
    /// Show pick lists as picking instructions
    PicklistConsumer(picklist_consumer::Command),
    /// Check that every order has exactly one pick list, the right one
    Audit(audit::Args),
    /// Ask a running service whether it is ready; exit code 0 if it is, 1 if not
    Healthcheck(healthcheck::Args),
    /// List topics with their partitions and records
    Topics(operator::Args),
    /// List consumer groups with their members and lag
    Groups(operator::Args),
    Rewind(rewind::Args),
    /// List the registry's subjects with their versions; check, register and compare schemas
    Schemas(schemas::Command),
}

/// Parses the command line and runs what it names. Must be called outside any runtime.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(args) => demo::main(&args),
        Command::Sandbox(args) => sandbox_command::main(&args),
        Command::OrderProducer(command) => order_producer::main(command),
        Command::FulfillmentService(command) => fulfillment_service::main(command),
        Command::PicklistConsumer(command) => picklist_consumer::main(command),
        Command::Audit(args) => audit::main(&args),
        Command::Healthcheck(args) => healthcheck::main(&args),
        Command::Topics(args) => operator::main(operator::Subject::Topics, &args),
        Command::Groups(args) => operator::main(operator::Subject::Groups, &args),
        Command::Rewind(args) => rewind::main(&args),
        Command::Schemas(command) => schemas::main(command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_and_flag_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_service_takes_its_own_flags_and_the_common_ones() {
        let line = ["grocery", "order-producer", "--config", "client.properties", "--rate", "max", "--orders", "5"];
        assert!(Cli::try_parse_from(line).is_ok());
        assert!(Cli::try_parse_from(["grocery", "demo", "--dashboard", "nowhere"]).is_err());
    }

    #[test]
    fn schemas_alone_lists_and_its_commands_have_flags_of_their_own() {
        for line in
            ["schemas", "schemas --set a=b", "schemas list", "schemas check --offline", "schemas diff s 1 registry"]
        {
            assert!(Cli::try_parse_from(["grocery"].into_iter().chain(line.split(' '))).is_ok(), "{line}");
        }
        for line in ["schemas chekc", "schemas --offline", "schemas diff"] {
            assert!(Cli::try_parse_from(["grocery"].into_iter().chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
