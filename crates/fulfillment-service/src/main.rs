//! fulfillment-service as a program of its own; `grocery fulfillment-service` is the same.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    fulfillment_service::main(fulfillment_service::Command::parse())
}
