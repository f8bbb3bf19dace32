//! The service as a command: its flags, and its way from them to an exit code.

use std::process::ExitCode;

use service_kit::{Identity, Service, ServiceArgs};

use crate::Args;

/// What the service is called, and whose credentials it shows.
pub const SERVICE: Service = Service { name: "picklist-consumer", identity: Identity::Consumer };

/// The service's flags.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "picklist-consumer", version = service_kit::VERSION, about = env!("CARGO_PKG_DESCRIPTION"))]
pub struct Command {
    /// Its own.
    #[command(flatten)]
    pub args: Args,
    /// Those of every service.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// Runs the service to its end. Must be called outside any runtime.
#[must_use]
pub fn main(command: Command) -> ExitCode {
    let Command { args, service } = command;
    service_kit::run(SERVICE, &service, |context| crate::service::run(context, args))
}
